//! Credentials of a whole request; each kind has its own tests beside it.

mod secrets;

use super::{basic, jwks::Keys, jwt, keys, testing::Signer, *};
use crate::testing::{View, at};

const HEADER: &str = r#"{"alg":"HS256"}"#;

fn token(claims: &str) -> String {
    Signer::hmac().token(HEADER, claims)
}

fn jwt_method(change: impl FnOnce(&mut jwt::Config)) -> Method {
    let mut config =
        jwt::Config { keys: Keys::with(Signer::hmac().key_set()), ..jwt::Config::default() };
    change(&mut config);
    Method::Jwt(Jwt::new(config))
}

fn keys_method(change: impl FnOnce(&mut keys::Config)) -> Method {
    let mut config = keys::Config {
        keys: vec![("robot".to_owned(), keys::hash("k1"))],
        ..keys::Config::default()
    };
    change(&mut config);
    Method::Keys(ApiKeys::new(config).unwrap())
}

/// `ann` with the password `secret` (cost 10).
fn basic_method() -> Method {
    let hash = basic::hash("secret", 10, [7; 16]).unwrap();
    let users = vec![("ann".to_owned(), hash)];
    Method::Basic(Basic::new(basic::Config { users, forward: false, secret: [1; 32] }).unwrap())
}

fn auth(methods: Vec<Method>) -> Auth {
    Auth::new(methods, "shop", Some("x-auth-subject".to_owned())).unwrap()
}

fn basic_header(text: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    format!("Basic {}", STANDARD.encode(text))
}

/// What becomes of `request`: who it is and the edits, or the status, words and challenges.
fn say(auth: &Auth, request: &View) -> String {
    match found(auth, request) {
        Found::Passed(identity, by) => {
            let mut effects = Effects::default();
            auth.tell(&identity, by, request, &mut effects);
            let edits: Vec<String> = effects.request.iter().map(show).collect();
            let query = effects.query.map(|query| format!(" ?{query}")).unwrap_or_default();
            format!("{}: {}{query}", identity.subject.unwrap_or_default(), edits.join(" "))
        }
        Found::Refused(reply) => {
            let challenges = reply.headers.iter().filter(|(name, _)| name == "www-authenticate");
            let challenges: Vec<&str> = challenges.map(|(_, value)| value.as_ref()).collect();
            format!("{} {} | {}", reply.status, reply.message, challenges.join(" | "))
        }
        Found::Slow(_) => "slow".to_owned(),
    }
}

/// Runs slow work at once.
fn found(auth: &Auth, request: &View) -> Found {
    match auth.check(request, at(0), None) {
        Found::Slow(work) => auth.check(request, at(0), Some(work.run())),
        found => found,
    }
}

fn show(edit: &Edit) -> String {
    match edit {
        Edit::Set(name, value) => format!("{name}={value}"),
        Edit::Add(name, value) => format!("{name}+={value}"),
        Edit::Remove(name) => format!("-{name}"),
        Edit::Vary(list) => format!("vary {list}"),
    }
}

const MISSING: &str = "401 credentials are needed and missing";

#[test]
fn who_brings_nothing_learns_what_is_asked_for() {
    let all = auth(vec![jwt_method(|_| ()), keys_method(|_| ()), basic_method()]);
    assert_eq!(
        say(&all, &View::any()),
        format!(
            "{MISSING} | Bearer realm=\"shop\" | ApiKey realm=\"shop\" | Basic realm=\"shop\", charset=\"UTF-8\""
        )
    );
    let other = View::any().with("authorization", "Digest username=\"ann\"");
    assert!(say(&all, &other).starts_with(MISSING));
}

