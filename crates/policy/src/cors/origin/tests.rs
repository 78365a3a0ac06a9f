use super::*;
use proptest::prelude::*;

#[test]
fn patterns_are_origins_and_nothing_else() {
    use InvalidOrigin as No;
    for (text, problem) in [
        ("shop.example", No::NoScheme("shop.example".to_owned())),
        ("https://shop.example/", No::Path),
        ("https://shop.example/a", No::Path),
        ("https://user@shop.example", No::Path),
        ("https://shop.example?x", No::Path),
        ("1http://shop.example", No::Scheme("1http".to_owned())),
        ("://shop.example", No::Scheme(String::new())),
        ("https://", No::Host(String::new())),
        ("https://a..example", No::Host("a..example".to_owned())),
        ("https://shöp.example", No::Host("shöp.example".to_owned())),
        ("https://*.[::1]", No::Host("[::1]".to_owned())),
        ("https://[::1", No::Host("[:".to_owned())),
        ("https://*", No::Wildcard),
        ("https://*shop.example", No::Wildcard),
        ("https://a.*.example", No::Wildcard),
        ("https://*.*.example", No::Wildcard),
        ("*://shop.example", No::Scheme("*".to_owned())),
        ("https://shop.example:0", No::Port("0".to_owned())),
        ("https://shop.example:70000", No::Port("70000".to_owned())),
        ("https://shop.example:", No::Port(String::new())),
    ] {
        assert_eq!(parse_pattern(text), Err(problem), "{text}");
    }
    assert_eq!(parse_pattern(&"a".repeat(ORIGIN_LEN_MAX + 1)), Err(No::TooLong));
    let usual = parse_pattern("HTTPS://Shop.Example:443").unwrap();
    assert_eq!(usual, parse_pattern("https://shop.example").unwrap());
}

proptest! {
    #[test]
    fn an_origin_below_a_wildcard_ends_with_its_host_after_a_dot(origin in "(https?://)?[a-e.:@/*]{0,12}(example\\.com)?[a-e.:@/0-9]{0,6}") {
        let pattern = parse_pattern("https://*.example.com").unwrap();
        if pattern.allows(origin.as_bytes()) {
            let name = origin.strip_prefix("https://").unwrap();
            let labels: Vec<&str> = name.split('.').collect();
            prop_assert!(labels.len() > 2 && labels.ends_with(&["example", "com"]));
            prop_assert!(labels.iter().all(|label| !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric())));
        }
    }

    #[test]
    fn reading_a_pattern_never_panics(text in "\\PC{0,40}", host in "[a-z*.:\\[\\]/]{0,20}") {
        let _ = parse_pattern(&text);
        let _ = parse_pattern(&format!("https://{host}"));
    }
}
