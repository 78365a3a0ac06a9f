//! From what the file says to what the machine and the host understand.

use base::{InstanceId, ServiceName};
use logic::{
    backoff::Backoff,
    instance::{self, Restart},
    probe,
    service::Desired,
};
use manifest::{AppProtocol, Database, Kind, Probe, Program, RestartPolicy, Service, StopSignal};
use ports::{
    host,
    traffic::{AppAddresses, AppWish},
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::Path,
};

/// How often a job that fails is tried again.
pub(crate) const JOB_RETRIES_MAX: u32 = 3;

/// The label under which a run carries what it was started from, so that a later node can tell what changed.
pub(crate) const FINGERPRINT: &str = "fingerprint";

/// The label under which a run carries where its needs were, so that a later node can tell whether it still
/// reaches them.
pub(crate) const NEEDS: &str = "needs";

/// The label under which a run carries where its app API was.
pub(crate) const APP: &str = "app";

const DAPR_HTTP_PORT: &str = "DAPR_HTTP_PORT";
const DAPR_GRPC_PORT: &str = "DAPR_GRPC_PORT";
const DAPR_HTTP_ENDPOINT: &str = "DAPR_HTTP_ENDPOINT";
const DAPR_GRPC_ENDPOINT: &str = "DAPR_GRPC_ENDPOINT";
const DAPR_API_TOKEN: &str = "DAPR_API_TOKEN";
const APP_API_TOKEN: &str = "APP_API_TOKEN";

/// What is wanted of `service`, with `count` instances.
pub(crate) fn desired(service: &Service, count: u32) -> Desired {
    let probes = &service.probes;
    let is_job = service.kind != Kind::Service;
    let same = match (&probes.startup, &probes.ready) {
        (Some(startup), Some(ready)) => startup.check == ready.check && ready.successes <= 1,
        _ => false,
    };
    Desired {
        count,
        policy: instance::Policy {
            restart: match service.restart.policy {
                RestartPolicy::Always => Restart::Always,
                RestartPolicy::OnFailure => Restart::OnFailure,
                RestartPolicy::Never => Restart::Never,
            },
            backoff: Backoff { first: service.restart.backoff, max: service.restart.backoff_max },
            reset_after: service.restart.reset_after,
            retries_max: is_job.then_some(JOB_RETRIES_MAX),
            drain: service.stop.drain,
            grace: service.stop.grace,
            startup: probes.startup.as_ref().map(probe_policy),
            ready: probes.ready.as_ref().map(probe_policy),
            live: probes.live.as_ref().map(probe_policy),
            startup_is_ready: same,
            routed: service.listens && !is_job,
        },
        // A job never runs twice at once: its second run must not meet the first one's half-done work.
        exclusive: is_job || is_exclusive(service),
    }
}

/// Whether two instances would fight over a port of this machine.
pub(crate) fn is_exclusive(service: &Service) -> bool {
    let has_fixed_app = service.api.http_port.is_some() || service.api.grpc_port.is_some();
    has_fixed_app
        || match &service.program {
            Program::Container(container) => !container.publish.is_empty(),
            Program::Shell(_) | Program::Exec(_) => service.port.is_some(),
            Program::External(_) => true,
        }
}

fn probe_policy(probe: &Probe) -> probe::Policy {
    probe::Policy {
        initial_delay: probe.initial_delay,
        period: probe.period,
        failures: probe.failures.max(1),
        successes: probe.successes.max(1),
    }
}

/// The program as the host takes it.
pub(crate) fn program(service: &Service, program: &Program) -> host::Program {
    match program {
        Program::Shell(line) => host::Program::Shell(line.clone()),
        Program::Exec(words) => host::Program::Exec(words.clone()),
        Program::Container(c) => host::Program::Container(host::Container {
            image: c.image.clone(),
            entrypoint: c.entrypoint.clone(),
            command: c.command.clone(),
            volumes: c.volumes.clone(),
            port: service.port,
            publish: c.publish.clone(),
            user: c.user.clone(),
            workdir: c.workdir.clone(),
        }),
        Program::External(external) => host::Program::External(external.address),
    }
}

