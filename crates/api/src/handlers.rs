//! What each endpoint does, one file a subject.

pub(crate) mod actions;
pub(crate) mod config;
pub(crate) mod events;
pub(crate) mod jobs;
pub(crate) mod locks;
pub(crate) mod logs;
pub(crate) mod messaging;
pub(crate) mod picture;
mod reach;
pub(crate) mod requests;
pub(crate) mod secrets;
pub(crate) mod state;
pub(crate) mod stores;
pub(crate) mod streams;
pub(crate) mod system;
pub(crate) mod topics;
pub(crate) mod transactions;

pub(crate) use reach::{Reach, no_service};
