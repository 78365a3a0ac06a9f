//! What is answered while the engine is away.

use super::*;
use coordination::Secret;
use ports::kv::conformance::Failure;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

#[tokio::test]
async fn writes_and_reads_of_state_and_locks_are_503_and_name_the_engine() {
    let rig = Rig::new().await;
    rig.memory.set_down(true);
    for (line, body, code) in [
        ("GET /v1.0/state/statestore/a", "", "ERR_STATE_GET"),
        ("POST /v1.0/state/statestore", r#"[{"key":"a","value":1}]"#, "ERR_STATE_SAVE"),
        ("POST /v1.0/state/statestore", r#"[{"key":"a"},{"key":"b"}]"#, "ERR_STATE_SAVE"),
        ("DELETE /v1.0/state/statestore/a", "", "ERR_STATE_DELETE"),
        ("POST /v1.0/state/statestore/bulk", r#"{"keys":["a"]}"#, "ERR_STATE_BULK_GET"),
        (
            "POST /v1.0/state/statestore/transaction",
            r#"{"operations":[{"operation":"delete","request":{"key":"a"}}]}"#,
            "ERR_STATE_TRANSACTION",
        ),
        (
            "POST /v1.0-alpha1/lock/lockstore",
            r#"{"resourceId":"r","lockOwner":"o","expiryInSeconds":9}"#,
            "ERR_TRY_LOCK",
        ),
        (
            "POST /v1.0-alpha1/unlock/lockstore",
            r#"{"resourceId":"r","lockOwner":"o"}"#,
            "ERR_UNLOCK",
        ),
    ] {
        let reply = ask(&rig, line, body).await;
        let said = reply.json();
        assert_eq!((reply.status, said["errorCode"].as_str()), (503, Some(code)), "{line}: {said}");
        assert!(said["message"].as_str().unwrap().contains("memory"), "{line}: {said}");
        assert_eq!(reply.header("retry-after"), "1", "{line}");
    }
    for (line, body) in [
        ("GET /v1/state/statestore/keys", ""),
        ("GET /v1/state/statestore/keys/a", ""),
        ("PUT /v1/state/statestore/keys/a", "x"),
        ("DELETE /v1/state/statestore/keys/a", ""),
        ("POST /v1/state/statestore/get", r#"{"keys":["a"]}"#),
        ("POST /v1/state/statestore/transact", r#"{"operations":[{"delete":{"key":"a"}}]}"#),
        ("GET /v1/locks/lockstore/r", ""),
        ("POST /v1/locks/lockstore/r/acquire", r#"{"owner":"o","ttl_ms":9000}"#),
        ("PUT /v1/config/configstore/keys/k", r#"{"value":"1"}"#),
    ] {
        let reply = ask_as(&rig, CALLER, line, &JSON, body).await;
        assert_eq!(reply.code(), (503, "kv_unavailable".into()), "{line}: {reply:?}");
        assert_eq!(reply.header("retry-after"), "1");
        assert!(reply.text().contains("memory"), "{line}: {reply:?}");
    }
    // What needs no engine goes on, and everything is as before when it is back.
    assert_eq!(says(&rig, "GET /v1.0/healthz/outbound", "").await, "204");
    assert_eq!(ask(&rig, "GET /v1.0/metadata", "").await.status, 200);
    rig.memory.set_down(false);
    assert_eq!(
        says(&rig, "POST /v1.0/state/statestore", r#"[{"key":"a","value":1}]"#).await,
        "204"
    );
}

#[tokio::test]
async fn configuration_and_secrets_are_read_from_memory_and_say_so() {
    let rig = Rig::new().await;
    blocks::set(&rig, "limit", "10").await;
    rig.coordination.secrets().set("secretstore", "key", Secret::new("hunter22")).await.unwrap();
    // The copy has it once it was read.
    assert_eq!(ask(&rig, "GET /v1.0/secrets/secretstore/key", "").await.status, 200);
    rig.memory.set_down(true);
    let limit = r#"200 {"limit":{"value":"10","version":"1","metadata":{}}}"#;
    assert_eq!(says(&rig, "GET /v1.0/configuration/configstore", "").await, limit);
    assert_eq!(
        says(&rig, "GET /v1.0/secrets/secretstore/key", "").await,
        r#"200 {"key":"hunter22"}"#
    );
    within(async {
        // The loss is noticed by what watches the engine, a moment later.
        while ask(&rig, "GET /v1/config/configstore", "").await.json()["stale"] != true {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let secret = ask(&rig, "GET /v1/secrets/secretstore/key", "").await.json();
    assert_eq!(secret["values"]["key"], "hunter22");
}

#[tokio::test]
async fn an_unknown_outcome_is_told_from_a_refusal() {
    let rig = Rig::new().await;
    rig.memory.fail_next(Failure::UnknownButApplied);
    let reply = ask(&rig, "PUT /v1/state/statestore/keys/a", "x").await;
    assert_eq!(reply.code(), (504, "outcome_unknown".into()), "{reply:?}");
    assert_eq!(ask(&rig, "GET /v1/state/statestore/keys/a", "").await.text(), "x");
    rig.memory.fail_next(Failure::UnknownAndLost);
    let reply = ask(&rig, "POST /v1.0/state/statestore", r#"[{"key":"b","value":1}]"#).await;
    assert_eq!(reply.status, 500, "{reply:?}");
    assert!(reply.text().contains("may have been applied or not"), "{reply:?}");
}
