//! Addresses the data plane listens on.
//!
//! Every worker has its own socket per address; the kernel spreads new connections over them. Of the app listeners,
//! which are two for each instance, each is accepted from by one worker only, so that hundreds of them need few
//! descriptors on machines with many cores. Because
//! sockets with `SO_REUSEPORT` of one user share a port in silence, a port is first bound without it:
//! another node that has the port must be an error, not a partner.
//!
//! Sockets outlive the process: a successor gets further descriptors of the same sockets ([`Sockets`]), so the
//! kernel's queues of connections not yet accepted go on as they are. There may be fewer or more of them than the
//! successor has workers; every one is accepted from, because a queue nobody looks at would swallow clients.

use crate::{
    config::{ACCEPT_QUEUE, TCP_KEEPALIVE},
    error::Error,
    tls::Tls,
};
use arc_swap::ArcSwapOption;
use base::{InstanceId, ServiceName};
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};
use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
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
    /// One instance, whose every request is directed by the [`crate::local::Local`].
    App {
        /// Who asks.
        caller: InstanceId,
    },
}

impl ListenerKind {
    /// How many sockets it has at least.
    fn sockets(&self, workers: usize) -> usize {
        match self {
            Self::Gateway | Self::Need { .. } => workers,
            Self::App { .. } => 1,
        }
    }

    /// Which worker accepts from its first socket.
    fn first_worker(&self, id: &ListenerId, workers: usize) -> usize {
        match self {
            Self::Gateway | Self::Need { .. } => 0,
            Self::App { .. } => {
                let spread = logic::balance::hash(id.0.as_bytes()) % 65_536;
                usize::try_from(spread).unwrap_or(0) % workers
            }
        }
    }
}

/// The open sockets of a listener, on their way from the data plane of one process to that of the next.
#[derive(Debug)]
pub struct Sockets {
    /// Whose they are.
    pub id: ListenerId,
    /// Where they listen.
    pub address: SocketAddr,
    /// At least one.
    pub sockets: Vec<OwnedFd>,
}

impl Sockets {
    /// The sockets, if they are what they should be.
    pub(crate) fn checked(self) -> Result<Inherited, Error> {
        let Self { id, address, sockets } = self;
        let check = |socket: OwnedFd| {
            let socket = Socket::from(socket);
            let bound = socket.local_addr()?.as_socket();
            if bound != Some(address) || !socket.is_listener()? {
                return Err(io::Error::other("it is no listening socket of this address"));
            }
            socket.set_nonblocking(true)?;
            socket.set_cloexec(true)?;
            Ok(TcpListener::from(socket))
        };
        let checked: io::Result<Vec<TcpListener>> = sockets.into_iter().map(check).collect();
        let sockets = checked.map_err(|cause| Error::Listen { address, cause })?;
        Ok(Inherited { id, address, sockets })
    }
}

/// Sockets of another process that no listener has taken yet.
#[derive(Debug)]
pub(crate) struct Inherited {
    pub(crate) id: ListenerId,
    pub(crate) address: SocketAddr,
    sockets: Vec<TcpListener>,
}

impl Inherited {
    /// The inherited sockets for a listener: those of its address; where any port will do, those it had.
    pub(crate) fn take(all: &mut Vec<Self>, id: &ListenerId, address: SocketAddr) -> Option<Self> {
        let fits = |one: &Self| {
            let is_any = address.port() == 0 && one.id == *id && one.address.ip() == address.ip();
            one.address == address || is_any
        };
        let at = all.iter().position(fits)?;
        Some(all.swap_remove(at))
    }
}

