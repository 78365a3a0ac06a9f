//! What is told of wrong references to secrets, app APIs, and services that somebody else starts.

use super::coordination_problems::check;
use expect_test::expect;

#[test]
fn secrets_where_they_must_not_stand_are_told() {
    check(
        "\
name: ${secret:A}
services:
  api: { run: 'x ${secret:A}', dir: '${secret:A}', instances: '${secret:A}' }
  web: { run: [x, '${secret:A}'], env: { '${secret:A}': x, B: '${secret:A:-x}', C: '$${secret:A}', D: '${secret:}' } }
gateway: { listen: '${secret:A}', auth: { keys: { me: '${secret:A}' } } }
",
        expect![[r#"
            error[F004]: `name` cannot hold a secret
              ┌─ flotilla.yaml:1:7
            1 │ name: ${secret:A}
              │       ^^^^^^^^^ `${secret:NAME}` is not replaced here
              help: it may stand in `env`, `db`, `engines`, and `api` and `outbox` of a service
            error[F004]: `run` of service `api` cannot hold a secret
              ┌─ flotilla.yaml:3:18
            3 │   api: { run: 'x ${secret:A}', dir: '${secret:A}', instances: '${secret:A}' }
              │                  ^^^^^^^^^ everybody on the machine can read command lines
              help: it may stand in `env`, `db`, `engines`, and `api` and `outbox` of a service
            error[F004]: `dir` of service `api` cannot hold a secret
              ┌─ flotilla.yaml:3:38
            3 │   api: { run: 'x ${secret:A}', dir: '${secret:A}', instances: '${secret:A}' }
              │                                      ^^^^^^^^^ `${secret:NAME}` is not replaced here
              help: it may stand in `env`, `db`, `engines`, and `api` and `outbox` of a service
            error[F004]: `instances` of service `api` cannot hold a secret
              ┌─ flotilla.yaml:3:64
            3 │   api: { run: 'x ${secret:A}', dir: '${secret:A}', instances: '${secret:A}' }
              │                                                                ^^^^^^^^^ `${secret:NAME}` is not replaced here
              help: it may stand in `env`, `db`, `engines`, and `api` and `outbox` of a service
            error[F004]: `run` of service `web` cannot hold a secret
              ┌─ flotilla.yaml:4:20
            4 │   web: { run: [x, '${secret:A}'], env: { '${secret:A}': x, B: '${secret:A:-x}', C: '$${secret:A}', D: '${secre…
              │                    ^^^^^^^^^ `${secret:NAME}` is not replaced here
              help: it may stand in `env`, `db`, `engines`, and `api` and `outbox` of a service
            error[F004]: `${secret:A` cannot be a secret
              ┌─ flotilla.yaml:4:64
            4 │ … run: [x, '${secret:A}'], env: { '${secret:A}': x, B: '${secret:A:-x}', C: '$${secret:A}', D: '${secret:}' } }
              │                                                         ^^^^^^^^^ a secret has no default: it would stand in the file for everybody to read
              help: write `${secret:NAME}`
            error[F004]: `${secret:…}` cannot be a secret
              ┌─ flotilla.yaml:4:86
            4 │ … run: [x, '${secret:A}'], env: { '${secret:A}': x, B: '${secret:A:-x}', C: '$${secret:A}', D: '${secret:}' } }
              │                                                                               ^^^^^^^^^ it comes out of a variable or of `$$`, and only the file itself may ask for a secret
              help: write `${secret:NAME}`
            error[F004]: `${secret:}` cannot be a secret
              ┌─ flotilla.yaml:4:104
            4 │ … run: [x, '${secret:A}'], env: { '${secret:A}': x, B: '${secret:A:-x}', C: '$${secret:A}', D: '${secret:}' } }
              │                                                                                                 ^^^^^^^^^ a secret must have a name
              help: write `${secret:NAME}`
            error[F004]: `gateway.listen` cannot hold a secret
              ┌─ flotilla.yaml:5:21
            5 │ gateway: { listen: '${secret:A}', auth: { keys: { me: '${secret:A}' } } }
              │                     ^^^^^^^^^ `${secret:NAME}` is not replaced here
              help: it may stand in `env`, `db`, `engines`, and `api` and `outbox` of a service
            error[F004]: `auth` names no way to prove who one is
              ┌─ flotilla.yaml:5:41
            5 │ gateway: { listen: '${secret:A}', auth: { keys: { me: '${secret:A}' } } }
              │                                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              help: write `jwt:`, `api_keys:` or `basic:` below, or `auth: none`
            error[F002]: unknown key `keys` in `gateway.auth`
              ┌─ flotilla.yaml:5:43
            5 │ gateway: { listen: '${secret:A}', auth: { keys: { me: '${secret:A}' } } }
              │                                           ^^^^
              help: write `api_keys: { keys: … }`
        "#]],
    );
}

#[test]
fn nothing_but_the_file_asks_for_secrets() {
    let files =
        [("flotilla.yaml", "services: { api: { run: x, env: { A: '${EVIL}', EVIL: } } }\n")];
    let folder = super::Folder::new(&files);
    let problems = folder.load("flotilla.yaml", &super::options(&[("EVIL", "${secret:X}")]));
    expect![[r#"
        error[F004]: `${secret:…}` cannot be a secret
          ┌─ flotilla.yaml:1:38
        1 │ services: { api: { run: x, env: { A: '${EVIL}', EVIL: } } }
          │                                      ^^^^^^^^^ it comes out of a variable or of `$$`, and only the file itself may ask for a secret
          help: write `${secret:NAME}`
        error[F004]: the value of `EVIL` asks for a secret
          ┌─ flotilla.yaml:1:49
        1 │ services: { api: { run: x, env: { A: '${EVIL}', EVIL: } } }
          │                                                 ^^^^ only the file itself may do so
          help: write `EVIL: "${secret:NAME}"`
    "#]].assert_eq(&problems.unwrap_err());
}

#[test]
fn an_engine_cannot_keep_its_own_password() {
    check(
        "services: { api: {} }\nengines: { kv: 'etcd://u:${secret:P}@h' }\nsecrets: { env: false }\n",
        expect![[r#"
            error[F004]: the secret `P` is kept by the engine that needs it
              ┌─ flotilla.yaml:2:16
            2 │ engines: { kv: 'etcd://u:${secret:P}@h' }
              │                ^^^^^^^^^^^^^^^^^^^^^^^^^ cannot be read before the engine answers
              help: give it by `secrets: { env: …, file: … }`
        "#]],
    );
}

#[test]
fn app_apis_that_cannot_be_are_told() {
    check(
        "\
services:
  api: { instances: 2, api: { http_port: 3500, body_max: 1Gi, protocol: htpp, health: /h, app_id: a.b } }
  web: { api: { http_port: 8081, grpc_port: 3500, app_id: api } }
  users: { api: { http_port: 3500, token: '' }, components: nowhere }
",
        expect![[r#"
            error[F004]: 2 instances of `api` cannot share `api.http_port`
              ┌─ flotilla.yaml:2:42
            2 │   api: { instances: 2, api: { http_port: 3500, body_max: 1Gi, protocol: htpp, health: /h, app_id: a.b } }
              │                                          ^^^^ each has an app API of its own
              help: remove it; each instance is told its own in the environment
            error[F004]: `api.body_max` of service `api` is out of range
              ┌─ flotilla.yaml:2:58
            2 │   api: { instances: 2, api: { http_port: 3500, body_max: 1Gi, protocol: htpp, health: /h, app_id: a.b } }
              │                                                          ^^^ from 1Ki to 16Mi
            error[F004]: `api.protocol` of service `api` cannot be `htpp`
              ┌─ flotilla.yaml:2:73
            2 │   api: { instances: 2, api: { http_port: 3500, body_max: 1Gi, protocol: htpp, health: /h, app_id: a.b } }
              │                                                                         ^^^^ did you mean `http`?
              help: must be one of http, https, grpc, grpcs, h2c
            error[F002]: unknown key `health` in `api` of service `api`
              ┌─ flotilla.yaml:2:79
            2 │   api: { instances: 2, api: { http_port: 3500, body_max: 1Gi, protocol: htpp, health: /h, app_id: a.b } }
              │                                                                               ^^^^^^
              help: write `health:` beside `api`; while it fails the service gets no requests
            error[F004]: `api.app_id` of service `api` cannot be `a.b`
              ┌─ flotilla.yaml:2:99
            2 │   api: { instances: 2, api: { http_port: 3500, body_max: 1Gi, protocol: htpp, health: /h, app_id: a.b } }
              │                                                                                                   ^^^ must not have '.' in it
            error[F005]: port 8081 is used by the admin API and by `api.http_port` of `web`
              ┌─ flotilla.yaml:3:28
            3 │   web: { api: { http_port: 8081, grpc_port: 3500, app_id: api } }
              │                            ^^^^ the admin API listens there unless told otherwise
              help: change it, or write `admin: { listen: 127.0.0.1:9081 }`
            error[F005]: port 3500 is used by `api.http_port` of `api` and by `api.grpc_port` of `web`
              ┌─ flotilla.yaml:3:45
            3 │   web: { api: { http_port: 8081, grpc_port: 3500, app_id: api } }
              │                                             ^^^^ used again here
              = it is used first in line 2
              help: change one of them
            error[F005]: `web` is called `api`, and so is `api`
              ┌─ flotilla.yaml:3:59
            3 │   web: { api: { http_port: 8081, grpc_port: 3500, app_id: api } }
              │                                                           ^^^
              help: give each service an app id of its own
            error[F005]: port 3500 is used by `api.http_port` of `api` and by `api.http_port` of `users`
              ┌─ flotilla.yaml:4:30
            4 │   users: { api: { http_port: 3500, token: '' }, components: nowhere }
              │                              ^^^^ used again here
              = it is used first in line 2
              help: change one of them
            error[F004]: `api.token` of service `users` cannot be used
              ┌─ flotilla.yaml:4:43
            4 │   users: { api: { http_port: 3500, token: '' }, components: nowhere }
              │                                           ^^^ must not be empty
            error[F010]: `nowhere` does not exist
              ┌─ flotilla.yaml:4:61
            4 │   users: { api: { http_port: 3500, token: '' }, components: nowhere }
              │                                                             ^^^^^^^
              = looked for nowhere
        "#]],
    );
}

#[test]
fn what_a_changed_configuration_causes_must_be_clear() {
    check(
        "\
config: { one: {}, two: {} }
services:
  api: { config: [] }
  web: { config: { store: onne, keys: ['a*b', a] } }
  users: { config: { keys: [a], on_change: reload } }
jobs: { seed: { run: x, config: [a] } }
",
        expect![[r#"
            error[F004]: `config` of service `api` names no key
              ┌─ flotilla.yaml:3:18
            3 │   api: { config: [] }
              │                  ^^ nothing could change
              help: write `keys: ["*"]` for all keys, or remove `config`
            error[F004]: which store `config` of service `api` means is open
              ┌─ flotilla.yaml:3:18
            3 │   api: { config: [] }
              │                  ^^
              help: write `store:`; there are one, two
            error[F004]: there is no store `onne` for configuration
              ┌─ flotilla.yaml:4:27
            4 │   web: { config: { store: onne, keys: ['a*b', a] } }
              │                           ^^^^ did you mean `one`?
            error[F004]: `config.keys` of service `web` cannot be `a*b`
              ┌─ flotilla.yaml:4:40
            4 │   web: { config: { store: onne, keys: ['a*b', a] } }
              │                                        ^^^^^ may have `*` at its end only
            error[F004]: which store `config` of service `users` means is open
              ┌─ flotilla.yaml:5:20
            5 │   users: { config: { keys: [a], on_change: reload } }
              │                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              help: write `store:`; there are one, two
            error[F004]: `config.on_change` of service `users` cannot be `reload`
              ┌─ flotilla.yaml:5:44
            5 │   users: { config: { keys: [a], on_change: reload } }
              │                                            ^^^^^^ must be one of restart, sighup
            error[F002]: unknown key `config` in job `seed`
              ┌─ flotilla.yaml:6:25
            6 │ jobs: { seed: { run: x, config: [a] } }
              │                         ^^^^^^
              help: a job reads the configuration when it starts; only services have this key
        "#]],
    );
    check(
        "config: {}\nservices: { api: { config: [a] } }\n",
        expect![[r#"
        error[F004]: there is no store for configuration
          ┌─ flotilla.yaml:2:28
        2 │ services: { api: { config: [a] } }
          │                            ^^^
          help: write `config: { configstore: {} }` at the top level
    "#]],
    );
}

#[test]
fn what_somebody_else_starts_has_no_program() {
    check(
        "\
services:
  api: { external: true }
  web: { external: 127.0.0.1:1, run: x, port: 3, instances: 2, env: { A: b } }
  users: { external: 10.0.0.1:5, listen: false }
  empty: { external: host:5 }
",
        expect![[r#"
            error[F004]: where `api` listens is not known
              ┌─ flotilla.yaml:2:20
            2 │   api: { external: true }
              │                    ^^^^
              help: write its address, or `port:`; `listen: false` when it does not listen
            error[F004]: `run` means nothing to a service that is not started here
              ┌─ flotilla.yaml:3:33
            3 │   web: { external: 127.0.0.1:1, run: x, port: 3, instances: 2, env: { A: b } }
              │                                 ^^^ `external` stands beside it
              help: remove one of them
            error[F004]: `external` of `web` has a port already
              ┌─ flotilla.yaml:3:47
            3 │   web: { external: 127.0.0.1:1, run: x, port: 3, instances: 2, env: { A: b } }
              │                                               ^
              help: remove `port`, or write `external: true`
            error[F004]: 2 instances of `web` cannot share port 3
              ┌─ flotilla.yaml:3:47
            3 │   web: { external: 127.0.0.1:1, run: x, port: 3, instances: 2, env: { A: b } }
              │                                               ^ a process needs a port of its own
              help: remove `port` and let the program listen on `$PORT`, or keep one instance
            error[F004]: `web` is one program that somebody else has started
              ┌─ flotilla.yaml:3:61
            3 │   web: { external: 127.0.0.1:1, run: x, port: 3, instances: 2, env: { A: b } }
              │                                                             ^ cannot be multiplied
              help: name each one as a service of its own
            error[F004]: `env` means nothing to a service that is not started here
              ┌─ flotilla.yaml:3:64
            3 │   web: { external: 127.0.0.1:1, run: x, port: 3, instances: 2, env: { A: b } }
              │                                                                ^^^ `external` stands beside it
              help: remove one of them
            error[F004]: `users` has an address, but does not listen
              ┌─ flotilla.yaml:4:22
            4 │   users: { external: 10.0.0.1:5, listen: false }
              │                      ^^^^^^^^^^
              help: write `external: true`, or remove `listen: false`
            error[F004]: `external` of service `empty` cannot be `host:5`
              ┌─ flotilla.yaml:5:22
            5 │   empty: { external: host:5 }
              │                      ^^^^^^ `host` is not an IP address of this machine; names are not looked up here
        "#]],
    );
}
