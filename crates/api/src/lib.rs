//! The admin surface: REST, server-sent events, OpenAPI, and the client the command line uses.
//!
//! ```text
//! CLI ── flotilla.sock (0600) ──┐
//!                               ├──► guard ──► routes (table) ──► handlers ──► Backend
//! browser ── :8081 (token) ─────┘                 └──► openapi
//! ```
//! The only place that knows the wire. It decides nothing: a handler reads a request, asks the [`Backend`] and writes
//! the answer. Every endpoint stands in one table (`routes.rs`), from which the OpenAPI document is generated
//! too; `docs/openapi.json` is its committed copy.

mod answer;
pub mod app;
pub mod backend;
pub mod client;
mod cloudevents;
mod context;
pub mod dtm;
mod guard;
mod handlers;
mod openapi;
mod page;
mod params;
mod patience;
mod pool;
mod query;
mod routes;
mod server;
mod socket;
mod sse;
mod trace;
pub mod tx;
pub mod wire;

#[cfg(test)]
mod tests;

pub use backend::Backend;
pub use client::{Client, EventPage, EventQuestion, StateQuestion, TransactionQuestion};

use guard::Guard;
use runtime::TaskSet;
use server::{Listener, Shared};
use std::{
    io,
    net::SocketAddr,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, UnixListener, UnixStream},
    sync::{Semaphore, watch},
};

/// How long the listeners may take to end; more than their connections may.
const END_TIMEOUT: Duration = Duration::from_secs(3);

/// The API's listening sockets, on their way from one node to the next, so that nobody is refused meanwhile.
#[derive(Debug, Default)]
pub struct Sockets {
    /// The Unix socket.
    pub unix: Option<OwnedFd>,
    /// The TCP listener and where it listens.
    pub tcp: Option<(SocketAddr, OwnedFd)>,
}

/// Where the API listens, and what bounds it.
#[derive(Clone, Debug)]
pub struct Config {
    /// The Unix socket, made with mode 0600 in a folder that exists.
    pub socket: Option<PathBuf>,
    /// The TCP listener; needs `token`.
    pub listen: Option<SocketAddr>,
    /// Further names under which browsers may reach `listen`, besides `localhost` and its own address.
    pub hosts: Vec<String>,
    /// The token of the TCP listener, any text without spaces; at least 128 bits of chance.
    pub token: String,
    /// Most open connections of each listener. Default 256: a hundred browser tabs and as many scripts.
    pub connections_max: usize,
    /// Most open streams, all listeners together. Default 64: below the connections, so that with all streams
    /// taken requests are still answered.
    pub streams_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            socket: None,
            listen: None,
            hosts: Vec::new(),
            token: String::new(),
            connections_max: 256,
            streams_max: 64,
        }
    }
}

/// Why the API cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on; `cause` is `AddrInUse` when somebody else does.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The socket cannot be made.
    #[error("cannot make the socket `{}`", .path.display())]
    Socket {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Another node answers on the socket.
    #[error("another node listens on `{}`", .0.display())]
    InUse(PathBuf),
    /// A TCP listener without a token would let every page in the browser in.
    #[error("the admin port needs a token of at least {TOKEN_LEN_MIN} visible ASCII characters")]
    Token,
}

/// Shortest token, in characters: 128 bits as hexadecimal digits are 32, as base 64 they are 22.
const TOKEN_LEN_MIN: usize = 16;

/// The running API.
#[derive(Debug)]
pub struct Service {
    tasks: TaskSet,
    socket: Option<PathBuf>,
    handle: Handle,
    /// The listening sockets again, for a successor.
    copies: Sockets,
    /// Tells the listeners that another node has taken over, and how long open requests may go on.
    retiring: watch::Sender<Option<Duration>>,
}

/// Where the API can be reached. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    address: Option<SocketAddr>,
    token: Arc<str>,
}

impl Handle {
    /// Where the TCP listener listens.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The page's address without the token.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        self.address.map(|address| format!("http://{}/", reachable(address)))
    }

    /// The address that logs a browser in.
    #[must_use]
    pub fn login_url(&self) -> Option<String> {
        let token = query::escape(&self.token);
        self.address.map(|address| format!("http://{}/?t={token}", reachable(address)))
    }
}

/// An address of this machine under which a listener on all addresses can be reached.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => ([127, 0, 0, 1], v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            (std::net::Ipv6Addr::LOCALHOST, v6.port()).into()
        }
        _ => address,
    }
}

impl Service {
    /// Starts listening. Needs a tokio runtime.
    ///
    /// # Errors
    /// All. Nothing listens then.
    pub async fn start(config: Config, backend: Arc<dyn Backend>) -> Result<Self, Error> {
        Self::take_over(config, Sockets::default(), backend).await
    }

