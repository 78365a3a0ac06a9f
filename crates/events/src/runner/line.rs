//! A connection that somebody holds open, and that takes messages.

use crate::{Incoming, Verdict};
use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// A message on its way to a connection.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) id: String,
    pub(crate) incoming: Incoming,
    pub(crate) path: String,
}

/// The runner's end of a connection.
#[derive(Debug)]
pub(crate) struct Line {
    number: u64,
    sender: mpsc::Sender<Sent>,
    last: AtomicU64,
    /// Who waits for the verdict on a message, by its id: as many as the runner has under way.
    waiting: Mutex<HashMap<String, Waiting>>,
}

/// A message that waits for its verdict.
#[derive(Debug)]
struct Waiting {
    verdict: oneshot::Sender<Verdict>,
    /// Whoever holds the connection has it: when that ends it was an attempt.
    is_taken: bool,
}

impl Line {
    pub(crate) fn new(number: u64, room: usize) -> (Self, mpsc::Receiver<Sent>) {
        let (sender, receiver) = mpsc::channel(room.max(1));
        let waiting = Mutex::default();
        (Self { number, sender, last: AtomicU64::new(0), waiting }, receiver)
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody holds the other end any more.
    pub(super) async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Hands a message over and waits for the verdict, `patience` at most from then on.
    pub(super) async fn deliver(
        &self,
        incoming: Incoming,
        path: String,
        patience: Duration,
    ) -> Verdict {
        let gone = || Verdict::Away { reason: "the connection is gone".to_owned() };
        let Ok(place) = self.sender.reserve().await else { return gone() };
        let id = self.last.fetch_add(1, Ordering::Relaxed).to_string();
        let (sender, verdict) = oneshot::channel();
        self.waiting().insert(id.clone(), Waiting { verdict: sender, is_taken: false });
        place.send(Sent { id: id.clone(), incoming, path });
        let verdict = tokio::select! {
            verdict = tokio::time::timeout(patience, verdict) => Some(verdict),
            () = self.sender.closed() => None,
        };
        let is_taken = self.waiting().remove(&id).is_some_and(|waiting| waiting.is_taken);
        let retry = |reason: String| Verdict::Retry { after: None, reason };
        match verdict {
            Some(Ok(Ok(verdict))) => verdict,
            Some(Err(_)) => retry(format!("it was not settled within {patience:?}")),
            Some(Ok(Err(_))) | None if is_taken => {
                retry("the connection ended before it was settled".to_owned())
            }
            Some(Ok(Err(_))) | None => gone(),
        }
    }

    /// Whoever holds the connection has it.
    pub(crate) fn taken(&self, id: &str) {
        if let Some(waiting) = self.waiting().get_mut(id) {
            waiting.is_taken = true;
        }
    }

    /// Tells the verdict on a message. Answers whether somebody waited for it.
    pub(crate) fn settle(&self, id: &str, verdict: Verdict) -> bool {
        let waiting = self.waiting().remove(id);
        waiting.is_some_and(|waiting| waiting.verdict.send(verdict).is_ok())
    }
}
