use super::{
    path::{Refused, clean, strip},
    *,
};
use proptest::prelude::*;

/// A rule in one line: `[host] [METHOD[,METHOD]] [= ]path [name:value|name|?name=value|?name]…`.
fn rule(line: &str) -> Rule {
    let path = Path::Prefix("/".to_owned());
    let mut rule = Rule { host: None, path, methods: vec![], headers: vec![], query: vec![] };
    let mut is_exact = false;
    let mut has_path = false;
    for word in line.split_whitespace() {
        if word == "=" {
            is_exact = true;
        } else if word.starts_with('/') {
            has_path = true;
            let path = word.to_owned();
            rule.path = if is_exact { Path::Exact(path) } else { Path::Prefix(path) };
        } else if let Some(word) = word.strip_prefix('?') {
            let (name, value) =
                word.split_once('=').map_or((word, None), |(n, v)| (n, Some(v.to_owned())));
            rule.query.push((name.to_owned(), value));
        } else if has_path {
            let (name, value) =
                word.split_once(':').map_or((word, None), |(n, v)| (n, Some(v.to_owned())));
            rule.headers.push((name.to_owned(), value));
        } else if word.chars().all(|c| c.is_ascii_uppercase() || c == ',') {
            rule.methods = word.split(',').map(str::to_owned).collect();
        } else {
            rule.host = Some(word.to_owned());
        }
    }
    rule
}

/// A request in one line: `METHOD host path[?query] [name:value]…`.
struct Line<'a>(Vec<&'a str>);

impl Request for Line<'_> {
    fn host(&self) -> &str {
        self.0[1]
    }
    fn method(&self) -> &str {
        self.0[0]
    }
    fn has_header(&self, name: &str, value: Option<&str>) -> bool {
        self.0[3..].iter().any(|header| {
            let (has, is) = header.split_once(':').unwrap();
            has == name && value.is_none_or(|value| value == is)
        })
    }
    fn query(&self) -> &str {
        self.0[2].split_once('?').map_or("", |(_, query)| query)
    }
}

/// Each request is followed by `->` and the rule it must lead to, `-` for none.
fn check(rules: &[&str], requests: &[&str]) {
    let compiled: Vec<Rule> = rules.iter().map(|line| rule(line)).collect();
    let table = Table::new(&compiled);
    for line in requests {
        let (request, expected) = line.split_once(" -> ").unwrap();
        let request = Line(request.split_whitespace().collect());
        let path = request.0[2].split('?').next().unwrap();
        let path = clean(path).unwrap();
        let found = table.find(&path, &request).map_or("-", |at| rules[at]);
        assert_eq!(found, expected, "{line}");
    }
}

#[test]
fn a_prefix_matches_whole_segments_and_the_longest_wins() {
    check(
        &["/api", "/api/users", "/web/"],
        &[
            "GET h /api -> /api",
            "GET h /api/ -> /api",
            "GET h /api/x/y -> /api",
            "GET h /apix -> -",
            "GET h /api/users -> /api/users",
            "GET h /api/users/1 -> /api/users",
            "GET h /api/usersx -> /api",
            "GET h /web -> /web/",
            "GET h / -> -",
        ],
    );
    check(&["/"], &["GET h / -> /", "GET h /any/thing -> /"]);
}

#[test]
fn an_exact_path_wins_over_every_prefix() {
    check(
        &["/a/b", "= /a/b", "= /"],
        &[
            "GET h /a/b -> = /a/b",
            "GET h /a/b/ -> /a/b",
            "GET h /a/b/c -> /a/b",
            "GET h / -> = /",
            "GET h /x -> -",
        ],
    );
}

#[test]
fn a_host_counts_before_the_path_and_the_more_exact_host_first() {
    check(
        &["/long/path", "*.example.com /", "shop.example.com /", "*.eu.example.com /"],
        &[
            "GET shop.example.com /long/path -> shop.example.com /",
            "GET SHOP.Example.com:8080 / -> shop.example.com /",
            "GET shop.example.com. / -> shop.example.com /",
            "GET a.b.example.com / -> *.example.com /",
            "GET a.eu.example.com / -> *.eu.example.com /",
            "GET example.com / -> -",
            "GET .example.com / -> -",
            "GET badexample.com /long/path/x -> /long/path",
            "GET [::1]:80 /long/path -> /long/path",
        ],
    );
}

#[test]
fn a_less_specific_rule_is_asked_when_the_specific_ones_fail() {
    check(
        &["shop /admin", "/", "POST /api/x", "/api x-beta:1"],
        &[
            "GET shop /other -> /",
            "GET h /api/x -> /",
            "POST h /api/x -> POST /api/x",
            "GET h /api/x x-beta:1 -> /api x-beta:1",
        ],
    );
}

