//! One worker's connections to instances.
//!
//! HTTP/1.1 connections carry one request at a time and are kept between requests; HTTP/2 ones (gRPC)
//! are shared. Nothing of an endpoint that drains is kept: servers that shut down wait for their
//! clients to hang up.

use crate::{
    body::Upload,
    config::{HEAD_SIZE_MAX, HEADERS_MAX, UPSTREAM_IDLE_MAX},
    endpoint::Endpoint,
    worker::{LocalExecutor, Worker},
};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use std::{collections::HashMap, io, rc::Rc, sync::Arc};
use tokio::net::TcpStream;
use tracing::debug;

pub(crate) type Http1 = http1::SendRequest<Upload>;
pub(crate) type Http2 = http2::SendRequest<Upload>;

/// Kept connections by endpoint.
#[derive(Default)]
pub(crate) struct Pools(HashMap<u64, Pool>);

struct Pool {
    endpoint: Arc<Endpoint>,
    /// The one used last is last.
    idle: Vec<Idle>,
    shared: Option<Http2>,
}

struct Idle {
    connection: Http1,
    since_ms: u64,
}

impl Pools {
    /// A kept connection to `endpoint` that was in use at most `age_ms_max` ago.
    pub(crate) fn take(
        &mut self,
        endpoint: &Endpoint,
        now_ms: u64,
        age_ms_max: u64,
    ) -> Option<Http1> {
        let pool = self.0.get_mut(&endpoint.id())?;
        while let Some(idle) = pool.idle.pop_if(|idle| now_ms - idle.since_ms <= age_ms_max) {
            if !idle.connection.is_closed() {
                return Some(idle.connection);
            }
        }
        None
    }

    /// Keeps `connection` for the next request.
    pub(crate) fn keep(&mut self, endpoint: &Arc<Endpoint>, connection: Http1, now_ms: u64) {
        if endpoint.is_draining() || connection.is_closed() {
            return;
        }
        let pool = self.pool(endpoint);
        if pool.idle.len() < UPSTREAM_IDLE_MAX {
            pool.idle.push(Idle { connection, since_ms: now_ms });
        }
    }

    /// The shared connection to `endpoint`.
    pub(crate) fn shared(&mut self, endpoint: &Endpoint) -> Option<Http2> {
        let pool = self.0.get_mut(&endpoint.id())?;
        pool.shared = pool.shared.take().filter(|connection| !connection.is_closed());
        pool.shared.clone()
    }

    /// Shares `connection` with later requests.
    pub(crate) fn share(&mut self, endpoint: &Arc<Endpoint>, connection: &Http2) {
        self.pool(endpoint).shared = Some(connection.clone());
    }

    /// Lets go of what is closed, was idle for `age_ms_max` or belongs to an endpoint that drains.
    pub(crate) fn prune(&mut self, now_ms: u64, age_ms_max: u64) {
        self.0.retain(|_, pool| {
            if pool.endpoint.is_draining() {
                return false;
            }
            pool.idle.retain(|idle| {
                now_ms - idle.since_ms <= age_ms_max && !idle.connection.is_closed()
            });
            pool.shared = pool.shared.take().filter(|connection| !connection.is_closed());
            !pool.idle.is_empty() || pool.shared.is_some()
        });
    }

    fn pool(&mut self, endpoint: &Arc<Endpoint>) -> &mut Pool {
        self.0.entry(endpoint.id()).or_insert_with(|| Pool {
            endpoint: Arc::clone(endpoint),
            idle: Vec::new(),
            shared: None,
        })
    }
}

/// Opens an HTTP/1.1 connection.
///
/// # Errors
/// When the instance does not answer in time or refuses.
pub(crate) async fn connect(worker: &Rc<Worker>, endpoint: &Endpoint) -> io::Result<Http1> {
    let stream = open(worker, endpoint).await?;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_SIZE_MAX).max_headers(HEADERS_MAX);
    let (sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let instance = endpoint.instance().clone();
    worker.local().spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            debug!(%instance, %error, "connection to an instance ended");
        }
    });
    Ok(sender)
}

/// Opens an HTTP/2 connection with prior knowledge.
///
/// # Errors
/// When the instance does not answer in time, refuses, or speaks no HTTP/2.
pub(crate) async fn connect_shared(worker: &Rc<Worker>, endpoint: &Endpoint) -> io::Result<Http2> {
    let stream = open(worker, endpoint).await?;
    let (sender, connection) = http2::Builder::new(LocalExecutor(worker.local().clone()))
        .timer(hyper_util::rt::TokioTimer::new())
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let instance = endpoint.instance().clone();
    worker.local().spawn(async move {
        if let Err(error) = connection.await {
            debug!(%instance, %error, "shared connection to an instance ended");
        }
    });
    Ok(sender)
}

async fn open(worker: &Worker, endpoint: &Endpoint) -> io::Result<TcpStream> {
    let connect = TcpStream::connect(endpoint.address());
    let stream = match tokio::time::timeout(worker.config().connect_timeout, connect).await {
        Ok(stream) => stream?,
        Err(_) => return Err(io::ErrorKind::TimedOut.into()),
    };
    // A port of the ephemeral range that nobody listens on can be connected to itself (simultaneous open).
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    stream.set_nodelay(true)?;
    Ok(stream)
}
