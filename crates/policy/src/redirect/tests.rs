use super::*;
use crate::testing::View;
use proptest::prelude::*;

fn to(text: &str, prefix: &str) -> Redirect {
    let to = To::Template(text.to_owned());
    Redirect::new(Config { to, status: 302, prefix: prefix.to_owned() }).unwrap()
}

fn replace(parts: Parts, prefix: &str) -> Redirect {
    let to = To::Parts(parts);
    Redirect::new(Config { to, status: 301, prefix: prefix.to_owned() }).unwrap()
}

/// Where `request` is sent: a URL, `stays` or a status.
fn location(redirect: &Redirect, request: &View) -> String {
    match redirect.apply(request) {
        None => "stays".to_owned(),
        Some(reply) => match reply.headers.as_slice() {
            [(name, value)] if name == "location" => value.to_string(),
            [] => reply.status.to_string(),
            other => panic!("{other:?}"),
        },
    }
}

fn check(redirect: &Redirect, url: &str, expected: &str) {
    assert_eq!(location(redirect, &View::get(url)), expected, "{url}");
}

#[test]
fn a_url_with_variables_takes_the_path_and_keeps_the_query() {
    let redirect = to("https://new.example/{path}", "/");
    check(&redirect, "http://old.example/a/b?x=1&y=%20", "https://new.example/a/b?x=1&y=%20");
    check(&redirect, "http://old.example", "https://new.example/");
    check(&redirect, "http://old.example/a%2Cb/;v=1", "https://new.example/a%2Cb/;v=1");
    check(&to("https://new.example{path}", "/"), "http://o.example/a", "https://new.example/a");
    check(&to("https://new.example", "/"), "http://o.example/a?b", "https://new.example/?b");
    check(
        &to("https://{host}/v2{rest}", "/v1"),
        "http://O.example:8080/v1/a",
        "https://o.example/v2/a",
    );
    check(
        &to("https://www.{host}:8443{path}", "/"),
        "http://o.example/a",
        "https://www.o.example:8443/a",
    );
}

#[test]
fn a_query_of_the_target_replaces_the_one_of_the_request() {
    let redirect = to("https://find.example/?q={path}&{query}#top", "/");
    check(
        &redirect,
        "http://o.example/a&b=c/d?x=1",
        "https://find.example/?q=/a%26b%3Dc/d&x=1#top",
    );
    check(&to("/login?next={path}", "/"), "http://o.example/a%26b", "/login?next=/a%2526b");
    check(&to("/plain?", "/"), "http://o.example/a?x=1", "/plain");
}

#[test]
fn the_rest_is_what_follows_the_prefix() {
    let redirect = to("/new{rest}", "/old");
    check(&redirect, "http://o.example/old", "/new");
    check(&redirect, "http://o.example/old/", "/new/");
    check(&redirect, "http://o.example/old/a%2Bb?c=d", "/new/a%2Bb?c=d");
}

#[test]
fn https_keeps_everything_but_the_scheme() {
    let redirect = Redirect::new(Config::https(None)).unwrap();
    check(&redirect, "http://shop.example/a?b=c", "https://shop.example/a?b=c");
    check(&redirect, "http://shop.example:8080/", "https://shop.example/");
    check(&redirect, "http://[::1]:8080/", "https://[::1]/");
    check(&redirect, "https://shop.example/a", "stays");
    let reply = redirect.apply(&View::get("http://shop.example/")).unwrap();
    assert_eq!((reply.status, reply.code, reply.message.as_str()), (308, "", ""));
    let redirect = Redirect::new(Config::https(Some(8443))).unwrap();
    check(&redirect, "http://shop.example:8080/a", "https://shop.example:8443/a");
    check(&redirect, "https://shop.example:8443/a", "stays");
}

