//! The gateway's keys and those of traffic: what they mean.

use super::{Folder, options};
use crate::*;
use base::ByteSize;
use logic::{breaker, outlier, retry::Statuses};
use policy::{
    auth::{jwt::Source, key::Algorithm},
    compress::Coding,
    redirect, rewrite,
};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HASH: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const BCRYPT: &str = "$2b$12$WApznUPhDubN0oeveSXHp.Nj6Hs8a0b1kTsf3eHbQ9lZ1u0yE3a6C";
const JWKS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"a",
    "x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}"#;
const CERT: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";

/// A folder with certificates and keys, and what is read of its file or told.
fn read(yaml: &str) -> (Folder, Result<Loaded, String>) {
    let folder = Folder::new(&[
        ("flotilla.yaml", yaml),
        ("api/app.py", super::PYTHON),
        ("web/app.py", super::PYTHON),
        ("jwks.json", JWKS),
        ("empty.json", "{}"),
        ("site.pem", CERT),
        ("site.key", KEY),
    ]);
    let secret = "0123456789abcdef0123456789abcdef";
    let loaded = folder.load("flotilla.yaml", &options(&[("SECRET", secret), ("HASH", HASH)]));
    (folder, loaded)
}

/// The gateway of a file without problems.
fn gateway(yaml: &str) -> Gateway {
    let services = "services: { api: {}, web: { port: 3000 } }\n";
    let (_folder, loaded) = read(&format!("{services}gateway:\n{yaml}"));
    let loaded = loaded.unwrap();
    assert_eq!(loaded.warnings, []);
    loaded.system.gateway
}

fn route<'a>(gateway: &'a Gateway, path: &str) -> &'a Route {
    let is_it = |route: &&Route| match &route.path {
        PathMatch::Prefix(own) | PathMatch::Exact(own) => own == path,
    };
    gateway.routes.iter().find(is_it).unwrap()
}

