//! Two-phase messages.

use super::rig::{Rig, short};
use serde_json::{Value, json};

fn msg(rig: &Rig, gid: &str, with: Value) -> Value {
    let mut msg = json!({
        "gid": gid,
        "trans_type": "msg",
        "steps": [{ "action": rig.url("/a") }, { "action": rig.url("/b") }],
        "payloads": ["{\"amount\":30}", "{\"amount\":30}"],
        "query_prepared": rig.url("/asked"),
    });
    let Value::Object(with) = with else { panic!() };
    msg.as_object_mut().unwrap().extend(with);
    msg
}

#[tokio::test]
async fn a_message_is_delivered_when_it_is_submitted() {
    let rig = Rig::new().await;
    let it = msg(&rig, "good", json!({}));
    rig.done("prepare", it.clone()).await;
    rig.done("prepare", it.clone()).await;
    assert_eq!(rig.query("good").await["transaction"]["status"], "prepared");
    rig.done("submit", it.clone()).await;
    let answer = rig.until("good", "succeed").await;
    assert_eq!(short(&answer), "ss", "{answer:#}");
    assert_eq!(rig.participant.told(), ["/a action", "/b action"]);
    rig.refused("prepare", it.clone(), "current status 'succeed'").await;
    rig.refused("submit", it.clone(), "current status 'succeed'").await;
    // It need not be prepared.
    let mut other = it;
    other["gid"] = json!("at-once");
    rig.done("submit", other).await;
    rig.until("at-once", "succeed").await;
}

#[tokio::test]
async fn a_receiver_cannot_refuse() {
    let rig = Rig::new().await;
    rig.participant.says("/a", &[(409, "no"), (425, ""), (500, "oops")]);
    let with = json!({ "concurrent": true });
    rig.done("submit", msg(&rig, "refused", with)).await;
    assert_eq!(short(&rig.until("refused", "succeed").await), "ss");
    assert_eq!(rig.participant.told().iter().filter(|told| *told == "/a action").count(), 4);
}

#[tokio::test]
async fn a_silent_sender_is_asked() {
    let rig = Rig::new().await;
    for (gid, answers, ends, rows) in [
        ("yes", &[(425, ""), (200, "")][..], "succeed", "ss"),
        ("no", &[(500, ""), (409, "")][..], "failed", "pp"),
    ] {
        rig.participant.says("/asked", answers);
        rig.done("prepare", msg(&rig, gid, json!({ "timeout_to_fail": 1 }))).await;
        let answer = rig.until(gid, ends).await;
        assert_eq!(short(&answer), rows, "{gid}: {answer:#}");
    }
    let asked = &rig.participant.heard()[0];
    assert_eq!((&*asked.method, &*asked.path, &*asked.body), ("GET", "/asked", ""));
    for (name, value) in [("gid", "yes"), ("trans_type", "msg"), ("branch_id", "00"), ("op", "msg")]
    {
        assert_eq!(asked.query[name], value);
    }
    let told = rig.participant.told();
    assert_eq!(told.iter().filter(|told| *told == "/asked msg").count(), 4, "{told:?}");
}

#[tokio::test]
async fn a_message_that_is_given_up_is_not_delivered() {
    let rig = Rig::new().await;
    let it = msg(&rig, "none", json!({}));
    rig.done("prepare", it.clone()).await;
    rig.done("abort", it.clone()).await;
    assert_eq!(short(&rig.until("none", "failed").await), "pp");
    rig.refused("abort", it.clone(), "current status 'failed'").await;
    rig.refused("submit", it, "current status 'failed'").await;
    assert!(rig.participant.heard().is_empty());
}

#[tokio::test]
async fn a_delayed_message_waits() {
    let rig = Rig::new().await;
    let with = json!({ "custom_data": "{\"delay\":600}", "wait_result": true });
    let (status, answer) = rig.post("submit", &msg(&rig, "later", with)).await;
    assert_eq!(status, 425, "{answer}");
    let answer = rig.query("later").await;
    assert_eq!((&answer["transaction"]["status"], &*short(&answer)), (&json!("submitted"), "pp"));
    rig.done("submit", msg(&rig, "soon", json!({ "custom_data": "{\"delay\":1}" }))).await;
    assert_eq!(short(&rig.comes_to("soon", "succeed").await), "ss");
    // Clients that prepare a message say its delay when they submit it.
    rig.done("prepare", msg(&rig, "prepared", json!({}))).await;
    let with = json!({ "custom_data": "{\"delay\":600}" });
    rig.done("submit", msg(&rig, "prepared", with)).await;
    let answer = rig.query("prepared").await;
    assert_eq!((&answer["transaction"]["status"], &*short(&answer)), (&json!("submitted"), "pp"));
    assert!(rig.participant.heard().iter().all(|heard| heard.query["gid"] == "soon"));
}

#[tokio::test]
async fn a_message_to_a_topic_reaches_all_subscribers() {
    let rig = Rig::new().await;
    let to = |topic: &str| json!({ "steps": [{ "action": format!("topic://{topic}") }] });
    let (status, answer) = rig.post("submit", &msg(&rig, "nobody", to("orders"))).await;
    assert_eq!(status, 500, "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("topic not found"), "{answer}");
    for path in ["/one", "/two"] {
        let url = crate::query::escape(&rig.url(path));
        assert_eq!(rig.get(&format!("subscribe?topic=orders&url={url}")).await.0, 200);
        let gid = format!("after{}", path.replace('/', "-"));
        rig.done("submit", msg(&rig, &gid, to("orders"))).await;
        rig.until(&gid, "succeed").await;
    }
    let names: Vec<_> = rig
        .participant
        .heard()
        .iter()
        .map(|heard| format!("{} {} {}", heard.query["branch_id"], heard.path, heard.body))
        .collect();
    assert_eq!(
        names,
        ["01 /one {\"amount\":30}", "01-01 /one {\"amount\":30}", "01-02 /two {\"amount\":30}"]
    );
}

#[tokio::test]
async fn receivers_can_be_methods_of_json_rpc() {
    let rig = Rig::new().await;
    let with = json!({
        "protocol": "json-rpc",
        "steps": [{ "action": rig.url("/rpc?method=Pay") }],
    });
    let error = |code: i64| json!({ "error": { "code": code, "message": "x" } }).to_string();
    let (ongoing, failure, other) = (error(-32_902), error(-32_901), error(-32_603));
    rig.participant.says("/rpc", &[(200, &ongoing), (200, &failure), (200, &other)]);
    rig.done("submit", msg(&rig, "rpc", with)).await;
    rig.until("rpc", "succeed").await;
    let heard = rig.participant.heard();
    assert_eq!(heard.len(), 4);
    let call: Value = serde_json::from_str(&heard[0].body).unwrap();
    assert_eq!((&call["jsonrpc"], &call["method"]), (&json!("2.0"), &json!("Pay")));
    let params = json!({
        "amount": 30, "gid": "rpc", "trans_type": "msg", "branch_id": "01", "op": "action"
    });
    assert_eq!(call["params"], params);
}
