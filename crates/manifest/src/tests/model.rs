//! What a good file means.
#![expect(clippy::too_many_lines, reason = "one file is looked at from all sides")]

use super::{Folder, PYTHON, loaded, options};
use crate::*;
use base::ByteSize;
use logic::balance::Algorithm;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn service<'a>(system: &'a System, name: &str) -> &'a Service {
    system.services.iter().find(|service| service.name.as_str() == name).unwrap()
}

/// The system of a file with the service `api` that has these keys.
fn api(keys: &str) -> Service {
    let (_folder, loaded) =
        loaded(&format!("services: {{ api: {{ {keys} }}, web: {{}} }}\n")).unwrap();
    assert_eq!(loaded.warnings, []);
    service(&loaded.system, "api").clone()
}

#[test]
fn a_file_like_the_designs_shop_is_read_whole() {
    let folder = Folder::new(&[
        ("flotilla.yaml", include_str!("shop.yaml")),
        ("users/Cargo.toml", "[package]\nname = \"users\"\n"),
        ("users/src/main.rs", "fn main() {}\n"),
        ("items/", ""),
        ("orders/server.js", ""),
        ("orders/package.json", "{ \"scripts\": { \"start\": \"node server.js\" } }"),
        ("seed/", ""),
    ]);
    let loaded = folder.load("flotilla.yaml", &options(&[])).unwrap();
    assert_eq!(loaded.warnings, []);
    let system = loaded.system;
    assert_eq!((system.name.as_str(), system.root.as_path()), ("shop", folder.path()));
    let names: Vec<&str> = system.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["users", "items", "orders", "mailer", "seed", "report"]);

    let users = service(&system, "users");
    let binary = folder.path().join("users/target/release/users").display().to_string();
    assert_eq!(users.program, Program::Exec(vec![binary]));
    assert_eq!(users.build.as_deref(), Some("cargo build --release --bin users"));
    assert_eq!(
        (users.language.as_str(), users.instances, &users.db),
        ("rust", 3, &Some(Database::Sqlite))
    );
    assert_eq!(users.balance.algorithm, Algorithm::P2c);

    let items = service(&system, "items");
    assert_eq!(items.program, Program::Shell("./items --port $PORT".to_owned()));
    assert_eq!(items.needs, [Need { service: users.name.clone(), condition: Condition::Ready }]);
    assert_eq!(items.balance.algorithm, Algorithm::LeastConnections);

    let orders = service(&system, "orders");
    assert_eq!(orders.program, Program::Shell("node server.js".to_owned()));
    assert_eq!(
        orders.limits,
        Limits { cpu: Some(1.0), memory: Some(ByteSize(512 << 20)), pids: None }
    );
    assert_eq!(
        (orders.stop.drain, orders.stop.grace, orders.stop.signal),
        (5 * SECOND, 20 * SECOND, StopSignal::Int)
    );
    let live = orders.probes.live.as_ref().unwrap();
    assert_eq!(
        live.check,
        Check::Http { path: "/live".to_owned(), port: None, headers: Vec::new() }
    );
    let place = orders.place("health.ready").unwrap();
    assert_eq!((place.line, place.column, place.length), (17, 22, 6));
    assert_eq!(orders.place("health.nothing").unwrap().line, 17);
    assert_eq!(orders.place("run").unwrap().line, 14);

    let mailer = service(&system, "mailer");
    let Program::Container(container) = &mailer.program else { panic!("{:?}", mailer.program) };
    assert_eq!(container.image, "acme/mailer:1.4.2");
    assert_eq!(
        container.volumes,
        [format!("{}/mail:/var/mail:ro", folder.path().display()), "spool:/spool".to_owned()]
    );
    assert_eq!((container.publish.as_slice(), mailer.port), ([(2525, 25)].as_slice(), Some(8000)));

    let seed = service(&system, "seed");
    assert_eq!(
        (&seed.kind, seed.restart.policy, seed.listens),
        (&Kind::Job, RestartPolicy::OnFailure, false)
    );
    assert_eq!(seed.probes, Probes::default());
    assert_eq!(service(&system, "report").kind, Kind::Cron("0 3 * * MON".to_owned()));
    assert_eq!(orders.needs.last().unwrap().condition, Condition::Completed);

    assert_eq!(system.gateway.listen, Some("127.0.0.1:9080".parse().unwrap()));
    assert_eq!(system.admin, "127.0.0.1:8081".parse().unwrap());
    let routes: Vec<String> = system.gateway.routes.iter().map(show).collect();
    assert_eq!(
        routes,
        [
            "/api/users → users×1",
            "= /health → users×1",
            "GET,HEAD /api/orders → orders×1 [timeout 5s, retries 0, strip]",
            "*.example.com/beta {x-beta: 1} → users×90 items×10",
            "/ → items×1",
        ]
    );
}

