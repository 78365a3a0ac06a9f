//! What the writer, the readers and the checkpoints share.

use base::Timestamp;
use ports::streams::{Direction, Error, Position, Query};
use runtime::Clock;
use std::{
    io,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::sync::watch;

use super::{
    checkpoint::Desk,
    fetch::Files,
    index::{Base, NAME, Numbers},
    look::Look,
    overlay::{Overlay, Rows},
    search::{Found, Search},
};
use crate::{log, tree::Trouble};

/// The index, as of the newest position.
#[derive(Debug)]
pub(super) struct View {
    pub(super) numbers: Numbers,
    pub(super) base: Arc<Base>,
    /// What a checkpoint is about to write.
    pub(super) frozen: Option<Arc<Overlay>>,
    /// What the writer adds to.
    pub(super) active: Arc<Overlay>,
}

/// What somebody who waits is told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Newest {
    pub(super) position: u64,
    /// The engine ended.
    pub(super) is_closed: bool,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: Clock,
    /// Where the store is, for people.
    pub(super) place: String,
    pub(super) view: RwLock<View>,
    pub(super) files: Files,
    pub(super) newest: watch::Sender<Newest>,
    pub(super) desk: Desk,
    /// Bytes of the index.
    pub(super) index_bytes: AtomicU64,
    /// Something in the index was not as it was written.
    pub(super) is_index_damaged: AtomicBool,
}

impl Shared {
    pub(super) fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn view_mut(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index as it is.
    pub(super) fn look(&self) -> Look {
        let view = self.view();
        let overlays = view.frozen.iter().chain([&view.active]).cloned().collect();
        Look { base: Some(Arc::clone(&view.base)), overlays, position: view.numbers.position }
    }

    /// The engine's clock in milliseconds.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.clock.now().since_start().as_millis()).unwrap_or(u64::MAX)
    }

    /// The time of the events that are appended.
    pub(super) fn date(&self) -> Timestamp {
        self.clock.date()
    }

    /// Bytes on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.files.segments().bytes() + self.index_bytes.load(Ordering::Relaxed)
    }

    /// Whether it still answers.
    pub(super) fn check_open(&self) -> Result<(), Error> {
        if self.newest.borrow().is_closed { Err(self.closed()) } else { Ok(()) }
    }

    /// From here on it does not answer any more.
    pub(super) fn close(&self) {
        self.newest.send_modify(|newest| newest.is_closed = true);
    }

    pub(super) fn closed(&self) -> Error {
        self.unavailable(Arc::new(io::Error::other("the engine was shut down")))
    }

    pub(super) fn unavailable(&self, cause: ports::broker::Cause) -> Error {
        Error::Unavailable { place: self.place.clone(), cause }
    }

    /// What somebody is told when the index does not answer. Has it opened anew if that may help.
    pub(super) fn trouble(&self, trouble: Trouble) -> Error {
        match trouble {
            Trouble::Damaged(what) => {
                self.is_index_damaged.store(true, Ordering::Release);
                let place = self.place.clone();
                Error::Refused { place, cause: Arc::new(DamagedIndex(what)) }
            }
            Trouble::Failed(_) => {
                self.desk.ask_to_reopen();
                self.unavailable(Arc::new(trouble))
            }
        }
    }

    /// What a reader is told when the log cannot be read.
    pub(super) fn cannot_read(&self, error: log::Error) -> Error {
        let place = self.place.clone();
        match error {
            log::Error::Io { .. } => Error::Unavailable { place, cause: Arc::new(error) },
            log::Error::Damaged { .. } | log::Error::Newer { .. } => {
                Error::Refused { place, cause: Arc::new(error) }
            }
        }
    }

    /// The first event that matches `query` from `from` on.
    pub(super) fn first_match(
        &self,
        look: &Look,
        query: &Query,
        from: u64,
        steps_max: usize,
    ) -> Result<Found, Error> {
        Search::new(look, query, Direction::Forwards, steps_max)
            .next(from)
            .map_err(|trouble| self.trouble(trouble))
    }

    /// Makes what the log has visible.
    pub(super) fn apply(&self, rows: Rows, count: u64, shift: u32) {
        let position = {
            let mut view = self.view_mut();
            view.numbers.position += count;
            view.numbers.streams += rows.begun;
            view.active.write().absorb(rows, shift);
            view.numbers.position
        };
        self.newest.send_modify(|newest| newest.position = position);
    }
}

/// As a cause: what is wrong, and what can be done.
#[derive(Debug, thiserror::Error)]
#[error("`{NAME}` is damaged: {0}; it is built again from the log when the engine is started anew")]
struct DamagedIndex(String);

/// The position in what was found, for a condition.
pub(super) fn conflict(found: Found) -> Option<Position> {
    match found {
        Found::At(place) => Some(Position(place.position)),
        Found::NotBefore(_) | Found::End => None,
    }
}
