//! What each endpoint does, one file a subject.

pub(crate) mod actions;
pub(crate) mod events;
pub(crate) mod logs;
pub(crate) mod picture;
pub(crate) mod requests;
pub(crate) mod system;