/// What the environment of an instance is made from.
pub(crate) struct Surroundings<'a> {
    pub(crate) service: &'a Service,
    pub(crate) instance: &'a InstanceId,
    pub(crate) port: Option<u16>,
    pub(crate) needs: &'a [(ServiceName, SocketAddr)],
    pub(crate) app: AppAddresses,
    pub(crate) state_dir: &'a Path,
}

/// The environment of an instance, in which secrets still go by their names. What the file says wins over what
/// Flotilla gives.
pub(crate) fn environment(of: &Surroundings<'_>) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    let mut set = |key: &str, value: String| {
        env.insert(key.to_owned(), value);
    };
    set("FLOTILLA_SERVICE", of.service.name.to_string());
    set("FLOTILLA_INSTANCE", of.instance.to_string());
    // Output to a file is held back in blocks by Python; people wait for lines.
    set("PYTHONUNBUFFERED", "1".to_owned());
    if let Some(port) = inner_port(of.service, of.port) {
        set("PORT", port.to_string());
    }
    for (need, address) in of.needs {
        set(&need.url_variable(), format!("http://{address}"));
    }
    for (name, value) in app(of) {
        set(name, value);
    }
    match &of.service.db {
        Some(Database::Sqlite) => {
            let path = database_path(of.state_dir, &of.service.name);
            set("DATABASE_URL", format!("sqlite://{}", path.display()));
        }
        Some(Database::Url(url)) => set("DATABASE_URL", url.clone()),
        None => {}
    }
    env.extend(of.service.env.clone());
    env
}

/// What SDKs of the app API look for.
fn app(of: &Surroundings<'_>) -> Vec<(&'static str, String)> {
    let AppAddresses { http, grpc } = of.app;
    let api = &of.service.api;
    let protocol = match api.protocol {
        AppProtocol::Http => "http",
        AppProtocol::Https => "https",
        AppProtocol::Grpc => "grpc",
        AppProtocol::Grpcs => "grpcs",
        AppProtocol::H2c => "h2c",
    };
    let mut env = vec![
        ("APP_ID", api.app_id.clone()),
        ("APP_PROTOCOL", protocol.to_owned()),
        (DAPR_HTTP_PORT, http.port().to_string()),
        (DAPR_GRPC_PORT, grpc.port().to_string()),
        (DAPR_HTTP_ENDPOINT, format!("http://{http}")),
        (DAPR_GRPC_ENDPOINT, format!("http://{grpc}")),
    ];
    if let Some(port) = inner_port(of.service, of.port) {
        env.push(("APP_PORT", port.to_string()));
    }
    let tokens = [(DAPR_API_TOKEN, &api.token), (APP_API_TOKEN, &api.app_token)];
    for (name, token) in tokens {
        if let Some(token) = token {
            env.push((name, token.reveal().to_owned()));
        }
    }
    env
}

/// Which key of the file the variable `name` of an environment comes from.
pub(crate) fn key_of(service: &Service, name: &str) -> String {
    match name {
        name if service.env.contains_key(name) => format!("env.{name}"),
        DAPR_API_TOKEN => "api.token".to_owned(),
        APP_API_TOKEN => "api.app_token".to_owned(),
        "DATABASE_URL" => "db".to_owned(),
        _ => "env".to_owned(),
    }
}

/// What `service` asks for its app API.
pub(crate) fn app_wish(service: &Service, on: IpAddr) -> AppWish {
    AppWish { on, http: service.api.http_port, grpc: service.api.grpc_port }
}

/// The port as the program itself sees it: a container may have one inside that is another outside.
fn inner_port(service: &Service, outer: Option<u16>) -> Option<u16> {
    match service.program {
        Program::Container(_) => service.port.or(outer),
        Program::Shell(_) | Program::Exec(_) | Program::External(_) => outer,
    }
}

/// A service's own database, a file below the state folder.
pub fn database_path(state_dir: &Path, service: &ServiceName) -> std::path::PathBuf {
    state_dir.join("data").join(service.as_str()).join(format!("{service}.db"))
}

