//! What is asked of the writer.

use ports::streams::{Append, Appended, Error, Position};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::overlay::Stream;

/// An append, and what its caller found out on his own thread so that the writer need not.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) append: Append,
    pub(super) prior: Prior,
    pub(super) reply: Reply,
}

/// What was so up to some position, and therefore is so for ever but for what came later.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prior {
    /// That position. The stream has none of the append's ids up to there.
    pub(super) seen: u64,
    /// The stream up to there.
    pub(super) stream: Option<Stream>,
    /// The first event up to there that matches the condition.
    pub(super) conflict: Option<Position>,
}

/// Whom to answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) sender: oneshot::Sender<Result<Appended, Error>>,
    /// Its share of what may be queued.
    pub(super) room: OwnedSemaphorePermit,
}

impl Reply {
    pub(super) fn send(self, result: Result<Appended, Error>) {
        drop(self.room);
        // Whoever asked may have gone meanwhile.
        drop(self.sender.send(result));
    }
}
