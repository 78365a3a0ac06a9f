//! What goes on for long: WebSocket and server-sent events.

use super::has;
use crate::kit::{
    System,
    http::{Connection, Request},
};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// Speaks WebSocket by itself, and sends events of which the second comes only when it was asked for.
const SERVER: &str = r#"
import base64, hashlib, http.server, os, threading

asked = threading.Event()

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/ws":
            self.talk()
        elif self.path == "/events":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"data: first\n\n")
            asked.wait(60)
            self.wfile.write(b"data: second\n\n")
            self.close_connection = True
        else:
            if self.path == "/ask":
                asked.set()
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def talk(self):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        while True:
            first, second = self.rfile.read(2)
            length = second & 127
            if length == 126:
                length = int.from_bytes(self.rfile.read(2), "big")
            mask = self.rfile.read(4)
            data = bytes(b ^ mask[i % 4] for i, b in enumerate(self.rfile.read(length)))
            head = bytes([first, length]) if length < 126 else bytes([first, 126]) + length.to_bytes(2, "big")
            self.wfile.write(head + data)
            if first & 15 == 8:
                self.close_connection = True
                return

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

fn system() -> Option<System> {
    if !has("streams", &["python3 --version"]) {
        return None;
    }
    let system = System::new(
        "
services: { web: { run: python3 app.py } }
gateway:
  listen: GATEWAY
  compress: true
  timeout: 20s
  routes: { /: web }
",
    );
    system.file("app.py", SERVER);
    system.up();
    Some(system)
}

/// A masked frame.
fn frame(kind: u8, data: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [7, 77, 177, 217];
    let mut frame = vec![0x80 | kind];
    match u8::try_from(data.len()) {
        Ok(length @ ..=125) => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend(data.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The payload of a frame that has no mask.
fn payload(reader: &mut impl Read) -> Vec<u8> {
    let mut head = [0; 2];
    reader.read_exact(&mut head).unwrap();
    let mut length = usize::from(head[1]);
    if length == 126 {
        let mut long = [0; 2];
        reader.read_exact(&mut long).unwrap();
        length = usize::from(u16::from_be_bytes(long));
    }
    let mut data = vec![0; length];
    reader.read_exact(&mut data).unwrap();
    data
}

#[test]
fn a_websocket_goes_through_and_survives_changed_routes() {
    let Some(system) = system() else { return };
    let stream = TcpStream::connect(system.gateway).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    let head = format!(
        "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        system.gateway
    );
    // The first frame comes with the head: nothing that is read too early may be lost.
    writer.write_all(&[head.as_bytes(), &frame(1, b"early")].concat()).unwrap();
    let mut answer = String::new();
    while !answer.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut answer).unwrap() > 0, "{answer}");
    }
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    // The example of RFC 6455, section 1.3.
    assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
    assert_eq!(payload(&mut reader), b"early");
    system.write(
        "
services: { web: { run: python3 app.py } }
gateway: { listen: GATEWAY, routes: { /other: web } }
",
    );
    system.flotilla("up -d").expect(0).says("routes changed");
    assert_eq!(system.get("/ws").status, 404);
    for length in [0, 1, 125, 126, 60_000] {
        let data: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
        writer.write_all(&frame(2, &data)).unwrap();
        assert_eq!(payload(&mut reader), data);
    }
    writer.write_all(&frame(8, &1000_u16.to_be_bytes())).unwrap();
    assert_eq!(payload(&mut reader), 1000_u16.to_be_bytes());
    assert_eq!(reader.read(&mut [0]).unwrap(), 0, "the end comes through");
    system.down();
}

#[test]
fn an_event_is_passed_on_before_the_next_one_comes() {
    let Some(system) = system() else { return };
    let mut stream = Connection::open(system.gateway).unwrap();
    let request = Request::get("/events").header("Accept-Encoding", "gzip");
    let head = stream.open_stream(&request).unwrap();
    assert_eq!((head.status, head.header("content-encoding")), (200, None));
    assert_eq!(stream.line().unwrap(), "data: first");
    assert_eq!(stream.line().unwrap(), "");
    assert_eq!(system.get("/ask").status, 200);
    assert_eq!(stream.line().unwrap(), "data: second");
    system.down();
}
