//! Calls of addresses outside the system: `http://host`, `https://host`, or a name that stands for one.
//!
//! Bodies flow both ways. Nothing is retried: whether a call may be repeated is the caller's knowledge.

use super::{
    Caller, Shared, body, bridge,
    direct::{self, Invocation, Target},
    fault::Fault,
};
use base::ErrorChain;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, Uri, Version, header, request::Parts};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use proxy::local::{BoxBody, BoxError, LocalBody};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::OnceCell,
};
use tokio_rustls::TlsConnector;

/// For one address of several to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Addresses of a host that are tried.
const ADDRESSES_MAX: usize = 4;

/// How long the head of an answer may take; Dapr's own clients wait a minute.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// What only the node needs to know.
const OWN: [HeaderName; 5] = [
    HeaderName::from_static("dapr-app-id"),
    HeaderName::from_static("dapr-api-token"),
    HeaderName::from_static("dapr-caller-app-id"),
    HeaderName::from_static("dapr-caller-namespace"),
    HeaderName::from_static("dapr-callee-app-id"),
];

pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// What calls outside share.
#[derive(Default)]
pub(crate) struct Outside {
    /// Read at the first use: most systems never need it.
    tls: OnceCell<Arc<ClientConfig>>,
}

/// Why an address outside does not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("`{0}` is no address such as https://example.com")]
    Address(String),
    #[error("`{0}` cannot be found")]
    Resolve(String, #[source] io::Error),
    #[error("`{0}` cannot be connected to")]
    Connect(String, #[source] io::Error),
    #[error("this machine has no certificates of authorities (package `ca-certificates`)")]
    Roots,
    #[error("no TLS with `{0}`")]
    Tls(String, #[source] BoxError),
    #[error("no answer from `{0}`")]
    Exchange(String, #[source] hyper::Error),
    #[error("`{0}` did not answer within 60 s")]
    Late(String),
}

/// Answers an invocation that the data plane does not carry: to an address outside, or to an app that speaks gRPC.
pub(super) async fn answer(
    shared: Arc<Shared>,
    caller: Caller,
    invocation: Invocation<'_>,
    parts: Parts,
    body: LocalBody,
) -> Response<BoxBody> {
    let outcome = match direct::resolve(&*shared.backend, &caller, &invocation.app) {
        Ok(Target::Service(_)) => {
            return bridge::answer(&shared, &caller, &invocation, parts, body).await;
        }
        Ok(Target::Outside(base)) => {
            let call = shared.outside.call(&base, &invocation, parts, body);
            match tokio::time::timeout(ANSWER_TIMEOUT, call).await {
                Ok(answer) => answer,
                Err(_elapsed) => Err(Error::Late(base)),
            }
        }
        Err(fault) => return body::whole(fault.answer()),
    };
    outcome.unwrap_or_else(|e| body::whole(Fault::invoke(&invocation.app, ErrorChain(&e)).answer()))
}

impl Outside {
    async fn call(
        &self,
        base: &str,
        invocation: &Invocation<'_>,
        parts: Parts,
        body: LocalBody,
    ) -> Result<Response<BoxBody>, Error> {
        let unusable = || Error::Address(base.to_owned());
        let uri: Uri = base.parse().map_err(|_invalid| unusable())?;
        let authority = uri.authority().ok_or_else(unusable)?.clone();
        // A user and password of an address would go to whoever reads the host.
        if authority.as_str().contains('@') {
            return Err(unusable());
        }
        let is_tls = uri.scheme_str() == Some("https");
        let io = self.connect(authority.host(), uri.port_u16(), is_tls).await?;
        let path = format!("{}{}", uri.path().trim_end_matches('/'), invocation.path);
        let path: Uri = path.parse().map_err(|_invalid| unusable())?;
        let mut request = Request::from_parts(parts, body);
        *request.uri_mut() = path;
        *request.version_mut() = Version::HTTP_11;
        let headers = request.headers_mut();
        for name in &OWN {
            headers.remove(name);
        }
        if invocation.is_authorization {
            headers.remove(header::AUTHORIZATION);
        }
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_invalid| unusable())?;
        headers.insert(header::HOST, host);
        exchange(io, authority.as_str(), request).await
    }

    /// Connects to a host, as it stands in a URL.
    ///
    /// # Errors
    /// All but those of an exchange.
    pub(crate) async fn connect(
        &self,
        host: &str,
        port: Option<u16>,
        is_tls: bool,
    ) -> Result<Box<dyn Io>, Error> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let stream = connect(bare, port.unwrap_or(if is_tls { 443 } else { 80 })).await?;
        if !is_tls {
            return Ok(Box::new(stream));
        }
        let config = self.tls.get_or_try_init(roots).await?;
        let failed = |cause: BoxError| Error::Tls(host.to_owned(), cause);
        let name = ServerName::try_from(bare.to_owned()).map_err(|e| failed(e.into()))?;
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
        Ok(Box::new(stream.map_err(|e| failed(e.into()))?))
    }
}

/// Connects to the first address of a host that takes it.
pub(crate) async fn connect(host: &str, port: u16) -> Result<TcpStream, Error> {
    let found = tokio::net::lookup_host((host, port)).await;
    let found = found.map_err(|cause| Error::Resolve(host.to_owned(), cause))?;
    let addresses: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_elapsed) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(Error::Connect(host.to_owned(), last))
}

async fn roots() -> Result<Arc<ClientConfig>, Error> {
    let found = runtime::blocking(rustls_native_certs::load_native_certs).await;
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        return Err(Error::Roots);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Tls("any host".to_owned(), e.into()))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

pub(super) type Connection = Pin<Box<dyn Future<Output = ()> + Send>>;

async fn exchange(
    io: Box<dyn Io>,
    host: &str,
    request: Request<LocalBody>,
) -> Result<Response<BoxBody>, Error> {
    let failed = |cause| Error::Exchange(host.to_owned(), cause);
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(failed)?;
    let mut connection: Option<Connection> = Some(Box::pin(async move {
        // How it ended shows in the answer, which sees the same error.
        let _ended = connection.await;
    }));
    let mut sent = std::pin::pin!(sender.send_request(request));
    let answer = std::future::poll_fn(|context| {
        drive(&mut connection, context);
        sent.as_mut().poll(context)
    });
    let answer = answer.await.map_err(failed)?;
    Ok(answer.map(|body| Flow { connection, body }.boxed_unsync()))
}

pub(super) fn drive(connection: &mut Option<Connection>, context: &mut Context<'_>) {
    if let Some(running) = connection
        && running.as_mut().poll(context).is_ready()
    {
        *connection = None;
    }
}

/// The body of an answer, with the connection that brings it: no task of its own is needed, and dropping it closes
/// the connection.
pub(super) struct Flow {
    pub(super) connection: Option<Connection>,
    pub(super) body: Incoming,
}

impl Body for Flow {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        drive(&mut this.connection, context);
        let frame = Pin::new(&mut this.body).poll_frame(context);
        frame.map(|frame| frame.map(|frame| frame.map_err(BoxError::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
