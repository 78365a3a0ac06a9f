use super::{
    path::{Refused, clean, strip},
    *,
};

/// A rule in one line: `[host] [METHOD[,METHOD]] [= ]path [name:value|name]…`.
fn rule(line: &str) -> Rule {
    let mut rule =
        Rule { host: None, path: Path::Prefix("/".to_owned()), methods: vec![], headers: vec![] };
    let mut is_exact = false;
    let mut has_path = false;
    for word in line.split_whitespace() {
        if word == "=" {
            is_exact = true;
        } else if word.starts_with('/') {
            has_path = true;
            let path = word.to_owned();
            rule.path = if is_exact { Path::Exact(path) } else { Path::Prefix(path) };
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

/// A request in one line: `METHOD host path [name:value]…`.
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
}

/// Each request is followed by `->` and the rule it must lead to, `-` for none.
fn check(rules: &[&str], requests: &[&str]) {
    let compiled: Vec<Rule> = rules.iter().map(|line| rule(line)).collect();
    let table = Table::new(&compiled);
    for line in requests {
        let (request, expected) = line.split_once(" -> ").unwrap();
        let request = Line(request.split_whitespace().collect());
        let path = clean(request.0[2]).unwrap();
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
            "GET h /admin;x=1 -> /",
        ],
    );
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
