//! The successor's side: asks for everything, and says when it serves.

use super::{
    FromNew, FromOld, PREPARE_MAX, READY_MAX, Told, VERSION,
    link::{DESCRIPTORS_MAX, Error, Link},
};
use api::wire;
use base::{Code, Diagnostic, ErrorChain};
use proxy::ListenerId;
use rustix::{
    net::sockopt::socket_peercred,
    process::geteuid,
    stdio::{dup2_stdin, stdin},
};
use std::{
    fs::File,
    io,
    net::SocketAddr,
    os::{fd::OwnedFd, unix::net::UnixStream},
    time::Instant,
};
use tracing::warn;

/// The node that is to be replaced.
#[derive(Debug)]
pub(crate) struct Predecessor(Link);

/// What it gives.
#[derive(Debug)]
pub(in crate::node) struct Taken {
    pub(in crate::node) lock: OwnedFd,
    pub(in crate::node) api: api::Sockets,
    pub(in crate::node) dtm: api::dtm::Sockets,
    pub(in crate::node) listeners: Vec<proxy::Sockets>,
}

impl Predecessor {
    /// The node on the other end of standard input.
    ///
    /// # Errors
    /// When there is none, or it is another user's.
    pub(crate) fn on_stdin() -> io::Result<Self> {
        let stream = UnixStream::from(stdin().try_clone_to_owned()?);
        let peer = socket_peercred(&stream)?;
        if peer.uid != geteuid() {
            return Err(io::Error::other("the other end is another user's"));
        }
        // Nobody who is started from here may have it.
        dup2_stdin(File::open("/dev/null")?)?;
        Ok(Self(Link::new(stream)?))
    }

    /// Says that the file is good, and takes the sockets. Blocks.
    ///
    /// # Errors
    /// What the operator is told.
    pub(in crate::node) fn take(&mut self) -> Result<Taken, Box<Diagnostic>> {
        self.taken().map_err(|e| problem(&e))
    }

    fn taken(&mut self) -> Result<Taken, Error> {
        let until = Instant::now() + PREPARE_MAX;
        self.0.send(&FromNew::Hello { version: VERSION })?;
        let FromOld::Welcome { unix, admin, dtm, listeners } = self.0.receive(until)? else {
            return Err(Error::Unreadable("it gave no sockets".to_owned()));
        };
        let of_listeners = listeners.iter().fold(0_usize, |sum, l| sum.saturating_add(l.sockets));
        let of_api = usize::from(unix) + usize::from(admin.is_some());
        let of_dtm = if dtm.is_some() { 2 } else { 0 };
        let count = of_listeners.saturating_add(1 + of_api + of_dtm);
        if count > DESCRIPTORS_MAX {
            return Err(Error::Unreadable(format!("it has {count} sockets")));
        }
        let mut all = self.0.receive_descriptors(count, until)?.into_iter();
        let missing = || Error::Unreadable("a socket is missing".to_owned());
        let lock = all.next().ok_or_else(missing)?;
        let unix = if unix { Some(all.next().ok_or_else(missing)?) } else { None };
        let tcp = match admin {
            Some(address) => Some((address, all.next().ok_or_else(missing)?)),
            None => None,
        };
        let dtm = match dtm {
            Some((http, grpc)) => api::dtm::Sockets {
                http: Some((http, all.next().ok_or_else(missing)?)),
                grpc: Some((grpc, all.next().ok_or_else(missing)?)),
            },
            None => api::dtm::Sockets::default(),
        };
        let listeners = listeners.into_iter().map(|listener| proxy::Sockets {
            id: ListenerId::new(&listener.id),
            address: listener.address,
            sockets: all.by_ref().take(listener.sockets).collect(),
        });
        let listeners = listeners.collect();
        Ok(Taken { lock, api: api::Sockets { unix, tcp }, dtm, listeners })
    }

    /// Says that the data plane stands, and waits until the instances are free. Blocks.
    ///
    /// # Errors
    /// What the operator is told.
    pub(in crate::node) fn prepared(&mut self) -> Result<Told, Box<Diagnostic>> {
        // Letting go takes it longer than anything here.
        let until = Instant::now() + READY_MAX;
        let mut ask = || {
            self.0.send(&FromNew::Prepared)?;
            match self.0.receive(until)? {
                FromOld::Go(told) => Ok(*told),
                FromOld::Welcome { .. } => Err(Error::Unreadable("it said welcome twice".into())),
            }
        };
        ask().map_err(|e| problem(&e))
    }

    /// Says that this node serves. One that has died meanwhile has nothing to hear.
    pub(in crate::node) fn ready(&mut self) {
        if let Err(error) = self.0.send(&FromNew::Ready) {
            warn!(error = %ErrorChain(&error), "the node that was replaced is gone");
        }
    }

    /// Says that this node cannot take over.
    pub(in crate::node) fn failed(&mut self, problems: &[Diagnostic]) {
        let problems = problems.iter().map(wire::Diagnostic::from).collect();
        if let Err(error) = self.0.send(&FromNew::Failed { problems }) {
            warn!(error = %ErrorChain(&error), "nobody hears why this node does not start");
        }
    }
}

fn problem(error: &Error) -> Box<Diagnostic> {
    let message = format!("the running node does not hand over: {}", ErrorChain(error));
    Box::new(Diagnostic::error(Code::STATE_DIR, message))
}

/// Whether the API's inherited socket is the one that the file asks for.
pub(in crate::node) fn has_admin(sockets: &api::Sockets, admin: SocketAddr) -> bool {
    sockets.tcp.as_ref().is_some_and(|(address, _)| *address == admin)
}
