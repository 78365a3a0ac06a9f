//! Addresses the data plane listens on.
//!
//! Every worker has its own socket per address; the kernel spreads new connections over them. Because
//! sockets with `SO_REUSEPORT` of one user share a port in silence, a port is first bound without it:
//! another node that has the port must be an error, not a partner.

use crate::{
    config::{ACCEPT_QUEUE, TCP_KEEPALIVE},
    error::Error,
};
use base::ServiceName;
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};
use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize},
    },
};
use tokio::sync::watch;

/// Names a listener.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub Arc<str>);

impl ListenerId {
    /// A name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Debug for ListenerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What requests on a listener are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// Clients from outside; routes decide.
    Gateway,
    /// Instances of `caller` that need `service`.
    Need {
        /// Who calls.
        caller: ServiceName,
        /// Who is called.
        service: ServiceName,
    },
}

/// An open listener, shared by the workers.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) id: ListenerId,
    pub(crate) kind: ListenerKind,
    pub(crate) address: SocketAddr,
    /// One socket per worker, which takes it. Connections keep this struct alive, and must not keep
    /// the sockets open with it.
    sockets: Mutex<Vec<Option<TcpListener>>>,
    /// Sockets that are not closed yet.
    pub(crate) sockets_open: AtomicUsize,
    /// Set when it shall close: nothing new is accepted, open connections end with their next response.
    pub(crate) closing: watch::Sender<bool>,
    pub(crate) accepted: AtomicU64,
    pub(crate) open: AtomicUsize,
}

impl Listener {
    /// Opens `address` for `workers` workers. `is_shared` says that this very data plane already listens
    /// on the port, so that the check for others would only find ourselves.
    pub(crate) fn open(
        id: ListenerId,
        kind: ListenerKind,
        address: SocketAddr,
        workers: usize,
        is_shared: bool,
    ) -> Result<Self, Error> {
        let fail = |address: SocketAddr, cause: io::Error| match cause.kind() {
            io::ErrorKind::AddrInUse => Error::Taken { address, cause },
            _ => Error::Listen { address, cause },
        };
        if address.port() != 0 && !is_shared {
            drop(bind(address, false).map_err(|cause| fail(address, cause))?);
        }
        let first = bind(address, true).map_err(|cause| fail(address, cause))?;
        // With port 0 the kernel chose one that nobody has; the others join it there.
        let bound = first.local_addr().map_err(|cause| fail(address, cause))?;
        let mut sockets = vec![first];
        while sockets.len() < workers {
            sockets.push(bind(bound, true).map_err(|cause| fail(bound, cause))?);
        }
        Ok(Self {
            id,
            kind,
            address: bound,
            sockets_open: AtomicUsize::new(sockets.len()),
            sockets: Mutex::new(sockets.into_iter().map(Some).collect()),
            closing: watch::Sender::new(false),
            accepted: AtomicU64::new(0),
            open: AtomicUsize::new(0),
        })
    }
}

impl Listener {
    /// Gives worker `at` its socket, once.
    pub(crate) fn take(&self, at: usize) -> Option<TcpListener> {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.get_mut(at)?.take()
    }

    /// Starts to close it.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Whether it is about to close.
    pub(crate) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }
}

fn bind(address: SocketAddr, share: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Lets a restarted node take its port although old connections linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share)?;
    // Accepted sockets inherit both.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(TCP_KEEPALIVE))?;
    socket.bind(&SockAddr::from(address))?;
    if share {
        socket.listen(ACCEPT_QUEUE)?;
    }
    Ok(socket.into())
}
