//! Who may pass: tokens, keys, passwords and conditions.

use super::has;
use crate::kit::{
    System,
    http::{Answer, Request},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use std::{fs, time::SystemTime};

const SECRET: &str = "a-secret-of-thirty-two-bytes-or-more";

pub(super) fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// A token that `sign` has signed.
fn token(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(text.as_bytes()));
    format!("{text}.{signature}")
}

fn hs256(claims: &Value) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    token(&json!({ "alg": "HS256" }), claims, |text| hmac::sign(&key, text).as_ref().to_vec())
}

pub(super) fn bearer(system: &System, path: &str, token: &str) -> Answer {
    let request = Request::get(path).header("Authorization", &format!("Bearer {token}"));
    request.send(system.gateway).unwrap()
}

/// A key for ES256 and its public half as a member of a key set.
pub(super) fn es256(id: &str) -> (EcdsaKeyPair, Value) {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
    // An uncompressed point: 4, then both coordinates.
    let point = key.public_key().as_ref();
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
    (key, json!({ "kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "x": x, "y": y }))
}

pub(super) fn sign_es256(key: &EcdsaKeyPair, id: &str, claims: &Value) -> String {
    let header = json!({ "alg": "ES256", "kid": id });
    token(&header, claims, |text| key.sign(&SystemRandom::new(), text).unwrap().as_ref().to_vec())
}

#[test]
fn a_shared_secret_lets_good_tokens_in_and_no_others() {
    let system = System::new(&format!(
        "
services: {{ web: {{ run: FIXTURE serve }} }}
gateway:
  listen: GATEWAY
  auth:
    jwt: {{ secret: {SECRET}, audience: shop, issuer: us, claim_headers: {{ X-Org: org.id }} }}
    subject_header: X-User
  routes:
    /: web
    /open: {{ to: web, auth: none }}
    /orders: {{ to: web, scopes: [orders] }}
    /admin: {{ to: web, allow: \"claims.role == 'admin' && request.method == 'GET'\" }}
"
    ));
    system.up();
    let good = json!({
        "sub": "ann", "aud": "shop", "iss": "us", "exp": now() + 600, "org": { "id": "o7" },
        "scope": "orders cart", "role": "admin",
    });
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        hs256(&claims)
    };

    let request = Request::get("/x").header("X-User", "root").header("X-Org", "none");
    let passed = request.header("Authorization", &format!("Bearer {}", hs256(&good)));
    let answer = passed.send(system.gateway).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = answer.json();
    assert_eq!(
        (&seen["headers"]["x-user"], &seen["headers"]["x-org"]),
        (&json!("ann"), &json!("o7"))
    );
    // Nobody can say who they are where nobody has to.
    let open = Request::get("/open").header("X-User", "root").send(system.gateway).unwrap();
    assert_eq!((open.status, &open.json()["headers"]["x-user"]), (200, &Value::Null));

    let none = token(&json!({ "alg": "none" }), &good, |_| Vec::new());
    let other = hmac::Key::new(hmac::HMAC_SHA256, b"another secret of thirty-two bytes");
    let forged =
        token(&json!({ "alg": "HS256" }), &good, |text| hmac::sign(&other, text).as_ref().to_vec());
    let refused = [
        ("expired", with("exp", json!(now() - 600))),
        ("without expiry", with("exp", Value::Null)),
        ("not yet", with("nbf", json!(now() + 600))),
        ("wrong audience", with("aud", json!("bank"))),
        ("wrong issuer", with("iss", json!("them"))),
        ("alg none", none),
        ("another key", forged),
        ("no token", "a.b.c".to_owned()),
    ];
    for (what, token) in refused {
        let answer = bearer(&system, "/x", &token);
        assert_eq!(answer.status, 401, "{what}: {}", answer.text());
        assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"), "{what}");
    }
    assert_eq!(system.get("/x").status, 401);

    assert_eq!(bearer(&system, "/orders", &hs256(&good)).status, 200);
    assert_eq!(bearer(&system, "/orders", &with("scope", json!("cart"))).status, 403);
    assert_eq!(bearer(&system, "/admin", &hs256(&good)).status, 200);
    assert_eq!(bearer(&system, "/admin", &with("role", json!("guest"))).status, 403);
    assert_eq!(bearer(&system, "/admin", &with("role", Value::Null)).status, 403);
    let post = Request { method: "POST", ..Request::get("/admin") };
    let post = post.header("Authorization", &format!("Bearer {}", hs256(&good)));
    assert_eq!(post.send(system.gateway).unwrap().status, 403);
    system.down();
}

#[test]
fn keys_in_a_file_are_used_for_their_algorithm_and_change_without_a_restart() {
    let system = System::new(
        "
services: { web: { run: FIXTURE serve } }
gateway:
  listen: GATEWAY
  auth: { jwt: { jwks: keys.json } }
  routes: { /: web }
",
    );
    let ((first, first_public), (second, second_public)) = (es256("one"), es256("two"));
    let write = |keys: &[&Value]| system.file("keys.json", &json!({ "keys": keys }).to_string());
    write(&[&first_public]);
    system.up();
    let claims = json!({ "sub": "ann", "exp": now() + 600 });
    assert_eq!(bearer(&system, "/", &sign_es256(&first, "one", &claims)).status, 200);
    assert_eq!(bearer(&system, "/", &sign_es256(&second, "two", &claims)).status, 401);
    assert_eq!(bearer(&system, "/", &sign_es256(&second, "one", &claims)).status, 401);
    // The public key is no secret: a signature that is made with it as one is worth nothing.
    let text = first_public.to_string();
    let confused = token(&json!({ "alg": "HS256", "kid": "one" }), &claims, |input| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()), input).as_ref().to_vec()
    });
    assert_eq!(bearer(&system, "/", &confused).status, 401);

    write(&[&first_public, &second_public]);
    crate::kit::wait::eventually("the new key", || {
        let answer = bearer(&system, "/", &sign_es256(&second, "two", &claims));
        (answer.status == 200).then_some(())
    });
    assert_eq!(bearer(&system, "/", &sign_es256(&first, "one", &claims)).status, 200);
    system.down();
}

#[test]
fn public_keys_in_pem_form_check_rsa_signatures() {
    if !has("RSA keys", &["openssl version"]) {
        return;
    }
    let system = System::new(
        "
services: { web: { run: FIXTURE serve } }
gateway:
  listen: GATEWAY
  auth: { jwt: { jwks: public.pem, cookie: session, forward: false } }
  routes: { /: web }
",
    );
    let openssl =
        |line: &str| system.finish(system.command("openssl").args(line.split(' '))).expect(0);
    openssl("genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out private.pem");
    openssl("pkey -in private.pem -pubout -out public.pem");
    system.up();
    let claims = json!({ "sub": "ann", "exp": now() + 600 });
    let token = token(&json!({ "alg": "RS256" }), &claims, |text| {
        fs::write(system.dir().join("text"), text).unwrap();
        openssl("dgst -sha256 -sign private.pem -out signature text");
        fs::read(system.dir().join("signature")).unwrap()
    });
    let ask = |token: &str| {
        let request = Request::get("/").header("Cookie", &format!("a=b; session={token}; c=d"));
        request.send(system.gateway).unwrap()
    };
    let answer = ask(&token);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(!answer.text().contains(&token), "the token is not forwarded");
    let mut broken = token.clone().into_bytes();
    let middle = broken.len() - 100;
    broken[middle] = if broken[middle] == b'A' { b'B' } else { b'A' };
    assert_eq!(ask(&String::from_utf8(broken).unwrap()).status, 401);
    assert_eq!(bearer(&system, "/", &token).status, 401, "only the cookie counts");
    system.down();
}

#[test]
fn keys_and_passwords_stand_in_the_file_as_hashes_only() {
    // Of `partner key` and of `open sesame`.
    let hash = ring::digest::digest(&ring::digest::SHA256, b"partner key");
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let system = System::new(&format!(
        "
services: {{ web: {{ run: FIXTURE serve }} }}
gateway:
  listen: GATEWAY
  auth:
    api_keys: {{ keys: {{ partner: 'sha256:{hash}' }} }}
    basic: {{ users: {{ ann: '{PASSWORD}' }} }}
    subject_header: X-User
    default: none
  routes:
    /: web
    /keys: {{ to: web, auth: api_keys }}
    /both: {{ to: web, auth: [basic, api_keys] }}
"
    ));
    system.up();
    let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
    let ask = |path: &str, name: &str, value: &str| {
        Request::get(path).header(name, value).send(system.gateway).unwrap()
    };
    assert_eq!(system.get("/").status, 200);
    let answer = ask("/keys", "X-API-Key", "partner key");
    assert_eq!((answer.status, &answer.json()["headers"]["x-user"]), (200, &json!("partner")));
    assert!(!answer.text().contains("partner key"), "the service does not get the secret");
    assert_eq!(ask("/keys", "X-API-Key", "partner kez").status, 401);
    assert_eq!(ask("/keys", "Authorization", &basic("ann:open sesame")).status, 401);
    assert_eq!(ask("/both", "X-API-Key", "partner key").status, 200);
    let answer = ask("/both", "Authorization", &basic("ann:open sesame"));
    assert_eq!((answer.status, &answer.json()["headers"]["x-user"]), (200, &json!("ann")));
    for wrong in ["ann:open", "ann:", "bob:open sesame", "ann"] {
        let answer = ask("/both", "Authorization", &basic(wrong));
        assert_eq!(answer.status, 401, "{wrong}");
        assert!(answer.headers.iter().any(|(_, value)| value.starts_with("Basic realm=")));
    }
    system.down();
}

/// The bcrypt hash of `open sesame`.
const PASSWORD: &str = "$2b$10$abcdefghijklmnopqrstuu4SuEsu2LsUrAYUpWQHLMMc4GV5pZTxK";
