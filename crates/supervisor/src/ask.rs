//! Asks an instance how it is: HTTP, TCP, a command, gRPC health.
//!
//! A probe opens a connection of its own each time: it shall find out whether a new client would be
//! served, not whether an old connection still stands.

use crate::recipe;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper_util::rt::{TokioExecutor, TokioIo};
use manifest::{Check, Probe, Service};
use ports::host::{Host, RunId};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::net::TcpStream;

/// What came of asking once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) good: bool,
    /// What was asked and what came, for people: `GET http://127.0.0.1:20001/ready answered 404`.
    pub(crate) detail: String,
}

/// How much of a gRPC answer is read; a health answer has a few bytes.
const GRPC_ANSWER_MAX: usize = 4 * 1024;

/// Whom to ask.
#[derive(Clone)]
pub(crate) struct Subject {
    pub(crate) host: Arc<dyn Host>,
    pub(crate) run: RunId,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) service: Arc<Service>,
}

/// Asks once. Ends within the probe's time-out.
pub(crate) async fn ask(subject: &Subject, probe: &Probe) -> Answer {
    match &probe.check {
        Check::Command(program) => command(subject, program, probe.timeout).await,
        Check::Http { path, port, headers } => {
            let Some(address) = address(subject, *port) else { return no_port() };
            let what = format!("GET http://{address}{path}");
            within(probe.timeout, &what, http_get(address, path, headers)).await
        }
        Check::Tcp { port } => {
            let Some(address) = address(subject, *port) else { return no_port() };
            within(probe.timeout, &format!("TCP connection to {address}"), connect(address)).await
        }
        Check::Grpc { service, port } => {
            let Some(address) = address(subject, *port) else { return no_port() };
            let what = format!("gRPC health check of {address}");
            within(probe.timeout, &what, grpc_health(address, service)).await
        }
    }
}

fn no_port() -> Answer {
    Answer { good: false, detail: "the instance has no port to ask".to_owned() }
}

fn address(subject: &Subject, port: Option<u16>) -> Option<SocketAddr> {
    match (port, subject.address) {
        (Some(port), Some(address)) => Some(SocketAddr::new(address.ip(), port)),
        (Some(port), None) => Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        (None, address) => address,
    }
}

async fn within(
    timeout: Duration,
    what: &str,
    asking: impl Future<Output = Result<String, String>>,
) -> Answer {
    match tokio::time::timeout(timeout, asking).await {
        Ok(Ok(said)) => Answer { good: true, detail: format!("{what} {said}") },
        Ok(Err(said)) => Answer { good: false, detail: format!("{what} {said}") },
        Err(_) => {
            let limit = base::units::format_duration(timeout);
            Answer { good: false, detail: format!("{what} did not answer within {limit}") }
        }
    }
}

async fn dial(address: SocketAddr) -> Result<TcpStream, String> {
    TcpStream::connect(address).await.map_err(|e| match e.kind() {
        std::io::ErrorKind::ConnectionRefused => "was refused: nothing listens there".to_owned(),
        _ => format!("failed: {e}"),
    })
}

async fn connect(address: SocketAddr) -> Result<String, String> {
    dial(address).await.map(|_| "was accepted".to_owned())
}

async fn http_get(
    address: SocketAddr,
    path: &str,
    headers: &[(String, String)],
) -> Result<String, String> {
    let stream = dial(address).await?;
    let failed = |e: &dyn std::fmt::Display| format!("failed: {e}");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| failed(&e))?;
    let mut request = Request::get(path)
        .header(header::HOST, address.to_string())
        .header(header::USER_AGENT, "flotilla-probe")
        .header(header::CONNECTION, "close");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|e| failed(&e))?;
    // The connection is driven here and dropped with the question: no task outlives a probe.
    let mut connection = std::pin::pin!(connection);
    let mut asking = std::pin::pin!(sender.send_request(request));
    let response = tokio::select! {
        response = &mut asking => response,
        end = &mut connection => match end {
            // The head of the answer may have arrived with the end of the connection.
            Ok(()) => asking.await,
            Err(e) => Err(e),
        },
    };
    let status = response.map_err(|e| failed(&e))?.status();
    let said = format!("answered {}", status.as_u16());
    if status.is_success() || status.is_redirection() { Ok(said) } else { Err(said) }
}

