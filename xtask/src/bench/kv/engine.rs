//! Who is measured, and how each is started.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::table::{Kind, Scenario};
use crate::{
    bench::{
        server::{Folder, Server, free_addresses},
        usage,
    },
    process,
};

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    /// One append and one sync after the other: what bounds them all.
    Disk,
    Embedded,
    Etcd,
    Redis,
}

impl Engine {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Embedded => "flotilla",
            Self::Etcd => "etcd",
            Self::Redis => "redis",
        }
    }

    /// One that may be left out.
    pub(super) fn peer(name: &str) -> Result<Self> {
        match name {
            "etcd" => Ok(Self::Etcd),
            "redis" => Ok(Self::Redis),
            _ => bail!("there is no peer `{name}`: etcd, redis"),
        }
    }

    /// How to get it, if it is not there.
    pub(super) fn missing(self) -> Option<&'static str> {
        match self {
            Self::Disk | Self::Embedded => None,
            Self::Etcd if process::which("etcd").is_some() => None,
            Self::Etcd => Some("not installed: apt-get install etcd-server"),
            Self::Redis if process::which("redis-server").is_some() => None,
            Self::Redis => Some(
                "not installed: apt-get install redis-server (and `systemctl disable --now redis-server`)",
            ),
        }
    }
}

/// What one run gave.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    /// As the program printed it.
    pub(super) values: Value,
    /// CPU time in seconds of the engine (and its callers, where they are in its process).
    pub(super) cpu: f64,
}

impl Figures {
    pub(super) fn value(&self, name: &str) -> Option<f64> {
        match name {
            // CPU time for each call, in microseconds.
            "cpu_us" => Some(self.cpu * 1e6 / self.value("count")?),
            name => self.values[name].as_f64(),
        }
    }
}

/// Starts an engine on an empty folder and puts it under load.
pub(super) fn measure(
    engine: Engine,
    scenario: &Scenario,
    seconds: u32,
    binaries: &Path,
) -> Result<Figures> {
    let folder = Folder::new()?;
    let store = folder.path().join("store").display().to_string();
    let ours = |engine: &str, place: &str, what: &str| {
        let mut command = Command::new(binaries.join("kv_load"));
        command.args([engine, place, what, &scenario.clients.to_string(), &seconds.to_string()]);
        command
    };
    match (engine, scenario.kind) {
        (Engine::Disk, _) => run(&mut ours("disk", &store, "writes")),
        (Engine::Embedded, Kind::Load(what)) => run(&mut ours("embedded", &store, what)),
        (Engine::Embedded, Kind::Open { is_killed }) => {
            // It ends itself as if it were killed, so its end says nothing.
            let filled = run(&mut ours("embedded", &store, "fill"))?;
            if !is_killed {
                run(&mut ours("embedded", &store, "open"))?;
            }
            let mut opened = run(&mut ours("embedded", &store, "open"))?;
            opened.values["fill_memory_mb"] = filled.values["memory_mb"].clone();
            Ok(opened)
        }
        (Engine::Etcd, Kind::Load(what)) => {
            let (server, address) = etcd()?;
            let mut command = Command::new(binaries.join("kv_load_etcd"));
            let clients = scenario.clients.to_string();
            command.args([&address, what, &clients, &seconds.to_string()]);
            beside(&server, &mut command)
        }
        (Engine::Redis, Kind::Load(what)) => {
            let (server, address) = redis()?;
            beside(&server, &mut ours("redis", &address, what))
        }
        (Engine::Etcd | Engine::Redis, Kind::Open { .. }) => {
            bail!("{} is not measured so", engine.name())
        }
    }
}

/// Runs a program that prints its figures. The CPU time is its own.
fn run(command: &mut Command) -> Result<Figures> {
    let before = usage::own_cpu()?;
    let values = figures(command)?;
    Ok(Figures { values, cpu: usage::own_cpu()? - before })
}

/// Runs a program against a server. The CPU time is the server's.
fn beside(server: &Server, command: &mut Command) -> Result<Figures> {
    let before = usage::cpu(server.pid())?;
    let values = figures(command).with_context(|| server.output())?;
    Ok(Figures { values, cpu: usage::cpu(server.pid())?.since(before).total() })
}

fn figures(command: &mut Command) -> Result<Value> {
    let output = command.stderr(Stdio::inherit()).output().context("cannot start the load")?;
    let text = String::from_utf8(output.stdout).context("the load prints no text")?;
    let line = text.lines().last().context("the load failed: see above")?;
    serde_json::from_str(line).with_context(|| format!("the load printed `{line}`"))
}

fn etcd() -> Result<(Server, String)> {
    let program = process::which("etcd").context("etcd is not installed")?;
    let folder = Folder::new()?;
    let [client, peer] = free_addresses()?;
    let data = folder.path().join("data").display().to_string();
    let (client_url, peer_url) = (format!("http://{client}"), format!("http://{peer}"));
    let command = [
        &program.display().to_string(),
        "--name=one",
        &format!("--data-dir={data}"),
        &format!("--listen-client-urls={client_url}"),
        &format!("--advertise-client-urls={client_url}"),
        &format!("--listen-peer-urls={peer_url}"),
        &format!("--initial-advertise-peer-urls={peer_url}"),
        &format!("--initial-cluster=one={peer_url}"),
        "--log-level=error",
    ];
    let command = command.map(str::to_owned);
    Ok((Server::start("etcd", folder, &command, &[client])?, client.to_string()))
}

fn redis() -> Result<(Server, String)> {
    let program = process::which("redis-server").context("redis-server is not installed")?;
    let folder = Folder::new()?;
    let [address] = free_addresses()?;
    let command = [
        &program.display().to_string(),
        "--bind",
        "127.0.0.1",
        "--port",
        &address.port().to_string(),
        "--dir",
        &folder.path().display().to_string(),
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--save",
        "",
    ];
    let command = command.map(str::to_owned);
    Ok((Server::start("redis-server", folder, &command, &[address])?, address.to_string()))
}
