use super::{Limits, Policies, Policy, Secrets};
use crate::jwks::Keyring;
use base::{Moment, Timestamp};
use logic::route::{Path, Rule};
use manifest::{Options, PathMatch, Route, System};
use policy::{Now, Request, Verdict};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

const SECRETS: Secrets = Secrets { rates: 7, passwords: [7; 32] };
const HASH: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// The system of a file with this gateway.
fn system(gateway: &str) -> System {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flotilla.yaml");
    let services = "services: { api: { dir: /, run: x } }";
    fs::write(&file, format!("{services}\ngateway:\n{}", gateway.replace("HASH", HASH))).unwrap();
    let loaded = manifest::load(&file, &Options::default());
    loaded.unwrap_or_else(|problems| panic!("{}", problems[0].render(false))).system
}

fn rule(route: &Route) -> Rule {
    let (PathMatch::Prefix(path) | PathMatch::Exact(path)) = &route.path;
    let path = Path::Prefix(path.clone());
    Rule { host: None, path, methods: vec![], headers: vec![], query: vec![] }
}

fn renewed(old: &Policies, gateway: &str) -> Policies {
    let system = system(gateway);
    let rules: Vec<_> = system.gateway.routes.iter().map(|route| (rule(route), route)).collect();
    let keyring = Keyring::default().prepare(&system).unwrap();
    old.renewed(&rules, &system, &keyring, SECRETS).unwrap()
}

fn is_same(one: Option<Arc<Policy>>, other: Option<Arc<Policy>>) -> bool {
    Arc::ptr_eq(&one.unwrap(), &other.unwrap())
}

fn limits(policies: &Policies, at: usize) -> Vec<String> {
    let policy = policies.get(at).unwrap();
    policy
        .rates()
        .map(Limits::limits)
        .unwrap_or_default()
        .iter()
        .map(|it| it.spec().to_string())
        .collect()
}

#[test]
fn a_route_that_asks_nothing_has_no_policy() {
    let policies =
        renewed(&Policies::default(), "  routes: { /a: api, /b: { to: api, rate: 1/s } }\n");
    assert!(policies.get(0).is_none());
    assert!(policies.get(1).is_some());
    assert!(policies.get(2).is_none());
}

#[test]
fn what_did_not_change_is_kept_wherever_it_stands_in_the_file() {
    let before = renewed(
        &Policies::default(),
        "  routes: { /a: { to: api, rate: 1/s }, /b: { to: api, rate: 2/s } }\n",
    );
    let after = renewed(
        &before,
        "\n\n  routes:\n    /new: { to: api, rate: 3/s }\n    /b: { to: api, rate: 5/s }\n    /a: { to: api, rate: 1/s }\n",
    );
    assert!(is_same(before.get(0), after.get(2)));
    assert!(!is_same(before.get(1), after.get(1)));
    assert_eq!(
        (limits(&after, 0), limits(&after, 1)),
        (vec!["3/s".to_owned()], vec!["5/s".to_owned()])
    );
}

#[test]
fn routes_that_ask_the_same_share_a_policy_unless_it_counts() {
    let policies = renewed(
        &Policies::default(),
        "  auth: { api_keys: { keys: { a: \"HASH\" } } }
  routes: { /a: api, /b: api, /c: { to: api, rate: 1/s }, /d: { to: api, rate: 1/s } }\n",
    );
    assert!(is_same(policies.get(0), policies.get(1)));
    assert!(!is_same(policies.get(2), policies.get(3)));
}

/// A plain request.
struct Get;

impl Request for Get {
    fn method(&self) -> &str {
        "GET"
    }
    fn scheme(&self) -> &str {
        "http"
    }
    fn host(&self) -> &str {
        "shop.example"
    }
    fn path(&self) -> &str {
        "/"
    }
    fn raw_path(&self) -> &str {
        "/"
    }
    fn query(&self) -> Option<&str> {
        None
    }
    fn client(&self) -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }
    fn each(&self, _: &str, _: &mut dyn FnMut(&[u8]) -> bool) {}
    fn all(&self, _: &mut dyn FnMut(&str, &[u8])) {}
}

fn passes(policies: &Policies, at: usize) -> bool {
    let now = Now { moment: Moment::START, timestamp: Timestamp(0), random: 0 };
    matches!(policies.get(at).unwrap().admit(&Get, now), Verdict::Pass(_))
}

#[test]
fn the_gateways_own_limits_are_shared_and_outlive_other_changes() {
    let file = |first: &str| format!("  rate: 2/h\n  routes: {{ /a: {first}, /b: api }}\n");
    let before = renewed(&Policies::default(), &file("api"));
    assert!(passes(&before, 0) && passes(&before, 1));
    assert!(!passes(&before, 0) && !passes(&before, 1));
    let after = renewed(&before, &file("{ to: api, body_max: 1Mi }"));
    assert!(!is_same(before.get(0), after.get(0)));
    assert!(!passes(&after, 0) && !passes(&after, 1));
    let other = renewed(&after, "  rate: 3/h\n  routes: { /a: api }\n");
    assert!(passes(&other, 0));
}

#[test]
fn a_routes_own_limits_outlive_other_changes_of_it() {
    let file = |more: &str| format!("  routes: {{ /a: {{ to: api, rate: 1/h{more} }} }}\n");
    let before = renewed(&Policies::default(), &file(""));
    assert!(passes(&before, 0) && !passes(&before, 0));
    let after = renewed(&before, &file(", compress: true"));
    assert!(!is_same(before.get(0), after.get(0)));
    assert!(!passes(&after, 0));
}

#[test]
fn a_header_that_tells_who_it_is_is_taken_from_clients_on_every_route() {
    let one = "  routes: { /a: api, /b: { to: api, auth: { api_keys: { keys: { a: \"HASH\" } }, subject_header: X-User } } }\n";
    let policies = renewed(&Policies::default(), one);
    // Also where nobody has to say who they are: the service cannot tell the routes apart.
    assert!(policies.get(0).is_some());
    let without = renewed(&policies, "  routes: { /a: api }\n");
    assert!(without.get(0).is_none());
}
