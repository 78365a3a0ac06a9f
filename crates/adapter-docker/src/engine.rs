//! The connection to the engine: its address, what it can do, and what to say when it does not answer.
//!
//! Every request opens its own connection (the client keeps none), so an engine that restarted is simply there
//! again. What it can do is asked once.

use base::{Code, Diagnostic};
use bollard::{API_DEFAULT_VERSION, Docker, errors::Error as Answer};
use ports::host::{self, Enforcement};
use std::{
    error::Error as StdError, fmt, io, net::IpAddr, path::PathBuf, sync::Arc, time::Duration,
};
use tokio::sync::Mutex;

/// How long the engine may take to begin an answer. Creating a container from a large image on a slow
/// disk takes tens of seconds; a hung engine must still show.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// How long the first contact may take. A local engine answers in milliseconds, also under load in a second.
const CONTACT_TIME_MAX: Duration = Duration::from_secs(5);

/// Where the engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Unix(PathBuf),
    /// Host and port on this machine.
    Tcp(String),
}

/// What is wrong with an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// Neither a socket nor TCP.
    #[error("only unix:// and tcp:// addresses are supported")]
    Scheme,
    /// Ports that containers publish there do not exist here.
    #[error("the engine is on another machine, where its containers cannot be reached from here")]
    Remote,
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidAddress> {
        if let Some(path) = text.strip_prefix("unix://") {
            return Ok(Self::Unix(path.into()));
        }
        let host = text.strip_prefix("tcp://").or_else(|| text.strip_prefix("http://"));
        let host = host.ok_or(InvalidAddress::Scheme)?.trim_end_matches('/');
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let is_here =
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if is_here { Ok(Self::Tcp(host.to_owned())) } else { Err(InvalidAddress::Remote) }
    }

    /// A client without a connection.
    fn client(&self) -> Result<Docker, Answer> {
        let seconds = ANSWER_TIME_MAX.as_secs();
        match self {
            Self::Unix(path) => {
                Docker::connect_with_unix(&path.to_string_lossy(), seconds, API_DEFAULT_VERSION)
            }
            Self::Tcp(host) => Docker::connect_with_http(host, seconds, API_DEFAULT_VERSION),
        }
    }

    /// Whether anybody accepts connections.
    async fn knock(&self) -> io::Result<()> {
        match self {
            Self::Unix(path) => tokio::net::UnixStream::connect(path).await.map(drop),
            Self::Tcp(host) => tokio::net::TcpStream::connect(host).await.map(drop),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(host) => write!(f, "tcp://{host}"),
        }
    }
}

/// The engine does not answer.
#[derive(Debug)]
pub struct Down {
    address: Address,
    kind: Option<io::ErrorKind>,
    cause: String,
}

impl Down {
    /// Reads the cause out of a failed request.
    pub(crate) fn new(address: &Address, error: &(dyn StdError + 'static)) -> Self {
        let mut kind = None;
        let mut cause = error.to_string();
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                kind = Some(error.kind());
                cause = error.to_string();
            }
            next = error.source();
        }
        Self { address: address.clone(), kind, cause }
    }

    /// The problem as the user sees it.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        Diagnostic::error(Code::DOCKER, "the Docker engine does not answer")
            .note(format!("tried {}: {}", self.address, self.cause))
            .help(self.help())
    }

    fn help(&self) -> String {
        let text = match self.kind {
            Some(io::ErrorKind::NotFound) => {
                "install it (Debian: `apt install docker.io`) and start it: `systemctl start docker`, or set \
                 DOCKER_HOST to where it listens"
            }
            Some(io::ErrorKind::PermissionDenied) => {
                "add yourself to the group `docker`: `sudo usermod -aG docker $USER`, then log in again"
            }
            Some(io::ErrorKind::ConnectionRefused) => "start it: `systemctl start docker`",
            Some(io::ErrorKind::TimedOut) => "it hangs; restart it: `systemctl restart docker`",
            Some(_) | None => {
                "look at it with `docker info`, and at its log: `journalctl -u docker`"
            }
        };
        text.to_owned()
    }
}

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.address, self.cause, self.help())
    }
}

impl StdError for Down {}

/// What the engine told about itself.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// It has a small init to put into containers, which reaps zombies and passes signals on.
    pub has_init: bool,
    pub limits_cpu: bool,
    pub limits_memory: bool,
    pub limits_swap: bool,
    pub limits_pids: bool,
    /// Processors of its machine.
    pub cpus: u32,
}

impl Facts {
    pub(crate) fn enforcement(&self) -> [Enforcement; 3] {
        let say = |is: bool, what: &str| {
            if is {
                Enforcement::Enforced
            } else {
                Enforcement::Missing(format!("the Docker engine's kernel has no {what}"))
            }
        };
        [
            say(self.limits_cpu, "CPU quota (cgroup `cpu` controller)"),
            say(self.limits_memory, "memory limit (cgroup `memory` controller)"),
            say(self.limits_pids, "process limit (cgroup `pids` controller)"),
        ]
    }
}

/// The engine, connected to when first needed.
#[derive(Debug)]
pub(crate) struct Engine {
    pub address: Address,
    link: Mutex<Option<(Docker, Arc<Facts>)>>,
    /// The facts again, for those who may not wait.
    facts: std::sync::OnceLock<Arc<Facts>>,
}

