//! Servers to stand behind a proxy that is measured: small, fast, and the same for all.
//!
//! ```text
//! origin LISTEN...      one thread per address
//! origin                as a service of a system: on $PORT
//! ```
//!
//! `/N` is answered with N bytes (at most 1 MiB), whatever the method; request bodies are read to their end.
//! `?id=TEXT` is first noted in the file `$LEDGER`, so that what was done twice can be found. HTTP/1.1 with kept connections, nothing else: no limits, no refusals, so
//! never to be reached by anyone but the proxy under test. It prints `ready ADDRESS...`.

#![expect(clippy::print_stdout, reason = "says where it listens")]

use bytes::{Buf, BytesMut};
use std::{collections::HashMap, env, error::Error, fs::OpenOptions, io, io::Write as _, rc::Rc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Longest answer, in bytes.
const SIZE_MAX: usize = 1 << 20;
/// Longest head, in bytes: what proxies add to a small request stays far below.
const HEAD_MAX: usize = 64 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let mut workers = Vec::new();
    let mut ready = "ready".to_owned();
    let mut addresses: Vec<String> = env::args().skip(1).collect();
    if addresses.is_empty() {
        addresses.push(format!("127.0.0.1:{}", env::var("PORT")?));
    }
    for listen in addresses {
        let listener = std::net::TcpListener::bind(&listen)?;
        listener.set_nonblocking(true)?;
        ready.push_str(&format!(" {}", listener.local_addr()?));
        workers.push(runtime::worker(format!("origin-{listen}"), move |local| async move {
            let Ok(listener) = TcpListener::from_std(listener) else { return };
            while let Ok((stream, _)) = listener.accept().await {
                drop(stream.set_nodelay(true));
                local.spawn(async move { drop(Connection::new(stream).serve().await) });
            }
        })?);
    }
    println!("{ready}");
    for worker in workers {
        worker.join().map_err(|_panic| "an origin panicked")?;
    }
    Ok(())
}

struct Connection {
    stream: TcpStream,
    input: BytesMut,
    /// Complete responses by size: one write each.
    answers: HashMap<usize, Rc<[u8]>>,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self { stream, input: BytesMut::with_capacity(4096), answers: HashMap::new() }
    }

    async fn serve(&mut self) -> io::Result<()> {
        loop {
            let Some(end) = self.head().await? else { return Ok(()) };
            let head = Head::read(&self.input[..end]);
            self.input.advance(end);
            match head.body {
                Body::Sized(length) => self.skip(length).await?,
                Body::Chunked => self.skip_chunks().await?,
            }
            if let Some(id) = head.id {
                note(&id)?;
            }
            let answer = self.answers.entry(head.size).or_insert_with(|| answer(head.size));
            let answer = Rc::clone(answer);
            self.stream.write_all(&answer).await?;
            if head.closes {
                return Ok(());
            }
        }
    }

    /// Where the next head ends in the input; `None`: the client is done.
    async fn head(&mut self) -> io::Result<Option<usize>> {
        loop {
            if let Some(at) = find(&self.input, b"\r\n\r\n") {
                return Ok(Some(at + 4));
            }
            if self.input.len() > HEAD_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn skip(&mut self, mut length: usize) -> io::Result<()> {
        loop {
            let here = length.min(self.input.len());
            self.input.advance(here);
            length -= here;
            if length == 0 {
                return Ok(());
            }
            self.fill().await?;
        }
    }

    async fn skip_chunks(&mut self) -> io::Result<()> {
        loop {
            let line = self.line().await?;
            let size = line.split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
            if size == 0 {
                while !self.line().await?.is_empty() {}
                return Ok(());
            }
            self.skip(size + 2).await?;
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = find(&self.input, b"\r\n") {
                let line = String::from_utf8_lossy(&self.input[..at]).into_owned();
                self.input.advance(at + 2);
                return Ok(line);
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

enum Body {
    Sized(usize),
    Chunked,
}

struct Head {
    size: usize,
    id: Option<String>,
    body: Body,
    closes: bool,
}

impl Head {
    fn read(head: &[u8]) -> Self {
        let text = String::from_utf8_lossy(head);
        let mut lines = text.split("\r\n");
        let target = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let digits = path.rsplit('/').next().unwrap_or_default();
        let mut head = Self {
            size: digits.parse().unwrap_or(0).min(SIZE_MAX),
            id: query.strip_prefix("id=").map(str::to_owned),
            body: Body::Sized(0),
            closes: false,
        };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                head.body = Body::Sized(value.parse().unwrap_or(0));
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                head.body = Body::Chunked;
            } else if name.eq_ignore_ascii_case("connection") {
                head.closes = value.eq_ignore_ascii_case("close");
            }
        }
        head
    }
}

fn answer(size: usize) -> Rc<[u8]> {
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {size}\r\n\r\n");
    let mut answer = head.into_bytes();
    answer.resize(answer.len() + size, b'x');
    answer.into()
}

fn note(id: &str) -> io::Result<()> {
    let path = env::var("LEDGER").map_err(io::Error::other)?;
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    // One write: lines of several processes do not mix.
    file.write_all(format!("{id}\n").as_bytes())
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
