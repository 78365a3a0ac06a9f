//! Pictures of systems for tests.

use api::wire;

/// A service in a state, with the first `ready` of its instances ready.
pub(crate) fn service(
    name: &str,
    state: wire::ServiceState,
    ready: u32,
    desired: u32,
) -> wire::Service {
    let instances = (1..=desired)
        .map(|number| {
            let state = if number <= ready {
                wire::InstanceState::Ready
            } else {
                wire::InstanceState::Starting
            };
            instance(name, number, state)
        })
        .collect();
    wire::Service {
        name: name.to_owned(),
        kind: wire::Kind::Service,
        schedule: None,
        language: "rust".to_owned(),
        state,
        reason: String::new(),
        desired,
        ready,
        waited_ms: None,
        waiting_for: Vec::new(),
        next_run: None,
        problem: None,
        instances,
    }
}

/// An instance in a state; its port comes from its number.
pub(crate) fn instance(service: &str, number: u32, state: wire::InstanceState) -> wire::Instance {
    wire::Instance {
        id: format!("{service}/{number}"),
        service: service.to_owned(),
        number,
        state,
        pid: Some(4_000 + number),
        port: u16::try_from(41_000 + number).ok(),
        address: u16::try_from(41_000 + number).ok().map(|port| format!("127.0.0.1:{port}")),
        started_at: Some(wire::Time(base::Timestamp(60_000_000))),
        ready_after_ms: (state == wire::InstanceState::Ready).then_some(410),
        restarts: 0,
        last_exit: None,
        next_start: None,
        adopted: false,
        outdated: false,
        usage: None,
        message: String::new(),
    }
}

/// A whole system.
pub(crate) fn status(
    revision: u64,
    phase: wire::Phase,
    services: Vec<wire::Service>,
) -> wire::Status {
    wire::Status { revision, system: "shop".to_owned(), phase, services }
}

/// A problem without a place.
pub(crate) fn problem(message: &str) -> wire::Diagnostic {
    wire::Diagnostic::from(&base::Diagnostic::error(base::Code::NOT_READY, message))
}
