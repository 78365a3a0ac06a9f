//! What happens to a transaction, as it happens.

use crate::{
    sse::{self, Source},
    tx::view,
};
use bytes::Bytes;
use std::time::Duration;
use tokio::sync::watch;
use transactions::{Gid, Handle};

/// How often a transaction is looked at that another node drives.
const PAUSE: Duration = Duration::from_secs(1);

/// The notes of a transaction until it has ended.
pub(super) struct Follow {
    transactions: Handle,
    gid: Gid,
    /// The number of the last note that was told.
    after: u64,
    /// Grows with each change; `None`: it was not asked for, or there is none here.
    changes: Option<watch::Receiver<u64>>,
    /// It was looked at, and had nothing more to tell.
    is_read: bool,
    is_over: bool,
}

impl Follow {
    pub(super) fn new(transactions: Handle, gid: Gid, after: u64) -> Self {
        Self { transactions, gid, after, changes: None, is_read: false, is_over: false }
    }

    /// Waits until there may be something new.
    async fn changed(&mut self) {
        let is_alive = match &mut self.changes {
            Some(changes) => changes.changed().await.is_ok(),
            None => {
                tokio::time::sleep(PAUSE).await;
                false
            }
        };
        if !is_alive {
            self.changes = None;
        }
        self.is_read = false;
    }
}

impl Source for Follow {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.is_over {
                return None;
            }
            if self.is_read {
                self.changed().await;
            }
            // Asked for before it is read, so that what comes meanwhile is not missed.
            if self.changes.is_none() {
                self.changes = self.transactions.changes(&self.gid).ok();
            }
            if let Some(changes) = &mut self.changes {
                changes.mark_unchanged();
            }
            // One that is not kept any more has nothing more to tell.
            let view = self.transactions.get(&self.gid).await.ok()?;
            // Nothing is awaited from here on, so a call that is dropped has told nothing.
            self.is_read = true;
            self.is_over = view.state.phase.outcome().is_some();
            let mut out = Vec::new();
            let after = self.after;
            for note in view.notes.into_iter().filter(|note| u64::from(note.seq) > after) {
                self.after = note.seq.into();
                out.extend_from_slice(&sse::message(self.after, "event", &view::event(note)));
            }
            if !out.is_empty() {
                return Some(out.into());
            }
        }
    }
}
