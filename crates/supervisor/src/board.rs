//! Where every unit writes what it sees and everybody reads it: the picture and the events.

use crate::status::{Phase, ServiceState, ServiceStatus, Status};
use base::{InstanceId, ServiceName, Severity, Timestamp};
use manifest::Kind;
use runtime::Clock;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::watch;

/// How many events are kept. A busy hour of a large system fits; older ones are forgotten.
pub const EVENTS_MAX: usize = 10_000;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// About which service.
    pub service: Option<ServiceName>,
    /// About which instance.
    pub instance: Option<InstanceId>,
    /// One word: `started`, `ready`, `exited`, `crash_loop`, …
    pub kind: &'static str,
    /// For people.
    pub message: String,
}

/// The picture and the events. Locks are held for the copy of a pointer, never over a wait.
#[derive(Debug)]
pub(crate) struct Board {
    /// The order of the file.
    order: Mutex<Vec<ServiceName>>,
    picture: Mutex<Arc<Status>>,
    revision: watch::Sender<u64>,
    events: Mutex<VecDeque<Event>>,
    last_event: watch::Sender<u64>,
}

impl Board {
    pub(crate) fn new(system: &str) -> Self {
        let status = Status { system: system.to_owned(), ..Status::default() };
        Self {
            order: Mutex::default(),
            picture: Mutex::new(Arc::new(status)),
            revision: watch::Sender::new(0),
            events: Mutex::new(VecDeque::new()),
            last_event: watch::Sender::new(0),
        }
    }

    pub(crate) fn status(&self) -> Arc<Status> {
        Arc::clone(&self.picture.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until the picture's revision is not `revision`. Cancel safe.
    pub(crate) async fn changed(&self, revision: u64) -> Arc<Status> {
        let mut seen = self.revision.subscribe();
        // The sender lives as long as the board, so this ends only by a change.
        if seen.wait_for(|now| *now != revision).await.is_err() {
            std::future::pending::<()>().await;
        }
        self.status()
    }

    /// Wakes whenever the picture changes.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Puts a service's picture in the place of its last one, or where the file has it.
    pub(crate) fn put(&self, service: ServiceStatus) {
        let same = |s: &&Arc<ServiceStatus>| s.name == service.name && ***s == service;
        if self.status().services.iter().any(|s| same(&s)) {
            return;
        }
        let order = self.order.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.change(|status| match status.services.iter_mut().find(|s| s.name == service.name) {
            Some(present) => *present = Arc::new(service),
            None => {
                status.services.push(Arc::new(service));
                sort(&mut status.services, &order);
            }
        });
    }

    /// Takes over the system's name and the order of the file.
    pub(crate) fn arrange(&self, name: &str, order: Vec<ServiceName>) {
        self.change(|status| {
            name.clone_into(&mut status.system);
            sort(&mut status.services, &order);
        });
        *self.order.lock().unwrap_or_else(PoisonError::into_inner) = order;
    }

    pub(crate) fn remove(&self, name: &ServiceName) {
        self.change(|status| status.services.retain(|s| s.name != *name));
    }

    /// Says that everything is being stopped, or has been.
    pub(crate) fn set_stopping(&self, done: bool) {
        self.change(|status| status.phase = if done { Phase::Stopped } else { Phase::Stopping });
    }

    fn change(&self, change: impl FnOnce(&mut Status)) {
        let mut picture = self.picture.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Status::clone(&picture);
        change(&mut next);
        next.revision += 1;
        if !matches!(next.phase, Phase::Stopping | Phase::Stopped) {
            next.phase = phase(&next.services);
        }
        *picture = Arc::new(next);
        // Told under the lock, so that an older revision never follows a newer one.
        self.revision.send_replace(picture.revision);
    }

    pub(crate) fn say(
        &self,
        service: Option<&ServiceName>,
        instance: Option<&InstanceId>,
        kind: &'static str,
        message: impl Into<String>,
    ) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let seq = events.back().map_or(0, |e| e.seq) + 1;
        if events.len() == EVENTS_MAX {
            events.pop_front();
        }
        events.push_back(Event {
            seq,
            at: Clock::wall(),
            service: service.cloned(),
            instance: instance.cloned(),
            kind,
            message: message.into(),
        });
        // Told under the lock, so that numbers never go back.
        self.last_event.send_replace(seq);
    }

    pub(crate) fn events(&self, after: u64) -> Vec<Event> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().filter(|e| e.seq > after).cloned().collect()
    }

    /// Waits for an event after number `after`. Cancel safe.
    pub(crate) async fn events_after(&self, after: u64) -> Vec<Event> {
        let mut last = self.last_event.subscribe();
        if last.wait_for(|seq| *seq > after).await.is_err() {
            std::future::pending::<()>().await;
        }
        self.events(after)
    }
}

fn sort(services: &mut [Arc<ServiceStatus>], order: &[ServiceName]) {
    let rank = |s: &ServiceName| order.iter().position(|o| o == s).unwrap_or(usize::MAX);
    services.sort_by_key(|s| rank(&s.name));
}

fn phase(services: &[Arc<ServiceStatus>]) -> Phase {
    let settled = |s: &ServiceStatus| {
        matches!(
            s.state,
            ServiceState::Ready
                | ServiceState::Completed
                | ServiceState::Scheduled
                | ServiceState::Stopped
        ) || matches!(s.kind, Kind::Cron(_))
    };
    let failing = |s: &ServiceStatus| {
        let error = s.problem.as_ref().is_some_and(|p| p.severity == Severity::Error);
        error || s.state == ServiceState::Failed
    };
    if services.iter().any(|s| failing(s)) {
        Phase::Degraded
    } else if services.iter().all(|s| settled(s)) {
        Phase::Ready
    } else {
        Phase::Starting
    }
}
