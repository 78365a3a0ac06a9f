//! Configuration, locks, secrets, metadata, health and what is not there, over HTTP as Dapr has it.

use super::*;
use crate::app::{Channel, HealthCheck, Instance, Protocol};
use coordination::{Secret, Stores};
use std::collections::BTreeMap;

pub(super) fn channel(is_open: bool) -> Channel {
    Channel {
        address: ([127, 0, 0, 1], 8_000).into(),
        protocol: Protocol::Http,
        is_open,
        health: None,
        concurrency_max: 0,
    }
}

pub(super) async fn set(rig: &Rig, key: &str, value: &str) {
    let configuration = rig.coordination.configuration();
    configuration.set("configstore", key, value, BTreeMap::new(), None, "test").await.unwrap();
}

#[tokio::test]
async fn configuration_is_read_by_key_or_all_at_once() {
    let rig = Rig::new().await;
    for version in ["v1.0", "v1.0-alpha1"] {
        let path = format!("GET /{version}/configuration/configstore");
        assert_eq!(says(&rig, &format!("{path}?key=none"), "").await, "204");
    }
    assert_eq!(says(&rig, "GET /v1.0/configuration/configstore", "").await, "204");
    set(&rig, "limit", "10").await;
    set(&rig, "limit", "11").await;
    set(&rig, "colour", "red").await;
    let limit = r#""limit":{"value":"11","version":"2","metadata":{}}"#;
    let colour = r#""colour":{"value":"red","version":"1","metadata":{}}"#;
    let path = "GET /v1.0/configuration/configstore";
    assert_eq!(says(&rig, &format!("{path}?key=limit"), "").await, format!("200 {{{limit}}}"));
    let both = format!("200 {{{colour},{limit}}}");
    assert_eq!(says(&rig, &format!("{path}?key=limit&key=colour&key=none"), "").await, both);
    assert_eq!(says(&rig, path, "").await, both);
    let none = Rig::with(Stores::default()).await;
    for path in ["other", "other/subscribe", "other/x/unsubscribe"] {
        let line = format!("GET /v1.0/configuration/{path}");
        let message = "configuration store other not found";
        let expected = fault(400, "ERR_CONFIGURATION_STORE_NOT_FOUND", message);
        assert_eq!(says(&rig, &line, "").await, expected, "{line}");
        let message = "configuration stores not configured";
        let expected = fault(500, "ERR_CONFIGURATION_STORE_NOT_CONFIGURED", message);
        assert_eq!(says(&none, &line, "").await, expected, "{line}");
    }
}

#[tokio::test]
async fn a_subscription_needs_an_app_that_listens() {
    let rig = Rig::new().await;
    let line = "GET /v1.0/configuration/configstore/subscribe?key=a";
    let message = "app channel is not initialized. cannot subscribe to configuration updates";
    assert_eq!(says(&rig, line, "").await, fault(500, "ERR_APP_CHANNEL_NIL", message));
    let line = "GET /v1.0/configuration/configstore/17/unsubscribe";
    let message =
        "failed to unsubscribe to configuration request 17: subscription with id 17 does not exist";
    let expected = serde_json::json!({ "ok": false, "message": message });
    assert_eq!(says(&rig, line, "").await, format!("500 {expected}"));
}

