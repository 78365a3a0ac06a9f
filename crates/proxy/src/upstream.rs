//! One worker's connections to instances.
//!
//! HTTP/1.1 connections carry one request at a time and are kept between requests; HTTP/2 ones (gRPC)
//! are shared. Nothing of an endpoint that drains is kept: servers that shut down wait for their
//! clients to hang up.

use crate::{
    config::{STREAM_WINDOW, UPSTREAM_IDLE_MAX},
    endpoint::{Endpoint, Held, Slot},
    transport::{Stream, Transport},
    worker::Worker,
};
use bytes::Bytes;
use std::{collections::HashMap, hash::BuildHasherDefault, io, rc::Rc, sync::Arc};
use tokio::net::TcpStream;
use tracing::debug;

/// A shared connection.
pub(crate) type Http2 = ::h2::client::SendRequest<Bytes>;

/// Kept connections by endpoint.
#[derive(Default)]
pub(crate) struct Pools(HashMap<u64, Pool, BuildHasherDefault<IdHasher>>);

/// Identifiers count up, so they are spread well enough as they are.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl std::hash::Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = id.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

struct Pool {
    endpoint: Held,
    /// The one used last is last.
    idle: Vec<Idle>,
    shared: Option<Shared>,
}

/// A shared connection, and the endpoint's life in which it was opened.
struct Shared {
    life: u64,
    sender: Http2,
}

struct Idle {
    connection: Transport,
    since_ms: u64,
}

impl Pools {
    /// A kept connection to `endpoint` that was in use at most `age_ms_max` ago and is quiet.
    pub(crate) fn take(
        &mut self,
        endpoint: &Endpoint,
        now_ms: u64,
        age_ms_max: u64,
    ) -> Option<Transport> {
        let pool = self.0.get_mut(&endpoint.id())?;
        while let Some(idle) =
            pool.idle.pop_if(|idle| now_ms.saturating_sub(idle.since_ms) <= age_ms_max)
        {
            // One that has something to say before it is asked has been closed, or is out of step.
            if idle.connection.is_quiet() {
                return Some(idle.connection);
            }
        }
        None
    }

    /// Keeps `connection` for the next request.
    pub(crate) fn keep(&mut self, endpoint: &Arc<Endpoint>, connection: Transport, now_ms: u64) {
        // Where others wait for room it makes room.
        if endpoint.is_draining() || endpoint.is_wanted() {
            return;
        }
        let pool = self.pool(endpoint);
        if pool.idle.len() < UPSTREAM_IDLE_MAX {
            pool.idle.push(Idle { connection, since_ms: now_ms });
        }
    }

    /// Lets go of one idle connection to each endpoint that has no room for others who want one.
    pub(crate) fn make_room(&mut self) {
        for pool in self.0.values_mut().filter(|pool| pool.endpoint.is_wanted()) {
            // The one that was not used for longest.
            if !pool.idle.is_empty() {
                pool.idle.remove(0);
            }
        }
    }

    /// The shared connection to `endpoint`.
    pub(crate) fn shared(&self, endpoint: &Endpoint) -> Option<Http2> {
        let shared = self.0.get(&endpoint.id())?.shared.as_ref()?;
        (shared.life == endpoint.life()).then(|| shared.sender.clone())
    }

    /// Shares a connection, opened in this `life` of the endpoint, with later requests.
    pub(crate) fn share(&mut self, endpoint: &Arc<Endpoint>, life: u64, connection: &Http2) {
        self.pool(endpoint).shared = Some(Shared { life, sender: connection.clone() });
    }

    /// Shares the connection to that endpoint no more, unless it is of another life.
    pub(crate) fn unshare(&mut self, endpoint: &Endpoint, life: u64) {
        if let Some(pool) = self.0.get_mut(&endpoint.id()) {
            pool.shared.take_if(|shared| shared.life == life);
        }
    }

    /// Lets go of what is closed, was idle for `age_ms_max` or belongs to an endpoint that drains.
    pub(crate) fn prune(&mut self, now_ms: u64, age_ms_max: u64) {
        self.0.retain(|_, pool| {
            if pool.endpoint.is_draining() {
                return false;
            }
            pool.idle.retain(|idle| {
                now_ms.saturating_sub(idle.since_ms) <= age_ms_max && idle.connection.is_quiet()
            });
            !pool.idle.is_empty() || pool.shared.is_some()
        });
    }

    /// The endpoint for this worker's requests.
    pub(crate) fn held(&mut self, endpoint: &Arc<Endpoint>) -> Held {
        Rc::clone(&self.pool(endpoint).endpoint)
    }

    fn pool(&mut self, endpoint: &Arc<Endpoint>) -> &mut Pool {
        self.0.entry(endpoint.id()).or_insert_with(|| Pool {
            endpoint: Rc::new(Arc::clone(endpoint)),
            idle: Vec::new(),
            shared: None,
        })
    }
}

/// Opens a connection. The caller limits how long that may take.
///
/// # Errors
/// When the instance refuses.
pub(crate) async fn connect(endpoint: &Endpoint) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(endpoint.address()).await?;
    // A port of the ephemeral range that nobody listens on can be connected to itself (simultaneous open).
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Opens an HTTP/1.1 connection.
pub(crate) async fn connect_own(endpoint: &Endpoint, slot: Slot) -> io::Result<Transport> {
    Ok(Transport::counted(Stream::Tcp(connect(endpoint).await?), slot))
}

/// Opens an HTTP/2 connection with prior knowledge, and shares it.
///
/// # Errors
/// When the instance refuses or speaks no HTTP/2.
pub(crate) async fn connect_shared(
    worker: &Rc<Worker>,
    endpoint: &Arc<Endpoint>,
) -> io::Result<Http2> {
    // Shared by any number of requests, so each worker has one, whatever the limit of connections.
    let life = endpoint.life();
    let slot = endpoint.connect(u32::MAX);
    let stream = connect(endpoint).await?;
    let mut builder = ::h2::client::Builder::new();
    builder.enable_push(false).initial_window_size(STREAM_WINDOW);
    let (sender, connection) = builder.handshake(stream).await.map_err(crate::h2::broken)?;
    worker.pools(|pools| pools.share(endpoint, life, &sender));
    let held = Arc::clone(endpoint);
    let home = Rc::downgrade(worker);
    worker.local().spawn(async move {
        let _slot = slot;
        if let Err(error) = connection.await {
            debug!(instance = %held.instance(), %error, "shared connection to an instance ended");
        }
        if let Some(worker) = home.upgrade() {
            worker.pools(|pools| pools.unshare(&held, life));
        }
    });
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::InstanceId;

    #[tokio::test]
    async fn a_connection_from_before_a_restart_is_not_used_again_though_it_seems_open() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let instance = InstanceId::parse("users/1").unwrap();
        let endpoint = Endpoint::new(instance, listener.local_addr().unwrap(), 1);
        let mut pools = Pools::default();
        let connect = async || connect_own(&endpoint, endpoint.connect(9).unwrap()).await.unwrap();
        pools.keep(&endpoint, connect().await, 0);
        assert!(pools.take(&endpoint, 1, 10).is_some(), "nothing has happened");
        pools.keep(&endpoint, connect().await, 0);
        // The same address again, before this worker could look.
        endpoint.drain();
        endpoint.revive(1);
        assert!(pools.take(&endpoint, 1, 10).is_none());
        pools.keep(&endpoint, connect().await, 0);
        assert!(pools.take(&endpoint, 1, 10).is_some());
    }
}
