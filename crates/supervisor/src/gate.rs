//! What must have happened before the first instance of a service starts.

use crate::{
    status::{InstanceState, ServiceState, Status},
    unit::ONCE_FIRST,
};
use base::{Moment, ServiceName};
use manifest::{Condition, Service};
use std::time::Duration;

/// How far the build step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Build {
    /// There is none, or it is done.
    Done,
    /// To be run.
    Due,
    Running,
    Failed,
}

/// Opens when all needs were met once and the build is done. Needs that fail later do not close it: a
/// service must live with its needs restarting.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    waiting_for: Vec<ServiceName>,
    met: bool,
    /// Something of an earlier node is in the way.
    blocked: bool,
    build: Build,
    since: Moment,
    waited: Option<Duration>,
}

impl Gate {
    pub(crate) fn new(service: &Service, now: Moment) -> Self {
        Self {
            waiting_for: service.needs.iter().map(|n| n.service.clone()).collect(),
            met: service.needs.is_empty(),
            blocked: false,
            build: if service.build.is_some() { Build::Due } else { Build::Done },
            since: now,
            waited: None,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.met && !self.blocked && self.build == Build::Done
    }

    pub(crate) fn must_build(&self) -> bool {
        self.build == Build::Due && !self.blocked
    }

    pub(crate) fn block(&mut self) {
        self.blocked = true;
    }

    pub(crate) fn unblock(&mut self) {
        self.blocked = false;
    }

    pub(crate) fn is_building(&self) -> bool {
        self.build == Build::Running
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.build == Build::Failed
    }

    pub(crate) fn build_begins(&mut self) {
        self.build = Build::Running;
    }

    pub(crate) fn built(&mut self) {
        self.build = Build::Done;
    }

    pub(crate) fn skip_build(&mut self) {
        self.build = Build::Done;
    }

    pub(crate) fn build_failed(&mut self) {
        self.build = Build::Failed;
    }

    /// The program changed.
    pub(crate) fn build_again(&mut self) {
        self.build = Build::Due;
    }

    pub(crate) fn waiting_for(&self) -> &[ServiceName] {
        &self.waiting_for
    }

    /// How long the needs took, when they took any time worth telling.
    pub(crate) fn waited(&self) -> Option<Duration> {
        self.waited.filter(|waited| *waited >= Duration::from_millis(10))
    }

    /// The needs changed: those that are new must be met too.
    pub(crate) fn ask_needs_again(&mut self) {
        self.met = false;
    }

    /// Looks whether the needs are met.
    pub(crate) fn look(&mut self, service: &Service, status: &Status, now: Moment) {
        if self.met {
            return;
        }
        self.waiting_for = service
            .needs
            .iter()
            .filter(|need| !is_met(&need.service, need.condition, status))
            .map(|need| need.service.clone())
            .collect();
        self.met = self.waiting_for.is_empty();
        if self.met {
            self.waited.get_or_insert(now.since(self.since));
        }
    }
}

fn is_met(need: &ServiceName, condition: Condition, status: &Status) -> bool {
    let Some(service) = status.services.iter().find(|s| s.name == *need) else { return false };
    match condition {
        Condition::Started => service
            .instances
            .iter()
            .filter(|i| i.id.number < ONCE_FIRST)
            .any(|i| !matches!(i.state, InstanceState::Starting | InstanceState::Failed)),
        Condition::Ready => service.ready > 0,
        Condition::Completed => service.state == ServiceState::Completed,
    }
}
