mod encoders;

use super::*;
use crate::testing::View;
use proptest::prelude::*;

/// What a response says: a status and fields.
struct Head(u16, Vec<(&'static str, Vec<u8>)>);

impl Response for Head {
    fn status(&self) -> u16 {
        self.0
    }
    fn each(&self, name: &str, see: &mut dyn FnMut(&[u8]) -> bool) {
        for (known, value) in &self.1 {
            if *known == name && !see(value) {
                return;
            }
        }
    }
}

fn html() -> Head {
    Head(200, vec![("content-type", b"text/html; charset=utf-8".to_vec())])
}

impl Head {
    fn with(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.1.retain(|(known, _)| *known != name);
        self.1.push((name, value.as_ref().to_vec()));
        self
    }
}

fn packs() -> Compress {
    Compress::new(Config::default()).unwrap()
}

fn chrome() -> View {
    View::any().with("accept-encoding", "gzip, deflate, br, zstd")
}

/// How the response is packed, and what its head says then.
fn check(request: &View, response: &Head, expected: &str) {
    assert_eq!(answer(&packs(), request, response), expected, "{request:?} {:?}", response.1);
}

fn answer(compress: &Compress, request: &View, response: &Head) -> String {
    let mut edits = Vec::new();
    let coding = compress.answer(compress.ask(request), response, &mut edits);
    let mut said = vec![coding.map_or("plain".to_owned(), |coding| coding.to_string())];
    said.extend(edits.into_iter().map(|edit| match edit {
        Edit::Set(name, value) => format!("{name}={value}"),
        Edit::Remove(name) => format!("-{name}"),
        Edit::Vary(list) => format!("vary={list}"),
        other @ Edit::Add(..) => panic!("{other:?}"),
    }));
    said.join(" ")
}

const PACKED: &str =
    "zstd vary=Accept-Encoding content-encoding=zstd -content-length -accept-ranges";
const PLAIN: &str = "plain vary=Accept-Encoding";

#[test]
fn a_page_is_packed_for_a_client_that_accepts_it() {
    check(&chrome(), &html(), PACKED);
    check(&chrome(), &html().with("content-length", "1024"), PACKED);
}

#[test]
fn an_answer_that_others_get_packed_says_so_when_it_is_not() {
    check(&View::any(), &html(), PLAIN);
    check(&View::any().with("accept-encoding", "identity"), &html(), PLAIN);
    check(&chrome(), &html().with("content-length", "1023"), PLAIN);
    check(&chrome().method("HEAD"), &html(), PLAIN);
    check(&chrome().with("cache-control", "no-cache, No-Transform"), &html(), PLAIN);
    check(&chrome(), &Head(304, vec![]), PLAIN);
}

#[test]
fn what_must_not_be_changed_is_left_alone() {
    for response in [
        html().with("content-encoding", "br"),
        html().with("content-encoding", "aes128gcm"),
        html().with("cache-control", "public, no-transform"),
        html().with("content-range", "bytes 0-9/10"),
        html().with("content-digest", "sha-256=:x:"),
        html().with("repr-digest", "sha-256=:x:"),
        html().with("digest", "sha-256=x"),
        html().with("content-md5", "x"),
        Head(200, vec![]),
        Head(200, vec![("content-type", b"\xff/html".to_vec())]),
        Head(
            200,
            vec![("content-type", b"text/html".to_vec()), ("content-type", b"text/css".to_vec())],
        ),
    ] {
        check(&chrome(), &response, "plain");
    }
    for status in [101, 103, 204, 205, 206] {
        check(&chrome(), &Head(status, html().1), "plain");
    }
    check(&chrome(), &html().with("content-encoding", "identity"), PACKED);
}

#[test]
fn errors_are_packed_as_well() {
    for status in [201, 400, 404, 500] {
        check(&chrome(), &Head(status, html().1), PACKED);
    }
}

#[test]
fn a_strong_validator_becomes_weak() {
    let tag = |tag: &str| answer(&packs(), &chrome(), &html().with("etag", tag));
    assert_eq!(tag("\"a\""), format!("{PACKED} etag=W/\"a\""));
    assert_eq!(tag("W/\"a\""), PACKED);
    assert_eq!(tag("a"), PACKED);
}

#[test]
fn types_are_packed_that_are_not_packed_themselves() {
    for (kind, is_packed) in [
        ("text/plain", true),
        ("TEXT/HTML;charset=x", true),
        ("application/json", true),
        ("application/problem+json; a=b", true),
        ("application/vnd.api+json", true),
        ("image/svg+xml", true),
        ("application/wasm", true),
        ("text/javascript", true),
        ("application/manifest+json", true),
        ("font/ttf", true),
        ("font/woff2", false),
        ("image/png", false),
        ("video/mp4", false),
        ("application/zip", false),
        ("application/octet-stream", false),
        ("text/event-stream", false),
        ("Text/Event-Stream; charset=utf-8", false),
        ("application/grpc", false),
        ("application/grpc-web+json", false),
        ("application/connect+json", false),
        ("multipart/x-mixed-replace; boundary=a", false),
        ("html", false),
        ("", false),
    ] {
        let expected = if is_packed { PACKED } else { "plain" };
        check(&chrome(), &html().with("content-type", kind), expected);
    }
}

#[test]
fn a_configuration_names_its_own_types_and_codings() {
    let config = |types: &[&str]| Config {
        types: types.iter().map(|&text| text.to_owned()).collect(),
        codings: vec![Coding::Gzip],
        min_len: 0,
    };
    let compress = Compress::new(config(&["Application/X-Own", "model/*", "*+cbor"])).unwrap();
    for (kind, is_packed) in [
        ("application/x-own", true),
        ("model/gltf", true),
        ("application/a+cbor", true),
        ("text/html", false),
        ("application/x-own2", false),
    ] {
        let response = html().with("content-type", kind).with("content-length", "1");
        let said = answer(&compress, &chrome(), &response);
        assert_eq!(said.starts_with("gzip"), is_packed, "{kind}");
    }
    for (text, cause) in [
        ("text/event-stream", InvalidType::Stream),
        ("application/grpc+proto", InvalidType::Stream),
        ("html", InvalidType::Form),
        ("*/*", InvalidType::Form),
        ("*", InvalidType::Form),
        ("text/", InvalidType::Form),
        ("/html", InvalidType::Form),
        ("*+", InvalidType::Form),
        ("te xt/html", InvalidType::Form),
        ("text/h*", InvalidType::Form),
    ] {
        let error = Compress::new(config(&[text])).unwrap_err();
        assert_eq!(error, Error::Type { text: text.to_owned(), cause }, "{text}");
    }
    let many = Config { types: vec!["text/html".to_owned(); TYPES_MAX + 1], ..Config::default() };
    assert_eq!(Compress::new(many).unwrap_err(), Error::TooMany);
}

/// What is chosen for values of `Accept-Encoding`, one field each.
fn check_accept(values: &[&str], expected: Option<Coding>) {
    let mut accepted = Accepted::default();
    values.iter().for_each(|value| accepted.add(value.as_bytes()));
    assert_eq!(accepted.choose(&Coding::ALL), expected, "{values:?}");
}

#[test]
fn the_client_decides_by_weight_and_we_decide_between_equals() {
    use Coding::{Br, Gzip, Zstd};
    for (value, expected) in [
        ("", None),
        (" ", None),
        (",", None),
        ("gzip", Some(Gzip)),
        ("GZip", Some(Gzip)),
        ("x-gzip", Some(Gzip)),
        ("deflate", None),
        ("gzip, deflate, br", Some(Br)),
        ("gzip, deflate, br, zstd", Some(Zstd)),
        ("gzip;q=1.0, br;q=0.9", Some(Gzip)),
        ("gzip;q=0.001", Some(Gzip)),
        ("gzip;q=0.000", None),
        ("gzip;q=0", None),
        ("gzip;q=0., br;q=1.", Some(Br)),
        ("gzip; q=0.5 , br;\tq=0.6", Some(Br)),
        ("gzip;Q=0.5,br;q=0.4", Some(Gzip)),
        ("*", Some(Zstd)),
        ("*;q=0", None),
        ("*;q=0, gzip", Some(Gzip)),
        ("gzip;q=0.5, *;q=0.1", Some(Gzip)),
        ("gzip;q=0.1, *;q=0.5", Some(Zstd)),
        ("zstd;q=0, br;q=0, *", Some(Gzip)),
        ("identity", None),
        ("identity;q=0", None),
        ("identity;q=0, gzip;q=0.1", Some(Gzip)),
        ("identity, gzip;q=0.5", None),
        ("identity;q=0.5, gzip", Some(Gzip)),
        ("identity, gzip", Some(Gzip)),
        ("identity;q=0.5, *", Some(Zstd)),
        ("identity;q=0, *;q=0", None),
        ("gzip, gzip;q=0", None),
        ("gzip;q=0, gzip", None),
        ("gzip;q=0.9, x-gzip;q=0.1, br;q=0.5", Some(Br)),
    ] {
        check_accept(&[value], expected);
    }
    check_accept(&["gzip", "br"], Some(Br));
    check_accept(&[], None);
}

#[test]
fn members_that_are_not_well_formed_do_not_count() {
    for value in [
        "gzip;q=1.1",
        "gzip;q=2",
        "gzip;q=-1",
        "gzip;q=1.0000",
        "gzip;q=0.1234",
        "gzip;q=.5",
        "gzip;q=",
        "gzip;q",
        "gzip;",
        "gzip;q=a",
        "gzip;q=1.001",
        "gzip;q=0.5x",
        "gzip;q =1",
        "gzip;q= 1",
        "gzip;q=\"1\"",
        "gzip;level=9",
        "gzip;q=1;q=1",
        "gzip;q=1e0",
        "gz ip",
        "gzip br",
        "gzip\0",
        "\"gzip\"",
        "gzip;q=\u{661}",
    ] {
        check_accept(&[value], None);
        check_accept(&[&format!("{value}, br;q=0.1")], Some(Coding::Br));
    }
}

#[test]
fn a_list_without_end_is_read_to_a_bound() {
    let many = "x,".repeat(MEMBERS_MAX);
    check_accept(&[&format!("{many}gzip")], None);
    check_accept(&[&many, "gzip"], None);
}

proptest! {
    #[test]
    fn reading_never_panics_and_chooses_only_what_is_named(
        value in prop::collection::vec(any::<u8>(), 0..40), text in "(gzip|br|\\*|identity|;|,|q=|0|1|\\.| ){0,12}"
    ) {
        for value in [value.as_slice(), text.as_bytes()] {
            let chosen = Accepted::parse(value).choose(&Coding::ALL);
            if let Some(coding) = chosen {
                let name = coding.name().as_bytes();
                let lower = value.to_ascii_lowercase();
                prop_assert!(lower.contains(&b'*') || lower.windows(name.len()).any(|part| part == name));
            }
        }
    }

    #[test]
    fn every_weight_of_the_grammar_is_ordered_as_numbers_are(one in 0..=1_000_u32, other in 0..=1_000_u32) {
        let weight = |thousandths: u32| format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000);
        let value = format!("gzip;q={}, br;q={}", weight(one), weight(other));
        let expected = match (one, other) {
            (0, 0) => None,
            (one, other) if one > other => Some(Coding::Gzip),
            _ => Some(Coding::Br),
        };
        prop_assert_eq!(Accepted::parse(value.as_bytes()).choose(&Coding::ALL), expected);
    }

    #[test]
    fn reading_types_never_panics(text in "\\PC{0,20}") {
        let _ = media::parse(&text);
        let _ = media::essence(text.as_bytes());
    }
}
