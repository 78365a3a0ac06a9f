//! Workflows: their code runs in the client, and what it has done is kept here.

use super::rig::{Rig, short};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};

fn workflow(rig: &Rig, gid: &str, data: &Value) -> Value {
    let custom = json!({ "name": "pay & ship", "data": data }).to_string();
    json!({
        "gid": gid, "trans_type": "workflow", "protocol": "http", "custom_data": custom,
        "query_prepared": rig.url("/resume"), "retry_interval": 600,
    })
}

fn step(gid: &str, branch: &str, status: &str, data: &str) -> Value {
    json!({
        "gid": gid, "trans_type": "workflow", "branch_id": branch, "op": "action",
        "status": status, "data": data,
    })
}

fn end(gid: &str, status: &str, reason: &str, result: &str) -> Value {
    let extra = json!({ "status": status, "rollback_reason": reason, "result": result });
    json!({ "gid": gid, "trans_type": "workflow", "req_extra": extra })
}

#[tokio::test]
async fn what_a_workflow_has_done_is_given_back_to_it() {
    let rig = Rig::new().await;
    let it = workflow(&rig, "flow", &json!(BASE64.encode("{\"amount\":30}")));
    let (status, fresh) = rig.post("prepareWorkflow", &it).await;
    assert_eq!(status, 200, "{fresh}");
    let transaction = &fresh["transaction"];
    // Clients in other languages want all of these to be there.
    for (name, value) in [("status", "prepared"), ("rollback_reason", ""), ("result", "")] {
        assert_eq!(transaction[name], value, "{fresh}");
    }
    assert_eq!(fresh["progresses"], json!([]));
    rig.done("registerBranch", step("flow", "01", "succeed", "{\"id\":7}")).await;
    rig.done("registerBranch", step("flow", "01", "succeed", "{\"id\":7}")).await;
    rig.done("registerBranch", step("flow", "02", "failed", "no")).await;
    let (_, again) = rig.post("prepareWorkflow", &it).await;
    let first = &again["progresses"][0];
    let data = BASE64.decode(first["bin_data"].as_str().unwrap()).unwrap();
    assert_eq!(data, b"{\"id\":7}");
    for (name, value) in [("status", "succeed"), ("branch_id", "01"), ("op", "action")] {
        assert_eq!(first[name], value, "{again}");
    }
    assert_eq!(short(&rig.query("flow").await), "sf");
    rig.done("submit", end("flow", "succeed", "", "cmVzdWx0")).await;
    rig.done("submit", end("flow", "succeed", "", "cmVzdWx0")).await;
    rig.until("flow", "succeed").await;
    let (_, ended) = rig.post("prepareWorkflow", &it).await;
    assert_eq!(ended["transaction"]["status"], "succeed", "{ended}");
    assert_eq!(ended["transaction"]["result"], "cmVzdWx0", "{ended}");
    assert_eq!(ended["progresses"].as_array().unwrap().len(), 2);
    rig.refused("registerBranch", step("flow", "03", "succeed", ""), "").await;
    rig.refused("submit", end("flow", "failed", "late", ""), "cannot end again").await;
    assert!(rig.participant.heard().is_empty());
}

#[tokio::test]
async fn a_workflow_that_failed_says_why() {
    let rig = Rig::new().await;
    let it = workflow(&rig, "bad", &Value::Null);
    rig.post("prepareWorkflow", &it).await;
    rig.done("submit", end("bad", "failed", "FAILURE: no stock", "")).await;
    rig.until("bad", "failed").await;
    let (status, ended) = rig.post("prepareWorkflow", &it).await;
    assert_eq!((status, &ended["transaction"]["status"]), (200, &json!("failed")));
    assert_eq!(ended["transaction"]["rollback_reason"], "FAILURE: no stock");
}

#[tokio::test]
async fn a_silent_client_is_woken_up_with_its_data() {
    let rig = Rig::new().await;
    rig.participant.says("/resume", &[(425, ""), (200, "")]);
    // Some clients write bytes as numbers.
    let mut it = workflow(&rig, "silent", &json!([123, 125, 255]));
    it["retry_interval"] = json!(1);
    rig.post("prepareWorkflow", &it).await;
    rig.until_heard("/resume", 2).await;
    let heard = &rig.participant.heard()[0];
    assert_eq!((&*heard.method, &*heard.body), ("POST", "{}\u{fffd}"));
    for (name, value) in
        [("gid", "silent"), ("trans_type", "workflow"), ("branch_id", "00"), ("op", "pay & ship")]
    {
        assert_eq!(heard.query[name], value);
    }
    rig.until("silent", "succeed").await;
}

#[tokio::test]
async fn what_is_no_workflow_is_refused() {
    let rig = Rig::new().await;
    let mut it = workflow(&rig, "odd", &json!("not base 64!"));
    let (status, answer) = rig.post("prepareWorkflow", &it).await;
    assert_eq!(status, 500, "{answer}");
    it["trans_type"] = json!("saga");
    assert_eq!(rig.post("prepareWorkflow", &it).await.0, 500);
    rig.refused("submit", end("unknown", "succeed", "", ""), "unknown").await;
    it = workflow(&rig, "fine", &Value::Null);
    rig.post("prepareWorkflow", &it).await;
    assert_eq!(rig.post("submit", &end("fine", "maybe", "", "")).await.0, 500);
}
