//! How a subscription to streams is, for people.

use super::StreamSubscriptionStatus;
use crate::{StreamSubscription, runner::words};
use ports::streams::Position;
use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
use tokio::sync::Notify;

/// How a subscription is, on this node.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    pub(super) position: AtomicU64,
    pub(super) is_here: AtomicBool,
    pub(super) delivered: AtomicU64,
    pub(super) done: AtomicU64,
    pub(super) parked: AtomicU64,
    said: Mutex<Said>,
    pub(super) reset: Notify,
}

#[derive(Debug, Default)]
struct Said {
    paused: Option<String>,
    last_error: Option<String>,
}

impl Gauge {
    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn pause(&self, why: Option<String>) {
        self.said().paused = why;
    }

    pub(super) fn error(&self, what: String) {
        self.said().last_error = Some(what);
    }

    pub(super) fn was_reset(&self) {
        self.reset.notify_one();
    }

    pub(super) fn status(
        &self,
        subscription: &StreamSubscription,
        kept: Position,
        last: Position,
    ) -> StreamSubscriptionStatus {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let is_here = self.is_here.load(Ordering::Relaxed);
        let position = if is_here { Position(count(&self.position)) } else { kept };
        let said = self.said();
        StreamSubscriptionStatus {
            name: subscription.name.clone(),
            target: words(&subscription.to),
            position,
            lag: last.0.saturating_sub(position.0),
            is_here,
            delivered: count(&self.delivered),
            done: count(&self.done),
            parked: count(&self.parked),
            paused: said.paused.clone(),
            last_error: said.last_error.clone(),
        }
    }
}
