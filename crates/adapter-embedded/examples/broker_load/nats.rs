//! NATS JetStream under the load, through the smallest client there can be. A topic is a stream with one subject; each
//! publisher and consumer has a connection. Consumers pull, some hundred messages ahead, and do not wait for what becomes of
//! an acknowledgement, as is usual.

use async_trait::async_trait;
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{
    load::{AT_ONCE, Consumer, Engine, GROUP, Publisher},
    wire::{Wire, line, number},
};

/// How many messages a consumer has asked for and not got, at most.
const AHEAD: usize = 2 * AT_ONCE;

static INBOXES: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
pub(crate) struct Nats(pub(crate) String);

#[async_trait]
impl Engine for Nats {
    async fn prepare(&self, topics: u64) {
        let mut connection = Connection::open(&self.0).await;
        for topic in 0..topics {
            let config = format!(
                r#"{{"name":"T{topic}","subjects":["t.{topic}"],"storage":"file","retention":"limits",
                "discard":"old","num_replicas":1,"max_consumers":-1,"max_msgs":-1,"max_bytes":-1,
                "duplicate_window":120000000000}}"#
            );
            connection.ask(&format!("$JS.API.STREAM.CREATE.T{topic}"), config.as_bytes()).await;
        }
    }

    async fn publisher(&self) -> Box<dyn Publisher> {
        Box::new(Connection::open(&self.0).await)
    }

    async fn consumer(&self) -> Box<dyn Consumer> {
        Box::new(Pull::open(&self.0, GROUP, "explicit").await)
    }

    async fn reader(&self) -> Box<dyn Consumer> {
        Box::new(Pull::open(&self.0, "reader", "none").await)
    }
}

#[derive(Debug)]
struct Connection {
    wire: Wire,
    /// Where answers come.
    inbox: String,
}

/// What was delivered.
struct Got {
    reply: Bytes,
    payload: Bytes,
}

impl Connection {
    async fn open(place: &str) -> Self {
        let wire = Wire::open(place).await;
        let inbox = format!("_I.{}.{}", std::process::id(), INBOXES.fetch_add(1, Relaxed));
        let mut connection = Self { wire, inbox };
        let hello = r#"CONNECT {"verbose":false,"pedantic":false,"headers":true,"protocol":1}"#;
        let hello = format!("{hello}\r\nSUB {} 1\r\n", connection.inbox);
        connection.wire.send(hello.as_bytes()).await;
        connection
    }

    async fn ask(&mut self, subject: &str, body: &[u8]) {
        let mut bytes = Vec::new();
        self.put(&mut bytes, subject, body);
        self.wire.send(&bytes).await;
        self.answer().await;
    }

    fn put(&self, bytes: &mut Vec<u8>, subject: &str, body: &[u8]) {
        let head = format!("PUB {subject} {} {}\r\n", self.inbox, body.len());
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(b"\r\n");
    }

    async fn answer(&mut self) {
        let answer = self.message().await.payload;
        let text = String::from_utf8_lossy(&answer);
        assert!(text.starts_with('{') && !text.contains("\"error\""), "{text}");
    }

    async fn message(&mut self) -> Got {
        loop {
            match self.take() {
                Some(Some(got)) => return got,
                Some(None) => {}
                None => self.wire.more().await,
            }
            if self.wire.bytes().starts_with(b"PING\r\n") {
                self.wire.take(6);
                self.wire.send(b"PONG\r\n").await;
            }
        }
    }

    /// Takes what has come. `None`: it is not whole; `Some(None)`: it is not a message, or it was taken away.
    fn take(&mut self) -> Option<Option<Got>> {
        let bytes = self.wire.bytes();
        let (line, head) = line(bytes, 0)?;
        let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let is_message = matches!(words[0], b"MSG" | b"HMSG");
        if !is_message {
            assert!(words[0] != b"-ERR", "{}", String::from_utf8_lossy(line));
            if words[0] != b"PING" {
                self.wire.take(head);
            }
            return Some(None);
        }
        let size = |word: &[u8]| usize::try_from(number(word)).expect("a length");
        // Words, from the end: all bytes, those of headers if there are any, the subject for answers if there is one.
        let mut rest = words[3..].to_vec();
        let all = size(rest.pop().expect("a message has a length"));
        let headers = if words[0] == b"HMSG" { rest.pop().map_or(0, size) } else { 0 };
        let reply = Bytes::copy_from_slice(rest.pop().unwrap_or_default());
        let whole = head + all + 2;
        if bytes.len() < whole {
            return None;
        }
        let payload = self.wire.take(whole).slice(head + headers..head + all);
        Some(Some(Got { reply, payload }))
    }
}

#[async_trait]
impl Publisher for Connection {
    async fn publish(&mut self, topic: u64, payloads: Vec<Bytes>) {
        let (mut bytes, subject) = (Vec::new(), format!("t.{topic}"));
        for payload in &payloads {
            self.put(&mut bytes, &subject, payload);
        }
        self.wire.send(&bytes).await;
        for _ in payloads {
            self.answer().await;
        }
    }
}

/// A consumer of a stream.
struct Pull {
    connection: Connection,
    subject: String,
    /// Messages that were asked for and have not come.
    open: usize,
    given: Vec<Bytes>,
}

impl Pull {
    async fn open(place: &str, name: &str, acks: &str) -> Self {
        let mut connection = Connection::open(place).await;
        let pending = if acks == "none" { "" } else { r#""max_ack_pending":4096,"# };
        let config = format!(
            r#"{{"stream_name":"T0","config":{{"durable_name":"{name}","deliver_policy":"all",{pending}
            "ack_policy":"{acks}","ack_wait":30000000000,"replay_policy":"instant"}}}}"#
        );
        let subject = format!("$JS.API.CONSUMER.DURABLE.CREATE.T0.{name}");
        connection.ask(&subject, config.as_bytes()).await;
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.T0.{name}");
        Self { connection, subject, open: 0, given: Vec::new() }
    }
}

#[async_trait]
impl Consumer for Pull {
    async fn next(&mut self) -> Vec<Bytes> {
        if self.open <= AHEAD / 2 {
            let count = AHEAD - self.open;
            let body = format!(r#"{{"batch":{count},"expires":3600000000000}}"#);
            let mut bytes = Vec::new();
            self.connection.put(&mut bytes, &self.subject, body.as_bytes());
            self.connection.wire.send(&bytes).await;
            self.open = AHEAD;
        }
        let mut payloads = Vec::new();
        let mut got = Some(self.connection.message().await);
        while let Some(Got { reply, payload }) = got {
            // Without a payload it is a word about the request.
            assert!(!payload.is_empty(), "the request was ended");
            self.given.push(reply);
            payloads.push(payload);
            self.open -= 1;
            let has_room = payloads.len() < AT_ONCE;
            got = has_room.then(|| self.connection.take().flatten()).flatten();
        }
        payloads
    }

    async fn ack(&mut self) {
        let mut bytes = Vec::new();
        for reply in self.given.drain(..) {
            bytes.extend_from_slice(b"PUB ");
            bytes.extend_from_slice(&reply);
            bytes.extend_from_slice(b" 4\r\n+ACK\r\n");
        }
        self.connection.wire.send(&bytes).await;
    }
}
