//! What the data plane makes of every shape of HTTP/1.1 that is known to be read in more than one way.
//!
//! `corpus` says per shape what a client sends, what it gets, and what the instance behind saw. Each is
//! sent in one write and, when it is small, byte by byte; the outcome must be the same. Where RFC 9112
//! lets a proxy either mend or refuse, this one refuses, unless real clients need the mending.

mod between;
mod corpus;
mod flows;

use crate::{
    recorder::{Answer, PROBE, Pace, Recorder, write},
    support::*,
    wire::{self, Asked, Parsed},
};
use corpus::Case;
use proxy::{Config, Endpoint, Service};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Requests and responses up to this size are also sent byte by byte.
const SMALL: usize = 1_024;

/// How long a case may take: all are answered at once, so what takes longer hangs.
const CASE_MAX: Duration = Duration::from_secs(10);

/// How often a conversation is tried that comes out wrong.
const ATTEMPTS: usize = 5;

/// What a conversation came to.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// Responses separated by `; `, then `| kept` or `| closed`.
    gets: String,
    saw: String,
}

/// Runs all cases of a theme and says which do not pass.
async fn check(theme: &str, cases: &[Case]) {
    let mut failures = Vec::new();
    for case in cases {
        let sends = case.sends.bytes();
        let is_small = sends.len() + case.answer().map_or(0, |answer| answer.bytes.len()) <= SMALL;
        let paces = [Some(Pace::AtOnce), is_small.then_some(Pace::ByteByByte)];
        for pace in paces.into_iter().flatten() {
            let mut outcome = run(case, &sends, pace).await;
            // Where nobody paces the machine, what comes byte by byte may come after the next request was sent. It is
            // no answer to that, but nobody can tell; so a shape fails only when it does so each time.
            for _ in 1..ATTEMPTS {
                if case.allows(&outcome.gets, &outcome.saw) {
                    break;
                }
                outcome = run(case, &sends, pace).await;
            }
            if !case.allows(&outcome.gets, &outcome.saw) {
                failures.push(format!(
                    "{}, {pace:?}\n    because {}\n    gets {}\n    not  {}\n    saw  {}\n    not  {}",
                    case.name, case.why, outcome.gets, case.gets, outcome.saw, case.saw
                ));
                break;
            }
        }
    }
    let passed = cases.len() - failures.len();
    println!("{theme}: {passed} of {} shapes pass", cases.len());
    assert!(failures.is_empty(), "{theme}: {} fail:\n{}", failures.len(), failures.join("\n"));
}

/// A data plane of its own for each conversation, so that none sees what another left.
pub(crate) fn plane(instance: &Recorder) -> Plane {
    plane_to(instance.endpoint())
}

pub(crate) fn plane_to(instance: Arc<Endpoint>) -> Plane {
    let config = Config { workers: 1, slow_start: Duration::ZERO, ..Config::default() };
    let mut all = route("/", &[("users", 1)]);
    // A second try would hide what the first came to.
    all.retries = Some(0);
    Plane::with(config, vec![all], vec![instance])
}

async fn run(case: &Case, sends: &[u8], pace: Pace) -> Outcome {
    let script: Vec<Answer> = case.answer().into_iter().collect();
    let recorder = Recorder::start(&script, pace).await;
    let mut plane = plane(&recorder);
    let gets = converse(plane.gateway, case, sends, pace).await;
    end(plane.service.take()).await;
    Outcome { gets, saw: recorder.saw().await }
}

/// Breaks off whatever is still going on.
pub(crate) async fn end(service: Option<Service>) {
    soon(service.unwrap().shutdown(Duration::ZERO)).await;
}

/// Sends, reads as many responses as the case has, and then asks whether the connection still works.
async fn converse(address: SocketAddr, case: &Case, sends: &[u8], pace: Pace) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut from, mut to) = stream.split();
    let mut reader = Reader::new(asked(sends));
    let sending = async {
        write(&mut to, sends, pace).await;
        if case.ends {
            drop(to.shutdown().await);
        }
    };
    let reading = reader.read(&mut from, case.finals());
    let (_, in_time) = tokio::join!(
        tokio::time::timeout(CASE_MAX, sending),
        tokio::time::timeout(CASE_MAX, reading)
    );
    if in_time.is_ok() && !reader.has_ended {
        let probe = format!("GET {PROBE} HTTP/1.1\r\nHost: s\r\n\r\n");
        write(&mut to, probe.as_bytes(), Pace::AtOnce).await;
        reader.is_probing = true;
        let all = reader.read(&mut from, usize::MAX);
        drop(tokio::time::timeout(CASE_MAX, all).await);
    }
    reader.outcome()
}

/// What the first response depends on.
fn asked(sends: &[u8]) -> Asked {
    let line = sends.split(|byte| *byte == b'\r').next().unwrap_or_default();
    Asked { is_head: line.starts_with(b"HEAD "), is_http10: line.ends_with(b"HTTP/1.0") }
}

