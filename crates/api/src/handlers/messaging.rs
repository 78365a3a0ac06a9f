//! What topics, streams and jobs have in common: data in one of three forms, places to begin at, and what goes wrong.

use super::Reach;
use crate::{
    answer::Problem,
    context::Context,
    wire::{self, Time},
};
use base::{ErrorChain, Timestamp, units};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use events::Error;
use http::StatusCode;
use ports::{
    broker::{self, GroupName, Offset, Start, TopicName},
    kv, streams,
};
use serde_json::value::RawValue;
use std::time::Duration;

/// Most bytes of data that are collected for one answer; the answer says where to go on.
pub(super) const ANSWER_SIZE_MAX: usize = 8 << 20;

/// Data as it is shown: as JSON, as text, or as base 64; nothing of it when it is empty.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) data: Option<Box<RawValue>>,
    pub(super) text: Option<String>,
    pub(super) base64: Option<String>,
}

impl Shown {
    pub(super) fn of(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::default();
        }
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Self { base64: Some(STANDARD.encode(bytes)), ..Self::default() };
        };
        match serde_json::from_str::<Box<RawValue>>(text) {
            // Data with spaces around it would not come back as it was.
            Ok(raw) if raw.get().len() == text.len() => Self { data: Some(raw), ..Self::default() },
            _ => Self { text: Some(text.to_owned()), ..Self::default() },
        }
    }
}

/// Data as it was given, and what kind it looks like.
pub(crate) fn given(
    data: Option<Box<RawValue>>,
    text: Option<String>,
    base64: Option<String>,
) -> Result<(Bytes, Option<&'static str>), Problem> {
    match (data, text, base64) {
        (None, None, None) => Ok((Bytes::new(), None)),
        (Some(data), None, None) => {
            Ok((String::from(Box::<str>::from(data)).into(), Some("application/json")))
        }
        (None, Some(text), None) => Ok((text.into(), Some("text/plain"))),
        (None, None, Some(coded)) => {
            let decoded = STANDARD.decode(coded).map(Bytes::from);
            let decoded = decoded
                .map_err(|e| Problem::bad_request(format!("`base64` cannot be read: {e}")))?;
            Ok((decoded, Some("application/octet-stream")))
        }
        _ => Err(Problem::bad_request("give at most one of `data`, `text` and `base64`")),
    }
}

/// An id that nobody else has.
pub(super) fn random_id() -> Result<String, Problem> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|e| {
        let message = format!("the machine gives no random numbers: {e}");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    })?;
    Ok(format!("{:032x}", u128::from_be_bytes(random)))
}

/// Milliseconds as they are written.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// `now` and so many milliseconds.
pub(super) fn later(now: Timestamp, ms: u64) -> Timestamp {
    Timestamp(now.0.saturating_add(ms.saturating_mul(1_000)))
}

/// Where to begin: `beginning`, `end`, an offset, a time, or how long ago.
///
/// # Errors
/// For anything else.
pub(crate) fn start(text: &str, now: Timestamp) -> Result<Start, Problem> {
    match text {
        "beginning" => return Ok(Start::Beginning),
        "end" => return Ok(Start::End),
        _ => {}
    }
    if let Ok(offset) = text.parse() {
        return Ok(Start::Offset(Offset(offset)));
    }
    if let Ok(ago) = units::parse_duration(text.strip_prefix('-').unwrap_or(text)) {
        let ago = u64::try_from(ago.as_micros()).unwrap_or(u64::MAX);
        return Ok(Start::Time(Timestamp(now.0.saturating_sub(ago))));
    }
    Time::parse(text).map(|time| Start::Time(time.0)).map_err(|_invalid| {
        let message = format!("`{}` is no place in a topic", text.escape_debug());
        Problem::bad_request(message)
            .help("write `beginning`, `end`, an offset, a time like 2026-03-01T09:30:00Z, or how long ago: -15m")
    })
}

