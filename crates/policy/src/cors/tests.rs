use super::*;
use crate::testing::View;
use proptest::prelude::*;

fn config(origins: &[&str]) -> Config {
    Config { origins: strings(origins), ..Config::default() }
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

/// What `Access-Control-*` and `Vary` say on the response to `request`.
fn check(cors: &Cors, request: &View, expected: &str) {
    let mut effects = Effects::default();
    cors.apply(request, &mut effects);
    let mut said = Vec::new();
    for edit in effects.response {
        match edit {
            Edit::Set(name, value) => said.push(format!("{name}: {value}")),
            Edit::Vary(list) => said.push(format!("vary: {list}")),
            Edit::Remove(name) => assert!(FIELDS.contains(&&*name), "{name}"),
            other @ Edit::Add(..) => panic!("{other:?}"),
        }
    }
    let said = said.join("; ").replace("access-control-", "");
    assert_eq!(said, expected, "{request:?}");
}

fn check_preflight(cors: &Cors, request: &View, expected: &str) {
    let reply = cors.preflight(request).expect("a preflight");
    assert_eq!((reply.status, reply.code, reply.message.as_str()), (204, "", ""));
    let said: Vec<_> =
        reply.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let said = said.join("; ").replace("access-control-", "");
    let said = said.strip_prefix("vary: ").unwrap().replace(VARY_PREFLIGHT, "*vary*");
    assert_eq!(said, expected, "{request:?}");
}

fn from(origin: impl AsRef<[u8]>) -> View {
    View::any().with("origin", origin)
}

fn preflight(origin: &str, method: &str) -> View {
    from(origin).method("OPTIONS").with("access-control-request-method", method)
}

#[test]
fn a_listed_origin_is_echoed_and_others_get_nothing() {
    let cors = Cors::new(config(&["https://shop.example", "http://localhost:5173"])).unwrap();
    check(&cors, &from("https://shop.example"), "allow-origin: https://shop.example; vary: Origin");
    check(
        &cors,
        &from("http://localhost:5173"),
        "allow-origin: http://localhost:5173; vary: Origin",
    );
    check(&cors, &from("https://other.example"), "vary: Origin");
}

#[test]
fn a_request_without_origin_still_says_that_the_answer_depends_on_it() {
    let cors = Cors::new(config(&["https://shop.example"])).unwrap();
    check(&cors, &View::any(), "vary: Origin");
}

#[test]
fn an_answer_that_is_the_same_for_all_origins_does_not_vary() {
    let cors = Cors::new(config(&["*"])).unwrap();
    check(&cors, &from("https://whoever.example"), "allow-origin: *");
    check(&cors, &View::any(), "allow-origin: *");
}

#[test]
fn what_the_service_says_about_cors_is_removed_whatever_the_origin() {
    let cors = Cors::new(config(&["https://shop.example"])).unwrap();
    for request in [View::any(), from("https://shop.example"), from("https://evil.example")] {
        let mut effects = Effects::default();
        cors.apply(&request, &mut effects);
        for name in FIELDS {
            let removed = effects.response.iter().position(|it| *it == Edit::Remove(name.into()));
            let set = |it: &Edit| matches!(it, Edit::Set(known, _) if known == name);
            let set = effects.response.iter().position(set);
            assert!(removed.is_some(), "{name}");
            assert!(set.is_none_or(|set| Some(set) > removed), "{name}");
        }
    }
}

#[test]
fn origins_that_only_look_like_the_listed_one_are_not_allowed() {
    let cors =
        Cors::new(config(&["https://shop.example", "https://*.example.com", "http://[::1]:3000"]))
            .unwrap();
    for origin in [
        "",
        "null",
        "*",
        "https://shop.example/",
        "https://shop.example:443",
        "https://shop.example:8443",
        "http://shop.example",
        "HTTPS://shop.example",
        "https://Shop.example",
        "https://shop.example.",
        "https://shop.example.evil.com",
        "https://evilshop.example",
        "https://shop.example@evil.com",
        "https://evil.com/https://shop.example",
        "https://shop.example https://evil.com",
        "https://shop.example, https://evil.com",
        "https:shop.example",
        "//shop.example",
        "shop.example",
        "https://evilexample.com",
        "https://example.com",
        "https://.example.com",
        "https://a..example.com",
        "https://*.example.com",
        "https://a.example.com.evil.com",
        "https://evil.com/.example.com",
        "https://evil.com#.example.com",
        "https://evil.com?.example.com",
        "https://evil.com\\.example.com",
        "https://user@a.example.com",
        "https://user:x@a.example.com",
        "https://evil.com:80.example.com",
        "https://a.example.com:",
        "https://a.example.com:0",
        "https://a.example.com:443",
        "https://a.example.com:0443",
        "https://a.example.com:8443",
        "http://a.example.com",
        "https://a%2e.example.com",
        "https://ä.example.com",
        "https://a.example.com\0",
        "https://a.example.com ",
        "https://a\t.example.com",
        "http://[::1]",
        "http://[::1]:3001",
        "http://[::1]:3000.example.com",
    ] {
        check(&cors, &from(origin), "vary: Origin");
    }
    check(&cors, &from([b"https://a\xff.example.com".as_slice()].concat()), "vary: Origin");
    let long = format!("https://{}.example.com", "a.".repeat(200));
    check(&cors, &from(long), "vary: Origin");
}

#[test]
fn names_below_a_wildcard_are_allowed_at_any_depth() {
    let cors = Cors::new(config(&["https://*.example.com", "https://*.a.example:8443"])).unwrap();
    for origin in
        ["https://shop.example.com", "https://a.b-c.example.com", "https://x_1.a.example:8443"]
    {
        check(&cors, &from(origin), &format!("allow-origin: {origin}; vary: Origin"));
    }
}

#[test]
fn a_port_may_be_left_open() {
    let cors = Cors::new(config(&["http://localhost:*"])).unwrap();
    for origin in ["http://localhost", "http://localhost:5173", "http://localhost:65535"] {
        check(&cors, &from(origin), &format!("allow-origin: {origin}; vary: Origin"));
    }
    for origin in ["https://localhost:5173", "http://localhost:65536", "http://localhost:x"] {
        check(&cors, &from(origin), "vary: Origin");
    }
}

#[test]
fn null_is_allowed_only_when_it_is_listed() {
    let cors = Cors::new(config(&["null"])).unwrap();
    check(&cors, &from("null"), "allow-origin: null; vary: Origin");
    check(&cors, &from("NULL"), "vary: Origin");
}

#[test]
fn two_origins_are_no_origin() {
    let cors = Cors::new(config(&["https://shop.example"])).unwrap();
    let twice = from("https://shop.example").with("origin", "https://shop.example");
    check(&cors, &twice, "vary: Origin");
}

#[test]
fn other_schemes_have_origins_too() {
    let cors = Cors::new(config(&["capacitor://localhost", "chrome-extension://abcdef"])).unwrap();
    check(
        &cors,
        &from("capacitor://localhost"),
        "allow-origin: capacitor://localhost; vary: Origin",
    );
    check(&cors, &from("chrome-extension://abcdeg"), "vary: Origin");
}

#[test]
fn credentials_and_exposed_headers_are_told_to_allowed_origins_only() {
    let cors = Cors::new(Config {
        credentials: true,
        expose: strings(&["X-Total", "ETag"]),
        ..config(&["https://shop.example"])
    })
    .unwrap();
    check(
        &cors,
        &from("https://shop.example"),
        "allow-origin: https://shop.example; allow-credentials: true; expose-headers: x-total, etag; \
         vary: Origin",
    );
    check(&cors, &from("https://evil.example"), "vary: Origin");
}

#[test]
fn a_refusal_that_is_made_here_can_be_read_by_the_page() {
    let cors = Cors::new(config(&["https://shop.example"])).unwrap();
    let mut reply = Reply {
        status: 429,
        code: "rate_limited",
        message: String::new(),
        headers: Vec::new(),
        delay: None,
    };
    cors.dress(&from("https://shop.example"), &mut reply);
    let expected: Vec<Field> = vec![
        ("access-control-allow-origin".into(), "https://shop.example".into()),
        ("vary".into(), "Origin".into()),
    ];
    assert_eq!(reply.headers, expected);
}

#[test]
fn a_preflight_is_told_what_the_page_may_do() {
    let cors = Cors::new(config(&["https://shop.example"])).unwrap();
    let request = preflight("https://shop.example", "PUT")
        .with("access-control-request-headers", "content-type,authorization");
    check_preflight(
        &cors,
        &request,
        "*vary*; allow-origin: https://shop.example; \
         allow-methods: GET, HEAD, POST, PUT, PATCH, DELETE; \
         allow-headers: content-type, authorization; max-age: 600",
    );
}

#[test]
fn a_preflight_of_an_origin_that_is_not_allowed_is_told_nothing() {
    let cors =
        Cors::new(Config { credentials: true, ..config(&["https://shop.example"]) }).unwrap();
    for origin in ["https://evil.example", "null", "", "https://shop.example.evil.com"] {
        check_preflight(&cors, &preflight(origin, "PUT"), "*vary*");
    }
}

#[test]
fn what_is_no_preflight_goes_to_the_service() {
    let cors = Cors::new(config(&["*"])).unwrap();
    let asks = |request: View| request.with("access-control-request-method", "PUT");
    for request in [
        View::any().method("OPTIONS"),
        from("https://a.example").method("OPTIONS"),
        asks(View::any().method("OPTIONS")),
        asks(from("https://a.example")),
        asks(from("https://a.example").method("options")),
    ] {
        assert_eq!(cors.preflight(&request), None, "{request:?}");
    }
}

#[test]
fn a_star_for_methods_and_headers_names_what_was_asked_for() {
    let cors = Cors::new(Config {
        methods: strings(&["*"]),
        headers: strings(&["*"]),
        credentials: true,
        max_age: Duration::ZERO,
        ..config(&["https://a.example"])
    })
    .unwrap();
    let request = preflight("https://a.example", "PURGE")
        .with("access-control-request-headers", "authorization, x-b");
    check_preflight(
        &cors,
        &request,
        "*vary*; allow-origin: https://a.example; allow-credentials: true; allow-methods: PURGE; \
         allow-headers: authorization, x-b; max-age: 0",
    );
    let hostile = preflight("https://a.example", "P\r\nX: y");
    check_preflight(
        &cors,
        &hostile,
        "*vary*; allow-origin: https://a.example; allow-credentials: true; max-age: 0",
    );
}

#[test]
fn only_headers_that_are_listed_are_echoed() {
    let cors =
        Cors::new(Config { headers: strings(&["Content-Type", "X-Trace"]), ..config(&["*"]) })
            .unwrap();
    let check_headers = |asked: &[&[u8]], expected: &str| {
        let mut request = preflight("https://a.example", "GET");
        for value in asked {
            request = request.with("access-control-request-headers", value);
        }
        let allowed = cors.allowed_headers(&request);
        assert_eq!(allowed, expected, "{asked:?}");
    };
    check_headers(&[b"content-type"], "content-type");
    check_headers(&[b"X-TRACE , x-evil,content-type"], "X-TRACE, content-type");
    check_headers(&[b"x-trace", b"content-type"], "x-trace, content-type");
    check_headers(&[b"x-trace-more", b"x", b"", b",,", b"*"], "");
    check_headers(&[b"x-trace\r\nset-cookie: a=b", b"content-type\0", b"\xff"], "");
}

#[test]
fn a_preflight_that_asks_for_very_much_gets_a_bounded_answer() {
    let cors = Cors::new(config(&["*"])).unwrap();
    let many = vec!["x-a"; ASKED_MAX + 10].join(",");
    let request =
        preflight("https://a.example", "GET").with("access-control-request-headers", many);
    assert_eq!(cors.allowed_headers(&request).matches("x-a").count(), ASKED_MAX);
    let long = preflight("https://a.example", "GET")
        .with("access-control-request-headers", "x".repeat(NAME_LEN_MAX + 1));
    assert_eq!(cors.allowed_headers(&long), "");
}

#[test]
fn a_private_network_is_opened_only_where_the_file_says_so() {
    let ask = |is_open| {
        let config = Config { private_network: is_open, ..config(&["https://a.example"]) };
        let request = preflight("https://a.example", "GET")
            .with("access-control-request-private-network", "true");
        let headers = Cors::new(config).unwrap().preflight(&request).unwrap().headers;
        let names: Vec<_> = headers.iter().map(|(name, _)| name.as_ref()).collect();
        assert_eq!(headers[0].1.contains("Private-Network"), is_open);
        names.contains(&"access-control-allow-private-network")
    };
    assert!(ask(true));
    assert!(!ask(false));
}

#[test]
fn what_would_open_more_than_it_says_is_refused() {
    let refused = |config: Config| Cors::new(config).unwrap_err();
    let with_credentials =
        |origins: &[&str]| refused(Config { credentials: true, ..config(origins) });
    assert_eq!(with_credentials(&["https://a.example", "*"]), Error::CredentialsForAll("*"));
    assert_eq!(with_credentials(&["null"]), Error::CredentialsForAll("null"));
    assert_eq!(refused(config(&[])), Error::NoOrigins);
    let expose = strings(&["*"]);
    let both = Config { credentials: true, expose, ..config(&["https://a.example"]) };
    assert_eq!(refused(both), Error::ExposeAll);
    let long = Config { max_age: MAX_AGE_MAX + Duration::from_secs(1), ..config(&["*"]) };
    assert_eq!(refused(long), Error::MaxAge);
    let method = Config { methods: strings(&["GET", "P UT"]), ..config(&["*"]) };
    assert_eq!(refused(method), Error::Method("P UT".to_owned()));
    let header = Config { headers: strings(&["x:y"]), ..config(&["*"]) };
    assert!(matches!(refused(header), Error::Header { .. }));
    assert_eq!(refused(config(&["https://a.example"; ENTRIES_MAX + 1])), Error::TooMany);
}

proptest! {
    #[test]
    fn no_request_makes_a_value_with_a_line_end(
        origin in prop::collection::vec(any::<u8>(), 0..40),
        method in prop::collection::vec(any::<u8>(), 0..10),
        headers in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let cors = Cors::new(Config {
            methods: strings(&["*"]), ..config(&["https://*.example.com", "null", "*"])
        }).unwrap();
        let request = from(&origin).method("OPTIONS")
            .with("access-control-request-method", &method)
            .with("access-control-request-headers", &headers);
        let reply = cors.preflight(&request).unwrap();
        for (_, value) in reply.headers {
            prop_assert!(value.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{value:?}");
        }
    }
}
