//! Redis streams under the load, through the smallest client there can be. Each publisher and consumer has a connection.

use async_trait::async_trait;
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::time::{Duration, sleep};

use super::{
    load::{AT_ONCE, Consumer, Engine, GROUP, Publisher},
    wire::{Wire, line, number},
};

/// How many entries are read at once.
const PAGE: usize = 1_000;

#[derive(Debug)]
pub(crate) struct Redis {
    place: String,
    consumers: AtomicU64,
}

impl Redis {
    /// Waits until the server has loaded what it keeps.
    pub(crate) async fn open(place: &str) -> Self {
        let mut connection = Connection::open(place).await;
        loop {
            match connection.ask(&[b"PING"]).await {
                Value::Error(text) if text.starts_with(b"LOADING") => {
                    sleep(Duration::from_millis(1)).await;
                }
                _ => break,
            }
        }
        Self { place: place.to_owned(), consumers: AtomicU64::new(0) }
    }
}

fn stream(topic: u64) -> String {
    format!("t{topic}")
}

#[async_trait]
impl Engine for Redis {
    async fn prepare(&self, _topics: u64) {}

    async fn publisher(&self) -> Box<dyn Publisher> {
        Box::new(Connection::open(&self.place).await)
    }

    async fn consumer(&self) -> Box<dyn Consumer> {
        let mut connection = Connection::open(&self.place).await;
        let words = ["XGROUP", "CREATE", &stream(0), GROUP, "0", "MKSTREAM"];
        if let Value::Error(text) = connection.ask(&words.map(str::as_bytes)).await {
            assert!(text.starts_with(b"BUSYGROUP"), "{text:?}");
        }
        let name = format!("c{}", self.consumers.fetch_add(1, Relaxed));
        Box::new(Member { connection, name, given: Vec::new() })
    }

    async fn reader(&self) -> Box<dyn Consumer> {
        let connection = Connection::open(&self.place).await;
        Box::new(Pages { connection, next: Bytes::from_static(b"-") })
    }
}

#[derive(Debug)]
struct Connection(Wire);

impl Connection {
    async fn open(place: &str) -> Self {
        Self(Wire::open(place).await)
    }

    async fn ask(&mut self, words: &[&[u8]]) -> Value {
        let mut bytes = Vec::new();
        put(&mut bytes, words);
        self.0.send(&bytes).await;
        self.answer().await
    }

    async fn answer(&mut self) -> Value {
        loop {
            if let Some(end) = end(self.0.bytes(), 0) {
                let whole = self.0.take(end);
                return value(&whole, &mut 0);
            }
            self.0.more().await;
        }
    }
}

#[async_trait]
impl Publisher for Connection {
    async fn publish(&mut self, topic: u64, payloads: Vec<Bytes>) {
        let (mut bytes, stream) = (Vec::new(), stream(topic));
        for payload in &payloads {
            put(&mut bytes, &[b"XADD", stream.as_bytes(), b"*", b"p", payload]);
        }
        self.0.send(&bytes).await;
        for _ in payloads {
            let answer = self.answer().await;
            assert!(matches!(answer, Value::Bytes(_)), "{answer:?}");
        }
    }
}

/// A consumer of the group.
struct Member {
    connection: Connection,
    name: String,
    given: Vec<Bytes>,
}

#[async_trait]
impl Consumer for Member {
    async fn next(&mut self) -> Vec<Bytes> {
        let (count, stream) = (AT_ONCE.to_string(), stream(0));
        let words = ["XREADGROUP", "GROUP", GROUP, &self.name, "COUNT", &count];
        let words = [&words[..], &["BLOCK", "0", "STREAMS", &stream, ">"]].concat();
        let words: Vec<_> = words.iter().map(|word| word.as_bytes()).collect();
        // Streams, each with its name and its entries.
        let mut streams = self.connection.ask(&words).await.list();
        let entries = streams.pop().and_then(|stream| stream.list().pop()).expect("one stream");
        let (ids, payloads) = entries.list().into_iter().map(entry).unzip();
        self.given = ids;
        payloads
    }

    async fn ack(&mut self) {
        let stream = stream(0);
        let mut words: Vec<&[u8]> = vec![b"XACK", stream.as_bytes(), GROUP.as_bytes()];
        words.extend(self.given.iter().map(|id| &id[..]));
        let answer = self.connection.ask(&words).await;
        assert!(matches!(answer, Value::Number), "{answer:?}");
    }
}

/// Reads without a group.
struct Pages {
    connection: Connection,
    next: Bytes,
}

#[async_trait]
impl Consumer for Pages {
    async fn next(&mut self) -> Vec<Bytes> {
        let (stream, page) = (stream(0), PAGE.to_string());
        let words = [b"XRANGE", stream.as_bytes(), &self.next, b"+", b"COUNT", page.as_bytes()];
        let entries = self.connection.ask(&words).await.list();
        let (ids, payloads): (Vec<_>, _) = entries.into_iter().map(entry).unzip();
        if let Some(last) = ids.last() {
            self.next = [b"(", &last[..]].concat().into();
        }
        payloads
    }

    async fn ack(&mut self) {}
}

/// The id of an entry and the value of its only field.
fn entry(entry: Value) -> (Bytes, Bytes) {
    let mut parts = entry.list().into_iter();
    let (Some(Value::Bytes(id)), Some(fields)) = (parts.next(), parts.next()) else {
        panic!("an entry has an id and fields");
    };
    let Some(Value::Bytes(payload)) = fields.list().pop() else { panic!("a field has a value") };
    (id, payload)
}

fn put(bytes: &mut Vec<u8>, words: &[&[u8]]) {
    bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
}

#[derive(Debug)]
enum Value {
    Bytes(Bytes),
    List(Vec<Value>),
    Number,
    Nothing,
    Error(Bytes),
}

impl Value {
    fn list(self) -> Vec<Self> {
        match self {
            Self::List(values) => values,
            other => panic!("no list: {other:?}"),
        }
    }
}

/// Where the answer that begins at `at` ends, if that has come.
fn end(bytes: &[u8], at: usize) -> Option<usize> {
    let (line, mut next) = line(bytes, at)?;
    match line.first().expect("a line has a kind") {
        b'$' => {
            let end = usize::try_from(number(&line[1..])).map_or(next, |len| next + len + 2);
            (end <= bytes.len()).then_some(end)
        }
        b'*' => {
            for _ in 0..number(&line[1..]) {
                next = end(bytes, next)?;
            }
            Some(next)
        }
        _ => Some(next),
    }
}

/// The answer that begins at `at`; all of it is there.
fn value(whole: &Bytes, at: &mut usize) -> Value {
    let (line, next) = line(whole, *at).expect("it is whole");
    let first = *at + 1;
    *at = next;
    match line.first().expect("a line has a kind") {
        b'$' => match usize::try_from(number(&line[1..])) {
            Ok(len) => {
                *at += len + 2;
                Value::Bytes(whole.slice(next..next + len))
            }
            Err(_) => Value::Nothing,
        },
        b'*' => match number(&line[1..]) {
            -1 => Value::Nothing,
            count => Value::List((0..count).map(|_| value(whole, at)).collect()),
        },
        b':' => Value::Number,
        b'-' => Value::Error(whole.slice(first..next - 2)),
        _ => Value::Bytes(whole.slice(first..next - 2)),
    }
}