/// Reads responses until there are enough of them.
struct Reader {
    buffer: Vec<u8>,
    lines: Vec<String>,
    finals: usize,
    asked: Asked,
    is_probing: bool,
    /// The probe was answered.
    is_kept: bool,
    has_ended: bool,
    /// It ended with a reset, so what came is not all there was.
    was_reset: bool,
}

impl Reader {
    fn new(asked: Asked) -> Self {
        Self {
            buffer: Vec::new(),
            lines: Vec::new(),
            finals: 0,
            asked,
            is_probing: false,
            is_kept: false,
            has_ended: false,
            was_reset: false,
        }
    }

    async fn read(&mut self, from: &mut (impl AsyncRead + Unpin), finals: usize) {
        while self.finals < finals && !self.has_ended && !self.is_kept {
            let read = from.read_buf(&mut self.buffer).await;
            // A reset is an end too: what came before it counts.
            self.was_reset = read.is_err();
            self.has_ended = !matches!(read, Ok(1..));
            while self.take() {}
        }
    }

    /// Takes one response out of what was read.
    fn take(&mut self) -> bool {
        if self.buffer.is_empty() || self.is_kept {
            return false;
        }
        match wire::response(&self.buffer, self.asked, self.has_ended && !self.was_reset) {
            Parsed::Whole(message, taken) => {
                self.buffer.drain(..taken);
                if self.is_probing && message.body == b"probe" {
                    self.is_kept = true;
                    return false;
                }
                self.lines.push(wire::line_of_response(&message));
                if !message.status().starts_with('1') || message.status() == "101" {
                    self.finals += 1;
                    self.asked = Asked { is_http10: self.asked.is_http10, ..Asked::default() };
                }
                true
            }
            Parsed::Partial(message) => {
                if self.has_ended {
                    let line = message.as_ref().map(wire::line_of_response).unwrap_or_default();
                    self.lines.push(format!("{line} cut off"));
                    self.buffer.clear();
                }
                false
            }
            Parsed::Malformed(why) => {
                let all = wire::show(&self.buffer);
                self.lines.push(format!("MALFORMED {why} in {all:?}"));
                self.buffer.clear();
                self.has_ended = true;
                false
            }
        }
    }

    fn outcome(self) -> String {
        let left = match (self.is_kept, self.has_ended) {
            (true, _) => "kept",
            (false, true) => "closed",
            (false, false) => "silent",
        };
        let lines = if self.lines.is_empty() { "none".to_owned() } else { self.lines.join("; ") };
        format!("{lines} | {left}")
    }
}

#[tokio::test]
async fn request_lines_are_read_in_one_way_only() {
    check("request line", corpus::REQUEST_LINES).await;
}

#[tokio::test]
async fn header_lines_are_read_in_one_way_only() {
    check("header syntax", corpus::FIELDS).await;
}

#[tokio::test]
async fn a_request_has_one_host() {
    check("host", corpus::HOSTS).await;
}

#[tokio::test]
async fn a_body_has_one_length() {
    check("content-length", corpus::LENGTHS).await;
}

#[tokio::test]
async fn a_transfer_coding_is_chunked_or_refused() {
    check("transfer-encoding", corpus::CODINGS).await;
}

#[tokio::test]
async fn chunks_are_read_in_one_way_only() {
    check("chunks", corpus::CHUNKS).await;
}

#[tokio::test]
async fn trailers_change_nothing_but_what_they_may() {
    check("trailers", corpus::TRAILERS).await;
}

#[tokio::test]
async fn fields_for_one_hop_end_here() {
    check("hop-by-hop", corpus::HOPS).await;
}

#[tokio::test]
async fn requests_in_one_segment_are_told_apart() {
    check("pipelining", corpus::PIPELINES).await;
}

#[tokio::test]
async fn an_instance_cannot_make_a_response_that_is_read_in_two_ways() {
    check("response heads", corpus::RESPONSE_HEADS).await;
}

#[tokio::test]
async fn a_response_body_arrives_whole_or_visibly_broken() {
    check("response bodies", corpus::RESPONSE_BODIES).await;
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    check("limits", corpus::LIMITS).await;
}

#[test]
fn the_corpus_is_complete_and_each_shape_has_its_own_name_and_reason() {
    let cases: Vec<&Case> = corpus::all().collect();
    println!("{} shapes", cases.len());
    assert!(cases.len() >= 200, "{}", cases.len());
    let mut names: Vec<_> = cases.iter().map(|case| case.name).collect();
    names.sort_unstable();
    let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert!(cases.iter().all(|case| case.why.len() >= 8), "a reason says something");
}

/// Of a body whose first chunk is bad, nothing needs to be forwarded when head and chunk come together.
#[tokio::test]
async fn a_first_chunk_that_is_bad_and_comes_with_its_head_reaches_no_instance() {
    let mut leaked = Vec::new();
    for case in corpus::CHUNKS.iter().filter(|case| case.is_bad_at_once()) {
        let outcome = run(case, &case.sends.bytes(), Pace::AtOnce).await;
        if outcome.saw != "nothing" {
            leaked.push(format!("{}: {}", case.name, outcome.saw));
        }
    }
    assert!(leaked.is_empty(), "{leaked:#?}");
}
