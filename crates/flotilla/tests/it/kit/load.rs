//! Requests from many clients at once, all of them counted.

use super::http::{Answer, Connection, Request};
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

/// How many failures are kept in words.
const FAILURES_MAX: usize = 20;

/// What became of the requests.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Answered as they should be.
    pub answered: u64,
    /// Everything else.
    pub failed: u64,
    /// The first failures.
    pub failures: Vec<String>,
    /// Who answered how many.
    pub by_instance: BTreeMap<String, u64>,
}

impl Tally {
    /// # Panics
    /// When a request was lost.
    pub(crate) fn assert_none_lost(&self) {
        let Self { answered, failed, failures, by_instance } = self;
        assert_eq!(
            *failed, 0,
            "{failed} lost beside {answered} answered: {failures:#?} {by_instance:?}"
        );
        assert!(*answered > 0, "nothing was asked");
    }
}

struct Shared {
    to: SocketAddr,
    next: AtomicU64,
    stop: AtomicBool,
    tally: Mutex<Tally>,
    request: Box<dyn Fn(u64) -> Request + Send + Sync>,
}

/// Clients that go on asking until they are stopped.
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts `clients` clients, each with one kept connection. `request` makes the request with a number
    /// that no other one has.
    pub(crate) fn start(
        clients: usize,
        to: SocketAddr,
        request: impl Fn(u64) -> Request + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            to,
            next: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            tally: Mutex::default(),
            request: Box::new(request),
        });
        let clients = (0..clients)
            .map(|_| {
                let shared = Arc::clone(&shared);
                runtime::thread("client", move || shared.ask_on()).unwrap()
            })
            .collect();
        Self { shared, clients }
    }

    /// How many were asked so far.
    pub(crate) fn asked(&self) -> u64 {
        self.shared.next.load(Ordering::SeqCst)
    }

    /// Waits for the open requests and counts together.
    pub(crate) fn end(mut self) -> Tally {
        self.shared.stop.store(true, Ordering::SeqCst);
        for client in self.clients.drain(..) {
            client.join().unwrap();
        }
        std::mem::take(&mut self.shared.tally.lock().unwrap())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn ask_on(&self) {
        let mut tally = Tally::default();
        let mut connection = None;
        while !self.stop.load(Ordering::SeqCst) {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            let request = (self.request)(number);
            let answer = self.ask(&mut connection, &request);
            // As a client must: the server is about to close it (RFC 9112 §9.6).
            if answer.as_ref().is_ok_and(Answer::is_last) {
                connection = None;
            }
            match answer {
                Ok(answer) if matches!(answer.status, 200 | 201 | 204) => {
                    tally.answered += 1;
                    let instance = answer.header("x-instance").unwrap_or("nobody").to_owned();
                    *tally.by_instance.entry(instance).or_default() += 1;
                }
                Ok(answer) => tally.fail(&request, &format!("{} {}", answer.status, answer.text())),
                Err(error) => {
                    connection = None;
                    tally.fail(&request, &error.to_string());
                }
            }
        }
        let mut sum = self.tally.lock().unwrap();
        sum.answered += tally.answered;
        sum.failed += tally.failed;
        sum.failures.extend(tally.failures);
        for (instance, count) in tally.by_instance {
            *sum.by_instance.entry(instance).or_default() += count;
        }
    }

    fn ask(&self, connection: &mut Option<Connection>, request: &Request) -> io::Result<Answer> {
        let connection = match connection {
            Some(connection) => connection,
            None => connection.insert(Connection::open(self.to)?),
        };
        connection.ask(request)
    }
}

impl Tally {
    fn fail(&mut self, request: &Request, how: &str) {
        self.failed += 1;
        if self.failures.len() < FAILURES_MAX {
            self.failures.push(format!("{} {}: {how}", request.method, request.path));
        }
    }
}
