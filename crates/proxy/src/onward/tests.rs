use super::*;
use base::ServiceName;

fn request(lines: &[(&str, &str)]) -> RequestHead {
    let mut head = RequestHead::default();
    head.begin("GET", "/", "shop");
    head.version = 1;
    for (name, value) in lines {
        head.fields.add(name.as_bytes(), value.as_bytes());
    }
    head
}

fn onward<'a>(kind: &'a ListenerKind, client: &'a str) -> Onward<'a> {
    Onward {
        kind,
        client,
        is_trusted: client == "127.0.0.1",
        scheme: "http",
        path: "/",
        host: None,
        body: Length::None,
        grpc_timeout: None,
        is_timed: false,
    }
}

/// The lines that an instance gets, sorted.
fn written(onward: &Onward<'_>, lines: &[(&str, &str)]) -> Vec<String> {
    let mut text = Vec::new();
    onward.write(&request(lines), &mut Random::new(1), &mut text);
    let text = String::from_utf8(text).unwrap();
    let head = text.strip_suffix("\r\n\r\n").expect("a head ends with an empty line");
    let mut lines: Vec<String> = head.split("\r\n").map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

fn prepared(lines: &[(&str, &str)], client: &str) -> Vec<String> {
    written(&onward(&ListenerKind::Gateway, client), lines)
}

#[track_caller]
fn value<'a>(lines: &'a [String], name: &str) -> &'a str {
    let prefix = format!("{name}: ");
    let mut found = lines.iter().filter_map(|line| line.strip_prefix(prefix.as_str()));
    let value = found.next().unwrap_or_else(|| panic!("no {name} in {lines:?}"));
    assert_eq!(found.next(), None, "{name} is there twice");
    value
}

#[test]
fn fields_for_this_hop_end_here_also_those_that_connection_names() {
    let lines = prepared(
        &[
            ("connection", "keep-alive, X-Private"),
            ("connection", "Content-Type, host, authorization"),
            ("keep-alive", "timeout=5"),
            ("x-private", "1"),
            ("te", "gzip"),
            ("upgrade", "websocket"),
            ("proxy-connection", "x"),
            ("proxy-authorization", "x"),
            ("http2-settings", "x"),
            ("expect", "100-continue"),
            ("content-type", "text/plain"),
            ("authorization", "a"),
            ("x_forwarded_for", "1"),
            ("Content_Length", "1"),
            ("x_public", "1"),
            ("x-public", "1"),
        ],
        "9.9.9.9",
    );
    let names: Vec<&str> = lines.iter().filter_map(|line| Some(line.split_once(": ")?.0)).collect();
    assert_eq!(
        names,
        [
            "authorization",
            "content-type",
            "host",
            "traceparent",
            "via",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-public",
            "x-request-id",
            "x_public"
        ]
    );
}

#[test]
fn an_upgrade_and_the_wish_for_trailers_go_on() {
    let lines = prepared(&[("Connection", "Upgrade"), ("Upgrade", "websocket")], "9.9.9.9");
    assert_eq!((value(&lines, "connection"), value(&lines, "upgrade")), ("upgrade", "websocket"));
    let lines = prepared(&[("te", "trailers, deflate;q=0.5"), ("connection", "te")], "9.9.9.9");
    assert_eq!((value(&lines, "connection"), value(&lines, "te")), ("te", "trailers"));
}

#[test]
fn an_outside_client_is_not_believed_about_host_and_protocol() {
    let spoofed = [
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil"),
        ("x-forwarded-port", "444"),
        ("x-real-ip", "1.1.1.1"),
        ("forwarded", "for=1.1.1.1"),
    ];
    let outside = prepared(&spoofed, "9.9.9.9");
    assert_eq!(value(&outside, "x-forwarded-for"), "1.1.1.1, 9.9.9.9");
    assert_eq!(value(&outside, "x-forwarded-proto"), "http");
    assert_eq!(value(&outside, "x-forwarded-host"), "shop");
    assert!(!outside.iter().any(|line| line.starts_with("forwarded") || line.contains("real-ip")));
    let local = prepared(&spoofed, "127.0.0.1");
    assert_eq!(value(&local, "x-forwarded-proto"), "https");
    assert_eq!(value(&local, "x-forwarded-host"), "evil");
    assert_eq!(value(&local, "forwarded"), "for=1.1.1.1, for=127.0.0.1;proto=http");
}

