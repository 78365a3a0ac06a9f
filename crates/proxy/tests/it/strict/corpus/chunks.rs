//! Chunks (RFC 9112 §7.1).

use super::{BEGUN, Case, Sends, Sends::Chunked, case, passes, refused_in_body};

const OK: &str = "POST /x \"ok\"";

/// A chunk line that is longer than any that is sent in earnest.
const LONG: usize = 20_000;

pub(in crate::strict) const CHUNKS: &[Case] = &[
    passes(
        "several chunks",
        "they are one body",
        Chunked(b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n"),
        OK,
    ),
    passes("no chunk but the last", "the body is empty", Chunked(b"0\r\n\r\n"), "POST /x"),
    passes(
        "sizes in hexadecimal",
        "in either case",
        Chunked(b"a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n"),
        "POST /x \"01234567890123456789a\"",
    ),
    passes(
        "a size with leading zeros",
        "allowed by the grammar; how many, the length of a size bounds",
        Chunked(b"00000002\r\nok\r\n0\r\n\r\n"),
        OK,
    ),
    passes("a last chunk of several zeros", "it is nothing", Chunked(b"2\r\nok\r\n000\r\n\r\n"), OK),
    passes(
        "extensions",
        "they are for this hop: read, and not passed on",
        Chunked(b"1;a\r\no\r\n1;a=b;c=\"d;\\\"e\"\r\nk\r\n0;f=g\r\n\r\n"),
        OK,
    ),
    passes(
        "a chunk that looks like chunks",
        "what is inside is bytes",
        Chunked(b"5\r\n0\r\n\r\n\r\n0\r\n\r\n"),
        "POST /x \"0\r\n\r\n\"",
    ),
    refused_in_body("0x before a size", "only digits", Chunked(b"0x2\r\nok\r\n0\r\n\r\n")),
    refused_in_body("a plus before a size", "only digits", Chunked(b"+2\r\nok\r\n0\r\n\r\n")),
    refused_in_body("a negative size", "only digits", Chunked(b"-1\r\nok\r\n0\r\n\r\n")),
    refused_in_body("a negative nothing as size", "only digits", Chunked(b"-0\r\n\r\n")),
    refused_in_body("a space before a size", "only digits", Chunked(b" 2\r\nok\r\n0\r\n\r\n")),
    refused_in_body("a tab before a size", "only digits", Chunked(b"\t2\r\nok\r\n0\r\n\r\n")),
    refused_in_body(
        "a space after a size",
        "some servers of old padded their sizes; no client does",
        Chunked(b"2 \r\nok\r\n0\r\n\r\n"),
    ),
    refused_in_body("a space in a size", "it is 2 or 20", Chunked(b"2 0\r\nok\r\n0\r\n\r\n")),
    refused_in_body("a size with a fraction", "only digits", Chunked(b"2.0\r\nok\r\n0\r\n\r\n")),
    refused_in_body("a size with an underscore", "only digits", Chunked(b"0_2\r\nok\r\n0\r\n\r\n")),
    refused_in_body("a size in quotes", "only digits", Chunked(b"\"2\"\r\nok\r\n0\r\n\r\n")),
    refused_in_body("a size with an h", "only digits", Chunked(b"2h\r\nok\r\n0\r\n\r\n")),
    refused_in_body("an empty size", "it is no number", Chunked(b"\r\nok\r\n0\r\n\r\n")),
    refused_in_body("only an extension", "there is no size", Chunked(b";a=b\r\n\r\n")),
    refused_in_body("a size that is a word", "it is no number", Chunked(b"xyz\r\n\r\n")),
    refused_in_body("NUL after a size", "C programs end there", Chunked(b"2\0\r\nok\r\n0\r\n\r\n")),
    refused_in_body(
        "a size of 17 digits",
        "it is 0 where it overflows",
        Chunked(b"10000000000000000\r\n\r\n"),
    ),
    refused_in_body(
        "a size of 17 digits that ends in 2",
        "it is 2 where it overflows",
        Chunked(b"10000000000000002\r\nok\r\n0\r\n\r\n"),
    ),
    refused_in_body(
        "a size of 32 bits and more",
        "it is 2 where it overflows 32 bits; here it never comes",
        Chunked(b"100000002\r\nok\r\n0\r\n\r\n"),
    )
    .then_ends(),
    case(
        "the largest size",
        "it can be counted, but not be sent",
        Chunked(b"ffffffffffffffff\r\nok\r\n0\r\n\r\n"),
        "400 | closed or 413 | closed",
        BEGUN,
    )
    .then_ends(),
    refused_in_body(
        "a sum of sizes that overflows",
        "the second is valid alone",
        Chunked(b"2\r\nok\r\nffffffffffffffff\r\nok\r\n0\r\n\r\n"),
    )
    .then_ends(),
    refused_in_body(
        "bare LF after a size",
        "some readers end the line there (RFC 9112 §2.2 is not about chunks)",
        Chunked(b"2\nok\r\n0\r\n\r\n"),
    ),
    refused_in_body("bare CR after a size", "the same", Chunked(b"2\rok\r\n0\r\n\r\n")),
    refused_in_body("LF and CR after a size", "the same", Chunked(b"2\n\rok\r\n0\r\n\r\n")),
    refused_in_body("two CR after a size", "the same", Chunked(b"2\r\r\nok\r\n0\r\n\r\n")),
    refused_in_body("bare LF after data", "the same", Chunked(b"2\r\nok\n0\r\n\r\n")),
    refused_in_body("bare CR after data", "the same", Chunked(b"2\r\nok\r0\r\n\r\n")),
    refused_in_body("nothing after data", "where does it end?", Chunked(b"2\r\nok0\r\n\r\n")),
    refused_in_body(
        "more data than the size",
        "some readers pass over the rest of the line",
        Chunked(b"2\r\nokok\r\n0\r\n\r\n"),
    ),
    refused_in_body(
        "two bytes after data that are not CRLF",
        "some readers pass over any two bytes",
        Chunked(b"2\r\nokXX0\r\n\r\n"),
    ),
    refused_in_body(
        "bare LF after the last size",
        "some readers end the body there",
        Chunked(b"2\r\nok\r\n0\n\r\n"),
    ),
    refused_in_body(
        "bare LF as the end of the body",
        "some readers end the body there",
        Chunked(b"2\r\nok\r\n0\r\n\n"),
    ),
    refused_in_body("a body that ends twice with LF", "the same", Chunked(b"2\r\nok\r\n0\n\n")),
    refused_in_body(
        "an extension without a name",
        "it is none",
        Chunked(b"2;\r\nok\r\n0\r\n\r\n"),
    ),
    refused_in_body(
        "bare LF in an extension",
        "some readers end the line there, others go on to CRLF",
        Chunked(b"2;a\nok\r\n0\r\n\r\n"),
    ),
    refused_in_body(
        "bare LF in the extension of the last chunk",
        "the same, with a whole request hidden behind",
        Chunked(b"0;\nGET /hidden HTTP/1.1\r\nHost: s\r\n\r\n"),
    ),
    refused_in_body(
        "bare CR in an extension",
        "some readers end the line there",
        Chunked(b"2;a\rb\r\nok\r\n0\r\n\r\n"),
    ),
    refused_in_body(
        "a quoted extension with a line break",
        "readers that know quotes go on, others end the line",
        Chunked(b"2;a=\"\r\nok\r\n0\r\n\r\n\"\r\nok\r\n0\r\n\r\n"),
    ),
    refused_in_body("NUL in an extension", "C programs", Chunked(b"2;a=\0b\r\nok\r\n0\r\n\r\n")),
    refused_in_body(
        "a control byte in an extension",
        "no extension has one",
        Chunked(b"2;a=\x01\r\nok\r\n0\r\n\r\n"),
    ),
    refused_in_body(
        "an extension that is too long",
        "it is read into memory or skipped without end",
        Sends::Repeated(
            b"POST /x HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n2;a=",
            b"b",
            LONG,
            b"\r\nok\r\n0\r\n\r\n",
        ),
    ),
    refused_in_body(
        "extensions that are too long together",
        "RFC 9112 §7.1.1: their total is limited; one byte of body for a thousand of extension",
        Sends::Repeated(
            b"POST /x HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n",
            LONG,
            b"0\r\n\r\n",
        ),
    ),
    refused_in_body(
        "a size of very many zeros",
        "it is read without end",
        Sends::Repeated(
            b"POST /x HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"0",
            LONG,
            b"2\r\nok\r\n0\r\n\r\n",
        ),
    ),
    case(
        "chunks that are cut off",
        "the instance must not take the beginning for all of it",
        Chunked(b"2\r\nok\r\n"),
        "400 | closed or none | closed",
        BEGUN,
    )
    .then_ends(),
    case(
        "a chunk that is cut off",
        "the instance must not take the beginning for all of it",
        Chunked(b"5\r\nok"),
        "400 | closed or none | closed",
        BEGUN,
    )
    .then_ends(),
    case(
        "a last chunk that is cut off",
        "the body has not ended before its last CRLF",
        Chunked(b"2\r\nok\r\n0\r\n"),
        "400 | closed or none | closed",
        BEGUN,
    )
    .then_ends(),
];
