//! The native API.

use super::*;
use crate::{app::direct::refusal, tests::schema::errors};
use coordination::{LockRequest, Secret};
use proxy::local::Refused;

const JSON: (&str, &str) = ("content-type", "application/json");

/// Path and body for each operation. The order of the table is that of the calls.
fn sample(operation: &str) -> (&'static str, &'static str) {
    match operation {
        "health" => ("/v1/health", ""),
        "identity" => ("/v1/instance", ""),
        "openapi" => ("/v1/openapi.json", ""),
        "stores" => ("/v1/stores", ""),
        "kv" => ("/v1/kv", ""),
        "scan_state" => ("/v1/state/statestore/keys?prefix=a&limit=5", ""),
        "get_states" => ("/v1/state/statestore/get", r#"{"keys":["a","b"]}"#),
        "put_states" => {
            ("/v1/state/statestore/put", r#"{"items":[{"key":"a","put":{"value":1}}]}"#)
        }
        "transact_state" => (
            "/v1/state/statestore/transact",
            r#"{"operations":[{"put":{"key":"b","put":{"text":"t"}}},{"delete":{"key":"c"}}]}"#,
        ),
        "locks" => ("/v1/locks/lockstore", ""),
        "lock" => ("/v1/locks/lockstore/r", ""),
        "acquire_lock" => ("/v1/locks/lockstore/r/acquire", r#"{"owner":"o","ttl_ms":60000}"#),
        "renew_lock" => ("/v1/locks/lockstore/held/renew", r#"{"owner":"o","token":TOKEN}"#),
        "release_lock" => ("/v1/locks/lockstore/r/release", r#"{"owner":"o"}"#),
        "config" => ("/v1/config/configstore?pattern=*", ""),
        "config_value" => ("/v1/config/configstore/keys/a", ""),
        "set_config" => ("/v1/config/configstore/keys/a", r#"{"value":"2"}"#),
        "delete_config" => ("/v1/config/configstore/keys/a", ""),
        "config_history" => ("/v1/config/configstore/keys/a/history", ""),
        "config_diff" => ("/v1/config/configstore/keys/a/diff?from=1&to=2", ""),
        "rollback_config" => ("/v1/config/configstore/keys/a/rollback", r#"{"to":1}"#),
        "state_value" => ("/v1/state/statestore/keys/a", ""),
        "put_state" => ("/v1/state/statestore/keys/a?ttl_ms=60000", "any bytes"),
        "delete_state" => ("/v1/state/statestore/keys/a", ""),
        "secrets" => ("/v1/secrets/secretstore", ""),
        "secret" => ("/v1/secrets/secretstore/s", ""),
        "leader" => ("/v1/elections/lockstore/e", ""),
        "campaign" => ("/v1/elections/lockstore/e/campaign", r#"{"owner":"o","ttl_ms":60000}"#),
        "renew_lead" => ("/v1/elections/lockstore/held/renew", r#"{"owner":"o","token":TOKEN}"#),
        "publish" => ("/v1/topics/orders", "any bytes"),
        "messages" => ("/v1/topics/orders?from=beginning&limit=5", ""),
        "take" => ("/v1/topics/orders/groups/g/take?from=beginning&max=2", ""),
        "settle" => ("/v1/topics/orders/groups/g/settle", r#"{"settlements":[]}"#),
        "read_all_events" => ("/v1/events?type=deposited&direction=backwards", ""),
        "read_events" => ("/v1/events/account-7", ""),
        "append_events" => {
            ("/v1/events/account-7", r#"{"events":[{"id":"1","type":"deposited","data":5}]}"#)
        }
        "snapshot" => ("/v1/events/account-7/snapshot", ""),
        "put_snapshot" => ("/v1/events/account-7/snapshot?revision=0", "any bytes"),
        "jobs" => ("/v1/jobs", ""),
        "job" => ("/v1/jobs/nightly", ""),
        "put_job" => ("/v1/jobs/nightly", r#"{"schedule":"@daily"}"#),
        "delete_job" => ("/v1/jobs/nightly", ""),
        "resign" => ("/v1/elections/lockstore/e/resign", r#"{"owner":"o"}"#),
        other => transactions::samples::sample(other),
    }
}

async fn fill(rig: &Rig) -> String {
    blocks::set(rig, "a", "1").await;
    rig.coordination.secrets().set("secretstore", "s", Secret::new("hunter22")).await.unwrap();
    rig.node.offer("users", crate::app::Protocol::Http);
    transactions::samples::fill(&rig.transactions).await;
    let locks = rig.coordination.locks();
    let web = base::ServiceName::new("web").unwrap();
    let resource = locks.resource("lockstore", &web, "held").unwrap();
    let request = LockRequest::new("lockstore", &resource, "o", Duration::from_secs(60));
    locks.try_acquire(&request).await.unwrap().unwrap().token.to_string()
}

#[tokio::test]
async fn every_endpoint_answers_as_the_document_says() {
    let rig = Rig::new().await;
    let token = fill(&rig).await;
    let document = document();
    for endpoint in table().iter().filter(|endpoint| !endpoint.is_stream) {
        let (path, body) = sample(endpoint.operation);
        let body = body.replace("TOKEN", &token);
        let line = format!("{} {path}", endpoint.method);
        let reply = ask_as(&rig, CALLER, &line, &[JSON], body).await;
        assert_eq!(reply.status, endpoint.status.as_u16(), "{line}: {reply:?}");
        let method = endpoint.method.as_str().to_ascii_lowercase();
        let operation = &document["paths"][endpoint.path][&method];
        assert_eq!(operation["operationId"], endpoint.operation);
        let content = &operation["responses"][endpoint.status.as_str()]["content"];
        if endpoint.is_raw {
            assert!(content["*/*"].is_object());
            continue;
        }
        let schema = &content["application/json"]["schema"];
        assert_eq!(errors(&document, schema, &reply.json(), &line), Vec::<String>::new());
    }
}

#[test]
fn the_document_has_each_endpoint_once_and_is_committed() {
    let document = document();
    let table = table();
    let mut operations: Vec<&str> = table.iter().map(|endpoint| endpoint.operation).collect();
    operations.sort_unstable();
    operations.dedup();
    assert_eq!(operations.len(), table.len());
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(schema.get("description").is_some() || schema.get("oneOf").is_some(), "{name}");
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi-app.json");
    let text = serde_json::to_string_pretty(&document).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == text, "docs/openapi-app.json is old: run `UPDATE=1 cargo test -p api`");
}

#[tokio::test]
async fn a_listener_says_whose_it_is() {
    let rig = Rig::new().await;
    let identity = ask(&rig, "GET /v1/instance", "").await.json();
    assert_eq!(
        (&identity["instance"], &identity["service"], &identity["system"]),
        (&"web/1".into(), &"web".into(), &"shop".into())
    );
}

#[tokio::test]
async fn a_value_is_kept_as_it_is_with_its_type_and_guarded_by_headers() {
    let rig = Rig::new().await;
    let path = "/v1/state/statestore/keys/a%2Fb";
    let put = async |headers: &[(&str, &str)], body: &'static [u8]| {
        ask_as(&rig, CALLER, &format!("PUT {path}"), headers, body).await
    };
    let first = put(&[("content-type", "image/png"), ("if-none-match", "*")], b"\x89\xff\0").await;
    let etag = first.header("etag").to_owned();
    assert_eq!(
        (first.status, format!("\"{}\"", first.json()["etag"].as_str().unwrap())),
        (200, etag.clone())
    );
    assert_eq!(put(&[("if-none-match", "*")], b"x").await.code(), (409, "conflict".into()));
    let read = ask(&rig, &format!("GET {path}"), "").await;
    assert_eq!(
        (read.status, &*read.body, read.header("content-type"), read.header("etag")),
        (200, &b"\x89\xff\0"[..], "image/png", &*etag)
    );
    let known = ask_as(&rig, CALLER, &format!("GET {path}"), &[("if-none-match", &etag)], "").await;
    assert_eq!((known.status, known.body.len()), (304, 0));
    let second = put(&[("if-match", &etag)], b"2").await;
    assert_eq!(second.status, 200);
    let late = put(&[("if-match", &etag)], b"3").await;
    assert_eq!(late.code(), (409, "conflict".into()));
    let conflict = &late.json()["error"]["conflict"];
    assert_eq!(conflict["key"], "a/b");
    assert_eq!(conflict["expected"], etag.trim_matches('"'));
    assert_eq!(conflict["found"], second.json()["etag"]);
    for (headers, words) in [
        ([("if-match", "abc")].as_slice(), "is not an etag"),
        (&[("if-match", "\"1\""), ("if-none-match", "*")], "cannot be given together"),
        (&[("if-none-match", "\"1\"")], "can only be `*`"),
        (&[("flotilla-fence", "x")], "STORE/RESOURCE/TOKEN"),
    ] {
        let reply = put(headers, b"x").await;
        assert_eq!(reply.code(), (400, "bad_request".into()));
        assert!(reply.text().contains(words), "{reply:?}");
    }
    let ttl = ask(&rig, "PUT /v1/state/statestore/keys/t?ttl_ms=60000", "x").await;
    assert_eq!(ttl.status, 200);
    let expires = ask(&rig, "GET /v1/state/statestore/keys/t", "").await;
    assert!(crate::wire::Time::parse(expires.header("flotilla-expires-at")).is_ok(), "{expires:?}");
    let bad = ask(&rig, "DELETE /v1/state/statestore/keys/a%2Fb", "").await;
    assert_eq!(bad.json()["deleted"], true);
    assert_eq!(ask(&rig, &format!("GET {path}"), "").await.code(), (404, "not_found".into()));
    // What Dapr's API wrote is the same store.
    assert_eq!(
        says(&rig, "POST /v1.0/state/statestore", r#"[{"key":"d","value":{"x":1}}]"#).await,
        "204"
    );
    assert_eq!(ask(&rig, "GET /v1/state/statestore/keys/d", "").await.text(), r#"{"x":1}"#);
}

#[tokio::test]
async fn a_conflict_in_a_transaction_is_409_and_changes_nothing() {
    let rig = Rig::new().await;
    let transact = async |body: &'static str| {
        ask_as(&rig, CALLER, "POST /v1/state/statestore/transact", &[JSON], body).await
    };
    let good = transact(
        r#"{"operations":[{"put":{"key":"a","put":{"value":1,"expect":{"missing":true}}}}]}"#,
    )
    .await;
    assert_eq!(good.status, 200, "{good:?}");
    let body = r#"{"operations":[{"put":{"key":"b","put":{"value":2}}},{"delete":{"key":"a","expect":{"etag":"999"}}}]}"#;
    let refused = transact(body).await;
    assert_eq!(refused.code(), (409, "conflict".into()));
    let conflict = refused.json()["error"]["conflict"].clone();
    assert_eq!(
        (&conflict["key"], &conflict["expected"], &conflict["found"]),
        (&"a".into(), &"999".into(), &good.json()["etags"][0])
    );
    assert_eq!(ask(&rig, "GET /v1/state/statestore/keys/b", "").await.status, 404);
    for (body, words) in [
        (r#"{"operations":[{"put":{"key":"a","put":{}}}]}"#, "exactly one of"),
        (r#"{"operations":[{"put":{"key":"a","put":{"value":1,"text":"x"}}}]}"#, "exactly one of"),
        (r#"{"operations":[{"put":{"key":"a","put":{"base64":"?"}}}]}"#, "`base64` cannot be read"),
        (
            r#"{"operations":[{"put":{"key":"a","put":{"value":1,"expect":{}}}}]}"#,
            "either an `etag`",
        ),
        (r#"{"operations":[{"put":{"key":"a||b","put":{"value":1}}}]}"#, "contains `||`"),
        (r#"{"operations":[{"put":{"key":"","put":{"value":1}}}]}"#, "the key is empty"),
        (r#"{"operations":[{"drop":{"key":"a"}}]}"#, "unknown variant `drop`"),
        (r#"{"operations":[{"delete":{"key":"a","etg":"1"}}]}"#, "unknown field `etg`"),
    ] {
        let reply = transact(body).await;
        assert_eq!(reply.code(), (400, "bad_request".into()), "{body}");
        assert!(reply.text().contains(words), "{body}: {reply:?}");
    }
}

#[tokio::test]
async fn a_fence_without_a_resource_is_no_fence() {
    let rig = Rig::new().await;
    let line = "DELETE /v1/state/statestore/keys/a";
    let reply = ask_as(&rig, CALLER, line, &[("flotilla-fence", "lockstore//1")], "").await;
    assert_eq!(reply.code(), (400, "bad_request".into()), "{reply:?}");
    let fence = r#"{"store":"lockstore","resource":"","token":1}"#;
    let body = format!(r#"{{"operations":[{{"delete":{{"key":"a","fence":{fence}}}}}]}}"#);
    let reply = ask_as(&rig, CALLER, "POST /v1/state/statestore/transact", &[JSON], body).await;
    assert_eq!(reply.code(), (400, "bad_request".into()), "{reply:?}");
    assert!(reply.text().contains("`resource`"), "{reply:?}");
}

#[test]
fn what_the_data_plane_refuses_has_the_shape_of_the_api_that_was_asked() {
    let body = |status, code, path| {
        let refused = Refused {
            status,
            code,
            message: "no",
            path,
            service: None,
            retry_after_s: None,
            is_grpc: false,
        };
        let answer = refusal(&refused);
        assert_eq!(answer.status(), status);
        serde_json::from_slice::<Value>(answer.body()).unwrap()
    };
    for path in ["/v1/state/s/keys/k?ttl_ms=1", "//v1/state"] {
        let large = body(413, "body_too_large", path);
        assert_eq!(large["error"]["code"], "payload_too_large", "{path}");
        let bad = body(400, "bad_request", path);
        assert_eq!(
            (&bad["error"]["code"], &bad["error"]["message"]),
            (&"bad_request".into(), &"no".into())
        );
    }
    for path in ["/v1.0/state/s", "/other", "", "*", "/v1"] {
        assert_eq!(body(413, "body_too_large", path)["errorCode"], "ERR_BODY_READ", "{path}");
    }
}

#[tokio::test]
async fn a_page_in_a_browser_is_told_so_in_the_words_of_this_api() {
    let rig = Rig::new().await;
    let origin = [("origin", "https://evil.example")];
    let reply = ask_as(&rig, CALLER, "GET /v1/stores", &origin, "").await;
    assert_eq!(reply.code(), (403, "forbidden".into()), "{reply:?}");
    let rebound = [("host", "evil.example:3500")];
    let reply = ask_as(&rig, CALLER, "GET /v1.0/metadata", &rebound, "").await;
    assert_eq!((reply.status, &reply.json()["errorCode"]), (403, &"ERR_FORBIDDEN".into()));
}

#[tokio::test]
async fn a_lost_lock_refuses_the_writes_that_depend_on_it() {
    let rig = Rig::new().await;
    let acquire = async |owner: &str| {
        let body = format!(r#"{{"owner":"{owner}","ttl_ms":5000}}"#);
        ask_as(&rig, CALLER, "POST /v1/locks/lockstore/night%2F1/acquire", &[JSON], body)
            .await
            .json()
    };
    let token = acquire("ann").await["token"].as_u64().unwrap();
    let fence = format!("lockstore/night%2F1/{token}");
    let write = async || {
        ask_as(&rig, CALLER, "PUT /v1/state/statestore/keys/a", &[("flotilla-fence", &fence)], "x")
            .await
    };
    assert_eq!(write().await.status, 200);
    rig.memory.advance(Duration::from_secs(10));
    let next = acquire("bob").await["token"].as_u64().unwrap();
    assert!(next > token);
    let refused = write().await;
    assert_eq!(refused.code(), (409, "stale_token".into()), "{refused:?}");
    let conflict = refused.json()["error"]["conflict"].clone();
    assert_eq!(conflict["key"], "night/1");
    assert_eq!(conflict["found"], next.to_string());
    let renew = format!(r#"{{"owner":"ann","token":{token}}}"#);
    let lost =
        ask_as(&rig, CALLER, "POST /v1/locks/lockstore/night%2F1/renew", &[JSON], renew).await;
    assert_eq!(lost.code(), (409, "not_held".into()));
    assert_eq!(lost.json()["error"]["holder"]["owner"], "bob");
    assert_eq!(lost.json()["error"]["holder"]["resource"], "night/1");
    let take_away =
        ask_as(&rig, CALLER, "POST /v1/locks/lockstore/night%2F1/release", &[JSON], "{}").await;
    assert_eq!(take_away.code(), (400, "bad_request".into()));
}

#[tokio::test]
async fn who_waits_for_a_lock_gets_it_when_it_is_free() {
    let rig = Rig::new().await;
    let ask = async |verb: &str, body: &'static str| {
        let line = format!("POST /v1/elections/lockstore/leader/{verb}");
        ask_as(&rig, CALLER, &line, &[JSON], body).await.json()
    };
    let first = ask("campaign", r#"{"owner":"a","ttl_ms":60000,"value":"a:1"}"#).await;
    assert_eq!(first["acquired"], true);
    let leader = super::ask(&rig, "GET /v1/elections/lockstore/leader", "").await.json();
    assert_eq!(
        (&leader["holder"]["value"], &leader["holder"]["instance"]),
        (&"a:1".into(), &"web/1".into())
    );
    let waiting = ask("campaign", r#"{"owner":"b","ttl_ms":60000,"wait_ms":20000}"#);
    let resign = async {
        tokio::task::yield_now().await;
        ask("resign", r#"{"owner":"a"}"#).await
    };
    let (second, resigned) = tokio::join!(waiting, resign);
    assert_eq!((&second["acquired"], &resigned["outcome"]), (&true.into(), &"released".into()));
    let too_long = ask("campaign", r#"{"owner":"c","ttl_ms":60000,"wait_ms":999999999}"#).await;
    assert_eq!(too_long["error"]["code"], "bad_request");
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_a_reason_and_help() {
    let rig = Rig::new().await;
    blocks::set(&rig, "a", "1").await;
    for (line, body, status, code, words) in [
        ("GET /v1/state/statstore/keys", "", 404, "unknown_store", "did you mean `statestore`?"),
        ("GET /v1/stat", "", 404, "not_found", "/v1/"),
        (
            "PATCH /v1/state/statestore/keys/a",
            "",
            405,
            "method_not_allowed",
            "GET, HEAD, PUT, DELETE",
        ),
        ("HEAD /v1/state/statestore/watch", "", 405, "method_not_allowed", "use GET"),
        ("GET /v1/state/statestore/keys?prefx=a", "", 400, "bad_request", "did you mean `prefix`?"),
        ("GET /v1/state/statestore/keys?service=users", "", 400, "bad_request", "service"),
        ("GET /v1/state/statestore/keys/a%7C%7Cb", "", 400, "bad_request", "contains `||`"),
        ("POST /v1/state/statestore/get", "{", 400, "bad_request", "line 1 column"),
        ("GET /v1/locks/none/r", "", 404, "unknown_store", "GET /v1/stores"),
        (
            "POST /v1/locks/lockstore/r/acquire",
            r#"{"owner":"o","ttl_ms":1}"#,
            400,
            "bad_request",
            "",
        ),
        (
            "POST /v1/locks/lockstore/r/acquire",
            r#"{"owner":"","ttl_ms":9000}"#,
            400,
            "bad_request",
            "",
        ),
        ("GET /v1/config/configstore?key=a&pattern=b", "", 400, "bad_request", "together"),
        ("GET /v1/config/configstore/keys/none", "", 404, "not_found", "`none` is not set"),
        ("GET /v1/config/configstore/keys/a/diff", "", 400, "bad_request", "`from` is missing"),
        (
            "PUT /v1/config/configstore/keys/a",
            r#"{"value":"2","expected":7}"#,
            409,
            "conflict",
            "read again",
        ),
        ("POST /v1/config/configstore/keys/a/rollback", r#"{"to":9}"#, 404, "not_found", ""),
        ("GET /v1/secrets/secretstore/none", "", 404, "not_found", "none"),
    ] {
        let reply = ask_as(&rig, CALLER, line, &[JSON], body).await;
        assert_eq!(reply.code(), (status, code.to_owned()), "{line}: {reply:?}");
        assert!(reply.text().contains(words), "{line}: {reply:?}");
    }
    let kind = ask_as(&rig, CALLER, "POST /v1/state/statestore/get", &[], "{}").await;
    assert_eq!(kind.code(), (415, "unsupported_media_type".into()));
    let by = ask(&rig, "GET /v1/config/configstore/keys/a", "").await.json();
    assert_eq!(by["by"], "test");
    ask_as(&rig, CALLER, "PUT /v1/config/configstore/keys/a", &[JSON], r#"{"value":"2"}"#).await;
    let by = ask(&rig, "GET /v1/config/configstore/keys/a", "").await.json();
    assert_eq!(by["by"], "web/1");
}
