//! Transactions as JSON says them.

use super::*;
use crate::{
    tx::parse::{From, submit},
    wire::transactions::Submit,
};
use transactions::{Ask, Join, Spec};

fn read(body: Value) -> Result<Spec, String> {
    let body: Submit = serde_json::from_value(body).map_err(|e| e.to_string())?;
    let submitted = submit(body, None, From::default()).map_err(|p| p.detail.message)?;
    match submitted.ask {
        Ask::Spec(spec) => Ok(*spec),
        Ask::Use { .. } => Err("it uses a definition".to_owned()),
    }
}

fn after(spec: &Spec) -> Vec<String> {
    spec.steps.iter().map(|step| format!("{}<{}", step.id, step.after.join(","))).collect()
}

#[test]
fn a_saga_is_a_chain_unless_a_step_says_what_comes_before_it() {
    let chain = json!({ "steps": [
        { "call": "items/a" }, { "id": "b", "call": "items/b", "undo": "PUT items/c" },
        { "publish": "done", "key": "{{input.order}}" }, { "call": "GET https://x.example/y" },
    ] });
    let spec = read(chain).unwrap();
    assert_eq!(after(&spec), ["01<", "b<01", "03<", "04<b"]);
    assert_eq!(spec.mode, Mode::Saga);
    assert!(spec.concurrent);
    let undo = &spec.steps[1].calls[&Op::Compensate];
    let target = Target::Service { service: "items".to_owned(), path: "/c".to_owned() };
    assert_eq!((undo.method.as_str(), &undo.target), ("PUT", &target));
    assert!(
        matches!(&spec.steps[2].join, Some(Join::Publish { topic, key: Some(_) }) if topic == "done")
    );
    let dag = json!({ "sequential": true, "steps": [
        { "id": "a", "call": "items/a", "after": [] }, { "id": "b", "call": "items/b" },
        { "id": "c", "call": "items/c", "after": ["a", "b"] },
    ] });
    let spec = read(dag).unwrap();
    assert_eq!(after(&spec), ["a<", "b<", "c<a,b"]);
    assert!(!spec.concurrent);
}

#[test]
fn calls_are_those_of_the_mode() {
    let ops = |body: Value| -> Vec<String> {
        let spec = read(body).unwrap();
        spec.steps[0].calls.iter().map(|(op, call)| format!("{op} {}", call.method)).collect()
    };
    let two = json!({ "mode": "2pc", "steps": [{ "participant": "b/tx", "one_phase": true }] });
    let mut found = ops(two);
    found.sort_unstable();
    assert_eq!(found, ["commit POST", "commit_one_phase POST", "prepare POST", "rollback POST"]);
    let three =
        json!({ "mode": "3pc", "profile": "classic", "steps": [{ "participant": "PUT b/tx" }] });
    assert_eq!(ops(three.clone()).len(), 4);
    assert_eq!(read(three).unwrap().mode, Mode::ThreePhaseClassic);
    let tcc = json!({ "mode": "tcc", "timeout": "2m", "steps": [
        { "try": "a/try", "confirm": "a/ok", "cancel": "a/no", "reserve": "30s", "timeout": "3s",
          "retry": { "base": "1s", "attempts": 3, "then": "abort" } },
    ] });
    let spec = read(tcc).unwrap();
    let step = &spec.steps[0];
    assert_eq!(
        (step.reserve_ms, step.timeout_ms, spec.timeout_ms),
        (Some(30_000), Some(3_000), Some(120_000))
    );
    let retry = step.retry.unwrap();
    assert_eq!((retry.base_ms, retry.max_ms, retry.attempts), (1_000, 60_000, Some(3)));
    // In an open transaction the client itself may ask for the first phase.
    let open =
        json!({ "mode": "tcc", "open": true, "steps": [{ "confirm": "a/ok", "cancel": "a/no" }] });
    assert!(read(open).unwrap().steps[0].tried_by_client);
    let message = json!({ "mode": "msg", "open": true, "query": "GET a/query", "delay": "10s",
        "steps": [{ "call": "grpc://a/x.Y/Z" }] });
    let spec = read(message).unwrap();
    assert_eq!((spec.delay_ms, spec.query.unwrap().method.as_str()), (Some(10_000), "GET"));
}

