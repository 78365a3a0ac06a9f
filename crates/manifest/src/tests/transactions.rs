//! Transactions: good files, and what they mean.

use super::loaded;
use crate::{StepWork, TransactionDefinition, TransactionJoin, TransactionStep, Transactions};
use expect_test::{Expect, expect};
use logic::tx::target::{Call, Target};

/// Shows what is said of transactions, one thing a line.
fn show(all: &Transactions) -> String {
    let mut lines = Vec::new();
    if let Some(dtm) = &all.dtm {
        lines.push(format!("dtm {} {}", dtm.http, dtm.grpc));
    }
    if let Some(retain) = all.retain {
        lines.push(format!("retain {retain:?}"));
    }
    for one in &all.definitions {
        lines.push(definition(one));
        lines.extend(one.steps.iter().map(step));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn definition(one: &TransactionDefinition) -> String {
    let retry = one.retry;
    let mut line = format!(
        "{} {} retry {}..{} {:?} {:?}",
        one.name, one.mode, retry.base_ms, retry.max_ms, retry.attempts, retry.then
    );
    let times = [("timeout", one.timeout), ("delay", one.delay)];
    for (name, time) in times {
        line.extend(time.map(|time| format!(" {name} {time:?}")));
    }
    if !one.headers.is_empty() {
        line.push_str(&format!(" headers {:?}", one.headers));
    }
    if one.durable_steps {
        line.push_str(" durable");
    }
    if one.sequential {
        line.push_str(" sequential");
    }
    line.extend(one.query.as_ref().map(|query| format!(" query {}", call(query))));
    line
}

fn step(step: &TransactionStep) -> String {
    let mut line = format!("  {}", step.id);
    if !step.after.is_empty() {
        line.push_str(&format!(" after {}", step.after.join(", ")));
    }
    match &step.work {
        StepWork::Calls(calls) => {
            line.extend(calls.iter().map(|(op, to)| format!(" {op}={}", call(to))));
        }
        StepWork::Join(TransactionJoin::Publish { topic, key }) => {
            line.push_str(&format!(" publishes {topic} {key:?}"));
        }
        StepWork::Join(join) => line.push_str(&format!(" {join:?}")),
    }
    line.extend(step.body.as_ref().map(|body| format!(" body {body}")));
    line.extend(step.timeout.map(|time| format!(" timeout {time:?}")));
    line.extend(step.reserve.map(|time| format!(" reserve {time:?}")));
    line.extend(step.retry.map(|retry| {
        format!(" retry {}..{} {:?} {:?}", retry.base_ms, retry.max_ms, retry.attempts, retry.then)
    }));
    line
}

fn call(call: &Call) -> String {
    match &call.target {
        Target::Service { service, path } => format!("{} {service}{path}", call.method),
        Target::Url(url) => format!("{} {url}", call.method),
        Target::GrpcService { service, method } => format!("grpc {service}/{method}"),
        Target::Grpc { authority, method } => format!("grpc at {authority}/{method}"),
    }
}

fn check(yaml: &str, expected: Expect) {
    let text = match loaded(yaml) {
        Ok((folder, loaded)) => show(&loaded.system.transactions) + &folder.show(&loaded.warnings),
        Err(problems) => problems,
    };
    expected.assert_eq(&text);
}

#[test]
fn a_saga_says_its_steps_and_what_joins_its_end() {
    check(
        "\
services: { api: {}, web: {}, users: {} }
topics: { order.created: {} }
state: { shop: {}, sessions: { cache: true } }
transactions:
  checkout:
    timeout: 2m
    retry: { base: 1s, max: 30s, attempts: 5, then: abort }
    durable_steps: true
    headers: { X-Tenant: acme }
    steps:
      - { id: reserve, call: POST users/reserve, undo: POST users/release, body: { sku: \"{{input.sku}}\", qty: 1 }, timeout: 3s }
      - { call: 'PUT web/charges/{{input.order}}', retry: { attempts: none } }
      - { id: pay, call: 'https://pay.example/v1/{{steps.reserve.body.id}}' }
      - { publish: order.created, key: \"{{input.order}}\", body: { id: \"{{steps.pay.body.id}}\" } }
      - { id: keep, put: { store: shop, key: \"o-{{input.order}}\", etag: '' }, body: \"{{steps.pay.body}}\" }
      - { delete: { store: shop, key: cart, etag: \"{{input.etag}}\" } }
      - { holds: { lock: \"seat-{{input.seat}}\", token: \"{{input.token}}\" } }
",
        expect![[r#"
            checkout saga retry 1000..30000 Some(5) Abort timeout 120s headers {"x-tenant": "acme"} durable
              reserve action=POST users/reserve compensate=POST users/release body {"qty":1,"sku":"{{input.sku}}"} timeout 3s
              02 after reserve action=PUT web/charges/{{input.order}} retry 1000..30000 None Abort
              pay after 02 action=POST https://pay.example/v1/{{steps.reserve.body.id}}
              04 publishes order.created Some("{{input.order}}") body {"id":"{{steps.pay.body.id}}"}
              keep Put { store: "shop", key: "o-{{input.order}}", etag: Some("") } body "{{steps.pay.body}}"
              06 Delete { store: "shop", key: "cart", etag: Some("{{input.etag}}") }
              07 Holds { store: "lockstore", resource: "seat-{{input.seat}}", token: "{{input.token}}" }
        "#]],
    );
}

#[test]
fn steps_are_a_chain_unless_any_of_them_says_what_it_comes_after() {
    check(
        "\
services: { api: {} }
transactions:
  chain: { steps: [{ call: api/a }, { call: api/b }, { call: api/c }] }
  graph: { sequential: true, steps: [{ call: api/a }, { call: api/b }, { call: api/c, after: ['01', '02'] }] }
  all: { steps: [{ call: api/a, after: [] }, { call: api/b }] }
  sees: { steps: [{ id: a, call: api/a }, { id: b, call: api/b, after: a }, { id: c, call: api/c, after: b, body: '{{steps.a.body.x?}}' }] }
",
        expect![[r#"
            chain saga retry 500..60000 Some(20) Attention
              01 action=POST api/a
              02 after 01 action=POST api/b
              03 after 02 action=POST api/c
            graph saga retry 500..60000 Some(20) Attention sequential
              01 action=POST api/a
              02 action=POST api/b
              03 after 01, 02 action=POST api/c
            all saga retry 500..60000 Some(20) Attention
              01 action=POST api/a
              02 action=POST api/b
            sees saga retry 500..60000 Some(20) Attention
              a action=POST api/a
              b after a action=POST api/b
              c after b action=POST api/c body "{{steps.a.body.x?}}"
        "#]],
    );
}

#[test]
fn the_other_protocols_have_operations_of_their_own() {
    check(
        "\
services: { api: {}, web: {}, users: {} }
transactions:
  transfer:
    mode: tcc
    steps:
      - { id: from, try: POST users/reserve, confirm: POST users/confirm, cancel: POST users/cancel, reserve: 30s }
      - { id: to, participant: grpc://web/shop.Accounts/Tx }
  move:
    mode: 2pc
    steps:
      - { id: a, participant: users/tx, one_phase: true }
      - { id: b, prepare: web/p, commit: web/c, rollback: web/r, one_phase: web/one }
  safe: { mode: 3pc, steps: [{ participant: users/tx }] }
  bold: { mode: 3pc, profile: classic, steps: [{ can_commit: api/a, pre_commit: api/b, commit: api/c, rollback: api/d, reserve: 1m }] }
  told: { mode: msg, query: GET api/tx-query, delay: 10s, steps: [{ call: grpc://127.0.0.1:50051/a.B/C }] }
",
        expect![[r#"
            transfer tcc retry 500..60000 Some(20) Attention
              from try=POST users/reserve confirm=POST users/confirm cancel=POST users/cancel reserve 30s
              to try=grpc web/shop.Accounts/Tx confirm=grpc web/shop.Accounts/Tx cancel=grpc web/shop.Accounts/Tx
            move 2pc retry 500..60000 Some(20) Attention
              a prepare=POST users/tx commit=POST users/tx rollback=POST users/tx commit_one_phase=POST users/tx
              b prepare=POST web/p commit=POST web/c rollback=POST web/r commit_one_phase=POST web/one
            safe 3pc retry 500..60000 Some(20) Attention
              01 can_commit=POST users/tx pre_commit=POST users/tx commit=POST users/tx rollback=POST users/tx
            bold 3pc_classic retry 500..60000 Some(20) Attention
              01 can_commit=POST api/a pre_commit=POST api/b commit=POST api/c rollback=POST api/d reserve 60s
            told msg retry 500..60000 Some(20) Attention delay 10s query GET api/tx-query
              01 action=grpc at 127.0.0.1:50051/a.B/C
        "#]],
    );
}

#[test]
fn dtm_is_answered_where_its_clients_look() {
    check(
        "services: { api: {} }\ntransactions: { dtm: true }\n",
        expect![[r#"
        dtm 127.0.0.1:36789 127.0.0.1:36790
    "#]],
    );
    check(
        "services: { api: {} }\ntransactions: { dtm: { grpc: 0.0.0.0:7000 }, retain: 30d, x-mine: 1 }\n",
        expect![[r#"
            dtm 127.0.0.1:36789 0.0.0.0:7000
            retain 2592000s
        "#]],
    );
    check("services: { api: {} }\ntransactions: { dtm: false }\n", expect![[r#""#]]);
}

#[test]
fn ports_of_dtm_are_nobody_elses() {
    check(
        "services: { api: { port: 36789, run: x }, web: {} }\ntransactions: { dtm: { grpc: 8081 } }\ngateway: { routes: { /: api } }\n",
        expect![[r#"
            error[F005]: port 36789 is used by `api` and by DTM's HTTP
              ┌─ flotilla.yaml:2:17
            2 │ transactions: { dtm: { grpc: 8081 } }
              │                 ^^^ used again here
              = it is used first in line 1
              help: change one of them
            error[F005]: port 8081 is used by the admin API and by DTM's gRPC
              ┌─ flotilla.yaml:2:30
            2 │ transactions: { dtm: { grpc: 8081 } }
              │                              ^^^^ the admin API listens there unless told otherwise
              help: change it, or write `admin: { listen: 127.0.0.1:9081 }`
        "#]],
    );
}

#[test]
fn an_environment_says_a_transaction_differently() {
    let yaml = "\
services: { api: {} }
transactions: { a: { timeout: 1m, steps: [{ call: api/x }] }, dtm: true }
environments: { prod: { transactions: { a: { timeout: 2m }, b: { steps: [{ call: api/y }] } } } }
";
    let folder = super::Folder::new(&[("flotilla.yaml", yaml), ("api/app.py", "")]);
    let options =
        crate::Options { environment: Some("prod".to_owned()), ..crate::Options::default() };
    let loaded = folder.load("flotilla.yaml", &options).unwrap();
    expect![[r#"
        dtm 127.0.0.1:36789 127.0.0.1:36790
        a saga retry 500..60000 Some(20) Attention timeout 120s
          01 action=POST api/x
        b saga retry 500..60000 Some(20) Attention
          01 action=POST api/y
    "#]]
    .assert_eq(&show(&loaded.system.transactions));
}
