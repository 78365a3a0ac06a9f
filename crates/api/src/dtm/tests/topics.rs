//! Topics and how they are looked at.

use super::rig::Rig;
use serde_json::{Value, json};
use std::sync::Arc;

async fn version(rig: &Rig, topic: &str) -> Value {
    let (_, found) = rig.get(&format!("queryKV?cat=topics&key={topic}")).await;
    found["kv"][0]["version"].clone()
}

#[tokio::test]
async fn subscriptions_are_made_once_and_ended_once() {
    let rig = Rig::new().await;
    for (path, status, words) in [
        ("subscribe?topic=t&url=http://a/&remark=first", 200, ""),
        ("subscribe?topic=t&url=http://a/", 500, "already"),
        ("subscribe?topic=&url=http://a/", 500, "empty topic"),
        ("subscribe?topic=t", 500, "empty url"),
        ("subscribe?topic=t&url=http://b/", 200, ""),
        ("unsubscribe?topic=t&url=http://a/", 200, ""),
        ("unsubscribe?topic=t&url=http://a/", 500, "has not subscribed"),
        ("unsubscribe?topic=other&url=http://a/", 500, "has not subscribed"),
        ("unsubscribe?topic=t", 500, "empty url"),
        ("queryKV?cat=topics&key=t", 200, ""),
        ("subscribe?topic=%zz", 500, "escape"),
    ] {
        let (found, answer) = rig.get(path).await;
        assert_eq!(found, status, "{path}: {answer}");
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(message.contains(words), "{path}: {answer}");
    }
    let (_, found) = rig.get("queryKV?cat=topics&key=t").await;
    let one = &found["kv"][0];
    assert_eq!(
        (&one["cat"], &one["k"], &one["version"]),
        (&json!("topics"), &json!("t"), &json!(3))
    );
    let subscribers: Value = serde_json::from_str(one["v"].as_str().unwrap()).unwrap();
    assert_eq!(subscribers, json!([{ "url": "http://b/", "remark": "" }]));
    for (name, status) in [("t", 200), ("t", 500), ("never", 500)] {
        let request = http::Request::delete(format!("/api/dtmsvr/topic/{name}"));
        let (found, answer) = rig.ask(request.body(bytes::Bytes::new()).unwrap()).await;
        assert_eq!(found, status, "{name}: {answer}");
    }
    assert_eq!(rig.get("queryKV?cat=topics&key=t").await.1, json!({ "kv": [] }));
}

#[tokio::test]
async fn each_change_of_many_at_once_counts() {
    let rig = Arc::new(Rig::new().await);
    for step in ["subscribe", "unsubscribe"] {
        let all = (0..20).map(|number| {
            let rig = rig.clone();
            async move { rig.get(&format!("{step}?topic=many&url=http://a/{number}")).await }
        });
        for (status, answer) in futures_util::future::join_all(all).await {
            assert_eq!(status, 200, "{answer}");
        }
    }
    assert_eq!(version(&rig, "many").await, 40);
    let (_, found) = rig.get("queryKV?cat=topics&key=many").await;
    assert_eq!(found["kv"][0]["v"], "[]");
}

#[tokio::test]
async fn topics_are_listed_page_by_page() {
    let rig = Rig::new().await;
    for topic in ["a", "b", "c"] {
        rig.get(&format!("subscribe?topic={topic}&url=http://a/")).await;
    }
    let mut position = String::new();
    let mut found = Vec::new();
    loop {
        let (_, page) = rig.get(&format!("scanKV?cat=topics&limit=1&position={position}")).await;
        found.extend(page["kv"].as_array().unwrap().iter().map(|one| one["k"].clone()));
        page["next_position"].as_str().unwrap().clone_into(&mut position);
        if position.is_empty() {
            break;
        }
    }
    assert_eq!(found, ["a", "b", "c"]);
    assert_eq!(rig.get("queryKV?cat=topics").await.1["kv"].as_array().unwrap().len(), 3);
    assert_eq!(rig.get("scanKV?cat=other").await.1, json!({ "kv": [], "next_position": "" }));
}
