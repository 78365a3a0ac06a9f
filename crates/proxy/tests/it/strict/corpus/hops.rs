//! Fields that are for one hop (RFC 9110 §7.6.1), upgrade and expectations.

use super::{
    Case,
    Sends::{Get, Post, Raw},
    case, passes,
};

const CLOSED: &str = "200 \"ok\" | closed";

pub(in crate::strict) const HOPS: &[Case] = &[
    case(
        "Connection: close",
        "the client says it is its last request",
        Get(b"Connection: close"),
        CLOSED,
        "GET /x",
    ),
    case(
        "Connection: close among others",
        "it is a list, and options are case-insensitive",
        Get(b"Connection: x-a, CLOSE\r\nX-A: 1\r\nX-B: 2"),
        CLOSED,
        "GET /x [x-b: 2]",
    ),
    case(
        "close and keep-alive at once",
        "close is the safe one",
        Get(b"Connection: keep-alive\r\nConnection: close"),
        CLOSED,
        "GET /x",
    ),
    passes(
        "fields that Connection names",
        "they are for this hop",
        Get(b"X-A: 1\r\nConnection: X-a ,\t, x-B\r\nX-B: 2\r\nX-A: 3\r\nX-C: 4"),
        "GET /x [x-c: 4]",
    ),
    passes(
        "two Connection fields",
        "together they are one list",
        Get(b"Connection: x-a\r\nX-A: 1\r\nX-B: 2\r\nConnection: x-b"),
        "GET /x",
    ),
    passes(
        "a part of a name in Connection",
        "options are whole words",
        Get(b"Connection: x\r\nX-A: 1"),
        "GET /x [x-a: 1]",
    ),
    passes(
        "Connection names Content-Length",
        "the framing of a message cannot be taken away from it",
        Post(b"Connection: Content-Length\r\nContent-Length: 2", b"ok"),
        "POST /x \"ok\"",
    )
    .or_refused(),
    passes(
        "Connection names Transfer-Encoding",
        "the framing of a message cannot be taken away from it",
        Post(b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked", b"2\r\nok\r\n0\r\n\r\n"),
        "POST /x \"ok\"",
    )
    .or_refused(),
    passes(
        "Connection names Host",
        "where a message goes cannot be taken away from it",
        Get(b"Connection: Host"),
        "GET /x",
    )
    .or_refused(),
    passes(
        "Connection names Authorization and Cookie",
        "fields for the instance are not for this hop; without them it may take the client for another",
        Get(b"Connection: Authorization, Cookie\r\nAuthorization: Basic eA==\r\nCookie: a=b"),
        "GET /x [authorization: Basic eA==] [cookie: a=b] or GET /x [authorization: Basic eA==] or \
         GET /x",
    )
    .or_refused(),
    passes(
        "Keep-Alive and Proxy-Connection",
        "they are for this hop whether named or not",
        Get(b"Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive"),
        "GET /x",
    ),
    passes(
        "Proxy-Authorization",
        "it is for the first proxy, not for an instance",
        Get(b"Proxy-Authorization: Basic eA=="),
        "GET /x",
    ),
    passes("TE with codings", "they are for this hop", Get(b"TE: gzip;q=1\r\nConnection: TE"), "GET /x"),
    passes(
        "TE: trailers",
        "whether trailers are welcome can be said again to the next hop",
        Get(b"TE: trailers\r\nConnection: TE"),
        "GET /x or GET /x [te: trailers] or GET /x [connection: te] [te: trailers] or \
         GET /x [connection: TE] [te: trailers]",
    ),
    passes(
        "Upgrade that Connection does not name",
        "it was meant for another hop (RFC 9110 §7.8)",
        Get(b"Upgrade: websocket"),
        "GET /x",
    ),
    passes(
        "Connection: upgrade without Upgrade",
        "there is nothing to upgrade to",
        Get(b"Connection: Upgrade"),
        "GET /x",
    ),
    passes(
        "an upgrade to h2c",
        "obsolete (RFC 9113 §3.1), and a way past the rules of the gateway",
        Get(
            b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
              HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
        ),
        "GET /x",
    ),
    passes(
        "an upgrade to h2c among others",
        "it is a list",
        Get(
            b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c , x\r\n\
              HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
        ),
        "GET /x or GET /x [connection: upgrade] [upgrade: x] or \
         GET /x [connection: Upgrade] [upgrade: x]",
    ),
    passes(
        "an upgrade in HTTP/1.0",
        "HTTP/1.0 has none (RFC 9110 §7.8)",
        Raw(
            b"GET /x HTTP/1.0\r\nHost: s\r\nConnection: keep-alive, upgrade\r\n\
              Upgrade: websocket\r\n\r\n",
        ),
        "GET /x",
    )
    .or_closed(),
    case(
        "an expectation nobody knows",
        "417 (RFC 9110 §10.1.1)",
        Post(b"Expect: 200-ok\r\nContent-Length: 2", b"ok"),
        "417 | closed or 417 | kept",
        "nothing",
    ),
    case(
        "two expectations",
        "of which one is not known",
        Post(b"Expect: 100-continue, x\r\nContent-Length: 2", b"ok"),
        "417 | closed or 417 | kept",
        "nothing",
    ),
    case(
        "100-continue in another case",
        "values of Expect are case-insensitive; with the body there, 100 need not be said",
        Post(b"Expect: 100-Continue\r\nContent-Length: 2", b"ok"),
        "100; 200 \"ok\" | kept or 200 \"ok\" | kept",
        "POST /x \"ok\" or POST /x [expect: 100-Continue] \"ok\" or \
         POST /x [expect: 100-continue] \"ok\"",
    ),
    case(
        "100-continue without a body",
        "there is nothing to wait for",
        Get(b"Expect: 100-continue"),
        "200 \"ok\" | kept or 100; 200 \"ok\" | kept",
        "GET /x or GET /x [expect: 100-continue]",
    ),
    case(
        "100-continue in HTTP/1.0",
        "an HTTP/1.0 client does not know interim responses",
        Raw(b"POST /x HTTP/1.0\r\nHost: s\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok"),
        CLOSED,
        "POST /x \"ok\"",
    ),
];
