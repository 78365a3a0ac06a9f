//! Log lines on the wire, and what can be asked of them.

use super::{Diagnostic, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One line of output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// Number of the line in the store; the cursor to read on from.
    pub seq: u64,
    /// When the node read it.
    pub at: Time,
    /// Who printed it: the service.
    pub service: String,
    /// Who printed it: the instance, `users/1`.
    pub instance: String,
    /// Where to.
    pub stream: Stream,
    /// What the line says of itself; `null` when it says nothing.
    pub level: Option<Level>,
    /// The text without its line end.
    pub text: String,
    /// The line was longer than 64 KiB and goes on in the next one.
    pub cut: bool,
}

/// Lines that were found, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Logs {
    /// The lines.
    pub lines: Vec<LogLine>,
    /// Cursor to read on from with `after`; newer lines may not be there yet.
    pub next: u64,
    /// There are more lines after these that fit the question.
    pub more: bool,
    /// What the answer lacks, such as lines deleted to stay within the store's limit.
    pub notices: Vec<Diagnostic>,
}

/// Which stream a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
    /// Flotilla's own words about the instance.
    Node,
}

/// How grave a line is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// For developers.
    Debug,
    /// Normal.
    Info,
    /// Something is odd.
    Warn,
    /// Something failed.
    Error,
}

/// What is asked of the logs; the query parameters of `GET /v1/logs`. Everything empty: all lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Only these services, with all their instances; together with `instances`, either fits.
    pub services: Vec<String>,
    /// Only these instances, `users/1`.
    pub instances: Vec<String>,
    /// Only these streams.
    pub streams: Vec<Stream>,
    /// From this time on: RFC 3339, or how long ago (`10m`).
    pub since: Option<String>,
    /// Before this time: RFC 3339, or how long ago.
    pub until: Option<String>,
    /// Only lines that contain this text.
    pub grep: Option<String>,
    /// `grep` does not tell upper from lower case.
    pub ignore_case: bool,
    /// Only lines at least this grave. A line that says nothing of itself counts as `info`.
    pub level: Option<Level>,
    /// Only the newest this many of those that fit.
    pub tail: Option<u64>,
    /// Only lines after this cursor.
    pub after: Option<u64>,
    /// At most this many lines in one answer (1 to 10000, default 1000). Not for a followed stream.
    pub limit: Option<u64>,
}