    /// As [`Self::start`], with the sockets of an earlier node: the Unix socket stands under its name already, and
    /// the TCP one is used when it listens where `config` wants it.
    ///
    /// # Errors
    /// All. Nothing more listens then.
    pub async fn take_over(
        config: Config,
        sockets: Sockets,
        backend: Arc<dyn Backend>,
    ) -> Result<Self, Error> {
        let retiring = watch::Sender::new(None);
        let document = serde_json::to_vec_pretty(&openapi::document()).unwrap_or_default();
        let shared = Arc::new(Shared {
            backend,
            table: routes::table(),
            document: document.into(),
            streams: Arc::new(Semaphore::new(config.streams_max)),
            retiring: retiring.subscribe(),
        });
        let mut tasks = TaskSet::new("api");
        let mut address = None;
        let mut copies = Sockets::default();
        let mut listeners = Vec::new();
        if let Some(listen) = config.listen {
            let is_visible = config.token.bytes().all(|byte| byte.is_ascii_graphic());
            if config.token.len() < TOKEN_LEN_MIN || !is_visible {
                return Err(Error::Token);
            }
            let failed = |cause| Error::Listen { address: listen, cause };
            let listener = match sockets.tcp.filter(|(address, _)| *address == listen) {
                Some((_, socket)) => tcp(socket).map_err(failed)?,
                None => TcpListener::bind(listen).await.map_err(failed)?,
            };
            let bound = listener.local_addr().map_err(failed)?;
            let copy = listener.as_fd().try_clone_to_owned().map_err(failed)?;
            copies.tcp = Some((bound, copy));
            let guard = Guard::new(&config.token, bound, &config.hosts);
            address = Some(bound);
            listeners.push(Listener::Tcp(listener, guard));
        }
        if let Some(path) = &config.socket {
            let failed = |cause| Error::Socket { path: path.clone(), cause };
            let listener = match sockets.unix {
                Some(socket) => unix(socket).map_err(failed)?,
                None => bind(path).await?,
            };
            copies.unix = Some(listener.as_fd().try_clone_to_owned().map_err(failed)?);
            listeners.push(Listener::Unix(listener));
        }
        for listener in listeners {
            let shared = shared.clone();
            let connections_max = config.connections_max;
            tasks.spawn("api listener", |stop| {
                server::listen(listener, shared, connections_max, stop)
            });
        }
        let handle = Handle { address, token: config.token.into() };
        Ok(Self { tasks, socket: config.socket, handle, copies, retiring })
    }

    /// Where it can be reached.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Further descriptors of the listening sockets, for the API of a node that takes over.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn export(&self) -> io::Result<Sockets> {
        let Sockets { unix, tcp } = &self.copies;
        let tcp = match tcp {
            Some((address, socket)) => Some((*address, socket.try_clone()?)),
            None => None,
        };
        Ok(Sockets { unix: unix.as_ref().map(OwnedFd::try_clone).transpose()?, tcp })
    }

    /// Begins to end while somebody else has the listening sockets: takes no new connection, ends streams, and lets
    /// open requests go on for at most `patience`. The Unix socket stays. Await [`Self::retired`] afterwards.
    pub fn retire(&self, patience: Duration) {
        self.retiring.send_replace(Some(patience));
    }

    /// Waits for the end that [`Self::retire`] began.
    pub async fn retired(self) {
        let patience = self.retiring.borrow().unwrap_or_default();
        self.tasks.join(patience + END_TIMEOUT).await;
    }

    /// Ends: takes no new connection, ends streams, lets open requests finish for 2 s, removes the socket.
    pub async fn shutdown(self) {
        self.tasks.shutdown(END_TIMEOUT).await;
        if let Some(path) = self.socket {
            remove(&path);
        }
    }
}

fn tcp(socket: OwnedFd) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn unix(socket: OwnedFd) -> io::Result<UnixListener> {
    let listener = std::os::unix::net::UnixListener::from(socket);
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Makes the socket. It appears under its name only when nobody else may use it any more: made under another
/// name, restricted, then moved.
async fn bind(path: &Path) -> Result<UnixListener, Error> {
    let failed = |cause| Error::Socket { path: path.to_owned(), cause };
    let short = socket::Short::of(path).map_err(failed)?;
    if UnixStream::connect(short.path()).await.is_ok() {
        return Err(Error::InUse(path.to_owned()));
    }
    let mut making = path.as_os_str().to_owned();
    making.push(".new");
    let making = PathBuf::from(making);
    remove(&making);
    let short_making = socket::Short::of(&making).map_err(failed)?;
    let listener = UnixListener::bind(short_making.path()).map_err(failed)?;
    let only_owner = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&making, only_owner).map_err(failed)?;
    std::fs::rename(&making, path).map_err(failed)?;
    Ok(listener)
}

fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), error = %e, "cannot remove the socket");
        }
        _ => {}
    }
}
