//! Systems made in code.

use base::{Place, ServiceName};
use manifest::{
    Balance, Check, Condition, Gateway, Kind, Limits, Need, Probe, Probes, Program, Restart,
    RestartPolicy, Service, Stop, StopSignal, System,
};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// A service in the making.
#[derive(Clone)]
pub(crate) struct Make(pub(crate) Service);

pub(crate) fn name(text: &str) -> ServiceName {
    ServiceName::new(text).unwrap()
}

/// Asks the fake host `question` every second; `failures` in a row are bad.
pub(crate) fn probe(question: &str, failures: u32) -> Probe {
    Probe {
        check: Check::Command(Program::Shell(question.to_owned())),
        initial_delay: Duration::ZERO,
        period: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        failures,
        successes: 1,
    }
}

/// A service that runs `line` and is asked `ready?`.
pub(crate) fn service(service: &str, line: &str) -> Make {
    let ask = |failures| Some(probe("ready?", failures));
    Make(Service {
        name: name(service),
        kind: Kind::Service,
        dir: PathBuf::from("/"),
        program: Program::Shell(line.to_owned()),
        language: "shell".to_owned(),
        build: None,
        instances: 1,
        needs: Vec::new(),
        balance: Balance::default(),
        traffic: manifest::Traffic::default(),
        port: None,
        listens: true,
        probes: Probes { startup: ask(30), ready: ask(1), live: None },
        restart: Restart {
            policy: RestartPolicy::Always,
            backoff: Duration::from_millis(200),
            backoff_max: Duration::from_secs(60),
            reset_after: Duration::from_secs(60),
        },
        stop: Stop {
            drain: Duration::from_secs(10),
            grace: Duration::from_secs(30),
            signal: StopSignal::Term,
        },
        limits: Limits::default(),
        env: BTreeMap::new(),
        db: None,
        api: manifest::AppApi::new(service),
        config: None,
        places: ["", "run", "port", "build", "health.ready"]
            .map(|key| (key.to_owned(), place(key)))
            .into(),
    })
}

/// A job that runs `line` once.
pub(crate) fn job(name: &str, line: &str) -> Make {
    service(name, line).with(|s| {
        s.kind = Kind::Job;
        s.restart.policy = RestartPolicy::OnFailure;
        s.probes = Probes::default();
        s.listens = false;
    })
}

/// A job that runs `line` at every full minute.
pub(crate) fn cron_job(name: &str, line: &str) -> Make {
    job(name, line).with(|s| s.kind = Kind::Cron("* * * * *".to_owned()))
}

/// A place whose text is the key it belongs to.
fn place(key: &str) -> Place {
    Place { file: "flotilla.yaml".into(), line: 1, column: 1, length: 1, text: key.into() }
}

impl Make {
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Service)) -> Self {
        change(&mut self.0);
        self
    }

    pub(crate) fn instances(self, count: u32) -> Self {
        self.with(|s| s.instances = count)
    }

    pub(crate) fn needs(self, need: &str) -> Self {
        self.needs_until(need, Condition::Ready)
    }

    pub(crate) fn needs_until(self, need: &str, condition: Condition) -> Self {
        self.with(|s| s.needs.push(Need { service: name(need), condition }))
    }

    pub(crate) fn build(self, line: &str) -> Self {
        self.with(|s| s.build = Some(line.to_owned()))
    }

    pub(crate) fn env(self, key: &str, value: &str) -> Self {
        self.with(|s| {
            s.env.insert(key.to_owned(), value.to_owned());
        })
    }
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A system of these services, in a folder that no other test has, so that tests do not meet on ports.
pub(crate) fn system(services: &[Make]) -> System {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    System {
        name: "shop".to_owned(),
        root: PathBuf::from(format!("/nowhere/{}-{number}", std::process::id())),
        files: Vec::new(),
        services: services.iter().map(|make| make.0.clone()).collect(),
        gateway: Gateway::default(),
        admin: ([127, 0, 0, 1], 0).into(),
        admin_place: None,
        coordination: manifest::Coordination::default(),
        events: manifest::Events::default(),
        transactions: manifest::Transactions::default(),
    }
}