fn show(route: &Route) -> String {
    let mut text = String::new();
    if !route.methods.is_empty() {
        text.push_str(&format!("{} ", route.methods.join(",")));
    }
    if let PathMatch::Exact(_) = route.path {
        text.push_str("= ");
    }
    text.push_str(route.host.as_deref().unwrap_or_default());
    let (PathMatch::Exact(path) | PathMatch::Prefix(path)) = &route.path;
    text.push_str(path);
    for header in &route.headers {
        text.push_str(&format!(" {{{}: {}}}", header.name, header.value.as_deref().unwrap_or("*")));
    }
    text.push_str(" →");
    for target in &route.to {
        text.push_str(&format!(" {}×{}", target.service, target.weight));
    }
    if let (Some(timeout), Some(retries)) = (route.timeouts.response, route.retries.max) {
        text.push_str(&format!(
            " [timeout {timeout:?}, retries {retries}, {}]",
            if route.strip { "strip" } else { "keep" }
        ));
    }
    text
}

#[test]
fn routes_may_be_a_list_for_several_on_one_path() {
    let yaml = "\
services: { api: {}, web: {} }
gateway:
  routes:
    - { path: GET /a, to: api }
    - { path: /a, methods: [post, PUT], headers: { X-B: }, to: web }
    - { path: '= example.com/a', to: web }
";
    let (_folder, loaded) = loaded(yaml).unwrap();
    let routes: Vec<String> = loaded.system.gateway.routes.iter().map(show).collect();
    assert_eq!(
        routes,
        ["GET /a → api×1", "POST,PUT /a {x-b: *} → web×1", "= example.com/a → web×1"]
    );
}

#[test]
fn without_health_a_port_is_asked_and_a_worker_is_not() {
    let probes = api("").probes;
    let ready = probes.ready.unwrap();
    assert_eq!(
        (ready.check.clone(), ready.period, ready.failures),
        (Check::Tcp { port: None }, 10 * SECOND, 3)
    );
    let startup = probes.startup.unwrap();
    assert_eq!((startup.check, startup.period, startup.failures), (ready.check, SECOND / 5, 150));
    assert_eq!(probes.live, None);
    assert_eq!(api("listen: false").probes, Probes::default());
}

#[test]
fn a_path_as_health_is_readiness_and_startup() {
    let probes = api("health: /health?x=1").probes;
    let check = Check::Http { path: "/health?x=1".to_owned(), port: None, headers: Vec::new() };
    assert_eq!(probes.ready.unwrap().check, check);
    assert_eq!(probes.startup.unwrap().check, check);
    assert_eq!(probes.live, None);
}

#[test]
fn probes_take_all_four_checks_and_their_times() {
    let probes = api("health: { start_timeout: 1m, startup: { command: ./ok, period: 2s }, ready: { grpc: users.v1, port: 9000, timeout: 3s, \
         successes: 2 }, live: { tcp: 9001, initial_delay: 5s, period: 1s, failures: 7 } }")
    .probes;
    let startup = probes.startup.unwrap();
    assert_eq!(startup.check, Check::Command(Program::Shell("./ok".to_owned())));
    assert_eq!((startup.period, startup.failures), (2 * SECOND, 30));
    let ready = probes.ready.unwrap();
    assert_eq!(ready.check, Check::Grpc { service: "users.v1".to_owned(), port: Some(9000) });
    assert_eq!((ready.timeout, ready.successes), (3 * SECOND, 2));
    let live = probes.live.unwrap();
    assert_eq!(
        (live.check, live.initial_delay, live.period, live.failures),
        (Check::Tcp { port: Some(9001) }, 5 * SECOND, SECOND, 7)
    );

    let ready = api("health: { ready: { http: /r, headers: { X-A: b } } }").probes.ready.unwrap();
    let headers = vec![("X-A".to_owned(), "b".to_owned())];
    assert_eq!(ready.check, Check::Http { path: "/r".to_owned(), port: None, headers });
    let grpc = api("health: { ready: { grpc: true } }").probes.ready.unwrap();
    assert_eq!(grpc.check, Check::Grpc { service: String::new(), port: None });
    let list = api("health: { live: { command: [./ok, -v] } }").probes.live.unwrap();
    assert_eq!(list.check, Check::Command(Program::Exec(vec!["./ok".to_owned(), "-v".to_owned()])));
}