#[test]
fn what_the_gateway_says_is_for_all_routes_and_a_route_has_its_own_instead() {
    let gateway = gateway(
        "  auth:
    jwt: { jwks: jwks.json, issuer: https://id.example/, audience: [shop, web], scopes: shop, leeway: 5s,
      algorithms: ES256, claim_headers: { X-Org: org.id }, forward: false, cookie: token, require_expiry: false }
    api_keys: { keys: { partner: \"${HASH}\" }, header: X-Key }
    basic: { users: { ann: \"$2b$12$WApznUPhDubN0oeveSXHp.Nj6Hs8a0b1kTsf3eHbQ9lZ1u0yE3a6C\" } }
    subject_header: X-User
    default: jwt
  cors: { origins: https://shop.example, methods: [get], max_age: 1h }
  rate: [100/s per ip, 5/min]
  compress: true
  limits: { body: 1Mi }
  routes:
    /a: api
    /b: { to: api, auth: none, cors: off, rate: off, compress: false, body_max: 2Mi }
    /c: { to: api, auth: [api_keys, basic], rate: 1/s burst 9, compress: { algorithms: [br], min: 10, types: text/* } }
    /d: { to: api, auth: { api_keys: { keys: { own: \"${HASH}\" } } } }
",
    );
    let (a, b) = (route(&gateway, "/a"), route(&gateway, "/b"));
    let jwt = a.rules.auth.jwt.as_ref().unwrap();
    assert!(matches!(&jwt.keys, KeySource::File(path) if path.ends_with("jwks.json")));
    assert_eq!(jwt.algorithms, [Algorithm::Es256]);
    assert_eq!(
        (jwt.issuers.as_slice(), jwt.audiences.as_slice(), jwt.scopes.as_slice()),
        (
            &["https://id.example/".to_owned()][..],
            &["shop".to_owned(), "web".to_owned()][..],
            &["shop".to_owned()][..]
        )
    );
    assert_eq!(jwt.headers, [("x-org".to_owned(), "org.id".to_owned())]);
    assert_eq!(
        (jwt.leeway, jwt.forward, jwt.needs_expiry, &jwt.source),
        (5 * SECOND, false, false, &Source::Cookie("token".to_owned()))
    );
    assert_eq!((&a.rules.auth.api_keys, &a.rules.auth.basic), (&None, &None));
    assert_eq!(a.rules.auth.subject_header.as_deref(), Some("x-user"));
    let cors = a.rules.cors.as_ref().unwrap();
    assert_eq!((cors.methods.as_slice(), cors.max_age), (&["GET".to_owned()][..], 3_600 * SECOND));
    let limits: Vec<String> = a.rules.rate.limits.iter().map(ToString::to_string).collect();
    assert_eq!((limits.join(", ").as_str(), a.rules.rate.is_shared), ("100/s per ip, 5/min", true));
    assert_eq!(
        (a.compress.as_ref().unwrap().min_len, a.body_max),
        (1_024, Some(ByteSize(1 << 20)))
    );

    assert!(b.rules.auth.is_open());
    assert_eq!((&b.rules.cors, &b.compress, b.body_max), (&None, &None, Some(ByteSize(2 << 20))));
    assert_eq!(b.rules.rate, Rate::default());

    let c = route(&gateway, "/c");
    let keys = c.rules.auth.api_keys.as_ref().unwrap();
    assert_eq!(
        (keys.header.as_str(), keys.keys.as_slice()),
        ("x-key", &[("partner".to_owned(), Secret::new(HASH))][..])
    );
    let users = &c.rules.auth.basic.as_ref().unwrap().users;
    assert_eq!((users[0].0.as_str(), users[0].1.reveal()), ("ann", BCRYPT));
    assert!(c.rules.auth.jwt.is_none());
    assert_eq!((c.rules.rate.limits[0].burst, c.rules.rate.is_shared), (Some(9), false));
    let compress = c.compress.as_ref().unwrap();
    assert_eq!((compress.codings.as_slice(), compress.min_len), (&[Coding::Br][..], 10));

    let own = &route(&gateway, "/d").rules.auth;
    assert_eq!(own.api_keys.as_ref().unwrap().header, "x-api-key");
    assert_eq!((own.jwt.is_none(), &own.subject_header), (true, &None));
}

#[test]
fn secrets_are_not_shown() {
    let gateway = gateway(
        "  auth: { jwt: { secret: \"${SECRET}\" }, api_keys: { keys: { partner: \"${HASH}\" } } }
  routes: { /: api }
",
    );
    let jwt = gateway.routes[0].rules.auth.jwt.as_ref().unwrap();
    assert!(matches!(&jwt.keys, KeySource::Secret(secret) if secret.reveal().len() == 32));
    let shown = format!("{gateway:?}");
    assert!(!shown.contains("0123456789abcdef") && !shown.contains("9f86d08"), "{shown}");
}

#[test]
fn a_route_may_redirect_rewrite_change_headers_and_break_on_purpose() {
    let gateway = gateway(
        "  listen: 127.0.0.1:8443
  tls: { cert: site.pem, key: site.key }
  request_headers: { set: { X-Tenant: shop, X-From: gateway }, remove: [X-Debug] }
  response_headers: { add: { Link: '</a.css>' } }
  routes:
    /old: { redirect: 'https://new.example{path}' }
    /moved: { redirect: { prefix: /new, status: 301 } }
    /plain: { redirect: https }
    /v1: { to: api, rewrite: '/v2{rest}', fault: { delay: 1s, abort: 503, percent: 0.5%, header: X-Break } }
    /x: { to: api, rewrite: { prefix: /y, host: api.internal }, query: { v: 2, debug: }, strip: false,
          request_headers: { add: { X-From: route } }, allow: \"request.method == 'GET'\" }
",
    );
    let old = route(&gateway, "/old");
    let to = redirect::To::Template("https://new.example{path}".to_owned());
    let config = old.rules.redirect.clone().unwrap();
    assert_eq!((config.to, config.status, config.prefix.as_str()), (to, 308, "/old"));
    assert!(old.to.is_empty());
    let moved = route(&gateway, "/moved").rules.redirect.clone().unwrap();
    assert_eq!(moved.status, 301);
    let plain = route(&gateway, "/plain").rules.redirect.clone().unwrap();
    assert_eq!(
        plain,
        redirect::Config { prefix: "/plain".to_owned(), ..redirect::Config::https(Some(8443)) }
    );

    let v1 = &route(&gateway, "/v1").rules;
    let path = Some(redirect::PathChange::Full("/v2{rest}".to_owned()));
    assert_eq!(v1.rewrite, Some(rewrite::Config { path, host: None, prefix: "/v1".to_owned() }));
    let fault = v1.fault.as_ref().unwrap();
    assert_eq!(
        (fault.delay, fault.abort, fault.header.as_deref()),
        (Some(SECOND), Some(503), Some("X-Break"))
    );
    assert!((fault.percent - 0.5).abs() < 1e-9);
    assert_eq!(v1.edits.request.set.len(), 2);

    let x = route(&gateway, "/x");
    let query = |name: &str, value: Option<&str>| QueryMatch {
        name: name.to_owned(),
        value: value.map(str::to_owned),
    };
    assert_eq!(x.query, [query("debug", None), query("v", Some("2"))]);
    let edits = &x.rules.edits;
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(edits.request.set, [pair("X-Tenant", "shop")]);
    assert_eq!(edits.request.add, [pair("X-From", "route")]);
    assert_eq!(edits.request.remove, ["X-Debug"]);
    assert_eq!(edits.response.add, [pair("Link", "</a.css>")]);
    assert_eq!(x.rules.allow.as_deref(), Some("request.method == 'GET'"));
}

#[test]
fn certificates_limits_and_proxies_are_read() {
    let gateway = gateway(
        "  listen: 0.0.0.0:443
  tls: [{ cert: site.pem, key: site.key }, { cert: ./site.pem, key: site.key }]
  http_redirect: 0.0.0.0:80
  trusted_proxies: [10.0.0.0/8, 192.168.1.7, 'fd00::/8']
  access_log: logs/access.log
  limits: { head: 16Ki, headers: 50, body: 10Mi, connections: 1000, streams: 10, head_timeout: 2s, idle_timeout: 30s }
  timeout: { connect: 500ms, response: 5s, idle: 0, overall: 1m }
  retries: { max: 1, on: [502, 503], per_try: 1s }
  routes: { /: api, /b: { to: web, timeout: 7s, retries: 3, sticky: sid }, /c: { to: web, sticky: { max_age: 1h } } }
",
    );
    let Some(Tls::Files(pairs)) = &gateway.tls else { panic!("{:?}", gateway.tls) };
    assert!(pairs.len() == 2 && pairs[1].cert.is_absolute() && pairs[0].key.ends_with("site.key"));
    assert_eq!(gateway.http_redirect, Some("0.0.0.0:80".parse().unwrap()));
    let networks: Vec<String> =
        gateway.trusted_proxies.iter().map(|it| format!("{}/{}", it.address, it.bits)).collect();
    assert_eq!(networks, ["10.0.0.0/8", "192.168.1.7/32", "fd00::/8"]);
    assert!(gateway.access_log.as_ref().unwrap().ends_with("shop/logs/access.log"));
    assert_eq!(
        gateway.limits,
        ClientLimits {
            head: Some(ByteSize(16 << 10)),
            headers: Some(50),
            body: Some(ByteSize(10 << 20)),
            connections: Some(1_000),
            streams: Some(10),
            head_timeout: Some(2 * SECOND),
            idle_timeout: Some(30 * SECOND),
        }
    );
    assert_eq!(
        gateway.timeouts,
        Timeouts {
            connect: Some(SECOND / 2),
            response: Some(5 * SECOND),
            idle: Some(Duration::ZERO),
            overall: Some(60 * SECOND),
        }
    );
    let on = Statuses::of(&[502, 503]);
    assert_eq!(gateway.retries, Retries { max: Some(1), on, per_try: Some(SECOND) });
    let b = route(&gateway, "/b");
    assert_eq!((b.timeouts.response, b.retries.max), (Some(7 * SECOND), Some(3)));
    let named = Sticky::Cookie { name: Some("sid".to_owned()), max_age: None };
    assert_eq!(b.sticky, Some(named));
    let timed = Sticky::Cookie { name: None, max_age: Some(3_600 * SECOND) };
    assert_eq!(route(&gateway, "/c").sticky, Some(timed));
    assert_eq!(route(&gateway, "/").sticky, None);
}

#[test]
fn certificates_for_development_and_the_log_of_the_system_are_one_word() {
    let gateway = gateway("  tls: dev\n  access_log: true\n  routes: { /: api }\n");
    assert_eq!(gateway.tls, Some(Tls::Dev));
    assert!(gateway.access_log.unwrap().ends_with("shop/.flotilla/access.log"));
}

#[test]
fn traffic_has_defaults_and_each_part_can_be_set_or_switched_off() {
    let (_folder, loaded) = read(
        "services:
  api:
    timeout: 5s
    retries: 0
    traffic:
      max_requests: 100
      max_pending: 10
      max_connections: 64
      pending_timeout: 3s
      slow_start: 0
      sticky: true
      breaker: { on: server_errors, failures: 50%, min_requests: 5, open: 2s, open_max: 1m }
      outlier: { consecutive: 3, eject: 10s, eject_max: 1m, max_ejected: 30%, panic: 70% }
      shed: false
  web: {}
  bare: { run: x, traffic: { breaker: false, outlier: false } }
",
    );
    let system = loaded.unwrap().system;
    let traffic = |name: &str| {
        system.services.iter().find(|it| it.name.as_str() == name).unwrap().traffic.clone()
    };
    assert_eq!(traffic("web"), Traffic::default());
    assert_eq!((traffic("bare").breaker, traffic("bare").outlier), (None, None));
    let expected = Traffic {
        timeouts: Timeouts { response: Some(5 * SECOND), ..Timeouts::default() },
        retries: Retries { max: Some(0), ..Retries::default() },
        limits: breaker::Limits { concurrent_max: 100, pending_max: 10 },
        max_connections: Some(64),
        pending_timeout: 3 * SECOND,
        slow_start: Duration::ZERO,
        sticky: Sticky::Cookie { name: None, max_age: None },
        breaker: Some(breaker::Settings {
            failures: breaker::Failures::ServerErrors,
            failure_percent: 50,
            requests_min: 5,
            open_ms: 2_000,
            open_ms_max: 60_000,
        }),
        outlier: Some(outlier::Settings {
            consecutive: 3,
            eject_ms: 10_000,
            eject_ms_max: 60_000,
            ejected_percent_max: 30,
            panic_percent: 70,
        }),
        shed: false,
    };
    assert_eq!(traffic("api"), expected);
}

#[test]
fn a_fingerprint_does_not_follow_the_traffic() {
    let service = |keys: &str| {
        let (_folder, loaded) = read(&format!("services: {{ api: {{ dir: /, run: x{keys} }} }}\n"));
        fingerprint(&loaded.unwrap().system.services[0])
    };
    assert_eq!(service(""), service(", timeout: 3s, traffic: { shed: false }"));
}

#[test]
fn what_is_said_nearer_counts() {
    let near = Timeouts { response: Some(SECOND), ..Timeouts::default() };
    let far = Timeouts { response: Some(9 * SECOND), connect: Some(SECOND), ..Timeouts::default() };
    assert_eq!(near.over(far), Timeouts { connect: Some(SECOND), ..near });
}

/// The examples of the guide, each laid over services that they name.
#[test]
fn every_example_of_the_guide_is_a_good_file() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/gateway.md");
    let text = std::fs::read_to_string(page).unwrap();
    let examples: Vec<&str> = text
        .split("```yaml\n")
        .skip(1)
        .map(|rest| rest.split_once("```").map_or(rest, |(example, _)| example))
        .collect();
    assert!(examples.len() > 10);
    for example in examples {
        let services = if example.contains("services:") {
            ""
        } else {
            "services: { web: {}, users: {}, orders: {} }\n"
        };
        let folder = Folder::new(&[
            ("flotilla.yaml", &format!("{services}{example}")),
            ("web/app.py", super::PYTHON),
            ("users/app.py", super::PYTHON),
            ("orders/app.py", super::PYTHON),
            ("certs/site.pem", CERT),
            ("certs/site.key", KEY),
        ]);
        match folder.load("flotilla.yaml", &options(&[])) {
            Ok(loaded) => assert_eq!(folder.show(&loaded.warnings), "", "{example}"),
            Err(told) => panic!("{example}\n{told}"),
        }
    }
}
