//! Connections to those that the node asks by itself: listeners of the data plane, which lead to services, and servers
//! anywhere.
//!
//! A connection serves one exchange at a time, also over HTTP/2, and is driven by whoever has it: so none needs a task, and
//! dropping a request ends its exchange. Between exchanges nobody drives it; before it is used again it is asked whether the
//! other side has closed it.

use crate::app::{
    grpc::loopback,
    outside::{self, Io, Outside},
};
use base::ErrorChain;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// Most connections to one place, and so the most requests to it at a time. Subscriptions and transactions bound theirs far
/// below; this is for a service that has many.
const CONNECTIONS_MAX: usize = 256;

/// How long they are kept. The data plane keeps them for longer, so that it is rarely the one that closes.
const IDLE_TIME: Duration = Duration::from_secs(30);

/// How long those are kept that lead elsewhere: many servers close after five seconds, and a request that meets that is lost.
const IDLE_TIME_ELSEWHERE: Duration = Duration::from_secs(4);

/// How often connections are looked through that nobody has used for long.
const SWEEP_TIME: Duration = Duration::from_secs(1);

/// How long a connection to this machine may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there was no exchange.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nobody listens: nothing was sent.
    #[error("cannot be connected to: {0}")]
    Connect(String),
    /// It may or may not have been heard.
    #[error("the exchange broke off: {0}")]
    Broken(String),
}

/// An answer with its trailers. A body that was longer than allowed is empty.
pub(crate) type Answered = (Response<Bytes>, HeaderMap);

/// How the other side is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Version {
    Http1,
    /// Without TLS, by prior knowledge.
    Http2,
}

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// A listener on this machine.
    Listener(SocketAddr),
    /// A server anywhere; its host as it stands in a URL.
    Server { host: String, port: u16, is_tls: bool },
}

impl Place {
    fn idle_time(&self) -> Duration {
        match self {
            Self::Listener(_) => IDLE_TIME,
            Self::Server { .. } => IDLE_TIME_ELSEWHERE,
        }
    }
}

type Key = (Place, Version);

/// Connections.
pub(crate) struct Pool {
    kept: Mutex<Kept>,
    /// Most connections to one place that are kept without work.
    idle_max: usize,
    outside: Outside,
}

struct Kept {
    places: HashMap<Key, Connections>,
    swept: Instant,
}

/// What leads to one place.
struct Connections {
    idle: Vec<(Instant, Connection)>,
    room: Arc<Semaphore>,
}

enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>, Pin<Box<Driver1>>),
    Http2(h2::client::SendRequest<Bytes>, Box<Driver2>),
}

type Driver1 = http1::Connection<TokioIo<Box<dyn Io>>, Full<Bytes>>;
type Driver2 = h2::client::Connection<TcpStream, Bytes>;

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("idle_max", &self.idle_max).finish_non_exhaustive()
    }
}

/// An exchange that failed, with the request when it is certain that nothing of it was sent.
struct Failed {
    error: Error,
    unsent: Option<Box<Request<Bytes>>>,
}

impl Pool {
    /// Keeps up to `idle_max` connections to one place without work.
    pub(crate) fn new(idle_max: usize) -> Self {
        let kept = Kept { places: HashMap::new(), swept: Instant::now() };
        Self { kept: Mutex::new(kept), idle_max, outside: Outside::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // A panic between two accesses leaves a whole map.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there may be one more exchange.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn room(&self, place: Place, version: Version) -> Permit {
        let key = (place, version);
        let known = self.lock().places.get(&key).map(|connections| connections.room.clone());
        let room = match known {
            Some(room) => room,
            None => self.lock().places.entry(key.clone()).or_default().room.clone(),
        };
        Permit { _room: room.acquire_owned().await.ok(), key }
    }

    /// Sends a request, whose URI and host fit the place, and waits for the whole answer. It is sent once: a kept connection
    /// that turns out to be closed before anything was sent is replaced by another.
    ///
    /// # Cancel safety
    /// Dropping it ends the exchange and the connection.
    pub(crate) async fn exchange(
        &self,
        permit: &Permit,
        mut request: Request<Bytes>,
        size_max: usize,
    ) -> Result<Answered, Error> {
        loop {
            let (connection, is_kept) = match self.take(&permit.key) {
                Some(connection) => (connection, true),
                None => (self.open(&permit.key).await?, false),
            };
            match connection.exchange(request, size_max).await {
                Ok((answered, connection)) => {
                    if let Some(connection) = connection {
                        self.put(&permit.key, connection);
                    }
                    return Ok(answered);
                }
                // Each turn uses up a kept connection.
                Err(Failed { unsent: Some(unsent), .. }) if is_kept => request = *unsent,
                Err(Failed { error, .. }) => return Err(error),
            }
        }
    }

    fn take(&self, key: &Key) -> Option<Connection> {
        let idle_time = key.0.idle_time();
        let mut kept = self.lock();
        let idle = &mut kept.places.get_mut(key)?.idle;
        loop {
            let (since, mut connection) = idle.pop()?;
            if since.elapsed() < idle_time && !connection.is_closed() {
                return Some(connection);
            }
        }
    }

    fn put(&self, key: &Key, connection: Connection) {
        let now = Instant::now();
        let mut kept = self.lock();
        // Listeners come and go: what has not been used for long leads nowhere any more.
        if now.saturating_duration_since(kept.swept) >= SWEEP_TIME {
            kept.swept = now;
            kept.places.retain(|(place, _), connections| {
                let idle_time = place.idle_time();
                connections.idle.retain(|(since, _)| since.elapsed() < idle_time);
                // Whoever waits or has a permit holds the semaphore too.
                !connections.idle.is_empty() || Arc::strong_count(&connections.room) > 1
            });
        }
        // The permit of the one who gives it back keeps the place in the map.
        let Some(connections) = kept.places.get_mut(key) else { return };
        if connections.idle.len() < self.idle_max {
            connections.idle.push((now, connection));
        }
    }

    async fn open(&self, (place, version): &Key) -> Result<Connection, Error> {
        match (place, version) {
            (Place::Listener(address), Version::Http1) => {
                let io = listener(*address).await?;
                io.set_nodelay(true).map_err(|cause| unreachable(&cause))?;
                Connection::http1(Box::new(io)).await
            }
            (Place::Listener(address), Version::Http2) => {
                Connection::http2(listener(*address).await?).await
            }
            (Place::Server { host, port, is_tls }, Version::Http1) => {
                let io = self.outside.connect(host, Some(*port), *is_tls).await;
                Connection::http1(io.map_err(|cause| unreachable(&cause))?).await
            }
            (Place::Server { host, port, .. }, Version::Http2) => {
                let bare = host.trim_start_matches('[').trim_end_matches(']');
                let io = outside::connect(bare, *port).await;
                Connection::http2(io.map_err(|cause| unreachable(&cause))?).await
            }
        }
    }
}

async fn listener(address: SocketAddr) -> Result<TcpStream, Error> {
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    let late = || Err(io::ErrorKind::TimedOut.into());
    connected.unwrap_or_else(|_elapsed| late()).map_err(|cause| unreachable(&cause))
}

impl Default for Connections {
    fn default() -> Self {
        Self { idle: Vec::new(), room: Arc::new(Semaphore::new(CONNECTIONS_MAX)) }
    }
}

/// Allows one exchange.
pub(crate) struct Permit {
    _room: Option<OwnedSemaphorePermit>,
    key: Key,
}

impl Connection {
    async fn http1(io: Box<dyn Io>) -> Result<Self, Error> {
        let made = http1::handshake(TokioIo::new(io)).await;
        let (sender, driver) = made.map_err(|cause| broken(&cause))?;
        Ok(Self::Http1(sender, Box::pin(driver)))
    }

