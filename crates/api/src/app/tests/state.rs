//! State over HTTP, as Dapr has it.

use super::*;
use crate::app::blocks::state as block;
use coordination::{KeyPrefix, StateStore, Stores};

const SAVE: &str = "POST /v1.0/state/statestore";

async fn etag(rig: &Rig, key: &str) -> String {
    let reply = ask(rig, &format!("GET /v1.0/state/statestore/{key}"), "").await;
    reply.header("etag").to_owned()
}

#[tokio::test]
async fn what_is_saved_is_read_back_byte_for_byte() {
    let rig = Rig::new().await;
    for (key, value) in [
        ("number", "12345678901234567890.10"),
        ("text", "\"a\\u0062 ü\""),
        ("object", "{ \"b\" : [1,2 , 3], \"a\":null}"),
        ("flag", "true"),
        ("nothing", "null"),
        ("a/b%20c", "\"odd key\""),
    ] {
        let body = format!("[{{\"key\":{key:?},\"value\":{value}}}]");
        assert_eq!(says(&rig, SAVE, &body).await, "204", "{key}");
        let path = crate::query::escape(key);
        let reply = ask(&rig, &format!("GET /v1.0/state/statestore/{path}"), "").await;
        assert_eq!(reply.line(), format!("200 {value}"));
        assert_eq!(reply.header("content-type"), "application/json");
        assert!(reply.header("etag").parse::<u64>().is_ok(), "{reply:?}");
    }
    let without_value = "[{\"key\":\"absent\"}]";
    assert_eq!(says(&rig, "PUT /v1.0/state/statestore", without_value).await, "204");
    assert_eq!(says(&rig, "GET /v1.0/state/statestore/absent", "").await, "200 null");
    for empty in ["[]", "null"] {
        assert_eq!(says(&rig, SAVE, empty).await, "204");
    }
    let missing = ask(&rig, "GET /v1.0/state/statestore/missing", "").await;
    assert_eq!((missing.line().as_str(), missing.header("etag")), ("204", ""));
    assert_eq!(
        says(&rig, "GET /v1.0//state/statestore//number/", "").await,
        "200 12345678901234567890.10"
    );
}

#[tokio::test]
async fn an_etag_guards_writes_and_deletions() {
    let rig = Rig::new().await;
    let mismatch = |what: &str| {
        let message = format!("{what}: possible etag mismatch. error from state store");
        fault(
            409,
            if what.starts_with("failed saving") { "ERR_STATE_SAVE" } else { "ERR_STATE_DELETE" },
            &message,
        )
    };
    let save = "failed saving state in state store statestore";
    let delete = "failed deleting state with key k";
    let first = r#"[{"key":"k","value":1,"options":{"concurrency":"first-write"}}]"#;
    assert_eq!(says(&rig, SAVE, first).await, "204");
    assert_eq!(says(&rig, SAVE, first).await, mismatch(save));
    let old = etag(&rig, "k").await;
    let with = |etag: &str| format!("[{{\"key\":\"k\",\"value\":2,\"etag\":\"{etag}\"}}]");
    assert_eq!(says(&rig, SAVE, &with(&old)).await, "204");
    assert_eq!(says(&rig, SAVE, &with(&old)).await, mismatch(save));
    assert_eq!(says(&rig, SAVE, &with("")).await, "204");
    let of_nothing = r#"[{"key":"none","value":2,"etag":"7"}]"#;
    assert_eq!(says(&rig, SAVE, of_nothing).await, mismatch(save));
    let bad = says(&rig, SAVE, &with("abc")).await;
    assert!(
        bad.starts_with("400 ") && bad.contains("invalid etag value: `abc` is not an etag"),
        "{bad}"
    );

    let path = "DELETE /v1.0/state/statestore/k";
    let with_etag =
        async |etag: &str| ask_as(&rig, CALLER, path, &[("if-match", etag)], "").await.line();
    assert_eq!(with_etag(&old).await, mismatch(delete));
    let present = etag(&rig, "k").await;
    assert_eq!(with_etag(&present).await, "204");
    assert_eq!(with_etag(&present).await, mismatch(delete));
    assert_eq!(says(&rig, path, "").await, "204");
    let bad = with_etag("abc").await;
    assert!(bad.starts_with("400 ") && bad.contains("ERR_STATE_DELETE"), "{bad}");
}

