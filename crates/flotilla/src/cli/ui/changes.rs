//! What changed between two pictures of the system, as plain lines: for pipes, log files and CI.

use crate::cli::words;
use api::wire;
use std::time::Duration;

/// One line a change, in the order of the file. `old` is `None` for the first picture.
pub(crate) fn changes(
    old: Option<&wire::Status>,
    new: &wire::Status,
    shown: &dyn Fn(&str) -> bool,
) -> Vec<String> {
    let mut lines = Vec::new();
    for service in new.services.iter().filter(|s| shown(&s.name)) {
        let before = old.and_then(|old| old.services.iter().find(|s| s.name == service.name));
        for instance in &service.instances {
            let earlier = before.and_then(|b| b.instances.iter().find(|i| i.id == instance.id));
            lines.extend(match (service.kind, instance.state) {
                (wire::Kind::Service, _) => instance_line(earlier, instance),
                // A job serves nobody: it is never ready, and on its way to its end it is not being stopped.
                (_, wire::InstanceState::Ready | wire::InstanceState::Stopping) => None,
                _ => instance_line(earlier, instance),
            });
        }
        for gone in before.map_or(&[][..], |b| &b.instances) {
            if !service.instances.iter().any(|i| i.id == gone.id) {
                lines.push(format!("{} stopped", gone.id));
            }
        }
        lines.extend(service_line(before, service));
    }
    for gone in old.map_or(&[][..], |old| &old.services) {
        if shown(&gone.name) && !new.services.iter().any(|s| s.name == gone.name) {
            lines.push(format!("{} removed", gone.name));
        }
    }
    lines
}

fn instance_line(old: Option<&wire::Instance>, new: &wire::Instance) -> Option<String> {
    if old.is_some_and(|old| old.state == new.state && old.restarts == new.restarts) {
        return None;
    }
    let id = &new.id;
    let exit = new.last_exit.as_deref().unwrap_or("ended");
    let said = if new.message.is_empty() { String::new() } else { format!(": {}", new.message) };
    Some(match new.state {
        wire::InstanceState::Ready if new.adopted && old.is_none() => {
            format!("{id} ready, adopted from the earlier node")
        }
        wire::InstanceState::Ready => match new.ready_after_ms {
            Some(ms) => format!("{id} ready in {}", words::duration(Duration::from_millis(ms))),
            None => format!("{id} ready"),
        },
        wire::InstanceState::Starting => format!("{id} starting"),
        // Between two pictures it went on from starting, which was said.
        wire::InstanceState::Started if old.is_some() => return None,
        wire::InstanceState::Started => format!("{id} starting"),
        wire::InstanceState::Unready => format!("{id} unready{said}"),
        wire::InstanceState::Backoff => format!("{id} {exit}, starts again soon"),
        wire::InstanceState::CrashLoop => format!("{id} crash loop: {exit}"),
        wire::InstanceState::Draining => format!("{id} draining"),
        wire::InstanceState::Stopping => format!("{id} stopping"),
        wire::InstanceState::Failed => format!("{id} failed{said}"),
        wire::InstanceState::Completed => format!("{id} completed"),
    })
}

/// Only what the instances do not say.
fn service_line(old: Option<&wire::Service>, new: &wire::Service) -> Option<String> {
    if old.is_some_and(|old| old.state == new.state && old.waiting_for == new.waiting_for) {
        return None;
    }
    let name = &new.name;
    let why = if new.reason.is_empty() { String::new() } else { format!(": {}", new.reason) };
    match new.state {
        wire::ServiceState::Waiting => {
            Some(format!("{name} waiting for {}", new.waiting_for.join(", ")))
        }
        wire::ServiceState::Building => Some(format!("{name} building{why}")),
        wire::ServiceState::Failed => Some(format!("{name} failed{why}")),
        wire::ServiceState::Degraded => {
            Some(format!("{name} degraded, {}/{} ready{why}", new.ready, new.desired))
        }
        wire::ServiceState::Updating => Some(format!("{name} updating{why}")),
        wire::ServiceState::Ready if new.desired != 1 => {
            Some(format!("{name} ready, {}/{}", new.ready, new.desired))
        }
        wire::ServiceState::Stopped => Some(format!("{name} stopped{why}")),
        wire::ServiceState::Scheduled => Some(new.next_run.map_or_else(
            || format!("{name} scheduled"),
            |t| format!("{name} scheduled, next run {}", words::minute(t)),
        )),
        wire::ServiceState::Ready
        | wire::ServiceState::Starting
        | wire::ServiceState::Completed
        | wire::ServiceState::Stopping => None,
    }
}

#[cfg(test)]
#[path = "changes/tests.rs"]
mod tests;