#[test]
fn methods_then_headers_then_order_decide_between_equal_paths() {
    check(
        &["/a", "/a v:1", "/a v:1 w", "GET,HEAD /a", "GET /a v:1", "GET /a v"],
        &[
            "POST h /a -> /a",
            "POST h /a v:1 -> /a v:1",
            "POST h /a v:1 w:9 -> /a v:1 w",
            "HEAD h /a v:1 -> GET,HEAD /a",
            "GET h /a v:2 -> GET /a v",
            "GET h /a v:1 -> GET /a v:1",
            "GET h /a -> GET,HEAD /a",
        ],
    );
}

#[test]
fn another_spelling_of_a_path_leads_to_the_same_place() {
    check(
        &["/", "/admin"],
        &[
            "GET h /%61dmin/x -> /admin",
            "GET h //admin -> /admin",
            "GET h /admin//x -> /admin",
            "GET h /ad%20min -> /",
            "GET h /%ff -> /",
            "GET h /admin%3fx -> /",
            "GET h /admin%23x -> /",
            "GET h /%2561dmin -> /",
            "GET h /admin;x=1 -> /admin",
            "GET h /admin;x=1/y -> /admin",
            "GET h /;x/admin -> /admin",
            "GET h /;/admin -> /admin",
            "GET h /%3bx/admin%3Bx/y -> /admin",
        ],
    );
    check(&["/caf%C3%A9", "//x//y"], &["GET h /caf\u{e9}/1 -> /caf%C3%A9", "GET h /x/y -> //x//y"]);
}

#[test]
fn query_conditions_are_compared_decoded_and_more_of_them_win() {
    check(
        &["/a", "/a ?v=1", "/a ?v=1 ?w", "/a h:1", "/a ?q=a b", "/a ?v"],
        &[
            "GET h /a -> /a",
            "GET h /a?x=1 -> /a",
            "GET h /a?v=1 -> /a ?v=1",
            "GET h /a?w&v=1 -> /a ?v=1 ?w",
            "GET h /a?%76=%31 -> /a ?v=1",
            "GET h /a?v=2&v=1 -> /a ?v",
            "GET h /a?v -> /a ?v",
            "GET h /a?v= -> /a ?v",
            "GET h /a?v=1;w -> /a ?v",
            "GET h /a?vv=1&=1&& -> /a",
            "GET h /a?v=1 h:1 -> /a h:1",
        ],
    );
    assert!(query::has("q=a+b", "q", Some("a b")));
    assert!(query::has("q=a%20b", "q", Some("a b")));
    assert!(query::has("q=100%", "q", Some("100%")));
    assert!(query::has("q=%zz%4", "q", Some("%zz%4")));
    assert!(!query::has("q=a", "", None));
}

#[test]
fn a_path_that_can_be_read_in_two_ways_is_refused() {
    for (path, refused) in [
        ("/a/../b", Refused::DotSegment),
        ("/a/..", Refused::DotSegment),
        ("/./a", Refused::DotSegment),
        ("/%2e%2E/a", Refused::DotSegment),
        ("/.%2e", Refused::DotSegment),
        ("/..;x/a", Refused::DotSegment),
        ("/..%3bx/a", Refused::DotSegment),
        ("/%2e.;/a", Refused::DotSegment),
        ("/.;/a", Refused::DotSegment),
        ("//../a", Refused::DotSegment),
        ("/a/;/../b", Refused::DotSegment),
        ("/a%2Fb", Refused::Ambiguous),
        ("/..%2fa", Refused::Ambiguous),
        ("/..\\a", Refused::Ambiguous),
        ("/a;%2f..", Refused::Ambiguous),
        ("/a;\\", Refused::Ambiguous),
        ("/a#b", Refused::Ambiguous),
        ("/admin?x", Refused::Ambiguous),
        ("/%c0%ae%c0%ae/a", Refused::Ambiguous),
        ("/a%C0%AFb", Refused::Ambiguous),
        ("/a%c1%9c", Refused::Ambiguous),
        ("/%e0%80%af", Refused::Ambiguous),
        ("/%f0%80%80%af", Refused::Ambiguous),
        ("/a%", Refused::BrokenEncoding),
        ("/a%u002f", Refused::BrokenEncoding),
        ("/a;%", Refused::BrokenEncoding),
        ("/a%2fb", Refused::Ambiguous),
        ("/a%5Cb", Refused::Ambiguous),
        ("/a\\b", Refused::Ambiguous),
        ("/a%00", Refused::Ambiguous),
        ("/a%zz", Refused::BrokenEncoding),
        ("/a%2", Refused::BrokenEncoding),
        ("a", Refused::NotAbsolute),
        ("*", Refused::NotAbsolute),
        ("", Refused::NotAbsolute),
    ] {
        assert_eq!(clean(path), Err(refused), "{path}");
    }
    for fine in ["/", "/.well-known/x", "/a..b", "/...", "/a.", "/caf%C3%A9", "/a+b;c=d"] {
        assert!(clean(fine).is_ok(), "{fine}");
    }
}

