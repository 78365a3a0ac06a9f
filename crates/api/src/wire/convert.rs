//! From the inside to the wire.

use super::{
    Action, Change, Diagnostic, Instance, InstanceState, Kind, Phase, Place, Service, ServiceState,
    Severity, Status, Time, Usage,
};
use std::time::Duration;
use supervisor::status as inside;

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl From<&inside::Status> for Status {
    fn from(status: &inside::Status) -> Self {
        Self {
            revision: status.revision,
            system: status.system.clone(),
            phase: status.phase.into(),
            services: status.services.iter().map(|service| Service::from(&**service)).collect(),
        }
    }
}

impl From<inside::Phase> for Phase {
    fn from(phase: inside::Phase) -> Self {
        match phase {
            inside::Phase::Starting => Self::Starting,
            inside::Phase::Ready => Self::Ready,
            inside::Phase::Degraded => Self::Degraded,
            inside::Phase::Stopping => Self::Stopping,
            inside::Phase::Stopped => Self::Stopped,
        }
    }
}

impl From<&inside::ServiceStatus> for Service {
    fn from(service: &inside::ServiceStatus) -> Self {
        let (kind, schedule) = match &service.kind {
            manifest::Kind::Service => (Kind::Service, None),
            manifest::Kind::Job => (Kind::Job, None),
            manifest::Kind::Cron(schedule) => (Kind::Cron, Some(schedule.clone())),
        };
        Self {
            name: service.name.to_string(),
            kind,
            schedule,
            language: service.language.clone(),
            state: service.state.into(),
            reason: service.reason.clone(),
            desired: service.desired,
            ready: service.ready,
            waited_ms: service.waited.map(millis),
            waiting_for: service.waiting_for.iter().map(ToString::to_string).collect(),
            next_run: service.next_run.map(Time),
            problem: service.problem.as_deref().map(Diagnostic::from),
            instances: service.instances.iter().map(Instance::from).collect(),
        }
    }
}

impl From<inside::ServiceState> for ServiceState {
    fn from(state: inside::ServiceState) -> Self {
        match state {
            inside::ServiceState::Waiting => Self::Waiting,
            inside::ServiceState::Building => Self::Building,
            inside::ServiceState::Starting => Self::Starting,
            inside::ServiceState::Ready => Self::Ready,
            inside::ServiceState::Updating => Self::Updating,
            inside::ServiceState::Degraded => Self::Degraded,
            inside::ServiceState::Failed => Self::Failed,
            inside::ServiceState::Completed => Self::Completed,
            inside::ServiceState::Scheduled => Self::Scheduled,
            inside::ServiceState::Stopping => Self::Stopping,
            inside::ServiceState::Stopped => Self::Stopped,
        }
    }
}

impl From<&inside::InstanceStatus> for Instance {
    fn from(instance: &inside::InstanceStatus) -> Self {
        Self {
            id: instance.id.to_string(),
            service: instance.id.service.to_string(),
            number: instance.id.number,
            state: instance.state.into(),
            pid: instance.pid,
            port: instance.port,
            address: instance.address.map(|address| address.to_string()),
            started_at: instance.started_at.map(Time),
            ready_after_ms: instance.ready_after.map(millis),
            restarts: instance.restarts,
            last_exit: instance.last_exit.clone(),
            next_start: instance.next_start.map(Time),
            adopted: instance.adopted,
            outdated: instance.outdated,
            usage: instance.usage.map(|usage| Usage {
                cpu_cores: usage.cpu,
                memory_bytes: usage.memory.0,
                processes: usage.processes,
            }),
            message: instance.message.clone(),
        }
    }
}

impl From<inside::InstanceState> for InstanceState {
    fn from(state: inside::InstanceState) -> Self {
        match state {
            inside::InstanceState::Starting => Self::Starting,
            inside::InstanceState::Started => Self::Started,
            inside::InstanceState::Unready => Self::Unready,
            inside::InstanceState::Ready => Self::Ready,
            inside::InstanceState::Draining => Self::Draining,
            inside::InstanceState::Stopping => Self::Stopping,
            inside::InstanceState::Backoff => Self::Backoff,
            inside::InstanceState::CrashLoop => Self::CrashLoop,
            inside::InstanceState::Failed => Self::Failed,
            inside::InstanceState::Completed => Self::Completed,
        }
    }
}

impl From<&inside::Change> for Change {
    fn from(change: &inside::Change) -> Self {
        Self {
            service: change.service.to_string(),
            action: match change.action {
                inside::Action::Start => Action::Start,
                inside::Action::Replace => Action::Replace,
                inside::Action::Scale => Action::Scale,
                inside::Action::Update => Action::Update,
                inside::Action::Remove => Action::Remove,
                inside::Action::Keep => Action::Keep,
            },
            reasons: change.reasons.clone(),
        }
    }
}

impl From<&base::Diagnostic> for Diagnostic {
    fn from(diagnostic: &base::Diagnostic) -> Self {
        Self {
            code: diagnostic.code.to_string(),
            severity: match diagnostic.severity {
                base::Severity::Warning => Severity::Warning,
                base::Severity::Error => Severity::Error,
            },
            message: diagnostic.message.clone(),
            place: diagnostic.place.as_ref().map(|place| Place {
                file: place.file.to_string(),
                line: place.line,
                column: place.column,
                length: place.length,
                text: place.text.to_string(),
            }),
            label: diagnostic.label.clone(),
            notes: diagnostic.notes.clone(),
            help: diagnostic.help.clone(),
            rendered: diagnostic.render(false),
        }
    }
}

/// Back again, for a client that renders in colours. A code that this version does not know becomes the number in it.
impl From<&Diagnostic> for base::Diagnostic {
    fn from(diagnostic: &Diagnostic) -> Self {
        let number = diagnostic.code.get(1..).and_then(|number| number.parse().ok());
        Self {
            code: base::Code(number.unwrap_or_default()),
            severity: match diagnostic.severity {
                Severity::Warning => base::Severity::Warning,
                Severity::Error => base::Severity::Error,
            },
            message: diagnostic.message.clone(),
            place: diagnostic.place.as_ref().map(|place| base::Place {
                file: place.file.as_str().into(),
                line: place.line,
                column: place.column,
                length: place.length,
                text: place.text.as_str().into(),
            }),
            label: diagnostic.label.clone(),
            notes: diagnostic.notes.clone(),
            help: diagnostic.help.clone(),
        }
    }
}
