//! What the Rust client of DTM (`dtm_client` 0.1.0) sends, word for word but for the address of the participant, and in the order in which
//! it sends it. It leaves out what is empty, and writes bytes as numbers.

use super::rig::{Rig, short};
use serde_json::{Value, json};

/// Path, body, and the status of the answer.
const REQUESTS: &[(&str, &str, u16)] = &[
    (
        "submit",
        r#"{"gid":"saga","trans_type":"saga","wait_result":true,"steps":[{"compensate":"AT/ua","action":"AT/a"},{"action":"AT/b","compensate":"AT/ub"}],"payloads":["{\"amount\":30}","{\"amount\":30}"]}"#,
        200,
    ),
    (
        "submit",
        r#"{"gid":"rs-conc","trans_type":"saga","custom_data":"{\"concurrent\":true,\"orders\":{\"1\":[0]}}","wait_result":true,"request_timeout":6,"concurrent":true,"retry_limit":2,"steps":[{"compensate":"AT/ua","action":"AT/a"},{"compensate":"AT/ub","action":"AT/refuse"}],"payloads":["{\"amount\":30}","{\"amount\":30}"]}"#,
        409,
    ),
    (
        "prepare",
        r#"{"gid":"rs-msg","trans_type":"msg","steps":[{"action":"AT/m"}],"payloads":["{\"amount\":30}"],"query_prepared":"AT/asked"}"#,
        200,
    ),
    (
        "submit",
        r#"{"gid":"rs-msg","trans_type":"msg","custom_data":"{\"delay\":1}","steps":[{"action":"AT/m"}],"payloads":["{\"amount\":30}"],"query_prepared":"AT/asked"}"#,
        200,
    ),
    (
        "prepareWorkflow",
        r#"{"gid":"rs-wf-http","trans_type":"workflow","custom_data":"{\"data\":[123,34,97,109,111,117,110,116,34,58,51,48,125],\"name\":\"wf http\"}","query_prepared":"AT/workflowResume","protocol":"http"}"#,
        200,
    ),
    (
        "registerBranch",
        r#"{"gid":"rs-wf-http","trans_type":"workflow","data":"{}","status":"succeed","op":"action","branch_id":"01"}"#,
        200,
    ),
    (
        "prepareWorkflow",
        r#"{"gid":"rs-wf-http","trans_type":"workflow","custom_data":"{\"data\":[123,34,97,109,111,117,110,116,34,58,51,48,125],\"name\":\"wf http\"}","query_prepared":"AT/workflowResume","protocol":"http"}"#,
        200,
    ),
    (
        "submit",
        r#"{"gid":"rs-wf-http","req_extra":{"result":"cmVzdWx0","rollback_reason":"","status":"succeed"},"trans_type":"workflow"}"#,
        200,
    ),
];

#[tokio::test]
async fn what_the_rust_client_sends_does_what_it_means() {
    let rig = Rig::new().await;
    rig.participant.says("/refuse", &[(409, "no stock")]);
    let mut answers: Vec<Value> = Vec::new();
    for (path, body, expected) in REQUESTS {
        let body = serde_json::from_str(&body.replace("AT", &rig.url(""))).unwrap();
        let (status, answer) = rig.post(path, &body).await;
        assert_eq!(status, *expected, "{path} {body}: {answer}");
        answers.push(answer);
    }
    assert!(answers[1]["message"].as_str().unwrap().contains("no stock"), "{}", answers[1]);
    // All of these must be there, or it cannot read the answer.
    let workflow = &answers[6];
    for name in ["status", "rollback_reason", "result"] {
        assert!(workflow["transaction"][name].is_string(), "{name} of {workflow}");
    }
    for name in ["status", "bin_data", "branch_id", "op"] {
        assert!(workflow["progresses"][0][name].is_string(), "{name} of {workflow}");
    }
    for (gid, status, rows) in [
        ("saga", "succeed", "psps"),
        ("rs-conc", "failed", "sssf"),
        ("rs-msg", "succeed", "s"),
        ("rs-wf-http", "succeed", "s"),
    ] {
        assert_eq!(short(&rig.comes_to(gid, status).await), rows, "{gid}");
    }
    let ended = rig.query("rs-wf-http").await;
    assert_eq!(ended["transaction"]["result"], json!("cmVzdWx0"));
}