/// A body of the one form, and words that say what is wrong with it.
type Wrong = (Value, &'static str);

#[track_caller]
fn all_are_refused(rows: Vec<Wrong>) {
    for (body, words) in rows {
        let found = read(body.clone()).unwrap_err();
        assert!(found.contains(words), "{body}: {found}");
    }
}

fn saga(steps: Value) -> Value {
    json!({ "steps": steps })
}

#[test]
fn what_is_wrong_with_a_step_is_said_with_its_place() {
    all_are_refused(vec![
        (saga(json!([{ "call": "a/b", "undoo": "a/c" }])), "steps[0]: unknown field `undoo`"),
        (saga(json!([{ "id": "x", "call": 7 }])), "steps[0] (`x`): invalid type"),
        (saga(json!(["a/b"])), "steps[0]: invalid type"),
        (saga(json!([{ "id": "x" }])), "steps[0] (`x`): `call` is missing"),
        (saga(json!([{ "id": "x", "undo": "a/b" }])), "`call` is missing"),
        (
            saga(json!([{ "call": "items" }, { "call": "GET" }])),
            "steps[1].call: `GET`: must say where to",
        ),
        (saga(json!([{ "call": "Items/x" }])), "steps[0].call: `Items/x`: `Items` is no service"),
        (saga(json!([{ "call": "ftp://a/b" }])), "neither http, https nor grpc"),
        (saga(json!([{ "id": "a b", "call": "a/b" }])), "`id` is 1 to 64 of"),
        (
            saga(json!([{ "id": "x", "call": "a/b" }, { "id": "x", "call": "a/b" }])),
            "another step has this name",
        ),
        (saga(json!([{ "call": "a/b", "reserve": "3s" }])), "keep nothing for a time"),
        (
            saga(json!([{ "call": "a/b", "timeout": "3" }])),
            "steps[0].timeout: `3` is not a duration",
        ),
        (saga(json!([{ "call": "a/b", "timeout": "0" }])), "less than a millisecond"),
        (
            saga(json!([{ "call": "a/b", "retry": { "base": "1m", "max": "1s" } }])),
            "steps[0].retry.max",
        ),
        (saga(json!([{ "call": "a/b", "retry": { "attempts": 0 } }])), "steps[0].retry.attempts"),
        (saga(json!([{ "call": "a/b", "retry": { "tries": 1 } }])), "unknown field `tries`"),
    ]);
}

#[test]
fn what_comes_before_a_step_is_checked_and_so_is_what_it_uses() {
    all_are_refused(vec![
        (
            saga(
                json!([{ "id": "x", "call": "a/b", "after": ["y"] }, { "id": "y", "call": "a/b" }]),
            ),
            "no step before it has that name",
        ),
        (
            saga(json!([{ "id": "x", "call": "a/b", "after": ["x"] }])),
            "no step before it has that name",
        ),
        (saga(json!([{ "id": "x", "call": "a/b", "body": "{{inputt.a}}" }])), "steps[0] (`x`): "),
        (
            saga(json!([{ "id": "x", "call": "a/b", "body": "{{steps.y.body}}" }])),
            "it uses the answer of `y`",
        ),
        (
            saga(json!([
                { "id": "x", "call": "a/b", "after": [] }, { "call": "a/{{steps.x.body.id}}" },
            ])),
            "it uses the answer of `x`",
        ),
    ]);
}

#[test]
fn what_joins_the_decision_is_no_call() {
    all_are_refused(vec![
        (
            saga(json!([{ "call": "a/b", "publish": "t" }])),
            "without a call: `call` has no place there",
        ),
        (
            saga(json!([{ "put": { "store": "s", "key": "k" }, "publish": "t" }])),
            "both `publish` and `put`",
        ),
        (
            saga(json!([{ "delete": { "store": "s", "key": "k" }, "body": 1 }])),
            "no use for a `body`",
        ),
        (saga(json!([{ "put": { "store": "s" } }])), "missing field `key`"),
        (saga(json!([{ "call": "a/b", "key": "k" }])), "`key` belongs to `publish`"),
        (
            json!({ "mode": "2pc", "steps": [{ "publish": "t" }] }),
            "`publish` is a step of a saga, and this is a 2pc",
        ),
    ]);
}

#[test]
fn what_does_not_belong_to_the_mode_is_refused() {
    all_are_refused(vec![
        (json!({ "stepz": [] }), "unknown field `stepz`"),
        (json!({ "mode": "xa" }), "unknown variant `xa`"),
        (
            saga(json!([{ "call": "a/b", "confirm": "a/c" }])),
            "`confirm` is a call of mode tcc, and this is a saga",
        ),
        (
            json!({ "open": true, "steps": [{ "call": "a/b" }] }),
            "open: a transaction of mode saga is submitted whole",
        ),
        (json!({ "profile": "strict" }), "profile: only a transaction of mode 3pc has it"),
        (json!({ "query": "a/b", "steps": [] }), "query: only a transaction of mode msg has it"),
        (json!({ "mode": "msg", "query": "a/b" }), "query: only an open message has it"),
        (
            json!({ "mode": "2pc", "steps": [{ "participant": "a/b", "commit": "a/c" }] }),
            "give `participant` or `commit`",
        ),
        (
            json!({ "mode": "2pc", "steps": [{ "prepare": "a/b", "commit": "a/c" }] }),
            "`rollback` is missing",
        ),
        (
            json!({ "mode": "2pc", "steps": [{ "participant": "a/b", "after": [] }] }),
            "only steps of a saga have `after`",
        ),
        (
            json!({ "mode": "tcc", "steps": [{ "confirm": "a/b", "cancel": "a/c" }] }),
            "`try` is missing",
        ),
        (json!({ "headers": { "a b": "1" } }), "headers.a b: this is no name"),
        (json!({ "headers": { "a": "1\n" } }), "headers.a: the value has characters"),
        (json!({ "headers": { "Host": "x" } }), "headers.Host: this field is set by the node"),
        (json!({ "id": "a b" }), "id: `a b` is no name of a transaction"),
        (json!({ "use": "x", "steps": [{}] }), "`steps` cannot be given with `use`"),
        (json!({ "use": "x", "timeout": "1s" }), "`timeout` cannot be given with `use`"),
    ]);
}

#[test]
fn the_id_is_the_bodys_or_else_the_headers() {
    let gid = |id: Option<&str>, key: Option<&str>| {
        let body =
            Submit { id: id.map(str::to_owned), name: Some("x".into()), ..Submit::default() };
        let submitted = submit(body, key, From::default()).map_err(|p| p.detail.message);
        submitted.map(|it| it.gid.map(String::from))
    };
    assert_eq!(gid(None, None), Ok(None));
    assert_eq!(gid(Some("a"), Some("b")), Ok(Some("a".to_owned())));
    assert_eq!(gid(None, Some("b")), Ok(Some("b".to_owned())));
    assert_eq!(gid(None, Some("\"b-1\"")), Ok(Some("b-1".to_owned())));
    assert!(gid(None, Some("")).unwrap_err().starts_with("Idempotency-Key: "));
}

proptest::proptest! {
    #[test]
    fn no_body_makes_the_reader_panic(
        key in proptest::sample::select(vec!["call", "undo", "try", "id", "after", "body", "retry", "put", "participant", "one_phase"]),
        text in "[a-z{}./: \\[\\]\"\u{e9}]{0,30}",
        mode in proptest::sample::select(vec!["saga", "tcc", "2pc", "3pc", "msg"]),
        is_open: bool,
    ) {
        let step = json!({ "call": "a/b", key: text });
        let _result = read(json!({ "mode": mode, "open": is_open, "steps": [step, { key: [text] }] }));
    }
}
