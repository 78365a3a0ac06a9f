//! What is told of a file whose transactions are wrong.
#![expect(clippy::too_many_lines, reason = "what is shown is long")]

use super::coordination_problems::check;
use super::told;
use expect_test::expect;

#[test]
fn steps_that_call_nobody_are_told() {
    check(
        "\
services: { api: {}, web: { listen: false } }
jobs: { seed: { run: x } }
transactions:
  none: {}
  empty: { steps: [] }
  nobody:
    steps:
      - { id: typo, call: POST aip/x }
      - { id: deaf, call: web/x }
      - { id: job, undo: seed/x, call: api/x }
      - { id: post, call: push api/x }
      - { id: nothing }
      - { id: half, undo: api/x }
      - { call: 'http://u:hunter2@h/x' }
      - call: /x
",
        expect![[r#"
            error[F004]: transaction `none` has no steps
              ┌─ flotilla.yaml:4:3
            4 │   none: {}
              │   ^^^^
              help: write `steps: [{ call: POST service/path, undo: POST service/path }]`
            error[F004]: transaction `empty` has no steps
              ┌─ flotilla.yaml:5:12
            5 │   empty: { steps: [] }
              │            ^^^^^
              help: write `steps: [{ call: POST service/path, undo: POST service/path }]`
            error[F006]: there is no service `aip`
              ┌─ flotilla.yaml:8:32
            8 │       - { id: typo, call: POST aip/x }
              │                                ^^^ did you mean `api`?
            error[F004]: `web` cannot be called
              ┌─ flotilla.yaml:9:27
            9 │       - { id: deaf, call: web/x }
              │                           ^^^ it does not listen
            error[F004]: `seed` cannot be called
               ┌─ flotilla.yaml:10:26
            10 │       - { id: job, undo: seed/x, call: api/x }
               │                          ^^^^ it is a job, which serves no requests
            error[F004]: `steps.call` of transaction `nobody` cannot be `push api/x`
               ┌─ flotilla.yaml:11:27
            11 │       - { id: post, call: push api/x }
               │                           ^^^^^^^^^^ `push` is none of the methods GET, POST, PUT, PATCH, DELETE
            error[F004]: step `nothing` of transaction `nobody` does nothing
               ┌─ flotilla.yaml:12:9
            12 │       - { id: nothing }
               │         ^^^^^^^^^^^^^^^
               help: write `call: POST service/path`, or one of publish, put, delete, holds
            error[F004]: step `half` of transaction `nobody` has no `call`
               ┌─ flotilla.yaml:13:15
            13 │       - { id: half, undo: api/x }
               │               ^^^^
               help: write `call: POST service/path`
            error[F004]: `steps.call` of transaction `nobody` cannot be `http://u:hunter2@h/x`
               ┌─ flotilla.yaml:14:17
            14 │       - { call: 'http://u:hunter2@h/x' }
               │                 ^^^^^^^^^^^^^^^^^^^^^^^ a URL must not have a name or password in it: everybody who sees the transaction would see it
            error[F004]: `steps.call` of transaction `nobody` cannot be `/x`
               ┌─ flotilla.yaml:15:15
            15 │       - call: /x
               │               ^^ before the path stands the name of a service, as in items/reserve
        "#]],
    );
}

#[test]
fn steps_in_no_order_are_told() {
    check(
        "\
services: { api: {} }
topics: { t: {} }
transactions:
  a:
    steps:
      - { id: first, call: api/x, after: [second] }
      - { id: second, call: api/x, after: [frist, second, first, first] }
      - { id: told, publish: t, after: first }
      - { id: late, call: api/x, after: told }
      - { id: first, call: api/x }
      - { id: 'a b', call: api/x, after: nobody }
      - { id: '00', call: api/x }
  b: { steps: [{ call: api/x, after: x }] }
",
        expect![[r#"
            error[F004]: step `first` comes after `second`, which stands below it
              ┌─ flotilla.yaml:6:43
            6 │       - { id: first, call: api/x, after: [second] }
              │                                           ^^^^^^ a step comes after steps that stand before it, so there are no circles
              help: write `second` above `first`
            error[F004]: transaction `a` has no step `frist`
              ┌─ flotilla.yaml:7:44
            7 │       - { id: second, call: api/x, after: [frist, second, first, first] }
              │                                            ^^^^^ did you mean `first`?
            error[F004]: step `second` comes after itself
              ┌─ flotilla.yaml:7:51
            7 │       - { id: second, call: api/x, after: [frist, second, first, first] }
              │                                                   ^^^^^^
              help: remove it
            error[F005]: `first` stands twice in `after`
              ┌─ flotilla.yaml:7:66
            7 │       - { id: second, call: api/x, after: [frist, second, first, first] }
              │                                                                  ^^^^^
              help: remove one
            error[F004]: `after` means nothing to step `told`
              ┌─ flotilla.yaml:8:33
            8 │       - { id: told, publish: t, after: first }
              │                                 ^^^^^ it is done with the decision
              help: remove it
            error[F004]: no step comes after `told`
              ┌─ flotilla.yaml:9:41
            9 │       - { id: late, call: api/x, after: told }
              │                                         ^^^^ it is done with the decision, which comes last
              help: remove it from `after`
            error[F005]: two steps of transaction `a` are called `first`
               ┌─ flotilla.yaml:10:15
            10 │       - { id: first, call: api/x }
               │               ^^^^^ used again here
               help: call one of them differently
            error[F004]: `a b` cannot be the name of a step
               ┌─ flotilla.yaml:11:15
            11 │       - { id: 'a b', call: api/x, after: nobody }
               │               ^^^^^ must not have ' ' in it: names have letters, digits, `_` and `-`
            error[F004]: transaction `a` has no step `nobody`
               ┌─ flotilla.yaml:11:42
            11 │       - { id: 'a b', call: api/x, after: nobody }
               │                                          ^^^^^^
               help: the steps before `a b` are first, second, told, late, first
            error[F004]: `00` cannot be the name of a step
               ┌─ flotilla.yaml:12:15
            12 │       - { id: '00', call: api/x }
               │               ^^^^ `00` is the sender of a message
            error[F004]: transaction `b` has no step `x`
               ┌─ flotilla.yaml:13:38
            13 │   b: { steps: [{ call: api/x, after: x }] }
               │                                      ^ it is the first step
               help: remove it
        "#]],
    );
}

#[test]
fn place_holders_that_name_what_is_not_there_are_told() {
    check(
        "\
services: { api: {} }
topics: { t: {} }
transactions:
  a:
    steps:
      - { id: reserve, call: 'api/{{steps.reserve.body.id}}', body: { a: ['{{steps.charge.body}}', '{{inptu.x}}'], '{{input.k}}': 1 } }
      - { id: charge, call: api/x, undo: 'api/{{steps.resreve.body.id}}', body: '{{steps.reserve.status}}' }
      - { id: other, after: [], call: api/x, body: 'open {{input.x' }
      - { id: told, publish: t, key: '{{steps.tolt.body}}' }
      - { publish: t, body: '{{steps.told.body}}' }
  b: { mode: tcc, steps: [{ id: a, participant: api/x }, { id: b, participant: api/x, body: '{{steps.a.body}}' }] }
  c: { mode: msg, headers: { x-a: '{{steps.a.body}}', x-b: '{{input.b}}' }, query: 'api/{{steps.a.body}}', steps: [{ call: '{{input.service}}/x' }] }
",
        expect![[r#"
            error[F004]: `{{steps.reserve.body.id}}` is not known there
              ┌─ flotilla.yaml:6:37
            6 │       - { id: reserve, call: 'api/{{steps.reserve.body.id}}', body: { a: ['{{steps.charge.body}}', '{{inptu.x}…
              │                                     ^^^^^^^^^^^^^^^^^^^^^ it is what this step itself answers
              help: an undo finds what to undo by the query parameters `gid` and `branch_id`, which both calls have
            error[F004]: `{{steps.charge.body}}` is not known there
              ┌─ flotilla.yaml:6:78
            6 │ … call: 'api/{{steps.reserve.body.id}}', body: { a: ['{{steps.charge.body}}', '{{inptu.x}}'], '{{input.k}}': 1 …
              │                                                         ^^^^^^^^^^^^^^^^^ `charge` stands below it
              help: write it above `reserve`, and `after: [charge]`
            error[F004]: a place holder cannot be read
              ┌─ flotilla.yaml:6:101
            6 │ …ll: 'api/{{steps.reserve.body.id}}', body: { a: ['{{steps.charge.body}}', '{{inptu.x}}'], '{{input.k}}': 1 } }
              │                                                                             ^^^^^^^^^^^ a place holder begins with `input` or `steps`; `{{{{` writes two braces
              help: write `{{input.NAME}}` or `{{steps.ID.body.NAME}}`; `{{{{` stands for `{{`
            error[F004]: a place holder cannot be a key
              ┌─ flotilla.yaml:6:116
            6 │ …ll: 'api/{{steps.reserve.body.id}}', body: { a: ['{{steps.charge.body}}', '{{inptu.x}}'], '{{input.k}}': 1 } }
              │                                                                                            ^^^^^^^^^^^^^ only values have place holders
            error[F004]: `{{steps.resreve.body.id}}` is not known there
              ┌─ flotilla.yaml:7:49
            7 │       - { id: charge, call: api/x, undo: 'api/{{steps.resreve.body.id}}', body: '{{steps.reserve.status}}' }
              │                                                 ^^^^^^^^^^^^^^^^^^^^^ did you mean `reserve`?
            error[F004]: a place holder cannot be read
              ┌─ flotilla.yaml:7:82
            7 │       - { id: charge, call: api/x, undo: 'api/{{steps.resreve.body.id}}', body: '{{steps.reserve.status}}' }
              │                                                                                  ^^^^^^^^^^^^^^^^^^^^^^^^ of a step there is its `body` only: `steps.NAME.body`
              help: write `{{input.NAME}}` or `{{steps.ID.body.NAME}}`; `{{{{` stands for `{{`
            error[F004]: a place holder cannot be read
              ┌─ flotilla.yaml:8:58
            8 │       - { id: other, after: [], call: api/x, body: 'open {{input.x' }
              │                                                          ^^^^^^^^^ the place holder does not end: `}}` is missing
              help: write `{{input.NAME}}` or `{{steps.ID.body.NAME}}`; `{{{{` stands for `{{`
            error[F004]: `{{steps.tolt.body}}` is not known there
              ┌─ flotilla.yaml:9:41
            9 │       - { id: told, publish: t, key: '{{steps.tolt.body}}' }
              │                                         ^^^^^^^^^^^^^^^ did you mean `told`?
            error[F004]: `{{steps.told.body}}` is not known there
               ┌─ flotilla.yaml:10:32
            10 │       - { publish: t, body: '{{steps.told.body}}' }
               │                                ^^^^^^^^^^^^^^^ that step answers nothing: it is done with the decision
            error[F004]: `{{steps.a.body}}` is not known there
               ┌─ flotilla.yaml:11:96
            11 │ …{ mode: tcc, steps: [{ id: a, participant: api/x }, { id: b, participant: api/x, body: '{{steps.a.body}}' }] }
               │                                                                                            ^^^^^^^^^^^^ no step of a transaction whose mode is tcc sees what another answers
               help: write `{{input.NAME}}`
            error[F004]: `{{steps.a.body}}` is not known there
               ┌─ flotilla.yaml:12:38
            12 │   c: { mode: msg, headers: { x-a: '{{steps.a.body}}', x-b: '{{input.b}}' }, query: 'api/{{steps.a.body}}', ste…
               │                                      ^^^^^^^^^^^^ only the input is known to it
               help: write `{{input.NAME}}`
            error[F004]: `{{steps.a.body}}` is not known there
               ┌─ flotilla.yaml:12:91
            12 │ …{{steps.a.body}}', x-b: '{{input.b}}' }, query: 'api/{{steps.a.body}}', steps: [{ call: '{{input.service}}/x' …
               │                                                         ^^^^^^^^^^^^ only the input is known to it
               help: write `{{input.NAME}}`
            error[F004]: `steps.call` of transaction `c` cannot be `{{input.service}}/x`
               ┌─ flotilla.yaml:12:124
            12 │ …eps.a.body}}', x-b: '{{input.b}}' }, query: 'api/{{steps.a.body}}', steps: [{ call: '{{input.service}}/x' }] }
               │                                                                                      ^^^^^^^^^^^^^^^^^^^^^^ place holders may stand in the path and the query only
        "#]],
    );
}

#[test]
fn a_place_holder_without_quotes_is_told() {
    let text = told(
        "services: { api: {} }\ntransactions: { a: { steps: [{ call: api/x, body: { sku: {{input.sku}} } }] } }\n",
    );
    expect![[r#"
        error[F001]: a key must be a plain text
          ┌─ flotilla.yaml:2:69
        2 │ transactions: { a: { steps: [{ call: api/x, body: { sku: {{input.sku}} } }] } }
          │                                                                     ^
          help: quote the key if it has `{` or `[` in it, and a text with a place holder: "{{input.name}}"
    "#]]
    .assert_eq(&text);
}

#[test]
fn more_steps_than_a_transaction_may_have_are_told() {
    let steps = "{ call: api/x }, ".repeat(100);
    let text = told(&format!(
        "services: {{ api: {{}} }}\ntransactions: {{ a: {{ steps: [{steps}] }} }}\n"
    ));
    assert!(
        text.contains("transaction `a` has 100 steps") && text.contains("99 are allowed"),
        "{text}"
    );
}
