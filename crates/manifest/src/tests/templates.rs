//! `dapr.yaml` with its folders of components.

use super::{
    Folder,
    components::{check, component},
    options,
};
use expect_test::expect;

const RUN: &str = "\
version: 1
common: { resourcesPath: ./common, configFilePath: ./config.yaml }
apps:
  - { appDirPath: ./a, command: [x], appPort: 1 }
  - { appID: B_2, appDirPath: ./b, command: [x], resourcesPath: ./own, configFilePath: own.yaml }
  - { appDirPath: ./c, command: [x] }
  - { appID: d, appDirPath: ./a }
";

#[test]
fn an_app_sees_its_own_folder_or_the_one_in_its_folder_or_the_common_one() {
    let rule = "\
apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata: { name: c }
spec:
  secrets:
    scopes:
    - { storeName: files, defaultAccess: deny, allowedSecrets: [a] }
    - { storeName: other, deniedSecrets: [b] }
  tracing: { samplingRate: '1' }
";
    check(
        &[
            ("dapr.yaml", RUN),
            ("common/s.yaml", &component("store", "state.in-memory")),
            ("b/own/s.yaml", &component("store", "state.in-memory")),
            ("b/own/l.yaml", &(component("lock", "lock.redis") + "scopes: [B_2]\n")),
            ("c/.dapr/resources/s.yaml", &component("third", "state.in-memory")),
            ("config.yaml", rule),
            ("b/own.yaml", &rule.replace("deny", "allow")),
            ("a/", ""),
        ],
        &[],
        expect![[r#"
            cache 256MiB store Service of a+b-2+d (state.in-memory /common/s.yaml:4)
            cache 256MiB third Service of c (state.in-memory /c/.dapr/resources/s.yaml:4)
            locks lock Service of b-2 (lock.redis /b/own/l.yaml:4)
            a reads files: SecretRule { by_default: false, allowed: {"a"}, denied: {} }
            a reads other: SecretRule { by_default: true, allowed: {}, denied: {"b"} }
            b-2 reads files: SecretRule { by_default: true, allowed: {"a"}, denied: {} }
            b-2 reads other: SecretRule { by_default: true, allowed: {}, denied: {"b"} }
            c reads files: SecretRule { by_default: false, allowed: {"a"}, denied: {} }
            c reads other: SecretRule { by_default: true, allowed: {}, denied: {"b"} }
            d reads files: SecretRule { by_default: false, allowed: {"a"}, denied: {} }
            d reads other: SecretRule { by_default: true, allowed: {}, denied: {"b"} }
            warning[F022]: app `B_2` is called `b-2` here
              ┌─ dapr.yaml:5:14
            5 │   - { appID: B_2, appDirPath: ./b, command: [x], resourcesPath: ./own, configFilePath: own.yaml }
              │              ^^^ a name is a DNS label
              help: its app API still finds it by both
            warning[F022]: `spec.tracing` of a Configuration is not honoured
              ┌─ config.yaml:9:3
            9 │   tracing: { samplingRate: '1' }
              │   ^^^^^^^ has no effect here
              help: the data plane traces every call by itself
            warning[F022]: the component `lock` (`lock.redis`) is served by our own engine, not by redis
              ┌─ b/own/l.yaml:4:15
            4 │ spec: { type: lock.redis }
              │               ^^^^^^^^^^ nothing connects to redis
            warning[F022]: `spec.tracing` of a Configuration is not honoured
              ┌─ b/own.yaml:9:3
            9 │   tracing: { samplingRate: '1' }
              │   ^^^^^^^ has no effect here
              help: the data plane traces every call by itself
        "#]],
    );
}

#[test]
fn apps_without_any_folder_have_the_usual_stores() {
    check(
        &[("dapr.yaml", "version: 1\napps: [{ appDirPath: ./a, command: [x] }]\n"), ("a/", "")],
        &[],
        expect![[r#"
            state statestore Service (state.flotilla)
            locks lockstore Service (lock.flotilla)
            config configstore {} (configuration.flotilla)
            secrets secretstore Kv, Env(Listed({})) (secretstores.flotilla)
        "#]],
    );
}

#[test]
fn keys_of_an_app_are_those_of_the_service() {
    let run = "\
version: 1
common: { appHealthThreshold: 5, enableAppHealthCheck: true, daprHTTPPort: 0 }
apps:
  - { appID: a, appDirPath: ., command: [x], appPort: 80, daprHTTPPort: 3501, daprGRPCPort: -1, maxBodySize: 8, appMaxConcurrency: 7, env: { PORT: 1, EMPTY: } }
  - { appID: b, appDirPath: ., command: [x], appPort: 81, maxBodySize: 1Gi, appProtocol: grpc }
  - { appID: c, appDirPath: ., appPort: 82 }
";
    let folder = Folder::new(&[("dapr.yaml", run)]);
    let loaded = folder.load("dapr.yaml", &options(&[])).unwrap();
    let mut text = String::new();
    for service in &loaded.system.services {
        text.push_str(&format!(
            "{} {:?} {:?} max {:?} {:?}\n{:?}\n{:?}\n",
            service.name,
            service.port,
            service.program,
            service.traffic.limits.concurrent_max,
            service.restart.policy,
            service.api,
            service.probes.ready
        ));
        text.push_str(&format!("{:?}\n", service.env));
    }
    text.push_str(&folder.show(&loaded.warnings));
    expect![[r#"
        a Some(80) Exec(["x"]) max 7 OnFailure
        AppApi { app_id: "a", http_port: Some(3501), grpc_port: None, protocol: Http, token: None, app_token: None, body_max: ByteSize(8388608), secrets: {} }
        Some(Probe { check: Http { path: "/healthz", port: None, headers: [] }, initial_delay: 0ns, period: 10s, timeout: 1s, failures: 5, successes: 1 })
        {"EMPTY": ""}
        b Some(81) Exec(["x"]) max 4294967295 OnFailure
        AppApi { app_id: "b", http_port: None, grpc_port: None, protocol: Grpc, token: None, app_token: None, body_max: ByteSize(16777216), secrets: {} }
        Some(Probe { check: Tcp { port: None }, initial_delay: 0ns, period: 10s, timeout: 1s, failures: 3, successes: 1 })
        {}
        c Some(82) External(External { address: Some(127.0.0.1:82) }) max 4294967295 Always
        AppApi { app_id: "c", http_port: None, grpc_port: None, protocol: Http, token: None, app_token: None, body_max: ByteSize(4194304), secrets: {} }
        Some(Probe { check: Http { path: "/healthz", port: None, headers: [] }, initial_delay: 0ns, period: 10s, timeout: 1s, failures: 5, successes: 1 })
        {}
        warning[F022]: health checks over gRPC are not honoured
          ┌─ dapr.yaml:2:34
        2 │ common: { appHealthThreshold: 5, enableAppHealthCheck: true, daprHTTPPort: 0 }
          │                                  ^^^^^^^^^^^^^^^^^^^^ the app counts as healthy while its port is open
        warning[F008]: no route leads to these services from outside
          ┌─ dapr.yaml:4:14
        4 │   - { appID: a, appDirPath: ., command: [x], appPort: 80, daprHTTPPort: 3501, daprGRPCPort: -1, maxBodySize: 8…
          │              ^ several services listen, and none is called `web`
          help: write a flotilla.yaml with `include:` for this file and `gateway: { routes: { /: <service> } }`
        warning[F022]: the variable PORT cannot be set
          ┌─ dapr.yaml:4:142
        4 │ …rt: 80, daprHTTPPort: 3501, daprGRPCPort: -1, maxBodySize: 8, appMaxConcurrency: 7, env: { PORT: 1, EMPTY: } }
          │                                                                                             ^^^^ has no effect here
          help: it is `appPort`
        warning[F022]: a request to the app API has at most 16 MiB
          ┌─ dapr.yaml:5:72
        5 │   - { appID: b, appDirPath: ., command: [x], appPort: 81, maxBodySize: 1Gi, appProtocol: grpc }
          │                                                                        ^^^ bounded by that
    "#]].assert_eq(&text);
}

#[test]
fn a_template_is_recognised_by_what_is_in_it() {
    let folder = Folder::new(&[("apps.yaml", RUN), ("a/", ""), ("b/own/", ""), ("c/", "")]);
    let problems = folder.load("apps.yaml", &options(&[])).unwrap_err();
    assert!(problems.contains("`./common` does not exist"), "{problems}");
    let include = "include: sub/apps.yml\nname: mine\nservices: { a: { restart: never } }\n";
    let files = [
        ("flotilla.yaml", include),
        ("sub/apps.yml", "version: 1\napps: [{ appID: a, appDirPath: x, command: [y] }]\n"),
        ("sub/x/", ""),
    ];
    let folder = Folder::new(&files);
    let system = folder.load("flotilla.yaml", &options(&[])).unwrap().system;
    assert_eq!(system.name, "mine");
    assert_eq!(system.services[0].restart.policy, crate::RestartPolicy::Never);
    assert_eq!(system.services[0].dir, folder.path().join("sub/x"));
}

#[test]
fn where_an_app_is_called_that_somebody_else_starts() {
    let of = |keys: &str| {
        let run = format!("version: 1\napps: [{{ appID: a, appDirPath: ., {keys} }}]\n");
        let folder = Folder::new(&[("dapr.yaml", run.as_str())]);
        let loaded = folder.load("dapr.yaml", &options(&[])).unwrap();
        format!("{:?} {}", loaded.system.services[0].program, loaded.warnings.len())
    };
    for (keys, expected) in [
        ("appPort: 5", "External(External { address: Some(127.0.0.1:5) }) 0"),
        (
            "appPort: 5, appChannelAddress: localhost",
            "External(External { address: Some(127.0.0.1:5) }) 0",
        ),
        (
            "appPort: 5, appChannelAddress: 10.0.0.1",
            "External(External { address: Some(10.0.0.1:5) }) 0",
        ),
        (
            "appPort: 5, appChannelAddress: 'fd00::1'",
            "External(External { address: Some([fd00::1]:5) }) 0",
        ),
        (
            "appPort: 5, appChannelAddress: host",
            "External(External { address: Some(127.0.0.1:5) }) 1",
        ),
        ("appChannelAddress: 10.0.0.1", "External(External { address: None }) 0"),
        ("appPort: 5, command: [x], appChannelAddress: 10.0.0.1", "Exec([\"x\"]) 1"),
    ] {
        assert_eq!(of(keys), expected, "{keys}");
    }
}
