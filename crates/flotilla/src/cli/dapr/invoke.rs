//! `dapr invoke`: one call of an app that runs, through its own app API.

use super::listing;
use crate::{
    cli::{
        Context,
        exit::{Exit, Failure, Outcome},
    },
    peers::Entry,
};
use http::{Method, StatusCode, uri::PathAndQuery};
use std::{
    env, fs,
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

/// How long the app may be silent. It answers a person who waits, and may work for a while.
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// Longest answer that is printed, in bytes; the app API passes on no more than that in one piece of memory either.
const ANSWER_LEN_MAX: u64 = 64 << 20;

/// What was typed.
#[derive(Debug, Default)]
struct Call {
    app_id: Option<String>,
    method: Option<String>,
    verb: Option<String>,
    data: Option<String>,
    file: Option<String>,
}

/// `dapr invoke`
pub(super) fn invoke(context: &Context, words: &[String]) -> Outcome {
    let call = Call::parse(words)?;
    let help = "`dapr invoke --app-id ID --method METHOD [--verb GET] [--data JSON]`";
    let (Some(id), Some(method)) = (&call.app_id, &call.method) else {
        let text = "`--app-id` and `--method` are needed";
        return Err(Failure::with_help(Exit::Usage, text, help));
    };
    let verb = Method::from_bytes(call.verb.as_deref().unwrap_or("POST").as_bytes());
    let target = format!("/v1.0/invoke/{id}/method/{}", method.trim_start_matches('/'));
    let (Ok(verb), Ok(target)) = (verb, target.parse::<PathAndQuery>()) else {
        let text = "the verb, the app or the method cannot stand in a request";
        return Err(Failure::with_help(Exit::Usage, text, help));
    };
    let body = call.body()?;
    let running = listing::folder()?.list();
    let Some((_, entry)) = running.iter().find(|(_, entry)| entry.app_id == *id) else {
        let text = format!("not running: {id}");
        return Err(Failure::with_help(Exit::NoSystem, text, "`dapr list` shows what runs"));
    };
    let answer = exchange(entry, &verb, &target, &body).map_err(|e| failed(id, &e.to_string()))?;
    let (status, body) = read(&answer).ok_or_else(|| failed(id, "the answer is not HTTP"))?;
    if !status.is_success() && !status.is_redirection() {
        return Err(refused(id, status, body));
    }
    if !body.is_empty() {
        context.out.bytes(body)?;
        context.out.raw("\n")?;
    }
    context.out.line("✅  App invoked successfully")?;
    Ok(Exit::Success)
}

impl Call {
    fn parse(words: &[String]) -> Result<Self, Failure> {
        let mut call = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (flag, given) = match word.split_once('=') {
                Some((flag, value)) if flag.starts_with('-') => (flag, Some(value.to_owned())),
                _ => (word.as_str(), None),
            };
            let part = match flag {
                "-a" | "--app-id" => &mut call.app_id,
                "-m" | "--method" => &mut call.method,
                "-v" | "--verb" => &mut call.verb,
                "-d" | "--data" => &mut call.data,
                "-f" | "--data-file" => &mut call.file,
                _ => {
                    let text = format!("`{flag}` is not a flag of invoke");
                    return Err(Failure::new(Exit::Usage, text));
                }
            };
            let missing = || Failure::new(Exit::Usage, format!("`{flag}` needs a value"));
            *part = Some(given.or_else(|| words.next().cloned()).ok_or_else(missing)?);
        }
        Ok(call)
    }

    fn body(&self) -> Result<Vec<u8>, Failure> {
        match (&self.data, &self.file) {
            (Some(_), Some(_)) => {
                Err(Failure::new(Exit::Usage, "give one of `--data` and `--data-file`"))
            }
            (Some(data), None) => Ok(data.clone().into_bytes()),
            (None, Some(file)) => fs::read(file).map_err(|e| {
                Failure::new(Exit::InvalidFile, format!("`{file}` cannot be read: {e}"))
            }),
            (None, None) => Ok(Vec::new()),
        }
    }
}

/// Sends the request and reads until the connection ends, which an HTTP/1.0 answer does.
fn exchange(
    entry: &Entry,
    verb: &Method,
    target: &PathAndQuery,
    body: &[u8],
) -> io::Result<Vec<u8>> {
    let port = entry.http_port;
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    let mut request = format!(
        "{verb} {target} HTTP/1.0\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        body.len()
    );
    let token = env::var("DAPR_API_TOKEN").unwrap_or_default();
    if !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        request.push_str(&format!("dapr-api-token: {token}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_LEN_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

/// The status and the body of an answer.
fn read(answer: &[u8]) -> Option<(StatusCode, &[u8])> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let (head, body) = answer.split_at(end);
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r').next()?).ok()?;
    let (version, rest) = line.split_once(' ')?;
    let status = rest.get(..3)?.parse().ok()?;
    version.starts_with("HTTP/1.").then_some((status, body.get(4..)?))
}

fn failed(id: &str, why: &str) -> Failure {
    Failure::new(Exit::Failure, format!("app {id} was not invoked: {why}"))
}

/// What the app, or the node in its place, said instead.
fn refused(id: &str, status: StatusCode, body: &[u8]) -> Failure {
    let failure = format!("app {id} answered {status}");
    match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(value) => Failure::with_help(Exit::Failure, failure, format!("it said {value}")),
        Err(_) => Failure::new(Exit::Failure, failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Call, Failure> {
        Call::parse(&line.split(' ').map(str::to_owned).collect::<Vec<String>>())
    }

    #[test]
    fn flags_are_read_in_both_forms_and_what_is_unknown_is_refused() {
        let call = parsed("--app-id=a -m neworder --verb GET -d {\"x\":\"a=b\"}").unwrap();
        assert_eq!(call.app_id.as_deref(), Some("a"));
        assert_eq!(call.method.as_deref(), Some("neworder"));
        assert_eq!(call.verb.as_deref(), Some("GET"));
        assert_eq!(call.body().unwrap(), b"{\"x\":\"a=b\"}");
        assert!(parsed("--app-idd a").is_err());
        assert!(parsed("--app-id").is_err());
        assert!(parsed("-d x -f y").unwrap().body().is_err());
    }

    #[test]
    fn an_answer_is_a_status_and_a_body_or_nothing() {
        let answer = b"HTTP/1.1 200 OK\r\na: b\r\n\r\n{\"a\":1}\r\n\r\n";
        assert_eq!(read(answer), Some((StatusCode::OK, &b"{\"a\":1}\r\n\r\n"[..])));
        assert_eq!(read(b"HTTP/1.0 404\r\n\r\n"), Some((StatusCode::NOT_FOUND, &b""[..])));
        for broken in ["", "HTTP/1.1 200 OK\r\n", "SSH-2.0-x y\r\n\r\n", "HTTP/1.1 2\r\n\r\n"] {
            assert_eq!(read(broken.as_bytes()), None, "{broken}");
        }
    }
}
