//! What is told of a file whose schedules, outboxes or broker are wrong.
#![expect(clippy::too_many_lines, reason = "what is shown is long")]

use super::coordination_problems::check;
use super::told;
use expect_test::expect;

#[test]
fn schedules_that_contradict_themselves_are_told() {
    check(
        "\
services: { api: {}, web: { listen: false } }
jobs: { seed: { run: x } }
topics: { a: {} }
schedules:
  none: {}
  both: { cron: '@daily', every: 1m, call: api, publish: a }
  bad: { cron: 0 25 * * *, call: api/run }
  often: { every: 1ms, zone: UTC, call: api/run }
  zones: { cron: 'TZ=UTC 0 3 * * *', zone: UTC, call: api }
  mars: { cron: '@daily', zone: 'a b', call: api }
  typo: { every: 1m, call: POST aip/run }
  deaf: { every: 1m, call: web/run }
  job: { every: 1m, call: seed }
  post: { every: 1m, call: PUSH api/run }
  slow: { every: 1m, publish: a, timeout: 1s, url: x }
  'a b': { every: 1m, publish: a }
",
        expect![[r#"
            error[F004]: schedule `none` has neither `cron` nor `every`
              ┌─ flotilla.yaml:5:3
            5 │   none: {}
              │   ^^^^
              help: write `cron: "0 3 * * *"`, or `every: 5m`
            error[F004]: schedule `none` has neither `call` nor `publish`
              ┌─ flotilla.yaml:5:3
            5 │   none: {}
              │   ^^^^
              help: write `call: POST service/path`, or `publish: topic`
            error[F004]: schedule `both` has both `cron` and `every`
              ┌─ flotilla.yaml:6:27
            6 │   both: { cron: '@daily', every: 1m, call: api, publish: a }
              │                           ^^^^^
              help: remove one of them
            error[F004]: schedule `both` has both `call` and `publish`
              ┌─ flotilla.yaml:6:49
            6 │   both: { cron: '@daily', every: 1m, call: api, publish: a }
              │                                                 ^^^^^^^
              help: remove one of them
            error[F004]: `schedules.bad.cron` cannot be `0 25 * * *`
              ┌─ flotilla.yaml:7:16
            7 │   bad: { cron: 0 25 * * *, call: api/run }
              │                ^^^^^^^^^^ `25` is no hour: write 0 to 23, `*`, a range `a-b`, a step `*/n` or a list `a,b`
            error[F004]: `every` of schedule `often` is too short
              ┌─ flotilla.yaml:8:19
            8 │   often: { every: 1ms, zone: UTC, call: api/run }
              │                   ^^^ must be 1s or more
            error[F004]: `zone` of schedule `often` means nothing
              ┌─ flotilla.yaml:8:24
            8 │   often: { every: 1ms, zone: UTC, call: api/run }
              │                        ^^^^ `every` counts from run to run
              help: remove it, or write `cron:`
            error[F004]: the time zone stands in `cron` already
              ┌─ flotilla.yaml:9:38
            9 │   zones: { cron: 'TZ=UTC 0 3 * * *', zone: UTC, call: api }
              │                                      ^^^^
              help: remove one
            error[F004]: `schedules.mars.zone` cannot be `a b`
               ┌─ flotilla.yaml:10:33
            10 │   mars: { cron: '@daily', zone: 'a b', call: api }
               │                                 ^^^^^ must be the name of a time zone such as Europe/Berlin or UTC
            error[F006]: there is no service `aip`
               ┌─ flotilla.yaml:11:33
            11 │   typo: { every: 1m, call: POST aip/run }
               │                                 ^^^ did you mean `api`?
            error[F004]: `web` cannot be called
               ┌─ flotilla.yaml:12:28
            12 │   deaf: { every: 1m, call: web/run }
               │                            ^^^ it does not listen
               help: a job with `schedule:` runs a program at times
            error[F004]: `seed` cannot be called
               ┌─ flotilla.yaml:13:27
            13 │   job: { every: 1m, call: seed }
               │                           ^^^^ it is a job, which serves no requests
               help: a job with `schedule:` runs a program at times
            error[F004]: `schedules.post.call` cannot be `PUSH api/run`
               ┌─ flotilla.yaml:14:28
            14 │   post: { every: 1m, call: PUSH api/run }
               │                            ^^^^^^^^^^^^ `PUSH` is none of the methods GET, POST, PUT, PATCH, DELETE
            error[F004]: `timeout` of schedule `slow` bounds nothing
               ┌─ flotilla.yaml:15:34
            15 │   slow: { every: 1m, publish: a, timeout: 1s, url: x }
               │                                  ^^^^^^^ nothing is called
               help: remove it; a subscription to the topic has a `timeout` of its own
            error[F002]: unknown key `url` in `schedules.slow`
               ┌─ flotilla.yaml:15:47
            15 │   slow: { every: 1m, publish: a, timeout: 1s, url: x }
               │                                               ^^^
               help: write `call:`
            error[F004]: `a b` cannot be the name of a schedule
               ┌─ flotilla.yaml:16:3
            16 │   'a b': { every: 1m, publish: a }
               │   ^^^^^ must not have ' ' in it
        "#]],
    );
}

#[test]
fn outboxes_without_a_database_are_told() {
    check(
        "\
services:
  api: { outbox: true }
  web: { db: 'mysql://u:hunter2@h/x', outbox: true }
  users: { outbox: { url: 'mysql://u:hunter2@h/x', table: 'a;b', topic: '{kind}', db: x } }
topics: { auto: true }
",
        expect![[r#"
            error[F004]: service `api` has no database for an outbox
              ┌─ flotilla.yaml:2:10
            2 │   api: { outbox: true }
              │          ^^^^^^ no table to read from
              help: write `db: sqlite` beside it, or `outbox: { url: … }`
            error[F004]: the database of service `web` cannot have an outbox
              ┌─ flotilla.yaml:3:39
            3 │   web: { db: 'mysql://u:hunter2@h/x', outbox: true }
              │                                       ^^^^^^ the databases with an outbox are SQLite and PostgreSQL
              help: write `db: sqlite` beside it, or `outbox: { url: … }`
            error[F004]: `outbox.url` of service `users` cannot be used
              ┌─ flotilla.yaml:4:27
            4 │   users: { outbox: { url: 'mysql://u:hunter2@h/x', table: 'a;b', topic: '{kind}', db: x } }
              │                           ^^^^^^^^^^^^^^^^^^^^^^^ the databases with an outbox are sqlite:///folder/file.db and postgres://host/name
            error[F004]: `outbox.table` of service `users` cannot be `a;b`
              ┌─ flotilla.yaml:4:59
            4 │   users: { outbox: { url: 'mysql://u:hunter2@h/x', table: 'a;b', topic: '{kind}', db: x } }
              │                                                           ^^^^^ must be a table's name of letters, digits and `_`, perhaps after a schema and a dot
            error[F004]: `outbox.topic` of service `users` cannot be `{kind}`
              ┌─ flotilla.yaml:4:73
            4 │   users: { outbox: { url: 'mysql://u:hunter2@h/x', table: 'a;b', topic: '{kind}', db: x } }
              │                                                                         ^^^^^^^^ the only placeholder is {aggregatetype}
            error[F002]: unknown key `db` in `outbox` of service `users`
              ┌─ flotilla.yaml:4:83
            4 │   users: { outbox: { url: 'mysql://u:hunter2@h/x', table: 'a;b', topic: '{kind}', db: x } }
              │                                                                                   ^^
              help: write `url:`; the service's own `db:` is the default
        "#]],
    );
}

#[test]
fn brokers_that_contradict_themselves_are_told() {
    check(
        "services: { api: {} }\nengines: { broker: { url: embedded, prefix: x, replicas: 9, server: x } }\n",
        expect![[r#"
            error[F004]: `prefix` means nothing to the embedded engine
              ┌─ flotilla.yaml:2:37
            2 │ engines: { broker: { url: embedded, prefix: x, replicas: 9, server: x } }
              │                                     ^^^^^^
              help: remove it, or write `url: "nats://…"`
            error[F004]: `replicas` means nothing to the embedded engine
              ┌─ flotilla.yaml:2:48
            2 │ engines: { broker: { url: embedded, prefix: x, replicas: 9, server: x } }
              │                                                ^^^^^^^^
              help: remove it, or write `url: "nats://…"`
            error[F004]: `engines.broker.replicas` cannot be `9`
              ┌─ flotilla.yaml:2:58
            2 │ engines: { broker: { url: embedded, prefix: x, replicas: 9, server: x } }
              │                                                          ^ must be a whole number from 1 to 5
            error[F002]: unknown key `server` in `engines.broker`
              ┌─ flotilla.yaml:2:61
            2 │ engines: { broker: { url: embedded, prefix: x, replicas: 9, server: x } }
              │                                                             ^^^^^^
              help: the keys here are url, user, password, token, ca, cert, key, prefix, replicas
        "#]],
    );
    check(
        "services: { api: {} }\nengines: { broker: { token: x } }\n",
        expect![[r#"
        error[F004]: `broker` has no `url`
          ┌─ flotilla.yaml:2:20
        2 │ engines: { broker: { token: x } }
          │                    ^^^^^^^^^^^^
          help: write `url: "nats://host:4222"`
    "#]],
    );
    check(
        "services: { api: {} }\nengines: { broker: { url: 'nats://t@h', token: x, prefix: a.b, ca: x } }\n",
        expect![[r#"
            error[F004]: `token` stands here and in `url`
              ┌─ flotilla.yaml:2:41
            2 │ engines: { broker: { url: 'nats://t@h', token: x, prefix: a.b, ca: x } }
              │                                         ^^^^^
              help: remove one of them
            error[F004]: `engines.broker.prefix` cannot be `a.b`
              ┌─ flotilla.yaml:2:59
            2 │ engines: { broker: { url: 'nats://t@h', token: x, prefix: a.b, ca: x } }
              │                                                           ^^^ must be 1 to 54 letters, digits, `-` and `_`
            error[F004]: `ca` is for encrypted connections
              ┌─ flotilla.yaml:2:64
            2 │ engines: { broker: { url: 'nats://t@h', token: x, prefix: a.b, ca: x } }
              │                                                                ^^ the url is not encrypted
              help: write `url: "natss://…"`
            error[F010]: the file `x` does not exist
              ┌─ flotilla.yaml:2:68
            2 │ engines: { broker: { url: 'nats://t@h', token: x, prefix: a.b, ca: x } }
              │                                                                    ^
              = looked for x
        "#]],
    );
    check(
        "services: { api: {} }\nengines: { broker: { url: 'nats://h', token: x, user: a, password: b } }\n",
        expect![[r#"
            error[F004]: `token` and `user` exclude each other
              ┌─ flotilla.yaml:2:39
            2 │ engines: { broker: { url: 'nats://h', token: x, user: a, password: b } }
              │                                       ^^^^^
              help: remove one of them
        "#]],
    );
}

#[test]
fn a_name_that_a_broker_has_no_room_for_is_told() {
    let name = "a-system-with-a-name-that-says-everything-there-is-to-say";
    check(
        &format!("name: {name}\nservices: {{ api: {{}} }}\nengines: {{ broker: 'nats://h' }}\n"),
        expect![[r#"
            error[F004]: the system's name is too long to stand before names in the cluster
              ┌─ flotilla.yaml:3:20
            3 │ engines: { broker: 'nats://h' }
              │                    ^^^^^^^^^^^ `a-system-with-a-name-that-says-everything-there-is-to-say` has more than 54 characters
              help: write `prefix:` beside `url:`
        "#]],
    );
    let prefix = "x".repeat(55);
    check(
        &format!(
            "services: {{ api: {{}} }}\nengines: {{ broker: {{ url: 'nats://h', prefix: {prefix} }} }}\n"
        ),
        expect![[r#"
            error[F004]: `engines.broker.prefix` cannot be `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx`
              ┌─ flotilla.yaml:2:47
            2 │ engines: { broker: { url: 'nats://h', prefix: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx } }
              │                                               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ must be 1 to 54 letters, digits, `-` and `_`
        "#]],
    );
}

#[test]
fn a_wrong_broker_is_told_without_its_password() {
    for url in ["kafka://u:hunter2@h", "nats://u:%hunter2@h", "hunter2"] {
        let text =
            told(&format!("services: {{ api: {{}} }}\nengines: {{ broker: '${{B:-{url}}}' }}\n"));
        assert!(text.contains("`engines.broker` cannot be used"), "{text}");
    }
}

#[test]
fn secrets_have_no_place_in_topics_and_data() {
    check(
        "\
services: { api: {} }
topics: { a: {} }
schedules: { s: { every: 1m, publish: a, data: { token: '${secret:T}', unset: '${UNSET}' } } }
",
        expect![[r#"
            error[F004]: `schedules.s.data.token` cannot hold a secret
              ┌─ flotilla.yaml:3:58
            3 │ schedules: { s: { every: 1m, publish: a, data: { token: '${secret:T}', unset: '${UNSET}' } } }
              │                                                          ^^^^^^^^^ `${secret:NAME}` is not replaced here
              help: it may stand in `env`, `db`, `engines`, and `api` and `outbox` of a service
            error[F011]: the environment variable `UNSET` is not set
              ┌─ flotilla.yaml:3:80
            3 │ schedules: { s: { every: 1m, publish: a, data: { token: '${secret:T}', unset: '${UNSET}' } } }
              │                                                                                ^^^^^^^ and there is no default
              help: set it, or give it a default: `${UNSET:-value}`; `$$` is a dollar sign
        "#]],
    );
}
