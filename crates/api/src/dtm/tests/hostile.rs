//! What no client of DTM sends.

use super::rig::Rig;
use bytes::Bytes;
use http::Request;
use serde_json::json;

#[tokio::test]
async fn requests_that_make_no_sense_are_answered_with_what_is_wrong() {
    let rig = Rig::new().await;
    let a = rig.url("/a");
    let step = json!([{ "action": a }]);
    for (path, body, words) in [
        ("submit", json!(7), "no transaction"),
        ("submit", json!({ "trans_type": "saga" }), "no gid"),
        ("submit", json!({ "gid": "no spaces", "trans_type": "saga" }), "no spaces"),
        ("submit", json!({ "gid": "g", "trans_type": "magic" }), "magic"),
        ("submit", json!({ "gid": "g", "trans_type": "saga" }), "no branches"),
        ("submit", json!({ "gid": "g", "trans_type": "saga", "steps": 7 }), "no transaction"),
        (
            "submit",
            json!({ "gid": "g", "trans_type": "saga", "steps": [{ "action": "orders/pay" }] }),
            "http://",
        ),
        (
            "submit",
            json!({ "gid": "g", "trans_type": "saga", "steps": [{ "action": "http://a:b@c/" }] }),
            "password",
        ),
        (
            "submit",
            json!({ "gid": "g", "trans_type": "saga", "steps": step, "protocol": "smoke" }),
            "smoke",
        ),
        (
            "submit",
            json!({ "gid": "g", "trans_type": "saga", "steps": step, "custom_data": "{" }),
            "custom_data",
        ),
        (
            "submit",
            json!({ "gid": "g", "trans_type": "saga", "steps": step,
                "custom_data": "{\"concurrent\":true,\"orders\":{\"0\":[0]}}" }),
            "each other",
        ),
        (
            "submit",
            json!({ "gid": "g", "trans_type": "saga", "steps": step,
                "branch_headers": { "content-length": "7" } }),
            "content-length",
        ),
        (
            "submit",
            json!({ "gid": "g", "trans_type": "saga", "steps": step,
                "branch_headers": { "x": "a\nb" } }),
            "`x`",
        ),
        ("prepare", json!({ "gid": "g", "trans_type": "saga", "steps": step }), "submit"),
        ("registerBranch", json!({ "gid": "g", "trans_type": "saga", "branch_id": "01" }), "saga"),
        ("registerBranch", json!({ "gid": "g", "trans_type": "tcc" }), "branch_id"),
        ("registerBranch", json!({ "gid": 7 }), "map of texts"),
        ("forceStop", json!({}), "no gid"),
        ("resetNextCronTime", json!(7), "no gid"),
    ] {
        let (status, answer) = rig.post(path, &body).await;
        assert_eq!(status, 500, "{path} {body}: {answer}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains(words), "{path} {body}: {answer}");
    }
    for path in ["all?limit=many", "resetCronTime?timeout=-1", "query?gid=%zz"] {
        assert_eq!(rig.get(path).await.0, 500, "{path}");
    }
    assert_eq!(rig.get("all").await.1["transactions"], json!([]));
    assert!(rig.participant.heard().is_empty());
}

#[tokio::test]
async fn what_is_no_request_of_dtm_is_not_found() {
    let rig = Rig::new().await;
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/api/dtmsvr/"),
        ("GET", "/api/dtmsvr/submit"),
        ("POST", "/api/dtmsvr/query"),
        ("PUT", "/api/dtmsvr/submit"),
        ("DELETE", "/api/dtmsvr/topics/x"),
        ("GET", "/api/json-rpc"),
    ] {
        let request = Request::builder().method(method).uri(path).body(Bytes::new()).unwrap();
        let (status, answer) = rig.ask(request).await;
        assert_eq!(status, 404, "{method} {path}: {answer}");
    }
}

#[tokio::test]
async fn pages_of_a_browser_get_nothing() {
    let rig = Rig::new().await;
    for (name, value, expected) in [
        ("origin", "http://evil.example", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("host", "evil.example", 403),
        ("host", "localhost:36789", 200),
        ("host", "[::1]:36789", 200),
    ] {
        let request = Request::get("/api/dtmsvr/newGid").header(name, value);
        let (status, answer) = rig.ask(request.body(Bytes::new()).unwrap()).await;
        assert_eq!(status, expected, "{name}: {value}: {answer}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let rig = Rig::new().await;
    let large = |len: usize| {
        json!({ "gid": "large", "trans_type": "saga", "steps": [{ "action": rig.url("/a") }],
            "payloads": ["x".repeat(len)] })
    };
    let (status, answer) = rig.post("submit", &large(3 << 20)).await;
    assert_eq!(status, 413, "{answer}");
    let (status, answer) = rig.post("submit", &large(1 << 20)).await;
    assert_eq!(status, 500, "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("bytes"), "{answer}");
}
