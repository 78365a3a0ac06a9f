//! From a spec to the engine's request, and from a container's labels back to a run.
//!
//! Pure. The labels are all that a later node has, so everything a [`Run`] says stands there.

use crate::{Config, engine::Facts, network::Network};
use base::{Code, Diagnostic, InstanceId, Timestamp};
use bollard::models::{
    ContainerCreateBody, EndpointSettings, HostConfig, HostConfigLogConfig, NetworkingConfig,
    PortBinding, PortMap, RestartPolicy, RestartPolicyNameEnum,
};
use ports::host::{Container, Error, Limits, RunId, Spec};
use std::{
    collections::{BTreeMap, HashMap},
    path::{Component, Path},
};

pub(crate) const LABEL_SYSTEM: &str = "flotilla.system";
/// The state directory: tells checkouts of the same system apart.
pub(crate) const LABEL_HOME: &str = "flotilla.home";
const LABEL_INSTANCE: &str = "flotilla.instance";
const LABEL_RUN: &str = "flotilla.run";
const LABEL_PORT: &str = "flotilla.port";
const LABEL_INNER_PORT: &str = "flotilla.container-port";
/// Microseconds since 1970-01-01 UTC.
const LABEL_STARTED: &str = "flotilla.started";
/// The caller's labels as one JSON object, so that none can be mistaken for ours.
const LABEL_LABELS: &str = "flotilla.labels";

/// Size of one file of the engine's log and how many it keeps of a container. They bound the disk, and what a node may
/// miss while it is away: an hour of 200 lines a second at least. One file must hold what the fastest program prints in
/// [`crate::tail`]'s `LATE_MAX`: 400,000 lines with 100 bytes of wrapping each were seen.
pub(crate) const LOG_FILE_SIZE_MAX: &str = "64m";
const LOG_FILES_MAX: &str = "2";
/// The same as one number, for people.
pub(crate) const LOG_KEPT: &str = "128 MB";

/// The engine's bounds on a CPU limit, in cores.
const CPU_MIN: f64 = 0.01;

/// Makes docker-init signal the whole process group of its child, as [`ports::host::Host::signal`] promises.
const INIT_SIGNALS_GROUP: &str = "TINI_KILL_PROCESS_GROUP=1";

/// What the labels of a container say.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Labels {
    pub run: RunId,
    pub instance: InstanceId,
    pub port: Option<u16>,
    pub inner_port: Option<u16>,
    pub started_at: Timestamp,
    pub labels: BTreeMap<String, String>,
}

impl Labels {
    pub(crate) fn new(
        run: RunId,
        spec: &Spec,
        container: &Container,
        started_at: Timestamp,
    ) -> Self {
        Self {
            run,
            instance: spec.instance.clone(),
            port: spec.port,
            inner_port: container.port.or(spec.port),
            started_at,
            labels: spec.labels.clone(),
        }
    }

    pub(crate) fn write(&self, config: &Config) -> HashMap<String, String> {
        let mut map = HashMap::from([
            (LABEL_SYSTEM.to_owned(), config.system.clone()),
            (LABEL_HOME.to_owned(), config.state_dir.to_string_lossy().into_owned()),
            (LABEL_RUN.to_owned(), self.run.0.to_string()),
            (LABEL_INSTANCE.to_owned(), self.instance.to_string()),
            (LABEL_STARTED.to_owned(), self.started_at.0.to_string()),
            (
                LABEL_LABELS.to_owned(),
                serde_json::Value::from_iter(self.labels.clone()).to_string(),
            ),
        ]);
        for (label, port) in [(LABEL_PORT, self.port), (LABEL_INNER_PORT, self.inner_port)] {
            if let Some(port) = port {
                map.insert(label.to_owned(), port.to_string());
            }
        }
        map
    }

    /// Reads what `write` wrote; `None` when somebody else wrote it.
    pub(crate) fn read(map: &HashMap<String, String>) -> Option<Self> {
        let port = |label| map.get(label).and_then(|text| text.parse().ok());
        let labels: serde_json::Value = serde_json::from_str(map.get(LABEL_LABELS)?).ok()?;
        Some(Self {
            run: RunId(map.get(LABEL_RUN)?.as_str().into()),
            instance: InstanceId::parse(map.get(LABEL_INSTANCE)?).ok()?,
            port: port(LABEL_PORT),
            inner_port: port(LABEL_INNER_PORT),
            started_at: Timestamp(map.get(LABEL_STARTED)?.parse().ok()?),
            labels: labels
                .as_object()?
                .iter()
                .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
                .collect(),
        })
    }
}

/// The filter that finds this system's containers and networks.
pub(crate) fn own(config: &Config) -> HashMap<String, Vec<String>> {
    let home = config.state_dir.to_string_lossy();
    HashMap::from([(
        "label".to_owned(),
        vec![format!("{LABEL_SYSTEM}={}", config.system), format!("{LABEL_HOME}={home}")],
    )])
}

/// `text` with every character that the engine does not allow in a name replaced.
pub(crate) fn safe_name(text: &str) -> String {
    let safe =
        |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    text.chars().map(|c| safe(c.to_ascii_lowercase())).collect()
}

/// A container name, which is also the run's: unique over restarts by its last part.
pub(crate) fn run_id(config: &Config, instance: &InstanceId, random: [u8; 4]) -> RunId {
    let random = u32::from_be_bytes(random);
    let system = safe_name(&config.system);
    RunId(format!("flotilla-{system}-{}-{}-{random:08x}", instance.service, instance.number).into())
}

