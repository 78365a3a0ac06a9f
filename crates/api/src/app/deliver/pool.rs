//! Connections to the listeners that lead to services.
//!
//! A connection serves one exchange at a time, also over HTTP/2, and is driven by whoever has it: so none needs a task, and
//! dropping a delivery ends its exchange. Between exchanges nobody drives it; before it is used again it is asked whether the
//! other side has closed it.

use crate::app::grpc::loopback;
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

/// Most connections to one listener, and so the most deliveries to one service at a time. Subscriptions bound theirs far
/// below; this is for a service that has many.
const CONNECTIONS_MAX: usize = 256;

/// Connections to one listener that are kept without work: those of a usual subscription.
const IDLE_MAX: usize = 16;

/// How long they are kept. The data plane keeps them for longer, so that it is rarely the one that closes.
const IDLE_TIME: Duration = Duration::from_secs(30);

/// How long a connection to this machine may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there was no exchange.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Nobody listens: nothing was sent.
    #[error("cannot be connected to")]
    Connect(#[source] io::Error),
    /// It may or may not have been heard.
    #[error("the exchange broke off: {0}")]
    Broken(String),
}

/// An answer with its trailers. A body that was longer than allowed is empty.
pub(super) type Answered = (Response<Bytes>, HeaderMap);

/// How the other side is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Version {
    Http1,
    Http2,
}

type Key = (SocketAddr, Version);

#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<HashMap<Key, Place>>);

/// What leads to one listener.
struct Place {
    idle: Vec<(Instant, Connection)>,
    room: Arc<Semaphore>,
}

enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>, Pin<Box<Driver1>>),
    Http2(h2::client::SendRequest<Bytes>, Box<Driver2>),
}

type Driver1 = http1::Connection<TokioIo<TcpStream>, Full<Bytes>>;
type Driver2 = h2::client::Connection<TcpStream, Bytes>;

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("idle", &self.idle.len()).finish_non_exhaustive()
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Place>> {
        // A panic between two accesses leaves a whole map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there may be one more exchange.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn room(&self, address: SocketAddr, version: Version) -> Permit {
        let room = self.lock().entry((address, version)).or_default().room.clone();
        Permit { _room: room.acquire_owned().await.ok(), key: (address, version) }
    }

    /// Sends a request, whose URI has the listener's address, and waits for the whole answer.
    ///
    /// # Cancel safety
    /// Dropping it ends the exchange and the connection.
    pub(super) async fn exchange(
        &self,
        permit: &Permit,
        request: Request<Bytes>,
        size_max: usize,
    ) -> Result<Answered, Error> {
        let connection = match self.take(permit.key) {
            Some(connection) => connection,
            None => Connection::open(permit.key).await?,
        };
        let (answered, connection) = connection.exchange(request, size_max).await?;
        if let Some(connection) = connection {
            self.put(permit.key, connection);
        }
        Ok(answered)
    }

    fn take(&self, key: Key) -> Option<Connection> {
        let mut places = self.lock();
        let idle = &mut places.get_mut(&key)?.idle;
        loop {
            let (since, mut connection) = idle.pop()?;
            if since.elapsed() < IDLE_TIME && !connection.is_closed() {
                return Some(connection);
            }
        }
    }

    fn put(&self, key: Key, connection: Connection) {
        let mut places = self.lock();
        // Listeners come and go: what has not been used for long leads nowhere any more.
        places.retain(|_, place| {
            place.idle.retain(|(since, _)| since.elapsed() < IDLE_TIME);
            // Whoever waits or has a permit holds the semaphore too.
            !place.idle.is_empty() || Arc::strong_count(&place.room) > 1
        });
        let place = places.entry(key).or_default();
        if place.idle.len() < IDLE_MAX {
            place.idle.push((Instant::now(), connection));
        }
    }
}

impl Default for Place {
    fn default() -> Self {
        Self { idle: Vec::new(), room: Arc::new(Semaphore::new(CONNECTIONS_MAX)) }
    }
}

/// Allows one exchange.
pub(super) struct Permit {
    _room: Option<OwnedSemaphorePermit>,
    key: Key,
}

impl Connection {
    async fn open((address, version): Key) -> Result<Self, Error> {
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        let late = || Err(io::ErrorKind::TimedOut.into());
        let io = connected.unwrap_or_else(|_elapsed| late()).map_err(Error::Connect)?;
        match version {
            Version::Http1 => {
                io.set_nodelay(true).map_err(Error::Connect)?;
                let (sender, driver) = http1::handshake(TokioIo::new(io)).await.map_err(broken)?;
                Ok(Self::Http1(sender, Box::pin(driver)))
            }
            Version::Http2 => {
                let (sender, driver) = loopback::begin(io).await.map_err(broken)?;
                Ok(Self::Http2(sender, Box::new(driver)))
            }
        }
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
    ) -> Result<(Answered, Option<Self>), Error> {
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
                    .map(|done| done.map_err(|status| Error::Broken(status.message().to_owned())));
                let (response, trailers) = beside(std::pin::pin!(work), &mut driver).await?;
                Ok(((response, trailers), Some(Self::Http2(sender, driver))))
            }
        }
    }
}

/// Does `work` while its connection is driven.
async fn beside<T, W, D>(mut work: Pin<&mut W>, driver: &mut D) -> Result<T, Error>
where
    W: Future<Output = Result<T, Error>>,
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
) -> Result<(Answered, bool), Error> {
    sender.ready().await.map_err(broken)?;
    let response = sender.send_request(request.map(Full::new)).await.map_err(broken)?;
    let (head, body) = response.into_parts();
    let (body, is_whole) = match Limited::new(body, size_max).collect().await {
        Ok(body) => (body.to_bytes(), true),
        Err(e) if e.is::<LengthLimitError>() => (Bytes::new(), false),
        Err(e) => return Err(Error::Broken(e.to_string())),
    };
    Ok(((Response::from_parts(head, body), HeaderMap::new()), is_whole))
}

fn broken(cause: impl std::error::Error) -> Error {
    Error::Broken(base::ErrorChain(&cause).to_string())
}
