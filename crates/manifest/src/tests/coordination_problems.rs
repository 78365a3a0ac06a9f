//! What is told of a file whose shared parts are wrong.

use super::told;
use expect_test::{Expect, expect};

pub(super) fn check(yaml: &str, expected: Expect) {
    expected.assert_eq(&told(yaml));
}

#[test]
fn unknown_keys_and_engines_are_told_with_what_there_is() {
    check(
        "\
services: { api: {} }
engines: { kv: 'redis://h', broker: nats }
state: { a: { maxx: 1Mi, type: redis }, 'b/c': {} }
secret: {}
locks: [a, a, '']
",
        expect![[r#"
            error[F004]: `engines.kv` cannot be used
              ┌─ flotilla.yaml:2:16
            2 │ engines: { kv: 'redis://h', broker: nats }
              │                ^^^^^^^^^^^ `redis` is none; the engines are embedded, etcd://host:port and etcds://host:port (with TLS)
            error[F004]: `engines.broker` cannot be used
              ┌─ flotilla.yaml:2:37
            2 │ engines: { kv: 'redis://h', broker: nats }
              │                                     ^^^^ the brokers are embedded, nats://host:port and natss://host:port (with TLS)
            error[F002]: unknown key `maxx` in `state.a`
              ┌─ flotilla.yaml:3:15
            3 │ state: { a: { maxx: 1Mi, type: redis }, 'b/c': {} }
              │               ^^^^ did you mean `max`?
            error[F002]: unknown key `type` in `state.a`
              ┌─ flotilla.yaml:3:26
            3 │ state: { a: { maxx: 1Mi, type: redis }, 'b/c': {} }
              │                          ^^^^
              help: durable is the default; write `cache: true` for memory only
            error[F004]: `b/c` cannot be the name of a store
              ┌─ flotilla.yaml:3:41
            3 │ state: { a: { maxx: 1Mi, type: redis }, 'b/c': {} }
              │                                         ^^^^^ must not have '/' in it
            error[F002]: unknown key `secret`
              ┌─ flotilla.yaml:4:1
            4 │ secret: {}
              │ ^^^^^^
              help: write `secrets:`
            error[F005]: the store `a` is named twice
              ┌─ flotilla.yaml:5:12
            5 │ locks: [a, a, '']
              │            ^
              help: remove one of them
            error[F004]: `locks` cannot be ``
              ┌─ flotilla.yaml:5:15
            5 │ locks: [a, a, '']
              │               ^^ must not be empty
        "#]],
    );
    check(
        "services: { api: {} }\nengines: { kv: embeded, etcd: x }\n",
        expect![[r#"
        error[F004]: `engines.kv` cannot be used
          ┌─ flotilla.yaml:2:16
        2 │ engines: { kv: embeded, etcd: x }
          │                ^^^^^^^ the engines are embedded, etcd://host:port and etcds://host:port (with TLS)
        error[F002]: unknown key `etcd` in `engines`
          ┌─ flotilla.yaml:2:25
        2 │ engines: { kv: embeded, etcd: x }
          │                         ^^^^
          help: write `kv: "etcd://host:2379"`
    "#]],
    );
}

#[test]
fn stores_that_contradict_themselves_are_told() {
    check(
        "\
services: { api: {} }
state: { a: { max: 1Mi }, b: { cache: true, max: 1Ki }, c: { ttl: 0s }, d: { prefix: 'a||b' }, e: { scopes: [] }, f: { scopes: [ap, api] } }
config: { c: { values: { 'a||b': 1 } } }
secrets: { kv: false, env: false }
",
        expect![[r#"
            error[F004]: `max` of store `a` bounds nothing
              ┌─ flotilla.yaml:2:15
            2 │ state: { a: { max: 1Mi }, b: { cache: true, max: 1Ki }, c: { ttl: 0s }, d: { prefix: 'a||b' }, e: { scopes: []…
              │               ^^^ only a cache forgets what does not fit
              help: write `cache: true`, or remove `max`
            error[F004]: `max` of store `b` is too small
              ┌─ flotilla.yaml:2:50
            2 │ state: { a: { max: 1Mi }, b: { cache: true, max: 1Ki }, c: { ttl: 0s }, d: { prefix: 'a||b' }, e: { scopes: []…
              │                                                  ^^^ at least 64Ki
            error[F004]: values of store `c` would be gone at once
              ┌─ flotilla.yaml:2:67
            2 │ … { max: 1Mi }, b: { cache: true, max: 1Ki }, c: { ttl: 0s }, d: { prefix: 'a||b' }, e: { scopes: [] }, f: { sc…
              │                                                         ^^ must be longer than 0
              help: remove `ttl` to keep them for ever
            error[F004]: `state.d.prefix` cannot be `a||b`
              ┌─ flotilla.yaml:2:86
            2 │ … cache: true, max: 1Ki }, c: { ttl: 0s }, d: { prefix: 'a||b' }, e: { scopes: [] }, f: { scopes: [ap, api] } }
              │                                                         ^^^^^^^ must have neither `||` nor NUL in it
            error[F004]: `scopes` names no service
              ┌─ flotilla.yaml:2:109
            2 │ … cache: true, max: 1Ki }, c: { ttl: 0s }, d: { prefix: 'a||b' }, e: { scopes: [] }, f: { scopes: [ap, api] } }
              │                                                                                ^^ nobody could use it
              help: remove it to let all services see the store
            error[F006]: there is no service `ap`
              ┌─ flotilla.yaml:2:129
            2 │ … cache: true, max: 1Ki }, c: { ttl: 0s }, d: { prefix: 'a||b' }, e: { scopes: [] }, f: { scopes: [ap, api] } }
              │                                                                                                    ^^ did you mean `api`?
            error[F004]: `a||b` cannot be a key of the configuration
              ┌─ flotilla.yaml:3:26
            3 │ config: { c: { values: { 'a||b': 1 } } }
              │                          ^^^^^^ must have neither `||` nor NUL in it
        "#]],
    );
}

#[test]
fn secrets_must_be_looked_for_somewhere() {
    check(
        "services: { api: {} }\nsecrets: { kv: false, env: false }\n",
        expect![[r#"
        error[F004]: `secrets` looks nowhere
          ┌─ flotilla.yaml:2:10
        2 │ secrets: { kv: false, env: false }
          │          ^^^^^^^^^^^^^^^^^^^^^^^^^
          help: write `file:` or `env:`, or remove `kv: false`
    "#]],
    );
    check(
        "services: { api: {} }\nsecrets: { env: {}, file: nowhere.json }\n",
        expect![[r#"
        error[F004]: `env` has no `prefix`
          ┌─ flotilla.yaml:2:17
        2 │ secrets: { env: {}, file: nowhere.json }
          │                 ^^
          help: write `{ prefix: SHOP_ }`, or a list of names
        error[F010]: the file `nowhere.json` does not exist
          ┌─ flotilla.yaml:2:27
        2 │ secrets: { env: {}, file: nowhere.json }
          │                           ^^^^^^^^^^^^
          = looked for nowhere.json
    "#]],
    );
}

#[test]
fn engines_that_contradict_themselves_are_told() {
    check(
        "services: { api: {} }\nengines: { kv: { url: embedded, prefix: x } }\n",
        expect![[r#"
            error[F004]: `prefix` means nothing to the embedded engine
              ┌─ flotilla.yaml:2:33
            2 │ engines: { kv: { url: embedded, prefix: x } }
              │                                 ^^^^^^
              help: remove it, or write `url: "etcd://…"`
        "#]],
    );
    check(
        "services: { api: {} }\nengines: { kv: { user: a } }\n",
        expect![[r#"
        error[F004]: `kv` has no `url`
          ┌─ flotilla.yaml:2:16
        2 │ engines: { kv: { user: a } }
          │                ^^^^^^^^^^^
          help: write `url: "etcd://host:2379"`
    "#]],
    );
    check(
        "services: { api: {} }\nengines: { kv: { url: 'etcd://u:p@h', user: a, ca: nowhere.pem, cert: x } }\n",
        expect![[r#"
            error[F004]: `user` stands here and in `url`
              ┌─ flotilla.yaml:2:39
            2 │ engines: { kv: { url: 'etcd://u:p@h', user: a, ca: nowhere.pem, cert: x } }
              │                                       ^^^^
              help: remove one of them
            error[F004]: `ca` is for encrypted connections
              ┌─ flotilla.yaml:2:48
            2 │ engines: { kv: { url: 'etcd://u:p@h', user: a, ca: nowhere.pem, cert: x } }
              │                                                ^^ the url is not encrypted
              help: write `url: "etcds://…"`
            error[F010]: the file `nowhere.pem` does not exist
              ┌─ flotilla.yaml:2:52
            2 │ engines: { kv: { url: 'etcd://u:p@h', user: a, ca: nowhere.pem, cert: x } }
              │                                                    ^^^^^^^^^^^
              = looked for nowhere.pem
            error[F004]: `cert` is for encrypted connections
              ┌─ flotilla.yaml:2:65
            2 │ engines: { kv: { url: 'etcd://u:p@h', user: a, ca: nowhere.pem, cert: x } }
              │                                                                 ^^^^ the url is not encrypted
              help: write `url: "etcds://…"`
            error[F004]: `cert` and `key` go together
              ┌─ flotilla.yaml:2:65
            2 │ engines: { kv: { url: 'etcd://u:p@h', user: a, ca: nowhere.pem, cert: x } }
              │                                                                 ^^^^ the other one is missing
            error[F010]: the file `x` does not exist
              ┌─ flotilla.yaml:2:71
            2 │ engines: { kv: { url: 'etcd://u:p@h', user: a, ca: nowhere.pem, cert: x } }
              │                                                                       ^
              = looked for x
        "#]],
    );
    check(
        "services: { api: {} }\nengines: { kv: { url: 'etcd://h', password: hunter2 } }\n",
        expect![[r#"
            error[F004]: `user` and `password` go together
              ┌─ flotilla.yaml:2:35
            2 │ engines: { kv: { url: 'etcd://h', password: hunter2 } }
              │                                   ^^^^^^^^ the other one is missing
        "#]],
    );
}

#[test]
fn a_wrong_engine_is_told_without_its_password() {
    let text = told("services: { api: {} }\nengines: { kv: '${KV:-redis://:hunter2@h}' }\n");
    assert!(text.contains("the engines are embedded"), "{text}");
    let text = told("services: { api: {} }\nengines: { kv: 'etcd://root:%hunter2@h' }\n");
    assert!(text.contains("`engines.kv` cannot be used"), "{text}");
}
