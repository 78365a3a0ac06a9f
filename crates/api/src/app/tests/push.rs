//! Changes of configuration that are posted to an app.

use super::*;
use crate::app::{
    Instance,
    tests::blocks::{channel, set},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// Takes one request and answers it.
async fn take(listener: &TcpListener, status: &str) -> String {
    let (mut stream, _) = within(listener.accept()).await.unwrap();
    let mut text = String::new();
    loop {
        let mut bytes = [0; 4_096];
        let read = within(stream.read(&mut bytes)).await.unwrap();
        text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok()
        });
        if read == 0 || length.is_some_and(|length: usize| body.len() >= length) {
            break;
        }
    }
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap();
    text
}

#[tokio::test]
async fn a_change_is_posted_to_the_app_until_it_unsubscribes() {
    let rig = Rig::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = crate::app::Channel { address, ..channel(true) };
    let app_token = Some("app-secret".into());
    rig.node.put(CALLER, Instance { app: Some(app), app_token, ..Instance::default() });
    set(&rig, "limit", "1").await;
    let line = "GET /v1.0/configuration/configstore/subscribe?key=limit&key=a%2Fb";
    let id = ask(&rig, line, "").await.json()["id"].as_str().unwrap().to_owned();
    set(&rig, "other", "x").await;
    set(&rig, "limit", "2").await;
    let posted = take(&listener, "200 OK").await;
    let (head, body) = posted.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /configuration/configstore/limit HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("dapr-api-token: app-secret"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    let expected = serde_json::json!({
        "id": id,
        "items": { "limit": { "value": "2", "version": "2", "metadata": {} } },
    });
    assert_eq!(body, expected);
    // An app that fails gets it again.
    set(&rig, "a/b", "3").await;
    assert!(
        take(&listener, "503 Busy").await.starts_with("POST /configuration/configstore/a%2Fb ")
    );
    assert!(
        take(&listener, "204 Done").await.starts_with("POST /configuration/configstore/a%2Fb ")
    );

    let line = format!("GET /v1.0/configuration/configstore/{id}/unsubscribe");
    // Nobody ends another's subscription.
    rig.node.put("other/1", Instance::default());
    assert_eq!(ask_as(&rig, "other/1", &line, &[], "").await.status, 500);
    assert_eq!(says(&rig, &line, "").await, r#"200 {"ok":true}"#);
    assert_eq!(ask(&rig, &line, "").await.status, 500);
    rig.end().await;
}

#[tokio::test]
async fn a_dead_instance_leaves_no_subscription() {
    let rig = Rig::new().await;
    rig.node.put(CALLER, Instance { app: Some(channel(true)), ..Instance::default() });
    let line = "GET /v1.0/configuration/configstore/subscribe";
    let id = ask(&rig, line, "").await.json()["id"].as_str().unwrap().to_owned();
    rig.app.instance_ended(&base::InstanceId::parse(CALLER).unwrap());
    let line = format!("GET /v1.0/configuration/configstore/{id}/unsubscribe");
    assert_eq!(ask(&rig, &line, "").await.status, 500);
}
