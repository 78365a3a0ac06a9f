//! Clients of all kinds at once: well-behaved ones, whose every request counts, and bad ones, who only must not
//! do harm.

use std::{
    collections::{HashMap, HashSet},
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::Scope,
    time::Duration,
};

use crate::bench::{
    client::{ANSWER_MAX, Client, read},
    server::pause,
};

/// Longest answer that must never break: the data plane can ask another instance for it as long as it has
/// sent nothing to the client, and that is so for answers this short.
const WHOLE_MAX: usize = 48 * 1024;
/// Answer of slow readers, in bytes: more than all buffers on the way hold.
const LONG: usize = 1 << 20;
/// How many losses are kept in words.
const WORDS_MAX: usize = 20;
/// Between two pieces of slow readers and writers, and two acts of those who leave.
const SLOW: Duration = Duration::from_millis(20);

/// What became of the requests.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Whole answers to idempotent requests.
    answered: AtomicU64,
    /// Idempotent requests without one.
    lost: AtomicU64,
    words: Mutex<Vec<String>>,
    /// Ids of requests that must not be done twice: answered, and not.
    done: Mutex<HashSet<u64>>,
    unknown: Mutex<HashSet<u64>>,
    /// Long answers read slowly, and those cut off.
    slow: AtomicU64,
    cut: AtomicU64,
    /// Slow uploads answered, and not.
    uploads: AtomicU64,
    uploads_failed: AtomicU64,
    /// Half-closed connections answered, and not.
    half: AtomicU64,
    half_unanswered: AtomicU64,
    /// Connections left in the middle.
    left: AtomicU64,
}

impl Tally {
    /// What there is to say, in pairs of how many went well and how many did not.
    pub(super) fn lines(&self) -> [(&'static str, u64, &'static str, u64, &'static str); 5] {
        let count = |value: &AtomicU64| value.load(Relaxed);
        let ids = |ids: &Mutex<HashSet<u64>>| {
            u64::try_from(ids.lock().unwrap_or_else(PoisonError::into_inner).len())
                .unwrap_or(u64::MAX)
        };
        [
            ("GET checked byte by byte", count(&self.answered), "whole", count(&self.lost), "lost"),
            ("POST with ids", ids(&self.done), "answered", ids(&self.unknown), "failed"),
            ("slow readers of 1 MiB", count(&self.slow), "whole", count(&self.cut), "cut off"),
            (
                "slow writers of 128 KiB",
                count(&self.uploads),
                "answered",
                count(&self.uploads_failed),
                "failed",
            ),
            ("half-closed", count(&self.half), "answered", count(&self.half_unanswered), "not"),
        ]
    }

    /// Connections left in the middle.
    pub(super) fn left(&self) -> u64 {
        self.left.load(Relaxed)
    }

    /// What must not have happened; `ledger` is what the instances noted.
    pub(super) fn faults(&self, ledger: &str) -> Vec<String> {
        let mut faults = Vec::new();
        let lost = self.lost.load(Relaxed);
        if lost > 0 {
            faults.push(format!("{lost} idempotent requests lost"));
            faults
                .extend(self.words.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned());
        }
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        faults.extend(faults_of(ledger, &done, &unknown));
        faults
    }

    fn lose(&self, request: &str, how: &str) {
        self.lost.fetch_add(1, Relaxed);
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        if words.len() < WORDS_MAX {
            words.push(format!("{request}: {how}"));
        }
    }
}

/// How many of a kind, and what they do again and again.
type Kind = (usize, fn(&Clients));

/// What all clients share.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) to: SocketAddr,
    pub(super) stop: AtomicBool,
    pub(super) tally: Tally,
    next: AtomicU64,
}

impl Clients {
    pub(super) fn new(to: SocketAddr) -> Self {
        Self { to, stop: AtomicBool::new(false), tally: Tally::default(), next: AtomicU64::new(1) }
    }