#[test]
fn parts_are_replaced_as_the_gateway_api_has_it() {
    let prefix = |text: &str| Some(PathChange::Prefix(text.to_owned()));
    let path = |path| replace(Parts { path, ..Parts::default() }, "/foo");
    for (new, sent, got) in [
        ("/xyz", "/foo/bar", "/xyz/bar"),
        ("/xyz/", "/foo/bar", "/xyz/bar"),
        ("/xyz", "/foo", "/xyz"),
        ("/xyz/", "/foo", "/xyz/"),
        ("/xyz", "/foo/", "/xyz/"),
        ("/", "/foo", "/"),
        ("/", "/foo/bar", "/bar"),
        ("/", "/foo/", "/"),
    ] {
        let sent = format!("http://o.example:81{sent}?q");
        check(&path(prefix(new)), &sent, &format!("http://o.example:81{got}?q"));
    }
    let full = Some(PathChange::Full("/all".to_owned()));
    check(&path(full), "http://o.example/foo/bar?q", "http://o.example/all?q");
    let host = Some("new.example".to_owned());
    let redirect = replace(Parts { host, ..Parts::default() }, "/");
    check(&redirect, "https://o.example:8443/a", "https://new.example:8443/a");
    check(&redirect, "https://new.example/a", "stays");
    let redirect = replace(Parts { port: Some(80), ..Parts::default() }, "/");
    check(&redirect, "http://o.example:8080/a", "http://o.example/a");
}

#[test]
fn a_request_cannot_choose_the_host_that_it_is_sent_to() {
    for url in [
        "http://o.example//evil.example",
        "http://o.example/old//evil.example",
        "http://o.example///evil.example/%2e",
        "http://o.example/old///evil.example",
        "http://o.example/old/@evil.example",
    ] {
        for target in ["/{path}", "/x{rest}", "/{rest}"] {
            let place = location(&to(target, "/old"), &View::get(url));
            let is_safe = place.starts_with('/') && !place.starts_with("//");
            assert!(is_safe || ["400", "stays"].contains(&&*place), "{place}");
        }
        let place = location(&to("https://new.example{rest}", "/old"), &View::get(url));
        assert!(place == "400" || place.starts_with("https://new.example/"), "{place}");
    }
}

#[test]
fn line_ends_and_other_bytes_that_may_not_stand_in_a_url_are_encoded() {
    let mut request = View::get("http://o.example/a b\r\nset-cookie: x=y\t<é>\"?q\r\nx: y#z");
    check_encoded(&request);
    request = View::get("http://o.example/\u{7f}\u{0}");
    assert_eq!(location(&to("https://n.example{path}", "/"), &request), "400");
}

fn check_encoded(request: &View) {
    assert_eq!(
        location(&to("https://n.example{path}", "/"), request),
        "https://n.example/a%20b%0D%0Aset-cookie:%20x=y%09%3C%C3%A9%3E%22?q%0D%0Ax:%20y%23z"
    );
}

#[test]
fn a_host_that_is_none_is_not_repeated() {
    let https = Redirect::new(Config::https(None)).unwrap();
    let template = to("https://{host}/", "/");
    for host in [
        "",
        "evil.example/x",
        "user@evil.example",
        "evil.example?",
        "evil.example#",
        "evil\\example",
        "a b",
        "a\r\nb",
        "a..b",
        ".a",
        "[::1",
        "[evil.example]",
        "é.example",
        "a:b:80",
        "a%2fb",
    ] {
        let request = View::get("http://o.example/a").host(host);
        assert_eq!(location(&https, &request), "400", "{host}");
        assert_eq!(location(&template, &request), "400", "{host}");
    }
    let address = View::get("http://o.example/a").host("[::1]:80");
    assert_eq!(location(&to("https://www.{host}/", "/"), &address), "400");
    assert_eq!(location(&template, &address), "https://[::1]/");
}

#[test]
fn a_request_without_a_path_is_not_sent_anywhere() {
    let https = Redirect::new(Config::https(None)).unwrap();
    let star = View::get("http://o.example/*").method("OPTIONS").raw_path("*");
    assert_eq!(location(&https, &star), "400");
    assert_eq!(location(&to("https://n.example{path}", "/"), &star), "400");
}

#[test]
fn a_request_that_is_already_there_passes() {
    let redirect = to("https://shop.example{path}", "/");
    check(&redirect, "https://shop.example/a?b", "stays");
    check(&redirect, "https://SHOP.example:443/a?b", "stays");
    check(&redirect, "https://shop.example:8443/a?b", "https://shop.example/a?b");
    check(&to("/a", "/"), "https://shop.example/a", "stays");
    check(&to("/a#x", "/"), "https://shop.example/a?q", "stays");
}

/// What is wrong with a target.
fn check_refused(text: &str, problem: &str) {
    let to = To::Template(text.to_owned());
    let config = Config { to, status: 302, prefix: "/".to_owned() };
    let Err(Error::Template { cause, .. }) = Redirect::new(config) else {
        panic!("{text} is accepted");
    };
    assert_eq!(format!("{cause:?}"), problem, "{text}");
}

