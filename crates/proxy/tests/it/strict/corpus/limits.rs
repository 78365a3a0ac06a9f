//! What is too large, and what is large and not too large.

use super::{Case, Sends::Repeated, case};

const HEAD: &[u8] = b"GET /x HTTP/1.1\r\nHost: s\r\n";
const TOO_LARGE: &str = "431 | closed";

pub(in crate::strict) const LIMITS: &[Case] = &[
    case(
        "a long line within the limit",
        "tokens and cookies grow to several KiB",
        Repeated(
            b"GET /x HTTP/1.1\r\nHost: s\r\nConnection: X-A\r\nX-A: ",
            b"a",
            12_000,
            b"\r\n\r\n",
        ),
        "200 \"ok\" | kept",
        "GET /x",
    ),
    case(
        "many fields within the limit",
        "browsers behind several proxies come to fifty",
        Repeated(b"GET /x HTTP/1.1\r\nHost: s\r\nConnection: X-A\r\n", b"X-A: 1\r\n", 90, b"\r\n"),
        "200 \"ok\" | kept",
        "GET /x",
    ),
    case(
        "a target that is too long",
        "414 (RFC 9110 §15.5.15), or 431 where the head as a whole is counted",
        Repeated(b"GET /", b"a", 200_000, b" HTTP/1.1\r\nHost: s\r\n\r\n"),
        "414 | closed or 431 | closed",
        "nothing",
    ),
    case(
        "a value that is too long",
        "431 (RFC 6585 §5)",
        Repeated(b"GET /x HTTP/1.1\r\nHost: s\r\nX-A: ", b"a", 200_000, b"\r\n\r\n"),
        TOO_LARGE,
        "nothing",
    ),
    case(
        "a name that is too long",
        "431 (RFC 6585 §5)",
        Repeated(b"GET /x HTTP/1.1\r\nHost: s\r\n", b"a", 200_000, b": 1\r\n\r\n"),
        TOO_LARGE,
        "nothing",
    ),
    case(
        "too many fields",
        "each costs work in every hop",
        Repeated(HEAD, b"X-A: 1\r\n", 400, b"\r\n"),
        TOO_LARGE,
        "nothing",
    ),
    case(
        "a head that is too large in small lines",
        "431 (RFC 6585 §5)",
        Repeated(HEAD, b"X-A: 0123456789012345678901234567890123456789\r\n", 5_000, b"\r\n"),
        TOO_LARGE,
        "nothing",
    ),
    case(
        "a method that is too long",
        "no method is",
        Repeated(b"", b"A", 200_000, b" /x HTTP/1.1\r\nHost: s\r\n\r\n"),
        "400 | closed or 414 | closed or 431 | closed or 501 | closed",
        "nothing",
    ),
    case(
        "a head without end",
        "it is refused when it is too large, not when it ends",
        Repeated(HEAD, b"X-A: 0123456789\r\n", 100_000, b""),
        TOO_LARGE,
        "nothing",
    ),
    case(
        "empty lines without end",
        "a few are passed over, not any number",
        Repeated(b"", b"\r\n", 200_000, b"GET /x HTTP/1.1\r\nHost: s\r\n\r\n"),
        "400 | closed or 431 | closed",
        "nothing",
    ),
];