    async fn http2(io: TcpStream) -> Result<Self, Error> {
        let (sender, driver) = loopback::begin(io).await.map_err(|cause| broken(&cause))?;
        Ok(Self::Http2(sender, Box::new(driver)))
    }

    /// Whether the other side has closed it, or says that it will.
    fn is_closed(&mut self) -> bool {
        match self {
            Self::Http1(_, driver) => driver.as_mut().now_or_never().is_some(),
            Self::Http2(_, driver) => driver.now_or_never().is_some(),
        }
    }

    /// One exchange; also gives the connection when it can have another.
    async fn exchange(
        self,
        request: Request<Bytes>,
        size_max: usize,
    ) -> Result<(Answered, Option<Self>), Failed> {
        match self {
            Self::Http1(mut sender, mut driver) => {
                let (answered, may_go_on) = {
                    let work = std::pin::pin!(by_http1(&mut sender, request, size_max));
                    beside(work, &mut driver).await?
                };
                Ok((answered, may_go_on.then_some(Self::Http1(sender, driver))))
            }
            Self::Http2(sender, mut driver) => {
                let work = loopback::talk(sender.clone(), request, size_max)
                    .map(|done| done.map_err(|status| lost(status.message().to_owned())));
                let (response, trailers) = beside(std::pin::pin!(work), &mut driver).await?;
                Ok(((response, trailers), Some(Self::Http2(sender, driver))))
            }
        }
    }
}

/// Does `work` while its connection is driven.
async fn beside<T, W, D>(mut work: Pin<&mut W>, driver: &mut D) -> Result<T, Failed>
where
    W: Future<Output = Result<T, Failed>>,
    D: Future + Unpin,
{
    tokio::select! {
        done = work.as_mut() => return done,
        _ended = driver => {}
    }
    // What had come before the connection ended is still there.
    work.await
}

async fn by_http1(
    sender: &mut http1::SendRequest<Full<Bytes>>,
    request: Request<Bytes>,
    size_max: usize,
) -> Result<(Answered, bool), Failed> {
    if let Err(cause) = sender.ready().await {
        return Err(Failed { error: broken(&cause), unsent: Some(Box::new(request)) });
    }
    let sent = request.body().clone();
    let response = match sender.try_send_request(request.map(Full::new)).await {
        Ok(response) => response,
        Err(mut failed) => {
            let unsent = failed.take_message().map(|request| Box::new(request.map(|_| sent)));
            return Err(Failed { error: broken(failed.error()), unsent });
        }
    };
    let (head, body) = response.into_parts();
    let (body, is_whole) = match Limited::new(body, size_max).collect().await {
        Ok(body) => (body.to_bytes(), true),
        Err(e) if e.is::<LengthLimitError>() => (Bytes::new(), false),
        Err(e) => return Err(lost(e.to_string())),
    };
    Ok(((Response::from_parts(head, body), HeaderMap::new()), is_whole))
}

fn unreachable(cause: &dyn std::error::Error) -> Error {
    Error::Connect(ErrorChain(cause).to_string())
}

fn broken(cause: &dyn std::error::Error) -> Error {
    Error::Broken(ErrorChain(cause).to_string())
}

fn lost(words: String) -> Failed {
    Failed { error: Error::Broken(words), unsent: None }
}