/// An open listener, shared by the workers.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) id: ListenerId,
    pub(crate) kind: ListenerKind,
    pub(crate) address: SocketAddr,
    /// Each taken by worker `(first + index) % workers`. Connections keep this struct alive, and must not keep the
    /// sockets open with it.
    sockets: Mutex<Vec<Option<TcpListener>>>,
    /// The same sockets again, for a successor, until it closes.
    copies: Mutex<Vec<TcpListener>>,
    workers: usize,
    /// The worker of the first socket.
    first: usize,
    /// Nobody accepts yet: another process still does.
    is_held: AtomicBool,
    /// When it closes, connections without a request wait for their next one.
    is_gentle: AtomicBool,
    /// Sockets that are not closed yet.
    pub(crate) sockets_open: AtomicUsize,
    /// Set when it shall close: nothing new is accepted, open connections end with their next response.
    pub(crate) closing: watch::Sender<bool>,
    /// The same for those that ask with every request: a load, where the channel takes a lock that all workers share.
    is_closing: AtomicBool,
    pub(crate) accepted: AtomicU64,
    pub(crate) open: AtomicUsize,
    /// How new connections speak TLS; without it they speak plain HTTP.
    pub(crate) tls: ArcSwapOption<Tls>,
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
        while sockets.len() < kind.sockets(workers) {
            sockets.push(bind(bound, true).map_err(|cause| fail(bound, cause))?);
        }
        Self::of(id, kind, bound, sockets, workers).map_err(|cause| fail(bound, cause))
    }

    /// Takes over the sockets of another process.
    pub(crate) fn inherit(
        id: ListenerId,
        kind: ListenerKind,
        inherited: Inherited,
        workers: usize,
    ) -> Result<Self, Error> {
        let Inherited { address, sockets, .. } = inherited;
        Self::of(id, kind, address, sockets, workers)
            .map_err(|cause| Error::Listen { address, cause })
    }

    fn of(
        id: ListenerId,
        kind: ListenerKind,
        address: SocketAddr,
        sockets: Vec<TcpListener>,
        workers: usize,
    ) -> io::Result<Self> {
        let copies = sockets.iter().map(TcpListener::try_clone).collect::<io::Result<_>>()?;
        Ok(Self {
            first: kind.first_worker(&id, workers),
            id,
            kind,
            address,
            sockets_open: AtomicUsize::new(sockets.len()),
            sockets: Mutex::new(sockets.into_iter().map(Some).collect()),
            copies: Mutex::new(copies),
            workers,
            is_held: AtomicBool::new(false),
            is_gentle: AtomicBool::new(false),
            closing: watch::Sender::new(false),
            is_closing: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            tls: ArcSwapOption::empty(),
        })
    }
}

impl Listener {
    /// Gives worker `at` the next of its sockets, each once.
    pub(crate) fn take(&self, at: usize) -> Option<TcpListener> {
        if self.is_held.load(SeqCst) {
            return None;
        }
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_closing() {
            return None;
        }
        let at = (at + self.workers - self.first) % self.workers;
        sockets.iter_mut().skip(at).step_by(self.workers).find_map(Option::take)
    }

    /// Lets nobody accept until [`Self::release`].
    pub(crate) fn hold(&self) {
        self.is_held.store(true, SeqCst);
    }

    /// Lets the workers accept. A worker for which no socket came gets one of its own; it was not opened
    /// before, because a connection in its queue would have been lost with this process.
    pub(crate) fn release(&self) -> io::Result<()> {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let mut outcome = Ok(());
        while sockets.len() < self.kind.sockets(self.workers) {
            let opened = bind(self.address, true).and_then(|new| Ok((new.try_clone()?, new)));
            match opened {
                Ok((copy, new)) => {
                    copies.push(copy);
                    sockets.push(Some(new));
                    self.sockets_open.fetch_add(1, SeqCst);
                }
                // Those that came are all accepted from; only the load is spread less well.
                Err(e) => {
                    outcome = Err(e);
                    break;
                }
            }
        }
        self.is_held.store(false, SeqCst);
        outcome
    }

    /// Further descriptors of its sockets.
    pub(crate) fn export(&self) -> io::Result<Sockets> {
        let copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let copy = |socket: &TcpListener| Ok(OwnedFd::from(socket.try_clone()?));
        let sockets = copies.iter().map(copy).collect::<io::Result<_>>()?;
        Ok(Sockets { id: self.id.clone(), address: self.address, sockets })
    }

    /// Starts to close it. `is_gentle`: a connection that has no request waits for its next one and ends after that,
    /// because the client may be sending it at this moment; else it ends at once.
    pub(crate) fn close(&self, is_gentle: bool) {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.is_gentle.store(is_gentle, SeqCst);
        self.is_closing.store(true, SeqCst);
        self.closing.send_replace(true);
        // A worker that was busy may not have taken its own yet. Nobody would accept there, and clients would wait in the
        // kernel's queue for as long as a connection of another worker keeps this listener alive.
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let untaken = sockets.iter_mut().filter_map(Option::take).count();
        self.sockets_open.fetch_sub(untaken, SeqCst);
    }

    /// Whether it is about to close.
    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.load(SeqCst)
    }

    /// Whether connections without a request end at once: it closes, and not gently.
    pub(crate) fn ends_idle(&self) -> bool {
        self.is_closing() && !self.is_gentle.load(SeqCst)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_no_worker_has_taken_closes_with_its_listener() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let id = ListenerId::new("gateway");
        let listener = Listener::open(id, ListenerKind::Gateway, any, 2, false).unwrap();
        drop(listener.take(0));
        std::net::TcpStream::connect(listener.address).unwrap();
        listener.close(false);
        let refused = std::net::TcpStream::connect(listener.address).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert!(listener.take(1).is_none());
        assert_eq!(listener.sockets_open.load(SeqCst), 1, "the worker counts its own down");
    }
}
