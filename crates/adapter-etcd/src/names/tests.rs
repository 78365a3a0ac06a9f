use super::{Names, Span};
use bytes::Bytes;
use ports::kv::Range;

/// `from..to` and what etcd is asked for, as `key..end`; `-`: nothing.
fn check(prefix: &str, from: &'static [u8], to: Option<&'static [u8]>, expected: &str) {
    let range = Range { from: from.into(), to: to.map(Bytes::from) };
    let told = match Names::new(prefix).span(&range) {
        None => "-".to_owned(),
        Some(Span { key, end }) => format!("{}..{}", key.escape_ascii(), end.escape_ascii()),
    };
    assert_eq!(told, expected, "`{prefix}` {range:?}");
}

#[test]
fn ranges_stay_below_the_prefix() {
    check("p/", b"a", Some(b"b"), "p/a..p/b");
    check("p/", b"", Some(b"b"), "p/..p/b");
    check("p/", b"", None, "p/..p0");
    check("p/", b"a", None, "p/a..p0");
    check("p/", b"\xff\xff", None, r"p/\xff\xff..p0");
    check("", b"a", Some(b"b"), "a..b");
    check("", b"a", None, r"a..\x00");
    check("", b"", None, r"\x00..\x00");
    check("", b"", Some(b"b"), r"\x00..b");
}

#[test]
fn a_range_of_one_key_is_asked_for_as_one() {
    check("p/", b"a", Some(b"a\0"), "p/a..");
    check("", b"a", Some(b"a\0"), "a..");
    check("", b"a", Some(b"a\0\0"), r"a..a\x00\x00");
    check("", b"", Some(b"\0\0"), r"\x00..");
    check("p/", b"", Some(b"\0"), "p/..");
}

#[test]
fn a_range_without_keys_is_told_apart() {
    check("p/", b"a", Some(b"a"), "-");
    check("p/", b"b", Some(b"a"), "-");
    check("p/", b"", Some(b""), "-");
    check("", b"", Some(b""), "-");
    check("", b"a", Some(b""), "-");
    // Only the empty key would be in it, which is none.
    check("", b"", Some(b"\0"), "-");
}

#[test]
fn keys_go_there_and_back() {
    for prefix in ["", "p/"] {
        let names = Names::new(prefix);
        for key in [&b"a"[..], b"\0", b"p/", b"\xff"] {
            assert_eq!(names.own(&names.full(key)).as_deref(), Some(key));
        }
    }
    assert_eq!(Names::new("p/").own(&Bytes::from_static(b"p0")), None);
    assert_eq!(Names::new("p/").own(&Bytes::from_static(b"p")), None);
}
