//! Heads of responses (RFC 9112 §4, §5): an instance is trusted no more than a client.

use super::{Case, Sends::Get, Sends::Raw, answered, answered_and_closed, exchange};

const OK: &str = "200 \"ok\" | kept";
const BAD: &str = "502 | kept or 502 | closed";

/// The client is told that the instance cannot be understood.
const fn bad(name: &'static str, why: &'static str, response: &'static [u8]) -> Case {
    answered(name, why, response, BAD)
}

pub(in crate::strict) const RESPONSE_HEADS: &[Case] = &[
    answered(
        "a response without a reason",
        "the phrase may be empty",
        b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok",
        OK,
    ),
    answered(
        "a response without a reason and its space",
        "the space belongs there, but many servers leave it out",
        b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
        OK,
    ),
    answered(
        "a reason of several words",
        "it is for people",
        b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 2\r\n\r\nok",
        "418 \"ok\" | kept",
    ),
    answered(
        "a status nobody knows",
        "statuses are an open set of three digits (RFC 9110 §15)",
        b"HTTP/1.1 599 Odd\r\nContent-Length: 2\r\n\r\nok",
        "599 \"ok\" | kept",
    ),
    answered_and_closed(
        "a response of HTTP/1.0",
        "Python's simple servers answer so",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK,
    ),
    answered(
        "fields that come twice",
        "Set-Cookie cannot be joined; order and number are kept",
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nContent-Length: 2\r\nSet-Cookie: b=2\r\n\r\nok",
        "200 [set-cookie: a=1] [set-cookie: b=2] \"ok\" | kept",
    ),
    answered(
        "obs-text in a response",
        "the bytes mean the same to all readers",
        b"HTTP/1.1 200 OK\r\nX-A: caf\xe9\r\nContent-Length: 2\r\n\r\nok",
        "200 [x-a: caf\u{e9}] \"ok\" | kept",
    ),
    answered(
        "fields for one hop in a response",
        "they say nothing to the client; without them the connection to it goes on",
        b"HTTP/1.1 200 OK\r\nConnection: close, X-Gone\r\nX-Gone: 1\r\nKeep-Alive: timeout=5\r\n\
          Proxy-Connection: close\r\nContent-Length: 2\r\nX-A: 1\r\n\r\nok",
        "200 [x-a: 1] \"ok\" | kept",
    ),
    answered(
        "Connection names Content-Length in a response",
        "the framing of a message cannot be taken away from it",
        b"HTTP/1.1 200 OK\r\nConnection: Content-Length\r\nContent-Length: 2\r\n\r\nok",
        "200 \"ok\" | kept or 502 | kept or 502 | closed",
    ),
    answered(
        "Upgrade without a switch",
        "only an offer for this hop (RFC 9110 §7.8)",
        b"HTTP/1.1 200 OK\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok",
        OK,
    ),
    answered(
        "an interim response",
        "103 makes browsers fetch early (RFC 8297)",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "103 [link: </a>]; 200 \"ok\" | kept",
    ),
    answered(
        "several interim responses",
        "each is passed on (RFC 9110 §15.2)",
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
          HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "102; 103 [link: </a>]; 200 \"ok\" | kept",
    ),
    answered(
        "100 that nobody waits for",
        "it may be dropped; it must not be taken for the response",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "200 \"ok\" | kept or 100; 200 \"ok\" | kept",
    ),
    exchange(
        "an interim response for HTTP/1.0",
        "HTTP/1.0 clients do not know them (RFC 9110 §15.2)",
        Raw(b"GET /x HTTP/1.0\r\nHost: s\r\n\r\n"),
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        ("200 \"ok\" | closed", "GET /x"),
    ),
    bad(
        "an interim response with a length",
        "it has no body, so whose is the length (RFC 9110 §8.6)?",
        b"HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\nHTTP/1.1 200 OK\r\n\
          Content-Length: 2\r\n\r\nok",
    )
    .or("103; 200 \"ok\" | kept"),
    bad(
        "101 unasked",
        "what follows would be read by nobody as HTTP",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nbytes",
    ),
    exchange(
        "101 to h2c that was not passed on",
        "the instance was not asked, so the client does not get there",
        Get(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk"),
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        (BAD, "GET /x"),
    ),
    bad(
        "a status of two digits",
        "it is no status",
        b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    bad(
        "a status of four digits",
        "it is no status",
        b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    bad("a status in words", "it is none", b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok"),
    bad(
        "a status of zeros",
        "statuses begin at 100",
        b"HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    bad("no status", "there is only a version", b"HTTP/1.1\r\nContent-Length: 2\r\n\r\nok"),
    bad("a version nobody knows", "HTTP/3.7", b"HTTP/3.7 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    bad("no version", "it is HTTP/0.9 or worse", b"200 OK\r\nContent-Length: 2\r\n\r\nok"),
    bad("another protocol", "an SSH server is there", b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    bad(
        "two spaces before the status",
        "readers differ on whether it is empty",
        b"HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    bad(
        "a control byte in the reason",
        "terminals obey it",
        b"HTTP/1.1 200 O\x1bK\r\nContent-Length: 2\r\n\r\nok",
    ),
    bad(
        "bare CR in the reason",
        "some readers end the line there",
        b"HTTP/1.1 200 O\rK\r\nContent-Length: 2\r\n\r\nok",
    ),
    bad(
        "bare LF after the status line",
        "strict readers go on with the line",
        b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok",
    ),
    bad(
        "bare LF after a field of a response",
        "strict readers go on with the line",
        b"HTTP/1.1 200 OK\r\nX-A: 1\nContent-Length: 2\r\n\r\nok",
    ),
    bad(
        "bare LF everywhere in a response",
        "strict readers see no head",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    )
    .and_closed(),
    bad(
        "a folded value in a response",
        "folding is obsolete (RFC 9112 §5.2: replace, or 502)",
        b"HTTP/1.1 200 OK\r\nX-A: 1,\r\n 2\r\nContent-Length: 2\r\n\r\nok",
    ),
    bad(
        "a space before the first name of a response",
        "it folds into the status line or into nothing",
        b"HTTP/1.1 200 OK\r\n X-A: 1\r\nContent-Length: 2\r\n\r\nok",
    ),
    bad(
        "a space before the colon in a response",
        "RFC 9112 §5.1 would have it removed; an instance that writes it can be mended",
        b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
    )
    .or(OK),
    bad(
        "a name that is no token in a response",
        "it is no field",
        b"HTTP/1.1 200 OK\r\nX A: 1\r\nContent-Length: 2\r\n\r\nok",
    ),
    bad(
        "a field without a name in a response",
        "it is no field",
        b"HTTP/1.1 200 OK\r\n: 1\r\nContent-Length: 2\r\n\r\nok",
    ),
    bad(
        "a line without a colon in a response",
        "it is no field",
        b"HTTP/1.1 200 OK\r\nX-A\r\nContent-Length: 2\r\n\r\nok",
    ),
    bad(
        "bare CR in a value of a response",
        "response splitting: some readers see a field of the attacker's",
        b"HTTP/1.1 200 OK\r\nX-A: 1\rSet-Cookie: evil=1\r\nContent-Length: 2\r\n\r\nok",
    ),
    bad(
        "bare LF in a value of a response",
        "response splitting",
        b"HTTP/1.1 200 OK\r\nX-A: 1\nSet-Cookie: evil=1\r\nContent-Length: 2\r\n\r\nok",
    ),
    bad(
        "NUL in a value of a response",
        "C programs read it up to there",
        b"HTTP/1.1 200 OK\r\nX-A: 1\0\r\nContent-Length: 2\r\n\r\nok",
    ),
    bad(
        "a control byte in a value of a response",
        "no value has one",
        b"HTTP/1.1 200 OK\r\nX-A: \x08\r\nContent-Length: 2\r\n\r\nok",
    ),
    answered_and_closed(
        "a response head that is cut off",
        "what is missing may be the framing",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
        BAD,
    ),
    answered_and_closed("no response at all", "there is none to pass on", b"", BAD),
    answered_and_closed(
        "only an interim response",
        "the final one is missing; the client has seen the interim one, or not",
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
        "502 | kept or 502 | closed or 103; 502 | kept or 103; 502 | closed",
    ),
];