#[tokio::test]
async fn a_value_can_have_an_end() {
    let rig = Rig::new().await;
    let body =
        r#"[{"key":"k","value":1,"metadata":{"ttlInSeconds":"3600"}},{"key":"l","value":2}]"#;
    assert_eq!(says(&rig, SAVE, body).await, "204");
    let reply = ask(&rig, "GET /v1.0/state/statestore/k", "").await;
    let expires = reply.header("metadata.ttlexpiretime");
    assert!(crate::wire::Time::parse(expires).is_ok() && !expires.contains('.'), "{reply:?}");
    let other = ask(&rig, "GET /v1.0/state/statestore/l", "").await;
    assert_eq!(other.header("metadata.ttlexpiretime"), "");
    // What the query says holds for all.
    let line = "POST /v1.0/state/statestore?metadata.ttlInSeconds=60";
    assert_eq!(says(&rig, line, r#"[{"key":"l","value":2}]"#).await, "204");
    let other = ask(&rig, "GET /v1.0/state/statestore/l", "").await;
    assert_ne!(other.header("metadata.ttlexpiretime"), "");
    rig.memory.advance(Duration::from_secs(7_200));
    assert_eq!(says(&rig, "GET /v1.0/state/statestore/k", "").await, "204");
}

#[tokio::test]
async fn several_keys_are_read_at_once_in_the_order_asked_for() {
    let rig = Rig::new().await;
    let body =
        r#"[{"key":"a","value":{"x":1}},{"key":"b","value":"t","metadata":{"ttlInSeconds":"60"}}]"#;
    assert_eq!(says(&rig, SAVE, body).await, "204");
    let caller = base::ServiceName::new("web").unwrap();
    let state = rig.coordination.state("statestore").unwrap();
    for (key, value) in [("text", &b"not json"[..]), ("bytes", &[0xff, 0x00])] {
        let write = coordination::Write::new(state.key(&caller, key), value.to_vec());
        state.put(write).await.unwrap();
    }
    let line = "POST /v1.0/state/statestore/bulk";
    let reply =
        ask(&rig, line, r#"{"keys":["b","none","a","text","bytes"],"parallelism":10}"#).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let mut items = reply.json();
    for item in items.as_array_mut().unwrap() {
        if let Some(etag) = item.get_mut("etag") {
            assert!(etag.as_str().unwrap().parse::<u64>().is_ok());
            *etag = "E".into();
        }
        if let Some(expires) = item.pointer_mut("/metadata/ttlExpireTime") {
            *expires = "T".into();
        }
    }
    assert_eq!(
        items,
        serde_json::json!([
            { "key": "b", "data": "t", "etag": "E", "metadata": { "ttlExpireTime": "T" } },
            { "key": "none" },
            { "key": "a", "data": { "x": 1 }, "etag": "E" },
            { "key": "text", "data": "not json", "etag": "E" },
            { "key": "bytes", "data": "/wA=", "etag": "E" },
        ])
    );
    for none in [r#"{"keys":[]}"#, "{}", r#"{"keys":null}"#] {
        assert_eq!(says(&rig, line, none).await, "200 []");
    }
}

#[tokio::test]
async fn a_transaction_is_done_all_or_not_at_all() {
    let rig = Rig::new().await;
    let line = "POST /v1.0/state/statestore/transaction";
    let body = r#"{"operations":[
        {"operation":"upsert","request":{"key":"a","value":{ "n": 1 }}},
        {"operation":"upsert","request":{"key":"b","value":2}},
        {"operation":"delete","request":{"key":"b"}}],"metadata":{}}"#;
    assert_eq!(says(&rig, line, body).await, "204");
    assert_eq!(says(&rig, "GET /v1.0/state/statestore/a", "").await, "200 { \"n\": 1 }");
    assert_eq!(says(&rig, "GET /v1.0/state/statestore/b", "").await, "204");
    let conflict = r#"{"operations":[
        {"operation":"upsert","request":{"key":"c","value":3}},
        {"operation":"upsert","request":{"key":"a","value":4,"etag":"999999"}}]}"#;
    let message =
        "error while executing state transaction: possible etag mismatch. error from state store";
    assert_eq!(says(&rig, line, conflict).await, fault(500, "ERR_STATE_TRANSACTION", message));
    assert_eq!(says(&rig, "GET /v1.0/state/statestore/c", "").await, "204");
    for none in ["{}", r#"{"operations":[]}"#] {
        assert_eq!(says(&rig, line, none).await, "204");
    }
    let unknown = r#"{"operations":[{"operation":"merge","request":{"key":"a"}}]}"#;
    let message = "operation type merge not supported";
    assert_eq!(
        says(&rig, line, unknown).await,
        fault(400, "ERR_NOT_SUPPORTED_STATE_OPERATION", message)
    );
    let operation = r#"{"operation":"delete","request":{"key":"a"}}"#;
    let many = format!("{{\"operations\":[{}]}}", vec![operation; 129].join(","));
    let reply = ask(&rig, line, many).await;
    let body = reply.json();
    assert_eq!(
        (reply.status, &body["errorCode"]),
        (400, &"ERR_STATE_STORE_TOO_MANY_TRANSACTIONS".into())
    );
    assert_eq!(
        body["details"],
        serde_json::json!([
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "DAPR_STATE_TOO_MANY_TRANSACTIONS",
                "domain": "dapr.io",
                "metadata": { "currentOpsTransaction": "129", "maxOpsPerTransaction": "128" },
            },
            {
                "@type": "type.googleapis.com/google.rpc.ResourceInfo",
                "resource_type": "state",
                "resource_name": "statestore",
                "owner": "",
                "description": "",
            },
        ])
    );
}

