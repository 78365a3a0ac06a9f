//! API keys, and names with passwords.

use super::*;

#[test]
fn keys_are_made_stored_hashed_and_recognised() {
    let (key, hash) = keys::generate([0xab; 32]);
    assert!(key.starts_with("flk_") && key.len() == 47, "{key}");
    assert_eq!(hash, keys::hash(&key));
    let known = ApiKeys::new(keys::Config {
        keys: vec![("a".to_owned(), hash.clone())],
        ..keys::Config::default()
    })
    .unwrap();
    assert_eq!(known.name(&key), Some("a"));
    assert_eq!(known.name(key.get(..46).unwrap()), None);
    assert_eq!(known.name(""), None);
    assert_eq!(known.name(&hash), None, "the hash is not the key");
    // NIST's "abc".
    assert_eq!(
        keys::hash("abc"),
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    let new = |keys: &[(&str, &str)]| {
        let keys =
            keys.iter().map(|(name, hash)| ((*name).to_owned(), (*hash).to_owned())).collect();
        ApiKeys::new(keys::Config { keys, ..keys::Config::default() })
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    assert_eq!(new(&[("a", &hash), ("b", &hash)]), Err("`b` and `a` have the same key".to_owned()));
    for bad in [
        "",
        "sha256:",
        "sha256:abc",
        "md5:ab",
        hash.get(..70).unwrap(),
        &format!("{hash}0"),
        &hash.replace('a', "g"),
        hash.get(7..).unwrap(),
    ] {
        assert!(new(&[("a", bad)]).is_err(), "{bad}");
    }
    assert_eq!(new(&[("a", &hash.to_uppercase().replace("SHA256", "sha256"))]), Ok(()));
}

#[test]
fn passwords_are_checked_once_and_then_remembered() {
    let all = auth(vec![basic_method()]);
    let request = View::any().with("authorization", basic_header("ann:secret"));
    let Found::Slow(work) = all.check(&request, at(0), None) else { panic!("not slow") };
    assert!(work.run());
    assert!(matches!(all.check(&request, at(0), None), Found::Passed(..)), "remembered");
    for wrong in [
        "ann:wrong",
        "ann:",
        "ann",
        ":secret",
        "bob:secret",
        "Ann:secret",
        "ann:secret2",
        "ann:secre",
    ] {
        let request = View::any().with("authorization", basic_header(wrong));
        assert_eq!(
            say(&all, &request),
            "401 the name or the password is wrong | Basic realm=\"shop\", charset=\"UTF-8\"",
            "{wrong}"
        );
    }
}

#[test]
fn only_so_many_passwords_are_checked_at_a_time() {
    let all = auth(vec![basic_method()]);
    let request = |number: u32| {
        View::any().with("authorization", basic_header(&format!("ann:guess{number}")))
    };
    let running: Vec<Found> =
        (0..basic::CHECKING_MAX).map(|number| all.check(&request(number), at(0), None)).collect();
    assert!(running.iter().all(|found| matches!(found, Found::Slow(_))));
    assert_eq!(say(&all, &request(99)), "503 too many passwords are being checked | ");
    drop(running);
    assert!(matches!(all.check(&request(99), at(0), None), Found::Slow(_)));
}

#[test]
fn hashes_and_names_of_users_are_checked() {
    let new = |users: &[(&str, &str)]| {
        let users =
            users.iter().map(|(name, hash)| ((*name).to_owned(), (*hash).to_owned())).collect();
        let made = Basic::new(basic::Config { users, ..basic::Config::default() });
        made.map(|_| ()).map_err(|error| error.to_string())
    };
    let hash = basic::hash("pässword", 10, [3; 16]).unwrap();
    assert!(hash.starts_with("$2b$10$"), "{hash}");
    let apache = hash.replace("$2b$", "$2y$");
    assert_eq!(new(&[("ann", &hash), ("bob", &apache)]), Ok(()));
    assert_eq!(
        new(&[("ann", &hash), ("ann", &hash)]),
        Err("user `ann` stands there twice".to_owned())
    );
    assert!(new(&[("a:b", &hash)]).is_err());
    assert!(new(&[("", &hash)]).is_err());
    for bad in [
        "",
        "secret",
        "$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/",
        "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
        "$2b$10$short",
    ] {
        assert!(new(&[("ann", bad)]).unwrap_err().contains("no bcrypt hash"), "{bad}");
    }
    assert!(new(&[("ann", &hash.replace("$10$", "$05$"))]).unwrap_err().contains("cost 5"));
    assert!(new(&[("ann", &hash.replace("$10$", "$31$"))]).unwrap_err().contains("cost 31"));
    assert!(basic::hash(&"x".repeat(72), 10, [0; 16]).is_err());
    assert!(basic::hash("", 10, [0; 16]).is_err());
    assert!(basic::hash("a\u{0}b", 10, [0; 16]).is_err());
    assert!(basic::hash("ok", 4, [0; 16]).is_err());
}

#[test]
fn a_name_and_a_password_have_one_spelling() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let check = |text: &str, expected: Option<(&str, &str)>| {
        let read = basic::parse(&STANDARD.encode(text));
        assert_eq!(
            read,
            expected.map(|(name, password)| (name.to_owned(), password.to_owned())),
            "{text}"
        );
    };
    // RFC 7617 §2 and §2.1.
    check("Aladdin:open sesame", Some(("Aladdin", "open sesame")));
    check("test:123£", Some(("test", "123£")));
    check("a:b:c", Some(("a", "b:c")));
    check("a", None);
    check("a:b\u{7}", None);
    check(&format!("a:{}", "x".repeat(72)), None);
    assert_eq!(
        basic::parse("QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        Some(("Aladdin".to_owned(), "open sesame".to_owned()))
    );
    assert_eq!(basic::parse("QWxhZGRpbjpvcGVuIHNlc2FtZQ"), None);
    assert_eq!(basic::parse("QWxhZGRpbjpvcGVuIHNlc2FtZQ== "), None);
    assert_eq!(basic::parse(&STANDARD.encode(b"a:\xff")), None);
    assert_eq!(basic::parse(&"A".repeat(10_000)), None);
}
