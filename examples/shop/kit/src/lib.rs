//! What the three services of the shop share: starting and stopping, the database, errors, calls.
//!
//! A service reads `$PORT` and `$DATABASE_URL`, answers `/ready` and `/live`, and leaves on
//! SIGTERM. Several instances share one database file, so nothing is kept in memory between
//! requests. Only [`Flotilla`] knows who runs it all: messages, events and transactions go
//! there.
//!
//! Start with [`run`], then [`Db`], then [`Flotilla`].

mod db;
mod error;
mod flotilla;
mod request;
mod serve;
mod step;
#[cfg(feature = "testing")]
pub mod testing;
mod upstream;

pub use db::Db;
pub use error::{Error, Result, is_unique_violation};
pub use flotilla::{Event, Flotilla, Message, Page, Status, Stored, Transaction};
pub use request::{Body, Id, Name, Params, is_name};
pub use serve::{log, run, to_the_end};
pub use step::Step;
pub use upstream::{Answer, Client, Trace, Upstream, failed};