#[test]
fn texts_stay_as_they_are_written() {
    let env = api("env: { A: no, B: 010, C: 1.10, D: 'null', E: true, F: '', G: \"a\\nb\" }").env;
    let values: Vec<&str> = env.values().map(String::as_str).collect();
    assert_eq!(values, ["no", "010", "1.10", "null", "true", "", "a\nb"]);
}

#[test]
fn the_environment_is_merged_from_files_lists_and_the_nodes_own() {
    let folder = Folder::new(&[
        (
            "flotilla.yaml",
            "services: { api: { env_file: [a.env, conf/b.env], env: [ONE=own, 'TWO=${SET}', EQ=a=b] } }\n",
        ),
        ("a.env", "# comment\nONE=a\nTHREE=\"x \\\"y\\\"\" # not it\nexport FOUR = 4 # it\n"),
        ("conf/b.env", "THREE='single $X'\nFIVE=\n"),
        ("api/app.py", PYTHON),
    ]);
    let loaded = folder.load("flotilla.yaml", &options(&[("SET", "value")])).unwrap();
    let env: Vec<String> = service(&loaded.system, "api")
        .env
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    assert_eq!(env, ["EQ=a=b", "FIVE=", "FOUR=4", "ONE=own", "THREE=single $X", "TWO=value"]);
}

#[test]
fn the_shells_variables_are_left_to_the_shell() {
    let service =
        api("run: './x ${PORT:-1} $PORT $$', build: 'make ${V}', env: { P: '$PORT $${X}' }");
    assert_eq!(service.program, Program::Shell("./x ${PORT:-1} $PORT $$".to_owned()));
    assert_eq!(service.build.as_deref(), Some("make ${V}"));
    assert_eq!(service.env["P"], "$PORT ${X}");
}

#[test]
fn a_service_without_a_folder_runs_beside_the_file() {
    let (folder, loaded) = loaded(
        "services: { elsewhere: { run: ./x }, api: { run: ./y }, more: { dir: web, run: ./z } }\n",
    )
    .unwrap();
    let dirs: Vec<_> = loaded
        .system
        .services
        .iter()
        .map(|service| service.dir.strip_prefix(folder.path()).unwrap().to_owned())
        .collect();
    assert_eq!(dirs, ["", "api", "web"].map(std::path::PathBuf::from));
}

#[test]
fn short_forms_mean_what_long_forms_say() {
    assert_eq!(api("restart: never").restart, api("restart: { policy: never }").restart);
    assert_eq!(api("balance: random").balance, api("balance: { algorithm: random }").balance);
    let hashed =
        api("balance: { algorithm: consistent_hash, hash_on: { header: X-User } }").balance;
    assert_eq!(hashed.hash_on, HashOn::Header("x-user".to_owned()));
    assert_eq!(api("needs: [web]").needs, api("needs: { web: ready }").needs);
    assert_eq!(api("limits: { cpu: 500m }").limits, api("limits: { cpu: 0.5 }").limits);
    assert_eq!(api("stop: { signal: SIGHUP }").stop, api("stop: { signal: HUP }").stop);
}

#[test]
fn anchors_and_merge_keys_are_followed() {
    let yaml = "\
x-base: &base
  instances: 2
  env: { A: 1, B: 2 }
services:
  api: { <<: *base, instances: 3 }
  web:
    env: { C: 3 }
    <<: [*base, { restart: never }]
";
    let (_folder, loaded) = loaded(yaml).unwrap();
    let (api, web) = (service(&loaded.system, "api"), service(&loaded.system, "web"));
    assert_eq!((api.instances, web.instances), (3, 2));
    assert_eq!(api.env.len(), 2);
    assert_eq!(web.env.keys().collect::<Vec<_>>(), ["C"]);
    assert_eq!(web.restart.policy, RestartPolicy::Never);
}

