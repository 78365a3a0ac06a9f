use super::*;
use crate::testing::View;
use proptest::prelude::*;

fn path(change: PathChange, prefix: &str) -> Rewrite {
    Rewrite::new(Config { path: Some(change), host: None, prefix: prefix.to_owned() }).unwrap()
}

fn prefix(new: &str, old: &str) -> Rewrite {
    path(PathChange::Prefix(new.to_owned()), old)
}

fn full(template: &str, old: &str) -> Rewrite {
    path(PathChange::Full(template.to_owned()), old)
}

/// The path that the service gets for a request of `url`.
fn check(rewrite: &Rewrite, url: &str, expected: &str) {
    let mut effects = Effects::default();
    let reply = rewrite.apply(&View::get(url), &mut effects);
    let got = match reply {
        Some(reply) => reply.status.to_string(),
        None => effects.path.unwrap(),
    };
    assert_eq!(got, expected, "{url}");
}

#[test]
fn a_prefix_is_replaced_by_whole_segments_and_the_rest_stays_as_it_was_sent() {
    let rewrite = prefix("/v2", "/api/v1");
    check(&rewrite, "http://o.example/api/v1", "/v2");
    check(&rewrite, "http://o.example/api/v1/", "/v2/");
    check(&rewrite, "http://o.example/api/v1/a%2Bb;v=1/c", "/v2/a%2Bb;v=1/c");
    check(&rewrite, "http://o.example//api//v1//a", "/v2/a");
    check(&rewrite, "http://o.example/%61pi/v1/a?q=1", "/v2/a");
    check(&prefix("/", "/api"), "http://o.example/api", "/");
    check(&prefix("/", "/api"), "http://o.example/api/a", "/a");
    check(&prefix("/all", "/"), "http://o.example/a", "/all/a");
}

#[test]
fn a_full_path_may_place_what_it_took() {
    check(&full("/index.html", "/"), "http://o.example/a/b?q", "/index.html");
    check(&full("/{host}{rest}", "/x"), "http://Tenant.example:81/x/a", "/tenant.example/a");
    check(&full("{rest}", "/x"), "http://o.example/x", "/");
    check(
        &full("/search?q={rest}&{query}", "/find"),
        "http://o.example/find/a b?l=1",
        "/search?q=/a%20b&l=1",
    );
    check(&full("/search?{query}", "/find"), "http://o.example/find", "/search");
}

#[test]
fn a_path_that_could_be_read_in_two_ways_does_not_reach_the_service() {
    check(&full("/files{rest}.", "/x"), "http://o.example/x/a", "/files/a.");
    check(&full("/files{rest}.", "/x"), "http://o.example/x/", "400");
    for sent in ["/x/../a", "/x/%2e%2e/a", "/x/a%2fb", "/x/a\\b", "/x/%zz", "/x/%00"] {
        check(&prefix("/y", "/x"), &format!("http://o.example{sent}"), "400");
        check(&full("/y{rest}", "/x"), &format!("http://o.example{sent}"), "400");
    }
}

#[test]
fn the_host_is_replaced_alone_or_with_the_path() {
    let config = Config { host: Some("users.internal:8080".to_owned()), ..Config::default() };
    let rewrite = Rewrite::new(config).unwrap();
    let mut effects = Effects::default();
    assert_eq!(rewrite.apply(&View::any(), &mut effects), None);
    assert_eq!(effects.host.as_deref(), Some("users.internal:8080"));
    assert_eq!(effects.path, None);
}

#[test]
fn what_is_no_path_or_host_is_refused() {
    assert_eq!(Rewrite::new(Config::default()).unwrap_err(), Error::Nothing);
    for host in ["", "a b", "a/b", "user@a", "a:x", "a:0", "a:70000", "a\r\nb: c", "http://a"] {
        let config = Config { host: Some(host.to_owned()), ..Config::default() };
        assert_eq!(Rewrite::new(config).unwrap_err(), Error::Host(host.to_owned()));
    }
    for path in ["", "a", "//a", "/a#b", "/a b", "/../a", "/{name}", "https://a.example/"] {
        let path = Some(PathChange::Full(path.to_owned()));
        let error = Rewrite::new(Config { path, ..Config::default() }).unwrap_err();
        assert!(matches!(error, Error::Path { .. }), "{error:?}");
    }
}

proptest! {
    #[test]
    fn what_comes_out_is_a_path_with_one_meaning(sent in "/[a-z/.;%0-9 \\\\]{0,20}") {
        let request = View::get("http://o.example/").raw_path(&sent);
        for rewrite in [prefix("/y", "/x"), full("/y{rest}", "/x/z"), full("/a.{rest}", "/x")] {
            let mut effects = Effects::default();
            if rewrite.apply(&request, &mut effects).is_none() {
                let path = effects.path.unwrap();
                prop_assert!(path.bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert!(!path.contains("//"));
                prop_assert!(logic::route::path::clean(&path).is_ok());
            }
        }
    }
}
