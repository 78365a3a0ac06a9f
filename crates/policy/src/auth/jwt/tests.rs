mod claims;
mod published;

use super::*;
use crate::{
    auth::{
        jwks::{KeySet, Secrets},
        key::Key,
        testing::{RSA_N, SECRET, Signer, decode, encode},
    },
    testing::at,
};
use base::Timestamp;
use ring::{hmac, signature};

/// The seconds since 1970 of [`at`]`(0)`.
const NOW: u64 = 1_800_000_000;

fn jwt(keys: KeySet) -> Jwt {
    Jwt::new(Config { keys: Keys::with(keys), ..Config::default() })
}

/// What becomes of `token`.
fn say(jwt: &Jwt, token: &str) -> &'static str {
    match jwt.verify(token, at(0)) {
        Ok(_) => "passes",
        Err(refusal) => refusal.description(),
    }
}

const CLAIMS: &str = r#"{"sub":"ann","exp":1800000100}"#;
const MALFORMED: &str = "the token is malformed";
const WRONG: &str = "the token's signature is wrong";
const NOT_ALLOWED: &str = "the token's algorithm is not allowed";

#[test]
fn every_algorithm_passes_with_its_key_and_with_no_other() {
    let signers = [
        ("HS256", Signer::hmac()),
        ("HS384", Signer::Hmac(decode(SECRET), hmac::HMAC_SHA384)),
        ("HS512", Signer::Hmac(decode(SECRET), hmac::HMAC_SHA512)),
        ("RS256", Signer::rsa(&signature::RSA_PKCS1_SHA256)),
        ("RS384", Signer::rsa(&signature::RSA_PKCS1_SHA384)),
        ("RS512", Signer::rsa(&signature::RSA_PKCS1_SHA512)),
        ("PS256", Signer::rsa(&signature::RSA_PSS_SHA256)),
        ("PS384", Signer::rsa(&signature::RSA_PSS_SHA384)),
        ("PS512", Signer::rsa(&signature::RSA_PSS_SHA512)),
        ("ES256", Signer::es256()),
        ("ES384", Signer::es384()),
        ("EdDSA", Signer::ed25519()),
        ("Ed25519", Signer::ed25519()),
    ];
    for (name, signer) in &signers {
        let own = jwt(signer.key_set());
        assert_eq!(
            say(&own, &signer.token(&format!(r#"{{"alg":"{name}"}}"#), CLAIMS)),
            "passes",
            "{name}"
        );
        for (other, _) in &signers {
            let is_same = other == name || (other.starts_with("Ed") && name.starts_with("Ed"));
            let token = signer.token(&format!(r#"{{"alg":"{other}"}}"#), CLAIMS);
            let said = say(&own, &token);
            assert!(is_same || said == WRONG || said == NOT_ALLOWED, "{name} as {other}: {said}");
        }
    }
}

#[test]
fn none_is_no_algorithm_however_it_is_written() {
    let jwt = jwt(Signer::hmac().key_set());
    for name in [
        r#""none""#,
        r#""None""#,
        r#""NONE""#,
        r#""nOnE""#,
        r#""""#,
        r#"" none""#,
        r#""none ""#,
        r#""none\u0000""#,
        r#""hs256""#,
        r#""Hs256""#,
        r#""HS256 ""#,
        r#""HS1""#,
        r#""RS256;HS256""#,
        r#""ES256K""#,
        r#""ES512""#,
    ] {
        let signed = format!("{}.{}", encode(format!(r#"{{"alg":{name}}}"#)), encode(CLAIMS));
        assert_eq!(say(&jwt, &format!("{signed}.")), NOT_ALLOWED, "{name}");
        let signature = encode(Signer::hmac().sign(signed.as_bytes()));
        assert_eq!(say(&jwt, &format!("{signed}.{signature}")), NOT_ALLOWED, "{name}");
    }
    for name in ["null", "0", "[]", r#"["HS256"]"#, "{}", "true"] {
        let token = Signer::hmac().token(&format!(r#"{{"alg":{name}}}"#), CLAIMS);
        assert_eq!(say(&jwt, &token), "the token's header is malformed", "{name}");
    }
    assert_eq!(say(&jwt, &Signer::hmac().token("{}", CLAIMS)), NOT_ALLOWED);
    let unsigned = format!("{}.{}.", encode(r#"{"alg":"HS256"}"#), encode(CLAIMS));
    assert_eq!(say(&jwt, &unsigned), WRONG);
}

#[test]
fn the_text_of_a_public_key_is_no_secret() {
    let rsa = Signer::rsa(&signature::RSA_PKCS1_SHA256);
    let jwt = jwt(rsa.key_set());
    let pem = crate::auth::jwks::tests::RSA_PEM;
    for secret in [
        pem.as_bytes().to_vec(),
        pem.trim().as_bytes().to_vec(),
        decode(RSA_N),
        RSA_N.as_bytes().to_vec(),
    ] {
        let forged = Signer::Hmac(secret, hmac::HMAC_SHA256).token(r#"{"alg":"HS256"}"#, CLAIMS);
        assert_eq!(say(&jwt, &forged), NOT_ALLOWED);
    }
    assert_eq!(Key::secret(pem.as_bytes()), Err("a key in PEM form is no HMAC secret"));
}

#[test]
fn what_a_token_says_about_keys_is_not_believed() {
    let (own, stranger) = (Signer::es256(), Signer::es256());
    let jwt = jwt(own.key_set());
    for header in [
        r#"{"alg":"ES256","jwk":{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}}"#,
        r#"{"alg":"ES256","jku":"https://evil.example/jwks.json"}"#,
        r#"{"alg":"ES256","x5u":"https://evil.example/cert.pem","x5c":["AAAA"],"x5t":"AA"}"#,
        r#"{"alg":"ES256","kid":"../../../../dev/null"}"#,
        r#"{"alg":"ES256","kid":"' OR 1=1 --"}"#,
        r#"{"alg":"ES256","kid":"/proc/self/environ\u0000"}"#,
    ] {
        assert_eq!(say(&jwt, &stranger.token(header, CLAIMS)), WRONG, "{header}");
        assert_eq!(say(&jwt, &own.token(header, CLAIMS)), "passes", "{header}");
    }
    let long = format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(513));
    assert_eq!(say(&jwt, &own.token(&long, CLAIMS)), "the token's header is malformed");
}

#[test]
fn extensions_and_other_kinds_of_tokens_are_refused() {
    let own = Signer::hmac();
    let jwt = jwt(own.key_set());
    let check = |header: &str, expected: &str| {
        assert_eq!(say(&jwt, &own.token(header, CLAIMS)), expected, "{header}");
    };
    check(
        r#"{"alg":"HS256","crit":["exp"],"exp":1}"#,
        "the token needs an extension that is not supported",
    );
    check(r#"{"alg":"HS256","crit":[]}"#, "the token needs an extension that is not supported");
    check(
        r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#,
        "the token needs an extension that is not supported",
    );
    check(r#"{"alg":"HS256","typ":"logout+jwt"}"#, "the token is of another type");
    check(r#"{"alg":"HS256","typ":"dpop+jwt"}"#, "the token is of another type");
    check(r#"{"alg":"HS256","typ":"at+JWT"}"#, "passes");
    check(r#"{"alg":"HS256","typ":"application/at+jwt"}"#, "passes");
    check(r#"{"alg":"HS256","typ":"JWT","cty":"whatever"}"#, "passes");
}

#[test]
fn forged_and_reshaped_signatures_are_refused() {
    let own = Signer::es256();
    let jwt = jwt(own.key_set());
    let token = own.token(r#"{"alg":"ES256"}"#, CLAIMS);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let with = |bytes: &[u8]| say(&jwt, &format!("{signed}.{}", encode(bytes)));
    let raw = decode(signature);
    assert_eq!(with(&raw), "passes");
    assert_eq!(with(&[0; 64]), WRONG, "r = s = 0");
    assert_eq!(with(&[]), WRONG);
    assert_eq!(with(&raw[..63]), WRONG);
    assert_eq!(with(&[&raw[..], &[0]].concat()), WRONG);
    let half = |bytes: &[u8]| [&[0x02, 33, 0], bytes].concat();
    let der = [&[0x30, 70][..], &half(&raw[..32]), &half(&raw[32..])].concat();
    assert_eq!(with(&der), WRONG, "DER instead of raw");
    let mut bent = raw;
    bent[40] ^= 1;
    assert_eq!(with(&bent), WRONG);
    // The order of P-256 as r, and 0 as s (the "psychic" signatures).
    let order = decode("_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE");
    assert_eq!(with(&[&order[..], &[0; 32]].concat()), WRONG);
    let ed = Signer::ed25519();
    let (ed_jwt, token) = (tests::jwt(ed.key_set()), ed.token(r#"{"alg":"EdDSA"}"#, CLAIMS));
    let (signed, _) = token.rsplit_once('.').unwrap();
    assert_eq!(say(&ed_jwt, &format!("{signed}.{}", encode([0; 64]))), WRONG);
}

#[test]
fn a_token_has_one_spelling() {
    let own = Signer::hmac();
    let token = own.token(r#"{"alg":"HS256"}"#, CLAIMS);
    let jwt = jwt(own.key_set());
    assert_eq!(say(&jwt, &token), "passes");
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = [parts[0], parts[1], parts[2]];
    for bad in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        format!("{header}.{claims}"),
        format!("{token}."),
        format!("{token}.x"),
        format!("{token}="),
        format!(" {token}"),
        format!("{token} "),
        format!("{token}\n"),
        format!("{header}=.{claims}.{signature}"),
        format!("{header}.{claims}=.{signature}"),
        format!("{header}. {claims}.{signature}"),
        format!("{header}.{claims}.{signature}é"),
        format!("{}.{claims}.{signature}", header.replace('e', "e\u{0}")),
    ] {
        assert_eq!(say(&jwt, &bad), MALFORMED, "{bad}");
    }
    assert_eq!(say(&jwt, &format!("{token}A")), WRONG);
    // 32 bytes leave two bits over in the last character: they must be 0.
    let last = signature.chars().last().unwrap();
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let next = ALPHABET.chars().nth(ALPHABET.find(last).unwrap() + 1).unwrap();
    let twin = format!("{header}.{claims}.{}{next}", signature.strip_suffix(last).unwrap());
    assert_eq!(say(&jwt, &twin), MALFORMED);
    // The alphabet of plain base64 is another one.
    let plain = own.token(r#"{"alg":"HS256","x":"???>>>"}"#, CLAIMS);
    assert_eq!(say(&jwt, &plain), "passes");
    let (head, rest) = plain.split_once('.').unwrap();
    assert!(head.contains(['-', '_']), "{head}");
    assert_eq!(
        say(&jwt, &format!("{}.{rest}", head.replace('-', "+").replace('_', "/"))),
        MALFORMED
    );
}

#[test]
fn json_that_means_two_things_is_refused() {
    let own = Signer::hmac();
    let jwt = jwt(own.key_set());
    let check = |header: &str, claims: &str| {
        assert_eq!(say(&jwt, &own.token(header, claims)), MALFORMED, "{header} {claims}");
    };
    let header = r#"{"alg":"HS256"}"#;
    check(r#"{"alg":"HS256","alg":"none"}"#, CLAIMS);
    check(r#"{"alg":"none","alg":"HS256"}"#, CLAIMS);
    check(header, r#"{"sub":"ann","sub":"root","exp":1800000100}"#);
    check(header, r#"{"exp":1800000100,"\u0065xp":1}"#);
    check(header, "[]");
    check(header, "");
    check(header, r#""eyJhbGciOiJub25lIn0""#);
    check(header, r#"{"exp":1800000100} {}"#);
    check(header, &format!(r#"{{"exp":1800000100,"a":{}1{}}}"#, "[".repeat(20), "]".repeat(20)));
    check("{alg:HS256}", CLAIMS);
}

#[test]
fn tokens_are_bounded_in_size() {
    let own = Signer::hmac();
    let jwt = jwt(own.key_set());
    let long = |size: usize| {
        own.token(
            r#"{"alg":"HS256"}"#,
            &format!(r#"{{"exp":1800000100,"a":"{}"}}"#, "x".repeat(size)),
        )
    };
    assert_eq!(say(&jwt, &long(6000)), "passes");
    assert_eq!(say(&jwt, &long(8000)), "the token is too large");
    assert_eq!(parse(&"a".repeat(TOKEN_SIZE_MAX + 1)), Err("the token is too large"));
}

#[test]
fn the_route_narrows_the_algorithms_further() {
    let rsa = Signer::rsa(&signature::RSA_PKCS1_SHA256);
    let config = Config {
        algorithms: vec![Algorithm::Ps256],
        keys: Keys::with(rsa.key_set()),
        ..Config::default()
    };
    assert_eq!(say(&Jwt::new(config), &rsa.token(r#"{"alg":"RS256"}"#, CLAIMS)), NOT_ALLOWED);
    let only = rsa.key().with_only(Algorithm::Rs512).unwrap();
    assert_eq!(
        say(&jwt(KeySet::of(vec![only])), &rsa.token(r#"{"alg":"RS256"}"#, CLAIMS)),
        NOT_ALLOWED
    );
    assert!(rsa.key().with_only(Algorithm::Hs256).is_err());
}

#[test]
fn an_unknown_key_asks_for_new_ones_and_they_take_effect_at_once() {
    let (old, new) = (Signer::es256(), Signer::es256());
    let keys = Keys::with(KeySet::of(vec![old.key().with_id(Some("old".to_owned()))]));
    let config = Config { keys: keys.clone(), issuers: vec!["id".to_owned()], ..Config::default() };
    let jwt = Jwt::new(config);
    let claims = r#"{"iss":"id","exp":1800000100}"#;
    let before = old.token(r#"{"alg":"ES256","kid":"old"}"#, claims);
    let after = new.token(r#"{"alg":"ES256","kid":"new"}"#, claims);
    assert_eq!(say(&jwt, &before), "passes");
    assert!(!keys.take_refresh());
    let stranger = new.token(r#"{"alg":"ES256","kid":"new"}"#, CLAIMS);
    assert_eq!(say(&jwt, &stranger), "the token is from another issuer");
    assert!(!keys.take_refresh(), "another issuer's token is no reason to fetch keys");
    assert_eq!(say(&jwt, &after), "the token is signed with an unknown key");
    assert!(keys.take_refresh());
    assert!(!keys.take_refresh());
    assert!(keys.replace(KeySet::of(vec![new.key().with_id(Some("new".to_owned()))])));
    assert_eq!(say(&jwt, &after), "passes");
    assert_eq!(
        say(&jwt, &before),
        "the token is signed with an unknown key",
        "also when it passed before"
    );
    assert!(!keys.replace(KeySet::of(vec![new.key().with_id(Some("new".to_owned()))])));
}

#[test]
fn without_keys_nobody_can_be_checked() {
    let jwt = Jwt::new(Config::default());
    assert_eq!(say(&jwt, "a.b.c"), "the keys of the tokens' issuer are not here yet");
    assert!(!jwt.config.keys.is_loaded());
}

#[test]
fn a_token_without_kid_is_tried_with_few_keys() {
    let signers: Vec<Signer> = (0..=TRIED_MAX).map(|_| Signer::es256()).collect();
    let jwt = jwt(KeySet::of(signers.iter().map(Signer::key).collect()));
    let said = |signer: &Signer| say(&jwt, &signer.token(r#"{"alg":"ES256"}"#, CLAIMS));
    assert_eq!(said(&signers[TRIED_MAX - 1]), "passes");
    assert_eq!(said(&signers[TRIED_MAX]), WRONG);
}

proptest::proptest! {
    #[test]
    fn a_token_that_is_changed_anywhere_does_not_pass(at in 0_usize..200, to in 0_u8..=255) {
        let own = Signer::hmac();
        let token = own.token(r#"{"alg":"HS256","kid":"k"}"#, CLAIMS);
        let jwt = jwt(own.key_set());
        let mut bytes = token.clone().into_bytes();
        let at = at % bytes.len();
        bytes[at] = to;
        if let Ok(changed) = String::from_utf8(bytes) {
            let passes = say(&jwt, &changed) == "passes";
            proptest::prop_assert_eq!(passes, changed == token);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[A-Za-z0-9_.=\\-]{0,200}") {
        let _ = parse(&text);
    }
}
