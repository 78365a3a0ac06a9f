//! The system under load: a real node, a service whose handlers do nothing, and definitions of each protocol.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::bench::{
    client::{Answer, Client},
    server::{Folder, Server, free_addresses, pause},
};

/// How long until the node takes submissions.
const READY_MAX: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// `/0` is answered with nothing, whatever is asked: done, yes, confirmed.
const YAML: &str = r#"
name: bench
services:
  items: { run: ["ORIGIN"], dir: ., health: /0 }
admin: { listen: "ADMIN" }
transactions:
  dtm: { http: "DTM", grpc: "GRPC" }
  saga:
    steps:
      - { id: reserve, call: POST items/0, undo: POST items/0 }
      - { id: charge, call: POST items/0, undo: POST items/0 }
  tcc:
    mode: tcc
    steps:
      - { id: from, try: POST items/0, confirm: POST items/0, cancel: POST items/0 }
      - { id: to, try: POST items/0, confirm: POST items/0, cancel: POST items/0 }
  two:
    mode: 2pc
    steps:
      - { id: a, participant: items/0 }
      - { id: b, participant: items/0 }
  three:
    mode: 3pc
    steps:
      - { id: a, participant: items/0 }
      - { id: b, participant: items/0 }
  classic:
    mode: 3pc
    profile: classic
    steps:
      - { id: a, participant: items/0 }
      - { id: b, participant: items/0 }
  stuck:
    retry: { base: 30s, max: 30s }
    steps:
      - { id: reserve, call: "POST http://AWAY/0", undo: "POST http://AWAY/0" }
      - { id: charge, call: "POST http://AWAY/0", undo: "POST http://AWAY/0" }
"#;

/// A node that runs.
#[derive(Debug)]
pub(super) struct System {
    flotilla: PathBuf,
    folder: PathBuf,
    /// The app API of the service's only instance.
    pub(super) app: SocketAddr,
    pub(super) dtm: SocketAddr,
    /// Where the participants of `stuck` are when they are there.
    pub(super) away: SocketAddr,
    admin: SocketAddr,
    /// The node that runs. Ends before the one that the folder belongs to.
    again: Option<Server>,
    node: Server,
}

impl System {
    pub(super) fn start(flotilla: &Path, origin: &Path) -> Result<Self> {
        let folder = Folder::new()?;
        let [admin, dtm, grpc, away] = free_addresses()?;
        let yaml = YAML
            .replace("ORIGIN", &origin.display().to_string())
            .replace("ADMIN", &admin.to_string())
            .replace("DTM", &dtm.to_string())
            .replace("GRPC", &grpc.to_string())
            .replace("AWAY", &away.to_string());
        folder.write("flotilla.yaml", &yaml)?;
        let path = folder.path().to_owned();
        let command = [flotilla.display().to_string(), "up".to_owned()];
        let node = Server::start("flotilla", folder, &command, &[admin, dtm])?;
        let mut system = Self {
            flotilla: flotilla.to_owned(),
            folder: path,
            app: admin,
            dtm,
            away,
            admin,
            again: None,
            node,
        };
        system.until("it takes no submissions", |system| {
            system.app = app(&system.folder)?;
            let request = super::load::Load::Waits("saga").request(system.app);
            let answer = Client::open(system.app)?.ask(request.as_bytes())?;
            if answer.status == 201 {
                Ok(())
            } else {
                bail!("{} {}", answer.status, String::from_utf8_lossy(&answer.body))
            }
        })?;
        Ok(system)
    }

    fn server(&self) -> &Server {
        self.again.as_ref().unwrap_or(&self.node)
    }

    /// The node's process.
    pub(super) fn pid(&self) -> u32 {
        self.server().pid()
    }

    pub(super) fn output(&self) -> String {
        self.server().output()
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts the node again after it was killed, in the same folder. Does not wait until it serves.
    pub(super) fn start_again(&mut self) -> Result<()> {
        let command = [
            "sh",
            "-c",
            "cd \"$1\" && exec \"$2\" up",
            "sh",
            &self.folder.display().to_string(),
            &self.flotilla.display().to_string(),
        ];
        let command = command.map(str::to_owned);
        self.again = Some(Server::start("flotilla", Folder::new()?, &command, &[])?);
        Ok(())
    }

    /// Asks until it is answered as wanted, and says how long that took.
    pub(super) fn until(
        &mut self,
        otherwise: &str,
        mut works: impl FnMut(&mut Self) -> Result<()>,
    ) -> Result<Duration> {
        let start = Instant::now();
        loop {
            let Err(error) = works(self) else { return Ok(start.elapsed()) };
            if !self.server().is_alive() {
                bail!("the node ended:\n{}", self.output());
            }
            if start.elapsed() > READY_MAX {
                return Err(error.context(format!("{otherwise}:\n{}", self.output())));
            }
            pause(LOOK);
        }
    }

    /// Asks the admin API, which is there before the service is.
    pub(super) fn api(&self, path: &str) -> Result<Value> {
        let token = fs::read_to_string(self.folder.join(".flotilla/token"));
        let token = token.context("the node left no token")?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
            self.admin,
            token.trim()
        );
        let Answer { status, body, .. } = Client::open(self.admin)?.ask(request.as_bytes())?;
        if status != 200 {
            bail!("{path} is answered with {status}");
        }
        serde_json::from_slice(&body).with_context(|| format!("{path} is answered with no JSON"))
    }
}

/// Where the service's app API is, as the node has written it down.
fn app(folder: &Path) -> Result<SocketAddr> {
    let text = fs::read_to_string(folder.join(".flotilla/run/apps.json"));
    let book: Value = serde_json::from_str(&text.context("no app API is known yet")?)?;
    let apps = book["apps"].as_array().context("no app API is known yet")?;
    let is_wanted = |app: &&Value| app["caller"] == "items/1" && app["speech"] == "http";
    let port = apps.iter().find(is_wanted).and_then(|app| app["port"].as_u64());
    let port = u16::try_from(port.context("the service has no app API yet")?)?;
    Ok(SocketAddr::from(([127, 0, 0, 1], port)))
}
