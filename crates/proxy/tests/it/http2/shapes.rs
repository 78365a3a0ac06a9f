//! What must not get from HTTP/2 into HTTP/1.1 (RFC 9113 §8.2, §8.3, §10.3), as a table.

use super::frames::{
    DATA, END_HEADERS, END_STREAM, Field, GOAWAY, HEADERS, RST_STREAM, Raw, block,
};
use crate::{
    recorder::{Pace, Recorder},
    strict::{end, plane},
};

/// One request.
struct Case {
    name: &'static str,
    /// Instead of the usual pseudo fields.
    pseudo: Option<&'static [Field<'static>]>,
    fields: &'static [Field<'static>],
    /// Frames of data.
    data: &'static [&'static [u8]],
    trailers: Option<&'static [Field<'static>]>,
    /// `refused` is 400, 405, 417, 431, 501, or an error of the stream or the connection.
    gets: &'static str,
    saw: &'static str,
}

const USUAL: &[Field<'static>] =
    &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"s"), (b":path", b"/x")];
const POST: &[Field<'static>] =
    &[(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"s"), (b":path", b"/x")];

const fn passes(name: &'static str, fields: &'static [Field<'static>], saw: &'static str) -> Case {
    Case { name, pseudo: None, fields, data: &[], trailers: None, gets: "200", saw }
}

/// A field that must not be there.
const fn field(name: &'static str, fields: &'static [Field<'static>]) -> Case {
    Case { gets: "refused", ..passes(name, fields, "nothing") }
}

/// Pseudo fields that must not be so.
const fn pseudo(name: &'static str, pseudo: &'static [Field<'static>]) -> Case {
    Case { pseudo: Some(pseudo), ..field(name, &[]) }
}

/// A body that is not as long as it says; its beginning may have been passed on.
const fn body(
    name: &'static str,
    fields: &'static [Field<'static>],
    data: &'static [&'static [u8]],
) -> Case {
    Case { data, pseudo: Some(POST), saw: "nothing or begun", ..field(name, fields) }
}

const fn trailers(
    name: &'static str,
    trailers: &'static [Field<'static>],
    gets: &'static str,
    saw: &'static str,
) -> Case {
    let case = body(name, &[(b"trailer", b"x-sum")], &[b"ok"]);
    Case { trailers: Some(trailers), gets, saw, ..case }
}

const CASES: &[Case] = &[
    passes("a plain request", &[(b"x-a", b"1")], "GET /x [x-a: 1]"),
    passes("a value with obs-text", &[(b"x-a", b"caf\xe9")], "GET /x [x-a: caf\u{e9}]"),
    passes("a host that is the authority", &[(b"host", b"s")], "GET /x"),
    passes(
        "te: trailers",
        &[(b"te", b"trailers")],
        "GET /x or GET /x [te: trailers] or \
        GET /x [connection: te] [te: trailers]",
    ),
    passes(
        "cookies in pieces",
        &[(b"cookie", b"a=1"), (b"cookie", b"b=2")],
        "GET /x [cookie: a=1; b=2]",
    ),
    field("CRLF in a value", &[(b"x-a", b"1\r\nx-b: 2")]),
    field("CR in a value", &[(b"x-a", b"1\rx-b: 2")]),
    field("LF in a value", &[(b"x-a", b"1\nx-b: 2")]),
    field("NUL in a value", &[(b"x-a", b"1\0")]),
    field("a control byte in a value", &[(b"x-a", b"1\x01")]),
    field("a request in a value", &[(b"x-a", b"1\r\n\r\nGET /hidden HTTP/1.1\r\nHost: s")]),
    field("a name in upper case", &[(b"X-A", b"1")]),
    field("CRLF in a name", &[(b"x-a: 1\r\nx-b", b"2")]),
    field("a space in a name", &[(b"x a", b"1")]),
    field("a space after a name", &[(b"x-a ", b"1")]),
    field("a colon in a name", &[(b"x-a:", b"1")]),
    field("NUL in a name", &[(b"x-a\0", b"1")]),
    field("an empty name", &[(b"", b"1")]),
    field("a name that is not ASCII", &[(b"x-\xc3\xbc", b"1")]),
    field("connection", &[(b"connection", b"close")]),
    field("connection that names a field", &[(b"connection", b"x-a"), (b"x-a", b"1")]),
    field("keep-alive", &[(b"keep-alive", b"timeout=5")]),
    field("proxy-connection", &[(b"proxy-connection", b"keep-alive")]),
    field("transfer-encoding", &[(b"transfer-encoding", b"chunked")]),
    field("transfer-encoding: identity", &[(b"transfer-encoding", b"identity")]),
    field("upgrade", &[(b"upgrade", b"h2c")]),
    field("te with another coding", &[(b"te", b"gzip")]),
    field("te with another coding besides", &[(b"te", b"trailers, gzip")]),
    field("a host that is not the authority", &[(b"host", b"evil")]),
    field("two hosts", &[(b"host", b"s"), (b"host", b"s")]),
    field("an expectation nobody knows", &[(b"expect", b"x")]),
    field("a pseudo field after others", &[(b"x-a", b"1"), (b":path", b"/y")]),
    field("an unknown pseudo field", &[(b":x", b"1")]),
    field("a pseudo field of responses", &[(b":status", b"200")]),
    field("two paths", &[(b":path", b"/y")]),
    field("two methods", &[(b":method", b"POST")]),
    field("two authorities", &[(b":authority", b"evil")]),
    Case {
        gets: "200",
        saw: "GET /x",
        ..pseudo(
            "a host and no authority",
            &[(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/x"), (b"host", b"s")],
        )
    },
    pseudo("no host at all", &[(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/x")]),
    pseudo("no method", &[(b":scheme", b"http"), (b":authority", b"s"), (b":path", b"/x")]),
    pseudo("no path", &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"s")]),
    pseudo("no scheme", &[(b":method", b"GET"), (b":authority", b"s"), (b":path", b"/x")]),
    pseudo(
        "an empty path",
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"s"), (b":path", b"")],
    ),
    pseudo(
        "a path without a slash",
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"s"), (b":path", b"x")],
    ),
    pseudo(
        "a whole URI as the path",
        &[
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":authority", b"s"),
            (b":path", b"http://evil/x"),
        ],
    ),
    pseudo(
        "a version in the path",
        &[
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":authority", b"s"),
            (b":path", b"/x HTTP/1.1\r\nHost: evil\r\n\r\nGET /y"),
        ],
    ),
    pseudo(
        "a space in the path",
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"s"), (b":path", b"/a b")],
    ),
    // Some readers of URIs drop it before anybody sees it; what counts is that it is not passed on.
    Case {
        gets: "200 or refused",
        saw: "GET /x or nothing",
        ..pseudo(
            "a fragment in the path",
            &[
                (b":method", b"GET"),
                (b":scheme", b"http"),
                (b":authority", b"s"),
                (b":path", b"/x#y"),
            ],
        )
    },
    pseudo(
        "NUL in the path",
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"s"), (b":path", b"/x\0")],
    ),
    pseudo(
        "a path that is not ASCII",
        &[
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":authority", b"s"),
            (b":path", b"/\xc3\xbc"),
        ],
    ),
    pseudo(
        "the asterisk for GET",
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"s"), (b":path", b"*")],
    ),
    pseudo(
        "a target in the method",
        &[
            (b":method", b"GET /hidden HTTP/1.1\r\nx:"),
            (b":scheme", b"http"),
            (b":authority", b"s"),
            (b":path", b"/x"),
        ],
    ),
    pseudo(
        "an empty method",
        &[(b":method", b""), (b":scheme", b"http"), (b":authority", b"s"), (b":path", b"/x")],
    ),
    pseudo(
        "CRLF in the authority",
        &[
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":authority", b"s\r\nx-a: 1"),
            (b":path", b"/x"),
        ],
    ),
    pseudo(
        "a user in the authority",
        &[
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":authority", b"good@evil"),
            (b":path", b"/x"),
        ],
    ),
    pseudo(
        "a path in the authority",
        &[
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":authority", b"s/evil"),
            (b":path", b"/x"),
        ],
    ),
    pseudo(
        "an empty authority",
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b""), (b":path", b"/x")],
    ),
    pseudo(
        "CRLF in the scheme",
        &[
            (b":method", b"GET"),
            (b":scheme", b"http\r\nx-a: 1"),
            (b":authority", b"s"),
            (b":path", b"/x"),
        ],
    ),
    pseudo("CONNECT", &[(b":method", b"CONNECT"), (b":authority", b"s:443")]),
    pseudo(
        "CONNECT with a path",
        &[
            (b":method", b"CONNECT"),
            (b":scheme", b"http"),
            (b":authority", b"s"),
            (b":path", b"/x"),
        ],
    ),
    pseudo(
        "extended CONNECT that was not offered",
        &[
            (b":method", b"CONNECT"),
            (b":protocol", b"websocket"),
            (b":scheme", b"http"),
            (b":authority", b"s"),
            (b":path", b"/x"),
        ],
    ),
    Case {
        gets: "200",
        saw: "POST /x \"ok\"",
        ..body("a body with its length", &[(b"content-length", b"2")], &[b"o", b"k"])
    },
    Case {
        gets: "200",
        saw: "POST /x \"ok\"",
        ..body("a body without a length", &[], &[b"o", b"", b"k"])
    },
    Case {
        gets: "200",
        saw: "POST /x \"0\r\n\r\n\"",
        ..body("a body that looks like chunks", &[], &[b"0\r\n\r\n"])
    },
    body("less data than its length", &[(b"content-length", b"5")], &[b"ok"]),
    body("more data than its length", &[(b"content-length", b"2")], &[b"okok"]),
    body("no data and a length", &[(b"content-length", b"5")], &[b""]),
    body("data and a length of nothing", &[(b"content-length", b"0")], &[b"ok"]),
    body("a length with a plus", &[(b"content-length", b"+2")], &[b"ok"]),
    body("a list of lengths", &[(b"content-length", b"2, 2")], &[b"ok"]),
    body(
        "two lengths that differ",
        &[(b"content-length", b"2"), (b"content-length", b"3")],
        &[b"ok"],
    ),
    body("an empty length", &[(b"content-length", b"")], &[b"ok"]),
    body("a length that overflows", &[(b"content-length", b"18446744073709551618")], &[b"ok"]),
    trailers("trailers", &[(b"x-sum", b"42")], "200", "POST /x [trailer: x-sum] \"ok\" +x-sum: 42"),
    trailers("CRLF in a trailer", &[(b"x-sum", b"4\r\n2")], "refused", "nothing or begun"),
    trailers(
        "a pseudo field as a trailer",
        &[(b":path", b"/y")],
        "200 or refused",
        "POST /x [trailer: x-sum] \"ok\" or nothing or begun",
    ),
    trailers("a trailer in upper case", &[(b"X-Sum", b"42")], "refused", "nothing or begun"),
    trailers(
        "framing as a trailer",
        &[(b"content-length", b"100")],
        "200 or refused",
        "POST /x [trailer: x-sum] \"ok\" or nothing or begun",
    ),
];

