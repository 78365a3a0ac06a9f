//! The supervisor in a fake world with a time of its own: a test takes milliseconds and always the same course.

mod adoption;
mod app;
mod apply;
mod board;
mod build;
mod failures;
mod histories;
mod jobs;
mod oneoff;
mod probes;
mod scale;
mod start;
mod stop;
