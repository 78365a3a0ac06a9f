//! Where the lines go that instances print.

use base::{InstanceId, Timestamp};

/// Longest piece of output kept as one line, in bytes. A longer line is cut into pieces of this
/// size, each marked [`Line::is_cut`], so that a program that never ends its line cannot grow the node.
pub const LINE_LEN_MAX: usize = 64 * 1024;

/// Which of the two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
    /// Flotilla's own words about the instance (started, killed, …).
    Node,
}

/// One line of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When the node read it.
    pub at: Timestamp,
    /// Who printed it.
    pub instance: InstanceId,
    /// Where to.
    pub stream: Stream,
    /// The text without its line end; bytes that are not UTF-8 are replaced by U+FFFD.
    pub text: String,
    /// The line went on: it was longer than [`LINE_LEN_MAX`].
    pub is_cut: bool,
}

/// Takes lines in.
///
/// Contract: `append` keeps the order it is given per instance and stream. It may block while it
/// writes; it is called from a thread that may wait, and the writer's file is the buffer meanwhile.
/// It never fails towards the caller: what it cannot keep it counts and reports as dropped.
pub trait Sink: Send + Sync {
    /// Appends `lines` in order.
    fn append(&self, lines: &[Line]);
}

/// Remembers the last lines of an instance, for messages that say why it failed.
pub trait Recall: Send + Sync {
    /// The last `count` lines of both output streams, oldest first, without the node's own words.
    fn last(&self, instance: &InstanceId, count: usize) -> Vec<String>;
}
