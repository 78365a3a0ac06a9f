use super::*;
use crate::{
    Edit,
    auth::{
        Method,
        basic::{self, Basic},
        jwks::Keys,
        jwt::{self, Jwt},
        keys::{self, ApiKeys},
        testing::Signer,
    },
    cors, edits, rate, redirect, rewrite,
    testing::{View, at},
};

fn auth(methods: Vec<Method>) -> Option<Auth> {
    Some(Auth::new(methods, "shop", None).unwrap())
}

fn tokens() -> Method {
    let keys = Keys::with(Signer::hmac().key_set());
    Method::Jwt(Jwt::new(jwt::Config { keys, ..jwt::Config::default() }))
}

fn keys(query: Option<&str>) -> Method {
    let keys = vec![("robot".to_owned(), keys::hash("k1"))];
    let query = query.map(str::to_owned);
    Method::Keys(ApiKeys::new(keys::Config { keys, query, ..keys::Config::default() }).unwrap())
}

fn bearer(claims: &str) -> String {
    format!("Bearer {}", Signer::hmac().token(r#"{"alg":"HS256"}"#, claims))
}

fn open_to(origin: &str) -> Option<Cors> {
    let config = cors::Config { origins: vec![origin.to_owned()], ..cors::Config::default() };
    Some(Cors::new(config).unwrap())
}

fn limit(text: &str) -> Option<Limits> {
    Some(Limits::new(&[rate::parse(text).unwrap()], 7, &[]).unwrap())
}

/// The status of the answer, or who passes.
fn say(policy: &Policy, request: &View) -> String {
    match policy.admit(request, at(0)) {
        Verdict::Pass(effects) => format!("passes {}", effects.subject.unwrap_or_default()),
        Verdict::Reply(reply) => format!("{} {}", reply.status, reply.code),
        Verdict::Wait(_) => "waits".to_owned(),
    }
}

#[test]
fn an_empty_policy_changes_nothing() {
    let policy = Policy::default();
    assert!(policy.is_empty());
    assert_eq!(policy.admit(&View::any(), at(0)), Verdict::Pass(Effects::default()));
    let policy = Policy::new(Parts { body_max: Some(1), ..Parts::default() });
    assert!(policy.is_empty());
    assert_eq!(policy.body_max(), Some(1));
}

#[test]
fn a_policy_is_shared_between_threads() {
    fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<Policy>();
    is_shared::<Pending>();
}

#[test]
fn the_examples_of_the_design_work() {
    let policy = Policy::new(Parts {
        auth: auth(vec![tokens()]),
        allow: Some(Allow::new("claims.scope.contains('orders')").unwrap()),
        ..Parts::default()
    });
    let with = |claims| View::any().with("authorization", bearer(claims));
    assert_eq!(say(&policy, &View::any()), "401 unauthorized");
    assert_eq!(
        say(&policy, &with(r#"{"exp":1800000100,"sub":"ann","scope":"orders"}"#)),
        "passes ann"
    );
    assert_eq!(
        say(&policy, &with(r#"{"exp":1800000100,"sub":"ann","scope":"items"}"#)),
        "403 forbidden"
    );
    assert_eq!(say(&policy, &with(r#"{"exp":1800000100,"sub":"ann"}"#)), "403 forbidden");
    assert_eq!((policy.allow().unwrap().denied(), policy.allow().unwrap().failed()), (1, 1));
}

#[test]
fn floods_are_turned_away_before_anything_is_verified_and_redirects_before_all() {
    let policy =
        || Parts { rates: limit("1/min per ip"), auth: auth(vec![keys(None)]), ..Parts::default() };
    let limited = Policy::new(policy());
    assert_eq!(say(&limited, &View::any()), "401 unauthorized");
    assert_eq!(say(&limited, &View::any().with("x-api-key", "k1")), "429 rate_limited");
    let moved = Policy::new(Parts {
        redirect: Some(Redirect::new(redirect::Config::https(None)).unwrap()),
        ..policy()
    });
    assert_eq!(say(&moved, &View::any()), "308 ");
    assert_eq!(say(&moved, &View::any()), "308 ");
}

#[test]
fn a_limit_per_key_counts_each_owner_apart() {
    let policy = Policy::new(Parts {
        rates: limit("1/min per key"),
        auth: auth(vec![keys(None), tokens()]),
        ..Parts::default()
    });
    let robot = View::any().with("x-api-key", "k1");
    let ann = View::any().with("authorization", bearer(r#"{"exp":1800000100,"sub":"ann"}"#));
    assert_eq!(say(&policy, &robot), "passes robot");
    assert_eq!(say(&policy, &robot), "429 rate_limited");
    assert_eq!(say(&policy, &ann), "passes ann");
    assert_eq!(say(&policy, &View::any()), "401 unauthorized", "strangers are not counted");
}

#[test]
fn a_preflight_needs_no_credentials_and_a_refusal_can_be_read_by_the_page() {
    let policy = Policy::new(Parts {
        cors: open_to("https://shop.example"),
        auth: auth(vec![tokens()]),
        ..Parts::default()
    });
    let page = View::any().with("origin", "https://shop.example");
    let preflight = page.clone().method("OPTIONS").with("access-control-request-method", "GET");
    assert_eq!(say(&policy, &preflight), "204 ");
    let Verdict::Reply(reply) = policy.admit(&page, at(0)) else { panic!("not answered") };
    let field = |name: &str| {
        reply.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_ref())
    };
    assert_eq!(reply.status, 401);
    assert_eq!(field("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(field("www-authenticate"), Some("Bearer realm=\"shop\""));
}

#[test]
fn a_password_is_hashed_elsewhere_and_the_request_goes_on() {
    let users = vec![("ann".to_owned(), basic::hash("secret", 10, [1; 16]).unwrap())];
    let basic = Basic::new(basic::Config { users, ..basic::Config::default() }).unwrap();
    let policy = Policy::new(Parts {
        rates: limit("2/min per ip"),
        auth: auth(vec![Method::Basic(basic)]),
        ..Parts::default()
    });
    let right = View::any().with("authorization", "Basic YW5uOnNlY3JldA==");
    let wrong = View::any().with("authorization", "Basic YW5uOndyb25n");
    let Verdict::Wait(pending) = policy.admit(&wrong, at(0)) else { panic!("does not wait") };
    pending.run();
    let Verdict::Reply(reply) = policy.resume(&pending, &wrong, at(0)) else { panic!("passes") };
    assert_eq!(reply.status, 401);

    let Verdict::Wait(pending) = policy.admit(&right, at(0)) else { panic!("does not wait") };
    let Verdict::Reply(reply) = policy.resume(&pending, &right, at(0)) else {
        panic!("passes unchecked")
    };
    assert_eq!(reply.status, 401);
    pending.run();
    let Verdict::Pass(effects) = policy.resume(&pending, &right, at(0)) else {
        panic!("is refused")
    };
    assert_eq!(effects.subject.as_deref(), Some("ann"));
    let remaining = Edit::Set("ratelimit-remaining".into(), "0".into());
    assert!(effects.response.contains(&remaining), "counted once: {effects:?}");
    assert_eq!(say(&policy, &right), "429 rate_limited", "the third of two a minute");
}

#[test]
fn a_key_in_the_query_is_hidden_from_the_service_also_when_the_path_is_rewritten() {
    let parts = || Parts { auth: auth(vec![keys(Some("key"))]), ..Parts::default() };
    let request = View::any().query("a=1&key=k1");
    let passed = |parts: Parts| match Policy::new(parts).admit(&request, at(0)) {
        Verdict::Pass(effects) => (effects.path, effects.query),
        other => panic!("{other:?}"),
    };
    assert_eq!(passed(parts()), (None, Some("a=1".to_owned())));
    let path = Some(redirect::PathChange::Full("/new{path}?{query}&b".to_owned()));
    let rewrite =
        Rewrite::new(rewrite::Config { path, host: None, prefix: "/".to_owned() }).unwrap();
    let (path, _) = passed(Parts { rewrite: Some(rewrite), ..parts() });
    assert_eq!(path.as_deref(), Some("/new/api/items?a=1&b"));
}

#[test]
fn edits_know_who_it_is_and_come_after_what_tells_it() {
    let change = edits::Changes {
        set: vec![("x-who".to_owned(), "{subject}!".to_owned())],
        ..edits::Changes::default()
    };
    let edits = Edits::new(edits::Config { request: change, ..edits::Config::default() }).unwrap();
    let policy =
        Policy::new(Parts { auth: auth(vec![keys(None)]), edits: Some(edits), ..Parts::default() });
    let Verdict::Pass(effects) = policy.admit(&View::any().with("x-api-key", "k1"), at(0)) else {
        panic!("refused")
    };
    assert_eq!(
        effects.request,
        [Edit::Remove("x-api-key".into()), Edit::Set("x-who".into(), "robot!".into())]
    );
    assert_eq!(effects.subject.as_deref(), Some("robot"));
}

#[test]
fn a_route_for_everybody_lets_nobody_say_who_they_are() {
    let open = Policy::new(Parts { reserved: vec!["x-user".to_owned()], ..Parts::default() });
    let request = View::any()
        .with("x-user", "root")
        .with("X_User", "root")
        .with("x-user", "ann")
        .with("x-users", "7");
    let Verdict::Pass(effects) = open.admit(&request, at(0)) else { panic!("refused") };
    assert_eq!(effects.request, [Edit::Remove("x-user".into()), Edit::Remove("x_user".into())]);
    assert_eq!(open.admit(&View::any(), at(0)), Verdict::Pass(Effects::default()));
}
