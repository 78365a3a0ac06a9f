//! Several requests in one segment (RFC 9112 §9.3.2), and where one ends.

use super::{Case, Sends::Raw, case};

const TWO: &str = "200 \"ok\"; 200 \"ok\" | kept";
const ONE_THEN_BAD: &str = "200 \"ok\"; 400 | closed";

pub(in crate::strict) const PIPELINES: &[Case] = &[
    case(
        "three requests at once",
        "answered in order",
        Raw(
            b"GET /1 HTTP/1.1\r\nHost: s\r\n\r\nGET /2 HTTP/1.1\r\nHost: s\r\n\r\n\
              GET /3 HTTP/1.1\r\nHost: s\r\n\r\n",
        ),
        "200 \"ok\"; 200 \"ok\"; 200 \"ok\" | kept",
        "GET /1; GET /2; GET /3",
    ),
    case(
        "requests with bodies of both framings",
        "each body ends where it says",
        Raw(
            b"POST /1 HTTP/1.1\r\nHost: s\r\nContent-Length: 3\r\n\r\none\
              POST /2 HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n\
              POST /3 HTTP/1.1\r\nHost: s\r\nContent-Length: 5\r\n\r\nthree",
        ),
        "200 \"ok\"; 200 \"ok\"; 200 \"ok\" | kept",
        "POST /1 \"one\"; POST /2 \"two\"; POST /3 \"three\"",
    ),
    case(
        "a GET with a body, then another",
        "a GET may have a body; who thinks it has none reads the body as a request",
        Raw(
            b"GET /1 HTTP/1.1\r\nHost: s\r\nContent-Length: 38\r\n\r\n\
              GET /hidden HTTP/1.1\r\nHost: hidden\r\n\r\nGET /2 HTTP/1.1\r\nHost: s\r\n\r\n",
        ),
        TWO,
        "GET /1 \"GET /hidden HTTP/1.1\r\nHost: hidden\r\n\r\n\"; GET /2",
    ),
    case(
        "a GET with a chunked body, then another",
        "the same with chunks",
        Raw(
            b"GET /1 HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n\
              GET /2 HTTP/1.1\r\nHost: s\r\n\r\n",
        ),
        TWO,
        "GET /1 \"ok\"; GET /2",
    ),
    case(
        "an empty line between requests",
        "some clients send one too many after a body (RFC 9112 §2.2)",
        Raw(
            b"POST /1 HTTP/1.1\r\nHost: s\r\nContent-Length: 2\r\n\r\nok\r\n\
              GET /2 HTTP/1.1\r\nHost: s\r\n\r\n",
        ),
        TWO,
        "POST /1 \"ok\"; GET /2",
    ),
    case(
        "requests after empty bodies",
        "a body of nothing ends at once in both framings",
        Raw(
            b"POST /1 HTTP/1.1\r\nHost: s\r\nContent-Length: 0\r\n\r\n\
              POST /2 HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\
              GET /3 HTTP/1.1\r\nHost: s\r\n\r\n",
        ),
        "200 \"ok\"; 200 \"ok\"; 200 \"ok\" | kept",
        "POST /1; POST /2; GET /3",
    ),
    case(
        "a second request that is words",
        "the first is answered, the second refused",
        Raw(b"GET /1 HTTP/1.1\r\nHost: s\r\n\r\nhello there\r\n\r\n"),
        ONE_THEN_BAD,
        "GET /1",
    ),
    case(
        "a second request that is ambiguous",
        "the first is answered, nothing of the second goes on",
        Raw(
            b"GET /1 HTTP/1.1\r\nHost: s\r\n\r\nPOST /2 HTTP/1.1\r\nHost: s\r\n\
              Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\
              GET /3 HTTP/1.1\r\nHost: s\r\n\r\n",
        ),
        ONE_THEN_BAD,
        "GET /1",
    ),
    case(
        "a second request without a host",
        "the first is answered, nothing of the second goes on",
        Raw(b"GET /1 HTTP/1.1\r\nHost: s\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\nHost: s\r\n\r\n"),
        ONE_THEN_BAD,
        "GET /1",
    ),
    case(
        "a request after Connection: close",
        "the first was the last: nobody answers the second",
        Raw(
            b"GET /1 HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n\
              GET /2 HTTP/1.1\r\nHost: s\r\n\r\n",
        ),
        "200 \"ok\" | closed",
        "GET /1",
    ),
    case(
        "a request after HTTP/1.0",
        "the first was the last",
        Raw(b"GET /1 HTTP/1.0\r\nHost: s\r\n\r\nGET /2 HTTP/1.1\r\nHost: s\r\n\r\n"),
        "200 \"ok\" | closed",
        "GET /1",
    ),
    case(
        "a request behind a bad chunk",
        "nobody knows where the first ends, so there is no second",
        Raw(
            b"POST /1 HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokX\r\n\
              GET /2 HTTP/1.1\r\nHost: s\r\n\r\n",
        ),
        "400 | closed",
        "nothing or begun",
    ),
    case(
        "a request that is only begun behind a whole one",
        "the client is gone before it has asked again",
        Raw(b"GET /1 HTTP/1.1\r\nHost: s\r\n\r\nGET /2 HTTP/1.1\r\nHo"),
        "200 \"ok\" | closed or 200 \"ok\"; 400 | closed",
        "GET /1",
    )
    .then_ends(),
    case(
        "two requests and the end",
        "a client that has closed its side still gets its answers",
        Raw(b"GET /1 HTTP/1.1\r\nHost: s\r\n\r\nGET /2 HTTP/1.1\r\nHost: s\r\n\r\n"),
        "200 \"ok\"; 200 \"ok\" | closed",
        "GET /1; GET /2",
    )
    .then_ends(),
];
