//! What the whole service promises, over an engine in memory and on disk.

mod asking;
mod bounds;
mod crashes;
mod engine;
mod joins;
mod listing;
mod modes;
mod nodes;