#[test]
fn service_calls_are_not_told_who_the_client_was() {
    let name = |text| ServiceName::new(text).unwrap();
    let kind = ListenerKind::Need { caller: name("orders"), service: name("users") };
    let lines = written(&onward(&kind, "127.0.0.1"), &[("x-forwarded-for", "9.9.9.9")]);
    assert_eq!(value(&lines, "x-forwarded-for"), "9.9.9.9");
    assert!(!lines.iter().any(|line| line.starts_with("x-forwarded-proto")));
}

#[test]
fn a_request_keeps_its_id_and_trace_and_gets_them_when_it_has_none() {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let kept = prepared(&[("x-request-id", "abc"), ("traceparent", trace)], "127.0.0.1");
    assert_eq!((value(&kept, "x-request-id"), value(&kept, "traceparent")), ("abc", trace));
    for bad in [
        &[("traceparent", "00-0-0-0"), ("x-request-id", "a b")][..],
        &[("traceparent", trace), ("traceparent", trace)],
    ] {
        let made = prepared(bad, "127.0.0.1");
        assert!(is_trace_parent(value(&made, "traceparent").as_bytes()), "{made:?}");
        assert_ne!(value(&made, "traceparent"), trace);
        assert_eq!(value(&made, "x-request-id").len(), 32);
    }
}

#[test]
fn only_well_formed_trace_parents_are_taken_over() {
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert!(is_trace_parent(good.as_bytes()));
    assert!(is_trace_parent(format!("{}-more", good.replacen("00", "01", 1)).as_bytes()));
    for bad in [
        "",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ] {
        assert!(!is_trace_parent(bad.as_bytes()), "{bad}");
    }
}

#[test]
fn cookies_that_came_apart_are_joined() {
    let lines = prepared(&[("cookie", "a=1"), ("cookie", "b=2")], "127.0.0.1");
    assert_eq!(value(&lines, "cookie"), "a=1; b=2");
}

#[test]
fn bodies_are_announced_as_they_will_be_sent() {
    let kind = ListenerKind::Gateway;
    let lines = |method: &str, body| {
        let mut head = request(&[("content-length", "9"), ("transfer-encoding", "chunked")]);
        head.begin(method, "/", "shop");
        let mut text = Vec::new();
        let onward = Onward { body, ..onward(&kind, "9.9.9.9") };
        onward.write(&head, &mut Random::new(1), &mut text);
        String::from_utf8(text).unwrap()
    };
    assert!(lines("POST", Length::Exact(1_234_567)).contains("content-length: 1234567\r\n"));
    assert!(lines("POST", Length::None).contains("content-length: 0\r\n"));
    assert!(!lines("GET", Length::None).contains("content-length"));
    assert!(lines("POST", Length::Unknown).contains("transfer-encoding: chunked\r\n"));
}

#[test]
fn the_chain_of_proxies_is_told() {
    let lines = prepared(&[("via", "1.0 a")], "9.9.9.9");
    let vias: Vec<&String> = lines.iter().filter(|line| line.starts_with("via")).collect();
    assert_eq!(vias, ["via: 1.0 a", "via: 1.1 flotilla"]);
}

#[test]
fn addresses_are_written_as_their_types_write_them() {
    let texts = ["0.0.0.0", "127.0.0.1", "10.20.30.40", "255.100.99.9", "::1", "2001:db8::7"];
    for text in texts.map(|text| text.parse::<IpAddr>().unwrap()) {
        assert_eq!(*address_text(text), text.to_string());
    }
    assert_eq!(&*address_text("::ffff:192.0.2.1".parse().unwrap()), "192.0.2.1");
}
