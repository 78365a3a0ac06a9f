use super::*;
use crate::h1::lines::HeadEnd;

fn parse(text: &str) -> Result<(RequestHead, Framing), u16> {
    let mut head = RequestHead::default();
    let length = HeadEnd::default().find(text.as_bytes()).map_err(|bad| bad.status)?;
    assert_eq!(length, Some(text.len()), "the test's head is complete");
    let framing = head.parse(text.as_bytes(), 100).map_err(|bad| bad.status)?;
    Ok((head, framing))
}

fn with_host(line: &str) -> Result<(RequestHead, Framing), u16> {
    parse(&format!("{line}\r\nHost: shop.test:8080\r\n\r\n"))
}

#[test]
fn a_head_falls_into_its_parts() {
    let (head, framing) = parse(
        "POST /a?b=c HTTP/1.1\r\nHost: shop\r\nContent-Length: 3\r\nX-A:  1 \r\nx-a: \r\n\r\n",
    )
    .unwrap();
    assert_eq!((head.method(), head.path_and_query(), head.host()), ("POST", "/a?b=c", "shop"));
    assert_eq!(framing, Framing::Length(3));
    let values: Vec<&[u8]> = head.fields.named("X-A").collect();
    assert_eq!(values, [&b"1"[..], b""]);
    assert!(head.keeps_alive());
}

#[test]
fn an_absolute_target_must_agree_with_host() {
    let (head, _) = with_host("GET http://SHOP.test:8080/x?y HTTP/1.1").unwrap();
    assert_eq!((head.path_and_query(), head.host()), ("/x?y", "shop.test:8080"));
    let (head, _) = with_host("GET http://shop.test:8080?y HTTP/1.1").unwrap();
    assert_eq!(head.path_and_query(), "/?y");
    let (head, _) = with_host("GET http://shop.test:8080 HTTP/1.1").unwrap();
    assert_eq!(head.path_and_query(), "/");
    for bad in ["http://other/", "http://shop.test/", "ftp://shop.test:8080/", "http:///x", "x"] {
        assert_eq!(with_host(&format!("GET {bad} HTTP/1.1")).err(), Some(400), "{bad}");
    }
}

#[test]
fn there_is_exactly_one_host_that_is_a_host() {
    let with = |host: &str| parse(&format!("GET / HTTP/1.1\r\n{host}\r\n")).err();
    assert_eq!(with(""), Some(400));
    for good in ["a", "a.b:80", "[::1]:80", "[::1]", "10.0.0.1", "a_b", "a:"] {
        assert_eq!(with(&format!("Host: {good}\r\n")), None, "{good}");
    }
    for bad in ["", "a b", "u@a", "a,b", "a/b", "a\\b", "a:b", "a:123456", ":80", "[::1", "a#", "ä"]
    {
        assert_eq!(with(&format!("Host: {bad}\r\n")), Some(400), "{bad}");
    }
    assert_eq!(with("Host: a\r\nHost: a\r\n"), Some(400));
    assert!(parse("GET / HTTP/1.0\r\n\r\n").is_ok());
}

#[test]
fn lines_and_names_are_taken_literally() {
    for (line, status) in [
        ("GET /a b HTTP/1.1", 400),
        ("GET  / HTTP/1.1", 400),
        ("GET /\tHTTP/1.1", 400),
        (" GET / HTTP/1.1", 400),
        ("GET / HTTP/1.1 ", 400),
        ("G\u{1}T / HTTP/1.1", 400),
        ("GET /\u{7f} HTTP/1.1", 400),
        ("GET /ä HTTP/1.1", 400),
        ("GET /#x HTTP/1.1", 400),
        ("GET * HTTP/1.1", 400),
        ("GET /", 400),
        ("GET / http/1.1", 400),
        ("GET / HTTP/1.2", 505),
        ("GET / HTTP/2.0", 505),
        ("CONNECT a:80 HTTP/1.1", 405),
    ] {
        assert_eq!(with_host(line).err(), Some(status), "{line:?}");
    }
    for field in
        ["A : 1", " A: 1", "A\t: 1", ": 1", "A", "A(: 1", "Ä: 1", "A: \0", "A: \rx", "A:\r B"]
    {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n");
        assert_eq!(parse(&head).err(), Some(400), "{field:?}");
    }
    let folded = "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n";
    assert_eq!(parse(folded).err(), Some(400));
}

#[test]
fn more_fields_than_allowed_are_refused() {
    let fields = "X: 1\r\n".repeat(100);
    assert_eq!(parse(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).err(), Some(431));
}

#[test]
fn an_upgrade_needs_both_fields_and_is_never_to_http_2() {
    let with = |lines: &str| {
        let (head, _) = parse(&format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")).unwrap();
        head.upgrade().map(<[u8]>::to_vec)
    };
    let both = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n";
    assert_eq!(with(both), Some(b"websocket".to_vec()));
    assert_eq!(with("Upgrade: websocket\r\n"), None);
    assert_eq!(with("Connection: upgrade\r\n"), None);
    assert_eq!(with("Connection: upgrade\r\nUpgrade: h2c\r\n"), None);
}

#[test]
fn connections_live_as_the_version_and_the_field_say() {
    let keeps = |version: &str, lines: &str| {
        let text = format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n");
        parse(&text).unwrap().0.keeps_alive()
    };
    assert!(keeps("1.1", ""));
    assert!(!keeps("1.1", "Connection: foo, CLOSE\r\n"));
    assert!(!keeps("1.0", ""));
    assert!(keeps("1.0", "Connection: keep-alive\r\n"));
}
