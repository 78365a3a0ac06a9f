//! What the node in memory shows.

use super::*;

pub(super) fn broken_file() -> Vec<Diagnostic> {
    let place = Place {
        file: "flotilla.yaml".into(),
        line: 3,
        column: 5,
        length: 4,
        text: "    port: x".into(),
    };
    vec![
        Diagnostic::warning(Code::NOT_HONOURED, "`labels` is not honoured"),
        Diagnostic::error(Code::UNKNOWN_SERVICE, "`userz` is no service").help("write `users`"),
        Diagnostic::error(Code::WRONG_TYPE, "a number is expected").at(place, "this is text"),
    ]
}

pub(super) fn picture(revision: u64) -> Status {
    let name = ServiceName::new("users").unwrap();
    let instance = InstanceStatus {
        id: InstanceId { service: name.clone(), number: 1 },
        state: InstanceState::Ready,
        pid: Some(4711),
        port: Some(40_001),
        address: Some("127.0.0.1:40001".parse().unwrap()),
        started_at: Some(Timestamp(1_700_000_000_000_000)),
        ready_after: Some(Duration::from_millis(321)),
        restarts: 2,
        last_exit: Some("exit code 1".into()),
        next_start: None,
        adopted: true,
        outdated: false,
        usage: Some(Usage { cpu: 0.25, memory: ByteSize(7 << 20), processes: 1 }),
        message: String::new(),
    };
    let service = ServiceStatus {
        name: name.clone(),
        kind: manifest::Kind::Service,
        language: "rust".into(),
        state: ServiceState::Degraded,
        reason: "1 of 2 ready".into(),
        desired: 2,
        ready: 1,
        waited: Some(Duration::from_secs(1)),
        waiting_for: vec![name],
        next_run: None,
        problem: Some(Arc::new(Diagnostic::error(Code::CRASH_LOOP, "users/2 keeps crashing"))),
        instances: vec![instance],
    };
    let job = ServiceStatus {
        name: ServiceName::new("cleanup").unwrap(),
        kind: manifest::Kind::Cron("0 3 * * *".into()),
        state: ServiceState::Scheduled,
        next_run: Some(Timestamp(1_800_000_000_000_000)),
        problem: None,
        instances: Vec::new(),
        ..service.clone()
    };
    Status {
        revision,
        system: "shop".into(),
        phase: Phase::Ready,
        services: vec![Arc::new(service), Arc::new(job)],
    }
}
