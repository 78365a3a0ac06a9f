//! What can be looked at besides one transaction, and JSON-RPC.

use super::rig::Rig;
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

#[tokio::test]
async fn what_a_server_says_of_itself() {
    let rig = Rig::new().await;
    let (status, version) = rig.get("version").await;
    assert!(status == 200 && version["version"].is_string(), "{version}");
    let (_, gid) = rig.get("newGid").await;
    assert_eq!(gid["dtm_result"], "SUCCESS");
    assert_ne!(gid["gid"], rig.get("newGid").await.1["gid"]);
    for method in ["GET", "POST", "PUT"] {
        let ping = Request::builder().method(method).uri("/api/ping").body(Bytes::new()).unwrap();
        assert_eq!(rig.ask(ping).await, (200, json!({ "msg": "pong" })));
    }
    let (status, text) = rig.text(Request::get("/api/metrics").body(Bytes::new()).unwrap()).await;
    assert!(status == 200 && text.contains("flotilla_transactions_unfinished 0\n"), "{text}");
}

#[tokio::test]
async fn one_transaction_is_shown_whole() {
    let rig = Rig::new().await;
    let saga = json!({
        "gid": "one", "trans_type": "saga", "request_timeout": 8,
        "steps": [{ "action": rig.url("/a"), "compensate": rig.url("/ua") }], "payloads": ["{}"],
    });
    rig.done("submit", saga).await;
    let answer = rig.until("one", "succeed").await;
    let it = &answer["transaction"];
    for (name, value) in [
        ("gid", json!("one")),
        ("trans_type", json!("saga")),
        ("protocol", json!("http")),
        ("options", json!("{\"request_timeout\":8}")),
        ("owner", json!("node")),
        ("steps", json!([{ "action": rig.url("/a"), "compensate": rig.url("/ua") }])),
    ] {
        assert_eq!(it[name], value, "{name} of {it:#}");
    }
    for name in ["create_time", "update_time", "finish_time"] {
        assert!(it[name].as_str().unwrap().ends_with('Z'), "{name} of {it:#}");
    }
    assert!(it.get("rollback_time").is_none() && it.get("next_cron_time").is_none(), "{it:#}");
    let rows = answer["branches"].as_array().unwrap();
    let ops: Vec<_> = rows.iter().map(|row| row["op"].as_str().unwrap()).collect();
    assert_eq!(ops, ["compensate", "action"]);
    assert_eq!(rows[1]["url"], json!(rig.url("/a")));
    assert_eq!(rows[1]["bin_data"], "e30=");
    assert!(rows[1]["finish_time"].is_string() && rows[0]["finish_time"].is_null(), "{rows:#?}");
}

#[tokio::test]
async fn nothing_is_found_where_nothing_is() {
    let rig = Rig::new().await;
    let (status, answer) = rig.get("query?gid=1").await;
    assert_eq!((status, answer), (200, json!({ "transaction": null, "branches": [] })));
    let (status, answer) = rig.get("query?gid=").await;
    assert_eq!(status, 500, "{answer}");
    for question in ["status=sleeping", "transType=magic", "gid=1", ""] {
        let (status, answer) = rig.get(&format!("all?{question}")).await;
        assert_eq!(status, 200, "{question}");
        assert_eq!(answer, json!({ "transactions": [], "next_position": "" }), "{question}");
    }
}

#[tokio::test]
async fn all_are_listed_page_by_page_and_by_what_they_are() {
    let rig = Rig::new().await;
    for gid in ["m1", "m2", "m3"] {
        let msg = json!({ "gid": gid, "trans_type": "msg", "steps": [{ "action": "" }] });
        rig.done("submit", msg).await;
        rig.until(gid, "succeed").await;
    }
    rig.done("prepare", json!({ "gid": "t1", "trans_type": "tcc" })).await;
    rig.post("prepareWorkflow", &json!({ "gid": "w1", "trans_type": "workflow" })).await;
    let gids = async |question: &str| {
        let (status, answer) = rig.get(&format!("all?{question}")).await;
        assert_eq!(status, 200, "{question}: {answer}");
        let list = answer["transactions"].as_array().unwrap().clone();
        let mut gids: Vec<String> =
            list.iter().map(|one| one["gid"].as_str().unwrap().to_owned()).collect();
        gids.sort();
        (gids.join(" "), answer["next_position"].as_str().unwrap().to_owned())
    };
    for (question, expected) in [
        ("", "m1 m2 m3 t1 w1"),
        ("transType=msg", "m1 m2 m3"),
        ("transType=workflow", "w1"),
        ("status=prepared", "t1 w1"),
        ("status=succeed&transType=msg", "m1 m2 m3"),
        ("status=succeed&createTimeEnd=1000", ""),
        ("createTimeStart=1000&transType=tcc", "t1"),
        ("gid=m2", "m2"),
    ] {
        assert_eq!(gids(question).await, (expected.to_owned(), String::new()), "{question}");
    }
    let (mut found, mut position) = (Vec::new(), String::new());
    loop {
        let (page, next) = gids(&format!("limit=2&position={position}")).await;
        found.extend(page.split_whitespace().map(str::to_owned));
        if next.is_empty() {
            break;
        }
        assert_ne!(next, position);
        position = next;
    }
    found.sort();
    assert_eq!(found, ["m1", "m2", "m3", "t1", "w1"]);
}

async fn rpc(rig: &Rig, body: &str) -> Value {
    let request = Request::post("/api/json-rpc").body(Bytes::from(body.to_owned())).unwrap();
    let (status, answer) = rig.ask(request).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test]
async fn requests_can_be_methods_of_json_rpc() {
    let rig = Rig::new().await;
    let call = |method: &str, params: Value| {
        json!({ "jsonrpc": "2.0", "id": "no-use", "method": method, "params": params }).to_string()
    };
    let gid = rpc(&rig, &call("newGid", Value::Null)).await;
    assert!(gid["result"]["gid"].is_string() && gid["error"].is_null(), "{gid}");
    let tcc = json!({ "gid": "rpc", "trans_type": "tcc" });
    for (method, params) in [
        ("prepare", tcc.clone()),
        (
            "registerBranch",
            json!({ "gid": "rpc", "trans_type": "tcc", "branch_id": "01", "data": null,
                "confirm": rig.url("/confirm"), "cancel": "" }),
        ),
        ("submit", tcc.clone()),
    ] {
        let answer = rpc(&rig, &call(method, params)).await;
        assert_eq!(
            answer,
            json!({ "jsonrpc": "2.0", "id": "no-use", "error": null, "result": null })
        );
    }
    rig.until("rpc", "succeed").await;
    assert_eq!(rig.participant.told(), ["/confirm confirm"]);
    for (body, code) in [
        ("{", -32_700),
        ("{}", -32_600),
        (r#"{"jsonrpc":"2.0","id":7,"method":"newGid"}"#, -32_600),
        (&*call("query", Value::Null), -32_601),
        (&*call("submit", json!({ "gid": "x", "trans_type": "magic" })), -32_603),
        (&*call("submit", json!({ "gid": 7 })), -32_603),
        (&*call("abort", tcc), -32_901),
    ] {
        let answer = rpc(&rig, body).await;
        assert_eq!(answer["error"]["code"], code, "{body}: {answer}");
    }
}
