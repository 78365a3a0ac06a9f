//! Components in masses, odd ones, and ones that are meant to do harm.

use super::{
    Folder,
    components::{OWN, component},
    options,
};

#[test]
fn a_thousand_components_with_odd_names_are_read() {
    let names: Vec<String> = (0..1_000)
        .map(|at| {
            let odd = ["-", "#", "é", "\u{202e}", " ", "/", "..", "'", "\\\\", "名"][at % 10];
            component(&format!("n{odd}{at}{odd}"), "state.in-memory")
        })
        .collect();
    let folder =
        Folder::new(&[("flotilla.yaml", OWN), ("components/a.yaml", &names.join("---\n"))]);
    let loaded = folder.load("flotilla.yaml", &options(&[])).unwrap();
    let stores = &loaded.system.coordination.state;
    assert_eq!(stores.len(), 800, "{} have no name that a store can have", 1_000 - stores.len());
    assert!(loaded.warnings.len() > 90);
}

#[test]
fn an_error_after_many_warnings_is_an_error() {
    let many: Vec<String> =
        (0..150).map(|at| component(&format!("n{at}"), "pubsub.redis")).collect();
    let folder = Folder::new(&[
        ("flotilla.yaml", OWN),
        ("components/a.yaml", &many.join("---\n")),
        ("components/b.yaml", "kind: [\n"),
    ]);
    let problems = folder.load("flotilla.yaml", &options(&[])).unwrap_err();
    assert!(problems.contains("error[F001]"), "{problems}");
}

#[test]
fn hostile_components_are_refused_or_read_and_never_panic() {
    let deep = "a: ".to_owned() + &"[".repeat(100_000);
    let bomb = (1..12).fold("a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, at| {
        let inner = vec![format!("*a{}", at - 1); 9].join(",");
        format!("{text}a{at}: &a{at} [{inner}]\n")
    });
    let many = "---\n".repeat(100_000);
    let twice = format!("{}metadata: {{ name: x }}\n", component("a", "state.redis"));
    let hostile = [
        deep.as_str(),
        &bomb,
        &many,
        &twice,
        "\u{feff}kind: Component\0",
        "{apiVersion: dapr.io/v1, kind: Component, metadata: {name: [a]}, spec: 7}",
        "{apiVersion: dapr.io/v1, kind: Component, metadata: {name: a}, spec: {type: state.x, metadata: {a: b}}}",
        "{apiVersion: dapr.io/v1, kind: Component, metadata: {name: a}, spec: {type: state.x, metadata: [1, {name: 2}, {name: {a: b}, value: c}, {name: keyPrefix}]}, scopes: 3}",
        "{apiVersion: dapr.io/v1, kind: Component, metadata: {name: a}, spec: {type: .}}",
        "{apiVersion: dapr.io/v1, kind: Configuration, spec: {secrets: {scopes: [{storeName: []}, 4]}}}",
        "{apiVersion: dapr.io/v1, kind: HTTPEndpoint, metadata: {name: a}, spec: {baseUrl: 'http://a b'}}",
        "{apiVersion: dapr.io/v1, kind: Subscription, metadata: {name: a}, spec: {topic: [], pubsubname: {}}}",
        "{apiVersion: dapr.io/v1, kind: Subscription, metadata: {name: a}, spec: {topic: a, pubsubname: pubsub, routes: {rules: [1, {match: [], path: {}}, {match: '((((', path: x}], default: ' '}, bulkSubscribe: {enabled: true, maxMessagesCount: -1, maxAwaitDurationMs: 99999999999999999999}, metadata: [a], deadLetterTopic: '/'}, scopes: 7}",
        "{apiVersion: dapr.io/v1, kind: Component, metadata: {name: a}, spec: {type: pubsub.x, metadata: [{name: publishingScopes, value: ';=;==,'}, {name: consumerID}, {name: topicPrefix, value: ' '}]}}",
        "{apiVersion: dapr.io/v1, kind: Component, metadata: {name: a}, spec: {type: bindings.cron, metadata: [{name: schedule, value: '@every 999999h'}, {name: route, value: ' a'}]}}",
        "%YAML 9\n--- !!x {a: b}\n",
        "&a [*a]",
        "? {a: b}\n: c\n",
    ];
    for text in hostile {
        let folder = Folder::new(&[("flotilla.yaml", OWN), ("components/a.yaml", text)]);
        let _read = folder.load("flotilla.yaml", &options(&[]));
        let single = OWN.replace("./components", "components/a.yaml");
        std::fs::write(folder.path().join("flotilla.yaml"), single).unwrap();
        let _read = folder.load("flotilla.yaml", &options(&[]));
    }
}