#[test]
fn targets_that_could_be_read_in_two_ways_are_refused() {
    check_refused("", "Start");
    check_refused("new.example/a", "Start");
    check_refused("//new.example/a", "Start");
    check_refused("ftp://new.example", "Start");
    check_refused("javascript:alert(1)", "Start");
    check_refused("{path}", "Start");
    check_refused("https://", "Host(\"\")");
    check_refused("https://{path}", "Host(\"\")");
    check_refused("https://user@new.example/", "Host(\"user@new.example\")");
    check_refused("https://{query}.example/", "Host(\"{query}.example\")");
    check_refused("https://new.example:0/", "Host(\"new.example:0\")");
    check_refused("https://new.example/../a", "Path(DotSegment)");
    check_refused("/a/%2e%2e", "Path(DotSegment)");
    check_refused("/a%2fb", "Path(Ambiguous)");
    check_refused("/a%zz", "Path(BrokenEncoding)");
    check_refused("/a b", "Character { offset: 2 }");
    check_refused("/a\r\nx: y", "Character { offset: 2 }");
    check_refused("/a\\b", "Character { offset: 2 }");
    check_refused("/é", "Character { offset: 1 }");
    check_refused("https://new.example/{name}", "Variable { offset: 20 }");
    check_refused("/a{path", "Variable { offset: 2 }");
    check_refused("/a}", "Variable { offset: 2 }");
    check_refused("/a?{b}", "Variable { offset: 3 }");
    check_refused("/a#{path}", "Variable { offset: 2 }");
    check_refused("/{query}", "Misplaced");
    check_refused(&format!("/{}", "a".repeat(TEMPLATE_LEN_MAX)), "TooLong");
}

#[test]
fn parts_are_checked() {
    let refused = |parts, status| {
        let config = Config { to: To::Parts(parts), status, prefix: "/".to_owned() };
        Redirect::new(config).unwrap_err()
    };
    let parts = Parts::default;
    assert_eq!(refused(parts(), 301), Error::Nothing);
    let https = Parts { scheme: Some("https".to_owned()), ..parts() };
    assert_eq!(refused(https, 304), Error::Status(304));
    let scheme = Parts { scheme: Some("ftp".to_owned()), ..parts() };
    assert_eq!(refused(scheme, 301), Error::Scheme("ftp".to_owned()));
    let host = Parts { host: Some("a.example:80".to_owned()), ..parts() };
    assert_eq!(refused(host, 301), Error::Host("a.example:80".to_owned()));
    assert_eq!(refused(Parts { port: Some(0), ..parts() }, 301), Error::Port);
    for prefix in ["", "a", "/a?b", "/a#b", "/{rest}", "//a", "/..", "/a b"] {
        let path = Some(PathChange::Prefix(prefix.to_owned()));
        let error = refused(Parts { path, ..parts() }, 301);
        assert!(matches!(error, Error::Template { .. }), "{prefix}");
    }
}

proptest! {
    #[test]
    fn wherever_a_request_is_sent_the_host_is_the_configured_one(
        path in "/[a-z/.@:;%\\\\?# \r\n]{0,20}", host in "[a-z.:@/\\\\\\[\\]]{0,12}",
        query in prop::option::of("[a-z=&#\r\n/:?]{0,10}"),
    ) {
        let mut request = View::get("http://o.example/").host(&host).raw_path(&path);
        if let Some(query) = query {
            request = request.query(&query);
        }
        for (redirect, start) in [
            (to("https://n.example{path}", "/"), "https://n.example/"),
            (to("https://n.example/a{rest}", "/x"), "https://n.example/a"),
            (to("https://n.example/?next={path}", "/"), "https://n.example/?next="),
        ] {
            let place = location(&redirect, &request);
            prop_assert!(place == "400" || place.starts_with(start), "{}", place);
            prop_assert!(place.bytes().all(|byte| byte.is_ascii_graphic()), "{}", place);
        }
        let place = location(&to("/{path}", "/"), &request);
        prop_assert!(place == "400" || place == "stays"
            || place.starts_with('/') && !place.starts_with("//") && !place.contains('\\'), "{}", place);
    }

    #[test]
    fn reading_a_target_never_panics(text in "(https?://)?[a-z{}:/?#.%*\\[\\]]{0,30}|\\PC{0,20}") {
        let _ = UrlTemplate::parse(&text);
        let _ = PathTemplate::parse(&text);
    }
}
