//! The shapes, by theme, as tables: adding one is one entry.
//!
//! `gets` is what the client gets: responses separated by `; ` (interim ones too), each as a line of
//! `wire::line_of_response`; then `| kept` or `| closed`. `saw` is what the instance saw, as
//! `Recorder::saw` says it. Both may name alternatives, separated by ` or `, where the RFC gives a
//! choice that no reader can misread.

mod chunks;
mod coding;
mod fields;
mod hops;
mod host;
mod length;
mod limits;
mod pipeline;
mod request_line;
mod response_body;
mod response_head;
mod trailers;

use crate::recorder::Answer;
pub(super) use chunks::CHUNKS;
pub(super) use coding::CODINGS;
pub(super) use fields::FIELDS;
pub(super) use hops::HOPS;
pub(super) use host::HOSTS;
pub(super) use length::LENGTHS;
pub(super) use limits::LIMITS;
pub(super) use pipeline::PIPELINES;
pub(super) use request_line::REQUEST_LINES;
pub(super) use response_body::RESPONSE_BODIES;
pub(super) use response_head::RESPONSE_HEADS;
pub(super) use trailers::TRAILERS;

/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static Case> {
    let themes = [
        REQUEST_LINES,
        FIELDS,
        HOSTS,
        LENGTHS,
        CODINGS,
        CHUNKS,
        TRAILERS,
        HOPS,
        PIPELINES,
        RESPONSE_HEADS,
        RESPONSE_BODIES,
        LIMITS,
    ];
    themes.into_iter().flatten()
}

/// One shape.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    /// Why this outcome and no other.
    pub(super) why: &'static str,
    pub(super) sends: Sends,
    answer: Option<Answer>,
    /// The client sends no more after it: closes its side.
    pub(super) ends: bool,
    pub(super) gets: &'static str,
    pub(super) saw: &'static str,
    or_gets: Option<&'static str>,
    /// It may also be refused, and the instance see nothing.
    may_be_refused: bool,
}

/// The bytes of a client.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sends {
    /// Exactly these.
    Raw(&'static [u8]),
    /// A GET with these field lines (without the last CRLF) after `Host`.
    Get(&'static [u8]),
    /// A POST with these field lines after `Host`, and what follows its head.
    Post(&'static [u8], &'static [u8]),
    /// A POST with a chunked body.
    Chunked(&'static [u8]),
    /// The first, then the second this many times, then the third.
    Repeated(&'static [u8], &'static [u8], usize, &'static [u8]),
}

impl Sends {
    pub(super) fn bytes(self) -> Vec<u8> {
        let host = b"HTTP/1.1\r\nHost: s\r\n";
        match self {
            Self::Raw(bytes) => bytes.to_vec(),
            Self::Get(fields) => [b"GET /x ", &host[..], fields, b"\r\n\r\n"].concat(),
            Self::Post(fields, rest) => {
                [b"POST /x ", &host[..], fields, b"\r\n\r\n", rest].concat()
            }
            Self::Chunked(rest) => Self::Post(b"Transfer-Encoding: chunked", rest).bytes(),
            Self::Repeated(before, unit, count, after) => {
                [before, &unit.repeat(count), after].concat()
            }
        }
    }
}

impl Case {
    pub(super) fn answer(&self) -> Option<Answer> {
        self.answer
    }

    /// How many final responses are expected.
    pub(super) fn finals(&self) -> usize {
        let first = self.gets.split(" | ").next().unwrap_or_default();
        first.split("; ").filter(|line| !line.starts_with('1') || line.starts_with("101")).count()
    }

    pub(super) fn allows(&self, gets: &str, saw: &str) -> bool {
        let is_other = self.or_gets == Some(gets);
        (is_other || self.gets.split(" or ").any(|allowed| allowed == gets))
            && (self.saw.split(" or ").any(|allowed| allowed == saw)
                || (self.may_be_refused && saw == "nothing"))
    }

    /// Whether the case is refused for what stands right after its head.
    pub(super) fn is_bad_at_once(&self) -> bool {
        let Sends::Chunked(body) = self.sends else { return false };
        let first_is_good = body.starts_with(b"2\r\nok\r\n") || body.starts_with(b"0\r\n");
        self.saw == BEGUN && !first_is_good && !self.ends
    }

    /// Or it is refused like what is ambiguous.
    const fn or_refused(self) -> Self {
        Self { gets: "200 \"ok\" | kept or 400 | closed", may_be_refused: true, ..self }
    }

    /// Or this happens.
    const fn or(self, gets: &'static str) -> Self {
        Self { or_gets: Some(gets), ..self }
    }

    /// The instance closes its connection after its answer.
    const fn and_closed(self) -> Self {
        let answer = match self.answer {
            Some(answer) => Some(Answer { closes: true, ..answer }),
            None => None,
        };
        Self { answer, ..self }
    }

    /// Or the connection ends after it.
    const fn or_closed(self) -> Self {
        Self { gets: "200 \"ok\" | kept or 200 \"ok\" | closed", ..self }
    }

    /// The client closes its side after it has sent all.
    const fn then_ends(self) -> Self {
        Self { ends: true, ..self }
    }
}

/// Nothing, or the beginning of a request whose bad part came after a good one.
const BEGUN: &str = "nothing or begun";

const fn case(
    name: &'static str,
    why: &'static str,
    sends: Sends,
    gets: &'static str,
    saw: &'static str,
) -> Case {
    Case {
        name,
        why,
        sends,
        answer: None,
        ends: false,
        gets,
        saw,
        or_gets: None,
        may_be_refused: false,
    }
}

/// 400, closed, and the instance saw nothing.
const fn refused(name: &'static str, why: &'static str, sends: Sends) -> Case {
    case(name, why, sends, "400 | closed", "nothing")
}

/// 400 and closed; the instance never saw a whole request.
const fn refused_in_body(name: &'static str, why: &'static str, sends: Sends) -> Case {
    case(name, why, sends, "400 | closed", BEGUN)
}

/// Forwarded, answered, and the connection goes on.
const fn passes(name: &'static str, why: &'static str, sends: Sends, saw: &'static str) -> Case {
    case(name, why, sends, "200 \"ok\" | kept", saw)
}

/// What comes of `response` to a GET; the instance keeps its connection open after it.
const fn answered(
    name: &'static str,
    why: &'static str,
    response: &'static [u8],
    gets: &'static str,
) -> Case {
    let answer = Answer { bytes: response, closes: false };
    let case = case(name, why, Sends::Get(b"Accept: */*"), gets, ASKED);
    Case { answer: Some(answer), ..case }
}

/// What comes of `response` to a GET; the instance closes its connection after it.
const fn answered_and_closed(
    name: &'static str,
    why: &'static str,
    response: &'static [u8],
    gets: &'static str,
) -> Case {
    let case = answered(name, why, response, gets);
    Case { answer: Some(Answer { bytes: response, closes: true }), ..case }
}

/// What comes of `response` to another request, which `saw` tells.
const fn exchange(
    name: &'static str,
    why: &'static str,
    sends: Sends,
    response: &'static [u8],
    outcome: (&'static str, &'static str),
) -> Case {
    let answer = Answer { bytes: response, closes: false };
    Case { answer: Some(answer), ..case(name, why, sends, outcome.0, outcome.1) }
}

const ASKED: &str = "GET /x [accept: */*]";
