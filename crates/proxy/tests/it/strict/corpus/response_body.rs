//! Framing of responses (RFC 9112 §6), what is cut off, and what comes too much.

use super::{
    Case,
    Sends::{self, Raw},
    answered, answered_and_closed, exchange,
};

const OK: &str = "200 \"ok\" | kept";
const BAD: &str = "502 | kept or 502 | closed";

/// The body's beginning may have been passed on, but never an end; and the instance is told apart from
/// the data plane.
const CUT_OFF: &str = "502 | kept or 502 | closed or 200 \"ok\" cut off | closed or \
     200 \"o\" cut off | closed or 200 cut off | closed";

const HEAD: Sends = Raw(b"HEAD /x HTTP/1.1\r\nHost: s\r\n\r\n");
const OLD: Sends = Raw(b"GET /x HTTP/1.0\r\nHost: s\r\n\r\n");

/// The client is told that the instance cannot be understood.
const fn bad(name: &'static str, why: &'static str, response: &'static [u8]) -> Case {
    answered(name, why, response, BAD)
}

/// A chunked response whose beginning is good.
const fn cut(name: &'static str, why: &'static str, response: &'static [u8]) -> Case {
    answered(name, why, response, CUT_OFF)
}

pub(in crate::strict) const RESPONSE_BODIES: &[Case] = &[
    answered(
        "a chunked response",
        "several chunks are one body; extensions are for one hop",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;a=b\r\nk\r\n0\r\n\r\n",
        OK,
    ),
    answered(
        "a response with trailers",
        "sums of bodies travel there",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\n\
          X-Sum: 42\r\n\r\n",
        "200 [trailer: X-Sum] \"ok\" +x-sum: 42 | kept or 200 [trailer: X-Sum] \"ok\" | kept or \
         200 \"ok\" | kept",
    ),
    answered(
        "Content-Length as a trailer of a response",
        "framing is said before the body",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\
          Content-Length: 100\r\n\r\n",
        "200 \"ok\" | kept or 502 | kept or 502 | closed or 200 \"ok\" cut off | closed",
    ),
    answered(
        "Set-Cookie as a trailer of a response",
        "who merges trailers into the head would take it",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\
          Set-Cookie: evil=1\r\n\r\n",
        "200 \"ok\" | kept or 502 | kept or 502 | closed or 200 \"ok\" cut off | closed",
    ),
    answered_and_closed(
        "a response that ends with its connection",
        "the only framing that HTTP/1.0 servers have for what they do not know the length of",
        b"HTTP/1.0 200 OK\r\n\r\nok",
        "200 \"ok\" | kept or 200 \"ok\" | closed",
    ),
    answered_and_closed(
        "a response of HTTP/1.1 that ends with its connection",
        "allowed in HTTP/1.1 too",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok",
        "200 \"ok\" | kept or 200 \"ok\" | closed",
    ),
    exchange(
        "a chunked response for HTTP/1.0",
        "HTTP/1.0 clients do not know chunks",
        OLD,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n",
        ("200 \"ok\" | closed", "GET /x"),
    ),
    exchange(
        "HEAD with a length",
        "it is what GET would have; no body follows",
        HEAD,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        ("200 | kept", "HEAD /x"),
    ),
    exchange(
        "HEAD with a coding",
        "it is what GET would have; no body follows",
        HEAD,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ("200 | kept", "HEAD /x"),
    ),
    exchange(
        "HEAD without framing",
        "no body follows, whether the connection ends or not",
        HEAD,
        b"HTTP/1.1 200 OK\r\n\r\n",
        ("200 | kept", "HEAD /x"),
    ),
    exchange(
        "HEAD with a body",
        "the client reads none; what follows is no response to anybody",
        HEAD,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        ("200 | kept or 502 | kept or 502 | closed", "HEAD /x"),
    ),
    answered("204", "it has no body", b"HTTP/1.1 204 No Content\r\n\r\n", "204 | kept"),
    answered(
        "204 with a length of nothing",
        "not allowed (RFC 9110 §8.6) and common; what is passed on has none",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        "204 | kept",
    ),
    answered(
        "204 with a body",
        "the client reads none; what follows is no response to anybody",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
        "204 | kept or 502 | kept or 502 | closed",
    ),
    answered(
        "204 with a chunked body",
        "the client reads none; what follows is no response to anybody",
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "204 | kept or 502 | kept or 502 | closed",
    ),
    answered(
        "304 with a length",
        "it is what 200 would have (RFC 9110 §8.6); no body follows",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\n",
        "304 [etag: \"a\"] | kept",
    ),
    answered(
        "304 with a body",
        "the client reads none; what follows is no response to anybody",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello",
        "304 | kept or 502 | kept or 502 | closed",
    ),
    bad(
        "two lengths that differ in a response",
        "readers take the first or the last (RFC 9112 §6.3: 502)",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\noko",
    ),
    bad(
        "two lengths that are equal in a response",
        "refused like in a request; one may also be left out",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    )
    .or(OK),
    bad(
        "a list of lengths in a response",
        "readers take the first or the last",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\noko",
    ),
    bad(
        "a length and a coding in a response",
        "each reader believes another field",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
    bad("a length with a plus in a response", "only digits", b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"),
    bad("a negative length in a response", "only digits", b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok"),
    bad("an empty length in a response", "it is none", b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok"),
    bad(
        "a length of 2^64 + 2 in a response",
        "it is 2 where it overflows",
        b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nok",
    ),
    bad(
        "a coding in a response of HTTP/1.0",
        "its framing is faulty (RFC 9112 §6.1)",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
    bad(
        "an unknown coding in a response",
        "its end cannot be seen",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
    ),
    bad(
        "gzip and then chunked in a response",
        "nobody asked for it with TE",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
    bad(
        "chunked twice in a response",
        "it must not be applied twice",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
    bad(
        "a coding that begins with x in a response",
        "it is another word",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
    cut(
        "a bad chunk size in a response",
        "readers differ on it, so it is the end of what can be passed on",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0x0\r\n\r\n",
    ),
    cut(
        "bare LF after a chunk size in a response",
        "some readers end the line there",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\n\r\n",
    ),
    cut(
        "nothing after data in a chunked response",
        "where does it end?",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok0\r\n\r\n",
    ),
    cut(
        "a chunk size that overflows in a response",
        "it is 0 where it overflows",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n10000000000000000\r\n\r\n",
    ),
    cut(
        "a bad trailer of a response",
        "trailers have the syntax of fields",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum : 1\r\n\r\n",
    ),
    answered_and_closed(
        "a response shorter than its length",
        "it must not look complete",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok",
        CUT_OFF,
    ),
    answered_and_closed(
        "a response shorter than its length by all of it",
        "it must not look complete",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        CUT_OFF,
    ),
    answered_and_closed(
        "a chunked response without its last chunk",
        "it must not look complete",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        CUT_OFF,
    ),
    answered_and_closed(
        "a chunked response without its last CRLF",
        "it must not look complete",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n",
        CUT_OFF,
    ),
    exchange(
        "a chunked response that is cut off, for HTTP/1.0",
        "the end of the connection would look like the end of the body: it is reset, or not begun",
        OLD,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nx\r\n",
        ("502 | closed or 200 \"ok\" cut off | closed or 200 cut off | closed", "GET /x"),
    ),
    answered(
        "a response after the response",
        "it answers nobody: the next request must not get it",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        OK,
    ),
    answered(
        "a response after a chunked response",
        "it answers nobody: the next request must not get it",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n\
          HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        OK,
    ),
    answered(
        "a response after 204",
        "it answers nobody: the next request must not get it",
        b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "204 | kept",
    ),
    exchange(
        "a response after the response to HEAD",
        "it answers nobody: the next request must not get it",
        HEAD,
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        ("200 | kept", "HEAD /x"),
    ),
];
