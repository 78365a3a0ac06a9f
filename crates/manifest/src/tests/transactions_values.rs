//! What is told of a file whose transactions have operations, stores and times that cannot be meant.
#![expect(clippy::too_many_lines, reason = "what is shown is long")]

use super::coordination_problems::check;
use expect_test::expect;

#[test]
fn operations_of_another_protocol_are_told() {
    check(
        "\
services: { api: {} }
topics: { t: {} }
transactions:
  a: { steps: [{ id: s, call: api/x, confirm: api/y }, { participant: api/x }, { call: api/x, reserve: 1s }] }
  b: { mode: tcc, steps: [{ id: s, try: api/x, confirm: api/y }, { call: api/x }, { participant: api/x, try: api/y }, { publish: t }] }
  c: { mode: 2pc, steps: [{ participant: api/x, after: [] }, { prepare: api/x, one_phase: maybe }] }
  d: { mode: 3pc, profile: clasic, steps: [{ participant: api/x, one_phase: true }] }
  e: { mode: saga, profile: classic, query: api/x, delay: 1s, steps: [{ call: api/x }] }
  f: { steps: [{ call: api/x, publish: t }, { publish: t, put: { key: k } }] }
  g: { mode: saag, delay: 1s, steps: [{ participant: api/x }] }
",
        expect![[r#"
            error[F004]: step `s` of transaction `a` cannot have `confirm`
              ┌─ flotilla.yaml:4:38
            4 │   a: { steps: [{ id: s, call: api/x, confirm: api/y }, { participant: api/x }, { call: api/x, reserve: 1s }] }
              │                                      ^^^^^^^ its mode is saga, and `confirm` is of tcc
              help: write `call`, `undo`
            error[F004]: step `02` of transaction `a` cannot have `participant`
              ┌─ flotilla.yaml:4:58
            4 │   a: { steps: [{ id: s, call: api/x, confirm: api/y }, { participant: api/x }, { call: api/x, reserve: 1s }] }
              │                                                          ^^^^^^^^^^^ its mode is saga, and `participant` is of tcc or 2pc or 3pc
              help: write `call`, `undo`
            error[F004]: `reserve` means nothing to step `03`
              ┌─ flotilla.yaml:4:95
            4 │   a: { steps: [{ id: s, call: api/x, confirm: api/y }, { participant: api/x }, { call: api/x, reserve: 1s }] }
              │                                                                                               ^^^^^^^ nothing is reserved in a transaction whose mode is saga
              help: remove it
            error[F004]: step `s` of transaction `b` has no `cancel`
              ┌─ flotilla.yaml:5:33
            5 │   b: { mode: tcc, steps: [{ id: s, try: api/x, confirm: api/y }, { call: api/x }, { participant: api/x, try: a…
              │                                 ^
              help: write `cancel: POST service/path`, or `participant: POST service/path` for all operations
            error[F004]: step `02` of transaction `b` cannot have `call`
              ┌─ flotilla.yaml:5:68
            5 │ … tcc, steps: [{ id: s, try: api/x, confirm: api/y }, { call: api/x }, { participant: api/x, try: api/y }, { pu…
              │                                                         ^^^^ its mode is tcc, and `call` is of saga or msg
              help: write `try`, `confirm`, `cancel`, or `participant: POST service/path` for all operations
            error[F004]: step `03` says twice where `try` goes
              ┌─ flotilla.yaml:5:105
            5 │ …[{ id: s, try: api/x, confirm: api/y }, { call: api/x }, { participant: api/x, try: api/y }, { publish: t }] }
              │                                                                                 ^^^ `participant` stands for all operations
              help: remove one of them
            error[F004]: step `04` of transaction `b` cannot have `publish`
              ┌─ flotilla.yaml:5:121
            5 │ …[{ id: s, try: api/x, confirm: api/y }, { call: api/x }, { participant: api/x, try: api/y }, { publish: t }] }
              │                                                                                                 ^^^^^^^ its mode is tcc, and only sagas have it
              help: remove it, or write `mode: saga`
            error[F004]: `after` means nothing to step `01`
              ┌─ flotilla.yaml:6:49
            6 │   c: { mode: 2pc, steps: [{ participant: api/x, after: [] }, { prepare: api/x, one_phase: maybe }] }
              │                                                 ^^^^^ in a transaction whose mode is 2pc no step waits for another
              help: remove it
            error[F004]: step `02` of transaction `c` has no `commit`, no `rollback`
              ┌─ flotilla.yaml:6:62
            6 │   c: { mode: 2pc, steps: [{ participant: api/x, after: [] }, { prepare: api/x, one_phase: maybe }] }
              │                                                              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              help: write `commit: POST service/path`, `rollback: POST service/path`, or `participant: POST service/path` for all operations
            error[F006]: there is no service `maybe`
              ┌─ flotilla.yaml:6:91
            6 │   c: { mode: 2pc, steps: [{ participant: api/x, after: [] }, { prepare: api/x, one_phase: maybe }] }
              │                                                                                           ^^^^^ not in the file
              help: add it under `services:`; there are api
            error[F004]: `profile` of transaction `d` cannot be `clasic`
              ┌─ flotilla.yaml:7:28
            7 │   d: { mode: 3pc, profile: clasic, steps: [{ participant: api/x, one_phase: true }] }
              │                            ^^^^^^ did you mean `classic`?
              help: must be one of strict, classic
            error[F004]: step `01` of transaction `d` cannot have `one_phase`
              ┌─ flotilla.yaml:7:66
            7 │   d: { mode: 3pc, profile: clasic, steps: [{ participant: api/x, one_phase: true }] }
              │                                                                  ^^^^^^^^^ its mode is 3pc, and `one_phase` is of 2pc
              help: write `can_commit`, `pre_commit`, `commit`, `rollback`, or `participant: POST service/path` for all operations
            error[F004]: `profile` means nothing to transaction `e`
              ┌─ flotilla.yaml:8:20
            8 │   e: { mode: saga, profile: classic, query: api/x, delay: 1s, steps: [{ call: api/x }] }
              │                    ^^^^^^^ its mode is saga
              help: remove it, or write `mode: 3pc`
            error[F004]: `query` means nothing to transaction `e`
              ┌─ flotilla.yaml:8:38
            8 │   e: { mode: saga, profile: classic, query: api/x, delay: 1s, steps: [{ call: api/x }] }
              │                                      ^^^^^ its mode is saga
              help: remove it, or write `mode: msg`
            error[F004]: `delay` means nothing to transaction `e`
              ┌─ flotilla.yaml:8:52
            8 │   e: { mode: saga, profile: classic, query: api/x, delay: 1s, steps: [{ call: api/x }] }
              │                                                    ^^^^^ its mode is saga
              help: remove it, or write `mode: msg`
            error[F004]: step `01` of transaction `f` has both `publish` and `call`
              ┌─ flotilla.yaml:9:18
            9 │   f: { steps: [{ call: api/x, publish: t }, { publish: t, put: { key: k } }] }
              │                  ^^^^
              help: make two steps of it
            error[F004]: step `02` of transaction `f` has both `publish` and `put`
              ┌─ flotilla.yaml:9:59
            9 │   f: { steps: [{ call: api/x, publish: t }, { publish: t, put: { key: k } }] }
              │                                                           ^^^
              help: make two steps of it
            error[F004]: `mode` of transaction `g` cannot be `saag`
               ┌─ flotilla.yaml:10:14
            10 │   g: { mode: saag, delay: 1s, steps: [{ participant: api/x }] }
               │              ^^^^ did you mean `saga`?
               help: must be one of saga, tcc, 2pc, 3pc, msg
        "#]],
    );
}

#[test]
fn stores_topics_and_locks_that_cannot_join_are_told() {
    check(
        "\
services: { api: {} }
topics: { order.created: {} }
state: { shop: {}, kept: {}, sessions: { cache: true } }
locks: []
transactions:
  a:
    steps:
      - { call: api/x, key: k }
      - { publish: order.craeted }
      - { put: { key: k } }
      - { put: { store: kept, key: k } }
      - { put: { store: shpo, key: k } }
      - { put: { store: sessions, key: k, value: 1 } }
      - { put: { store: shop } }
      - { delete: { store: shop, key: k, etag: '' }, body: 1 }
      - { holds: { store: seats, lock: l, token: 1 } }
      - { holds: { lock: l } }
",
        expect![[r#"
            error[F004]: `key` means nothing to step `01`
              ┌─ flotilla.yaml:8:24
            8 │       - { call: api/x, key: k }
              │                        ^^^ only messages have a key
              help: remove it
            error[F004]: there is no topic `order.craeted`
              ┌─ flotilla.yaml:9:20
            9 │       - { publish: order.craeted }
              │                    ^^^^^^^^^^^^^ did you mean `order.created`?
            error[F004]: `put` does not say which store
               ┌─ flotilla.yaml:10:11
            10 │       - { put: { key: k } }
               │           ^^^
               help: write `store: NAME`; there are shop, kept
            error[F004]: there is no store `shpo` of state
               ┌─ flotilla.yaml:12:25
            12 │       - { put: { store: shpo, key: k } }
               │                         ^^^^ did you mean `shop`?
            error[F004]: store `sessions` cannot take part in a transaction
               ┌─ flotilla.yaml:13:25
            13 │       - { put: { store: sessions, key: k, value: 1 } }
               │                         ^^^^^^^^ it is a cache
               help: write a store without `cache: true`
            error[F002]: unknown key `value` in `steps.put` of transaction `a`
               ┌─ flotilla.yaml:13:43
            13 │       - { put: { store: sessions, key: k, value: 1 } }
               │                                           ^^^^^
               help: write `body:` beside `put`
            error[F004]: `put` has no `key`
               ┌─ flotilla.yaml:14:11
            14 │       - { put: { store: shop } }
               │           ^^^
               help: write `put: { key: … }`
            error[F004]: step `08` deletes what must not be there
               ┌─ flotilla.yaml:15:42
            15 │       - { delete: { store: shop, key: k, etag: '' }, body: 1 }
               │                                          ^^^^
               help: remove `etag`
            error[F004]: `body` means nothing to step `08`
               ┌─ flotilla.yaml:15:54
            15 │       - { delete: { store: shop, key: k, etag: '' }, body: 1 }
               │                                                      ^^^^ nothing is sent with `delete`
               help: remove it
            error[F004]: there is no store `seats` of locks
               ┌─ flotilla.yaml:16:27
            16 │       - { holds: { store: seats, lock: l, token: 1 } }
               │                           ^^^^^ not in the file
               help: the file has none under `locks:`
            error[F004]: `holds` does not say which store
               ┌─ flotilla.yaml:17:11
            17 │       - { holds: { lock: l } }
               │           ^^^^^
               help: write `store: NAME`; the file has none under `locks:`
            error[F004]: `holds` has no `token`
               ┌─ flotilla.yaml:17:11
            17 │       - { holds: { lock: l } }
               │           ^^^^^
               help: write `holds: { token: … }`
        "#]],
    );
}

#[test]
fn times_names_and_keys_that_make_no_sense_are_told() {
    check(
        "\
services: { api: {} }
transactions:
  retian: 7d
  retain: 0s
  dtm: { http: 127.0.0.1:8080, port: 1 }
  'a b': { steps: [{ call: api/x }] }
  a: { steps: [{ action: api/x, call: api/x, payload: {}, timeout: 2d, retry: { base: 1ms, max: 2d, attempts: 0, then: pause } }] }
  b: { timeout: 0s, retry: { base: 10s, max: 1s, attempts: none, then: abort }, steps: { call: api/x } }
  c: { branches: [], headers: { 'a b': 1, Flotilla-Tx: x }, steps: [x] }
  d: { steps: [{ call: api/x, bdoy: {} }], timeuot: 1s }
sagas: {}
",
        expect![[r#"
            error[F002]: unknown key `retian` in `transactions`
              ┌─ flotilla.yaml:3:3
            3 │   retian: 7d
              │   ^^^^^^ did you mean `retain`?
            error[F004]: this cannot be a `retain`
              ┌─ flotilla.yaml:4:11
            4 │   retain: 0s
              │           ^^ must be longer than 0 and at most 366d
            error[F002]: unknown key `port` in `transactions.dtm`
              ┌─ flotilla.yaml:5:32
            5 │   dtm: { http: 127.0.0.1:8080, port: 1 }
              │                                ^^^^
              help: write `http:` and `grpc:`
            error[F004]: `a b` cannot be the name of a transaction
              ┌─ flotilla.yaml:6:3
            6 │   'a b': { steps: [{ call: api/x }] }
              │   ^^^^^ must not have ' ' in it: names have letters, digits and `. _ -`
            error[F002]: unknown key `action` in `steps` of transaction `a`
              ┌─ flotilla.yaml:7:18
            7 │   a: { steps: [{ action: api/x, call: api/x, payload: {}, timeout: 2d, retry: { base: 1ms, max: 2d, attempts: …
              │                  ^^^^^^
              help: write `call:`
            error[F002]: unknown key `payload` in `steps` of transaction `a`
              ┌─ flotilla.yaml:7:46
            7 │   a: { steps: [{ action: api/x, call: api/x, payload: {}, timeout: 2d, retry: { base: 1ms, max: 2d, attempts: …
              │                                              ^^^^^^^
              help: write `body:`
            error[F004]: this cannot be a `timeout`
              ┌─ flotilla.yaml:7:68
            7 │ …: [{ action: api/x, call: api/x, payload: {}, timeout: 2d, retry: { base: 1ms, max: 2d, attempts: 0, then: pau…
              │                                                         ^^ must be longer than 0 and at most 1d
            error[F004]: this cannot be a pause
              ┌─ flotilla.yaml:7:87
            7 │ …on: api/x, call: api/x, payload: {}, timeout: 2d, retry: { base: 1ms, max: 2d, attempts: 0, then: pause } }] }
              │                                                                   ^^^ must be 10ms to 1d
            error[F004]: this cannot be a pause
              ┌─ flotilla.yaml:7:97
            7 │ …on: api/x, call: api/x, payload: {}, timeout: 2d, retry: { base: 1ms, max: 2d, attempts: 0, then: pause } }] }
              │                                                                             ^^ must be 10ms to 1d
            error[F004]: `steps.retry.attempts` of transaction `a` cannot be `0`
              ┌─ flotilla.yaml:7:111
            7 │ …on: api/x, call: api/x, payload: {}, timeout: 2d, retry: { base: 1ms, max: 2d, attempts: 0, then: pause } }] }
              │                                                                                           ^ must be a whole number from 1 to 1000000, or none
            error[F004]: `steps.retry.then` of transaction `a` cannot be `pause`
              ┌─ flotilla.yaml:7:120
            7 │ …on: api/x, call: api/x, payload: {}, timeout: 2d, retry: { base: 1ms, max: 2d, attempts: 0, then: pause } }] }
              │                                                                                                    ^^^^^ must be one of attention, abort
            error[F004]: this cannot be a `timeout`
              ┌─ flotilla.yaml:8:17
            8 │   b: { timeout: 0s, retry: { base: 10s, max: 1s, attempts: none, then: abort }, steps: { call: api/x } }
              │                 ^^ must be longer than 0 and at most 366d
            error[F004]: the longest pause is shorter than the first one
              ┌─ flotilla.yaml:8:46
            8 │   b: { timeout: 0s, retry: { base: 10s, max: 1s, attempts: none, then: abort }, steps: { call: api/x } }
              │                                              ^^
              help: write a `max` that is at least `base`
            error[F004]: `then` never happens
              ┌─ flotilla.yaml:8:66
            8 │   b: { timeout: 0s, retry: { base: 10s, max: 1s, attempts: none, then: abort }, steps: { call: api/x } }
              │                                                                  ^^^^ `attempts: none` has no end
              help: remove it, or write a number of `attempts`
            error[F003]: `steps` of transaction `b` has the wrong type
              ┌─ flotilla.yaml:8:88
            8 │   b: { timeout: 0s, retry: { base: 10s, max: 1s, attempts: none, then: abort }, steps: { call: api/x } }
              │                                                                                        ^^^^^^^^^^^^^^^ this is a map
              help: write a list
            error[F002]: unknown key `branches` in `transactions.c`
              ┌─ flotilla.yaml:9:8
            9 │   c: { branches: [], headers: { 'a b': 1, Flotilla-Tx: x }, steps: [x] }
              │        ^^^^^^^^
              help: write `steps:`
            error[F004]: calls cannot have the header `a b`
              ┌─ flotilla.yaml:9:33
            9 │   c: { branches: [], headers: { 'a b': 1, Flotilla-Tx: x }, steps: [x] }
              │                                 ^^^^^ `a b` is no field name: ` ` may not stand in one
            error[F004]: calls cannot have the header `Flotilla-Tx`
              ┌─ flotilla.yaml:9:43
            9 │   c: { branches: [], headers: { 'a b': 1, Flotilla-Tx: x }, steps: [x] }
              │                                           ^^^^^^^^^^^ the node writes it itself
            error[F003]: `steps` of transaction `c` has the wrong type
              ┌─ flotilla.yaml:9:69
            9 │   c: { branches: [], headers: { 'a b': 1, Flotilla-Tx: x }, steps: [x] }
              │                                                                     ^ `x` is not a map
            error[F002]: unknown key `bdoy` in `steps` of transaction `d`
               ┌─ flotilla.yaml:10:31
            10 │   d: { steps: [{ call: api/x, bdoy: {} }], timeuot: 1s }
               │                               ^^^^ did you mean `body`?
            error[F002]: unknown key `timeuot` in `transactions.d`
               ┌─ flotilla.yaml:10:44
            10 │   d: { steps: [{ call: api/x, bdoy: {} }], timeuot: 1s }
               │                                            ^^^^^^^ did you mean `timeout`?
            error[F002]: unknown key `sagas`
               ┌─ flotilla.yaml:11:1
            11 │ sagas: {}
               │ ^^^^^
               help: write `transactions:`
        "#]],
    );
}
