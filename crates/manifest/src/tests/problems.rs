//! What a broken file gets: keys, types, values, variables.
#![expect(clippy::too_many_lines, reason = "what is told is long")]

use super::{loaded, told};
use expect_test::{Expect, expect};

fn check(yaml: &str, expected: Expect) {
    expected.assert_eq(&told(yaml));
}

#[test]
fn a_good_file_has_no_problems() {
    check(
        "services: { api: {}, web: { needs: [api] } }\ngateway: { routes: { /: web } }\n",
        expect![[""]],
    );
}

#[test]
fn all_problems_of_a_file_are_told_at_once_in_its_order() {
    check(
        "\
name: shop
services:
  api:
    instnaces: 3
    needs: [usres, web]
    stop: { drain: 10 }
  web:
    instances: many
    needs: [api]
    health: ready
  users:
    limits: { memory: 512X, cpu: a lot }
    run: [a, b
      , c]
    run: twice
gateway:
  routes:
    /api: apo
    api: api
",
        expect![[r#"
            error[F002]: unknown key `instnaces` in service `api`
              ┌─ flotilla.yaml:4:5
            4 │     instnaces: 3
              │     ^^^^^^^^^ did you mean `instances`?
            error[F006]: there is no service `usres`
              ┌─ flotilla.yaml:5:13
            5 │     needs: [usres, web]
              │             ^^^^^ did you mean `users`?
            error[F004]: `stop.drain` of service `api` cannot be `10`
              ┌─ flotilla.yaml:6:20
            6 │     stop: { drain: 10 }
              │                    ^^ `10` is not a duration: write a number with a unit, for example 500ms, 10s, 1m30s, 2h, 7d
            error[F003]: `instances` of service `web` has the wrong type
              ┌─ flotilla.yaml:8:16
            8 │     instances: many
              │                ^^^^ `many` is not a whole number from 1 to 1000
            error[F007]: services need each other in a circle: api → web → api
              ┌─ flotilla.yaml:9:13
            9 │     needs: [api]
              │             ^^^ this closes the circle
              help: none of them could start first: remove one of these needs; calls back can go through the gateway
            error[F004]: `health` of service `web` cannot be `ready`
               ┌─ flotilla.yaml:10:13
            10 │     health: ready
               │             ^^^^^ must be a path that begins with `/`
            error[F004]: `limits.memory` of service `users` cannot be `512X`
               ┌─ flotilla.yaml:12:23
            12 │     limits: { memory: 512X, cpu: a lot }
               │                       ^^^^ `512X` is not a size: write a number with a unit, for example 64KiB, 512Mi, 1GiB, 10MB
            error[F004]: `limits.cpu` of service `users` cannot be `a lot`
               ┌─ flotilla.yaml:12:34
            12 │     limits: { memory: 512X, cpu: a lot }
               │                                  ^^^^^ must be a number of cores such as 0.5
            error[F005]: the key `run` is given twice
               ┌─ flotilla.yaml:15:5
            15 │     run: twice
               │     ^^^ given again here
               = it is given first in line 13
               help: keep one of them
            error[F006]: there is no service `apo`
               ┌─ flotilla.yaml:18:11
            18 │     /api: apo
               │           ^^^ did you mean `api`?
            error[F008]: the route `api` can never match
               ┌─ flotilla.yaml:19:5
            19 │     api: api
               │     ^^^ a path begins with `/`
               help: a route is `/prefix`, `= /exact`, `GET /prefix` or `api.example.com/prefix`
        "#]],
    );
}

#[test]
fn text_that_is_not_yaml_is_shown_with_its_place() {
    check(
        "services:\n\tapi: {}\n",
        expect![[r#"
        error[F001]: this is not valid YAML
          ┌─ flotilla.yaml:2:2
        2 │  api: {}
          │  ^ tabs disallowed within this context (block indentation)
          help: YAML is indented with spaces, not with tabs
    "#]],
    );
    check(
        "services: { api: {}\n",
        expect![[r#"
        error[F001]: this is not valid YAML
          ┌─ flotilla.yaml:1:20
        1 │ services: { api: {}
          │                    ^ while parsing a flow mapping, did not find expected ',' or '}'
          help: check the indentation, and quote texts that have `: `, ` #`, `{`, `[` or a quote in them
    "#]],
    );
    check(
        "a: b: c\n",
        expect![[r#"
        error[F001]: this is not valid YAML
          ┌─ flotilla.yaml:1:5
        1 │ a: b: c
          │     ^ mapping values are not allowed in this context
          help: check the indentation, and quote texts that have `: `, ` #`, `{`, `[` or a quote in them
    "#]],
    );
    check(
        "services: *missing\n",
        expect![[r#"
        error[F001]: this is not valid YAML
          ┌─ flotilla.yaml:1:11
        1 │ services: *missing
          │           ^ while parsing node, found unknown anchor
          help: check the indentation, and quote texts that have `: `, ` #`, `{`, `[` or a quote in them
    "#]],
    );
    check(
        "--- \nservices: {}\n---\nservices: {}\n",
        expect![[r#"
        error[F001]: a second document starts here
          ┌─ flotilla.yaml:3:1
        3 │ ---
          │ ^^^
          help: keep one document a file; `include:` reads further files
    "#]],
    );
    check(
        "services: !custom { api: {} }\n",
        expect![[r#"
        error[F001]: the YAML tag `!custom` is not supported
          ┌─ flotilla.yaml:1:11
        1 │ services: !custom { api: {} }
          │           ^^^^^^^^^^
          help: remove the tag
    "#]],
    );
    check(
        "services: &a { api: *a }\n",
        expect![[r#"
        error[F001]: this alias stands inside its own anchor
          ┌─ flotilla.yaml:1:21
        1 │ services: &a { api: *a }
          │                     ^^
          help: repeat the value instead
    "#]],
    );
    check(
        "? [a, b]\n: c\n",
        expect![[r#"
            error[F001]: a key must be a plain text
              ┌─ flotilla.yaml:1:8
            1 │ ? [a, b]
              │        ^
              help: quote the key if it has `{` or `[` in it, and a text with a place holder: "{{input.name}}"
        "#]],
    );
}

#[test]
fn a_file_that_says_nothing_is_told_what_to_write() {
    check(
        "",
        expect![[r#"
        error[F009]: the file is empty
          ┌─ flotilla.yaml:1:1
        1 │ 
          │ ^
          help: write `services:` with a service below, or let `flotilla init` write the file
    "#]],
    );
    check(
        "# only a comment\n",
        expect![[r#"
        error[F009]: the file is empty
          ┌─ flotilla.yaml:1:1
        1 │ # only a comment
          │ ^
          help: write `services:` with a service below, or let `flotilla init` write the file
    "#]],
    );
    check(
        "services:\n",
        expect![[r#"
        error[F009]: the file has no services
          ┌─ flotilla.yaml:1:1
        1 │ services:
          │ ^^^^^^^^
          help: write `services:` with a service below, such as `api: { run: ./api }`
    "#]],
    );
    check(
        "- a\n- b\n",
        expect![[r#"
        error[F003]: the file has the wrong type
          ┌─ flotilla.yaml:1:1
        1 │ - a
          │ ^ this is a list
          help: write a map
    "#]],
    );
}

#[test]
fn unknown_keys_are_errors_with_a_suggestion() {
    check(
        "servics: {}\nservices: { api: {} }\n",
        expect![[r#"
        error[F002]: unknown key `servics`
          ┌─ flotilla.yaml:1:1
        1 │ servics: {}
          │ ^^^^^^^ did you mean `services`?
    "#]],
    );
    check(
        "services: { api: { replicas: 3, depends_on: [web], ports: [80], colour: red }, web: {} }\n",
        expect![[r#"
            error[F002]: unknown key `replicas` in service `api`
              ┌─ flotilla.yaml:1:20
            1 │ services: { api: { replicas: 3, depends_on: [web], ports: [80], colour: red }, web: {} }
              │                    ^^^^^^^^
              help: write `instances:`
            error[F002]: unknown key `depends_on` in service `api`
              ┌─ flotilla.yaml:1:33
            1 │ services: { api: { replicas: 3, depends_on: [web], ports: [80], colour: red }, web: {} }
              │                                 ^^^^^^^^^^
              help: write `needs: [name, …]`
            error[F002]: unknown key `ports` in service `api`
              ┌─ flotilla.yaml:1:52
            1 │ services: { api: { replicas: 3, depends_on: [web], ports: [80], colour: red }, web: {} }
              │                                                    ^^^^^
              help: instances get their own `$PORT`; `port:` fixes it, `publish:` adds ports of a container
            error[F002]: unknown key `colour` in service `api`
              ┌─ flotilla.yaml:1:65
            1 │ services: { api: { replicas: 3, depends_on: [web], ports: [80], colour: red }, web: {} }
              │                                                                 ^^^^^^
              help: the keys here are dir, run, build, image, entrypoint, command, volumes, publish, user, workdir, instances, needs, balance, port, listen, health, timeout, retries, traffic, restart, stop, limits, env, env_file, db, subscribes, outbox, api, config, components, external
        "#]],
    );
    check(
        "services: { api: { health: { path: /x }, restart: { max: 3 } } }\n",
        expect![[r#"
        error[F002]: unknown key `path` in `health` of service `api`
          ┌─ flotilla.yaml:1:30
        1 │ services: { api: { health: { path: /x }, restart: { max: 3 } } }
          │                              ^^^^
          help: write `ready: /path`
        error[F002]: unknown key `max` in `restart` of service `api`
          ┌─ flotilla.yaml:1:53
        1 │ services: { api: { health: { path: /x }, restart: { max: 3 } } }
          │                                                     ^^^ not supported by this version yet
          help: remove `max`, or use a version that supports it
    "#]],
    );
    check(
        "jobs: { seed: { run: ./seed, instances: 2 } }\n",
        expect![[r#"
        error[F002]: unknown key `instances` in job `seed`
          ┌─ flotilla.yaml:1:30
        1 │ jobs: { seed: { run: ./seed, instances: 2 } }
          │                              ^^^^^^^^^
          help: a job serves no requests; only services have this key
    "#]],
    );
}

#[test]
fn keys_of_later_versions_are_said_to_be_so() {
    check(
        "services: { api: { scale: { min: 1 } } }\nmesh: {}\ngateway: { domain: a.example, routes: { /: { to: api, cache: 1m } } }\n",
        expect![[r#"
            error[F002]: unknown key `scale` in service `api`
              ┌─ flotilla.yaml:1:20
            1 │ services: { api: { scale: { min: 1 } } }
              │                    ^^^^^ not supported by this version yet
              help: remove `scale`, or use a version that supports it
            error[F002]: unknown key `mesh`
              ┌─ flotilla.yaml:2:1
            2 │ mesh: {}
              │ ^^^^ not supported by this version yet
              help: remove `mesh`, or use a version that supports it
            error[F002]: unknown key `domain` in `gateway`
              ┌─ flotilla.yaml:3:12
            3 │ gateway: { domain: a.example, routes: { /: { to: api, cache: 1m } } }
              │            ^^^^^^ not supported by this version yet
              help: remove `domain`, or use a version that supports it
            error[F002]: unknown key `cache` in route `/`
              ┌─ flotilla.yaml:3:55
            3 │ gateway: { domain: a.example, routes: { /: { to: api, cache: 1m } } }
              │                                                       ^^^^^ not supported by this version yet
              help: remove `cache`, or use a version that supports it
        "#]],
    );
}

#[test]
fn keys_that_begin_with_x_are_the_users_own() {
    check(
        "x-base: &base { env: { A: 1 } }\nservices: { api: { <<: *base, x-note: y } }\n",
        expect![[""]],
    );
}

#[test]
fn values_of_the_wrong_kind_say_what_is_wanted() {
    check(
        "services:\n  api:\n    instances: [1]\n    run:\n    needs: api\n    listen: yes\n    env: text\n    stop: 10s\n    volumes: { a: b }\n",
        expect![[r#"
            error[F003]: `instances` of service `api` has the wrong type
              ┌─ flotilla.yaml:3:16
            3 │     instances: [1]
              │                ^^^ this is a list
              help: write a whole number from 1 to 1000
            error[F003]: `run` of service `api` is empty
              ┌─ flotilla.yaml:4:5
            4 │     run:
              │     ^^^ nothing stands here
              help: write a command line or a list, or remove the key
            error[F003]: `needs` of service `api` has the wrong type
              ┌─ flotilla.yaml:5:12
            5 │     needs: api
              │            ^^^ `api` is not a list or a map by service
            error[F003]: `listen` of service `api` has the wrong type
              ┌─ flotilla.yaml:6:13
            6 │     listen: yes
              │             ^^^ `yes` is not true or false
            error[F003]: `env` of service `api` has the wrong type
              ┌─ flotilla.yaml:7:10
            7 │     env: text
              │          ^^^^ `text` is not a list or a map by variable
            error[F003]: `stop` of service `api` has the wrong type
              ┌─ flotilla.yaml:8:11
            8 │     stop: 10s
              │           ^^^ `10s` is not a map
            error[F004]: `volumes` is for containers, and this is a process
              ┌─ flotilla.yaml:9:5
            9 │     volumes: { a: b }
              │     ^^^^^^^ there is no `image`
              help: remove it, or add `image:`
            error[F003]: `volumes` of service `api` has the wrong type
              ┌─ flotilla.yaml:9:14
            9 │     volumes: { a: b }
              │              ^^^^^^^^ this is a map
              help: write a list
        "#]],
    );
    check(
        "services: [api, web]\n",
        expect![[r#"
        error[F003]: `services` has the wrong type
          ┌─ flotilla.yaml:1:11
        1 │ services: [api, web]
          │           ^^^^^^^^^^ this is a list
          help: write a map by service
    "#]],
    );
}

#[test]
fn values_that_cannot_be_read_say_what_is_wrong_with_them() {
    check(
        "\
services:
  api:
    instances: 2000
    balance: round-robin
    restart: alwyas
    stop: { grace: 30, signal: STOP }
    limits: { cpu: -1, memory: 0x10, pids: 0 }
    db: postgres
    port: 70000
    health: { ready: { http: health, failures: 0 }, start_timeout: soon }
    env: [NOVALUE]
jobs:
  nightly: { run: ./x, schedule: '61 * * * *' }
gateway: { listen: ':8080', routes: { /: api } }
admin: { listen: 'example.com:80' }
",
        expect![[r#"
            error[F004]: `instances` of service `api` cannot be `2000`
              ┌─ flotilla.yaml:3:16
            3 │     instances: 2000
              │                ^^^^ must be a whole number from 1 to 1000
            error[F004]: `balance` of service `api` cannot be `round-robin`
              ┌─ flotilla.yaml:4:14
            4 │     balance: round-robin
              │              ^^^^^^^^^^^ did you mean `round_robin`?
              help: must be one of p2c, round_robin, random, weighted, least_connections, least_response_time, consistent_hash
            error[F004]: `restart` of service `api` cannot be `alwyas`
              ┌─ flotilla.yaml:5:14
            5 │     restart: alwyas
              │              ^^^^^^ did you mean `always`?
              help: must be one of always, on_failure, never
            error[F004]: `stop.grace` of service `api` cannot be `30`
              ┌─ flotilla.yaml:6:20
            6 │     stop: { grace: 30, signal: STOP }
              │                    ^^ `30` is not a duration: write a number with a unit, for example 500ms, 10s, 1m30s, 2h, 7d
            error[F004]: `stop.signal` of service `api` cannot be `STOP`
              ┌─ flotilla.yaml:6:32
            6 │     stop: { grace: 30, signal: STOP }
              │                                ^^^^ must be a signal: TERM, INT, QUIT, HUP, USR1, USR2, KILL
            error[F004]: `limits.cpu` of service `api` cannot be `-1`
              ┌─ flotilla.yaml:7:20
            7 │     limits: { cpu: -1, memory: 0x10, pids: 0 }
              │                    ^^ must be a number of cores such as 0.5
            error[F004]: `limits.memory` of service `api` cannot be `0x10`
              ┌─ flotilla.yaml:7:32
            7 │     limits: { cpu: -1, memory: 0x10, pids: 0 }
              │                                ^^^^ `0x10` is not a size: write a number with a unit, for example 64KiB, 512Mi, 1GiB, 10MB
            error[F004]: `limits.pids` of service `api` cannot be `0`
              ┌─ flotilla.yaml:7:44
            7 │     limits: { cpu: -1, memory: 0x10, pids: 0 }
              │                                            ^ must be a whole number from 1 to 4194304
            error[F004]: `db` of service `api` cannot be `postgres`
              ┌─ flotilla.yaml:8:9
            8 │     db: postgres
              │         ^^^^^^^^ must be `sqlite` or a URL such as postgres://host/name
            error[F004]: `port` of service `api` cannot be `70000`
              ┌─ flotilla.yaml:9:11
            9 │     port: 70000
              │           ^^^^^ must be a whole number from 1 to 65535
            error[F004]: `health.ready.http` of service `api` cannot be `health`
               ┌─ flotilla.yaml:10:30
            10 │     health: { ready: { http: health, failures: 0 }, start_timeout: soon }
               │                              ^^^^^^ must be a path that begins with `/`
            error[F004]: `health.ready.failures` of service `api` cannot be `0`
               ┌─ flotilla.yaml:10:48
            10 │     health: { ready: { http: health, failures: 0 }, start_timeout: soon }
               │                                                ^ must be a whole number from 1 to 10000
            error[F004]: `health.start_timeout` of service `api` cannot be `soon`
               ┌─ flotilla.yaml:10:68
            10 │     health: { ready: { http: health, failures: 0 }, start_timeout: soon }
               │                                                                    ^^^^ `soon` is not a duration: write a number with a unit, for example 500ms, 10s, 1m30s, 2h, 7d
            error[F004]: `env` of service `api` cannot be `NOVALUE`
               ┌─ flotilla.yaml:11:11
            11 │     env: [NOVALUE]
               │           ^^^^^^^ must be KEY=VALUE
            error[F004]: `schedule` of job `nightly` cannot be `61 * * * *`
               ┌─ flotilla.yaml:13:34
            13 │   nightly: { run: ./x, schedule: '61 * * * *' }
               │                                  ^^^^^^^^^^^^^ `61` is no minute: write 0 to 59, `*`, a range `a-b`, a step `*/n` or a list `a,b`
            error[F004]: `gateway.listen` cannot be `:8080`
               ┌─ flotilla.yaml:14:20
            14 │ gateway: { listen: ':8080', routes: { /: api } }
               │                    ^^^^^^^ write 127.0.0.1:8080 for this machine only, or 0.0.0.0:8080 for everybody
            error[F004]: `admin.listen` cannot be `example.com:80`
               ┌─ flotilla.yaml:15:18
            15 │ admin: { listen: 'example.com:80' }
               │                  ^^^^^^^^^^^^^^^^^ `example.com` is not an IP address of this machine; names are not looked up here
        "#]],
    );
}

#[test]
fn names_must_be_dns_labels_and_unique() {
    check(
        "services: { Api_v2: { run: x }, api: {} }\njobs: { api: { run: x } }\n",
        expect![[r#"
        error[F004]: `Api_v2` cannot be the name of a service
          ┌─ flotilla.yaml:1:13
        1 │ services: { Api_v2: { run: x }, api: {} }
          │             ^^^^^^ `A` is not allowed here: a name has lowercase letters, digits and inner hyphens
          help: call it `api-v2`
        error[F005]: the name `api` is used twice
          ┌─ flotilla.yaml:2:9
        2 │ jobs: { api: { run: x } }
          │         ^^^ used again here
          = it is used first in line 1
          help: services and jobs share their names; call one of them differently
    "#]],
    );
    check(
        "services:\n  api: {}\n  web: {}\n  api: {}\n",
        expect![[r#"
        error[F005]: the key `api` is given twice
          ┌─ flotilla.yaml:4:3
        4 │   api: {}
          │   ^^^ given again here
          = it is given first in line 2
          help: keep one of them
    "#]],
    );
}

#[test]
fn variables_that_are_not_set_are_errors_unless_they_have_a_default() {
    check(
        "\
services:
  api:
    run: echo ${NOT_OURS} $PORT
    env: { A: '${SET}', B: '${UNSET}', C: '${UNSET:-x}', D: 'x ${UNSET:?say it} y', E: '${', F: '$${UNSET}', G: }
    instances: ${COUNT:-2}
  web:
    instances: ${COUNT}
environments:
  prod: { services: { web: { instances: '${PROD_COUNT}' } } }
",
        expect![[r#"
            error[F011]: the environment variable `UNSET` is not set
              ┌─ flotilla.yaml:4:29
            4 │     env: { A: '${SET}', B: '${UNSET}', C: '${UNSET:-x}', D: 'x ${UNSET:?say it} y', E: '${', F: '$${UNSET}', G…
              │                             ^^^^^^^ and there is no default
              help: set it, or give it a default: `${UNSET:-value}`; `$$` is a dollar sign
            error[F011]: the environment variable `UNSET` is not set
              ┌─ flotilla.yaml:4:64
            4 │ … env: { A: '${SET}', B: '${UNSET}', C: '${UNSET:-x}', D: 'x ${UNSET:?say it} y', E: '${', F: '$${UNSET}', G: }
              │                                                              ^^^^^^^ say it
              help: set `UNSET`
            error[F011]: `${` is not a variable
              ┌─ flotilla.yaml:4:89
            4 │ … env: { A: '${SET}', B: '${UNSET}', C: '${UNSET:-x}', D: 'x ${UNSET:?say it} y', E: '${', F: '$${UNSET}', G: }
              │                                                                                       ^^ cannot be read
              help: write `${NAME}` or `${NAME:-default}`; `$$` is a dollar sign
            error[F011]: the environment variable `G` is not set
              ┌─ flotilla.yaml:4:110
            4 │ … env: { A: '${SET}', B: '${UNSET}', C: '${UNSET:-x}', D: 'x ${UNSET:?say it} y', E: '${', F: '$${UNSET}', G: }
              │                                                                                                            ^ a key without a value passes the node's variable on
              help: set it, or give it a value: `G: ""`
            error[F011]: the environment variable `COUNT` is not set
              ┌─ flotilla.yaml:7:16
            7 │     instances: ${COUNT}
              │                ^^^^^^^ and there is no default
              help: set it, or give it a default: `${COUNT:-value}`; `$$` is a dollar sign
        "#]],
    );
}

#[test]
fn variables_that_flotilla_sets_cannot_be_set() {
    check(
        "services: { api: { env: { PORT: 3000, FLOTILLA_X: 1 } } }\n",
        expect![[r#"
        error[F004]: the environment variable `PORT` cannot be set
          ┌─ flotilla.yaml:1:27
        1 │ services: { api: { env: { PORT: 3000, FLOTILLA_X: 1 } } }
          │                           ^^^^ every instance is given its own port
          help: write `port: 3000` when it cannot follow `$PORT`
        error[F004]: the environment variable `FLOTILLA_X` cannot be set
          ┌─ flotilla.yaml:1:39
        1 │ services: { api: { env: { PORT: 3000, FLOTILLA_X: 1 } } }
          │                                       ^^^^^^^^^^ names that begin with FLOTILLA_ are ours
          help: call it differently
    "#]],
    );
}

#[test]
fn more_problems_than_anybody_reads_are_counted() {
    let yaml: String = (0..150).map(|n| format!("key{n}q: 1\n")).collect();
    let told = told(&yaml);
    assert!(
        told.ends_with(
            "error[F001]: 50 more problems are not shown\n  help: mend the ones above first\n"
        ),
        "{told}"
    );
}

#[test]
fn a_problem_in_a_good_file_is_only_a_warning() {
    let (_folder, loaded) =
        loaded("services: { api: {} }\ngateway: { listen: 127.0.0.1:9000 }\n").unwrap();
    assert_eq!(loaded.warnings.len(), 1);
    assert_eq!(loaded.system.gateway.listen, None);
}

#[test]
fn what_came_out_of_a_variable_is_not_shown() {
    let told = told("services: { api: { db: '${SET}' } }\n");
    assert!(told.contains("`db` of service `api` cannot be `${SET}`"), "{told}");
    assert!(!told.contains("value`"), "{told}");
}
