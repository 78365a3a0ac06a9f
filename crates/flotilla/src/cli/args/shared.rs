//! The commands for what services share.

use base::units::parse_duration;
use clap::{Args, Subcommand};
use std::time::Duration;

/// Which store.
#[derive(Debug, Args)]
pub(crate) struct Store {
    /// The store [default: the only one there is]
    #[arg(short, long, value_name = "NAME")]
    pub store: Option<String>,
}

/// Which store of state, and whose keys.
#[derive(Debug, Args)]
pub(crate) struct Keys {
    #[command(flatten)]
    pub store: Store,
    /// Keys are this service's, as it writes them [default: keys as they are stored, `orders||cart`]
    #[arg(long, value_name = "SERVICE")]
    pub service: Option<String>,
}

/// `state`
#[derive(Debug, Subcommand)]
pub(crate) enum StateCommand {
    /// Show the stores, and how the engine below them is
    Stores,
    /// Show keys and values
    Ls {
        /// Only keys that begin so
        #[arg(value_name = "PREFIX")]
        prefix: Option<String>,
        /// At most so many
        #[arg(short = 'n', long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        #[command(flatten)]
        keys: Keys,
    },
    /// Print a value
    Get {
        /// The key
        key: String,
        #[command(flatten)]
        keys: Keys,
    },
    /// Write a value
    Set {
        /// The key
        key: String,
        /// The value, as JSON if it is JSON, else as text; `-` reads it from standard input
        #[arg(allow_hyphen_values = true)]
        value: String,
        /// Only if this is the present etag
        #[arg(long, value_name = "ETAG", conflicts_with = "new")]
        etag: Option<String>,
        /// Only if the key is not there
        #[arg(long)]
        new: bool,
        /// How long it stays [default: as the store is set up]
        #[arg(long, value_name = "TIME", value_parser = parse_duration)]
        ttl: Option<Duration>,
        /// It is text, even if it could be JSON
        #[arg(long)]
        text: bool,
        #[command(flatten)]
        keys: Keys,
    },
    /// Delete a value
    Rm {
        /// The key
        key: String,
        /// Only if this is the present etag
        #[arg(long, value_name = "ETAG")]
        etag: Option<String>,
        #[command(flatten)]
        keys: Keys,
    },
    /// Show changes as they happen, until Ctrl-C
    Watch {
        /// Only keys that begin so
        #[arg(value_name = "PREFIX")]
        prefix: Option<String>,
        #[command(flatten)]
        keys: Keys,
    },
    /// Make a damaged store of this folder one that can be opened; no node may have it open
    Repair,
}

/// `lock`
#[derive(Debug, Subcommand)]
pub(crate) enum LockCommand {
    /// Show the locks that are held
    Ls {
        /// Only those that begin so
        #[arg(value_name = "PREFIX")]
        prefix: Option<String>,
        #[command(flatten)]
        store: Store,
    },
    /// Show who holds a lock
    Show {
        /// The lock
        lock: String,
        #[command(flatten)]
        store: Store,
    },
    /// Run a command while holding a lock; its token is in FLOTILLA_LOCK_TOKEN
    Run {
        /// The lock
        lock: String,
        /// How long to wait for it
        #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "1m")]
        wait: Duration,
        /// How long it stays held when this command is killed
        #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "15s")]
        ttl: Duration,
        #[command(flatten)]
        store: Store,
        /// Program and arguments
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            required = true,
            value_name = "COMMAND"
        )]
        command: Vec<String>,
    },
    /// Take a lock from whoever holds it; the holder learns it when it renews
    Release {
        /// The lock
        lock: String,
        #[command(flatten)]
        store: Store,
    },
}

/// `config`
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show values
    Ls {
        /// Only these keys
        #[arg(value_name = "KEY")]
        keys: Vec<String>,
        #[command(flatten)]
        store: Store,
    },
    /// Print a value
    Get {
        /// The key
        key: String,
        #[command(flatten)]
        store: Store,
    },
    /// Set a value
    Set {
        /// The key
        key: String,
        /// The value; `-` reads it from standard input
        #[arg(allow_hyphen_values = true)]
        value: String,
        /// Only if this is the version in force; 0: only if it is not set
        #[arg(long, value_name = "VERSION")]
        expect: Option<u64>,
        #[command(flatten)]
        store: Store,
    },
    /// Delete a value; its history stays
    Rm {
        /// The key
        key: String,
        #[command(flatten)]
        store: Store,
    },
    /// Show the values that a key has had
    History {
        /// The key
        key: String,
        #[command(flatten)]
        store: Store,
    },
    /// Show what is different between two versions
    Diff {
        /// The key
        key: String,
        /// The earlier version
        from: u64,
        /// The later version [default: the one in force]
        to: Option<u64>,
        #[command(flatten)]
        store: Store,
    },
    /// Set the value of an earlier version again
    Rollback {
        /// The key
        key: String,
        /// The version [default: the one before the one in force]
        #[arg(long, value_name = "VERSION")]
        to: Option<u64>,
        #[command(flatten)]
        store: Store,
    },
    /// Show values as they change, until Ctrl-C
    Watch {
        /// Only keys like these; `*` stands for any text
        #[arg(value_name = "KEY")]
        keys: Vec<String>,
        #[command(flatten)]
        store: Store,
    },
}

/// `secrets`
#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// Show what secrets there are, without their values
    Ls {
        #[command(flatten)]
        store: Store,
    },
    /// Show a secret; its value only with --reveal
    Get {
        /// Its name
        name: String,
        /// Print the value
        #[arg(long)]
        reveal: bool,
        #[command(flatten)]
        store: Store,
    },
    /// Store a secret, encrypted; the value is asked for, or read from standard input
    Set {
        /// Its name
        name: String,
        #[command(flatten)]
        store: Store,
    },
    /// Delete a stored secret
    Rm {
        /// Its name
        name: String,
        #[command(flatten)]
        store: Store,
    },
    /// Make a new key and encrypt all stored secrets with it
    Rotate,
}
