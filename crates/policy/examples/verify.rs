//! What checking credentials and conditions costs: `cargo run --release -p policy --example verify`.
//!
//! Prints microseconds of one core. "fresh" is a token that was never seen, "known" one that passed before.

use base::{Moment, Timestamp};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use policy::{
    Now, Parts, Policy, Request,
    allow::Allow,
    auth::{
        Auth, Method, basic,
        jwks::{KeySet, Keys, Secrets},
        jwt::{self, Jwt},
        keys::{self, ApiKeys},
    },
};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair},
};
use std::{
    io::{self, Write},
    net::IpAddr,
    time::Instant,
};

const NOW_S: u64 = 1_800_000_000;

struct View {
    fields: Vec<(&'static str, String)>,
}

impl Request for View {
    fn method(&self) -> &str {
        "GET"
    }
    fn scheme(&self) -> &str {
        "https"
    }
    fn host(&self) -> &str {
        "shop.example"
    }
    fn path(&self) -> &str {
        "/api/orders/7"
    }
    fn raw_path(&self) -> &str {
        "/api/orders/7"
    }
    fn query(&self) -> Option<&str> {
        Some("page=2")
    }
    fn client(&self) -> IpAddr {
        IpAddr::from([10, 1, 2, 3])
    }
    fn each(&self, name: &str, see: &mut dyn FnMut(&[u8]) -> bool) {
        for (known, value) in &self.fields {
            if *known == name && !see(value.as_bytes()) {
                return;
            }
        }
    }
    fn all(&self, see: &mut dyn FnMut(&str, &[u8])) {
        self.fields.iter().for_each(|(name, value)| see(name, value.as_bytes()));
    }
}

fn now() -> Now {
    let timestamp = Timestamp(NOW_S * 1_000_000);
    Now { moment: Moment::START, timestamp, random: 0 }
}

/// The mean of `rounds` runs in microseconds.
fn measure(
    out: &mut impl Write,
    name: &str,
    rounds: u32,
    mut run: impl FnMut(u32),
) -> io::Result<()> {
    (0..rounds.min(10)).for_each(&mut run);
    let start = Instant::now();
    (0..rounds).for_each(&mut run);
    let micros = start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds);
    writeln!(out, "{name:<32} {micros:>10.2} µs")
}

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

fn signers() -> Vec<(&'static str, String, Sign)> {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let random = SystemRandom::new();
    let secret = [7; 64];
    let hmac_key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    let made = Ed25519KeyPair::generate_pkcs8(&random).expect("randomness");
    let ed = Ed25519KeyPair::from_pkcs8(made.as_ref()).expect("just made");
    let algorithm = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
    let made = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("randomness");
    let elliptic = EcdsaKeyPair::from_pkcs8(algorithm, made.as_ref(), &random).expect("just made");
    let point = elliptic.public_key().as_ref().to_vec();
    vec![
        (
            "HS256",
            format!(r#"{{"kty":"oct","k":"{}"}}"#, encode(&secret)),
            Box::new(move |message| hmac::sign(&hmac_key, message).as_ref().to_vec()),
        ),
        (
            "EdDSA",
            format!(
                r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#,
                encode(ed.public_key().as_ref())
            ),
            Box::new(move |message| ed.sign(message).as_ref().to_vec()),
        ),
        (
            "ES256",
            format!(
                r#"{{"kty":"EC","crv":"P-256","x":"{}","y":"{}"}}"#,
                encode(&point[1..33]),
                encode(&point[33..])
            ),
            Box::new(move |message| {
                elliptic.sign(&SystemRandom::new(), message).expect("signs").as_ref().to_vec()
            }),
        ),
    ]
}

/// With a key in DER form (`openssl genrsa -traditional 2048 | openssl rsa -outform DER -traditional`).
fn rsa_signer(path: &str) -> (&'static str, String, Sign) {
    let der = std::fs::read(path).expect("an RSA key in DER form");
    let pair = RsaKeyPair::from_der(&der).expect("an RSA key in DER form");
    let public = signature::RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
    let key = format!(
        r#"{{"kty":"RSA","n":"{}","e":"{}"}}"#,
        URL_SAFE_NO_PAD.encode(&public.n),
        URL_SAFE_NO_PAD.encode(&public.e)
    );
    let sign = move |message: &[u8]| {
        let mut signature = vec![0; pair.public().modulus_len()];
        pair.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .expect("signs");
        signature
    };
    ("RS256", key, Box::new(sign))
}

fn token(algorithm: &str, number: u32, sign: &Sign) -> String {
    let claims = format!(
        r#"{{"iss":"https://id.example/realms/shop","sub":"f81d4fae-7dec-11d0-a765-00a0c91e6bf6","aud":["shop"],"exp":{},"iat":{NOW_S},"jti":"{number}","scope":"openid profile orders items","roles":["clerk","auditor"]}}"#,
        NOW_S + 300
    );
    let header = format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#);
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(sign(signed.as_bytes())))
}

