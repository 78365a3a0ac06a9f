//! Trailers (RFC 9112 §7.1.2, RFC 9110 §6.5).

use super::{BEGUN, Case, Sends, Sends::Chunked, Sends::Post, case, refused_in_body};

/// They are dropped, or the request is refused; they never arrive.
const fn kept_out(name: &'static str, why: &'static str, body: &'static [u8]) -> Case {
    case(
        name,
        why,
        Chunked(body),
        "200 \"ok\" | kept or 400 | closed",
        "POST /x \"ok\" or nothing or begun",
    )
}

pub(in crate::strict) const TRAILERS: &[Case] = &[
    case(
        "trailers that were announced",
        "sums and signatures of bodies travel there, and all of gRPC",
        Post(
            b"Trailer: X-Sum, X-Other\r\nTransfer-Encoding: chunked",
            b"2\r\nok\r\n0\r\nX-Sum: 42\r\nX-Other: a b\r\n\r\n",
        ),
        "200 \"ok\" | kept",
        "POST /x [trailer: X-Sum, X-Other] \"ok\" +x-sum: 42 +x-other: a b",
    ),
    case(
        "trailers that were not announced",
        "they may be dropped (RFC 9110 §6.5.2), and may be passed on",
        Chunked(b"2\r\nok\r\n0\r\nX-Sum: 42\r\n\r\n"),
        "200 \"ok\" | kept",
        "POST /x \"ok\" or POST /x \"ok\" +x-sum: 42",
    ),
    kept_out(
        "Content-Length as a trailer",
        "framing is said before the body; who merges trailers into the head sees both",
        b"2\r\nok\r\n0\r\nContent-Length: 100\r\n\r\n",
    ),
    kept_out(
        "Transfer-Encoding as a trailer",
        "framing is said before the body",
        b"2\r\nok\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    kept_out(
        "Host as a trailer",
        "routing is said before the body",
        b"2\r\nok\r\n0\r\nHost: evil\r\n\r\n",
    ),
    kept_out(
        "Authorization as a trailer",
        "who asks is said before the body",
        b"2\r\nok\r\n0\r\nAuthorization: Basic eA==\r\n\r\n",
    ),
    kept_out(
        "Cookie as a trailer",
        "who asks is said before the body",
        b"2\r\nok\r\n0\r\nCookie: a=b\r\n\r\n",
    ),
    kept_out(
        "Content-Type as a trailer",
        "how to read a body is said before it",
        b"2\r\nok\r\n0\r\nContent-Type: text/html\r\n\r\n",
    ),
    kept_out(
        "Content-Encoding as a trailer",
        "how to read a body is said before it",
        b"2\r\nok\r\n0\r\nContent-Encoding: gzip\r\n\r\n",
    ),
    kept_out(
        "Connection as a trailer",
        "it is for one hop and for the head",
        b"2\r\nok\r\n0\r\nConnection: close\r\n\r\n",
    ),
    kept_out(
        "X-Forwarded-For as a trailer",
        "only the data plane says who the client is",
        b"2\r\nok\r\n0\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n",
    ),
    refused_in_body(
        "a space before the colon of a trailer",
        "trailers have the syntax of fields",
        Chunked(b"2\r\nok\r\n0\r\nX-Sum : 42\r\n\r\n"),
    ),
    refused_in_body(
        "a folded trailer",
        "trailers have the syntax of fields",
        Chunked(b"2\r\nok\r\n0\r\nX-Sum: 4\r\n 2\r\n\r\n"),
    ),
    refused_in_body(
        "a trailer without a colon",
        "trailers have the syntax of fields",
        Chunked(b"2\r\nok\r\n0\r\nX-Sum\r\n\r\n"),
    ),
    refused_in_body(
        "a trailer without a name",
        "trailers have the syntax of fields",
        Chunked(b"2\r\nok\r\n0\r\n: 42\r\n\r\n"),
    ),
    refused_in_body(
        "NUL in a trailer",
        "trailers have the syntax of fields",
        Chunked(b"2\r\nok\r\n0\r\nX-Sum: 4\x002\r\n\r\n"),
    ),
    refused_in_body(
        "bare LF after a trailer",
        "some readers end the line there",
        Chunked(b"2\r\nok\r\n0\r\nX-Sum: 42\nX-B: 1\r\n\r\n"),
    ),
    refused_in_body(
        "bare CR in a trailer",
        "some readers end the line there",
        Chunked(b"2\r\nok\r\n0\r\nX-Sum: 4\r2\r\n\r\n"),
    ),
    refused_in_body(
        "bare LF as the end of trailers",
        "some readers end the body there",
        Chunked(b"2\r\nok\r\n0\r\nX-Sum: 42\r\n\nGET /hidden HTTP/1.1\r\nHost: s\r\n\r\n"),
    ),
    refused_in_body(
        "a request in place of trailers",
        "who ends the body at the last chunk reads it as one",
        Chunked(b"2\r\nok\r\n0\r\nGET /hidden HTTP/1.1\r\nHost: s\r\n\r\n"),
    ),
    case(
        "trailers that are too large",
        "they are held in memory like heads",
        Sends::Repeated(
            b"POST /x HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n",
            b"X-A: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n",
            4_000,
            b"\r\n",
        ),
        "400 | closed or 431 | closed",
        BEGUN,
    ),
    case(
        "trailers that are cut off",
        "the body has not ended before its last CRLF",
        Chunked(b"2\r\nok\r\n0\r\nX-Sum: 42\r\n"),
        "400 | closed or none | closed",
        BEGUN,
    )
    .then_ends(),
];
