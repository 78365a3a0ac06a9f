//! What a service needs to take part in transactions that a Flotilla node coordinates, whatever its web framework is.
//!
//! The coordinator calls *branches*: HTTP requests that say which transaction, which branch and which operation is meant. It calls
//! again when an answer was lost, and in an order that the network chose. This crate holds what each participant would otherwise
//! have to invent:
//!
//! - [`Branch`]: what a request says about the transaction; [`Answer`]: what the coordinator understands.
//! - The *barrier* (`sqlite::Barrier`, `postgres::Barrier`, `mysql::Barrier`): a table in the service's own database, written in the
//!   same transaction as the business. A call that comes twice works once, an undo without its action does nothing, and an
//!   action that comes after its undo does nothing.
//! - `postgres::Prepared`: branches of two-phase commits as prepared transactions of PostgreSQL, and a search for those that were left behind.
//! - [`Promise`]: when a participant of a three-phase commit or of a reservation asks, waits, or decides alone.
//! - [`testing`]: tries a service's own handlers with what happens in bad hours.
//!
//! It starts no task or thread, reads no environment, and depends on nothing of the node. Drivers are features: `sqlite` (rusqlite),
//! `postgres` (tokio-postgres), `mysql` (mysql_async); `http` asks the coordinator for decisions.
//!
//! The protocol and the tables are those of DTM where it has them, so a service may serve both coordinators.

#![warn(missing_docs)]
#![cfg_attr(
    not(any(feature = "mysql", feature = "postgres", feature = "sqlite")),
    expect(dead_code, reason = "what the barriers have in common")
)]

mod answer;
mod barrier;
mod branch;
mod decide;
mod error;
#[cfg(feature = "mysql")]
pub mod mysql;
#[cfg(feature = "postgres")]
pub mod postgres;
mod promise;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod testing;

pub use answer::{Answer, Outcome};
pub use barrier::{ANSWER_MAX, Barrier, Skip, Verdict};
pub use branch::{Branch, Invalid, Mode, Op};
#[cfg(feature = "http")]
pub use decide::HttpDecide;
pub use decide::{Decide, Decision};
pub use error::{BoxError, Error};
pub use promise::{ASK_PAUSE_MS, Act, Event, Next, Promise};

/// The guide's Rust is compiled with the tests, so that it stays true.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/participants.md")]
struct Guide;
