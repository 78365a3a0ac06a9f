//! What services share: good files, and what they mean.

use super::{Folder, loaded, options, told};
use crate::{Coordination, KvEngine, SecretSource, Service, StateKind, System, fingerprint};
use expect_test::{Expect, expect};

/// Shows all stores, one a line.
pub(super) fn show(all: &Coordination) -> String {
    let mut text = match &all.kv {
        KvEngine::Embedded => String::new(),
        KvEngine::Etcd(etcd) => format!("{etcd:?}\n"),
    };
    let mut add = |line: String, scopes: &crate::Scopes, origin: &crate::Origin| {
        let names: Vec<&str> = scopes.0.iter().map(base::ServiceName::as_str).collect();
        let of = if names.is_empty() { String::new() } else { format!(" of {}", names.join("+")) };
        let place = origin.place.as_ref().map(|place| format!(" {}:{}", place.file, place.line));
        text.push_str(&format!("{line}{of} ({}{})\n", origin.kind, place.unwrap_or_default()));
    };
    for s in &all.state {
        let ttl = s.ttl.map(|ttl| format!(" ttl {ttl:?}")).unwrap_or_default();
        let kind = match s.kind {
            StateKind::Durable => "state".to_owned(),
            StateKind::Cache { max } => format!("cache {max}"),
        };
        add(format!("{kind} {} {:?}{ttl}", s.name, s.prefix), &s.scopes, &s.origin);
    }
    for s in &all.locks {
        add(format!("locks {} {:?}", s.name, s.prefix), &s.scopes, &s.origin);
    }
    for s in &all.configuration {
        add(format!("config {} {:?}", s.name, s.values), &s.scopes, &s.origin);
    }
    for s in &all.secrets {
        let sources: Vec<String> = s.sources.iter().map(|source| format!("{source:?}")).collect();
        add(format!("secrets {} {}", s.name, sources.join(", ")), &s.scopes, &s.origin);
    }
    for reference in &all.references {
        let place = reference.place.as_ref().map(|place| format!(" {}", place.line));
        text.push_str(&format!(
            "secret {} in {}{}\n",
            reference.name,
            reference.key,
            place.unwrap_or_default()
        ));
    }
    for endpoint in &all.endpoints {
        text.push_str(&format!("endpoint {} {}\n", endpoint.name, endpoint.url));
    }
    text
}

fn check(yaml: &str, expected: Expect) {
    let text = match loaded(yaml) {
        Ok((folder, loaded)) => {
            let root = folder.path().display().to_string();
            let text = show(&loaded.system.coordination) + &folder.show(&loaded.warnings);
            text.replace(&root, "")
        }
        Err(problems) => problems,
    };
    expected.assert_eq(&text);
}

fn system(yaml: &str) -> System {
    loaded(yaml).unwrap().1.system
}

fn api(yaml: &str) -> Service {
    system(yaml).services[0].clone()
}