/// `grpc.health.v1.Health/Check` (gRPC health checking protocol). Both messages have one field, so
/// they are written and read here by hand.
async fn grpc_health(address: SocketAddr, service: &str) -> Result<String, String> {
    let stream = dial(address).await?;
    let failed = |e: &dyn std::fmt::Display| format!("failed: {e}");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(|e| failed(&e))?;
    let request = Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(Full::new(Bytes::from(health_request(service))))
        .map_err(|e| failed(&e))?;
    let talk = async {
        let response = sender.send_request(request).await.map_err(|e| failed(&e))?;
        if response.status() != StatusCode::OK {
            return Err(format!("answered HTTP {}", response.status().as_u16()));
        }
        let (head, body) = response.into_parts();
        let body = Limited::new(body, GRPC_ANSWER_MAX).collect().await.map_err(|e| failed(&e))?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        let status = trailers.get("grpc-status").or_else(|| head.headers.get("grpc-status"));
        match status.and_then(|s| s.to_str().ok()) {
            Some("0") | None => health_answer(&body.to_bytes()),
            Some("12") => {
                Err("answered UNIMPLEMENTED: it has no grpc.health.v1 service".to_owned())
            }
            Some(code) => Err(format!("answered gRPC status {code}")),
        }
    };
    tokio::select! {
        said = talk => said,
        end = connection => Err(end.map_or_else(|e| failed(&e), |()| "was closed".to_owned())),
    }
}

fn health_request(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        // Field 1, length-delimited. The file's limit on keys keeps names far below 16 KiB.
        message.push(0x0a);
        let length = service.len().min(0x3fff);
        if length > 0x7f {
            message.push(u8::try_from(length & 0x7f | 0x80).unwrap_or(0x80));
            message.push(u8::try_from(length >> 7).unwrap_or(0));
        } else {
            message.push(u8::try_from(length).unwrap_or(0));
        }
        message.extend(service.bytes().take(length));
    }
    let length = u32::try_from(message.len()).unwrap_or(0).to_be_bytes();
    [&[0][..], &length, &message].concat()
}

fn health_answer(body: &[u8]) -> Result<String, String> {
    let Some((head, message)) = body.split_first_chunk::<5>() else {
        return Err("answered without a message".to_owned());
    };
    if head[0] != 0 {
        return Err("answered with a compressed message".to_owned());
    }
    // Field 1, varint: 0 unknown (also when absent), 1 serving, 2 not serving, 3 service unknown.
    match message {
        [0x08, 1, ..] => Ok("answered SERVING".to_owned()),
        [0x08, 2, ..] => Err("answered NOT_SERVING".to_owned()),
        [0x08, 3, ..] => Err("answered SERVICE_UNKNOWN".to_owned()),
        _ => Err("answered UNKNOWN".to_owned()),
    }
}

async fn command(subject: &Subject, program: &manifest::Program, timeout: Duration) -> Answer {
    let what = match program {
        manifest::Program::Shell(line) => format!("`{line}`"),
        manifest::Program::Exec(words) => format!("`{}`", words.join(" ")),
        manifest::Program::Container(_) | manifest::Program::External(_) => {
            "the command".to_owned()
        }
    };
    let program = recipe::program(&subject.service, program);
    match subject.host.command(&subject.run, &program, timeout).await {
        Ok(Some(outcome)) if outcome.exit.is_success() => {
            Answer { good: true, detail: format!("{what} ended with 0") }
        }
        Ok(Some(outcome)) => {
            let last = outcome.output.lines().last().unwrap_or_default();
            let said = if last.is_empty() { String::new() } else { format!(": {last}") };
            Answer { good: false, detail: format!("{what} ended with {}{said}", outcome.exit) }
        }
        Ok(None) => {
            let limit = base::units::format_duration(timeout);
            Answer { good: false, detail: format!("{what} did not end within {limit}") }
        }
        Err(e) => Answer { good: false, detail: format!("{what}: {}", base::ErrorChain(&e)) },
    }
}

#[cfg(test)]
mod tests;
