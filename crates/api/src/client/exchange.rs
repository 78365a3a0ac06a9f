//! One request and its answer on a connection of its own, without a task to drive it.

use super::{Error, Target};
use crate::{socket::Short, wire};
use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode, request};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use std::{future::Future, io, pin::Pin, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

trait Io: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug> Io for T {}

type Connection = http1::Connection<TokioIo<Box<dyn Io>>, Full<Bytes>>;

/// An answer whose head has come.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// `None` once the connection has ended; what it had read is still in the body.
    connection: Option<Pin<Box<Connection>>>,
    response: Response<Incoming>,
}

/// Connects, sends the request and waits for the answer's head.
pub(super) async fn begin(
    target: &Target,
    request: request::Builder,
    body: Vec<u8>,
    timeout: Duration,
) -> Result<Exchange, Error> {
    let request = request
        .body(Full::new(Bytes::from(body)))
        .map_err(|e| Error::Unreadable(format!("the request is not valid: {e}")))?;
    let work = async {
        let io = connect(target).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(io)).await.map_err(|e| Error::Broken(e.into()))?;
        let mut connection = Some(Box::pin(connection));
        let response = drive(&mut connection, sender.send_request(request)).await;
        let response = response.map_err(|e| Error::Broken(e.into()))?;
        Ok(Exchange { connection, response })
    };
    tokio::time::timeout(timeout, work).await.map_err(|_elapsed| Error::TimedOut)?
}

async fn connect(target: &Target) -> Result<Box<dyn Io>, Error> {
    let (at, result): (String, io::Result<Box<dyn Io>>) = match target {
        Target::Unix(path) => (path.display().to_string(), unix(path).await),
        Target::Tcp(address, _) => {
            let stream = TcpStream::connect(address).await;
            (address.to_string(), stream.map(|stream| Box::new(stream) as Box<dyn Io>))
        }
    };
    result.map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::ConnectionRefused => Error::NotRunning { at, cause },
        _ => Error::Connect { at, cause },
    })
}

async fn unix(path: &std::path::Path) -> io::Result<Box<dyn Io>> {
    let short = Short::of(path)?;
    Ok(Box::new(UnixStream::connect(short.path()).await?))
}

/// Waits for `work` while the connection does its part.
async fn drive<T>(
    connection: &mut Option<Pin<Box<Connection>>>,
    work: impl Future<Output = T>,
) -> T {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|context| {
        // How the connection ended shows in `work`, which sees the same error.
        if let Some(running) = connection
            && running.as_mut().poll(context).is_ready()
        {
            *connection = None;
        }
        work.as_mut().poll(context)
    })
    .await
}

impl Exchange {
    pub(super) fn is_success(&self) -> bool {
        self.response.status().is_success()
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let frame = drive(&mut self.connection, self.response.body_mut().frame()).await;
            match frame {
                None => return Ok(None),
                Some(Err(e)) => return Err(Error::Broken(e.into())),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    /// The whole body.
    pub(super) async fn whole(&mut self, len_max: usize) -> Result<Bytes, Error> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.piece().await? {
            if whole.len() + piece.len() > len_max {
                return Err(Error::Unreadable(format!("more than {len_max} bytes")));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// Makes an answer that is no success an error.
    pub(super) fn check(&self, bytes: &[u8]) -> Result<(), Error> {
        let status = self.response.status();
        if status.is_success() {
            return Ok(());
        }
        Err(refusal(status, bytes))
    }
}

fn refusal(status: StatusCode, bytes: &[u8]) -> Error {
    match serde_json::from_slice::<wire::ErrorBody>(bytes) {
        Ok(body) => Error::Api { status: status.as_u16(), body: Box::new(body.error) },
        Err(_) => Error::Unreadable(format!("status {status} without an error body")),
    }
}