/// The request that creates the container.
pub(crate) fn body(
    spec: &Spec,
    container: &Container,
    labels: HashMap<String, String>,
    facts: &Facts,
    network: &Network,
) -> Result<ContainerCreateBody, Error> {
    let (binds, volumes) = mounts(&container.volumes, &spec.dir)?;
    let (exposed, bindings) = published(spec, container);
    let mut env: Vec<_> = spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if facts.has_init {
        env.push(INIT_SIGNALS_GROUP.to_owned());
    }
    let aliases = vec![spec.instance.service.to_string()];
    let endpoint = EndpointSettings { aliases: Some(aliases), ..EndpointSettings::default() };
    let this_machine =
        network.gateway.map_or_else(|| "host-gateway".to_owned(), |ip| ip.to_string());
    let log = [("max-size", LOG_FILE_SIZE_MAX), ("max-file", LOG_FILES_MAX)];
    let host = HostConfig {
        binds: Some(binds),
        port_bindings: Some(bindings),
        network_mode: Some(network.name.clone()),
        extra_hosts: Some(vec![format!("host.docker.internal:{this_machine}")]),
        init: Some(facts.has_init),
        auto_remove: Some(false),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(log.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
        }),
        ..limits(&spec.limits, facts)
    };
    Ok(ContainerCreateBody {
        image: Some(container.image.clone()),
        entrypoint: container.entrypoint.clone(),
        cmd: container.command.clone(),
        user: container.user.clone(),
        working_dir: container.workdir.clone(),
        env: Some(env),
        labels: Some(labels),
        exposed_ports: Some(exposed),
        volumes: Some(volumes),
        host_config: Some(host),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(network.name.clone(), endpoint)])),
        }),
        ..ContainerCreateBody::default()
    })
}

/// The limits the engine can enforce; it refuses a start with one that it cannot.
fn limits(limits: &Limits, facts: &Facts) -> HostConfig {
    let mut host = HostConfig::default();
    if let Some(cores) = limits.cpu.filter(|_| facts.limits_cpu) {
        // The engine refuses more cores than there are, where the limit means nothing anyway.
        let nanos = cores.clamp(CPU_MIN, f64::from(facts.cpus)) * 1e9;
        #[expect(clippy::cast_possible_truncation, reason = "clamped to 1e7 ..= 4e18")]
        let nanos = nanos.round() as i64;
        host.nano_cpus = Some(nanos);
    }
    if let Some(size) = limits.memory.filter(|_| facts.limits_memory) {
        let bytes = i64::try_from(size.0).unwrap_or(i64::MAX);
        host.memory = Some(bytes);
        // Without this a container gets as much swap again on top of its limit.
        host.memory_swap = facts.limits_swap.then_some(bytes);
    }
    if let Some(count) = limits.pids.filter(|_| facts.limits_pids) {
        host.pids_limit = Some(i64::try_from(count).unwrap_or(i64::MAX));
    }
    host
}

/// Exposed ports and their bindings, all on loopback: what others shall reach goes through the gateway.
fn published(spec: &Spec, container: &Container) -> (Vec<String>, PortMap) {
    let own = spec.port.map(|port| (port, container.port.unwrap_or(port)));
    let mut exposed = Vec::new();
    let mut map = PortMap::new();
    for (outer, inner) in own.into_iter().chain(container.publish.iter().copied()) {
        let inner = format!("{inner}/tcp");
        let binding = PortBinding {
            host_ip: Some("127.0.0.1".to_owned()),
            host_port: Some(outer.to_string()),
        };
        if !exposed.contains(&inner) {
            exposed.push(inner.clone());
        }
        map.entry(inner).or_default().get_or_insert_default().push(binding);
    }
    (exposed, map)
}

/// Splits mounts into binds and anonymous volumes, relative sources resolved against `dir`.
fn mounts(volumes: &[String], dir: &Path) -> Result<(Vec<String>, Vec<String>), Error> {
    let mut binds = Vec::new();
    let mut anonymous = Vec::new();
    for volume in volumes {
        match volume.split_once(':') {
            None if volume.starts_with('/') => anonymous.push(volume.clone()),
            Some((source, target)) if !source.is_empty() && target.starts_with('/') => {
                // Only what looks like a path is one; a bare word is the name of a volume.
                let source = if source.contains('/') || source.starts_with('.') {
                    plain(&dir.join(source))
                } else {
                    source.to_owned()
                };
                binds.push(format!("{source}:{target}"));
            }
            None | Some(_) => {
                return Err(Error::Refused(Box::new(
                    Diagnostic::error(Code::BAD_VALUE, format!("`{volume}` is not a mount"))
                        .help("write `source:/target` or `source:/target:ro`"),
                )));
            }
        }
    }
    Ok((binds, anonymous))
}

/// The path without `.` and `..`, which the engine refuses; nothing is asked of the disk.
fn plain(path: &Path) -> String {
    let mut parts: Vec<&std::ffi::OsStr> = Vec::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(parts.pop()),
            Component::Normal(name) => parts.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    parts.iter().fold(String::new(), |text, part| format!("{text}/{}", part.to_string_lossy()))
}

#[cfg(test)]
mod tests;
