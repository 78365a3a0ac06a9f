//! A server that plays an instance by a script and keeps every byte that it gets.

use crate::{
    support::until,
    wire::{self, Parsed},
};
use base::InstanceId;
use proxy::Endpoint;
use runtime::TaskSet;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// How bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// In one write.
    AtOnce,
    /// Each byte in a write of its own.
    ByteByByte,
}

/// What is answered to one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) bytes: &'static [u8],
    /// The connection is closed after it.
    pub(crate) closes: bool,
}

/// What is answered when the script says nothing else.
pub(crate) const OK: Answer =
    Answer { bytes: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", closes: false };

/// The target of requests that only find out whether a connection is still usable. They are answered
/// with their own name, whatever the script says.
pub(crate) const PROBE: &str = "/probe";
const PROBED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nprobe";

#[derive(Debug, Default)]
struct Record {
    /// Whole requests in the order in which they were complete; what cannot be one, in words.
    requests: Vec<String>,
    /// What else came, per connection that ended.
    rests: Vec<Vec<u8>>,
    answered: usize,
    opened: usize,
    ended: Vec<SocketAddr>,
}

/// The server.
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    record: Arc<Mutex<Record>>,
    _tasks: TaskSet,
}

impl Recorder {
    pub(crate) async fn start(answers: &[Answer], pace: Pace) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let record = Arc::new(Mutex::new(Record::default()));
        let mut tasks = TaskSet::new("recorder");
        let (shared, answers) = (Arc::clone(&record), Arc::<[Answer]>::from(answers));
        tasks.spawn("accept", move |_| async move {
            let mut connections = TaskSet::new("recorded");
            while let Ok((stream, peer)) = listener.accept().await {
                shared.lock().unwrap().opened += 1;
                let (record, answers) = (Arc::clone(&shared), Arc::clone(&answers));
                connections.spawn("connection", move |_| async move {
                    let rest = serve(stream, &record, &answers, pace).await;
                    let mut record = record.lock().unwrap();
                    record.rests.push(rest);
                    record.ended.push(peer);
                });
            }
        });
        Self { address, record, _tasks: tasks }
    }

    pub(crate) fn endpoint(&self) -> Arc<Endpoint> {
        Endpoint::new(InstanceId::parse("users/1").unwrap(), self.address, 1)
    }

    /// How many whole requests have come.
    pub(crate) fn requests(&self) -> usize {
        self.record.lock().unwrap().requests.len()
    }

    /// Waits until everybody has hung up and says what came: whole requests separated by `; `, `begun`
    /// when something came that is no whole request, `nothing` when no byte came.
    pub(crate) async fn saw(&self) -> String {
        // Connections are accepted in the order in which they were made: after this one there is none.
        let last = TcpStream::connect(self.address).await.unwrap();
        let last_address = last.local_addr().unwrap();
        drop(last);
        until("everybody hangs up", || {
            let record = self.record.lock().unwrap();
            record.ended.contains(&last_address) && record.ended.len() == record.opened
        })
        .await;
        let record = self.record.lock().unwrap();
        let mut seen = record.requests.clone();
        if record.rests.iter().any(|rest| !rest.is_empty()) {
            seen.push("begun".to_owned());
        }
        if seen.is_empty() { "nothing".to_owned() } else { seen.join("; ") }
    }
}

/// Answers requests until the other side hangs up, and gives what is left.
async fn serve(
    mut stream: TcpStream,
    record: &Mutex<Record>,
    answers: &[Answer],
    pace: Pace,
) -> Vec<u8> {
    stream.set_nodelay(true).unwrap();
    let mut buffer = Vec::new();
    let mut goes_on = false;
    loop {
        match stream.read_buf(&mut buffer).await {
            Ok(count) if count > 0 => {}
            _ => return buffer,
        }
        loop {
            let (said, taken) = match wire::request(&buffer) {
                Parsed::Whole(message, taken) => (wire::line_of_request(&message), taken),
                Parsed::Partial(head) => {
                    if !goes_on && head.is_some_and(|head| head.field("expect").is_some()) {
                        goes_on = true;
                        write(&mut stream, b"HTTP/1.1 100 Continue\r\n\r\n", pace).await;
                    }
                    break;
                }
                Parsed::Malformed(why) => {
                    let said = format!("MALFORMED {why} in {:?}", wire::show(&buffer));
                    record.lock().unwrap().requests.push(said);
                    return Vec::new();
                }
            };
            buffer.drain(..taken);
            goes_on = false;
            let answer = answer(&mut record.lock().unwrap(), said, answers);
            write(&mut stream, answer.bytes, pace).await;
            if answer.closes {
                return Vec::new();
            }
        }
    }
}

fn answer(record: &mut Record, said: String, answers: &[Answer]) -> Answer {
    if said.split(' ').nth(1) == Some(PROBE) {
        return Answer { bytes: PROBED, closes: false };
    }
    record.requests.push(said);
    record.answered += 1;
    answers.get(record.answered - 1).copied().unwrap_or(OK)
}

/// Writes; that the other side does not read any more shows in what it says.
pub(crate) async fn write(
    stream: &mut (impl tokio::io::AsyncWrite + Unpin),
    bytes: &[u8],
    pace: Pace,
) {
    let piece_len = if pace == Pace::AtOnce { bytes.len().max(1) } else { 1 };
    for piece in bytes.chunks(piece_len) {
        if stream.write_all(piece).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
}
