//! Changes that change nothing.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_is_in_force_already_stays_the_version_it_is() {
    let node = Node::start();
    let configuration = node.handle.configuration();
    set(&configuration, "k", "1").await;
    let mut watch = configuration.watch(STORE, Select::All, None).await.unwrap();
    assert_eq!(set(&configuration, "k", "1").await, 1);
    assert_eq!(configuration.rollback(STORE, "k", 1, "ann").await.unwrap(), 1);
    let expected = async |expected| {
        let none = BTreeMap::new();
        configuration.set(STORE, "k", "1", none, Some(expected), "ann").await
    };
    assert_eq!(expected(1).await.unwrap(), 1);
    assert!(matches!(expected(7).await, Err(Error::Conflict { .. })));
    assert_eq!(configuration.history(STORE, "k").await.unwrap().len(), 1);
    let metadata = BTreeMap::from([("team".to_owned(), "red".to_owned())]);
    let version = configuration.set(STORE, "k", "1", metadata, None, "ann").await.unwrap();
    assert_eq!(version, 2);
    // Watchers heard of nothing before that.
    assert_eq!(next(&mut watch).await, "k=1@2");
    configuration.delete(STORE, "k", None, "ann").await.unwrap();
    assert_eq!(set(&configuration, "k", "1").await, 4);
}