pub(crate) fn limits(service: &Service) -> host::Limits {
    host::Limits {
        cpu: service.limits.cpu,
        memory: service.limits.memory,
        pids: service.limits.pids,
    }
}

pub(crate) fn signal_name(signal: host::Signal) -> &'static str {
    match signal {
        host::Signal::Term => "SIGTERM",
        host::Signal::Int => "SIGINT",
        host::Signal::Quit => "SIGQUIT",
        host::Signal::Hup => "SIGHUP",
        host::Signal::Usr1 => "SIGUSR1",
        host::Signal::Usr2 => "SIGUSR2",
        host::Signal::Kill => "SIGKILL",
    }
}

pub(crate) fn stop_signal(service: &Service) -> host::Signal {
    match service.stop.signal {
        StopSignal::Term => host::Signal::Term,
        StopSignal::Int => host::Signal::Int,
        StopSignal::Quit => host::Signal::Quit,
        StopSignal::Hup => host::Signal::Hup,
        StopSignal::Usr1 => host::Signal::Usr1,
        StopSignal::Usr2 => host::Signal::Usr2,
        StopSignal::Kill => host::Signal::Kill,
    }
}

/// Writes a fingerprint as `key=hash` lines.
pub(crate) fn print_fingerprint(fingerprint: &BTreeMap<String, u64>) -> String {
    fingerprint.iter().map(|(key, hash)| format!("{key}={hash:x}\n")).collect()
}

/// Reads what [`print_fingerprint`] wrote; lines that do not fit are left out, which reads as a change.
pub(crate) fn read_fingerprint(text: &str) -> BTreeMap<String, u64> {
    text.lines()
        .filter_map(|line| line.rsplit_once('='))
        .filter_map(|(key, hash)| Some((key.to_owned(), u64::from_str_radix(hash, 16).ok()?)))
        .collect()
}

/// Writes where needs are as `<NEED>_URL=address` lines.
pub(crate) fn print_needs(needs: &[(ServiceName, SocketAddr)]) -> String {
    let line = |(need, address): &(ServiceName, SocketAddr)| {
        format!("{}={address}\n", need.url_variable())
    };
    needs.iter().map(line).collect()
}

/// Writes where an app API is as `DAPR_…_PORT=address` lines.
pub(crate) fn print_app(app: &AppAddresses) -> String {
    format!("{DAPR_HTTP_PORT}={}\n{DAPR_GRPC_PORT}={}\n", app.http, app.grpc)
}

/// Which variables of a run's environment lead to its app API no more, by its label and where that is by now. A
/// variable that the file sets is its own business.
pub(crate) fn moved_app(service: &Service, label: &str, app: &AppAddresses) -> Vec<&'static str> {
    let before = read_needs(label);
    let has_moved = |name: &str, address: SocketAddr| {
        before.iter().any(|(known, before)| known == name && *before != address)
    };
    let is_set = |name: &str| service.env.contains_key(name);
    let mut moved = Vec::new();
    for (port, endpoint, address) in [
        (DAPR_HTTP_PORT, DAPR_HTTP_ENDPOINT, app.http),
        (DAPR_GRPC_PORT, DAPR_GRPC_ENDPOINT, app.grpc),
    ] {
        if has_moved(port, address) && !(is_set(port) && is_set(endpoint)) {
            moved.push(port);
        }
    }
    moved
}

/// Reads what [`print_needs`] wrote; lines that do not fit are left out.
pub(crate) fn read_needs(text: &str) -> Vec<(String, SocketAddr)> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.filter_map(|(name, address)| Some((name.to_owned(), address.parse().ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_reads_back_what_it_prints() {
        let fingerprint = BTreeMap::from([("run".to_owned(), 7), ("env.A=B".to_owned(), u64::MAX)]);
        assert_eq!(read_fingerprint(&print_fingerprint(&fingerprint)), fingerprint);
        assert!(
            read_fingerprint("nonsense\n=\n").is_empty()
                || !read_fingerprint("x").contains_key("x")
        );
    }
}
