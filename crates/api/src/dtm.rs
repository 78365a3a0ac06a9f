//! The protocol of DTM's coordinator, so that existing clients of DTM work unmodified: HTTP, JSON-RPC and gRPC on two ports.
//!
//! ```text
//!  DTM clients ── HTTP :36789 ──► http, rpc ─┐
//!              ── gRPC :36790 ──► grpc ──────┴─► desk ─► transactions ──► participants (`call`: what differs when DTM is spoken)
//!                                                 └────► topics (kv)
//! ```
//! Names, numbers and statuses are DTM's; what happens is the coordinator's. So it is better where DTM is known to be weak: the
//! decision is durable before the second phase, a repeated submission does nothing twice, pauses are capped, and what does not end
//! asks for an operator. A workflow, whose code runs in its client, is an open message here whose back-query resumes the client; its
//! steps' results are branches without calls.
//!
//! The protocol has no authentication. Whoever reaches the ports can make the node call any URL, so they belong on loopback.

mod asked;
pub(crate) mod call;
mod desk;
mod fault;
mod grpc;
mod http;
mod list;
mod metrics;
mod order;
mod rows;
mod rpc;
mod server;
mod spec;
mod topics;
mod wait;

#[cfg(test)]
mod tests;

use desk::Desk;
use ports::kv::Kv;
use runtime::{Clock, TaskSet};
use server::Speaks;
use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpListener, sync::watch};
use topics::Topics;

/// How long the listeners may take to end; more than their connections may.
const END_TIMEOUT: Duration = Duration::from_secs(3);

/// Where DTM's clients find it, and what it stands on.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where HTTP listens; DTM's port is 36789.
    pub http: SocketAddr,
    /// Where gRPC listens; DTM's port is 36790.
    pub grpc: SocketAddr,
    /// The coordinator.
    pub transactions: transactions::Handle,
    /// Where topics are kept.
    pub kv: Arc<dyn Kv>,
    /// The system's name: it stands before all keys in the kv engine.
    pub system: String,
    /// The time.
    pub clock: Clock,
    /// Most open connections of each port. Default 1024: clients in other languages open one for each request under way.
    pub connections_max: usize,
}

impl Config {
    /// The usual limits.
    #[must_use]
    pub fn new(
        addresses: (SocketAddr, SocketAddr),
        transactions: transactions::Handle,
        kv: Arc<dyn Kv>,
        system: String,
        clock: Clock,
    ) -> Self {
        let (http, grpc) = addresses;
        Self { http, grpc, transactions, kv, system, clock, connections_max: 1_024 }
    }
}

/// The listening sockets, on their way from one node to the next, so that nobody is refused meanwhile.
#[derive(Debug, Default)]
pub struct Sockets {
    /// HTTP's, and where it listens.
    pub http: Option<(SocketAddr, OwnedFd)>,
    /// gRPC's, and where it listens.
    pub grpc: Option<(SocketAddr, OwnedFd)>,
}

/// An address cannot be listened on; `cause` is `AddrInUse` when somebody else does.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct Error {
    /// The address.
    pub address: SocketAddr,
    /// Why.
    #[source]
    pub cause: io::Error,
}

/// The running façade.
#[derive(Debug)]
pub struct Service {
    tasks: TaskSet,
    http: (SocketAddr, OwnedFd),
    grpc: (SocketAddr, OwnedFd),
    /// Tells the listeners that another node has taken over, and how long open requests may go on.
    retiring: watch::Sender<Option<Duration>>,
}

impl Service {
    /// Starts listening. Needs a tokio runtime.
    ///
    /// # Errors
    /// When an address cannot be listened on. Nothing listens then.
    pub async fn start(config: Config) -> Result<Self, Error> {
        Self::take_over(config, Sockets::default()).await
    }

    /// As [`Self::start`], with the sockets of an earlier node, which are used when they listen where `config` wants it.
    ///
    /// # Errors
    /// When an address cannot be listened on. Nothing more listens then.
    pub async fn take_over(config: Config, sockets: Sockets) -> Result<Self, Error> {
        let (http, http_copy) = bound(config.http, sockets.http).await?;
        let (grpc, grpc_copy) = bound(config.grpc, sockets.grpc).await?;
        let topics = Topics::new(config.kv, &config.system, config.clock);
        let desk = Desk { transactions: config.transactions, topics, clock: config.clock };
        let retiring = watch::Sender::new(None);
        let mut tasks = TaskSet::new("dtm");
        let connections_max = config.connections_max;
        for (listener, speaks) in [(http, Speaks::Http), (grpc, Speaks::Grpc)] {
            let (desk, retiring) = (desk.clone(), retiring.subscribe());
            tasks.spawn("dtm listener", move |stop| {
                server::listen(listener, speaks, desk, connections_max, retiring, stop)
            });
        }
        Ok(Self { tasks, http: http_copy, grpc: grpc_copy, retiring })
    }

    /// Where HTTP listens.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.http.0
    }

    /// Where gRPC listens.
    #[must_use]
    pub fn grpc(&self) -> SocketAddr {
        self.grpc.0
    }

    /// Further descriptors of the listening sockets, for a node that takes over.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn export(&self) -> io::Result<Sockets> {
        let (http, grpc) = (self.http.1.try_clone()?, self.grpc.1.try_clone()?);
        Ok(Sockets { http: Some((self.http.0, http)), grpc: Some((self.grpc.0, grpc)) })
    }

    /// Begins to end while somebody else has the listening sockets: takes no new connection, and lets open requests go on for at most
    /// `patience`. Await [`Self::retired`] afterwards.
    pub fn retire(&self, patience: Duration) {
        self.retiring.send_replace(Some(patience));
    }

    /// Waits for the end that [`Self::retire`] began.
    pub async fn retired(self) {
        let patience = self.retiring.borrow().unwrap_or_default();
        self.tasks.join(patience + END_TIMEOUT).await;
    }

    /// Ends: takes no new connection and lets open requests finish for 2 s.
    pub async fn shutdown(self) {
        self.tasks.shutdown(END_TIMEOUT).await;
    }
}

/// A listener, and another descriptor of its socket.
async fn bound(
    address: SocketAddr,
    earlier: Option<(SocketAddr, OwnedFd)>,
) -> Result<(TcpListener, (SocketAddr, OwnedFd)), Error> {
    let failed = |cause| Error { address, cause };
    let listener = match earlier.filter(|(at, _)| *at == address) {
        Some((_, socket)) => crate::tcp(socket).map_err(failed)?,
        None => TcpListener::bind(address).await.map_err(failed)?,
    };
    let at = listener.local_addr().map_err(failed)?;
    let copy = listener.as_fd().try_clone_to_owned().map_err(failed)?;
    Ok((listener, (at, copy)))
}