    /// Starts all clients; they end soon after `stop`.
    pub(super) fn start<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        let kinds: [Kind; 7] = [
            (2, Self::keep),
            (2, Self::come_and_go),
            (2, Self::post),
            (2, Self::read_slowly),
            (2, Self::write_slowly),
            (1, Self::half_close),
            (1, Self::leave),
        ];
        for (count, act) in kinds {
            for _ in 0..count {
                scope.spawn(move || {
                    while !self.stop.load(Relaxed) {
                        act(self);
                    }
                });
            }
        }
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Relaxed)
    }

    /// GET again and again over one connection, with answers of all lengths.
    fn keep(&self) {
        let mut client = None;
        while !self.stop.load(Relaxed) {
            let number = self.number();
            let length = usize::try_from(number * 7919).unwrap_or(0) % WHOLE_MAX;
            self.get(&mut client, length, "");
        }
    }

    /// A connection for each request; every second one is closed by us, the others by the proxy.
    fn come_and_go(&self) {
        let closes = if self.number().is_multiple_of(2) { "Connection: close\r\n" } else { "" };
        self.get(&mut None, 512, closes);
    }

    fn get(&self, kept: &mut Option<Client>, length: usize, header: &str) {
        let request = format!("GET /{length} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n");
        let answer = match kept.take().map_or_else(|| Client::open(self.to), Ok) {
            Ok(open) => kept.insert(open).ask(request.as_bytes()),
            Err(error) => Err(error),
        };
        match &answer {
            Ok(it) if it.status == 200 && is_whole(&it.body, length) => {
                self.tally.answered.fetch_add(1, Relaxed);
            }
            Ok(it) => {
                let how = format!("{} with {} bytes", it.status, it.body.len());
                self.tally.lose(&format!("GET /{length}"), &how);
            }
            Err(error) => self.tally.lose(&format!("GET /{length}"), &error.to_string()),
        }
        if answer.is_ok_and(|it| !it.closes) {
            return;
        }
        *kept = None;
    }

    /// Requests that must not be done twice, whatever happens.
    fn post(&self) {
        let mut client = None;
        while !self.stop.load(Relaxed) {
            let id = self.number();
            let request = format!(
                "POST /16?id={id} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1024\r\n\r\n{}",
                "x".repeat(1024)
            );
            let answer = match client.take().map_or_else(|| Client::open(self.to), Ok) {
                Ok(open) => client.insert(open).ask(request.as_bytes()),
                Err(error) => Err(error),
            };
            let is_done = answer.as_ref().is_ok_and(|it| it.status == 200);
            let ids = if is_done { &self.tally.done } else { &self.tally.unknown };
            ids.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
            if answer.map_or(true, |it| it.closes) {
                client = None;
            }
            // Their number is what is kept in memory; a few hundred a second are enough.
            pause(Duration::from_millis(2));
        }
    }

    /// A long answer in small pieces. An instance that is killed meanwhile cuts it off, and no proxy can mend
    /// that; it must not look complete, though.
    fn read_slowly(&self) {
        match self.read_long() {
            Ok(true) => self.tally.slow.fetch_add(1, Relaxed),
            Ok(false) | Err(_) => self.tally.cut.fetch_add(1, Relaxed),
        };
    }

    fn read_long(&self) -> io::Result<bool> {
        let mut stream = self.open()?;
        let request =
            format!("GET /{LONG} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut piece = vec![0; 32 * 1024];
        let mut length = 0;
        loop {
            match read(&mut stream, &mut piece)? {
                0 => return Ok(length > LONG),
                read => length += read,
            }
            if self.stop.load(Relaxed) {
                // Whoever stops early leaves in the middle: the proxy must cope.
                return Ok(true);
            }
            pause(SLOW);
        }
    }

    /// A body in small pieces, without an id: what becomes of it is only counted.
    fn write_slowly(&self) {
        let is_answered = self.write_long().is_ok_and(|status| status == 200);
        let tally = &self.tally;
        let count = if is_answered { &tally.uploads } else { &tally.uploads_failed };
        count.fetch_add(1, Relaxed);
    }

    fn write_long(&self) -> io::Result<u16> {
        let mut client = Client::open(self.to)?;
        let piece = vec![b'x'; 8 * 1024];
        let head = "POST /16 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(head.as_bytes())?;
        for _ in 0..16 {
            client.send(format!("{:x}\r\n", piece.len()).as_bytes())?;
            client.send(&piece)?;
            client.send(b"\r\n")?;
            pause(SLOW);
        }
        client.send(b"0\r\n\r\n")?;
        Ok(client.answer()?.status)
    }

    /// Sends all it has, closes its side, and still wants the answer. Proxies differ in whether they give one.
    fn half_close(&self) {
        let answer = || -> io::Result<bool> {
            let mut stream = self.open()?;
            stream.write_all(b"GET /1024 HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
            stream.shutdown(Shutdown::Write)?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            Ok(answer.starts_with(b"HTTP/1.1 200") && answer.len() > 1024)
        };
        let tally = &self.tally;
        let count = if answer().unwrap_or(false) { &tally.half } else { &tally.half_unanswered };
        count.fetch_add(1, Relaxed);
        pause(SLOW);
    }

    /// Leaves at every point: before the request, in its head, in its body, in the middle of the answer (with
    /// unread bytes, which makes it a reset).
    fn leave(&self) {
        let point = self.number() % 5;
        let act = || -> io::Result<()> {
            let mut stream = self.open()?;
            let request: &[u8] = match point {
                0 => b"",
                1 => b"GET /1024 HTTP/1.1\r\nHos",
                2 => b"POST /16 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf of it",
                3 => b"GET /1024 HTTP/1.1\r\nHost: localhost\r\n\r\n",
                _ => b"GET /1048576 HTTP/1.1\r\nHost: localhost\r\n\r\n",
            };
            stream.write_all(request)?;
            if point == 4 {
                stream.read_exact(&mut [0; 1024])?;
            }
            Ok(())
        };
        if act().is_ok() {
            self.tally.left.fetch_add(1, Relaxed);
        }
        pause(SLOW);
    }

    fn open(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.to)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        Ok(stream)
    }
}

