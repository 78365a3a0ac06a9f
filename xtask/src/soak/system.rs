//! The system under load: a real node with a service of several instances, and what is done to them.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    bench::{
        client::Client,
        server::{Folder, Server, free_addresses, pause},
    },
    process,
};

/// Instances: with one killed at a time, most of them are always there.
pub(super) const INSTANCES: u64 = 4;

/// How long until all instances are ready, at the start and after a kill.
const READY_MAX: Duration = Duration::from_secs(30);

const YAML: &str = r#"
name: soak
services:
  users:
    run: ["ORIGIN"]
    dir: .
    instances: INSTANCES
    health: /ready
    env: { LEDGER: "FOLDER/ledger" }
    restart: { backoff: 50ms, backoff_max: 200ms }
gateway: { listen: "GATEWAY", routes: { /: users } }
admin: { listen: "ADMIN" }
"#;

/// A node that runs.
#[derive(Debug)]
pub(super) struct System {
    flotilla: PathBuf,
    node: Server,
    pub(super) gateway: SocketAddr,
    admin: SocketAddr,
    /// How many instances have been killed.
    pub(super) kills: usize,
}

/// What the node holds, as it says itself.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) connections: u64,
    pub(super) in_flight: u64,
}

impl Held {
    pub(super) fn is_nothing(&self) -> bool {
        self.connections == 0 && self.in_flight == 0
    }
}

impl System {
    pub(super) fn start(flotilla: &Path, origin: &Path) -> Result<Self> {
        let folder = Folder::new()?;
        let [gateway, admin] = free_addresses()?;
        let yaml = YAML
            .replace("ORIGIN", &origin.display().to_string())
            .replace("INSTANCES", &INSTANCES.to_string())
            .replace("FOLDER", &folder.path().display().to_string())
            .replace("GATEWAY", &gateway.to_string())
            .replace("ADMIN", &admin.to_string());
        folder.write("flotilla.yaml", &yaml)?;
        let command = [flotilla.display().to_string(), "up".to_owned()];
        let node = Server::start("flotilla", folder, &command, &[admin, gateway])?;
        let system = Self { flotilla: flotilla.to_owned(), node, gateway, admin, kills: 0 };
        let deadline = Instant::now() + READY_MAX;
        while !system.is_ready()? {
            if Instant::now() > deadline {
                bail!("the instances do not become ready:\n{}", system.node.output());
            }
            pause(Duration::from_millis(50));
        }
        Ok(system)
    }

    /// The node's process.
    pub(super) fn pid(&self) -> u32 {
        self.node.pid()
    }

    pub(super) fn is_alive(&self) -> bool {
        self.node.is_alive()
    }

    pub(super) fn output(&self) -> String {
        self.node.output()
    }

    /// Whether all instances take requests.
    pub(super) fn is_ready(&self) -> Result<bool> {
        let status = self.api("/v1/status")?;
        Ok(status["services"][0]["ready"] == INSTANCES)
    }

    /// Ends one instance as a crash would, in turn.
    pub(super) fn kill_one(&mut self) -> Result<()> {
        let status = self.api("/v1/status")?;
        let instances = status["services"][0]["instances"].as_array().context("no instances")?;
        let at = self.kills % instances.len().max(1);
        let pid = instances.get(at).and_then(|it| it["pid"].as_u64()).context("no process")?;
        if !process::succeeds(Command::new("kill").args(["-KILL", &pid.to_string()])) {
            bail!("cannot kill {pid}");
        }
        self.kills += 1;
        Ok(())
    }

    /// Replaces one instance in order: started anew, drained, stopped.
    pub(super) fn restart_one(&self, number: u64) -> Result<()> {
        self.command(&["restart", &format!("users/{}", number % INSTANCES + 1)])
    }

    /// Stops the system in order.
    pub(super) fn down(&self) -> Result<()> {
        self.command(&["down"])
    }

    /// What the node counts at this moment.
    pub(super) fn held(&self) -> Result<Held> {
        let traffic = self.api("/v1/traffic")?;
        let sum = |list: &Value, value: &dyn Fn(&Value) -> Option<u64>| {
            list.as_array().map_or(0, |list| list.iter().filter_map(value).sum())
        };
        let connections = sum(&traffic["listeners"], &|it| it["connections"].as_u64());
        let in_flight = sum(&traffic["services"], &|it| it["total"]["in_flight"].as_u64());
        Ok(Held { connections, in_flight })
    }

    /// Requests, errors and retries since the start, as the node counts them.
    pub(super) fn counts(&self) -> Result<[u64; 3]> {
        let traffic = self.api("/v1/traffic")?;
        let total = &traffic["services"][0]["total"];
        Ok(["requests", "errors", "retries"].map(|key| total[key].as_u64().unwrap_or(0)))
    }

    /// The ids that instances noted.
    pub(super) fn ledger(&self) -> Result<String> {
        let path = self.node.folder().path().join("ledger");
        if path.exists() {
            fs::read_to_string(path).context("no ledger")
        } else {
            Ok(String::new())
        }
    }

    fn command(&self, words: &[&str]) -> Result<()> {
        let mut command = Command::new(&self.flotilla);
        command.current_dir(self.node.folder().path()).args(words);
        if !process::succeeds(&mut command) {
            bail!("`flotilla {}` failed", words.join(" "));
        }
        Ok(())
    }

    fn api(&self, path: &str) -> Result<Value> {
        let token = self.node.folder().path().join(".flotilla/token");
        let token = fs::read_to_string(token).context("the node left no token")?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
            self.admin,
            token.trim()
        );
        let answer = Client::open(self.admin)
            .and_then(|mut client| client.ask(request.as_bytes()))
            .with_context(|| format!("the admin API does not answer {path}"))?;
        if answer.status != 200 {
            bail!("the admin API answers {path} with {}", answer.status);
        }
        serde_json::from_slice(&answer.body).context("the admin API's answer is no JSON")
    }
}