#[test]
fn stripping_takes_away_as_many_segments_as_the_prefix_has() {
    for (path, prefix, left) in [
        ("/api/users/1", "/api", "/users/1"),
        ("/api", "/api", "/"),
        ("/api/", "/api", "/"),
        ("//api//x", "/api", "//x"),
        ("/%61pi/x", "/api", "/x"),
        ("/a/b/c", "/a/b/", "/c"),
        ("/a", "/", "/a"),
        ("/;x/api/users", "/api", "/users"),
        ("/%3Bx//;/api;v=1/users;w", "/api", "/users;w"),
        ("/;x", "/api", "/"),
    ] {
        assert_eq!(strip(path, prefix), left, "{path} without {prefix}");
    }
}

#[test]
fn targets_are_picked_by_weight() {
    let weights = [90_u32, 0, 10];
    let step = u64::MAX / 1_000;
    let mut counts = [0; 3];
    for point in 0..1_000 {
        counts[weighted(weights.into_iter(), point * step + step / 2).unwrap()] += 1;
    }
    assert_eq!(counts, [900, 0, 100]);
    assert_eq!(weighted([0_u32, 0].into_iter(), 5), None);
    assert_eq!(weighted([1_u32].into_iter(), u64::MAX), Some(0));
}

/// A path that needs no cleaning, and the same path in another spelling.
fn spellings() -> impl Strategy<Value = (String, String)> {
    let letter = ("[a-z.~ \u{e9}%-]", 0..3_u8, "(;[a-z=.]{0,3})?");
    let segment = prop::collection::vec(letter, 1..4);
    prop::collection::vec((segment, "/{1,3}", "(;x/)?"), 1..5).prop_map(|segments| {
        let (mut plain, mut other) = (String::new(), String::new());
        for (letters, slashes, parameter) in segments {
            plain.push('/');
            other.push_str(&slashes);
            other.push_str(&parameter);
            let last = letters.len() - 1;
            for (at, (letter, how, parameter)) in letters.into_iter().enumerate() {
                let encoded = |letter: &str| -> String {
                    letter.bytes().map(|byte| format!("%{byte:02x}")).collect()
                };
                let is_percent = letter == "%";
                plain.push_str(if is_percent { "%25" } else { &letter });
                if how == 0 && !is_percent {
                    other.push_str(&letter);
                } else if how == 1 {
                    other.push_str(&encoded(&letter).to_uppercase());
                } else {
                    other.push_str(&encoded(&letter));
                }
                if at == last {
                    other.push_str(&parameter);
                }
            }
        }
        (plain, other)
    })
}

proptest! {
    #[test]
    fn a_clean_path_is_clean_and_has_no_way_up(
        path in "/([a-c./;%#?\u{e9}]|%2[0-9a-fA-F]|%3[bBfF]|%[0-9a-f]{2}|%25|//|\\.\\.){0,12}",
    ) {
        if let Ok(clean_path) = clean(&path) {
            let text = clean_path.as_str();
            prop_assert_eq!(&clean(text), &Ok(clean_path.clone()));
            prop_assert!(!text.contains("//") && !text.contains(['\\', '\0', ';', '#', '?']));
            prop_assert!(!text.split('/').any(|segment| segment == "." || segment == ".."));
            prop_assert!(text.starts_with('/'));
        }
    }

    #[test]
    fn two_spellings_of_a_path_are_refused_alike_or_clean_and_route_alike(
        (plain, other) in spellings(),
        rules in prop::collection::vec(("(/[a-c]{1,2}){0,2}", any::<bool>()), 1..6),
    ) {
        prop_assert_eq!(clean(&plain).is_ok(), clean(&other).is_ok(), "{} {}", plain, other);
        let (Ok(plain), Ok(other)) = (clean(&plain), clean(&other)) else { return Ok(()) };
        prop_assert_eq!(plain.as_str(), other.as_str());
        let rules: Vec<Rule> = rules
            .into_iter()
            .map(|(path, exact)| rule(&format!("{}{path}/", if exact { "= " } else { "" })))
            .collect();
        let table = Table::new(&rules);
        let request = Line(vec!["GET", "h", "/"]);
        prop_assert_eq!(table.find(&plain, &request), table.find(&other, &request));
    }

    #[test]
    fn what_is_left_after_stripping_cleans_to_what_is_left_of_the_clean_path(
        (_, other) in spellings(),
        keep in 0_usize..4,
    ) {
        let Ok(whole) = clean(&other) else { return Ok(()) };
        let segments: Vec<&str> =
            whole.as_str().split('/').filter(|segment| !segment.is_empty()).collect();
        let (prefix, rest) = segments.split_at(keep.min(segments.len()));
        let prefix = format!("/{}", prefix.join("/"));
        let left = clean(strip(&other, &prefix)).unwrap();
        let left = left.as_str().trim_matches('/').to_owned();
        prop_assert_eq!(left, rest.join("/"));
    }
}