impl Engine {
    pub(crate) fn new(address: Address) -> Self {
        Self { address, link: Mutex::new(None), facts: std::sync::OnceLock::new() }
    }

    /// The facts, when the engine has answered once.
    pub(crate) fn known_facts(&self) -> Option<&Facts> {
        self.facts.get().map(Arc::as_ref)
    }

    /// A client, and what its engine can do. Asks the engine only the first time.
    pub(crate) async fn link(&self) -> Result<(Docker, Arc<Facts>), Down> {
        let mut link = self.link.lock().await;
        if let Some(link) = &*link {
            return Ok(link.clone());
        }
        let contact = tokio::time::timeout(CONTACT_TIME_MAX, self.contact()).await;
        let made = contact.unwrap_or_else(|_late| Err(self.silent()))?;
        // Only the first answer is kept here; an engine's kernel does not change while a node lives.
        let _ = self.facts.set(Arc::clone(&made.1));
        *link = Some(made.clone());
        Ok(made)
    }

    /// Whether the engine answers now.
    pub(crate) async fn ping(&self) -> Result<(), Down> {
        let (docker, _) = self.link().await?;
        match tokio::time::timeout(CONTACT_TIME_MAX, docker.ping()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(e)) => Err(Down::new(&self.address, &e)),
            Err(_late) => Err(self.silent()),
        }
    }

    /// It accepts connections and says nothing.
    fn silent(&self) -> Down {
        Down {
            address: self.address.clone(),
            kind: Some(io::ErrorKind::TimedOut),
            cause: format!("no answer within {} s", CONTACT_TIME_MAX.as_secs()),
        }
    }

    async fn contact(&self) -> Result<(Docker, Arc<Facts>), Down> {
        let down = |e: &(dyn StdError + 'static)| Down::new(&self.address, e);
        self.address.knock().await.map_err(|e| down(&e))?;
        let docker = self.address.client().map_err(|e| down(&e))?;
        // Engines are often years older than their clients and refuse a version they do not know.
        let docker = docker.negotiate_version().await.map_err(|e| down(&e))?;
        let info = docker.info().await.map_err(|e| down(&e))?;
        let facts = Facts {
            has_init: info.init_binary.is_some_and(|name| !name.is_empty()),
            limits_cpu: info.cpu_cfs_quota.unwrap_or(false) && info.cpu_cfs_period.unwrap_or(false),
            limits_memory: info.memory_limit.unwrap_or(false),
            limits_swap: info.swap_limit.unwrap_or(false),
            limits_pids: info.pids_limit.unwrap_or(false),
            cpus: info.ncpu.and_then(|count| u32::try_from(count).ok()).unwrap_or(1).max(1),
        };
        Ok((docker, Arc::new(facts)))
    }

    /// The port's error for an engine that is away.
    pub(crate) fn unavailable(&self, down: Down) -> host::Error {
        host::Error::Unavailable {
            what: "the Docker engine does not answer".to_owned(),
            cause: Box::new(down),
        }
    }
}

/// The engine's own answer, when it gave one: HTTP status and message.
pub(crate) fn answered(error: &Answer) -> Option<(u16, &str)> {
    match error {
        Answer::DockerResponseServerError { status_code, message } => Some((*status_code, message)),
        _ => None,
    }
}

/// The engine does not know what was named.
pub(crate) fn is_missing(error: &Answer) -> bool {
    answered(error).is_some_and(|(status, _)| status == 404)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_are_read_and_others_refused() {
        for (text, want) in [
            ("unix:///run/d.sock", Ok("unix:///run/d.sock")),
            ("tcp://127.0.0.1:2375", Ok("tcp://127.0.0.1:2375")),
            ("http://localhost:2375/", Ok("tcp://localhost:2375")),
            ("tcp://[::1]:2375", Ok("tcp://[::1]:2375")),
            ("tcp://10.0.0.7:2375", Err(InvalidAddress::Remote)),
            ("tcp://build.example:2375", Err(InvalidAddress::Remote)),
            ("ssh://me@host", Err(InvalidAddress::Scheme)),
            ("/var/run/docker.sock", Err(InvalidAddress::Scheme)),
        ] {
            let read = Address::parse(text).map(|address| address.to_string());
            assert_eq!(read, want.map(str::to_owned), "{text}");
        }
    }

    #[tokio::test]
    async fn an_engine_that_is_not_there_is_explained_with_a_fix() {
        let dir = std::env::temp_dir().join(format!("flotilla-no-engine-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let refusing = dir.join("refusing.sock");
        drop(std::os::unix::net::UnixListener::bind(&refusing).unwrap());
        for (path, cause, fix) in [
            (dir.join("none.sock"), "No such file", "apt install docker.io"),
            (refusing, "Connection refused", "systemctl start docker"),
        ] {
            let engine = Engine::new(Address::Unix(path.clone()));
            let text = engine.link().await.unwrap_err().diagnostic().render(false);
            assert!(text.starts_with("error[F021]: the Docker engine does not answer"), "{text}");
            for part in [path.to_str().unwrap(), cause, fix] {
                assert!(text.contains(part), "{part} in {text}");
            }
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_socket_we_may_not_open_names_the_group() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let down = Down::new(&Address::Unix("/run/d.sock".into()), &denied);
        assert!(down.diagnostic().render(false).contains("group `docker`"));
    }
}
