//! `Content-Length` (RFC 9112 §6.3, RFC 9110 §8.6).

use super::{
    Case,
    Sends::{Post, Raw},
    case, passes, refused,
};

pub(in crate::strict) const LENGTHS: &[Case] = &[
    passes(
        "a body with a length",
        "the one the others differ from",
        Post(b"Content-Length: 2", b"ok"),
        "POST /x \"ok\"",
    ),
    passes("a length of nothing", "there is no body", Post(b"Content-Length: 0", b""), "POST /x"),
    passes(
        "a POST without length",
        "a request without length and coding has no body (RFC 9112 §6.3)",
        Post(b"X-A: 1", b""),
        "POST /x [x-a: 1]",
    ),
    passes(
        "spaces and tabs around a length",
        "they are not part of a value",
        Post(b"cONTENT-lENGTH: \t 2 \t ", b"ok"),
        "POST /x \"ok\"",
    ),
    passes(
        "a length with leading zeros",
        "allowed by the grammar, and a decimal number to all: no reader takes it for octal",
        Post(b"Content-Length: 0010", b"0123456789"),
        "POST /x \"0123456789\"",
    ),
    passes(
        "a GET with a body",
        "some search APIs are asked that way; the body belongs to this request",
        Raw(b"GET /x HTTP/1.1\r\nHost: s\r\nContent-Length: 2\r\n\r\nok"),
        "GET /x \"ok\"",
    ),
    refused(
        "two lengths that are equal",
        "a choice of RFC 9112 §6.3; whoever sends two was made to",
        Post(b"Content-Length: 2\r\nContent-Length: 2", b"ok"),
    ),
    refused(
        "two lengths that differ",
        "readers take the first or the last",
        Post(b"Content-Length: 2\r\nContent-Length: 3", b"oko"),
    ),
    refused(
        "two lengths of which one is empty",
        "readers take the first or the last",
        Post(b"Content-Length: 2\r\nContent-Length:", b"ok"),
    ),
    refused(
        "a list of equal lengths",
        "what an intermediary makes of two fields",
        Post(b"Content-Length: 2, 2", b"ok"),
    ),
    refused(
        "a list of lengths that differ",
        "readers take the first or the last",
        Post(b"Content-Length: 2, 3", b"oko"),
    ),
    refused("a length and a comma", "it is a list", Post(b"Content-Length: 2,", b"ok")),
    refused("a length with a plus", "only digits", Post(b"Content-Length: +2", b"ok")),
    refused("a negative length", "only digits", Post(b"Content-Length: -1", b"")),
    refused("a negative nothing", "only digits", Post(b"Content-Length: -0", b"")),
    refused("a hexadecimal length", "only digits", Post(b"Content-Length: 0x2", b"ok")),
    refused("a length with a letter", "only digits", Post(b"Content-Length: 2a", b"ok")),
    refused("a length with a fraction", "only digits", Post(b"Content-Length: 2.0", b"ok")),
    refused("a length with an exponent", "only digits", Post(b"Content-Length: 2e0", b"ok")),
    refused(
        "a length with an underscore",
        "only digits",
        Post(b"Content-Length: 1_0", b"0123456789"),
    ),
    refused("a length with a unit", "only digits", Post(b"Content-Length: 2 bytes", b"ok")),
    refused("a length in two words", "only digits", Post(b"Content-Length: 1 0", b"0123456789")),
    refused("a length in quotes", "only digits", Post(b"Content-Length: \"2\"", b"ok")),
    refused("a length with a parameter", "only digits", Post(b"Content-Length: 2;a=b", b"ok")),
    refused("an empty length", "it is no number", Post(b"Content-Length:", b"")),
    refused(
        "a length in digits that are not ASCII",
        "libraries that know Unicode read it as a number",
        Post(b"Content-Length: \xd9\xa2", b"ok"),
    ),
    refused(
        "a length after a vertical tab",
        "some readers take it for a space",
        Post(b"Content-Length: \x0b2", b"ok"),
    ),
    refused(
        "a length after a no-break space",
        "some readers take it for a space",
        Post(b"Content-Length: \xa02", b"ok"),
    ),
    refused(
        "a length of 2^64",
        "it is 0 where it overflows",
        Post(b"Content-Length: 18446744073709551616", b""),
    ),
    refused(
        "a length of 2^64 + 2",
        "it is 2 where it overflows",
        Post(b"Content-Length: 18446744073709551618", b"ok"),
    ),
    refused(
        "a length of 40 digits",
        "it is anything where it overflows",
        Post(b"Content-Length: 1000000000000000000000000000000000000002", b"ok"),
    ),
    case(
        "a length of 2^64 - 1",
        "it can be counted, but not be sent",
        Post(b"Content-Length: 18446744073709551615", b"ok"),
        "400 | closed or 413 | closed",
        "nothing or begun",
    )
    .then_ends(),
    case(
        "a body that is cut off",
        "the instance must not take the beginning for all of it",
        Post(b"Content-Length: 10", b"half"),
        "400 | closed or none | closed",
        "nothing or begun",
    )
    .then_ends(),
    case(
        "a body that is longer than its length",
        "what follows is the next request, and is none",
        Post(b"Content-Length: 2", b"okok\r\n\r\n"),
        "200 \"ok\"; 400 | closed",
        "POST /x \"ok\"",
    ),
    case(
        "a length in HTTP/1.0",
        "HTTP/1.0 has them too",
        Raw(b"POST /x HTTP/1.0\r\nHost: s\r\nContent-Length: 2\r\n\r\nok"),
        "200 \"ok\" | closed",
        "POST /x \"ok\"",
    ),
];
