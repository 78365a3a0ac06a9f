use super::*;
use crate::testing::View;
use proptest::prelude::*;

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn set(name: &str, value: &str) -> Config {
    let request = Changes { set: pairs(&[(name, value)]), ..Changes::default() };
    Config { request, ..Config::default() }
}

/// The value that `value` comes to for `request`; `-` for a removed field.
fn filled(value: &str, request: &View, subject: Option<&str>) -> String {
    let edits = Edits::new(set("x-it", value)).unwrap();
    let mut effects = Effects::default();
    edits.apply(request, Known { subject }, &mut effects);
    match effects.request.as_slice() {
        [Edit::Set(name, value)] if name == "x-it" => value.to_string(),
        [Edit::Remove(name)] if name == "x-it" => "-".to_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn fields_are_removed_set_and_added_in_both_messages() {
    let config = Config {
        request: Changes {
            set: pairs(&[("X-Env", " prod ")]),
            add: pairs(&[("X-Via", "{scheme}"), ("X-Via", "edge")]),
            remove: vec!["Cookie".to_owned()],
        },
        response: Changes {
            set: pairs(&[("X-Frame-Options", "DENY")]),
            add: pairs(&[("Vary", "Accept-Language")]),
            remove: vec!["Server".to_owned()],
        },
    };
    let edits = Edits::new(config).unwrap();
    assert!(!edits.is_empty());
    let mut effects = Effects::default();
    edits.apply(&View::any(), Known::default(), &mut effects);
    assert_eq!(
        effects.request,
        [
            Edit::Remove("cookie".into()),
            Edit::Set("x-env".into(), "prod".into()),
            Edit::Add("x-via".into(), "http".into()),
            Edit::Add("x-via".into(), "edge".into()),
        ]
    );
    assert_eq!(
        effects.response,
        [
            Edit::Remove("server".into()),
            Edit::Set("x-frame-options".into(), "DENY".into()),
            Edit::Add("vary".into(), "Accept-Language".into()),
        ]
    );
    assert!(Edits::new(Config::default()).unwrap().is_empty());
}

#[test]
fn variables_say_what_is_known_of_the_request() {
    let request = View::get("https://Shop.example:8443/a%20b//c?q=1&r")
        .method("POST")
        .client("::ffff:198.51.100.7")
        .with("x-request-id", "abc-1");
    for (value, expected) in [
        ("{client}", "198.51.100.7"),
        (
            "{method} {scheme}://{host}{path}?{query}",
            "POST https://Shop.example:8443/a%20b//c?q=1&r",
        ),
        ("id={request_id}", "id=abc-1"),
        ("user:{subject}", "user:ann"),
        ("{{client}", "{client}"),
        ("{{{client}}", "{198.51.100.7}"),
        ("plain", "plain"),
        ("{\"group\":\"default\",\"max_age\":1}", "{\"group\":\"default\",\"max_age\":1}"),
        ("{\"user\":\"{subject}\"}", "{\"user\":\"ann\"}"),
        ("a } b { c", "a } b { c"),
        ("{}", "{}"),
        ("größe", "größe"),
    ] {
        assert_eq!(filled(value, &request, Some("ann")), expected, "{value}");
    }
    assert_eq!(filled("{client}", &View::any().client("2001:db8::1"), None), "2001:db8::1");
}

#[test]
fn a_field_whose_variables_are_empty_is_removed_so_that_no_client_can_make_it_up() {
    let forged = View::any().with("x-it", "admin");
    assert_eq!(filled("{subject}", &forged, None), "-");
    assert_eq!(filled("user:{subject}", &forged, None), "-");
    assert_eq!(filled("{subject}", &forged, Some("")), "-");
    assert_eq!(filled("{subject}", &forged, Some("\r\n")), "-");
    assert_eq!(filled("{request_id}", &forged, None), "-");
    let twice = forged.with("x-request-id", "1").with("x-request-id", "2");
    assert_eq!(filled("{request_id}", &twice, None), "-");

    let add = Changes { add: pairs(&[("x-it", "{subject}")]), ..Changes::default() };
    let edits = Edits::new(Config { request: add, ..Config::default() }).unwrap();
    let mut effects = Effects::default();
    edits.apply(&View::any(), Known::default(), &mut effects);
    assert_eq!(effects.request, []);
}

#[test]
fn a_value_that_is_written_empty_is_sent_empty() {
    assert_eq!(filled("", &View::any(), None), "");
    assert_eq!(filled(" \t", &View::any(), None), "");
}

#[test]
fn what_a_client_sent_cannot_end_the_line() {
    let request = View::any()
        .host("a\r\nset-cookie: b")
        .raw_path("/x\r\n\u{0}y\u{7f}")
        .with("x-request-id", b"1\r\nx: y\xff");
    assert_eq!(filled("{host}", &request, None), "aset-cookie: b");
    assert_eq!(filled("{path}", &request, None), "/xy");
    assert_eq!(filled("{request_id}", &request, None), "1x: y\u{fffd}");
    assert_eq!(filled("{subject}", &request, Some(" a\nb\t ")), "ab");
}

#[test]
fn values_are_bounded_also_when_they_are_filled_in() {
    let long = View::any().raw_path(&format!("/{}", "é".repeat(VALUE_LEN_MAX)));
    let value = filled("{path}", &long, None);
    assert!(value.len() <= VALUE_LEN_MAX && value.len() > VALUE_LEN_MAX - 2);
    assert!(Value::parse(&"a".repeat(VALUE_LEN_MAX)).is_ok());
    assert_eq!(Value::parse(&"a".repeat(VALUE_LEN_MAX + 1)), Err(InvalidValue::TooLong));
}

fn refused(config: Config) -> Error {
    Edits::new(config).unwrap_err()
}

#[test]
fn what_the_data_plane_writes_itself_is_not_changed() {
    for name in [
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "TE",
        "Upgrade",
        "HTTP2-Settings",
        "Content-Length",
        "Transfer-Encoding",
        "Trailer",
        "Content-Encoding",
        "Host",
        "Expect",
        "Forwarded",
        "Via",
        "X-Forwarded-For",
        "x-forwarded-proto",
        "X-Real-IP",
    ] {
        for change in [
            Changes { set: pairs(&[(name, "x")]), ..Changes::default() },
            Changes { add: pairs(&[(name, "x")]), ..Changes::default() },
            Changes { remove: vec![name.to_owned()], ..Changes::default() },
        ] {
            let error = refused(Config { request: change, ..Config::default() });
            assert!(matches!(error, Error::Refused { .. }), "{name}");
        }
    }
    for (name, is_refused) in
        [("Vary", true), ("Content-Length", true), ("Host", false), ("Via", false)]
    {
        let response = Changes { set: pairs(&[(name, "x")]), ..Changes::default() };
        let edits = Edits::new(Config { response, ..Config::default() });
        assert_eq!(edits.is_err(), is_refused, "{name}");
    }
}

#[test]
fn names_and_values_are_checked_when_they_are_read() {
    for name in ["", "a b", "a:b", "a\r\n", "é", "x\0"] {
        assert!(matches!(refused(set(name, "x")), Error::Name(_)), "{name:?}");
    }
    assert!(matches!(refused(set(&"x".repeat(NAME_LEN_MAX + 1), "x")), Error::Name(_)));
    for (value, offset) in [("a\r\nb", 1), ("a\0", 1), ("é\u{7f}", 2)] {
        assert_eq!(Value::parse(value), Err(InvalidValue::Control { offset }), "{value:?}");
    }
    let unknown = |name: &str, offset| InvalidValue::Unknown { name: name.to_owned(), offset };
    assert_eq!(Value::parse("{user}"), Err(unknown("user", 0)));
    assert_eq!(Value::parse("é{{ {client}{who}"), Err(unknown("who", 13)));
}

#[test]
fn a_field_is_changed_in_one_place_only() {
    let twice = |changes| refused(Config { request: changes, ..Config::default() });
    let both = Changes {
        set: pairs(&[("X-A", "1")]),
        remove: vec!["x-a".to_owned()],
        ..Changes::default()
    };
    assert_eq!(twice(both), Error::Twice("x-a".to_owned()));
    let both =
        Changes { set: pairs(&[("X-A", "1")]), add: pairs(&[("x-a", "2")]), ..Changes::default() };
    assert_eq!(twice(both), Error::Twice("x-a".to_owned()));
    let same = Changes { set: pairs(&[("x-a", "1"), ("x-a", "2")]), ..Changes::default() };
    assert_eq!(twice(same), Error::Twice("x-a".to_owned()));
    let names = (0..=EDITS_MAX).map(|at| format!("x-{at}")).collect();
    assert_eq!(twice(Changes { remove: names, ..Changes::default() }), Error::TooMany);
}

proptest! {
    #[test]
    fn no_request_makes_a_value_that_cannot_be_sent(
        text in "[a-z{} ]{0,20}", host in "\\PC{0,20}", path in prop::collection::vec(any::<char>(), 0..20),
        subject in prop::collection::vec(any::<char>(), 0..20),
    ) {
        let Ok(value) = Value::parse(&text) else { return Ok(()) };
        let path: String = path.into_iter().collect();
        let subject: String = subject.into_iter().collect();
        let request = View::any().host(&host).raw_path(&path);
        for value in [value, Value::parse("{host}{path} {subject}").unwrap()] {
            let filled = value.fill(&request, Known { subject: Some(&subject) });
            prop_assert!(filled.chars().all(is_value_char));
            prop_assert_eq!(filled.trim_matches([' ', '\t']), &filled);
        }
    }

    #[test]
    fn reading_never_panics(text in "\\PC{0,40}|[{}a-z\r\n]{0,40}") {
        let _ = Value::parse(&text);
        let _ = field_name(&text);
    }
}
