//! Records of requests: what the data plane notes of each finished request, for those who look.
//!
//! ```text
//!  worker ─ record() ─┬─ nobody looks, all went well: one relaxed load, two comparisons, nothing else
//!                     ├─► lanes of each subscription whose filter fits ──► Subscription::next (batches)
//!                     └─► the kept ones: failed or slow, the last KEPT_MAX of each worker
//! ```
//!
//! What must hold: a worker never waits here. It writes into a lane that only it writes to and that a
//! reader holds for the time of a swap; what does not fit is dropped and counted. The record itself is made
//! by a closure that is called only when somebody takes it.

use base::{InstanceId, ServiceName, Timestamp};
use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

mod hub;
mod redact;
#[cfg(test)]
mod tests;

pub use hub::{Batch, Requests, Subscription};
pub use redact::{REDACTED, redact, redact_url};

/// Records that wait for one subscriber in one lane of one worker; each worker has two. A busy worker makes
/// these in about 0.1 s, a reader comes by every 20 ms; at about 500 bytes a record it is 2 MiB.
pub const LANE_MAX: usize = 4_096;

/// Failed or slow requests that are kept per worker although nobody looks, and the most that
/// [`Requests::kept`] returns. A thousand is what a person reads at most, and half a MiB.
pub const KEPT_MAX: usize = 1_000;

/// From this time to the first byte on a request counts as slow and is kept. A second is where people
/// begin to wait (Nielsen 1993, "Response times").
pub const SLOW: Duration = Duration::from_secs(1);

/// One finished request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When its head had come.
    pub at: Timestamp,
    /// Method.
    pub method: Box<str>,
    /// Host it was for, as the client wrote it; empty when it named none.
    pub host: Box<str>,
    /// Path as sent, without the query.
    pub path: Box<str>,
    /// Query as sent, without `?`. It may hold secrets: show it through [`redact`].
    pub query: Option<Box<str>>,
    /// Status of the answer; 0 when the client had gone before there was one.
    pub status: u16,
    /// From the request's head to the end of the answer.
    pub duration: Duration,
    /// From the request's head to the head of the answer; `None` when there was none.
    pub first_byte: Option<Duration>,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the answer's body; of a tunnel all that went down.
    pub bytes_out: u64,
    /// Who asked: address of the connection's other end.
    pub client: SocketAddr,
    /// How it was asked.
    pub protocol: Protocol,
    /// Over TLS.
    pub is_tls: bool,
    /// The service that asked, on the listener of a need or an app listener; `None` on the gateway.
    pub caller: Option<ServiceName>,
    /// Host and path of the route as the file has them; `None` on the listener of a need, and when none fits.
    pub route: Option<Arc<str>>,
    /// Where it went; `flotilla` when the node itself answered on an app listener.
    pub service: Option<ServiceName>,
    /// Who answered, or was tried last.
    pub instance: Option<InstanceId>,
    /// How often it was sent again.
    pub retries: u32,
    /// Trace id, 32 hexadecimal digits (W3C Trace Context).
    pub trace: Option<Box<str>>,
    /// `User-Agent` as sent.
    pub user_agent: Option<Box<str>>,
    /// `Referer` as sent. It may hold secrets: show it through [`redact_url`].
    pub referer: Option<Box<str>>,
    /// Why the data plane answered itself: `no_route`, `no_instance`, `timeout`, …; `None` when an instance did.
    pub refusal: Option<&'static str>,
    /// What broke the exchange off after its head: `client_gone`, `upstream_broke`, …
    pub error: Option<&'static str>,
}

/// The version of HTTP the client spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

impl Protocol {
    /// `1.0`, `1.1`, `2`.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP/{}", self.version())
    }
}

/// What is looked at before a record is made; all of it is at hand when a request ends.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    /// The service that asked; `None` on the gateway.
    pub caller: Option<&'a ServiceName>,
    /// Where it went.
    pub service: Option<&'a ServiceName>,
    /// Path as sent, without the query.
    pub path: &'a str,
    /// Status of the answer; 0 when there was none.
    pub status: u16,
    /// From the request's head to the end of the answer.
    pub duration: Duration,
    /// From the request's head to the head of the answer.
    pub first_byte: Option<Duration>,
}

impl Summary<'_> {
    /// Whether it is kept although nobody looks: it failed, or was slow to begin with. A long download or a tunnel
    /// that began at once is neither.
    fn is_notable(&self) -> bool {
        self.status >= 500 || self.status == 0 || self.first_byte.unwrap_or(self.duration) >= SLOW
    }
}

impl Record {
    /// What filters look at.
    #[must_use]
    pub fn summary(&self) -> Summary<'_> {
        Summary {
            caller: self.caller.as_ref(),
            service: self.service.as_ref(),
            path: &self.path,
            status: self.status,
            duration: self.duration,
            first_byte: self.first_byte,
        }
    }

    /// When it ended, in microseconds since 1970.
    #[must_use]
    pub fn ended_us(&self) -> u64 {
        let took = u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX);
        self.at.0.saturating_add(took)
    }

    /// Path and query with secrets taken out, as it may be shown.
    #[must_use]
    pub fn shown_path(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{}", self.path, redact(query)),
            None => self.path.to_string(),
        }
    }
}

/// Which requests are wanted. Empty parts let everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// One of these services.
    pub services: Vec<ServiceName>,
    /// A status in one of these ranges, both ends included.
    pub statuses: Vec<(u16, u16)>,
    /// Paths that begin so.
    pub path: String,
    /// At least this long, to the end of the answer.
    pub slower: Duration,
    /// Only what came through the gateway, not what services ask each other.
    pub from_outside: bool,
}

impl Filter {
    /// Whether a request is wanted.
    #[must_use]
    pub fn fits(&self, summary: &Summary<'_>) -> bool {
        let of_service = || {
            self.services.is_empty() || summary.service.is_some_and(|s| self.services.contains(s))
        };
        let of_status = || {
            self.statuses.is_empty()
                || self.statuses.iter().any(|(low, high)| (*low..=*high).contains(&summary.status))
        };
        summary.duration >= self.slower
            && of_status()
            && of_service()
            && !(self.from_outside && summary.caller.is_some())
            && summary.path.starts_with(&*self.path)
    }
}

/// Reads a status or a class of them: `404`, `5xx`, `500-504`.
///
/// # Errors
/// Says how it is written.
pub fn parse_status(text: &str) -> Result<(u16, u16), String> {
    let bad = || format!("`{text}` is no status: write it like 404, 5xx or 500-504");
    let number = |text: &str| match text.parse::<u16>() {
        Ok(status @ 100..=599) => Ok(status),
        _ => Err(bad()),
    };
    if let Some(class) = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX")) {
        return match class.parse::<u16>() {
            Ok(class @ 1..=5) if class.to_string() == *text.trim_end_matches(['x', 'X']) => {
                Ok((class * 100, class * 100 + 99))
            }
            _ => Err(bad()),
        };
    }
    match text.split_once('-') {
        Some((low, high)) => {
            let (low, high) = (number(low)?, number(high)?);
            if low <= high { Ok((low, high)) } else { Err(bad()) }
        }
        None => number(text).map(|status| (status, status)),
    }
}
