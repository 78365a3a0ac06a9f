//! One client connection: HTTP/1.1 or HTTP/2 with prior knowledge, whichever the client begins with.

use crate::{
    config::FIRST_HEAD_TIMEOUT,
    exchange,
    listener::Listener,
    worker::{Active, Worker},
};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::{
    cell::Cell,
    net::SocketAddr,
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::net::TcpStream;
use tracing::debug;

/// Serves the connection until it ends. When its listener closes it ends after the responses that are
/// under way.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    listener: Arc<Listener>,
    stream: TcpStream,
    client: SocketAddr,
) {
    let _active = Active::new(&worker);
    let _open = OpenCount::new(&listener.open);
    let has_spoken = Rc::new(Cell::new(false));
    let service = service_fn(|request| {
        has_spoken.set(true);
        exchange::serve(Rc::clone(&worker), Arc::clone(&listener), client, request)
    });
    let io = TokioIo::new(stream);
    let mut connection = pin!(worker.server().serve_connection_with_upgrades(io, service));
    let mut closing = listener.closing.subscribe();
    let mut closes = pin!(closing.wait_for(|closing| *closing));
    let mut first_head = pin!(tokio::time::sleep(FIRST_HEAD_TIMEOUT));
    let (mut is_closing, mut is_watched) = (false, true);
    let ended = loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => break ended,
            _ = &mut closes, if !is_closing => {
                is_closing = true;
                connection.as_mut().graceful_shutdown();
            }
            () = &mut first_head, if is_watched => {
                is_watched = false;
                if !has_spoken.get() {
                    debug!(%client, "a client connected and said nothing");
                    return;
                }
            }
        }
    };
    if let Err(error) = ended {
        debug!(%client, %error, "client connection ended");
    }
}

/// Counts a connection in while it lives.
struct OpenCount<'a>(&'a AtomicUsize);

impl<'a> OpenCount<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for OpenCount<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