/// The name of a topic.
///
/// # Errors
/// Says which rule the text breaks.
pub(crate) fn topic(text: &str) -> Result<TopicName, Problem> {
    TopicName::new(text).map_err(|e| bad_name("topic", text, &e))
}

/// The name of a group.
///
/// # Errors
/// Says which rule the text breaks.
pub(crate) fn group(text: &str) -> Result<GroupName, Problem> {
    GroupName::new(text).map_err(|e| bad_name("group", text, &e))
}

fn bad_name(what: &str, text: &str, error: &broker::InvalidName) -> Problem {
    let text = text.escape_debug();
    Problem::bad_request(format!("`{text}` is no name of a {what}: {error}"))
}

impl<B: Reach + ?Sized> Context<B> {
    pub(crate) fn events(&self) -> Result<events::Handle, Problem> {
        self.backend.events()
    }

    /// The topic that the path names. It may not exist.
    pub(crate) fn topic(&self) -> Result<TopicName, Problem> {
        topic(self.value(0))
    }

    /// How many the answer may have at most.
    pub(crate) fn limit(&self, default: usize, most: usize) -> usize {
        let given = self.params.number("limit");
        let given = given.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        given.unwrap_or(default).clamp(1, most)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let (status, code, help) = reaction(&error);
        let mut problem = Self::new(status, code, ErrorChain(&error).to_string());
        problem.detail.help = help.map(str::to_owned);
        problem.detail.conflict = conflict(error);
        problem
    }
}

/// What did not match.
fn conflict(error: Error) -> Option<wire::state::Conflict> {
    match error {
        Error::Streams(streams::Error::WrongRevision { stream, expected, actual }) => {
            let found = actual.map(|actual| actual.to_string());
            Some(wire::state::Conflict { key: stream, expected: Some(expected), found })
        }
        _ => None,
    }
}

/// Status, code, and what to do.
type Reaction = (StatusCode, &'static str, Option<&'static str>);

const BAD_REQUEST: Reaction = (StatusCode::BAD_REQUEST, "bad_request", None);
const TOO_LARGE: Reaction = (StatusCode::PAYLOAD_TOO_LARGE, "too_large", None);
const UNSUPPORTED: Reaction = (StatusCode::NOT_IMPLEMENTED, "unsupported", None);
const REFUSED: Reaction = (StatusCode::INTERNAL_SERVER_ERROR, "internal", None);
const BUSY: Reaction = (StatusCode::SERVICE_UNAVAILABLE, "busy", None);

/// Of an engine that does not answer.
const fn away(code: &'static str) -> Reaction {
    let help = "nothing was changed; try again when it is back, requests to services go on";
    (StatusCode::SERVICE_UNAVAILABLE, code, Some(help))
}

/// Of an engine that broke off.
const fn unknown(help: &'static str) -> Reaction {
    (StatusCode::GATEWAY_TIMEOUT, "outcome_unknown", Some(help))
}

fn reaction(error: &Error) -> Reaction {
    match error {
        Error::Broker(error) => of_broker(error),
        Error::Streams(error) => of_streams(error),
        Error::Kv { cause, .. } => of_kv(cause),
        Error::Missing { .. } => (StatusCode::NOT_FOUND, "not_found", None),
        Error::Exists { .. } => (StatusCode::CONFLICT, "exists", None),
        Error::Invalid(_) => BAD_REQUEST,
        Error::TooMany { .. } => TOO_LARGE,
        Error::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping", None),
    }
}

