//! A real HTTP listener: 200 for `/ready`, 404 for everything else.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Serves until it is dropped. On a thread, as a process would: it outlives the node.
pub(super) struct Server {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(super) fn start(port: u16) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // Another test may look for the length of a bind whether this port is free.
        let mut tries = (0..10_000).map(|_| TcpListener::bind(address));
        let listener = tries.find_map(Result::ok).unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&ended);
        let serve = move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                answer(stream);
            }
        };
        let thread = Some(runtime::thread("server", serve).unwrap());
        Self { address, ended, thread }
    }
}

/// One request, one answer. A client that says nothing for two seconds or goes away gets none.
fn answer(mut stream: TcpStream) {
    let mut head = [0; 1_024];
    drop(stream.set_read_timeout(Some(Duration::from_secs(2))));
    let Ok(length) = stream.read(&mut head) else { return };
    let good = head[..length].starts_with(b"GET /ready ");
    let status = if good { "200 OK" } else { "404 Not Found" };
    drop(write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"));
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the thread; it ends with this connection or found the listener gone.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