#[test]
fn a_token_tells_the_service_who_it_is_in_place_of_what_the_client_says() {
    let method = jwt_method(|config| {
        let named = [
            ("x-user", "sub"),
            ("x-org", "org.id"),
            ("x-roles", "roles"),
            ("x-bad", "bad"),
            ("x-none", "none"),
        ];
        config.headers = named.map(|(name, claim)| (name.to_owned(), claim.to_owned())).to_vec();
    });
    let auth = auth(vec![method]);
    let claims = r#"{"sub":"ann","exp":1800000100,"org":{"id":7},"roles":["a","b"],"bad":"x\r\nx-admin: 1"}"#;
    let request = View::any()
        .with("authorization", format!("bearer   {}", token(claims)))
        .with("x-user", "root")
        .with("X_User", "root")
        .with("x_auth-subject", "root")
        .with("x-other", "stays");
    assert_eq!(
        say(&auth, &request),
        "ann: -x-user -x_user -x_auth-subject \
         x-auth-subject=ann x-user=ann x-org=7 x-roles=[\"a\",\"b\"]"
    );
}

#[test]
fn a_bad_token_is_refused_in_the_words_of_rfc_6750() {
    let auth =
        auth(vec![jwt_method(|config| config.scopes = vec!["a".to_owned(), "b".to_owned()])]);
    let check = |token: &str, expected: &str| {
        assert_eq!(
            say(&auth, &View::any().with("authorization", format!("Bearer {token}"))),
            expected
        );
    };
    check(
        &token(r#"{"exp":1}"#),
        "401 the token has expired | Bearer realm=\"shop\", error=\"invalid_token\", error_description=\"the token has expired\"",
    );
    check(
        &token(r#"{"exp":1800000100,"scope":"a"}"#),
        "403 the token lacks a scope | Bearer realm=\"shop\", error=\"insufficient_scope\", \
         error_description=\"the token lacks a scope\", scope=\"a b\"",
    );
    check(
        "",
        "401 the token is malformed | Bearer realm=\"shop\", error=\"invalid_token\", error_description=\"the token is malformed\"",
    );
}

#[test]
fn credentials_that_stand_twice_are_refused() {
    let all = auth(vec![
        jwt_method(|_| ()),
        jwt_method(|config| config.source = Source::Cookie("session".to_owned())),
        keys_method(|config| config.query = Some("key".to_owned())),
    ]);
    let good = format!("Bearer {}", token(r#"{"exp":1800000100}"#));
    let check = |request: View, expected: &str| assert_eq!(say(&all, &request), expected);
    check(
        View::any().with("authorization", &good).with("authorization", &good),
        "400 a field with credentials stands there twice | ",
    );
    check(
        View::any().with("cookie", "session=a; session=b"),
        "400 a cookie with credentials stands there twice | ",
    );
    check(
        View::any().with("cookie", "session=a").with("cookie", "session=b"),
        "400 a cookie with credentials stands there twice | ",
    );
    check(
        View::any().with("x-api-key", "k1").with("x-api-key", "k1"),
        "400 a field with credentials stands there twice | ",
    );
    check(
        View::any().query("key=k1&%6bey=k2"),
        "400 a parameter with credentials stands there twice | ",
    );
    check(
        View::any().with("authorization", b"Bearer \xff"),
        "400 a field with credentials is not text | ",
    );
}

#[test]
fn one_of_several_kinds_is_enough() {
    let all = auth(vec![jwt_method(|_| ()), keys_method(|_| ()), basic_method()]);
    let request = View::any().with("x-api-key", "k1");
    assert_eq!(say(&all, &request), "robot: x-auth-subject=robot -x-api-key");
    let request = request.with("authorization", "Bearer rubbish");
    assert_eq!(say(&all, &request), "robot: x-auth-subject=robot -x-api-key");
    let request =
        View::any().with("authorization", basic_header("ann:secret")).with("x-api-key", "wrong");
    assert_eq!(say(&all, &request), "ann: x-auth-subject=ann -x-api-key -authorization");
    let request =
        View::any().with("authorization", basic_header("ann:wrong")).with("x-api-key", "wrong");
    assert!(
        say(&all, &request)
            .starts_with("401 the API key is not known | Bearer realm=\"shop\" | ApiKey")
    );
}

#[test]
fn claims_are_told_by_the_names_of_the_issuer_that_vouches_for_them_only() {
    let (ours, theirs) = (Signer::es256(), Signer::es256());
    let method = |signer: &Signer, header: &str| {
        jwt_method(|config| {
            config.keys = Keys::with(signer.key_set());
            config.headers = vec![(header.to_owned(), "role".to_owned())];
        })
    };
    let both = auth(vec![method(&ours, "x-staff-role"), method(&theirs, "x-partner-role")]);
    let claims = r#"{"sub":"eve","exp":1800000100,"role":"admin"}"#;
    let token = theirs.token(r#"{"alg":"ES256"}"#, claims);
    let request =
        View::any().with("authorization", format!("Bearer {token}")).with("x-staff-role", "admin");
    assert_eq!(say(&both, &request), "eve: -x-staff-role x-auth-subject=eve x-partner-role=admin");
}

#[test]
fn a_token_comes_from_where_it_is_configured_only_and_can_be_kept_back() {
    let good = token(r#"{"sub":"ann","exp":1800000100}"#);
    let cookie = auth(vec![jwt_method(|config| {
        config.source = Source::Cookie("session".to_owned());
        config.forward = false;
    })]);
    let told = "ann: x-auth-subject=ann";
    let request = View::any().with("cookie", format!("a=1; session={good}; b=2"));
    assert_eq!(say(&cookie, &request), format!("{told} cookie=a=1; b=2"));
    let request = View::any().with("cookie", format!("session={good}"));
    assert_eq!(say(&cookie, &request), format!("{told} -cookie"));
    let request = View::any().with("authorization", format!("Bearer {good}"));
    assert!(say(&cookie, &request).starts_with(MISSING));

    let field = auth(vec![jwt_method(|config| {
        config.source = Source::Header("x-token".to_owned());
        config.forward = false;
    })]);
    assert_eq!(say(&field, &View::any().with("x-token", &good)), format!("{told} -x-token"));
    assert_eq!(
        say(&field, &View::any().with("x-token", format!("Bearer {good}"))),
        format!("{told} -x-token")
    );

    let bearer = auth(vec![jwt_method(|config| config.forward = false)]);
    let request = View::any().with("authorization", format!("Bearer {good}"));
    assert_eq!(say(&bearer, &request), format!("{told} -authorization"));
}

#[test]
fn a_key_in_the_query_counts_only_where_it_may_and_is_taken_out() {
    let plain = auth(vec![keys_method(|_| ())]);
    assert!(say(&plain, &View::any().query("api_key=k1")).starts_with(MISSING));
    let open = auth(vec![keys_method(|config| config.query = Some("api_key".to_owned()))]);
    let told = "robot: x-auth-subject=robot -x-api-key";
    assert_eq!(say(&open, &View::any().query("a=1&api_key=k1&b")), format!("{told} ?a=1&b"));
    assert_eq!(say(&open, &View::any().query("api%5fkey=%6b1")), format!("{told} ?"));
    assert_eq!(say(&open, &View::any().with("x-api-key", "k1").query("a")), told);
    let kept = auth(vec![keys_method(|config| {
        config.query = Some("api_key".to_owned());
        config.forward = true;
    })]);
    assert_eq!(say(&kept, &View::any().query("api_key=k1")), "robot: x-auth-subject=robot");
}

#[test]
fn what_makes_no_sense_is_refused() {
    assert_eq!(Auth::new(vec![], "x", None).unwrap_err(), Error::None);
    assert_eq!(
        Auth::new(vec![basic_method(), basic_method()], "x", None).unwrap_err(),
        Error::Same("lists of users")
    );
    for realm in ["a\"b", "a\\b", "a\nb", "é"] {
        assert_eq!(
            Auth::new(vec![basic_method()], realm, None).unwrap_err(),
            Error::Realm,
            "{realm}"
        );
    }
    for field in ["", "Host", "host", "X-User", "content-length", "a b", "a:b", "transfer-encoding"]
    {
        let made = Auth::new(vec![basic_method()], "x", Some(field.to_owned()));
        assert_eq!(made.unwrap_err(), Error::Field(field.to_owned()));
    }
    let many = (0..=METHODS_MAX).map(|_| keys_method(|_| ())).collect();
    assert_eq!(Auth::new(many, "x", None).unwrap_err(), Error::TooMany);
}