fn of_broker(error: &broker::Error) -> Reaction {
    use broker::Error as E;
    match error {
        E::Unavailable { .. } => away("broker_unavailable"),
        E::Unknown { .. } => unknown("messages with an id may be published again"),
        E::Busy { .. } => BUSY,
        E::TooLarge { .. } => TOO_LARGE,
        E::Invalid(_) => BAD_REQUEST,
        E::NoTopic(_) => {
            (StatusCode::NOT_FOUND, "unknown_topic", Some("GET /v1/topics lists them"))
        }
        E::NoGroup { .. } => (StatusCode::NOT_FOUND, "unknown_group", None),
        E::InUse { .. } => {
            let help = "this broker moves a group only while nobody takes part in it";
            (StatusCode::CONFLICT, "in_use", Some(help))
        }
        E::Unsupported(_) => UNSUPPORTED,
        E::Refused { .. } => REFUSED,
    }
}

fn of_streams(error: &streams::Error) -> Reaction {
    use streams::Error as E;
    match error {
        E::WrongRevision { .. } => {
            (StatusCode::CONFLICT, "wrong_revision", Some("read again, and decide again"))
        }
        E::ConditionFailed { .. } => {
            (StatusCode::CONFLICT, "condition_failed", Some("read again, and decide again"))
        }
        E::Conflict { .. } => {
            (StatusCode::CONFLICT, "id_taken", Some("give each event an id of its own"))
        }
        E::NoStream(_) => (StatusCode::NOT_FOUND, "unknown_stream", None),
        E::TooLarge { .. } => TOO_LARGE,
        E::Invalid(_) => BAD_REQUEST,
        E::Unavailable { .. } => away("streams_unavailable"),
        E::Unknown { .. } => unknown("the same append with the same ids tells"),
        E::Busy { .. } => BUSY,
        E::Unsupported(_) => UNSUPPORTED,
        E::Refused { .. } => REFUSED,
    }
}

pub(super) fn of_kv(error: &kv::Error) -> Reaction {
    use kv::Error as E;
    match error {
        E::Unavailable { .. } => away("kv_unavailable"),
        E::Unknown { .. } => unknown("read before writing again"),
        E::TooLarge { .. } => TOO_LARGE,
        E::Invalid(_) => BAD_REQUEST,
        E::Unsupported(_) => UNSUPPORTED,
        E::LeaseGone(_) | E::Compacted { .. } | E::Refused { .. } => REFUSED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_topic_is_written_in_five_ways() {
        let now = Timestamp(1_700_000_000_000_000);
        let read = |text: &str| start(text, now).map_err(|problem| problem.detail.message);
        assert_eq!(read("beginning").unwrap(), Start::Beginning);
        assert_eq!(read("end").unwrap(), Start::End);
        assert_eq!(read("42").unwrap(), Start::Offset(Offset(42)));
        let ago = Start::Time(Timestamp(now.0 - 900_000_000));
        assert_eq!((read("-15m").unwrap(), read("15m").unwrap()), (ago, ago));
        let time = Start::Time(Timestamp(1_000_000));
        assert_eq!(read("1970-01-01T00:00:01Z").unwrap(), time);
        for bad in ["", "-", "now", "-3", "15", "1e3", "yesterday\n"] {
            let is_offset = bad == "15";
            assert_eq!(read(bad).is_ok(), is_offset, "{bad:?}");
        }
    }

    #[test]
    fn data_comes_back_in_the_form_that_keeps_every_byte() {
        let form = |bytes: &[u8]| {
            let shown = Shown::of(bytes);
            let count = [shown.data.is_some(), shown.text.is_some(), shown.base64.is_some()];
            let (back, _) = given(shown.data, shown.text, shown.base64).unwrap();
            assert_eq!(back, bytes);
            count
        };
        assert_eq!(form(b""), [false, false, false]);
        assert_eq!(form(b"{ \"a\":\n 1e2 }"), [true, false, false]);
        assert_eq!(form(b" {} "), [false, true, false]);
        assert_eq!(form(b"hello"), [false, true, false]);
        assert_eq!(form(b"\xff\x00"), [false, false, true]);
        assert!(given(None, Some(String::new()), Some(String::new())).is_err());
        assert!(given(None, None, Some("?".to_owned())).is_err());
    }
}
