//! An instance that answers as it is told.

use base::InstanceId;
use proxy::Endpoint;
use runtime::TaskSet;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// An instance.
pub(crate) struct Instance {
    name: String,
    address: SocketAddr,
    state: Arc<State>,
    _tasks: TaskSet,
}

struct State {
    /// 0: the connection ends without an answer.
    status: AtomicU16,
    requests: AtomicU64,
    /// So many requests are worked on at the same time.
    threads: Semaphore,
    work: Duration,
}

impl Instance {
    /// The request is never answered.
    pub(crate) const NEVER: u16 = 1;

    /// An instance that answers every request with 200 at once.
    pub(crate) async fn start(name: &str) -> Self {
        Self::serve(name, false, Semaphore::MAX_PERMITS, Duration::ZERO).await
    }

    /// One that serves one connection after the other.
    pub(crate) async fn one_by_one(name: &str) -> Self {
        Self::serve(name, true, 1, Duration::ZERO).await
    }

    /// One that works so long on each request, and on so many at the same time.
    pub(crate) async fn busy(name: &str, threads: usize, work: Duration) -> Self {
        Self::serve(name, false, threads, work).await
    }

    async fn serve(name: &str, is_single: bool, threads: usize, work: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            status: AtomicU16::new(200),
            requests: AtomicU64::new(0),
            threads: Semaphore::new(threads),
            work,
        });
        let mut tasks = TaskSet::new("instance");
        let shared = Arc::clone(&state);
        tasks.spawn("accept", move |_| async move {
            let mut connections = TaskSet::new("connections");
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                if is_single {
                    talk(&state, stream).await;
                } else {
                    connections.spawn("connection", move |_| async move {
                        talk(&state, stream).await;
                    });
                }
            }
        });
        Self { name: name.to_owned(), address, state, _tasks: tasks }
    }

    /// Answers with `status` from now on.
    pub(crate) fn answer(&self, status: u16) {
        self.state.status.store(status, SeqCst);
    }

    pub(crate) fn requests(&self) -> u64 {
        self.state.requests.load(SeqCst)
    }

    pub(crate) fn endpoint(&self) -> Arc<Endpoint> {
        Endpoint::new(InstanceId::parse(&self.name).unwrap(), self.address, 1)
    }
}

/// Answers requests, whose bodies are one byte long at most, until the other side ends the connection.
async fn talk(state: &State, mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut read = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if !matches!(stream.read_buf(&mut read).await, Ok(count) if count > 0) {
                return;
            }
        };
        let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
        let body = usize::from(head.contains("content-length: 1"));
        while read.len() < end + body {
            if !matches!(stream.read_buf(&mut read).await, Ok(count) if count > 0) {
                return;
            }
        }
        read.drain(..end + body);
        state.requests.fetch_add(1, SeqCst);
        let status = match state.status.load(SeqCst) {
            0 => return,
            Instance::NEVER => return drop(stream.read_buf(&mut read).await),
            status => status,
        };
        if !state.work.is_zero() {
            let _thread = state.threads.acquire().await.unwrap();
            tokio::time::sleep(state.work).await;
        }
        let answer = format!("HTTP/1.1 {status} Ok\r\nContent-Length: 16\r\n\r\nfrom an instance");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
