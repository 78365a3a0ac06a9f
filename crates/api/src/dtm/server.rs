//! Listeners and connections of DTM's two ports.

use super::{Desk, grpc::Dtm, http};
use crate::{answer::Answer, patience::Patience};
use ::http::{
    HeaderValue, Method, Request, Response, StatusCode, header, request::Parts, uri::Authority,
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{
    body::Incoming,
    rt::Executor,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use proto::dtm::dtm_server::DtmServer;
use runtime::{Stop, TaskSet};
use std::{
    convert::Infallible, future::Future, io, net::IpAddr, pin::Pin, sync::Arc, time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, watch},
};
use tonic::{body::Body, codegen::Service as _};
use tracing::{debug, warn};

/// Largest body of a request in bytes: above the largest record of a transaction, whose refusal says more.
const BODY_LEN_MAX: usize = 2 << 20;
/// How long a client may take for a head, and for a body.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take nothing of what is sent to it.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest head in bytes, and most headers.
const HEAD_LEN_MAX: usize = 32 << 10;
const HEADERS_MAX: usize = 100;
/// Most calls of one gRPC connection at the same time: clients send all of theirs over one.
const CALLS_MAX: u32 = 256;
/// A connection on which nothing comes is asked whether somebody is still there.
const ALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// Wait after a failed accept (no file descriptors left): others must close some first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long open requests may take when the server ends.
const END_GRACE: Duration = Duration::from_secs(2);

/// What a port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    Http,
    Grpc,
}

/// Accepts connections until the server ends. At `connections_max` it waits with accepting; the system keeps the next ones in its
/// queue.
pub(super) async fn listen(
    listener: TcpListener,
    speaks: Speaks,
    desk: Desk,
    connections_max: usize,
    mut retiring: watch::Receiver<Option<Duration>>,
    mut stop: Stop,
) {
    let mut connections = TaskSet::new("dtm connections");
    let places = Arc::new(Semaphore::new(connections_max));
    let is_local = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
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
            Ok((io, _)) => {
                let desk = desk.clone();
                connections.spawn("dtm connection", move |stop| async move {
                    match speaks {
                        Speaks::Http => http1(io, desk, is_local, stop).await,
                        Speaks::Grpc => http2(io, desk, stop).await,
                    }
                    drop(place);
                });
            }
            // Who gave up between connecting and being accepted is no trouble.
            Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(e) => {
                warn!(error = %e, "cannot accept connections of DTM clients");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let patience = retiring.borrow().unwrap_or(END_GRACE);
    connections.shutdown(patience).await;
}

async fn http1(io: TcpStream, desk: Desk, is_local: bool, mut stop: Stop) {
    // Small answers that wait for each other's acknowledgement would be slow.
    let _unset = io.set_nodelay(true);
    let service = service_fn(|request: Request<Incoming>| {
        let desk = desk.clone();
        async move { Ok::<_, Infallible>(answer(request, &desk, is_local).await) }
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
        debug!(error = %e, "a connection of a DTM client ended early");
    }
}

async fn answer(request: Request<Incoming>, desk: &Desk, is_local: bool) -> Answer {
    let (parts, body) = request.into_parts();
    if let Some(refused) = from_a_page(&parts, is_local) {
        return refused;
    }
    match read(body).await {
        Ok(body) => http::answer(desk, &parts, &body).await,
        Err(refused) => http::refused(refused.0, &refused.1),
    }
}

/// The protocol has no secret, so a page of any site could speak to a port of this machine through its visitor's browser: who comes
/// from a page is refused, and so is a name that only a name server can have led here.
fn from_a_page(parts: &Parts, is_local: bool) -> Option<Answer> {
    let has = |name: &str| parts.headers.contains_key(name);
    if has("origin") || has("sec-fetch-site") {
        return Some(http::refused(
            StatusCode::FORBIDDEN,
            "this port is not for pages of a browser",
        ));
    }
    if !is_local {
        return None;
    }
    let host = parts.headers.get(header::HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    let host = Authority::try_from(host).ok();
    let name = host.as_ref().map_or("", Authority::host);
    let is_here = name.eq_ignore_ascii_case("localhost")
        || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    (!is_here).then(|| {
        let words = "this port listens on loopback: call it by localhost or its address";
        http::refused(StatusCode::FORBIDDEN, words)
    })
}

type Unread = (StatusCode, String);

async fn read(body: Incoming) -> Result<Bytes, Unread> {
    let read = Limited::new(body, BODY_LEN_MAX).collect();
    match tokio::time::timeout(READ_TIMEOUT, read).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(e)) if e.is::<LengthLimitError>() => {
            let words = format!("the body is longer than {BODY_LEN_MAX} bytes");
            Err((StatusCode::PAYLOAD_TOO_LARGE, words))
        }
        Ok(Err(e)) => Err((StatusCode::BAD_REQUEST, format!("the body cannot be read: {e}"))),
        Err(_elapsed) => {
            let words = format!("the body did not come within {} s", READ_TIMEOUT.as_secs());
            Err((StatusCode::REQUEST_TIMEOUT, words))
        }
    }
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Gives the calls of a connection to the task of the connection, so that they end with it.
#[derive(Clone)]
struct Together(mpsc::UnboundedSender<Work>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Together {
    fn execute(&self, work: F) {
        // The connection has ended when nobody takes it. At most `CALLS_MAX` wait here, because the connection refuses more.
        let _ended = self.0.send(Box::pin(work));
    }
}

async fn http2(io: TcpStream, desk: Desk, mut stop: Stop) {
    let _unset = io.set_nodelay(true);
    let server = DtmServer::new(Dtm(desk)).max_decoding_message_size(BODY_LEN_MAX);
    let service = service_fn(move |request: Request<Incoming>| {
        let server = server.clone();
        async move { Ok::<_, Infallible>(call(server, request).await) }
    });
    let (work, mut works) = mpsc::unbounded_channel();
    let connection = http2::Builder::new(Together(work))
        .timer(TokioTimer::new())
        .max_concurrent_streams(CALLS_MAX)
        .max_header_list_size(32 << 10)
        .keep_alive_interval(ALIVE_INTERVAL)
        .serve_connection(TokioIo::new(Patience::new(io, STALL_TIMEOUT)), service);
    let mut connection = std::pin::pin!(connection);
    let mut calls = FuturesUnordered::<Work>::new();
    let mut is_ending = false;
    let result = loop {
        tokio::select! {
            result = connection.as_mut() => break result,
            Some(work) = works.recv() => calls.push(work),
            Some(()) = calls.next(), if !calls.is_empty() => {}
            () = stop.wait(), if !is_ending => {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    if let Err(e) = result {
        debug!(error = %e, "a gRPC connection of a DTM client ended early");
    }
}

async fn call(mut server: DtmServer<Dtm>, request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let kind = parts.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if parts.method != Method::POST
        || !kind.is_some_and(|kind| kind.starts_with(b"application/grpc"))
    {
        let mut refused = Response::new(Body::empty());
        *refused.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return refused;
    }
    // Read whole and first, so that a client that sends half a message holds nothing.
    let body = match read(body).await {
        Ok(body) => body,
        Err((_, words)) => return tonic::Status::resource_exhausted(words).into_http(),
    };
    let Ok(answer) = server.call(Request::from_parts(parts, Full::new(body))).await;
    answer
}
