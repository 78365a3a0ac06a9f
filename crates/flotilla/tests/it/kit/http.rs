//! As much of an HTTP client as the tests need. It never tries anything twice: what is lost must be seen.

use serde_json::Value;
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// How long an answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(90);

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self { method: "GET", path: path.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn with_json(method: &'static str, path: impl Into<String>, body: &Value) -> Self {
        let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        Self { method, path: path.into(), headers, body: body.to_string().into_bytes() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends it on a connection of its own.
    pub(crate) fn send(&self, to: SocketAddr) -> io::Result<Answer> {
        Connection::open(to)?.ask(self)
    }
}

/// `GET` on a connection of its own.
pub(crate) fn get(to: SocketAddr, path: &str) -> io::Result<Answer> {
    Request::get(path).send(to)
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, wanted: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
        Some(&found.1)
    }

    /// Whether nothing more comes on its connection.
    pub(crate) fn is_last(&self) -> bool {
        self.header("connection").is_some_and(|word| word.eq_ignore_ascii_case("close"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {} {:?}", self.status, self.text()))
    }
}

/// A kept connection.
#[derive(Debug)]
pub(crate) struct Connection {
    to: SocketAddr,
    reader: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) fn open(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&to, ANSWER_TIME_MAX)?;
        stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        stream.set_write_timeout(Some(ANSWER_TIME_MAX))?;
        stream.set_nodelay(true)?;
        Ok(Self { to, reader: BufReader::new(stream) })
    }

    /// Asks and reads the whole answer.
    pub(crate) fn ask(&mut self, request: &Request) -> io::Result<Answer> {
        self.say(request, "HTTP/1.1")?;
        let mut answer = self.head()?;
        let length = answer.header("content-length").and_then(|text| text.parse().ok());
        let is_chunked =
            answer.header("transfer-encoding").is_some_and(|coding| coding.contains("chunked"));
        if request.method == "HEAD" || answer.status == 204 || answer.status == 304 {
        } else if is_chunked {
            answer.body = self.chunks()?;
        } else if let Some(length) = length {
            answer.body = vec![0; length];
            self.reader.read_exact(&mut answer.body)?;
        } else {
            self.reader.read_to_end(&mut answer.body)?;
        }
        Ok(answer)
    }

    /// Asks for a stream; its lines follow with [`Self::line`], because HTTP/1.0 knows no chunks.
    pub(crate) fn open_stream(&mut self, request: &Request) -> io::Result<Answer> {
        self.say(request, "HTTP/1.0")?;
        self.head()
    }

    /// The next line of a stream.
    pub(crate) fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    fn say(&mut self, request: &Request, version: &str) -> io::Result<()> {
        let mut message = format!("{} {} {version}\r\n", request.method, request.path);
        if !request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            message.push_str(&format!("Host: {}\r\n", self.to));
        }
        for (name, value) in &request.headers {
            message.push_str(&format!("{name}: {value}\r\n"));
        }
        if !request.body.is_empty() || !matches!(request.method, "GET" | "HEAD") {
            message.push_str(&format!("Content-Length: {}\r\n", request.body.len()));
        }
        message.push_str("\r\n");
        let mut message = message.into_bytes();
        message.extend_from_slice(&request.body);
        self.reader.get_mut().write_all(&message)
    }

    fn head(&mut self) -> io::Result<Answer> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("not HTTP: {first:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(Answer { status, headers, body: Vec::new() })
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let length = usize::from_str_radix(&self.line()?, 16).map_err(io::Error::other)?;
            let mut chunk = vec![0; length];
            self.reader.read_exact(&mut chunk)?;
            body.extend_from_slice(&chunk);
            self.line()?;
            if length == 0 {
                return Ok(body);
            }
        }
    }
}