fn is_whole(body: &[u8], length: usize) -> bool {
    body.len() == length && body.iter().all(|byte| *byte == b'x')
}

/// What the instances noted, against what the clients were told: every line is a fault.
fn faults_of(ledger: &str, done: &HashSet<u64>, unknown: &HashSet<u64>) -> Vec<String> {
    let mut times: HashMap<u64, u32> = HashMap::new();
    for id in ledger.lines().filter_map(|line| line.parse().ok()) {
        *times.entry(id).or_default() += 1;
    }
    let mut faults = Vec::new();
    for id in done.iter().filter(|id| !times.contains_key(id)) {
        faults.push(format!("POST {id} was answered and never done"));
    }
    for (id, count) in times {
        if count > 1 {
            faults.push(format!("POST {id} was done {count} times"));
        } else if !done.contains(&id) && !unknown.contains(&id) {
            faults.push(format!("POST {id} was done and never asked for"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_twice_or_never_is_a_fault() {
        let (done, unknown) = (HashSet::from([1, 2]), HashSet::from([3, 4]));
        assert_eq!(faults_of("1\n2\n3\n", &done, &unknown), Vec::<String>::new());
        assert_eq!(faults_of("1\n2\n3\n3\n", &done, &unknown), ["POST 3 was done 2 times"]);
        assert_eq!(faults_of("1\n", &done, &unknown), ["POST 2 was answered and never done"]);
        assert_eq!(
            faults_of("1\n2\n9\n", &done, &unknown),
            ["POST 9 was done and never asked for"]
        );
    }

    #[test]
    fn a_body_is_whole_only_with_every_byte() {
        assert!(is_whole(b"xx", 2));
        assert!(!is_whole(b"xx", 3) && !is_whole(b"xy", 2));
    }
}
