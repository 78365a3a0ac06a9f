//! A plain HTTP/1.1 client on blocking sockets, for what wrk and h2load cannot do.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// How long an answer may take.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Longest head of an answer, in bytes.
const HEAD_MAX: usize = 64 * 1024;

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// The server said that it closes the connection.
    pub(crate) closes: bool,
}

/// A connection that is kept.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Client {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        Ok(Self { stream, input: Vec::new() })
    }

    /// Sends a part of a request.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub(crate) fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
    }

    /// Sends a request and reads its answer; not for HEAD.
    pub(crate) fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request)?;
        self.answer()
    }

    /// Reads an answer.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        let end = loop {
            match find(&self.input, b"\r\n\r\n") {
                Some(at) => break at + 4,
                None if self.input.len() > HEAD_MAX => return Err(bad("a head without an end")),
                None => self.fill()?,
            }
        };
        let head: Vec<u8> = self.input.drain(..end).collect();
        let head = Head::read(&head)?;
        let body = match head.length {
            Some(length) => self.take(length)?,
            None if head.is_chunked => self.chunks()?,
            None => return Err(bad("an answer without a length")),
        };
        Ok(Answer { status: head.status, body, closes: head.closes })
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.input.len() < length {
            self.fill()?;
        }
        Ok(self.input.drain(..length).collect())
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = self.line()?;
            let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.take(size)?);
            if self.take(2)? != b"\r\n" {
                return Err(bad("a chunk without an end"));
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = find(&self.input, b"\r\n") {
                let line = self.take(at + 2)?;
                return String::from_utf8(line)
                    .map(|it| it.trim_end().to_owned())
                    .map_err(io::Error::other);
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut piece = [0; 16 * 1024];
        match read(&mut self.stream, &mut piece)? {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "closed in the middle of an answer",
            )),
            length => {
                self.input.extend_from_slice(piece.get(..length).unwrap_or_default());
                Ok(())
            }
        }
    }
}

/// A read that a signal, or the machine being paused, interrupted is simply done again.
pub(crate) fn read(stream: &mut TcpStream, piece: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

struct Head {
    status: u16,
    length: Option<usize>,
    is_chunked: bool,
    closes: bool,
}

impl Head {
    fn read(head: &[u8]) -> io::Result<Self> {
        let text = std::str::from_utf8(head).map_err(io::Error::other)?;
        let mut lines = text.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.strip_prefix("HTTP/1.1 "))
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .ok_or_else(|| bad("no HTTP/1.1 answer"))?;
        let mut head =
            Self { status, length: (status == 204).then_some(0), is_chunked: false, closes: false };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                head.length = Some(value.parse().map_err(io::Error::other)?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                head.is_chunked = value.eq_ignore_ascii_case("chunked");
            } else if name.eq_ignore_ascii_case("connection") {
                head.closes = value.eq_ignore_ascii_case("close");
            }
        }
        Ok(head)
    }
}

fn bad(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn check(answer: &'static str, expected: &str) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                assert!(stream.read(&mut request).unwrap() > 0);
                stream.write_all(answer.as_bytes()).unwrap();
            });
            let seen = Client::open(address).unwrap().get("/x").map_or_else(
                |error| error.to_string(),
                |it| format!("{} {} {}", it.status, String::from_utf8_lossy(&it.body), it.closes),
            );
            assert_eq!(seen, expected);
        });
    }

    #[test]
    fn answers_are_read_to_their_end_and_what_is_cut_off_is_an_error() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "200 hi false");
        check("HTTP/1.1 204 No\r\nconnection: close\r\n\r\n", "204  true");
        let chunks =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n";
        check(chunks, "200 abc false");
        check(
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi",
            "closed in the middle of an answer",
        );
        check("HTTP/1.1 200 OK\r\n\r\nhi", "an answer without a length");
        check("ICY 200\r\n\r\n", "no HTTP/1.1 answer");
    }
}