/// What came of one request: a status, or that it was refused.
async fn outcome(raw: &mut Raw) -> String {
    loop {
        let Some(frame) = raw.next().await else { return "refused".to_owned() };
        match frame.kind {
            HEADERS => match frame.status() {
                100..=199 => {}
                400 | 405 | 417 | 431 | 501 => return "refused".to_owned(),
                other => return other.to_string(),
            },
            // Of a stream that goes on with an error, or a connection that ends with one.
            RST_STREAM | GOAWAY if frame.code() != 0 => return "refused".to_owned(),
            _ => {}
        }
    }
}

async fn run(case: &Case) -> (String, String) {
    let recorder = Recorder::start(&[], Pace::AtOnce).await;
    let mut plane = plane(&recorder);
    let mut raw = Raw::connect(plane.gateway).await;
    let fields = [case.pseudo.unwrap_or(USUAL), case.fields].concat();
    let is_bare = case.data.is_empty() && case.trailers.is_none();
    let ends = |is_last: bool| if is_last { END_STREAM } else { 0 };
    raw.send(HEADERS, END_HEADERS | ends(is_bare), 1, &block(&fields)).await;
    for (at, data) in case.data.iter().enumerate() {
        let is_last = at + 1 == case.data.len() && case.trailers.is_none();
        raw.send(DATA, ends(is_last), 1, data).await;
    }
    if let Some(trailers) = case.trailers {
        raw.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(trailers)).await;
    }
    let gets = outcome(&mut raw).await;
    end(plane.service.take()).await;
    (gets, recorder.saw().await)
}

#[tokio::test]
async fn nothing_gets_from_http2_into_http1_that_could_not_be_sent_there() {
    let mut failures = Vec::new();
    for case in CASES {
        let (gets, saw) = run(case).await;
        let is_good = case.gets.split(" or ").any(|allowed| allowed == gets)
            && case.saw.split(" or ").any(|allowed| allowed == saw);
        if !is_good {
            failures.push(format!(
                "{}\n    gets {gets}\n    not  {}\n    saw  {saw}\n    not  {}",
                case.name, case.gets, case.saw
            ));
        }
    }
    println!("http2: {} of {} shapes pass", CASES.len() - failures.len(), CASES.len());
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
}