#[tokio::test]
async fn mistakes_are_told_in_the_words_of_dapr() {
    let rig = Rig::new().await;
    let required = fault(400, "ERR_MALFORMED_REQUEST", "\"key\" is a required field");
    assert_eq!(says(&rig, SAVE, r#"[{"value":1}]"#).await, required);
    assert_eq!(says(&rig, SAVE, r#"[{"key":"","value":1}]"#).await, required);
    for (line, body, words) in [
        (SAVE, "", "EOF while parsing a value at line 1 column 0"),
        (SAVE, "{", "line 1 column"),
        (SAVE, "{}", "line 1 column"),
        (SAVE, "[{\"key\":\"a\",\n\"value\":}]", "line 2 column"),
        (SAVE, r#"[{"key":"a","value":1,"etag":7}]"#, "expected a string"),
        (SAVE, r#"[{"key":7}]"#, "expected a string"),
        (SAVE, r#"[{"key":"a","value":1}] x"#, "trailing characters"),
        (SAVE, r#"[{"key":"a","metadata":{"ttlInSeconds":"x"}}]"#, "ttlInSeconds is `x`"),
        (SAVE, r#"[{"key":"a","options":{"concurrency":"x"}}]"#, "concurrency model 'x'"),
        (SAVE, r#"[{"key":"a","options":{"consistency":"x"}}]"#, "consistency model 'x'"),
        ("GET /v1.0/state/statestore/a?consistency=x", "", "consistency model 'x'"),
        ("DELETE /v1.0/state/statestore/a?concurrency=x", "", "concurrency model 'x'"),
        ("POST /v1.0/state/statestore/bulk", "[", "failed deserializing HTTP body"),
        ("POST /v1.0/state/statestore/transaction", "x", "failed deserializing HTTP body"),
        (
            "POST /v1.0/state/statestore/transaction",
            r#"{"operations":[{"operation":"upsert","request":{"key":1}}]}"#,
            "`request` of `upsert`",
        ),
        ("GET /v1.0/state/statestore/%zz", "", "broken % escape"),
        ("GET /v1.0/state/statestore/%ff", "", "not UTF-8"),
        ("GET /v1.0/state/statestore/a?x=%4", "", "broken % escape"),
    ] {
        let said = says(&rig, line, body).await;
        assert!(
            said.starts_with("400 ") && said.contains("ERR_MALFORMED_REQUEST"),
            "{line} {body}: {said}"
        );
        assert!(said.contains(words), "{line} {body}: {said}");
    }
}

#[tokio::test]
async fn a_key_with_the_separator_is_refused_in_detail() {
    let rig = Rig::new().await;
    let illegal = ask(&rig, "GET /v1.0/state/statestore/a%7C%7Cb", "").await;
    let message = "input key/keyPrefix 'a||b' can't contain '||'";
    assert_eq!(
        illegal.json(),
        serde_json::json!({
            "errorCode": "ERR_MALFORMED_REQUEST",
            "message": message,
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "DAPR_STATE_ILLEGAL_KEY",
                    "domain": "dapr.io",
                    "metadata": null,
                },
                {
                    "@type": "type.googleapis.com/google.rpc.ResourceInfo",
                    "resource_type": "state",
                    "resource_name": "statestore",
                    "owner": "",
                    "description": "",
                },
                {
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "field_violations": [{ "field": "a||b", "description": message }],
                },
            ],
        })
    );
    assert_eq!(illegal.status, 400);
    for (line, body) in [
        (SAVE, r#"[{"key":"a||b"}]"#),
        ("DELETE /v1.0/state/statestore/a%7C%7Cb", ""),
        ("POST /v1.0/state/statestore/bulk", r#"{"keys":["a","a||b"]}"#),
        (
            "POST /v1.0/state/statestore/transaction",
            r#"{"operations":[{"operation":"delete","request":{"key":"a||b"}}]}"#,
        ),
    ] {
        let reply = ask(&rig, line, body).await;
        assert_eq!(
            (reply.status, reply.json()["details"][0]["reason"].as_str()),
            (400, Some("DAPR_STATE_ILLEGAL_KEY")),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_store_that_is_not_there_is_told_from_no_stores() {
    let rig = Rig::new().await;
    let empty = Rig::with(Stores::default()).await;
    for (line, body) in [
        ("GET /v1.0/state/other/a", ""),
        ("DELETE /v1.0/state/other/a", ""),
        // The store is looked at before the body is.
        ("POST /v1.0/state/other", "{"),
        ("POST /v1.0/state/other/bulk", "{"),
        ("POST /v1.0/state/other/transaction", "{"),
        ("POST /v1.0-alpha1/state/other/query", "{"),
    ] {
        let reply = ask(&rig, line, body).await;
        assert_eq!(
            reply.json(),
            serde_json::json!({
                "errorCode": "ERR_STATE_STORE_NOT_FOUND",
                "message": "state store other is not found",
                "details": [{
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "DAPR_STATE_NOT_FOUND",
                    "domain": "dapr.io",
                    "metadata": { "appID": "web" },
                }],
            }),
            "{line}"
        );
        assert_eq!(reply.status, 400);
        let reply = ask(&empty, line, body).await;
        assert_eq!(reply.status, 500);
        assert_eq!(reply.json()["message"], "state store other is not configured");
        assert_eq!(reply.json()["details"][0]["reason"], "DAPR_STATE_NOT_CONFIGURED");
    }
    let query = ask(&rig, "POST /v1.0-alpha1/state/statestore/query", "{}").await;
    assert_eq!(
        (query.status, &query.json()["errorCode"]),
        (500, &"ERR_STATE_STORE_NOT_SUPPORTED".into())
    );
    assert_eq!(query.json()["details"][0]["reason"], "DAPR_STATE_QUERYING_NOT_SUPPORTED");
}

#[tokio::test]
async fn services_have_keys_of_their_own_unless_the_store_says_otherwise() {
    let mut stores = Stores::usual();
    let shared = StateStore { prefix: KeyPrefix::None, ..StateStore::durable("shared") };
    stores.state.push(shared);
    let rig = Rig::with(stores).await;
    rig.node.put("other/1", crate::app::Instance::default());
    for store in ["statestore", "shared"] {
        let line = format!("POST /v1.0/state/{store}");
        assert_eq!(says(&rig, &line, r#"[{"key":"k","value":1}]"#).await, "204");
        let line = format!("GET /v1.0/state/{store}/k");
        let other = ask_as(&rig, "other/1", &line, &[], "").await.line();
        assert_eq!(other, if store == "shared" { "200 1" } else { "204" });
    }
    let state = rig.coordination.state("statestore").unwrap();
    assert!(state.get("web||k").await.unwrap().is_some());
}

#[tokio::test]
async fn too_much_is_refused_with_the_limit() {
    let rig = Rig::new().await;
    let long = "k".repeat(5_000);
    let said = says(&rig, SAVE, &format!("[{{\"key\":\"{long}\",\"value\":1}}]")).await;
    assert!(said.starts_with("400 ") && said.contains("bytes in the key"), "{said}");
    let value = "v".repeat(1 << 20);
    let said = says(&rig, SAVE, &format!("[{{\"key\":\"k\",\"value\":\"{value}\"}}]")).await;
    assert!(said.starts_with("400 ") && said.contains("are allowed"), "{said}");
    let body = vec![b' '; (4 << 20) + 1];
    let reply = ask(&rig, SAVE, body).await;
    assert_eq!((reply.status, &reply.json()["errorCode"]), (413, &"ERR_BODY_READ".into()));
}

#[test]
fn a_save_has_no_hidden_defaults() {
    let save = block::Save::default();
    assert!(save.etag.is_none() && !save.first_write && save.metadata.is_empty());
}
