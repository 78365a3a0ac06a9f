//! JSON Web Tokens.

use std::sync::OnceLock;

use base::{Moment, Timestamp};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use policy::{
    Now,
    auth::{
        jwks::{KeySet, Keys},
        jwt::{Config, Jwt, TOKEN_SIZE_MAX, parse},
        key::Algorithm,
    },
};
use ring::hmac;

const SECRET: &[u8] = b"a secret of thirty-two bytes, no more";

/// - A token has one spelling: what is read is what its parts are written as.
/// - Without the secret nothing passes, whatever the token says of itself.
/// - Signed with the secret it passes only as HS256 and within its time.
pub(crate) fn check(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(token) = parse(text) {
        assert!(text.len() <= TOKEN_SIZE_MAX && text.matches('.').count() == 2);
        let signature = URL_SAFE_NO_PAD.encode(&token.signature);
        assert_eq!([token.signed, b".", signature.as_bytes()].concat(), data);
    }
    assert!(verify(text).is_none(), "a stranger's token passes");
    // The first line is the header of a token of ours, the rest its payload.
    let (header, payload) = text.split_once('\n').unwrap_or(("{\"alg\":\"HS256\"}", text));
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let signature = hmac::sign(&key, signed.as_bytes());
    let ours = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()));
    let Some(expiry) = verify(&ours) else { return };
    let token = parse(&ours).expect("what passes was read");
    assert_eq!(token.algorithm, Algorithm::Hs256);
    assert!(expiry, "a token without expiry passes");
    let changed = ours.get(1..).map_or_else(String::new, |rest| format!("f{rest}"));
    assert!(verify(&changed).is_none(), "a token that was changed passes");
}

/// Whether it says when it expires, if it passes.
fn verify(token: &str) -> Option<bool> {
    // Made once, as for a route: it remembers what passed, which must not let anything else pass.
    static JWT: OnceLock<Jwt> = OnceLock::new();
    let jwt = JWT.get_or_init(|| {
        let keys = Keys::with(KeySet::from_secret(SECRET).expect("it is long enough"));
        Jwt::new(Config { keys, ..Config::default() })
    });
    let timestamp = Timestamp(1_800_000_000_000_000);
    let now = Now { moment: Moment::START, timestamp, random: 1 };
    let identity = jwt.verify(token, now).ok()?;
    Some(identity.claim("exp").is_some())
}
