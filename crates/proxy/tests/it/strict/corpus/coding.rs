//! `Transfer-Encoding` (RFC 9112 §6.1).

use super::{
    Case,
    Sends::{Post, Raw},
    case, passes, refused,
};

/// The end of a chunked body, so that readers who see one are content.
const END: &[u8] = b"0\r\n\r\n";

/// RFC 9112 §6.1 says 501 for a coding that is not known, and 400 where `chunked` is not the last.
const UNKNOWN: &str = "400 | closed or 501 | closed";

const fn unknown(name: &'static str, why: &'static str, fields: &'static [u8]) -> Case {
    case(name, why, Post(fields, END), UNKNOWN, "nothing")
}

pub(in crate::strict) const CODINGS: &[Case] = &[
    passes(
        "a chunked body",
        "the one the others differ from",
        Post(b"Transfer-Encoding: chunked", b"2\r\nok\r\n0\r\n\r\n"),
        "POST /x \"ok\"",
    ),
    passes(
        "chunked in another case",
        "codings are case-insensitive",
        Post(b"tRANSFER-eNCODING: ChUnKeD", b"2\r\nok\r\n0\r\n\r\n"),
        "POST /x \"ok\"",
    ),
    passes(
        "spaces and tabs around chunked",
        "they are not part of a value",
        Post(b"Transfer-Encoding:\t chunked \t", b"2\r\nok\r\n0\r\n\r\n"),
        "POST /x \"ok\"",
    ),
    passes(
        "a GET with a chunked body",
        "the body belongs to this request",
        Raw(
            b"GET /x HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
        "GET /x \"ok\"",
    ),
    refused(
        "a length and then a coding",
        "the oldest way to smuggle: each reader believes another field",
        Post(b"Content-Length: 5\r\nTransfer-Encoding: chunked", END),
    ),
    refused(
        "a coding and then a length",
        "the same the other way round",
        Post(b"Transfer-Encoding: chunked\r\nContent-Length: 5", END),
    ),
    refused(
        "a coding and a length of nothing",
        "the rest would be the next request",
        Post(b"Transfer-Encoding: chunked\r\nContent-Length: 0", END),
    ),
    refused(
        "a coding and a length that is none",
        "two faults do not mend each other",
        Post(b"Transfer-Encoding: chunked\r\nContent-Length: x", END),
    ),
    unknown(
        "an unknown coding and a length",
        "who drops the coding believes the length",
        b"Transfer-Encoding: xchunked\r\nContent-Length: 5",
    ),
    refused(
        "a coding in HTTP/1.0",
        "HTTP/1.0 has none: old readers see no body (RFC 9112 §6.1)",
        Raw(b"POST /x HTTP/1.0\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ),
    refused(
        "a coding and a length in HTTP/1.0",
        "old readers believe the length",
        Raw(b"POST /x HTTP/1.0\r\nHost: s\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\
              \r\n0\r\n\r\n"),
    ),
    unknown(
        "chunked twice in one field",
        "it must not be applied twice (RFC 9112 §7.1)",
        b"Transfer-Encoding: chunked, chunked",
    ),
    unknown(
        "chunked twice in two fields",
        "it must not be applied twice (RFC 9112 §7.1)",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ),
    unknown(
        "identity",
        "it is no coding any more; old readers see none, others an unknown one",
        b"Transfer-Encoding: identity",
    ),
    unknown(
        "identity and then chunked",
        "it is no coding any more",
        b"Transfer-Encoding: identity, chunked",
    ),
    unknown(
        "chunked and then identity in two fields",
        "readers take the first or the last",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    ),
    unknown(
        "an unknown coding and then chunked in two fields",
        "readers take the first or the last",
        b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
    ),
    case(
        "gzip and then chunked",
        "a coding that is not understood (RFC 9112 §6.1)",
        Post(b"Transfer-Encoding: gzip, chunked", END),
        "501 | closed",
        "nothing",
    ),
    unknown("gzip alone", "its end cannot be seen", b"Transfer-Encoding: gzip"),
    unknown("chunked and then gzip", "its end cannot be seen", b"Transfer-Encoding: chunked, gzip"),
    unknown("a coding that begins with x", "it is another word", b"Transfer-Encoding: xchunked"),
    unknown("a coding that ends with x", "it is another word", b"Transfer-Encoding: chunkedx"),
    unknown("chunked cut off", "it is another word", b"Transfer-Encoding: chunke"),
    unknown("chunked in two words", "it is no coding", b"Transfer-Encoding: chun ked"),
    unknown("two codings without a comma", "it is no list", b"Transfer-Encoding: x chunked"),
    unknown("chunked in quotes", "it is no token", b"Transfer-Encoding: \"chunked\""),
    unknown("chunked with a parameter", "it has none", b"Transfer-Encoding: chunked;a=b"),
    unknown("chunked with a quality", "it has none", b"Transfer-Encoding: chunked;q=0"),
    unknown(
        "a comma after chunked",
        "an empty element may be passed over; nobody sends one but to deceive",
        b"Transfer-Encoding: chunked,",
    ),
    unknown("a comma before chunked", "the same", b"Transfer-Encoding: , chunked"),
    unknown("a semicolon after chunked", "it is no parameter", b"Transfer-Encoding: chunked;"),
    unknown("an empty coding", "it is none", b"Transfer-Encoding:"),
    unknown(
        "an empty coding and then chunked",
        "readers take the first or the last",
        b"Transfer-Encoding:\r\nTransfer-Encoding: chunked",
    ),
    unknown("two colons", "it is another word", b"Transfer-Encoding:: chunked"),
    unknown(
        "a no-break space before chunked",
        "some readers trim it",
        b"Transfer-Encoding: \xa0chunked",
    ),
    unknown(
        "a Kelvin sign in place of k",
        "readers that fold the case of Unicode see chunked",
        b"Transfer-Encoding: chun\xe2\x84\xaaed",
    ),
    refused(
        "a vertical tab before chunked",
        "some readers trim it",
        Post(b"Transfer-Encoding: \x0bchunked", END),
    ),
    refused(
        "a vertical tab after chunked",
        "some readers trim it",
        Post(b"Transfer-Encoding: chunked\x0b", END),
    ),
    refused(
        "NUL after chunked",
        "C programs read it up to there",
        Post(b"Transfer-Encoding: chunked\0", END),
    ),
    refused(
        "bare CR after chunked",
        "some readers trim it",
        Post(b"Transfer-Encoding: chunked\r\r", END),
    ),
    refused(
        "chunked in a folded line",
        "folding is obsolete",
        Post(b"Transfer-Encoding: x,\r\n chunked", END),
    ),
    refused(
        "a coding in a name with an odd byte",
        "some readers pass over what they cannot print",
        Post(b"\x01Transfer-Encoding: chunked", END),
    ),
    case(
        "a coding with an underscore in its name",
        "servers make one variable of both names: it is dropped; what follows is the next request, and is none",
        Post(b"Transfer_Encoding: chunked\r\nContent-Length: 0", END),
        "200 \"ok\"; 400 | closed",
        "POST /x",
    ),
];
