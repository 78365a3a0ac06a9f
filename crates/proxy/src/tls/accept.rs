//! One handshake.

use super::{HANDSHAKE_TIMEOUT, Tls, WRITE_BUFFER_MAX, names::Names};
use rustls::{HandshakeKind, ProtocolVersion, ServerConnection};
use std::{fmt, io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

/// A client connection that speaks TLS.
pub type TlsStream = tokio_rustls::server::TlsStream<TcpStream>;

/// The protocol that client and server agreed on (RFC 7301). A client that names none speaks HTTP/1.1; one
/// that names only others is refused with the alert for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// `http/1.1`, or the client said nothing.
    Http1,
    /// `h2`.
    Http2,
}

/// The version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2
    Tls12,
    /// 1.3
    Tls13,
}

/// What a handshake settled. Kept as long as its connection.
#[derive(Clone)]
pub struct Session {
    /// What to speak.
    pub alpn: Alpn,
    /// How it is protected.
    pub version: TlsVersion,
    /// The client came back with a session it had before, which spares the costly part.
    pub is_resumed: bool,
    server_name: Option<Box<str>>,
    names: Arc<Names>,
}

impl Session {
    /// The host the client asked for with SNI (RFC 6066 section 3), in lower case. `None`: it named none, as
    /// clients do that were given an address.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// Whether a request for `host` (of `Host` or `:authority`, without the port) may come over this
    /// connection. If not, the answer is 421 Misdirected Request (RFC 9110 section 15.5.20), upon which
    /// browsers ask again over another connection.
    ///
    /// It may when `host` is the one of the handshake, or one that has a certificate in common with it:
    /// HTTP/2 clients share a connection among the hosts of its certificate (RFC 9113 section 9.1.1).
    /// Hosts that no certificate names all belong to the first certificate. With one certificate
    /// nothing is ever refused. A client that named no host is not held to one.
    #[must_use]
    pub fn serves(&self, host: &str) -> bool {
        let Some(name) = &self.server_name else { return true };
        name.eq_ignore_ascii_case(host) || self.names.share(name, host)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("alpn", &self.alpn)
            .field("version", &self.version)
            .field("is_resumed", &self.is_resumed)
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Does the handshake on a new connection. A client that speaks plain HTTP is told in plain HTTP that it
    /// must not (400), as nginx does.
    ///
    /// # Errors
    /// `TimedOut` when it takes longer than 10 s, `InvalidData` for what is not TLS or not acceptable
    /// (an alert was sent, if the client may understand it), otherwise what the socket said.
    /// # Cancel safety
    /// Not cancel safe: the connection is closed when the future is dropped.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<(TlsStream, Session)> {
        let handshake = timeout(HANDSHAKE_TIMEOUT, self.shake_hands(stream)).await;
        handshake.unwrap_or_else(|_| {
            Err(io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long"))
        })
    }

    async fn shake_hands(&self, stream: TcpStream) -> io::Result<(TlsStream, Session)> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // A TLS record begins with its type, here 22; a plain request with a letter of its method.
        if first[0].is_ascii_alphabetic() {
            tell_plain(stream).await?;
            let text = "the client speaks plain HTTP on a port for TLS";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let acceptor = TlsAcceptor::from(Arc::clone(&self.0.config));
        let bounded = |connection: &mut ServerConnection| {
            connection.set_buffer_limit(Some(WRITE_BUFFER_MAX));
        };
        let stream = acceptor.accept_with(stream, bounded).await?;
        let session = self.session(stream.get_ref().1);
        Ok((stream, session))
    }

    fn session(&self, connection: &ServerConnection) -> Session {
        Session {
            alpn: match connection.alpn_protocol() {
                Some(b"h2") => Alpn::Http2,
                _ => Alpn::Http1,
            },
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
                _ => TlsVersion::Tls13,
            },
            is_resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            server_name: connection.server_name().map(Into::into),
            names: Arc::clone(&self.0.names),
        }
    }
}

/// What a client gets that speaks plain HTTP.
const PLAIN_BODY: &str = "This port speaks TLS: use https:// instead of http://.\n";

/// How much and how long such a client's request is read on, so that closing the connection does not reset
/// it before the client has read the answer.
const PLAIN_DRAIN_MAX: usize = 64 * 1024;
const PLAIN_DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

async fn tell_plain(mut stream: TcpStream) -> io::Result<()> {
    let length = PLAIN_BODY.len();
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{PLAIN_BODY}"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    let drained = timeout(PLAIN_DRAIN_TIMEOUT, async {
        let mut scratch = [0; 1_024];
        let mut left = PLAIN_DRAIN_MAX;
        while left > 0 {
            match stream.read(&mut scratch).await? {
                0 => break,
                count => left = left.saturating_sub(count),
            }
        }
        Ok(())
    });
    // The answer is out; a client that goes on talking is cut off.
    drained.await.unwrap_or(Ok(()))
}