fn main() -> io::Result<()> {
    const FRESH: u32 = 2_000;
    let out = &mut io::stdout().lock();
    let mut all = signers();
    all.extend(std::env::args().nth(1).map(|path| rsa_signer(&path)));
    let mut policies = Vec::new();
    for (name, key, sign) in &all {
        let set = KeySet::from_jwks(format!(r#"{{"keys":[{key}]}}"#).as_bytes(), Secrets::Allowed);
        let keys = Keys::with(set.expect("a key set"));
        let method = || Jwt::new(jwt::Config { keys: keys.clone(), ..jwt::Config::default() });
        let fresh: Vec<String> = (0..FRESH).map(|number| token(name, number, sign)).collect();
        let jwt = method();
        let verify = |token: &str| assert!(jwt.verify(token, now()).is_ok());
        let mut next = fresh.iter().cycle();
        // Each once, so none is known.
        let others = method();
        measure(out, &format!("{name} fresh"), FRESH - 20, |_| {
            let token = next.next().expect("there is always a next");
            assert!(others.verify(token, now()).is_ok());
        })?;
        measure(out, &format!("{name} known"), 200_000, |_| verify(&fresh[0]))?;
        policies.push((method(), fresh[0].clone()));
    }
    let (method, token) = policies.swap_remove(0);
    let auth =
        Auth::new(vec![Method::Jwt(method)], "shop", Some("x-user".to_owned())).expect("a policy");
    let allow = || Allow::new("claims.scope.contains('orders')").expect("a condition");
    let fields = vec![
        ("accept", "*/*".to_owned()),
        ("user-agent", "curl/8".to_owned()),
        ("authorization", format!("Bearer {token}")),
    ];
    let view = View { fields };
    let policy = Policy::new(Parts { auth: Some(auth), allow: Some(allow()), ..Parts::default() });
    measure(out, "policy: known token and allow", 200_000, |_| {
        let _ = std::hint::black_box(policy.admit(&view, now()));
    })?;
    for text in [
        "request.method == 'GET'",
        "request.path.matches('^/api/[a-z]+/[0-9]+$')",
        "request.client.inNetwork('10.0.0.0/8') && request.headers['accept'] == '*/*'",
    ] {
        let allow = Allow::new(text).expect("a condition");
        measure(out, text.get(..30).unwrap_or(text), 200_000, |_| {
            assert!(allow.check(&view, None));
        })?;
    }
    measure(out, "compile a condition", 200, |_| {
        let _ = std::hint::black_box(allow());
    })?;
    let (key, hash) = keys::generate([1; 32]);
    let keys = keys::Config { keys: vec![("robot".to_owned(), hash)], ..keys::Config::default() };
    let keys = ApiKeys::new(keys).expect("a key");
    measure(out, "API key", 200_000, |_| assert!(keys.name(&key).is_some()))?;
    measure(out, "bcrypt, cost 10", 10, |_| {
        let _ = std::hint::black_box(basic::hash("secret", 10, [0; 16]));
    })
}
