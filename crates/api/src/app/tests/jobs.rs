//! Jobs, by Dapr's API and by the native one.

use super::*;
use serde_json::json;

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn a_job_is_kept_shown_and_forgotten() {
    let rig = Rig::new().await;
    let body = json!({
        "schedule": "@every 1h", "dueTime": "2030-01-02T03:04:05Z", "repeats": 3, "ttl": "2040-01-01T00:00:00Z",
        "data": { "task": "report", "n": 1.5 },
        "failurePolicy": { "constant": { "interval": "2.5s", "maxRetries": 4 } },
    });
    let line = "POST /v1.0-alpha1/jobs/nightly";
    assert_eq!(says(&rig, line, &body.to_string()).await, "204");
    let shown = ask(&rig, "GET /v1.0/jobs/nightly", "").await;
    let expected = json!({
        "name": "nightly", "schedule": "@every 1h", "dueTime": "2030-01-02T03:04:05Z", "repeats": 3,
        "ttl": "2040-01-01T00:00:00Z",
        "data": { "@type": "type.googleapis.com/google.protobuf.Value", "value": { "task": "report", "n": 1.5 } },
        "failurePolicy": { "constant": { "interval": "2.5s", "maxRetries": 4 } },
    });
    assert_eq!((shown.status, shown.json()), (200, expected));
    // Another app has jobs of its own.
    rig.node.put("other/1", crate::app::Instance::default());
    let others = ask_as(&rig, "other/1", "GET /v1.0/jobs/nightly", &[], "").await;
    assert_eq!(
        (others.status, &others.json()["errorCode"]),
        (500, &json!("DAPR_SCHEDULER_GET_JOB"))
    );
    let again = ask(&rig, line, body.to_string()).await;
    assert_eq!(
        (again.status, &again.json()["errorCode"]),
        (409, &json!("DAPR_SCHEDULER_SCHEDULE_JOB"))
    );
    let over = json!({ "schedule": "@daily", "overwrite": true, "failurePolicy": { "drop": {} } });
    assert_eq!(says(&rig, "PUT /v1.0/jobs/nightly", &over.to_string()).await, "204");
    let shown = ask(&rig, "GET /v1.0/jobs/nightly", "").await.json();
    let expected =
        json!({ "name": "nightly", "schedule": "@daily", "failurePolicy": { "drop": {} } });
    assert_eq!(shown, expected);
    assert_eq!(says(&rig, "DELETE /v1.0/jobs/nightly", "").await, "204");
    assert_eq!(says(&rig, "DELETE /v1.0/jobs/nightly", "").await, "204");
    assert_eq!(ask(&rig, "GET /v1.0/jobs/nightly", "").await.status, 500);
}

#[tokio::test]
async fn a_job_that_cannot_be_meant_says_why() {
    let rig = Rig::new().await;
    for (body, code, words) in [
        (json!({}), "DAPR_SCHEDULER_SCHEDULE_EMPTY", "Schedule is empty"),
        (json!({ "name": "x", "schedule": "@daily" }), "DAPR_SCHEDULER_JOB_NAME", "url only"),
        (json!({ "schedule": "sometimes" }), "DAPR_SCHEDULER_SCHEDULE_JOB", "`schedule`"),
        (json!({ "dueTime": "x" }), "DAPR_SCHEDULER_SCHEDULE_JOB", "due"),
        (
            json!({ "schedule": "@daily", "failurePolicy": { "constant": { "interval": "1h" } } }),
            "ERR_MALFORMED_REQUEST",
            "no number of seconds",
        ),
    ] {
        let reply = ask(&rig, "POST /v1.0/jobs/a", body.to_string()).await;
        let told = reply.json();
        assert_eq!((reply.status, told["errorCode"].as_str()), (400, Some(code)), "{body}: {told}");
        assert!(told["message"].as_str().unwrap().contains(words), "{body}: {told}");
    }
}

#[tokio::test]
async fn a_service_keeps_its_jobs_by_the_native_api() {
    let rig = Rig::new().await;
    let put = async |name: &str, body: Value| {
        ask_as(&rig, CALLER, &format!("PUT /v1/jobs/{name}"), &[JSON], body.to_string()).await
    };
    let job = json!({ "schedule": "@daily", "call": "POST /reports", "data": [1], "attempts": 5, "pause_ms": 100 });
    let kept = put("nightly", job).await;
    assert_eq!(kept.status, 200, "{kept:?}");
    let shown = kept.json();
    assert_eq!((&shown["owner"], &shown["data"]), (&json!("web"), &json!([1])));
    assert!(shown["next_at"].is_string(), "{shown}");
    assert_eq!(put("nightly", json!({ "due": "1h" })).await.status, 200);
    let exists = put("nightly", json!({ "due": "1h", "keep": true })).await;
    assert_eq!(exists.code(), (409, "exists".to_owned()));
    let all = ask(&rig, "GET /v1/jobs", "").await.json();
    assert_eq!(all["jobs"].as_array().unwrap().len(), 1);
    for (body, words) in [
        (json!({}), "`schedule`, `due`"),
        (json!({ "due": "1h", "call": "reports" }), "no method and path"),
        (json!({ "due": "1h", "text": "a", "base64": "" }), "at most one"),
        (json!({ "due": "never" }), "never"),
    ] {
        let reply = put("a", body.clone()).await;
        assert_eq!(reply.code(), (400, "bad_request".to_owned()), "{body}");
        assert!(reply.text().contains(words), "{body}: {reply:?}");
    }
    assert_eq!(ask(&rig, "GET /v1/jobs/none", "").await.code(), (404, "not_found".to_owned()));
    assert_eq!(says(&rig, "DELETE /v1/jobs/nightly", "").await, r#"200 {"deleted":true}"#);
    assert_eq!(says(&rig, "DELETE /v1/jobs/nightly", "").await, r#"200 {"deleted":false}"#);
}
