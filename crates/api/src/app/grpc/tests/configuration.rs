//! Configuration.

use super::{client, refused};
use crate::app::testing::Rig;
use proto::dapr::runtime::{
    GetConfigurationRequest, SubscribeConfigurationRequest, UnsubscribeConfigurationRequest,
};
use std::{collections::BTreeMap, time::Duration};
use tonic::Code;

const STORE: &str = "configstore";

/// Generous: it only ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(20);

async fn set(rig: &Rig, key: &str, value: &str) {
    let all = rig.coordination.configuration();
    all.set(STORE, key, value, BTreeMap::new(), None, "test").await.unwrap();
}

fn subscribe(keys: &[&str]) -> SubscribeConfigurationRequest {
    SubscribeConfigurationRequest {
        store_name: STORE.to_owned(),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        ..SubscribeConfigurationRequest::default()
    }
}

#[tokio::test]
async fn values_are_read_under_both_names_of_the_method() {
    let rig = Rig::new().await;
    set(&rig, "limit", "10").await;
    set(&rig, "colour", "red").await;
    let request = |keys: &[&str]| GetConfigurationRequest {
        store_name: STORE.to_owned(),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        ..GetConfigurationRequest::default()
    };
    let mut web = client(&rig, "web/1");
    let one = web.get_configuration(request(&["limit", "none"])).await.unwrap().into_inner();
    assert_eq!(one.items.len(), 1);
    assert_eq!(one.items["limit"].value, "10");
    assert!(!one.items["limit"].version.is_empty());
    let all = web.get_configuration_alpha1(request(&[])).await.unwrap().into_inner();
    assert_eq!(all.items.keys().collect::<Vec<_>>(), ["colour", "limit"]);
    let unknown = GetConfigurationRequest { store_name: "nowhere".to_owned(), ..request(&[]) };
    refused(web.get_configuration(unknown).await, Code::InvalidArgument);
}

#[tokio::test]
async fn a_subscription_names_itself_tells_changes_and_ends_when_asked() {
    let rig = Rig::new().await;
    set(&rig, "limit", "10").await;
    let mut web = client(&rig, "web/1");
    for is_alpha in [false, true] {
        let request = subscribe(&["limit"]);
        let stream = if is_alpha {
            web.subscribe_configuration_alpha1(request).await
        } else {
            web.subscribe_configuration(request).await
        };
        let mut stream = stream.unwrap().into_inner();
        let first = stream.message().await.unwrap().unwrap();
        assert!(!first.id.is_empty());
        assert!(first.items.is_empty(), "{first:?}");

        set(&rig, "colour", "blue").await;
        let value = format!("{is_alpha}");
        set(&rig, "limit", &value).await;
        let told = tokio::time::timeout(PATIENCE, stream.message()).await.unwrap();
        let told = told.unwrap().unwrap();
        assert_eq!(told.id, first.id);
        assert_eq!(told.items.keys().collect::<Vec<_>>(), ["limit"]);
        assert_eq!(told.items["limit"].value, value);

        let (store_name, id) = (STORE.to_owned(), first.id.clone());
        let end = UnsubscribeConfigurationRequest { store_name, id };
        let done = if is_alpha {
            web.unsubscribe_configuration_alpha1(end.clone()).await
        } else {
            web.unsubscribe_configuration(end.clone()).await
        };
        assert!(done.unwrap().into_inner().ok);
        let last = tokio::time::timeout(PATIENCE, stream.message()).await.unwrap();
        assert!(last.unwrap().is_none());
        let again = web.unsubscribe_configuration(end).await.unwrap().into_inner();
        assert!(!again.ok);
        assert!(again.message.contains(&first.id), "{again:?}");
    }
}

#[tokio::test]
async fn subscriptions_end_with_their_instance_and_with_the_node() {
    let rig = Rig::new().await;
    let mut web = client(&rig, "web/1");
    let mut first = web.subscribe_configuration(subscribe(&[])).await.unwrap().into_inner();
    first.message().await.unwrap().unwrap();
    rig.app.instance_ended(&super::id("web/1"));
    let last = tokio::time::timeout(PATIENCE, first.message()).await.unwrap();
    assert!(last.unwrap().is_none());

    let mut second = web.subscribe_configuration(subscribe(&[])).await.unwrap().into_inner();
    second.message().await.unwrap().unwrap();
    rig.end().await;
    let last = tokio::time::timeout(PATIENCE, second.message()).await.unwrap();
    assert!(last.unwrap().is_none());
}

#[tokio::test]
async fn nobody_ends_the_subscription_of_another_instance() {
    let rig = Rig::new().await;
    rig.node.put("api/1", crate::app::Instance::default());
    let mut web = client(&rig, "web/1");
    let mut stream = web.subscribe_configuration(subscribe(&[])).await.unwrap().into_inner();
    let id = stream.message().await.unwrap().unwrap().id;
    let end = UnsubscribeConfigurationRequest { store_name: STORE.to_owned(), id };
    let done = client(&rig, "api/1").unsubscribe_configuration(end).await.unwrap();
    assert!(!done.into_inner().ok);
    set(&rig, "limit", "1").await;
    let told = tokio::time::timeout(PATIENCE, stream.message()).await.unwrap();
    assert!(told.unwrap().is_some());
}