#[test]
fn an_environment_is_laid_over_the_file() {
    let folder = Folder::new(&[
        (
            "flotilla.yaml",
            "\
services: { api: { instances: 2, env: { A: 1, B: 2 }, needs: [web] }, web: { run: ./web } }
gateway: { listen: 8000, routes: { /: web } }
environments:
  prod:
    services: { api: { instances: 5, env: [B=3, C=4], needs: [] }, web: { image: web:1 }, extra: { run: x } }
    gateway: { listen: 0.0.0.0:80, routes: { /api: api } }
",
        ),
        ("api/app.py", PYTHON),
    ]);
    let prod = Options { environment: Some("prod".to_owned()), ..options(&[]) };
    let system = folder.load("flotilla.yaml", &prod).unwrap().system;
    let api = service(&system, "api");
    assert_eq!((api.instances, api.needs.len()), (5, 0));
    assert_eq!(
        api.env.iter().map(|(key, value)| format!("{key}{value}")).collect::<Vec<_>>(),
        ["A1", "B3", "C4"]
    );
    assert!(
        matches!(&service(&system, "web").program, Program::Container(container) if container.image == "web:1")
    );
    assert_eq!(system.services.len(), 3);
    assert_eq!(system.gateway.listen, Some("0.0.0.0:80".parse().unwrap()));
    assert_eq!(system.gateway.routes.len(), 2);

    let system = folder.load("flotilla.yaml", &options(&[])).unwrap().system;
    assert_eq!(system.gateway.listen, Some("127.0.0.1:8000".parse().unwrap()));
    assert_eq!(service(&system, "web").program, Program::Shell("./web".to_owned()));
}

#[test]
fn an_included_file_keeps_its_folder_and_loses_to_the_including_one() {
    let folder = Folder::new(&[
        (
            "flotilla.yaml",
            "include: part/flotilla.yaml\nservices: { users: { instances: 2 }, api: {} }\n",
        ),
        (
            "part/flotilla.yaml",
            "name: part\nservices: { users: { instances: 1, env: { A: 1 } }, tool: { run: ./tool } }\n",
        ),
        ("part/users/app.py", PYTHON),
        ("api/app.py", PYTHON),
    ]);
    let system = folder.load("flotilla.yaml", &options(&[])).unwrap().system;
    let users = service(&system, "users");
    assert_eq!((users.instances, users.env.len()), (2, 1));
    assert_eq!(users.dir, folder.path().join("part/users"));
    assert_eq!(service(&system, "tool").dir, folder.path().join("part"));
    assert_eq!(system.files.len(), 2);
    assert_eq!(system.name, "part");
}

#[test]
fn only_what_a_process_was_started_with_changes_its_fingerprint() {
    let base = fingerprint(&api("env: { A: 1 }, needs: [web]"));
    for (keys, expected) in [
        (
            "env: { A: 1 }, needs: [web], instances: 3, health: /x, restart: never, stop: { grace: 1s }, balance: random",
            vec![],
        ),
        ("env: { A: 1 }, needs: { web: started }", vec![]),
        ("env: { A: 2 }, needs: [web]", vec!["env A changed"]),
        ("needs: [web], env: { B: 1 }", vec!["env A removed", "env B added"]),
        ("env: { A: 1 }", vec!["needs removed"]),
        (
            "env: { A: 1 }, needs: [web], run: ./x, limits: { cpu: 1 }",
            vec!["limits added", "run changed"],
        ),
        ("env: { A: 1 }, needs: [web], image: x", vec!["image added", "run removed"]),
        (
            "env: { A: 1 }, needs: [web], port: 3000, db: sqlite, build: make",
            vec!["build added", "db added", "port added"],
        ),
    ] {
        let mut now = fingerprint(&api(keys));
        // Every test folder is another one.
        now.insert("dir".to_owned(), base["dir"]);
        assert_eq!(differences(&base, &now), expected, "{keys}");
    }
}
