//! What is told of a file whose events are wrong.
#![expect(clippy::too_many_lines, reason = "what is shown is long")]

use super::coordination_problems::check;
use expect_test::expect;

#[test]
fn topics_that_contradict_themselves_are_told() {
    check(
        "\
services: { api: {} }
topics:
  a b: {}
  flotilla.runs: {}
  events:x: {}
  yes: true
  a: { retain: 7, max: 0, dedup: 2d, dead_letter: a, retention: 1d, parts: 3 }
  b: { retain: 0s, retry: { max: 0, backoff: 1m..1s }, dead_letter: nowhere }
  c: { retry: { max: many, backoff: x } }
",
        expect![[r#"
            error[F004]: `a b` cannot be the name of a topic
              ┌─ flotilla.yaml:3:3
            3 │   a b: {}
              │   ^^^ must not have ' ' in it: names have letters, digits and `. _ - / : @`
            error[F004]: `flotilla.runs` cannot be the name of a topic
              ┌─ flotilla.yaml:4:3
            4 │   flotilla.runs: {}
              │   ^^^^^^^^^^^^^ names that begin with `flotilla.` are the node's own
            error[F004]: `events:x` cannot be the name of a topic
              ┌─ flotilla.yaml:5:3
            5 │   events:x: {}
              │   ^^^^^^^^ what begins with `events:` means streams of events, not a topic
            error[F003]: topic `yes` has the wrong type
              ┌─ flotilla.yaml:6:8
            6 │   yes: true
              │        ^^^^ only `auto` is true or false
              help: write `yes: {}`
            error[F004]: `topics.a.retain` cannot be `7`
              ┌─ flotilla.yaml:7:16
            7 │   a: { retain: 7, max: 0, dedup: 2d, dead_letter: a, retention: 1d, parts: 3 }
              │                ^ `7` is not a duration: write a number with a unit, for example 500ms, 10s, 1m30s, 2h, 7d, or forever
            error[F004]: topic `a` would keep nothing
              ┌─ flotilla.yaml:7:24
            7 │   a: { retain: 7, max: 0, dedup: 2d, dead_letter: a, retention: 1d, parts: 3 }
              │                        ^ must be more than 0
              help: remove `max` to keep any number of bytes
            error[F004]: `dedup` of topic `a` is too long
              ┌─ flotilla.yaml:7:34
            7 │   a: { retain: 7, max: 0, dedup: 2d, dead_letter: a, retention: 1d, parts: 3 }
              │                                  ^^ ids are remembered for 1d at most
            error[F004]: dead letters of topic `a` would go to where they are from
              ┌─ flotilla.yaml:7:51
            7 │   a: { retain: 7, max: 0, dedup: 2d, dead_letter: a, retention: 1d, parts: 3 }
              │                                                   ^ a message that cannot be delivered would come again without end
              help: write `true` for `a.dead`, or the name of another topic
            error[F002]: unknown key `retention` in `topics.a`
              ┌─ flotilla.yaml:7:54
            7 │   a: { retain: 7, max: 0, dedup: 2d, dead_letter: a, retention: 1d, parts: 3 }
              │                                                      ^^^^^^^^^
              help: write `retain:`
            error[F002]: unknown key `parts` in `topics.a`
              ┌─ flotilla.yaml:7:69
            7 │   a: { retain: 7, max: 0, dedup: 2d, dead_letter: a, retention: 1d, parts: 3 }
              │                                                                     ^^^^^
              help: the keys here are retain, max, dedup, retry, dead_letter
            error[F004]: `topics.b.retain` cannot be `0s`
              ┌─ flotilla.yaml:8:16
            8 │   b: { retain: 0s, retry: { max: 0, backoff: 1m..1s }, dead_letter: nowhere }
              │                ^^ must be 1s or more; write forever for no end
            error[F004]: `topics.b.retry.max` cannot be `0`
              ┌─ flotilla.yaml:8:34
            8 │   b: { retain: 0s, retry: { max: 0, backoff: 1m..1s }, dead_letter: nowhere }
              │                                  ^ must be a whole number from 1 to 1000000, or none
            error[F004]: `topics.b.retry.backoff` cannot be `1m..1s`
              ┌─ flotilla.yaml:8:46
            8 │   b: { retain: 0s, retry: { max: 0, backoff: 1m..1s }, dead_letter: nowhere }
              │                                              ^^^^^^ the first pause is longer than the longest one
            error[F004]: there is no topic `nowhere`
              ┌─ flotilla.yaml:8:69
            8 │   b: { retain: 0s, retry: { max: 0, backoff: 1m..1s }, dead_letter: nowhere }
              │                                                                     ^^^^^^^ not in the file
              help: write `topics: { nowhere: {} }` at the top level, or `topics: { auto: true }`; there are a, b, c
            error[F003]: `topics.c.retry.max` has the wrong type
              ┌─ flotilla.yaml:9:22
            9 │   c: { retry: { max: many, backoff: x } }
              │                      ^^^^ `many` is not a whole number from 1 to 1000000, or none
            error[F004]: `topics.c.retry.backoff` cannot be `x`
              ┌─ flotilla.yaml:9:37
            9 │   c: { retry: { max: many, backoff: x } }
              │                                     ^ `x` is no pause: write two durations such as 1s..1m, or one
        "#]],
    );
    check(
        "services: { api: {} }\ntopics: { auto: }\n",
        expect![[r#"
        error[F003]: `topics.auto` is empty
          ┌─ flotilla.yaml:2:11
        2 │ topics: { auto: }
          │           ^^^^
          help: write `auto: true`, or `auto: {}` for a topic of that name
    "#]],
    );
    check(
        "services: { api: {} }\ntopics: { auto: perhaps }\n",
        expect![[r#"
        error[F003]: `topics.auto` has the wrong type
          ┌─ flotilla.yaml:2:17
        2 │ topics: { auto: perhaps }
          │                 ^^^^^^^ `perhaps` is not true or false
    "#]],
    );
}

#[test]
fn a_topic_that_nobody_makes_is_told_wherever_it_is_named() {
    check(
        "\
services:
  api: { db: sqlite, outbox: true, subscribes: { order.craeted: /a, stock: { to: /b, dead_letter: lost } } }
topics: { order.created: { dead_letter: order.faild }, order.failed: {} }
schedules: { s: { every: 1m, publish: reports } }
",
        expect![[r#"
            error[F004]: there is no topic that `outbox.event.{aggregatetype}` could mean
              ┌─ flotilla.yaml:2:22
            2 │   api: { db: sqlite, outbox: true, subscribes: { order.craeted: /a, stock: { to: /b, dead_letter: lost } } }
              │                      ^^^^^^ not in the file
              help: add its topics under `topics:`, or write `topics: { auto: true }`; there are order.created, order.failed
            error[F004]: there is no topic `order.craeted`
              ┌─ flotilla.yaml:2:50
            2 │   api: { db: sqlite, outbox: true, subscribes: { order.craeted: /a, stock: { to: /b, dead_letter: lost } } }
              │                                                  ^^^^^^^^^^^^^ did you mean `order.created`?
            error[F004]: there is no topic `stock`
              ┌─ flotilla.yaml:2:69
            2 │   api: { db: sqlite, outbox: true, subscribes: { order.craeted: /a, stock: { to: /b, dead_letter: lost } } }
              │                                                                     ^^^^^ not in the file
              help: write `topics: { stock: {} }` at the top level, or `topics: { auto: true }`; there are order.created, order.failed
            error[F004]: there is no topic `lost`
              ┌─ flotilla.yaml:2:99
            2 │   api: { db: sqlite, outbox: true, subscribes: { order.craeted: /a, stock: { to: /b, dead_letter: lost } } }
              │                                                                                                   ^^^^ not in the file
              help: write `topics: { lost: {} }` at the top level, or `topics: { auto: true }`; there are order.created, order.failed
            error[F004]: there is no topic `order.faild`
              ┌─ flotilla.yaml:3:41
            3 │ topics: { order.created: { dead_letter: order.faild }, order.failed: {} }
              │                                         ^^^^^^^^^^^ did you mean `order.failed`?
            error[F004]: there is no topic `reports`
              ┌─ flotilla.yaml:4:39
            4 │ schedules: { s: { every: 1m, publish: reports } }
              │                                       ^^^^^^^ not in the file
              help: write `topics: { reports: {} }` at the top level, or `topics: { auto: true }`; there are order.created, order.failed
        "#]],
    );
    check(
        "services: { api: { subscribes: { a: /a } } }\n",
        expect![[r#"
        error[F004]: there is no topic `a`
          ┌─ flotilla.yaml:1:34
        1 │ services: { api: { subscribes: { a: /a } } }
          │                                  ^ not in the file
          help: write `topics: { a: {} }` at the top level, or `topics: { auto: true }`
    "#]],
    );
}

#[test]
fn subscriptions_that_lead_nowhere_are_told() {
    check(
        "\
services:
  api:
    subscribes:
      a: GET /a
      b: b
      c: { routes: [{ to: /x }, { when: 'event.typ == 1 &&', to: /y }, { when: 'evnt.type == 1' }] }
      d: { types: [x], order: all, concurrency: 4, to: /d }
      e: { to: /e, timeout: 0s, format: json, start: newest }
      f:
      events:a-b: /x
      events:a: { to: /y, order: all, routes: [] }
      x y: /x
  web: { listen: false, subscribes: { a: /a } }
jobs: { seed: { run: x, subscribes: { a: /a } } }
topics: { auto: true }
",
        expect![[r#"
            error[F004]: `subscribes.a` of service `api` cannot be `GET /a`
              ┌─ flotilla.yaml:4:10
            4 │       a: GET /a
              │          ^^^^^^ `GET` is none of the methods POST, PUT, PATCH
            error[F004]: `subscribes.b` of service `api` cannot be `b`
              ┌─ flotilla.yaml:5:10
            5 │       b: b
              │          ^ the path must begin with `/`
            error[F004]: a route of `c` hides those after it
              ┌─ flotilla.yaml:6:21
            6 │       c: { routes: [{ to: /x }, { when: 'event.typ == 1 &&', to: /y }, { when: 'evnt.type == 1' }] }
              │                     ^^^^^^^^^^ it has no `when`, so it takes every message
              help: write `when:`, or put it last
            error[F032]: `subscribes.c.routes.when` of service `api` cannot be `event.typ == 1 &&`
              ┌─ flotilla.yaml:6:58
            6 │       c: { routes: [{ to: /x }, { when: 'event.typ == 1 &&', to: /y }, { when: 'evnt.type == 1' }] }
              │                                                          ^ ends too early
            error[F004]: a route of `c` leads nowhere
              ┌─ flotilla.yaml:6:72
            6 │       c: { routes: [{ to: /x }, { when: 'event.typ == 1 &&', to: /y }, { when: 'evnt.type == 1' }] }
              │                                                                        ^^^^^^^^^^^^^^^^^^^^^^^^^^
              help: write `to: POST /path`
            error[F032]: `subscribes.c.routes.when` of service `api` cannot be `evnt.type == 1`
              ┌─ flotilla.yaml:6:81
            6 │       c: { routes: [{ to: /x }, { when: 'event.typ == 1 &&', to: /y }, { when: 'evnt.type == 1' }] }
              │                                                                                 ^^^^ there is no `evnt` (do you mean `event`?)
            error[F004]: `types` means nothing to a topic
              ┌─ flotilla.yaml:7:12
            7 │       d: { types: [x], order: all, concurrency: 4, to: /d }
              │            ^^^^^
              help: write `routes: [{ when: "event.type == '…'", to: … }]`, or `events:…` as the key for streams of events
            error[F004]: `order: all` takes one message at a time
              ┌─ flotilla.yaml:7:49
            7 │       d: { types: [x], order: all, concurrency: 4, to: /d }
              │                                                 ^ this many would be out of order
              help: remove `concurrency`, or write `order: key`
            error[F004]: this cannot be a `timeout`
              ┌─ flotilla.yaml:8:29
            8 │       e: { to: /e, timeout: 0s, format: json, start: newest }
              │                             ^^ must be longer than 0 and at most 1d
            error[F004]: `subscribes.e.format` of service `api` cannot be `json`
              ┌─ flotilla.yaml:8:41
            8 │       e: { to: /e, timeout: 0s, format: json, start: newest }
              │                                         ^^^^ must be one of structured, binary, raw
            error[F004]: `subscribes.e.start` of service `api` cannot be `newest`
              ┌─ flotilla.yaml:8:54
            8 │       e: { to: /e, timeout: 0s, format: json, start: newest }
              │                                                      ^^^^^^ did you mean `new`?
              help: must be one of new, oldest
            error[F004]: the subscription to `f` leads nowhere
              ┌─ flotilla.yaml:9:7
            9 │       f:
              │       ^
              help: write `to: POST /path`
            error[F004]: `events:a-b` does not say which streams
               ┌─ flotilla.yaml:10:7
            10 │       events:a-b: /x
               │       ^^^^^^^^^^ a category ends before the first `-` of a stream's name
               help: write `events:account` for the streams of a category, or `events:*` for all
            error[F004]: `order` means nothing to streams of events
               ┌─ flotilla.yaml:11:27
            11 │       events:a: { to: /y, order: all, routes: [] }
               │                           ^^^^^
               help: events of streams come one after the other
            error[F004]: `routes` means nothing to streams of events
               ┌─ flotilla.yaml:11:39
            11 │       events:a: { to: /y, order: all, routes: [] }
               │                                       ^^^^^^
               help: choose events by `types:` and `tags:`
            error[F004]: `x y` cannot be the name of a topic
               ┌─ flotilla.yaml:12:7
            12 │       x y: /x
               │       ^^^ must not have ' ' in it: names have letters, digits and `. _ - / : @`
            error[F004]: service `web` cannot be sent messages
               ┌─ flotilla.yaml:13:25
            13 │   web: { listen: false, subscribes: { a: /a } }
               │                         ^^^^^^^^^^ it does not listen
               help: remove `listen: false`, or let it take messages from its app API
            error[F002]: unknown key `subscribes` in job `seed`
               ┌─ flotilla.yaml:14:25
            14 │ jobs: { seed: { run: x, subscribes: { a: /a } } }
               │                         ^^^^^^^^^^
               help: a job serves no requests; only services have this key
        "#]],
    );
}

#[test]
fn two_of_one_group_are_told() {
    check(
        "\
services:
  api: { subscribes: { a: { to: /a, group: web }, events:x: { to: /x, group: g } } }
  web: { subscribes: { a: /a, events:y: { to: /y, group: g } } }
topics: { a: {} }
",
        expect![[r#"
            error[F005]: two subscriptions to topic `a` have the group `web`
              ┌─ flotilla.yaml:3:24
            3 │   web: { subscribes: { a: /a, events:y: { to: /y, group: g } } }
              │                        ^ service `api` has it already
              help: each message goes to one of a group only; write another `group:`
            error[F005]: two subscriptions to streams are called `g`
              ┌─ flotilla.yaml:3:31
            3 │   web: { subscribes: { a: /a, events:y: { to: /y, group: g } } }
              │                               ^^^^^^^^ service `api` has it already
              help: each message goes to one of a group only; write another `group:`
        "#]],
    );
}
