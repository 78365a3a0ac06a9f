//! What is said of secrets, and what can go wrong with them.

use super::Secret;
use base::Timestamp;
use std::{collections::BTreeMap, io, path::PathBuf};

/// Longest name in bytes.
pub const SECRET_NAME_LEN_MAX: usize = 1_024;

/// Longest value in bytes.
pub const SECRET_VALUE_LEN_MAX: usize = 64 << 10;

/// Most stored secrets of all stores of a system together: all are in every node's memory, and looked for in every line
/// of output.
pub const SECRETS_MAX: usize = 1_000;

/// Shorter values are not redacted: `1234` or `true` would be found in half of all lines, and garble them without
/// hiding anything.
pub const REDACT_LEN_MIN: usize = 6;

/// A secret that was read.
#[derive(Clone, Debug, Default)]
pub struct SecretAnswer {
    /// Its values by key; most have one, under the secret's own name.
    pub values: BTreeMap<String, Secret>,
    /// It comes from the engine, and that is away: there may be a newer one.
    pub stale: bool,
}

/// What is known of a secret without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretInfo {
    /// Its name.
    pub name: String,
    /// Where it comes from: `kv`, the path of a file, or the label of the caller's values.
    pub source: String,
    /// When it was set, if it is stored.
    pub changed: Option<Timestamp>,
}

/// What a rotation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The name of the key that everything is sealed with now.
    pub key: String,
    /// How many secrets were sealed anew.
    pub secrets: usize,
}

/// Why the key of stored secrets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("cannot use `{}`", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// Others may read it.
    #[error("`{}` may be read by others (mode {mode:o}): run `chmod 600` on it", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is no key file.
    #[error("`{}` is no key file: {reason}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The secret was sealed with a key that the file does not have.
    #[error("`{secret}` is sealed with key {id}, which is not in `{}`: {hint}", .path.display())]
    Unknown {
        /// The secret.
        secret: String,
        /// The name of the key.
        id: String,
        /// The file.
        path: PathBuf,
        /// What to do.
        hint: &'static str,
    },
    /// The record does not belong there, or was changed.
    #[error("`{secret}` cannot be opened with key {id}: what is stored was changed or moved")]
    Forged {
        /// The secret.
        secret: String,
        /// The name of the key.
        id: String,
    },
    /// The system has no random numbers.
    #[error("the system has no random numbers: {0}")]
    Random(String),
}

/// Why a file with secrets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// It cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// It is not what it should be.
    #[error("`{}`, line {line}: {reason}", .path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}
