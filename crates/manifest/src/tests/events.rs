//! Events: good files, and what they mean.

use super::{Folder, loaded, options, told};
use crate::{
    BrokerEngine, DeadLetterRule, DeliveryShape, Events, Options, RetryRule, ScheduledAction,
    Subscribe, Subscribed,
};
use expect_test::{Expect, expect};

/// Shows what is said of events, one thing a line.
pub(super) fn show(all: &Events) -> String {
    let mut lines = Vec::new();
    match &all.broker {
        BrokerEngine::Embedded => {}
        BrokerEngine::Nats(nats) => lines.push(format!("{nats:?}")),
    }
    if all.auto_topics {
        lines.push("auto".to_owned());
    }
    for topic in &all.topics {
        lines.push(format!(
            "topic {} retain {:?} max {:?} dedup {:?} {} {}",
            topic.name,
            topic.retain,
            topic.max.map(|max| max.to_string()),
            topic.dedup,
            retry(topic.retry),
            dead(Some(&topic.dead_letter))
        ));
    }
    for one in &all.pubsubs {
        let names: Vec<&str> = one.scopes.0.iter().map(base::ServiceName::as_str).collect();
        lines.push(format!(
            "pubsub {} of {names:?} group {:?} prefix {:?} ({})",
            one.name, one.group, one.prefix, one.origin.kind
        ));
    }
    lines.extend(all.subscriptions.iter().map(subscription));
    for one in &all.schedules {
        let zone = one.zone.as_deref().unwrap_or("UTC");
        let action = match &one.action {
            ScheduledAction::Call { service, method, path, data } => {
                format!("{method} {service}{path} {}", data.as_deref().unwrap_or("-"))
            }
            ScheduledAction::Publish { topic, data } => {
                format!("to {topic} {}", data.as_deref().unwrap_or("-"))
            }
        };
        lines.push(format!(
            "schedule {} `{}` {zone} {action} missed {:?} {} timeout {:?}{}",
            one.name,
            one.when,
            one.missed,
            retry(one.retry),
            one.timeout,
            if one.paused { " paused" } else { "" }
        ));
    }
    for one in &all.outboxes {
        let url = one.url.as_ref().map_or("own db", |url| url.reveal());
        lines.push(format!("outbox of {} {url} {} to {}", one.service, one.table, one.topic));
    }
    for (store, outbox) in &all.state_outboxes {
        lines.push(format!("state {store} to {} {}", outbox.pubsub, outbox.topic));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn retry(rule: RetryRule) -> String {
    let max = rule.max.map_or("none".to_owned(), |max| max.to_string());
    format!("retry {max} {:?}..{:?}", rule.first, rule.longest)
}

fn dead(rule: Option<&DeadLetterRule>) -> String {
    match rule {
        None => "dead -".to_owned(),
        Some(DeadLetterRule::Topic(topic)) => format!("dead {topic}"),
        Some(rule) => format!("dead {rule:?}"),
    }
}

fn subscription(one: &Subscribe) -> String {
    let from = match &one.from {
        Subscribed::Topic(topic) => topic.clone(),
        Subscribed::Streams { name, category, types, tags } => {
            format!("streams {category:?} {types:?} {tags:?} as {name}")
        }
    };
    let shape = match &one.shape {
        DeliveryShape::Dapr { pubsub, raw } => format!("{pubsub} raw {raw}"),
        shape => format!("{shape:?}"),
    };
    let mut text = format!(
        "{} takes {from} group {:?} {} at a time, order {:?}, from {:?}, {:?} {} {} {shape}",
        one.service,
        one.group,
        one.concurrency,
        one.order,
        one.start,
        one.timeout,
        one.retry.map_or("retry -".to_owned(), retry),
        dead(one.dead_letter.as_ref())
    );
    if let Some(bulk) = one.bulk {
        text.push_str(&format!(" bulk {bulk:?}"));
    }
    for route in &one.routes {
        let when = route.when.as_deref().unwrap_or("always");
        text.push_str(&format!("\n  {when} → {} {}", route.method, route.path));
    }
    text
}

fn check(yaml: &str, expected: Expect) {
    let text = match loaded(yaml) {
        Ok((folder, loaded)) => show(&loaded.system.events) + &folder.show(&loaded.warnings),
        Err(problems) => problems,
    };
    expected.assert_eq(&text);
}

#[test]
fn without_a_word_there_is_a_broker_and_no_topic() {
    check(
        "services: { api: {} }",
        expect![[r#"
        pubsub pubsub of [] group None prefix "" (pubsub.flotilla)
    "#]],
    );
}

#[test]
fn all_keys_of_topics_have_a_meaning() {
    check(
        "\
services: { api: {} }
topics:
  plain:
  order.created: { retain: 30d, max: 1GiB, dedup: 0, retry: { max: 5, backoff: 500ms..30s }, dead_letter: failed }
  a/b:c@d_e-1: { retain: forever, dedup: 1d, retry: { max: none }, dead_letter: false }
  failed: { retry: { backoff: 5s }, dead_letter: true }
  auto: false
",
        expect![[r#"
            topic plain retain Some(604800s) max None dedup 120s retry 10 1s..60s dead Own
            topic order.created retain Some(2592000s) max Some("1GiB") dedup 0ns retry 5 500ms..30s dead failed
            topic a/b:c@d_e-1 retain None max None dedup 86400s retry none 1s..60s dead Nowhere
            topic failed retain Some(604800s) max None dedup 120s retry 10 5s..5s dead Own
            pubsub pubsub of [] group None prefix "" (pubsub.flotilla)
        "#]],
    );
}

#[test]
fn a_map_below_auto_is_a_topic_of_that_name() {
    check(
        "services: { api: {} }\ntopics: { auto: {} }\n",
        expect![[r#"
        topic auto retain Some(604800s) max None dedup 120s retry 10 1s..60s dead Own
        pubsub pubsub of [] group None prefix "" (pubsub.flotilla)
    "#]],
    );
    check(
        "services: { api: {} }\ntopics: { auto: true }\n",
        expect![[r#"
        auto
        pubsub pubsub of [] group None prefix "" (pubsub.flotilla)
    "#]],
    );
}

#[test]
fn subscriptions_are_a_way_or_a_map() {
    check(
        "\
services:
  api:
    subscribes:
      order.created: POST /events/order-created
      order.paid: /paid
      order.paid.dead: PUT /dead
  web:
    subscribes:
      order.created:
        to: POST /all
        routes:
        - { when: \"event.type == 'refund' && event.data.amount > 100\", to: POST /refunds }
        - { when: event.subject.startsWith('vip'), to: PUT /vip }
        group: pages
        concurrency: 4
        order: none
        start: oldest
        timeout: 2m
        retry: { max: 3 }
        dead_letter: other
        format: binary
      order.paid: { to: /paid, order: all, dead_letter: false, format: raw }
topics: { order.created: { retry: { backoff: 5s..10s } }, order.paid: {}, other: {} }
",
        expect![[r#"
            topic order.created retain Some(604800s) max None dedup 120s retry 10 5s..10s dead Own
            topic order.paid retain Some(604800s) max None dedup 120s retry 10 1s..60s dead Own
            topic other retain Some(604800s) max None dedup 120s retry 10 1s..60s dead Own
            pubsub pubsub of [] group None prefix "" (pubsub.flotilla)
            api takes order.created group None 16 at a time, order Key, from New, 30s retry - dead - Structured
              always → POST /events/order-created
            api takes order.paid group None 16 at a time, order Key, from New, 30s retry - dead - Structured
              always → POST /paid
            api takes order.paid.dead group None 16 at a time, order Key, from New, 30s retry - dead - Structured
              always → PUT /dead
            web takes order.created group Some("pages") 4 at a time, order None, from Oldest, 120s retry 3 5s..10s dead other Binary
              event.type == 'refund' && event.data.amount > 100 → POST /refunds
              event.subject.startsWith('vip') → PUT /vip
              always → POST /all
            web takes order.paid group None 1 at a time, order All, from New, 30s retry - dead Nowhere Raw
              always → POST /paid
        "#]],
    );
}

#[test]
fn streams_of_events_are_subscribed_to_by_category() {
    check(
        "\
services:
  api:
    subscribes:
      events:account: { types: [deposited, withdrawn], tags: ['account:7'], to: POST /account }
      events:*: POST /everything
  web: { subscribes: { events:account: { to: /a, group: balances, start: new, timeout: 5s, retry: { max: 2 }, dead_letter: lost, format: binary } } }
topics: { lost: {} }
",
        expect![[r#"
            topic lost retain Some(604800s) max None dedup 120s retry 10 1s..60s dead Own
            pubsub pubsub of [] group None prefix "" (pubsub.flotilla)
            api takes streams Some("account") ["deposited", "withdrawn"] ["account:7"] as api:account group None 1 at a time, order All, from Oldest, 30s retry - dead - Structured
              always → POST /account
            api takes streams None [] [] as api group None 1 at a time, order All, from Oldest, 30s retry - dead - Structured
              always → POST /everything
            web takes streams Some("account") [] [] as balances group None 1 at a time, order All, from New, 5s retry 2 1s..60s dead lost Binary
              always → POST /a
        "#]],
    );
}

#[test]
fn schedules_call_or_publish() {
    check(
        "\
services: { api: {}, web: {} }
topics: { report.due: {} }
schedules:
  nightly: { cron: '0 3 * * *', zone: UTC, call: POST web/run?full=1, timeout: 10m, missed: all, retry: { max: 3, backoff: 1m } }
  often: { every: 90s, call: api }
  seconds: { cron: '*/10 * * * * *', call: GET api/tick, missed: skip, paused: true }
  daily: { cron: '@daily', publish: report.due, data: { n: 10, s: \"10\", zip: 010, list: [true, null, 1.5, x y], set: $SET, empty: } }
  zoned: { cron: 'TZ=UTC 0 3 * * *', publish: report.due, data: '${SET}' }
  block:
    every: 1h
    publish: report.due
    data:
      block: |-
        5
      anchor: &x '6'
      tag: !!str 7
      next:
        8
",
        expect![[r#"
            topic report.due retain Some(604800s) max None dedup 120s retry 10 1s..60s dead Own
            pubsub pubsub of [] group None prefix "" (pubsub.flotilla)
            schedule nightly `0 3 * * *` UTC POST web/run?full=1 - missed All retry 3 60s..60s timeout 600s
            schedule often `@every 1m30s` UTC POST api/ - missed Once retry 10 1s..60s timeout 30s
            schedule seconds `*/10 * * * * *` UTC GET api/tick - missed Skip retry 10 1s..60s timeout 30s paused
            schedule daily `@daily` UTC to report.due {"empty":null,"list":[true,null,1.5,"x y"],"n":10,"s":"10","set":"$SET","zip":"010"} missed Once retry 10 1s..60s timeout 30s
            schedule zoned `0 3 * * *` UTC to report.due "value" missed Once retry 10 1s..60s timeout 30s
            schedule block `@every 1h` UTC to report.due {"anchor":"6","block":"5","next":8,"tag":"7"} missed Once retry 10 1s..60s timeout 30s
        "#]],
    );
}

#[test]
fn outboxes_are_tables_of_databases() {
    check(
        "\
services:
  api: { db: sqlite, outbox: true }
  web: { db: 'postgres://h/web', outbox: { table: shop.outbox, topic: web.changes } }
  users: { outbox: { url: 'postgres://u:${secret:DB}@h/users' } }
topics: { outbox.event.order: {}, web.changes: {} }
",
        expect![[r#"
            topic outbox.event.order retain Some(604800s) max None dedup 120s retry 10 1s..60s dead Own
            topic web.changes retain Some(604800s) max None dedup 120s retry 10 1s..60s dead Own
            pubsub pubsub of [] group None prefix "" (pubsub.flotilla)
            outbox of api own db outbox to outbox.event.{aggregatetype}
            outbox of web own db shop.outbox to web.changes
            outbox of users postgres://u:${secret:DB}@h/users outbox to outbox.event.{aggregatetype}
        "#]],
    );
    let asked = loaded(
        "services: { api: { outbox: { url: '${secret:DB}' } } }\ntopics: { auto: true }\nengines: { broker: 'nats://${secret:T}@h' }\n",
    );
    let references = asked.unwrap().1.system.coordination.references;
    let names: Vec<String> =
        references.iter().map(|one| format!("{} {}", one.key, one.name)).collect();
    assert_eq!(names, ["`engines.broker` T", "`outbox` of service `api` DB"]);
}

#[test]
fn an_outbox_that_is_false_is_none() {
    check(
        "services: { api: { db: sqlite, outbox: false } }",
        expect![[r#"
        pubsub pubsub of [] group None prefix "" (pubsub.flotilla)
    "#]],
    );
}

#[test]
fn a_broker_is_named_short_or_in_full() {
    check(
        "name: My Shop\nservices: { api: {} }\nengines: { broker: 'nats://a,b:1' }\n",
        expect![[r#"
            Nats { servers: ["a:4222", "b:1"], tls: false, user: None, token: None, ca: None, certificate: None, prefix: "my-shop", replicas: 1 }
            pubsub pubsub of [] group None prefix "" (pubsub.flotilla)
        "#]],
    );
    let folder = Folder::new(&[
        (
            "flotilla.yaml",
            "services: { api: { run: x } }\nengines: { broker: { url: 'natss://a', user: u, password: '${secret:P}', ca: ca.pem, cert: c.pem, key: c.key, prefix: team-a, replicas: 3 } }\n",
        ),
        ("ca.pem", ""),
        ("c.pem", ""),
        ("c.key", ""),
    ]);
    let system = folder.load("flotilla.yaml", &options(&[])).unwrap().system;
    let root = folder.path().display().to_string();
    expect![[r#"
        Nats { servers: ["a:4222"], tls: true, user: Some(("u", Secret(…))), token: None, ca: Some("/ca.pem"), certificate: Some(("/c.pem", "/c.key")), prefix: "team-a", replicas: 3 }
        pubsub pubsub of [] group None prefix "" (pubsub.flotilla)
    "#]].assert_eq(&show(&system.events).replace(&root, ""));
    assert_eq!(system.events.broker_place.unwrap().line, 2);
}

#[test]
fn an_environment_says_it_differently() {
    let yaml = "\
services: { api: { subscribes: { a: /a } } }
topics: { a: { retain: 1d } }
schedules: { s: { every: 5m, publish: a } }
environments:
  prod:
    engines: { broker: 'nats://h' }
    topics: { a: { max: 1Gi }, auto: true }
    schedules: { s: { paused: true } }
    services: { api: { subscribes: { b: /b } } }
";
    let folder = Folder::new(&[("flotilla.yaml", yaml), ("api/app.py", "")]);
    let prod = Options { environment: Some("prod".to_owned()), ..options(&[]) };
    let loaded = folder.load("flotilla.yaml", &prod).unwrap();
    expect![[r#"
        Nats { servers: ["h:4222"], tls: false, user: None, token: None, ca: None, certificate: None, prefix: "shop", replicas: 1 }
        auto
        topic a retain Some(86400s) max Some("1GiB") dedup 120s retry 10 1s..60s dead Own
        pubsub pubsub of [] group None prefix "" (pubsub.flotilla)
        api takes a group None 16 at a time, order Key, from New, 30s retry - dead - Structured
          always → POST /a
        api takes b group None 16 at a time, order Key, from New, 30s retry - dead - Structured
          always → POST /b
        schedule s `@every 5m` UTC to a - missed Once retry 10 1s..60s timeout 30s paused
    "#]].assert_eq(&show(&loaded.system.events));
}

#[test]
fn a_named_time_zone_is_looked_up_on_this_machine() {
    let yaml = "services: { api: {} }\nschedules: { a: { cron: '0 3 * * *', zone: Europe/Berlin, call: api } }\n";
    if jiff::tz::db().available().next().is_none() {
        assert!(told(yaml).contains("this machine knows no time zones"), "{}", told(yaml));
        return;
    }
    let zone = loaded(yaml).unwrap().1.system.events.schedules[0].zone.clone();
    assert_eq!(zone.as_deref(), Some("Europe/Berlin"));
    let near = told(&yaml.replace("Berlin", "Berln"));
    assert!(near.contains("did you mean `Europe/Berlin`?"), "{near}");
}
