//! What the three services of the shop share: starting and stopping, the database, errors.
//!
//! Nothing here knows Flotilla: a service reads `$PORT` and `$DATABASE_URL`, answers `/ready` and
//! `/live`, and leaves on SIGTERM. Several instances share one database file, so nothing is kept
//! in memory between requests.
//!
//! Start with [`run`], then [`Db`].

mod db;
mod error;
mod request;
mod serve;

pub use db::Db;
pub use error::{Error, Result, is_unique_violation};
pub use request::{Body, Id, Name, Params, is_name};
pub use serve::{log, run, to_the_end};
