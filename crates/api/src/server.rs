//! Listeners, connections, and the way of a request: guard → table → body → handler.

use crate::{
    answer::{Answer, Problem},
    backend::Backend,
    context::Context,
    guard::{Guard, Verdict},
    page,
    params::Params,
    patience::Patience,
    routes::{self, Endpoint},
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use runtime::{Stop, TaskSet};
use std::{convert::Infallible, io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::{Semaphore, watch},
};
use tracing::{debug, warn};

/// Largest body of a request, in bytes; the largest real one is a `run` with a big environment.
const BODY_LEN_MAX: usize = 1 << 20;
/// How long a client may take for a head, and for a body.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take nothing of what is sent to it.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest head, in bytes, and most headers; a browser on localhost sends the cookies of all other ports too.
const HEAD_LEN_MAX: usize = 32 << 10;
const HEADERS_MAX: usize = 100;
/// Wait after a failed accept (no file descriptors left): others must close some first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long open requests may take when the server ends. Streams end at once, all other requests take
/// milliseconds.
const END_GRACE: Duration = Duration::from_secs(2);

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) table: Vec<Endpoint>,
    pub(crate) document: Bytes,
    pub(crate) streams: Arc<Semaphore>,
    /// Set when another node takes over: how long open requests may go on.
    pub(crate) retiring: watch::Receiver<Option<Duration>>,
}

pub(crate) enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener, Guard),
}

pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Listener {
    async fn accept(&self) -> io::Result<Box<dyn Io>> {
        match self {
            Self::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
            Self::Tcp(listener, _) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
        }
    }

    fn guard(&self) -> Option<Guard> {
        match self {
            Self::Unix(_) => None,
            Self::Tcp(_, guard) => Some(guard.clone()),
        }
    }
}

/// Accepts connections until the server ends. At `connections_max` it waits with accepting; the system keeps the
/// next ones in its queue.
pub(crate) async fn listen(
    listener: Listener,
    shared: Arc<Shared>,
    connections_max: usize,
    mut stop: Stop,
) {
    let mut connections = TaskSet::new("api connections");
    let places = Arc::new(Semaphore::new(connections_max));
    let guard = listener.guard().map(Arc::new);
    let mut retiring = shared.retiring.clone();
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            biased;
            () = stop.wait() => break,
            _ = retiring.wait_for(Option::is_some) => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok(io) => {
                let (shared, guard) = (shared.clone(), guard.clone());
                connections.spawn("api connection", |stop| async move {
                    serve(io, shared, guard, stop).await;
                    drop(place);
                });
            }
            // Who gave up between connecting and being accepted is no trouble.
            Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(e) => {
                warn!(error = %e, "cannot accept connections to the admin API");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let patience = retiring.borrow().unwrap_or(END_GRACE);
    connections.shutdown(patience).await;
}

pub(crate) async fn serve(
    io: Box<dyn Io>,
    shared: Arc<Shared>,
    guard: Option<Arc<Guard>>,
    mut stop: Stop,
) {
    let streams_stop = stop.clone();
    let service = service_fn(|request| {
        let (shared, guard, stop) = (shared.clone(), guard.clone(), streams_stop.clone());
        async move { Ok::<_, Infallible>(answer(request, &shared, guard.as_deref(), stop).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_TIMEOUT)
        .max_buf_size(HEAD_LEN_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(Patience::new(io, STALL_TIMEOUT)), service);
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.wait() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(e) = result {
        // A client that goes away in the middle is its own business.
        debug!(error = %e, "a connection to the admin API ended early");
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: &Shared,
    guard: Option<&Guard>,
    stop: Stop,
) -> Answer {
    let (parts, body) = request.into_parts();
    match route(&parts, body, shared, guard, stop).await {
        Ok(answer) => answer,
        Err(problem) => problem.answer(),
    }
}

async fn route(
    parts: &Parts,
    body: Incoming,
    shared: &Shared,
    guard: Option<&Guard>,
    stop: Stop,
) -> Result<Answer, Problem> {
    if let Some(guard) = guard {
        match guard.check(parts)? {
            Verdict::Pass => {}
            Verdict::LogIn { cookie, location } => return log_in(&cookie, &location),
        }
    }
    let path = parts.uri.path();
    if parts.method == Method::GET
        && let Some(file) = page::find(path, &parts.headers)
    {
        return Ok(file);
    }
    let (endpoint, values) = routes::find(&shared.table, &parts.method, path)?;
    let params = Params::read(parts.uri.query().unwrap_or_default(), &endpoint.params)?;
    let body = read_body(body).await?;
    if endpoint.request.is_none() && !matches!(&*body, b"" | b"{}") {
        return Err(Problem::bad_request(format!("{path} takes no body")));
    }
    let context = Context {
        backend: shared.backend.clone(),
        values,
        params,
        headers: parts.headers.clone(),
        body,
        stop,
        streams: shared.streams.clone(),
        document: shared.document.clone(),
    };
    (endpoint.handler)(context).await
}

async fn read_body(body: Incoming) -> Result<Bytes, Problem> {
    let too_large = || {
        let message = format!("the body is longer than {BODY_LEN_MAX} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", message)
    };
    // Refused by its announced length before it is sent.
    if body.size_hint().lower() > u64::try_from(BODY_LEN_MAX).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    let read = Limited::new(body, BODY_LEN_MAX).collect();
    match tokio::time::timeout(READ_TIMEOUT, read).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(e)) if e.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(e)) => Err(Problem::bad_request(format!("the body cannot be read: {e}"))),
        Err(_elapsed) => {
            let message = format!("the body did not come within {} s", READ_TIMEOUT.as_secs());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", message))
        }
    }
}

fn log_in(cookie: &str, location: &str) -> Result<Answer, Problem> {
    let unusable = |_e| Problem::bad_request("the address cannot be used");
    let mut answer = crate::answer::body_of(
        StatusCode::SEE_OTHER,
        "text/plain; charset=utf-8",
        Full::default().boxed_unsync(),
    );
    let headers = answer.headers_mut();
    headers.insert(header::SET_COOKIE, HeaderValue::from_str(cookie).map_err(unusable)?);
    headers.insert(header::LOCATION, HeaderValue::from_str(location).map_err(unusable)?);
    Ok(answer)
}
