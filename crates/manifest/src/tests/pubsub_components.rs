//! Dapr's components for publish and subscribe, and what it calls at times.

use super::{Folder, components::component, events, options};
use expect_test::{Expect, expect};

/// Loads the first file and shows what it says of events, and what is told.
pub(super) fn check(files: &[(&str, &str)], expected: Expect) {
    let folder = Folder::new(files);
    let text = match folder.load(files[0].0, &options(&[])) {
        Ok(loaded) => events::show(&loaded.system.events) + &folder.show(&loaded.warnings),
        Err(problems) => problems,
    };
    expected.assert_eq(&text);
}

pub(super) const OWN: &str = "services: { api: { run: x }, web: { run: x }, idle: { run: x, listen: false } }\ncomponents: ./components\n";

fn with(items: &[(&str, &str)]) -> String {
    let items: Vec<String> =
        items.iter().map(|(name, value)| format!("{{ name: {name}, value: '{value}' }}")).collect();
    format!("  metadata: [{}]\n", items.join(", "))
}

pub(super) fn pubsub(name: &str, kind: &str, items: &[(&str, &str)]) -> String {
    format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{ name: {name} }}\nspec:\n  type: {kind}\n  version: v1\n{}",
        with(items)
    )
}

#[test]
fn a_quickstart_loads_with_its_own_component_and_topics_on_demand() {
    let template = "\
version: 1
common:
  resourcesPath: ./components/
apps:
  - appID: order-processor-http
    appDirPath: ./order-processor/
    appPort: 6021
    command: [\"python3\", \"app.py\"]
  - appID: checkout-http
    appDirPath: ./checkout/
    command: [\"python3\", \"app.py\"]
";
    let component = pubsub("orderpubsub", "pubsub.redis", &[("redisHost", "localhost:6379")]);
    let files = [
        ("dapr.yaml", template),
        ("components/pubsub.yaml", component.as_str()),
        ("order-processor/app.py", ""),
        ("checkout/app.py", ""),
    ];
    check(
        &files,
        expect![[r#"
        auto
        pubsub orderpubsub of ["checkout-http", "order-processor-http"] group None prefix "" (pubsub.redis)
        warning[F022]: the component `orderpubsub` (`pubsub.redis`) is served by our own engine, not by redis
          ┌─ components/pubsub.yaml:5:9
        5 │   type: pubsub.redis
          │         ^^^^^^^^^^^^ nothing connects to redis
          = `redisHost` has no effect
          help: `engines: { broker: … }` in flotilla.yaml chooses the engine
    "#]],
    );
}

#[test]
fn without_components_an_app_finds_the_usual_name() {
    let template = "version: 1\napps: [{ appID: a, appDirPath: ., command: [x] }]\n";
    check(
        &[("dapr.yaml", template)],
        expect![[r#"
        auto
        pubsub pubsub of [] group None prefix "" (pubsub.flotilla)
    "#]],
    );
    let only_state = component("store", "state.in-memory");
    let template =
        "version: 1\napps: [{ appID: a, appDirPath: ., resourcesPath: r, command: [x] }]\n";
    check(
        &[("dapr.yaml", template), ("r/a.yaml", &only_state)],
        expect![[r#"
        auto
    "#]],
    );
}

#[test]
fn topics_are_made_on_demand_only_where_dapr_is_or_the_file_says_so() {
    let template = "version: 1\napps: [{ appID: a, appDirPath: ., command: [x] }]\n";
    let compose = "services: { a: { image: x } }\n";
    for (files, expected) in [
        (
            vec![
                ("flotilla.yaml", "include: dapr.yaml\ntopics: { x: {} }\n"),
                ("dapr.yaml", template),
            ],
            true,
        ),
        (
            vec![
                ("flotilla.yaml", "include: dapr.yaml\ntopics: { auto: false }\n"),
                ("dapr.yaml", template),
            ],
            false,
        ),
        (vec![("compose.yaml", compose)], false),
        (
            vec![
                ("flotilla.yaml", "include: compose.yaml\ntopics: { auto: true }\n"),
                ("compose.yaml", compose),
            ],
            true,
        ),
    ] {
        let folder = Folder::new(&files);
        let loaded = folder.load(files[0].0, &options(&[])).unwrap();
        assert_eq!(loaded.system.events.auto_topics, expected, "{files:?}");
    }
}

#[test]
fn metadata_of_a_component_has_a_meaning() {
    let component = pubsub(
        "orders",
        "pubsub.kafka",
        &[
            ("brokers", "h:9092"),
            ("consumerID", "{namespace}-{appID}-x"),
            ("publishingScopes", "api=a, b;web="),
            ("subscriptionScopes", "web=a"),
            ("allowedTopics", "a,b,c"),
            ("protectedTopics", "c"),
            ("topicPrefix", "k."),
        ],
    );
    let folder = Folder::new(&[("flotilla.yaml", OWN), ("components/a.yaml", &component)]);
    let loaded = folder.load("flotilla.yaml", &options(&[])).unwrap();
    expect![[r#"
        auto
        pubsub orders of [] group Some("shop-{appID}-x") prefix "k." (pubsub.kafka)
        warning[F022]: the component `orders` (`pubsub.kafka`) is served by our own engine, not by kafka
          ┌─ components/a.yaml:5:9
        5 │   type: pubsub.kafka
          │         ^^^^^^^^^^^^ nothing connects to kafka
          = `brokers` has no effect
          help: `engines: { broker: … }` in flotilla.yaml chooses the engine
    "#]]
        .assert_eq(&(events::show(&loaded.system.events) + &folder.show(&loaded.warnings)));
    let orders = &loaded.system.events.pubsubs[0];
    assert_eq!(orders.group_of("api"), "shop-api-x");
    for (app, topic, publishes, subscribes) in [
        ("api", "a", true, true),
        ("api", "c", false, false),
        ("api", "d", false, false),
        ("web", "a", false, true),
        ("web", "b", false, false),
        ("idle", "b", true, true),
        ("idle", "c", false, false),
    ] {
        assert_eq!(orders.may_publish(app, topic), publishes, "{app} {topic}");
        assert_eq!(orders.may_subscribe(app, topic), subscribes, "{app} {topic}");
    }
}

#[test]
fn components_that_cannot_be_as_there_are_told() {
    let components = [
        pubsub("a", "pubsub.redis", &[("redisHost", "one"), ("consumerID", "{uuid}")]),
        pubsub("b", "pubsub.redis", &[("redisHost", "two"), ("consumerID", "a b")]),
        pubsub("c", "pubsub.in-memory", &[("publishingScopes", "api")]),
        pubsub("a", "pubsub.redis", &[("topicPrefix", "x.")]),
        pubsub("d", "pubsub.in-memory", &[("topicPrefix", "ü")]),
    ];
    check(
        &[("flotilla.yaml", OWN), ("components/a.yaml", &components.join("---\n"))],
        expect![[r#"
            warning[F022]: the component `a` (`pubsub.redis`) is served by our own engine, not by redis
              ┌─ components/a.yaml:5:9
            5 │   type: pubsub.redis
              │         ^^^^^^^^^^^^ nothing connects to redis
              = `redisHost` has no effect
              help: `engines: { broker: … }` in flotilla.yaml chooses the engine
            warning[F022]: `consumerID: {uuid}` is not honoured
              ┌─ components/a.yaml:7:76
            7 │   metadata: [{ name: redisHost, value: 'one' }, { name: consumerID, value: '{uuid}' }]
              │                                                                            ^^^^^^^^^ the instances of an app share its messages here
              help: the app id is used
            warning[F022]: the component `b` (`pubsub.redis`) is served by our own engine, not by redis
               ┌─ components/a.yaml:13:9
            13 │   type: pubsub.redis
               │         ^^^^^^^^^^^^ nothing connects to redis
               = `redisHost` has no effect
               help: `engines: { broker: … }` in flotilla.yaml chooses the engine
            warning[F022]: the components `a` and `b` share their topics
               ┌─ components/a.yaml:13:9
            13 │   type: pubsub.redis
               │         ^^^^^^^^^^^^ one engine serves both
               help: `topicPrefix` in the metadata of one keeps them apart
            error[F004]: this cannot be a `consumerID`
               ┌─ components/a.yaml:15:76
            15 │   metadata: [{ name: redisHost, value: 'two' }, { name: consumerID, value: 'a b' }]
               │                                                                            ^^^^^^ must not have ' ' in it: names have letters, digits and `. _ - / : @`
            warning[F022]: the components `a` and `c` share their topics
               ┌─ components/a.yaml:21:9
            21 │   type: pubsub.in-memory
               │         ^^^^^^^^^^^^^^^^ one engine serves both
               help: `topicPrefix` in the metadata of one keeps them apart
            error[F004]: this cannot be `publishingScopes`
               ┌─ components/a.yaml:23:47
            23 │   metadata: [{ name: publishingScopes, value: 'api' }]
               │                                               ^^^^^^ `api` has no `=`
               help: write `app1=topic1,topic2;app2=`
            warning[F022]: the component `a` (`pubsub.redis`) is served by our own engine, not by redis
               ┌─ components/a.yaml:29:9
            29 │   type: pubsub.redis
               │         ^^^^^^^^^^^^ nothing connects to redis
               help: `engines: { broker: … }` in flotilla.yaml chooses the engine
            error[F005]: the component `a` is given twice, and differently
               ┌─ components/a.yaml:29:9
            29 │   type: pubsub.redis
               │         ^^^^^^^^^^^^ given again here
               = it is given first in components/a.yaml:5
               help: a name has one meaning in the whole system; call one of them differently
            warning[F022]: the components `a` and `d` share their topics
               ┌─ components/a.yaml:37:9
            37 │   type: pubsub.in-memory
               │         ^^^^^^^^^^^^^^^^ one engine serves both
               help: `topicPrefix` in the metadata of one keeps them apart
            error[F004]: this cannot be a `topicPrefix`
               ┌─ components/a.yaml:39:42
            39 │   metadata: [{ name: topicPrefix, value: 'ü' }]
               │                                          ^^^^ must not have 'ü' in it: names have letters, digits and `. _ - / : @`
        "#]],
    );
}

#[test]
fn a_cron_binding_calls_the_apps_that_see_it() {
    let cron = pubsub("tick", "bindings.cron", &[("schedule", "@every 15m"), ("route", "ticks")]);
    let other =
        pubsub("tock", "bindings.cron", &[("schedule", "0 30 * * * *")]) + "scopes: [web]\n";
    let bad = pubsub("bad", "bindings.cron", &[("schedule", "often")]);
    check(
        &[("flotilla.yaml", OWN), ("components/a.yaml", &[cron, other].join("---\n"))],
        expect![[r#"
            auto
            pubsub pubsub of [] group None prefix "" (pubsub.flotilla)
            schedule tick@api `@every 15m` UTC POST api/ticks - missed Skip retry 1 1s..60s timeout 60s
            schedule tick@web `@every 15m` UTC POST web/ticks - missed Skip retry 1 1s..60s timeout 60s
            schedule tock@web `0 30 * * * *` UTC POST web/tock - missed Skip retry 1 1s..60s timeout 60s
        "#]],
    );
    check(
        &[("flotilla.yaml", OWN), ("components/a.yaml", &bad)],
        expect![[r#"
        error[F004]: the component `bad` has no times
          ┌─ components/a.yaml:7:39
        7 │   metadata: [{ name: schedule, value: 'often' }]
          │                                       ^^^^^^^^ a schedule has six fields (second minute hour day month weekday), or five without the second, this one has 1
          help: add `schedule` to its metadata
    "#]],
    );
}

#[test]
fn the_outbox_of_a_state_store_names_a_component_and_a_topic() {
    let outbox = |name: &str, kind: &str, pubsub: &str, topic: &str| {
        let items = [("outboxPublishPubsub", pubsub), ("outboxPublishTopic", topic)];
        self::pubsub(name, kind, &items)
    };
    let components = [
        pubsub("orders", "pubsub.in-memory", &[]),
        outbox("good", "state.redis", "orders", "changes"),
        outbox("typo", "state.redis", "order", "changes"),
        outbox("half", "state.redis", "orders", ""),
        outbox("memory", "state.in-memory", "orders", "changes"),
        outbox("topic", "state.redis", "orders", "a b"),
    ];
    check(
        &[("flotilla.yaml", OWN), ("components/a.yaml", &components.join("---\n"))],
        expect![[r#"
            auto
            pubsub orders of [] group None prefix "" (pubsub.in-memory)
            state good to orders changes
            warning[F022]: the component `good` (`state.redis`) is served by our own engine, not by redis
               ┌─ components/a.yaml:13:9
            13 │   type: state.redis
               │         ^^^^^^^^^^^ nothing connects to redis
               help: `engines: { kv: … }` in flotilla.yaml chooses the engine
            warning[F022]: the component `typo` (`state.redis`) is served by our own engine, not by redis
               ┌─ components/a.yaml:21:9
            21 │   type: state.redis
               │         ^^^^^^^^^^^ nothing connects to redis
               help: `engines: { kv: … }` in flotilla.yaml chooses the engine
            warning[F022]: transactions of the store `typo` are not published
               ┌─ components/a.yaml:23:50
            23 │   metadata: [{ name: outboxPublishPubsub, value: 'order' }, { name: outboxPublishTopic, value: 'changes' }]
               │                                                  ^^^^^^^^ there is no component `order`
               help: did you mean `orders`?
            warning[F022]: the component `half` (`state.redis`) is served by our own engine, not by redis
               ┌─ components/a.yaml:29:9
            29 │   type: state.redis
               │         ^^^^^^^^^^^ nothing connects to redis
               help: `engines: { kv: … }` in flotilla.yaml chooses the engine
            warning[F022]: the outbox of the component `half` is not whole
               ┌─ components/a.yaml:29:9
            29 │   type: state.redis
               │         ^^^^^^^^^^^ `outboxPublishPubsub`, `outboxPublishTopic` go together
               help: nothing is published
            warning[F022]: transactions of the store `memory` are not published
               ┌─ components/a.yaml:39:50
            39 │   metadata: [{ name: outboxPublishPubsub, value: 'orders' }, { name: outboxPublishTopic, value: 'changes' }]
               │                                                  ^^^^^^^^^ a store in memory has no outbox
            warning[F022]: the component `topic` (`state.redis`) is served by our own engine, not by redis
               ┌─ components/a.yaml:45:9
            45 │   type: state.redis
               │         ^^^^^^^^^^^ nothing connects to redis
               help: `engines: { kv: … }` in flotilla.yaml chooses the engine
            warning[F022]: there is no topic `a b`
               ┌─ components/a.yaml:47:50
            47 │   metadata: [{ name: outboxPublishPubsub, value: 'orders' }, { name: outboxPublishTopic, value: 'a b' }]
               │                                                  ^^^^^^^^^ must not have ' ' in it: names have letters, digits and `. _ - / : @`
        "#]],
    );
}
