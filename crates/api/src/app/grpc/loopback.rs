//! A request that the node makes for a caller, on the caller's own listener.
//!
//! ```text
//! InvokeService ──► a connection to the caller's listener ──► the data plane ──► an instance
//! ```
//! So a call by message is balanced, retried, watched and refused exactly as the same call in any other form. A
//! connection serves one exchange: the form is deprecated, and its clients make few calls.

use bytes::{Bytes, BytesMut};
use h2::{RecvStream, client};
use http::{HeaderMap, Request, Response};
use std::{net::SocketAddr, pin::pin};
use tokio::net::TcpStream;
use tonic::Status;

/// How much of an answer may be on its way before it is read, in bytes: a usual answer comes without a pause.
const WINDOW: u32 = 1 << 20;

/// Sends the request, whose URI has the listener's address, and waits for the whole answer with its trailers.
///
/// # Errors
/// UNAVAILABLE when the exchange breaks, RESOURCE_EXHAUSTED when the answer is larger than `size_max` bytes.
/// # Cancel safety
/// Dropping it resets the request.
pub(super) async fn exchange(
    listener: SocketAddr,
    request: Request<Bytes>,
    size_max: usize,
) -> Result<(Response<Bytes>, HeaderMap), Status> {
    let io = TcpStream::connect(listener).await.map_err(|e| broken(&e))?;
    let (sender, connection) = begin(io).await?;
    let mut work = pin!(talk(sender, request, size_max));
    tokio::select! {
        done = &mut work => done,
        // What had come before the connection ended is still there for `work`, and so is why it ended.
        _ = connection => work.await,
    }
}

/// Begins to speak HTTP/2 on a connection. What it gives second must be polled for anything to happen.
pub(crate) async fn begin(
    io: TcpStream,
) -> Result<(client::SendRequest<Bytes>, client::Connection<TcpStream, Bytes>), Status> {
    // Small pieces that wait for each other's acknowledgement would cost more than they save.
    io.set_nodelay(true).map_err(|e| broken(&e))?;
    let mut builder = client::Builder::new();
    builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW).enable_push(false);
    builder.handshake::<_, Bytes>(io).await.map_err(|e| broken(&e))
}

/// One exchange on a connection, which must be polled beside it.
pub(crate) async fn talk(
    sender: client::SendRequest<Bytes>,
    request: Request<Bytes>,
    size_max: usize,
) -> Result<(Response<Bytes>, HeaderMap), Status> {
    let mut sender = sender.ready().await.map_err(|e| broken(&e))?;
    let (head, body) = request.into_parts();
    let is_all = body.is_empty();
    let request = Request::from_parts(head, ());
    let (response, mut stream) = sender.send_request(request, is_all).map_err(|e| broken(&e))?;
    if !is_all {
        // It is bounded, and in memory already: the library sends it as the window opens.
        stream.send_data(body, true).map_err(|e| broken(&e))?;
    }
    let (head, mut body) = response.await.map_err(|e| broken(&e))?.into_parts();
    let whole = read(&mut body, size_max).await?;
    let trailers = body.trailers().await.map_err(|e| broken(&e))?.unwrap_or_default();
    Ok((Response::from_parts(head, whole), trailers))
}

async fn read(body: &mut RecvStream, size_max: usize) -> Result<Bytes, Status> {
    let mut whole = BytesMut::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(|e| broken(&e))?;
        if whole.len() + piece.len() > size_max {
            let words =
                format!("the answer is larger than {size_max} bytes, the most that is taken");
            return Err(Status::resource_exhausted(words));
        }
        body.flow_control().release_capacity(piece.len()).map_err(|e| broken(&e))?;
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

fn broken(cause: &dyn std::error::Error) -> Status {
    Status::unavailable(format!("the call through the own listener broke: {cause}"))
}
