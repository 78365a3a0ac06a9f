//! What the claims of a token must say.

use super::*;

/// `claims` besides `sub`, at [`NOW`].
fn check_claims(config: Config, claims: &str, expected: &str) {
    let own = Signer::hmac();
    let jwt = Jwt::new(Config { keys: Keys::with(own.key_set()), ..config });
    let token = own.token(r#"{"alg":"HS256"}"#, claims);
    assert_eq!(say(&jwt, &token), expected, "{claims}");
    assert_eq!(say(&jwt, &token), expected, "again: {claims}");
}

#[test]
fn a_token_holds_between_its_dates_with_leeway() {
    let check = |claims: String, expected| check_claims(Config::default(), &claims, expected);
    let (expired, early) = ("the token has expired", "the token is not valid yet");
    let none = "the token has a date that is none";
    check(format!(r#"{{"exp":{}}}"#, NOW - 59), "passes");
    check(format!(r#"{{"exp":{}}}"#, NOW - 60), expired);
    check(format!(r#"{{"exp":{}.5}}"#, NOW - 60), "passes");
    check(format!(r#"{{"exp":{}.0,"nbf":{}}}"#, NOW + 1, NOW + 60), "passes");
    check(format!(r#"{{"exp":{},"nbf":{}}}"#, NOW + 100, NOW + 61), early);
    check(format!(r#"{{"exp":{},"iat":{}}}"#, NOW + 100, NOW + 61), early);
    check(r#"{"exp":1e300}"#.to_owned(), "passes");
    check(r#"{"exp":18446744073709551615}"#.to_owned(), "passes");
    check(r#"{"exp":99999999999999999999999}"#.to_owned(), "passes");
    check(r#"{"exp":0}"#.to_owned(), expired);
    check(r#"{"exp":-1}"#.to_owned(), none);
    check(r#"{"exp":null}"#.to_owned(), none);
    check(r#"{"exp":"1800000100"}"#.to_owned(), none);
    check(r#"{"exp":true}"#.to_owned(), none);
    check(r#"{"exp":1800000100,"nbf":[]}"#.to_owned(), none);
    check("{}".to_owned(), "the token never expires");
    check_claims(Config { needs_expiry: false, ..Config::default() }, "{}", "passes");
    let strict = Config { leeway: Duration::ZERO, ..Config::default() };
    check_claims(strict.clone(), &format!(r#"{{"exp":{NOW}}}"#), expired);
    check_claims(strict.clone(), &format!(r#"{{"exp":{},"nbf":{NOW}}}"#, NOW + 1), "passes");
    check_claims(strict, &format!(r#"{{"exp":{},"nbf":{}}}"#, NOW + 2, NOW + 1), early);
}

#[test]
fn a_token_is_for_us_and_from_whom_we_know() {
    let config = || Config {
        audiences: vec!["shop".to_owned(), "till".to_owned()],
        issuers: vec!["https://id.example".to_owned()],
        ..Config::default()
    };
    let check = |rest: &str, expected| {
        check_claims(config(), &format!(r#"{{"exp":1800000100{rest}}}"#), expected);
    };
    let (issuer, audience) =
        ("the token is from another issuer", "the token is for another audience");
    check(r#","iss":"https://id.example","aud":"shop""#, "passes");
    check(r#","iss":"https://id.example","aud":["x","till"]"#, "passes");
    check(r#","iss":"https://id.example""#, audience);
    check(r#","iss":"https://id.example","aud":[]"#, audience);
    check(r#","iss":"https://id.example","aud":["shop2"]"#, audience);
    check(r#","iss":"https://id.example","aud":[["shop"]]"#, audience);
    check(r#","iss":"https://id.example","aud":{"shop":1}"#, audience);
    check(r#","iss":"https://id.example","aud":"Shop""#, audience);
    check(r#","aud":"shop""#, issuer);
    check(r#","iss":"https://id.example/","aud":"shop""#, issuer);
    check(r#","iss":["https://id.example"],"aud":"shop""#, issuer);
}

#[test]
fn all_scopes_are_needed() {
    let config = || Config {
        scopes: vec!["orders:read".to_owned(), "items".to_owned()],
        ..Config::default()
    };
    let check = |rest: &str, expected| {
        check_claims(config(), &format!(r#"{{"exp":1800000100,{rest}}}"#), expected);
    };
    let lacks = "the token lacks a scope";
    check(r#""scope":"items orders:read x""#, "passes");
    check(r#""scp":["items","orders:read"]"#, "passes");
    check(r#""scope":"items","scp":"orders:read""#, "passes");
    check(r#""scope":"items""#, lacks);
    check(r#""scope":"items orders:read2""#, lacks);
    check(r#""scope":"items,orders:read""#, lacks);
    check(r#""scope":["items orders:read"]"#, lacks);
    check(r#""sub":"ann""#, lacks);
}
