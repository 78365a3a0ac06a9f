//! Subscriptions of connections that apps hold open.

use crate::{
    Error, Incoming, Verdict,
    runner::{Line, Sent},
};
use std::sync::Arc;
use tokio::sync::mpsc;

/// A subscription whose messages go to whoever holds this. Dropped, it ends: what was handed over and not settled comes again.
#[derive(Debug)]
pub struct Open {
    pub(crate) line: Arc<Line>,
    pub(crate) receiver: mpsc::Receiver<Sent>,
}

/// A message that was handed over. It has to be settled within the subscription's timeout.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Names it for [`Open::settle`].
    pub id: String,
    /// The message.
    pub incoming: Incoming,
    /// The path of the route that it took; empty without routes.
    pub path: String,
}

/// Settles messages of an [`Open`] from elsewhere. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Settler(Arc<Line>);

impl Open {
    /// Waits for the next message. Over outages of the broker it goes on.
    ///
    /// # Errors
    /// [`Error::Stopping`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next(&mut self) -> Result<Taken, Error> {
        let Sent { id, incoming, path } = self.receiver.recv().await.ok_or(Error::Stopping)?;
        self.line.taken(&id);
        Ok(Taken { id, incoming, path })
    }

    /// Tells the verdict on a message. Answers whether it was still waited for: if not, it comes again.
    #[expect(clippy::unused_async, reason = "callers need not know that it does not wait")]
    pub async fn settle(&self, id: &str, verdict: Verdict) -> bool {
        self.line.settle(id, verdict)
    }

    /// For settling while somebody else waits for the next message.
    #[must_use]
    pub fn settler(&self) -> Settler {
        Settler(Arc::clone(&self.line))
    }
}

impl Settler {
    /// As [`Open::settle`].
    #[must_use]
    pub fn settle(&self, id: &str, verdict: Verdict) -> bool {
        self.0.settle(id, verdict)
    }
}
