//! Fetches a key set by HTTP or HTTPS, and nothing else.
//!
//! Over hyper's client without a pool: one request in ten minutes needs none.

use base::ErrorChain;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Method, Request, StatusCode, Uri, Version,
    body::Bytes,
    client::conn::http1,
    header::{ACCEPT, CONNECTION, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use policy::auth::jwks::{self, JWKS_SIZE_MAX, KeySet, Secrets};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::OnceCell,
};
use tokio_rustls::TlsConnector;

/// From the first look for the host to the last byte. Issuers answer in well under a second.
const PATIENCE: Duration = Duration::from_secs(10);

/// For one address of several to accept a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);

/// Addresses of a host that are tried.
const ADDRESSES_MAX: usize = 4;

/// Why keys could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("no `http` or `https` URL with a host")]
    Url,
    #[error("`{0}` cannot be found")]
    Resolve(String, #[source] io::Error),
    #[error("`{0}` cannot be connected to")]
    Connect(String, #[source] io::Error),
    #[error(
        "this machine has no certificates of authorities to check others with (package `ca-certificates`)"
    )]
    Roots,
    #[error("no TLS with `{0}`")]
    Tls(String, #[source] io::Error),
    #[error("no answer from `{0}`")]
    Exchange(String, #[source] hyper::Error),
    #[error("`{0}` answered {1}{2}")]
    Status(String, StatusCode, &'static str),
    #[error("the answer is larger than 256 KiB or broke off")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("no answer within 10 s")]
    Late,
    #[error("the answer is no key set")]
    Keys(#[source] jwks::Error),
}

/// Fetches key sets. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    /// Read at the first use: most systems never need it.
    tls: Arc<OnceCell<Arc<ClientConfig>>>,
}

impl Client {
    /// One that trusts these authorities instead of the machine's.
    #[cfg(test)]
    pub(super) fn trusting(roots: RootCertStore) -> Self {
        let config = config(roots).unwrap();
        Self { tls: Arc::new(OnceCell::new_with(Some(config))) }
    }

    /// The keys that are at `url` now.
    pub(super) async fn keys(&self, url: &str) -> Result<KeySet, FetchError> {
        let body = tokio::time::timeout(PATIENCE, self.get(url));
        let body = body.await.map_err(|_elapsed| FetchError::Late)??;
        KeySet::from_jwks(&body, Secrets::Refused).map_err(FetchError::Keys)
    }

    async fn get(&self, url: &str) -> Result<Bytes, FetchError> {
        let uri: Uri = url.parse().map_err(|_invalid| FetchError::Url)?;
        let host = uri.host().ok_or(FetchError::Url)?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(FetchError::Url),
        };
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let stream = connect(bare, port).await?;
        if !is_tls {
            return exchange(stream, &uri, host).await;
        }
        let config = self.tls.get_or_try_init(roots).await?;
        let name = ServerName::try_from(bare.to_owned()).map_err(|_invalid| FetchError::Url)?;
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
        exchange(stream.map_err(|cause| FetchError::Tls(host.to_owned(), cause))?, &uri, host).await
    }
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, FetchError> {
    let found = tokio::net::lookup_host((host, port)).await;
    let found = found.map_err(|cause| FetchError::Resolve(host.to_owned(), cause))?;
    let addresses: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match tokio::time::timeout(CONNECT_PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_elapsed) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(FetchError::Connect(host.to_owned(), last))
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    uri: &Uri,
    host: &str,
) -> Result<Bytes, FetchError> {
    let failed = |cause| FetchError::Exchange(host.to_owned(), cause);
    let (mut sender, connection) =
        http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await.map_err(failed)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::builder()
        .method(Method::GET)
        .version(Version::HTTP_11)
        .uri(path)
        .header(HOST, uri.authority().map_or(host, |authority| authority.as_str()))
        .header(ACCEPT, "application/jwk-set+json, application/json")
        .header(USER_AGENT, concat!("flotilla/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .body(Empty::new())
        .map_err(|_invalid| FetchError::Url)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        if status != StatusCode::OK {
            let why = if status.is_redirection() { ", and redirects are not followed" } else { "" };
            return Err(FetchError::Status(host.to_owned(), status, why));
        }
        let body = Limited::new(response.into_body(), JWKS_SIZE_MAX).collect().await;
        Ok(body.map_err(FetchError::Body)?.to_bytes())
    };
    // The connection is driven here, not by a task of its own: it lives as long as this one answer.
    let mut driver = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        ended = &mut driver => {
            ended.map_err(failed)?;
            // What had come before the end is still to be read.
            answer.await
        }
    }
}

/// The authorities that this machine trusts.
async fn roots() -> Result<Arc<ClientConfig>, FetchError> {
    let store = runtime::blocking(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(error = %ErrorChain(error), "some authorities' certificates cannot be read");
        }
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(found.certs);
        store
    });
    let store = store.await;
    if store.is_empty() { Err(FetchError::Roots) } else { config(store) }
}

fn config(roots: RootCertStore) -> Result<Arc<ClientConfig>, FetchError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder =
        builder.map_err(|cause| FetchError::Tls("anybody".to_owned(), io::Error::other(cause)))?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
