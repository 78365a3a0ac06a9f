//! As much of HTTP as it takes to ask a Docker engine.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    time::Duration,
};

/// How long the engine may be silent.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// Asks, and gives the status and the body.
pub(super) fn request(
    host: &str,
    method: &str,
    path: &str,
    body: &[u8],
) -> io::Result<(u16, Vec<u8>)> {
    // Version 1.0 makes the server send the body as it is and then close.
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: docker\r\nContent-Type: application/x-tar\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut answer = Vec::new();
    if let Some(path) = host.strip_prefix("unix://") {
        let mut stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        exchange(&mut stream, &head, body, &mut answer)?;
    } else {
        let mut stream = TcpStream::connect(host.trim_start_matches("tcp://"))?;
        stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        exchange(&mut stream, &head, body, &mut answer)?;
    }
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "not an HTTP answer");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(invalid)?;
    let text = String::from_utf8_lossy(answer.get(..end).unwrap_or_default()).into_owned();
    let status =
        text.split_whitespace().nth(1).and_then(|word| word.parse().ok()).ok_or_else(invalid)?;
    Ok((status, answer.get(end + 4..).unwrap_or_default().to_vec()))
}

fn exchange(
    stream: &mut (impl Read + Write),
    head: &str,
    body: &[u8],
    answer: &mut Vec<u8>,
) -> io::Result<()> {
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    stream.read_to_end(answer).map(drop)
}
