//! Passes a request of an app on to the node that has taken over from this one.

use super::{
    body,
    fault::Fault,
    grpc,
    outside::{Connection, Flow, drive},
};
use base::ErrorChain;
use http::{Request, Response, Version};
use http_body_util::BodyExt as _;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use proxy::local::{BoxBody, BoxError, LocalBody, Look};
use std::{future::Future, net::SocketAddr, pin::pin, time::Duration};
use tokio::net::TcpStream;

/// For a listener of this machine to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks the app listener at `to`, which another process has by now. Bodies flow both ways.
pub async fn relay(to: SocketAddr, request: Request<LocalBody>) -> Response<BoxBody> {
    let (parts, body) = request.into_parts();
    let is_grpc = Look::at(&parts).is_grpc();
    match exchange(to, Request::from_parts(parts, body)).await {
        Ok(answer) => answer,
        Err(error) => refused(is_grpc, &ErrorChain(&*error).to_string()),
    }
}

/// The answer to a request that comes while one node takes over from another, and neither is there in time.
#[must_use]
pub fn away(request: &Request<LocalBody>) -> Response<BoxBody> {
    let is_grpc = request.version() == Version::HTTP_2
        && request
            .headers()
            .get(http::header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    refused(is_grpc, "the node is being started")
}

fn refused(is_grpc: bool, why: &str) -> Response<BoxBody> {
    let fault = Fault::away(why);
    body::whole(if is_grpc { grpc::refusal(&fault) } else { fault.answer() })
}

async fn exchange(
    to: SocketAddr,
    mut request: Request<LocalBody>,
) -> Result<Response<BoxBody>, BoxError> {
    let connecting = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(to));
    let stream = connecting.await??;
    stream.set_nodelay(true)?;
    let io = TokioIo::new(stream);
    if request.version() != Version::HTTP_2 {
        let (mut sender, connection) = http1::handshake(io).await?;
        return driven(sender.send_request(request), async { drop(connection.await) }).await;
    }
    // HTTP/2 has the host in the address of the request.
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let authority = request.headers().get(http::header::HOST);
    let authority = authority.and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    *request.uri_mut() = format!("http://{authority}{path}").parse()?;
    request.headers_mut().remove(http::header::HOST);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
    driven(sender.send_request(request), async { drop(connection.await) }).await
}

async fn driven(
    sending: impl Future<Output = Result<Response<Incoming>, hyper::Error>>,
    connection: impl Future<Output = ()> + Send + 'static,
) -> Result<Response<BoxBody>, BoxError> {
    let mut connection: Option<Connection> = Some(Box::pin(connection));
    let mut sending = pin!(sending);
    let answer = std::future::poll_fn(|context| {
        drive(&mut connection, context);
        sending.as_mut().poll(context)
    });
    let answer = answer.await?;
    Ok(answer.map(|body| Flow { connection, body }.boxed_unsync()))
}
