//! What is not done, and why.

use super::*;

#[tokio::test]
async fn nobody_gets_further_by_a_transaction_than_without() {
    let app = items().await;
    let rig = rig(&app).await;
    rig.node.offer("vault", Protocol::Http);
    rig.node.deny("web", "statestore");
    let steps = |step: Value| json!({ "steps": [step] });
    for (body, status, code, words) in [
        (
            steps(json!({ "call": "vault/x" })),
            403,
            "forbidden",
            "step `01`: web may not call vault",
        ),
        (
            steps(json!({ "call": "itemz/x" })),
            400,
            "bad_request",
            "step `01`: there is no service `itemz`",
        ),
        (
            steps(json!({ "call": "items/x", "undo": "vault/x" })),
            403,
            "forbidden",
            "may not call vault",
        ),
        (steps(json!({ "call": "grpc://vault/a.B/C" })), 403, "forbidden", "may not call vault"),
        (steps(json!({ "publish": "flotilla.runs" })), 403, "forbidden", "the node's own"),
        (steps(json!({ "publish": "a b" })), 400, "bad_request", "is no name of a topic"),
        (
            steps(json!({ "put": { "store": "statestore", "key": "k" } })),
            404,
            "unknown_store",
            "step `01`",
        ),
        (
            steps(json!({ "holds": { "store": "none", "lock": "l", "token": "1" } })),
            404,
            "unknown_store",
            "none",
        ),
        (json!({ "use": "none" }), 404, "unknown_definition", "no transaction `none` is defined"),
        (
            json!({ "mode": "msg", "open": true, "query": "GET vault/q", "steps": [] }),
            403,
            "forbidden",
            "query: ",
        ),
        (json!({ "steps": [] }), 400, "bad_request", ""),
    ] {
        let reply = post(&rig, "/v1/tx", &[], &body).await;
        assert_eq!(reply.code(), (status, code.to_owned()), "{body}: {reply:?}");
        assert!(reply.text().contains(words), "{body}: {reply:?}");
    }
    assert_eq!(ask(&rig, "GET /v1/tx", "").await.json(), json!({ "transactions": [] }));
}

#[tokio::test]
async fn hostile_requests_are_refused_with_a_reason() {
    let app = items().await;
    let rig = rig(&app).await;
    let many: Vec<Value> = (0..200).map(|_| json!({ "call": "items/x" })).collect();
    let labels: serde_json::Map<String, Value> =
        (0..100).map(|number| (number.to_string(), json!("x"))).collect();
    let long = "x".repeat(600 << 10);
    for (headers, body, status, words) in [
        (&[][..], json!({ "steps": many }), 400, "99"),
        (&[], json!({ "steps": [{ "call": "items/x" }], "labels": labels }), 400, "label"),
        (&[], json!({ "steps": [{ "call": "items/x" }], "input": long }), 413, "too_large"),
        (&[("prefer", "wait=soon")], saga("x"), 400, "Prefer: wait=soon"),
        (&[("prefer", "wait=-1")], saga("x"), 400, "Prefer: wait=-1"),
        (
            &[("idempotency-key", "a b")],
            json!({ "steps": [{ "call": "items/x" }] }),
            400,
            "Idempotency-Key",
        ),
        (&[], json!(7), 400, "the body cannot be read"),
        (&[], json!({ "steps": {} }), 400, "the body cannot be read"),
    ] {
        let reply = post(&rig, "/v1/tx", headers, &body).await;
        assert_eq!(reply.status, status, "{reply:?}");
        assert!(reply.text().contains(words), "{reply:?}");
    }
    let plain = ask_as(&rig, CALLER, "POST /v1/tx", &[], "{}").await;
    assert_eq!(plain.code(), (415, "unsupported_media_type".to_owned()));
    for path in ["/v1/tx/a%20b", "/v1/tx/%00/decision", "/v1/tx/%2e%2e%2f/events"] {
        assert_eq!(ask(&rig, &format!("GET {path}"), "").await.status, 400, "{path}");
    }
    assert_eq!(ask(&rig, "PUT /v1/tx", "{}").await.status, 405);
    // Longer than anybody may wait is as long as one may.
    let patient =
        post(&rig, "/v1/tx", &[("prefer", "respond-async, wait=100000")], &saga("y")).await;
    assert_eq!((patient.status, patient.header("preference-applied")), (201, "wait=60"));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 32, ..Default::default() })]
    #[test]
    fn no_transaction_makes_it_panic(
        mode in proptest::sample::select(vec!["saga", "tcc", "2pc", "3pc", "msg"]),
        key in proptest::sample::select(vec!["call", "undo", "body", "after", "participant", "publish", "reserve"]),
        text in "[a-z{}./: \\[\\]\"0-9]{0,30}",
        is_open: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let rig = Rig::new().await;
            rig.node.offer("items", Protocol::Http);
            let body = json!({ "mode": mode, "open": is_open, "steps": [{ "call": "items/x", key: text }, { key: text }] });
            let reply = post(&rig, "/v1/tx", &[], &body).await;
            assert!(reply.status < 500, "{body}: {reply:?}");
        });
    }
}
