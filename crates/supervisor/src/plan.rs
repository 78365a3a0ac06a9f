//! What a changed file means for what runs, and the order in which to stop.

use crate::status::{Action, Change};
use base::ServiceName;
use manifest::{Service, System};
use std::collections::BTreeSet;

/// One entry for each service of either system, in the order of the new file, those to be removed last.
pub(crate) fn changes(old: &System, new: &System) -> Vec<Change> {
    let find = |system: &'_ System, name: &ServiceName| {
        system.services.iter().position(|s| s.name == *name)
    };
    let mut changes: Vec<Change> = new
        .services
        .iter()
        .map(|service| match find(old, &service.name) {
            Some(at) => compare(&old.services[at], service),
            None => change(service, Action::Start, vec!["new in the file".to_owned()]),
        })
        .collect();
    for service in old.services.iter().filter(|s| find(new, &s.name).is_none()) {
        changes.push(change(service, Action::Remove, vec!["no longer in the file".to_owned()]));
    }
    changes
}

fn compare(old: &Service, new: &Service) -> Change {
    let mut reasons =
        manifest::differences(&manifest::fingerprint(old), &manifest::fingerprint(new));
    if old.kind != new.kind {
        reasons.push("kind changed".to_owned());
    }
    let replace = !reasons.is_empty();
    let scale = old.instances != new.instances;
    if scale {
        reasons.push(format!("instances {} → {}", old.instances, new.instances));
    }
    let kept = reasons.len();
    let mut note = |differs: bool, what: &str| {
        if differs {
            reasons.push(format!("{what} changed"));
        }
    };
    note(old.probes != new.probes, "health");
    note(old.restart != new.restart, "restart");
    note(old.stop != new.stop, "stop");
    note(old.balance != new.balance, "balance");
    let action = if replace {
        Action::Replace
    } else if scale {
        Action::Scale
    } else if reasons.len() > kept {
        Action::Update
    } else {
        Action::Keep
    };
    change(new, action, reasons)
}

fn change(service: &Service, action: Action, reasons: Vec<String>) -> Change {
    Change { service: service.name.clone(), action, reasons }
}

/// Waves of services: each wave is needed by nobody that is stopped later. Circles cannot come from a
/// checked file; should there be one, its members stop together at the end.
pub(crate) fn stop_order(system: &System) -> Vec<BTreeSet<ServiceName>> {
    let mut left: BTreeSet<ServiceName> = system.services.iter().map(|s| s.name.clone()).collect();
    let mut waves = Vec::new();
    while !left.is_empty() {
        let needed: BTreeSet<ServiceName> = system
            .services
            .iter()
            .filter(|s| left.contains(&s.name))
            .flat_map(|s| s.needs.iter().map(|n| n.service.clone()))
            .collect();
        let mut wave: BTreeSet<ServiceName> = left.difference(&needed).cloned().collect();
        if wave.is_empty() {
            wave.clone_from(&left);
        }
        left.retain(|name| !wave.contains(name));
        waves.push(wave);
    }
    waves
}
