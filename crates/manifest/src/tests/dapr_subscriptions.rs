//! Dapr's `Subscription` resources.

use super::pubsub_components::{OWN, check, pubsub};
use expect_test::expect;

const SUBSCRIPTIONS: &str = "\
apiVersion: dapr.io/v1alpha1
kind: Subscription
metadata: { name: one }
spec:
  topic: orders
  route: orders
  pubsubname: pubsub
  deadLetterTopic: poison
  bulkSubscribe: { enabled: true, maxMessagesCount: 10, maxAwaitDurationMs: 50 }
  metadata: { rawPayload: 'true' }
scopes: [api, elsewhere]
---
apiVersion: dapr.io/v2alpha1
kind: Subscription
metadata: { name: two }
spec:
  topic: payments
  pubsubname: pubsub
  routes:
    rules:
    - match: event.type == \"refund\"
      path: /refunds
    - match: ''
      path: /all
    default: /payments
";

#[test]
fn subscriptions_of_both_versions_are_read() {
    let component = pubsub("pubsub", "pubsub.in-memory", &[("consumerID", "shared")]);
    check(
        &[
            ("flotilla.yaml", OWN),
            ("components/a.yaml", &component),
            ("components/b.yaml", SUBSCRIPTIONS),
        ],
        expect![[r#"
            auto
            pubsub pubsub of [] group Some("shared") prefix "" (pubsub.in-memory)
            api takes orders group Some("shared") 16 at a time, order Key, from Oldest, 60s retry 3 200ms..1s dead poison pubsub raw true bulk (10, 50ms)
              always → POST /orders
            api takes payments group Some("shared") 16 at a time, order Key, from Oldest, 60s retry - dead - pubsub raw false
              event.type == "refund" → POST /refunds
              always → POST /all
              always → POST /payments
            web takes payments group Some("shared") 16 at a time, order Key, from Oldest, 60s retry - dead - pubsub raw false
              event.type == "refund" → POST /refunds
              always → POST /all
              always → POST /payments
        "#]],
    );
}

#[test]
fn a_subscription_may_use_the_usual_name_without_a_component() {
    check(
        &[
            ("flotilla.yaml", OWN),
            ("components/b.yaml", SUBSCRIPTIONS.split("---").next().unwrap()),
        ],
        expect![[r#"
            auto
            pubsub pubsub of [] group None prefix "" (pubsub.flotilla)
            api takes orders group None 16 at a time, order Key, from Oldest, 60s retry 3 200ms..1s dead poison pubsub raw true bulk (10, 50ms)
              always → POST /orders
        "#]],
    );
}

#[test]
fn subscriptions_that_cannot_be_are_told() {
    let head = |name: &str| {
        format!(
            "---\napiVersion: dapr.io/v2alpha1\nkind: Subscription\nmetadata: {{ name: {name} }}\n"
        )
    };
    let text = [
        pubsub("pubsub", "pubsub.in-memory", &[("subscriptionScopes", "api=a")]),
        head("nothing") + "spec: {}\n",
        head("nowhere") + "spec: { topic: a, pubsubname: pubsub }\n",
        head("typo") + "spec: { topic: a, pubsubname: pubsb, routes: { default: /a } }\n",
        head("wild") + "spec: { topic: 'a/#', pubsubname: pubsub, routes: { default: /a } }\n",
        head("cel")
            + "spec: { topic: a, pubsubname: pubsub, routes: { rules: [{ match: 'evnt.type == 1', path: /x }] } }\n",
        head("dead")
            + "spec: { topic: c, pubsubname: pubsub, route: /a, deadLetterTopic: '#' }\nscopes: [web]\n",
        head("denied") + "spec: { topic: b, pubsubname: pubsub, route: /b }\nscopes: [api]\n",
        head("first") + "spec: { topic: a, pubsubname: pubsub, route: /a }\nscopes: [api]\n",
        head("again")
            + "spec: { topic: a, pubsubname: pubsub, route: /b, extra: 1 }\nscopes: [api]\n",
    ];
    check(
        &[("flotilla.yaml", OWN), ("components/a.yaml", &text.concat())],
        expect![[r#"
            error[F004]: the subscription `nothing` does not say to what
               ┌─ components/a.yaml:11:19
            11 │ metadata: { name: nothing }
               │                   ^^^^^^^
               help: write `spec: { pubsubname: …, topic: … }`
            warning[F022]: the subscription `nowhere` leads nowhere
               ┌─ components/a.yaml:16:19
            16 │ metadata: { name: nowhere }
               │                   ^^^^^^^ it has no route
               help: write `route: /path`, in version 2 `routes: { default: /path }`
            warning[F022]: there is no component `pubsb`
               ┌─ components/a.yaml:22:31
            22 │ spec: { topic: a, pubsubname: pubsb, routes: { default: /a } }
               │                               ^^^^^ did you mean `pubsub`?
               help: the subscription is left out
            warning[F022]: there is no topic `a/#`
               ┌─ components/a.yaml:27:16
            27 │ spec: { topic: 'a/#', pubsubname: pubsub, routes: { default: /a } }
               │                ^^^^^ must not have '#' in it: names have letters, digits and `. _ - / : @`
               help: the subscription is left out
            error[F032]: a `match` of the subscription `cel` cannot be used
               ┌─ components/a.yaml:32:67
            32 │ spec: { topic: a, pubsubname: pubsub, routes: { rules: [{ match: 'evnt.type == 1', path: /x }] } }
               │                                                                   ^^^^ there is no `evnt` (do you mean `event`?)
            warning[F022]: there is no topic `#`
               ┌─ components/a.yaml:37:67
            37 │ spec: { topic: c, pubsubname: pubsub, route: /a, deadLetterTopic: '#' }
               │                                                                   ^^^^ must not have '#' in it: names have letters, digits and `. _ - / : @`
               help: dead letters go where those of the topic go
            warning[F022]: app `api` may not subscribe to topic `b`
               ┌─ components/a.yaml:43:16
            43 │ spec: { topic: b, pubsubname: pubsub, route: /b }
               │                ^ the component `pubsub` does not let it
            warning[F022]: app `api` subscribes to topic `a` twice
               ┌─ components/a.yaml:55:16
            55 │ spec: { topic: a, pubsubname: pubsub, route: /b, extra: 1 }
               │                ^ given again here
               help: the first subscription is kept; write the routes into one
            warning[F022]: `spec.extra` of a Subscription is not honoured
               ┌─ components/a.yaml:55:50
            55 │ spec: { topic: a, pubsubname: pubsub, route: /b, extra: 1 }
               │                                                  ^^^^^ has no effect here
        "#]],
    );
}
