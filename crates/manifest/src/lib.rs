//! The file: `flotilla.yaml` and the formats read beside it.
//!
//! ```text
//!  flotilla.yaml ──► tree ──► check (table) ──┐
//!  compose.yaml ┐                             ├─► overlay ──► read ──► model::System
//!  Procfile     ├──► tree of our own keys ────┘
//!  dapr.yaml    ┘    (places of the original)
//! ```
//!
//! All formats become one tree of our own keys that remembers the places of the file it came from; so there is one
//! check, one reader, and every problem points at the line that people wrote. All problems are told at once.
//!
//! Blocking: files and folders are read, nothing is written or executed, no environment variable is read but those
//! passed in.

#![warn(missing_docs)]

pub mod model;

mod check;
mod compose;
mod dapr;
mod detect;
mod dotenv;
mod engine;
mod find;
mod fingerprint;
mod init;
mod interpolate;
mod load;
mod overlay;
mod problems;
mod procfile;
mod read;
mod reference;
mod schema;
mod secret;
mod shape;
mod source;
mod suggest;
mod table;
mod tree;
mod words;

pub use dapr::{Arguments, ArgumentsOf};
pub use find::find;
pub use fingerprint::{differences, fingerprint};
pub use init::{Proposal, inspect};
pub use load::load;
pub use model::*;
pub use read::keys_of;
pub use reference::reference_markdown;
pub use schema::json_schema;
pub use suggest::nearest;

use std::collections::BTreeMap;

/// What the reading of a file depends on besides the file.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which of `environments` is laid over the file (`--env NAME`).
    pub environment: Option<String>,
    /// The environment of the process: for `${NAME}`, and for `CARGO_TARGET_DIR`, `COMPOSE_PROFILES` and `HOME`.
    pub vars: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests;
