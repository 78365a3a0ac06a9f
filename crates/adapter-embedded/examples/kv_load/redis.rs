//! Redis under the same load, through the smallest client there can be.

use std::sync::Arc;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use super::load::{self, Client, Dice, KEYS, Report, repeat};

/// Runs a scenario against the server at `place`.
pub(crate) async fn run(place: &str, scenario: &str, clients: u64, seconds: u64) -> Report {
    let is_write = scenario == "writes";
    assert!(is_write || scenario == "reads", "there is no scenario `{scenario}` for Redis");
    let place: Arc<str> = place.into();
    if !is_write {
        let mut connection = Connection::open(&place, 1, true).await;
        for number in 0..KEYS {
            connection.set(number).await;
        }
    }
    let (times, took) =
        repeat(clients, seconds, move |client| {
            let place = Arc::clone(&place);
            async move {
                Box::new(Connection::open(&place, client + 1, is_write).await) as Box<dyn Client>
            }
        })
        .await;
    times.report(Report::default(), took)
}

struct Connection {
    stream: BufReader<TcpStream>,
    dice: Dice,
    is_write: bool,
}

impl Connection {
    async fn open(place: &str, seed: u64, is_write: bool) -> Self {
        let stream = TcpStream::connect(place).await.expect("the server listens");
        stream.set_nodelay(true).expect("the socket is one of TCP");
        Self { stream: BufReader::new(stream), dice: Dice::new(seed), is_write }
    }

    async fn set(&mut self, number: u64) {
        let (key, value) = (load::key(number), load::value(&mut self.dice));
        self.ask(&[b"SET", &key, &value]).await;
        assert_eq!(self.line().await, "+OK");
    }

    async fn get(&mut self, number: u64) {
        self.ask(&[b"GET", &load::key(number)]).await;
        let line = self.line().await;
        let len: i64 = line.trim_start_matches('$').parse().expect("a length");
        if let Ok(len) = usize::try_from(len) {
            let mut value = vec![0; len + 2];
            self.stream.read_exact(&mut value).await.expect("the server answers");
        }
    }

    async fn ask(&mut self, words: &[&[u8]]) {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
        self.stream.write_all(&bytes).await.expect("the server reads");
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).await.expect("the server answers");
        line.trim_end().to_owned()
    }
}

#[async_trait::async_trait]
impl Client for Connection {
    async fn call(&mut self) {
        let number = self.dice.roll(KEYS);
        if self.is_write { self.set(number).await } else { self.get(number).await }
    }
}