#[tokio::test]
async fn a_lock_is_taken_and_given_back() {
    let rig = Rig::new().await;
    let lock =
        |owner: &str| format!(r#"{{"resourceId":"r","lockOwner":"{owner}","expiryInSeconds":60}}"#);
    for version in ["v1.0-alpha1", "v1.0"] {
        let (take, give) = (
            format!("POST /{version}/lock/lockstore"),
            format!("POST /{version}/unlock/lockstore"),
        );
        assert_eq!(says(&rig, &give, &lock("ann")).await, r#"200 {"status":1}"#);
        assert_eq!(says(&rig, &take, &lock("ann")).await, r#"200 {"success":true}"#);
        assert_eq!(says(&rig, &take, &lock("bob")).await, r#"200 {"success":false}"#);
        assert_eq!(says(&rig, &give, &lock("bob")).await, r#"200 {"status":2}"#);
        assert_eq!(says(&rig, &give, &lock("ann")).await, r#"200 {"status":0}"#);
    }
    let path = "POST /v1.0-alpha1/lock/lockstore";
    let as_text = r#"{"resourceId":"t","lockOwner":"a","expiryInSeconds":"60"}"#;
    assert_eq!(says(&rig, path, as_text).await, r#"200 {"success":true}"#);
    let none = Rig::with(Stores::default()).await;
    for verb in ["lock", "unlock"] {
        let line = format!("POST /v1.0-alpha1/{verb}/other");
        let expected = fault(400, "ERR_LOCK_STORE_NOT_FOUND", "lock store other not found");
        assert_eq!(says(&rig, &line, "{").await, expected);
        let expected = fault(500, "ERR_LOCK_STORE_NOT_CONFIGURED", "lock store is not configured");
        assert_eq!(says(&none, &line, "{").await, expected);
        let line = format!("POST /v1.0-alpha1/{verb}/lockstore");
        for (body, message) in [
            (
                r#"{"lockOwner":"a","expiryInSeconds":1}"#,
                "ResourceId is empty in lock store lockstore",
            ),
            (
                r#"{"resourceId":"a","expiryInSeconds":1}"#,
                "LockOwner is empty in lock store lockstore",
            ),
        ] {
            let expected = fault(400, "ERR_MALFORMED_REQUEST", message);
            assert_eq!(says(&rig, &line, body).await, expected);
        }
    }
    let bar = r#"{"resourceId":"a||b","lockOwner":"a","expiryInSeconds":60}"#;
    let message = "failed to try acquiring lock: input key/keyPrefix 'a||b' can't contain '||'";
    assert_eq!(says(&rig, path, bar).await, fault(500, "ERR_TRY_LOCK", message));
    let message = "failed to release lock: input key/keyPrefix 'a||b' can't contain '||'";
    let line = "POST /v1.0-alpha1/unlock/lockstore";
    assert_eq!(says(&rig, line, bar).await, fault(500, "ERR_UNLOCK", message));
    for expiry in ["0", "-5", "null"] {
        let body = format!(r#"{{"resourceId":"r","lockOwner":"a","expiryInSeconds":{expiry}}}"#);
        let message = "ExpiryInSeconds is not positive in lock store lockstore";
        assert_eq!(says(&rig, path, &body).await, fault(400, "ERR_MALFORMED_REQUEST", message));
    }
    for expiry in ["1.5", "\"x\"", "[]", "1e300"] {
        let body = format!(r#"{{"resourceId":"r","lockOwner":"a","expiryInSeconds":{expiry}}}"#);
        let said = says(&rig, path, &body).await;
        assert!(said.starts_with("400 ") && said.contains("whole number"), "{expiry}: {said}");
    }
}

#[tokio::test]
async fn secrets_are_read_by_name_or_all_at_once() {
    let rig = Rig::new().await;
    assert_eq!(says(&rig, "GET /v1.0/secrets/secretstore/bulk", "").await, "204");
    let secrets = rig.coordination.secrets();
    secrets.set("secretstore", "db/url", Secret::new("postgres://x")).await.unwrap();
    secrets.set("secretstore", "key", Secret::new("hunter22")).await.unwrap();
    assert_eq!(
        says(&rig, "GET /v1.0/secrets/secretstore/db%2Furl", "").await,
        r#"200 {"db/url":"postgres://x"}"#
    );
    assert_eq!(
        says(&rig, "GET /v1.0/secrets/secretstore/bulk", "").await,
        r#"200 {"db/url":{"db/url":"postgres://x"},"key":{"key":"hunter22"}}"#
    );
    let missing = says(&rig, "GET /v1.0/secrets/secretstore/none", "").await;
    let words = "failed getting secret with key none from secret store secretstore: ";
    assert!(
        missing.starts_with("500 ")
            && missing.contains("ERR_SECRET_GET")
            && missing.contains(words),
        "{missing}"
    );
    let none = Rig::with(Stores::default()).await;
    for path in ["other/a", "other/bulk"] {
        let line = format!("GET /v1.0/secrets/{path}");
        let message = "failed finding secret store with key other";
        assert_eq!(says(&rig, &line, "").await, fault(401, "ERR_SECRET_STORE_NOT_FOUND", message));
        let message = "secret store is not configured";
        assert_eq!(
            says(&none, &line, "").await,
            fault(500, "ERR_SECRET_STORES_NOT_CONFIGURED", message)
        );
    }
}

#[tokio::test]
async fn what_a_service_may_not_use_does_not_exist_for_it() {
    let rig = Rig::new().await;
    rig.coordination.secrets().set("secretstore", "root", Secret::new("hunter22")).await.unwrap();
    rig.coordination.secrets().set("secretstore", "own", Secret::new("hunter23")).await.unwrap();
    rig.node.deny("web", "statestore");
    rig.node.deny("web", "root");
    let reply = ask(&rig, "GET /v1.0/state/statestore/a", "").await;
    assert_eq!(
        (reply.status, &reply.json()["errorCode"]),
        (500, &"ERR_STATE_STORE_NOT_CONFIGURED".into())
    );
    let denied = "access denied by policy to get \"root\" from \"secretstore\"";
    let line = "GET /v1.0/secrets/secretstore/root";
    assert_eq!(says(&rig, line, "").await, fault(403, "ERR_PERMISSION_DENIED", denied));
    let bulk = "GET /v1.0/secrets/secretstore/bulk";
    assert_eq!(says(&rig, bulk, "").await, r#"200 {"own":{"own":"hunter23"}}"#);
    let metadata = ask(&rig, "GET /v1.0/metadata", "").await.json();
    assert!(!metadata["components"].to_string().contains("statestore"), "{metadata}");
    // Likewise in the native API.
    assert_eq!(
        ask(&rig, "GET /v1/state/statestore/keys", "").await.code(),
        (404, "unknown_store".into())
    );
    assert_eq!(
        ask(&rig, "GET /v1/secrets/secretstore/root", "").await.code(),
        (403, "forbidden".into())
    );
    let names = ask(&rig, "GET /v1/secrets/secretstore", "").await.json();
    assert_eq!(names["secrets"].as_array().unwrap().len(), 1, "{names}");
    assert!(!ask(&rig, "GET /v1/stores", "").await.text().contains("statestore"));
}

#[tokio::test]
async fn metadata_tells_what_there_is_and_takes_what_the_app_adds() {
    let rig = Rig::new().await;
    let health = HealthCheck {
        path: "/healthz".to_owned(),
        interval: Duration::from_secs(5),
        timeout: Duration::from_millis(500),
        threshold: 3,
    };
    let app = Channel { health: Some(health), concurrency_max: 7, ..channel(true) };
    rig.node.put(CALLER, Instance { app: Some(app), ..Instance::default() });
    assert_eq!(says(&rig, "PUT /v1.0/metadata/team", "red").await, "204");
    let metadata = ask(&rig, "GET /v1.0/metadata", "").await.json();
    assert_eq!(metadata["id"], "web");
    let version = metadata["runtimeVersion"].as_str().unwrap();
    assert!(version.starts_with("1.18.0+flotilla."), "{version}");
    assert_eq!(
        metadata["extended"],
        serde_json::json!({ "daprRuntimeVersion": version, "team": "red" })
    );
    assert_eq!(
        metadata["appConnectionProperties"],
        serde_json::json!({
            "port": 8000, "protocol": "http", "channelAddress": "127.0.0.1", "maxConcurrency": 7,
            "health": {
                "healthCheckPath": "/healthz", "healthProbeInterval": "5s",
                "healthProbeTimeout": "500ms", "healthThreshold": 3,
            },
        })
    );
    let components = metadata["components"].as_array().unwrap();
    let kinds: Vec<&str> = components.iter().map(|it| it["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        ["state.flotilla", "lock.flotilla", "configuration.flotilla", "secretstores.flotilla"]
    );
    assert_eq!(
        components[0],
        serde_json::json!({
            "name": "statestore", "type": "state.flotilla", "version": "v1",
            "capabilities": ["ETAG", "TRANSACTIONAL", "TTL"],
        })
    );
    // Bounds.
    let long = "x".repeat(5_000);
    assert_eq!(ask(&rig, "PUT /v1.0/metadata/a", long).await.status, 400);
    assert_eq!(ask(&rig, "PUT /v1.0/metadata/a", vec![0xff]).await.status, 400);
    for number in 0..63 {
        assert_eq!(says(&rig, &format!("PUT /v1.0/metadata/k{number}"), "v").await, "204");
    }
    assert_eq!(ask(&rig, "PUT /v1.0/metadata/more", "v").await.status, 400);
    assert_eq!(says(&rig, "PUT /v1.0/metadata/team", "blue").await, "204");
    rig.app.instance_ended(&base::InstanceId::parse(CALLER).unwrap());
    let metadata = ask(&rig, "GET /v1.0/metadata", "").await.json();
    assert_eq!(metadata["extended"]["team"], Value::Null);
}

#[tokio::test]
async fn the_whole_is_healthy_when_the_app_listens_and_the_rest_before() {
    let rig = Rig::new().await;
    let not_ready = fault(500, "ERR_HEALTH_NOT_READY", "dapr is not ready");
    // Without a port there is nothing to wait for.
    assert_eq!(says(&rig, "GET /v1.0/healthz", "").await, "204");
    for (is_open, expected) in [(false, not_ready.as_str()), (true, "204")] {
        rig.node.put(CALLER, Instance { app: Some(channel(is_open)), ..Instance::default() });
        assert_eq!(says(&rig, "GET /v1.0/healthz", "").await, expected);
        assert_eq!(says(&rig, "GET /v1.0/healthz/outbound", "").await, "204");
    }
    let other = fault(500, "ERR_HEALTH_APPID_NOT_MATCH", "dapr app-id does not match");
    for path in ["healthz", "healthz/outbound"] {
        assert_eq!(says(&rig, &format!("GET /v1.0/{path}?appid=web"), "").await, "204");
        assert_eq!(says(&rig, &format!("GET /v1.0/{path}?appid=users"), "").await, other);
    }
}

#[tokio::test]
async fn an_app_can_ask_for_its_own_end() {
    let rig = Rig::new().await;
    assert_eq!(says(&rig, "POST /v1.0/shutdown", "").await, "204");
    let stopped = rig.node.stopped.lock().unwrap().clone();
    assert_eq!(stopped, [base::InstanceId::parse(CALLER).unwrap()]);
}

#[tokio::test]
async fn what_is_not_there_says_which_block_is_missing() {
    let rig = Rig::new().await;
    for (line, status, code, words) in [
        (
            "POST /v1.0/publish/pubsub/orders",
            404,
            "ERR_PUBSUB_NOT_FOUND",
            "pubsub pubsub is not found",
        ),
        ("POST /v1.0/publish/pubsub/a/b/c", 404, "ERR_PUBSUB_NOT_FOUND", "pubsub pubsub"),
        ("PUT /v1.0/publish/bulk/pubsub/orders", 404, "ERR_PUBSUB_NOT_FOUND", "pubsub pubsub"),
        ("POST /v1.0-alpha1/publish/bulk/pubsub/o", 404, "ERR_PUBSUB_NOT_FOUND", "pubsub pubsub"),
        (
            "POST /v1.0/bindings/cron",
            500,
            "ERR_INVOKE_OUTPUT_BINDING",
            "couldn't find output binding cron",
        ),
        ("PUT /v1.0/actors/cat/1/method/meow", 500, "ERR_ACTOR_RUNTIME_NOT_FOUND", "actor"),
        (
            "POST /v1.0/workflows/dapr/w/start",
            400,
            "ERR_WORKFLOW_COMPONENT_NOT_FOUND",
            "workflow component dapr",
        ),
        ("GET /v1.0-beta1/workflows/dapr/7", 400, "ERR_WORKFLOW_COMPONENT_NOT_FOUND", "workflow"),
        ("PUT /v1.0-alpha1/crypto/k/encrypt", 500, "ERR_CRYPTO_PROVIDERS_NOT_CONFIGURED", "crypto"),
        (
            "POST /v1.0-alpha1/subtlecrypto/k/sign",
            500,
            "ERR_CRYPTO_PROVIDERS_NOT_CONFIGURED",
            "crypto",
        ),
        (
            "POST /v1.0-alpha2/conversation/c/converse",
            400,
            "ERR_CONVERSATION_NOT_FOUND",
            "component c",
        ),
    ] {
        let reply = ask(&rig, line, "{}").await;
        let body = reply.json();
        assert_eq!((reply.status, body["errorCode"].as_str()), (status, Some(code)), "{line}");
        assert!(body["message"].as_str().unwrap().contains(words), "{line}: {body}");
    }
}

#[tokio::test]
async fn an_app_goes_by_its_app_id_where_its_service_cannot() {
    let rig = Rig::new().await;
    rig.node.put(CALLER, Instance { app_id: Some("Web_App".into()), ..Instance::default() });
    assert_eq!(ask(&rig, "GET /v1.0/metadata", "").await.json()["id"], "Web_App");
    assert_eq!(says(&rig, "GET /v1.0/healthz?appid=Web_App", "").await, "204");
    assert_eq!(ask(&rig, "GET /v1.0/healthz?appid=web", "").await.status, 500);
    assert_eq!(ask(&rig, "GET /v1/instance", "").await.json()["service"], "web");
}

#[tokio::test]
async fn a_known_path_names_the_methods_it_takes() {
    let rig = Rig::new().await;
    for (line, allow) in [
        ("PATCH /v1.0/state/statestore", "POST, PUT"),
        ("GET /v1.0/state/statestore", "POST, PUT"),
        ("PATCH /v1.0/state/statestore/a", "DELETE, GET, HEAD"),
        ("PATCH /v1.0/state/statestore/bulk", "DELETE, GET, HEAD, POST, PUT"),
        ("POST /v1.0/configuration/configstore", "GET, HEAD"),
        ("GET /v1.0-alpha1/lock/lockstore", "POST"),
        ("POST /v1.0/secrets/secretstore/a", "GET, HEAD"),
        ("POST /v1.0/metadata", "GET, HEAD"),
        ("POST /v1.0/metadata/a", "PUT"),
        ("GET /v1.0/shutdown", "POST"),
        ("HEAD /v1.0/configuration/configstore/subscribe", "GET"),
    ] {
        let reply = ask(&rig, line, "").await;
        assert_eq!((reply.status, reply.header("allow")), (405, allow), "{line}");
        assert_eq!(reply.json()["errorCode"], "ERR_METHOD_NOT_ALLOWED");
    }
    assert_eq!(ask(&rig, "HEAD /v1.0/healthz", "").await.status, 204);
    assert_eq!(ask(&rig, "HEAD /v1.0/metadata", "").await.status, 200);
    // A key may be called as an operation is.
    assert_eq!(says(&rig, "GET /v1.0/state/statestore/bulk", "").await, "204");
}

#[tokio::test]
async fn a_listener_whose_instance_has_ended_says_so() {
    let rig = Rig::new().await;
    let message = "the instance this port belonged to has ended";
    let reply = ask_as(&rig, "gone/7", "GET /v1.0/metadata", &[], "").await;
    assert_eq!((reply.status, &reply.json()["message"]), (503, &message.into()));
    let reply = ask_as(&rig, "gone/7", "GET /v1/stores", &[], "").await;
    assert_eq!(reply.code(), (503, "gone".into()));
    assert_eq!(reply.json()["error"]["message"], message);
}
