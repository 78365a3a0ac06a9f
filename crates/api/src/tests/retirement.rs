//! One node's API takes over the sockets of another's.

use super::*;

#[tokio::test]
async fn a_successor_answers_on_the_same_sockets_and_the_open_request_gets_its_answer() {
    let old = setup().await;
    let slow = wire::ReplaceNode { program: Some("/slow".into()), grace_ms: None };
    let mut asked = std::pin::pin!(old.client.restart_node(&slow));
    let taken = async {
        while old.fake.calls().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        early = &mut asked => panic!("{early:?}"),
        () = within(taken) => {}
    }
    let mut stream = old.client.status_stream().await.unwrap();
    within(stream.next()).await.unwrap().expect("a first picture");

    let sockets = old.service.export().unwrap();
    assert_eq!(sockets.tcp.as_ref().map(|(address, _)| *address), Some(old.address));
    old.service.retire(Duration::from_secs(30));
    assert_eq!(within(stream.next()).await.unwrap(), None, "streams end");
    // Nobody accepts now, and nobody is refused.
    let mut waiting = std::pin::pin!(old.client.restart_all());
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err());

    let new = Fake::new(&old._folder);
    let config = Config {
        socket: old.client.path().map(std::path::Path::to_owned),
        listen: Some(old.address),
        token: TOKEN.into(),
        ..Config::default()
    };
    let service = Service::take_over(config, sockets, new.clone()).await.unwrap();
    within(waiting).await.unwrap();
    assert_eq!(new.calls(), ["restart All"]);
    let bearer = bearer();
    let answer = raw(old.address, "GET /v1/health", &[HOST, &bearer], "").await;
    assert_eq!(answer.status, 200);

    assert!(tokio::time::timeout(Duration::from_millis(1), &mut asked).await.is_err());
    old.fake.slow.notify_one();
    assert_eq!(within(asked).await.unwrap().pid, 43);
    within(old.service.retired()).await;
    assert!(old.client.health().await.is_ok(), "the socket is still there");
    service.shutdown().await;
    assert!(old.client.health().await.is_err());
}

#[tokio::test]
async fn a_replacement_that_fails_says_why() {
    let Setup { client, .. } = &setup().await;
    let broken = wire::ReplaceNode { program: Some("/broken".into()), grace_ms: Some(1) };
    let refused = client.restart_node(&broken).await.unwrap_err();
    assert_eq!(refused.detail().unwrap().message, "the new node ended");
    let endless = wire::ReplaceNode { grace_ms: Some(u64::MAX), ..wire::ReplaceNode::default() };
    assert!(client.restart_node(&endless).await.is_err());
}