#[test]
fn without_a_word_there_is_one_store_of_each_kind() {
    check(
        "services: { api: {} }",
        expect![[r#"
        state statestore Service (state.flotilla)
        locks lockstore Service (lock.flotilla)
        config configstore {} (configuration.flotilla)
        secrets secretstore Kv, Env(Listed({})) (secretstores.flotilla)
    "#]],
    );
}

#[test]
fn all_keys_of_stores_have_a_meaning() {
    check(
        "\
services: { api: {}, web: {} }
engines: { kv: embedded }
state:
  orders:
  sessions: { cache: true, max: 256MiB, ttl: 30m, prefix: none }
  carts: { cache: true, prefix: store, scopes: [web] }
  a: { prefix: namespace }
  b: { prefix: shop }
locks: { lockstore: {}, jobs: { prefix: none, scopes: [api, web] } }
config:
  configstore: { values: { checkout.limit: 10, open: yes, empty: } }
  other: {}
secrets: { env: [STRIPE_KEY], kv: false, scopes: [api] }
",
        expect![[r#"
            state orders Service (state.flotilla /flotilla.yaml:4)
            cache 256MiB sessions None ttl 1800s (state.flotilla /flotilla.yaml:5)
            cache 64MiB carts Store of web (state.flotilla /flotilla.yaml:6)
            state a Namespace (state.flotilla /flotilla.yaml:7)
            state b Literal("shop") (state.flotilla /flotilla.yaml:8)
            locks lockstore Service (lock.flotilla /flotilla.yaml:9)
            locks jobs None of api+web (lock.flotilla /flotilla.yaml:9)
            config configstore {"checkout.limit": "10", "empty": "", "open": "yes"} (configuration.flotilla /flotilla.yaml:11)
            config other {} (configuration.flotilla /flotilla.yaml:12)
            secrets secretstore Env(Listed({"STRIPE_KEY"})) of api (secretstores.flotilla /flotilla.yaml:13)
        "#]],
    );
}

#[test]
fn no_stores_can_be_asked_for() {
    check(
        "services: { api: {} }\nstate: {}\nlocks: []\nconfig: {}\nsecrets: { env: true }\n",
        expect![[r#"
            secrets secretstore Kv, Env(All) (secretstores.flotilla /flotilla.yaml:5)
        "#]],
    );
}

#[test]
fn a_cluster_is_named_short_or_in_full() {
    check(
        "services: { api: {} }\nengines: { kv: 'etcd://a,b:1' }\n",
        expect![[r#"
        Etcd { endpoints: ["a:2379", "b:1"], tls: false, user: None, ca: None, certificate: None, prefix: "" }
        state statestore Service (state.flotilla)
        locks lockstore Service (lock.flotilla)
        config configstore {} (configuration.flotilla)
        secrets secretstore Kv, Env(Listed({})) (secretstores.flotilla)
    "#]],
    );
    let folder = Folder::new(&[
        (
            "flotilla.yaml",
            "services: { api: { run: x } }
engines:
  kv: { url: 'etcds://a', user: shop, password: '${secret:PW}', ca: ca.pem, cert: c.pem, key: k.pem, prefix: team/ }
secrets: { file: [s.json, .secrets], env: { prefix: SHOP_ } }
",
        ),
        ("ca.pem", ""),
        ("c.pem", ""),
        ("k.pem", ""),
        ("s.json", "{}"),
        (".secrets", ""),
    ]);
    let loaded = folder.load("flotilla.yaml", &options(&[])).unwrap();
    let text = show(&loaded.system.coordination);
    expect![[r#"
        Etcd { endpoints: ["a:2379"], tls: true, user: Some(("shop", Secret(…))), ca: Some("/ca.pem"), certificate: Some(("/c.pem", "/k.pem")), prefix: "team/" }
        state statestore Service (state.flotilla)
        locks lockstore Service (lock.flotilla)
        config configstore {} (configuration.flotilla)
        secrets secretstore Kv, File { path: "/s.json", format: Json { separator: ":" } }, File { path: "/.secrets", format: Lines }, Env(Prefix("SHOP_")) (secretstores.flotilla /flotilla.yaml:4)
        secret PW in `engines.kv` 3
    "#]].assert_eq(&text.replace(&folder.path().display().to_string(), ""));
}

#[test]
fn an_environment_says_it_differently() {
    let yaml = "\
services: { api: { api: { token: a } } }
engines: { kv: embedded }
state: { orders: { ttl: 1h }, carts: { cache: true } }
environments:
  prod:
    engines: { kv: 'etcd://a' }
    state: { carts: { max: 1Gi } }
    locks: [jobs]
    secrets: { env: true }
    services: { api: { api: { token: '${secret:T}' } } }
";
    let folder = Folder::new(&[("flotilla.yaml", yaml), ("api/app.py", "")]);
    let options = crate::Options { environment: Some("prod".to_owned()), ..options(&[]) };
    let loaded = folder.load("flotilla.yaml", &options).unwrap();
    expect![[r#"
        Etcd { endpoints: ["a:2379"], tls: false, user: None, ca: None, certificate: None, prefix: "" }
        state orders Service ttl 3600s (state.flotilla /flotilla.yaml:3)
        cache 1GiB carts Service (state.flotilla /flotilla.yaml:7)
        locks jobs Service (lock.flotilla /flotilla.yaml:8)
        config configstore {} (configuration.flotilla)
        secrets secretstore Kv, Env(All) (secretstores.flotilla /flotilla.yaml:9)
        secret T in `api.token` of service `api` 10
    "#]].assert_eq(&show(&loaded.system.coordination).replace(&folder.path().display().to_string(), ""));
}

#[test]
fn secrets_stay_references_where_they_may_stand() {
    let yaml = "\
services:
  api:
    env: { KEY: '${secret:KEY}', URL: 'x:${SET}@${secret:db/pw}', SET: }
    db: 'postgres://u:${secret:KEY}@h/d'
    api: { token: '${secret:T}', app_token: '${secret:A}' }
  web: { env: [\"LIST=${secret:L}\"] }
";
    check(
        yaml,
        expect![[r#"
        state statestore Service (state.flotilla)
        locks lockstore Service (lock.flotilla)
        config configstore {} (configuration.flotilla)
        secrets secretstore Kv, Env(Listed({"A", "KEY", "L", "T", "db/pw"})) (secretstores.flotilla)
        secret KEY in `env.KEY` of service `api` 3
        secret db/pw in `env.URL` of service `api` 3
        secret KEY in `db` of service `api` 4
        secret T in `api.token` of service `api` 5
        secret A in `api.app_token` of service `api` 5
        secret L in `env.LIST` of service `web` 6
    "#]],
    );
    let service = api(yaml);
    assert_eq!(service.env["URL"], "x:value@${secret:db/pw}");
    assert_eq!(service.api.token.unwrap().reveal(), "${secret:T}");
}

#[test]
fn a_fingerprint_is_of_the_reference_and_changes_with_it() {
    let of = |yaml: &str| {
        let mut all = fingerprint(&api(yaml));
        // Each test has a folder of its own.
        all.remove("dir");
        all
    };
    let one = of("services: { api: { env: { K: '${secret:A}' }, api: { token: '${secret:A}' } } }");
    let same =
        of("services: { api: { env: { K: '${secret:A}' }, api: { token: '${secret:A}' } } }");
    let other =
        of("services: { api: { env: { K: '${secret:B}' }, api: { token: '${secret:B}' } } }");
    assert_eq!(one, same);
    assert_eq!(crate::differences(&one, &other), ["api.token changed", "env K changed"]);
    let bare = of("services: { api: { env: { K: '${secret:A}' } } }");
    assert_eq!(crate::differences(&bare, &one), ["api.token added"]);
}

#[test]
fn the_app_api_of_a_service_is_as_the_file_says() {
    let service = api(
        "services: { api: { api: { http_port: 3500, grpc_port: 50001, protocol: h2c, app_id: My_Api, body_max: 16Mi, secrets: [A] } } }",
    );
    expect![[r#"
        AppApi {
            app_id: "My_Api",
            http_port: Some(
                3500,
            ),
            grpc_port: Some(
                50001,
            ),
            protocol: H2c,
            token: None,
            app_token: None,
            body_max: ByteSize(
                16777216,
            ),
            secrets: {
                "secretstore": SecretRule {
                    by_default: false,
                    allowed: {
                        "A",
                    },
                    denied: {},
                },
            },
        }
    "#]]
    .assert_debug_eq(&service.api);
    let plain = api("services: { api: {} }");
    assert_eq!(plain.api, crate::AppApi::new("api"));
    let none = api("services: { api: { api: { secrets: [] } } }");
    assert!(!none.api.secrets["secretstore"].allows("ANY"));
}

#[test]
fn a_service_says_what_a_changed_configuration_causes() {
    let uses = |yaml: &str| format!("{:?}", api(yaml).config.unwrap());
    expect![[r#"ConfigUse { store: "configstore", keys: ["a", "b.*"], on_change: Restart }"#]]
        .assert_eq(&uses("services: { api: { config: [a, 'b.*'] } }"));
    expect![[r#"ConfigUse { store: "two", keys: ["*"], on_change: Signal(Hup) }"#]].assert_eq(&uses(
        "config: { one: {}, two: {} }\nservices: { api: { config: { store: two, keys: ['*'], on_change: sighup } } }",
    ));
    let config = api("services: { api: { config: [a, 'b.*'] } }").config.unwrap();
    for (key, expected) in [("a", true), ("ab", false), ("b.", true), ("b.c", true), ("b", false)] {
        assert_eq!(config.uses(key), expected, "{key}");
    }
}

#[test]
fn a_service_may_be_started_by_somebody_else() {
    let external = |yaml: &str| {
        let service = api(yaml);
        format!("{:?} {:?} listens {}", service.program, service.port, service.listens)
    };
    for (yaml, expected) in [
        (
            "external: 127.0.0.1:3000",
            "External(External { address: Some(127.0.0.1:3000) }) None listens true",
        ),
        (
            "external: 3000",
            "External(External { address: Some(127.0.0.1:3000) }) None listens true",
        ),
        (
            "external: true, port: 3000",
            "External(External { address: Some(127.0.0.1:3000) }) Some(3000) listens true",
        ),
        (
            "external: true, listen: false",
            "External(External { address: None }) None listens false",
        ),
    ] {
        assert_eq!(external(&format!("services: {{ nowhere: {{ {yaml} }} }}")), expected);
    }
    let yaml = "\
services: { api: { run: x, env: { A: b }, stop: { grace: 1s }, needs: [web] }, web: {} }
environments: { debug: { services: { api: { external: 3000 } } } }
";
    let folder = Folder::new(&[("flotilla.yaml", yaml), ("web/app.py", "")]);
    let options = crate::Options { environment: Some("debug".to_owned()), ..options(&[]) };
    let loaded = folder.load("flotilla.yaml", &options).unwrap();
    assert!(matches!(loaded.system.services[0].program, crate::Program::External(_)));
    assert_eq!(loaded.system.services[0].needs.len(), 1);
}

#[test]
fn rules_for_secrets_and_scopes_are_as_they_say() {
    let rule = |by_default, allowed: &[&str], denied: &[&str]| crate::SecretRule {
        by_default,
        allowed: allowed.iter().map(|name| (*name).to_owned()).collect(),
        denied: denied.iter().map(|name| (*name).to_owned()).collect(),
    };
    for (rule, name, expected) in [
        (rule(true, &[], &[]), "a", true),
        (rule(false, &[], &[]), "a", false),
        (rule(true, &["b"], &[]), "a", false),
        (rule(false, &["a"], &["a"]), "a", true),
        (rule(true, &[], &["a"]), "a", false),
        (rule(true, &[], &["a"]), "b", true),
    ] {
        assert_eq!(rule.allows(name), expected, "{rule:?} {name}");
    }
    let scopes = &system("services: { api: {}, web: {} }\nstate: { a: { scopes: [web] }, b: {} }")
        .coordination
        .state;
    let name = |text| base::ServiceName::new(text).unwrap();
    let seen = |at: usize| {
        (scopes[at].scopes.allows(&name("api")), scopes[at].scopes.allows(&name("web")))
    };
    assert_eq!((seen(0), seen(1)), ((false, true), (true, true)));
}

#[test]
fn secrets_are_not_shown_by_debug() {
    let system = system(
        "services: { api: { api: { token: hunter2, app_token: hunter2 } } }\nengines: { kv: 'etcd://u:hunter2@a' }\n",
    );
    assert!(!format!("{system:?}").replace("api.token", "").contains("hunter2\")"));
    assert!(!format!("{:?}", system.coordination.kv).contains("hunter2"));
    assert!(!format!("{:?}", system.services[0].api).contains("hunter2"));
    assert!(matches!(system.coordination.secrets[0].sources[0], SecretSource::Kv));
    assert_eq!(told("services: { api: {} }"), "");
}
