//! Taking connections from a listener's socket.

use super::Worker;
use crate::{
    config::{ACCEPT_PAUSE, CONNECTIONS_MAX},
    connection,
    listener::{Listener, ListenerKind},
};
use std::{
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed, atomic::Ordering::SeqCst},
};
use tokio::net::{TcpListener, TcpStream};
use tracing::{debug, error, warn};

/// Accepts on one socket until its listener closes.
pub(super) async fn accept(
    worker: Rc<Worker>,
    listener: Arc<Listener>,
    socket: std::net::TcpListener,
) {
    let socket = match TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => {
            error!(listener = ?listener.id, %error, "a listener cannot be used");
            return;
        }
    };
    let mut closing = listener.closing.subscribe();
    loop {
        while worker.active.get() >= CONNECTIONS_MAX && !listener.is_closing() {
            worker.quieter.notified().await;
        }
        // Further clients wait in the kernel's queue. Other workers' clients may be the ones that go.
        while is_full(&worker, &listener) && !listener.is_closing() {
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
        tokio::select! {
            biased;
            accepted = socket.accept() => admit(&worker, &listener, accepted).await,
            _ = closing.wait_for(|closing| *closing) => break,
        }
    }
    // Whoever connected before the end is served, not reset.
    loop {
        tokio::select! {
            biased;
            accepted = socket.accept() => admit(&worker, &listener, accepted).await,
            () = std::future::ready(()) => break,
        }
    }
    drop(socket);
    listener.sockets_open.fetch_sub(1, SeqCst);
}

/// Whether the gateway has as many clients as it may.
fn is_full(worker: &Worker, listener: &Listener) -> bool {
    let most = worker.snapshot().clients().connections_max;
    listener.kind == ListenerKind::Gateway
        && most.is_some_and(|most| listener.open.load(Relaxed) >= most)
}

async fn admit(
    worker: &Rc<Worker>,
    listener: &Arc<Listener>,
    accepted: io::Result<(TcpStream, SocketAddr)>,
) {
    match accepted {
        Ok((stream, client)) => {
            listener.accepted.fetch_add(1, Relaxed);
            let (worker, listener) = (Rc::clone(worker), Arc::clone(listener));
            let local = worker.local.clone();
            local.spawn(connection::serve(worker, listener, stream, client));
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {
            debug!(%error, "a client gave up before it was accepted");
        }
        Err(error) => {
            warn!(listener = ?listener.id, %error, "cannot accept connections for now");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}
