//! The service over engines in memory.

mod giving_up;
mod jobs;
mod keeping;
mod later;
mod outboxes;
mod pulling;
mod pushing;
mod racing;
mod streams;
