//! The way of an event from its publisher to an app that says itself what it wants.

use super::*;
use crate::app::testing::Rig;
use events::{Job, Outgoing, Wanted};

/// Waits until the app has got `count` requests of `path`, and gives their bodies.
async fn got(app: &App, path: &str, count: usize) -> Vec<Bytes> {
    let wait = async {
        loop {
            let bodies = app.bodies(path);
            if bodies.len() >= count {
                return bodies;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("in time")
}

#[tokio::test]
async fn an_app_gets_what_it_declares_until_it_says_that_it_is_done() {
    let count = AtomicUsize::new(0);
    let app = App::answering(move |request| match request.uri().path() {
        "/dapr/subscribe" => {
            answer(200, &[], r#"[{"pubsubname":"pubsub","topic":"orders","route":"orders"}]"#)
        }
        "/orders" if count.fetch_add(1, Ordering::SeqCst) == 0 => {
            answer(200, &[], r#"{"status":"RETRY"}"#)
        }
        _ => answer(200, &[], ""),
    });
    let app = app.await;
    let rig = Rig::new().await;
    rig.node.component(pubsub("pubsub"));
    let web = ServiceName::new("web").unwrap();
    let topic = TopicName::new("orders").unwrap();
    let outgoing = Outgoing { event: event(), ..Outgoing::default() };
    // It was published before anybody wanted it.
    rig.events.topics().publish(&topic, vec![outgoing]).await.unwrap();
    rig.events.apply(Wanted { auto: true, ask: vec![web.clone()], ..Wanted::default() }).unwrap();
    rig.node.at("web", app.address);
    rig.events.service_ready(&web);
    let bodies = got(&app, "/orders", 2).await;
    let sent: serde_json::Value = serde_json::from_slice(&bodies[1]).unwrap();
    assert_eq!((&sent["id"], &sent["topic"]), (&"7".into(), &"orders".into()));
    let settled = async {
        while rig.events.topics().groups(&topic).await.unwrap()[0].lag > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, settled).await.expect("in time");
    assert_eq!(got(&app, "/orders", 2).await.len(), 2);

    let job = Job {
        owner: "web".to_owned(),
        name: "nightly".to_owned(),
        schedule: None,
        due: Some("1ms".to_owned()),
        repeats: None,
        ttl: None,
        overwrite: false,
        retry: None,
        data: Bytes::from_static(b"{\"task\":1}"),
        type_url: crate::app::grpc::jobs::JSON_TYPE.to_owned(),
    };
    let to = Target::DaprJob { service: web, name: "nightly".to_owned() };
    rig.events.jobs().schedule(job, to).await.unwrap();
    assert_eq!(got(&app, "/job/nightly", 1).await, [&b"{\"task\":1}"[..]]);
    rig.end().await;
}
