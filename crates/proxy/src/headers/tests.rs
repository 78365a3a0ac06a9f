use super::*;
use base::ServiceName;

fn map(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    headers
}

fn prepared(lines: &[(&str, &str)], client: &str) -> HeaderMap {
    let mut headers = map(lines);
    let origin = Origin {
        kind: &ListenerKind::Gateway,
        client: client.parse().unwrap(),
        host: "shop",
        upgrade: None,
        is_grpc: false,
    };
    prepare(&mut headers, &origin, &mut Random::new(1));
    headers
}

#[test]
fn fields_for_this_hop_end_here_also_those_that_connection_names() {
    let mut headers = map(&[
        ("connection", "keep-alive, X-Private"),
        ("connection", "Content-Length, host"),
        ("keep-alive", "timeout=5"),
        ("x-private", "1"),
        ("te", "trailers"),
        ("upgrade", "websocket"),
        ("proxy-connection", "x"),
        ("content-length", "3"),
        ("host", "shop"),
        ("x-public", "1"),
    ]);
    remove_hop_by_hop(&mut headers);
    let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["content-length", "host", "x-public"]);
}

#[test]
fn an_outside_client_is_not_believed_about_host_and_protocol() {
    let spoofed = [
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil"),
    ];
    let outside = prepared(&spoofed, "9.9.9.9");
    assert_eq!(outside["x-forwarded-for"], "1.1.1.1, 9.9.9.9");
    assert_eq!(outside["x-forwarded-proto"], "http");
    assert_eq!(outside["x-forwarded-host"], "shop");
    let local = prepared(&spoofed, "127.0.0.1");
    assert_eq!(local["x-forwarded-proto"], "https");
    assert_eq!(local["x-forwarded-host"], "evil");
}

#[test]
fn service_calls_are_not_told_who_the_client_was() {
    let name = |text| ServiceName::new(text).unwrap();
    let kind = ListenerKind::Need { caller: name("orders"), service: name("users") };
    let client = "127.0.0.1".parse().unwrap();
    let origin = Origin { kind: &kind, client, host: "users", upgrade: None, is_grpc: false };
    let mut headers = map(&[("x-forwarded-for", "9.9.9.9")]);
    prepare(&mut headers, &origin, &mut Random::new(1));
    assert_eq!(headers["x-forwarded-for"], "9.9.9.9");
    assert!(!headers.contains_key("x-forwarded-proto"));
}

#[test]
fn a_request_keeps_its_id_and_trace_and_gets_them_when_it_has_none() {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let kept = prepared(&[("x-request-id", "abc"), ("traceparent", trace)], "127.0.0.1");
    assert_eq!(
        (&kept["x-request-id"], &kept["traceparent"]),
        (&HeaderValue::from_static("abc"), &HeaderValue::from_static(trace))
    );
    let made = prepared(&[("traceparent", "00-0-0-0"), ("x-request-id", "a b")], "127.0.0.1");
    assert!(is_trace_parent(made["traceparent"].as_bytes()), "{made:?}");
    assert_eq!(made["x-request-id"].len(), 32);
    assert_eq!(made.get_all("traceparent").iter().count(), 1);
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
fn the_host_is_taken_from_the_target_before_the_field_and_must_be_one() {
    let request = |target: &str, hosts: &[&str]| {
        let mut request = Request::new(());
        *request.uri_mut() = target.parse().unwrap();
        for value in hosts {
            request.headers_mut().append(HOST, value.parse().unwrap());
        }
        request
    };
    assert_eq!(host(&request("/", &["shop:80"])), Ok("shop:80"));
    assert_eq!(host(&request("http://a/x", &["b"])), Ok("a"));
    assert!(host(&request("/", &[])).is_err());
    assert!(host(&request("/", &["a", "a"])).is_err());
    assert!(host(&request("/", &["a, b"])).is_err());
    assert!(host(&request("/", &["u@b"])).is_err());
}

#[test]
fn cookies_that_came_apart_are_joined() {
    let headers = prepared(&[("cookie", "a=1"), ("cookie", "b=2")], "127.0.0.1");
    assert_eq!(headers["cookie"], "a=1; b=2");
    assert_eq!(headers.get_all("cookie").iter().count(), 1);
}
