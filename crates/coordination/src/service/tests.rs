//! What holds for coordination as a whole.

use crate::{Stores, testing::Node};
use std::{collections::BTreeMap, time::Duration};

#[tokio::test(start_paused = true)]
async fn stores_are_taken_over_whole_or_not_at_all() {
    let node = Node::start();
    let mut twice = Stores::usual();
    twice.state.push(crate::StateStore::durable("statestore"));
    let error = node.handle.apply(twice).unwrap_err();
    assert_eq!(error.to_string(), "there are two state stores `statestore`");
    let mut slash = Stores::usual();
    slash.locks[0].name = "a/b".to_owned();
    assert!(node.handle.apply(slash).is_err());
    let mut more = Stores::usual();
    let alias = crate::StateStore {
        namespace: Some("statestore".to_owned()),
        ..crate::StateStore::durable("alias")
    };
    more.state.push(alias);
    more.state.push(crate::StateStore::cache("sessions", base::ByteSize(1 << 20)));
    node.handle.apply(more.clone()).unwrap();
    node.handle.state("alias").unwrap().put(crate::Write::new("k", "1")).await.unwrap();
    assert!(node.handle.state("statestore").unwrap().get("k").await.unwrap().is_some());
    let sessions = node.handle.state("sessions").unwrap();
    sessions.put(crate::Write::new("k", "1")).await.unwrap();
    node.handle.apply(more).unwrap();
    assert!(node.handle.state("sessions").unwrap().get("k").await.unwrap().is_some(), "it stays");
    let names: BTreeMap<_, _> = node
        .handle
        .stores()
        .into_iter()
        .map(|store| (store.name, store.kind.to_string()))
        .collect();
    assert_eq!(names["sessions"], "cache");
    assert_eq!(names["alias"], "state");
    node.handle.apply(Stores::usual()).unwrap();
    let error = node.handle.state("sessions").unwrap_err();
    assert_eq!(error.to_string(), "there is no state store `sessions`; there are: statestore");
    node.service.shutdown(Duration::from_secs(5)).await;
}
