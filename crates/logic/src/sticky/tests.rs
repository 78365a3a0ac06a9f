use super::*;
use proptest::prelude::*;
use std::time::Duration;

fn key() -> Key {
    Key::new([7; 16])
}

#[test]
fn a_token_hides_the_instance_and_depends_on_key_service_and_instance() {
    let token = key().token("users", "users/1");
    assert_eq!(token, key().token("users", "users/1"));
    let others = [
        key().token("users", "users/2"),
        key().token("user", "susers/1"),
        key().token("orders", "users/1"),
        Key::new([8; 16]).token("users", "users/1"),
    ];
    assert!(others.iter().all(|other| *other != token));
    assert_eq!(format!("{:?}", key()), "Key(..)");
}

#[test]
fn a_client_stays_while_its_instance_is_usable_and_is_bound_anew_otherwise() {
    let tokens = ["users/1", "users/2", "users/3"].map(|name| key().token("users", name));
    let value = tokens[1].to_string();
    let choice = |value: Option<&str>, usable: bool| {
        choose(value.map(str::as_bytes), tokens.into_iter(), |_| usable)
    };
    assert_eq!(choice(Some(&value), true), Choice::Stay(1));
    assert_eq!(choice(Some(&value), false), Choice::Bind);
    assert_eq!(choice(None, true), Choice::Bind);
    assert_eq!(choice(Some(&value.to_uppercase()), true), Choice::Bind);
    assert_eq!(choice(Some("0000000000000000"), true), Choice::Bind);
    assert_eq!(choice(Some(""), true), Choice::Bind);
}

#[test]
fn a_cookie_is_found_among_others() {
    let found = |field: &str| {
        value_in(field.as_bytes(), "at").map(|value| String::from_utf8_lossy(value).into_owned())
    };
    for (field, expected) in [
        ("at=1", Some("1")),
        ("a=0; at=1; at=2", Some("1")),
        ("xat=0;at = 1 ;b", Some("1")),
        ("at=\"q\"", Some("q")),
        ("at=", Some("")),
        ("at=a=b", Some("a=b")),
        ("at", None),
        ("At=1", None),
        ("", None),
        (";;=;", None),
    ] {
        assert_eq!(found(field).as_deref(), expected, "{field}");
    }
}

#[test]
fn the_cookie_is_written_with_its_attributes() {
    let token = Token::parse(b"0123456789abcdef").unwrap();
    let plain = SetCookie { name: "flotilla-users", token, is_secure: false, max_age: None };
    assert_eq!(
        plain.to_string(),
        "flotilla-users=0123456789abcdef; Path=/; HttpOnly; SameSite=Lax"
    );
    let full = SetCookie { is_secure: true, max_age: Some(Duration::from_secs(3_600)), ..plain };
    assert_eq!(full.to_string(), format!("{plain}; Secure; Max-Age=3600"));
    assert!(is_name("flotilla-users"));
    assert!(["", "a b", "a;b", "a=b", "\u{e9}"].iter().all(|name| !is_name(name)));
}

proptest! {
    #[test]
    fn a_written_token_reads_back_out_of_any_cookie_field(
        word in any::<u64>(),
        before in "[a-z]{1,5}=[!-:<-~]{0,9}",
    ) {
        let token = Token(word);
        let field = format!("{before}; sticky={token}");
        let value = value_in(field.as_bytes(), "sticky").unwrap();
        prop_assert_eq!(Token::parse(value), Some(token));
    }
}
