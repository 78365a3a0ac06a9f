//! Locks, secrets, metadata, shutdown.

use super::{client, id, refused};
use crate::app::{Channel, HealthCheck, Instance, Protocol, testing::Rig};
use coordination::Secret;
use proto::dapr::runtime::{
    GetBulkSecretRequest, GetMetadataRequest, GetSecretRequest, SetMetadataRequest,
    ShutdownRequest, TryLockRequest, UnlockRequest, unlock_response,
};
use std::time::Duration;
use tonic::Code;

fn lock(owner: &str, expiry_in_seconds: i32) -> TryLockRequest {
    TryLockRequest {
        store_name: "lockstore".to_owned(),
        resource_id: "printer".to_owned(),
        lock_owner: owner.to_owned(),
        expiry_in_seconds,
    }
}

fn unlock(owner: &str) -> UnlockRequest {
    let TryLockRequest { store_name, resource_id, lock_owner, .. } = lock(owner, 1);
    UnlockRequest { store_name, resource_id, lock_owner }
}

#[tokio::test]
async fn a_lock_has_one_owner_at_a_time() {
    use unlock_response::Status;
    let rig = Rig::new().await;
    let mut web = client(&rig, "web/1");
    assert!(web.try_lock_alpha1(lock("ann", 60)).await.unwrap().into_inner().success);
    assert!(!web.try_lock_alpha1(lock("bob", 60)).await.unwrap().into_inner().success);
    for (owner, expected) in [
        ("bob", Status::LockBelongsToOthers),
        ("ann", Status::Success),
        ("ann", Status::LockDoesNotExist),
    ] {
        let done = web.unlock_alpha1(unlock(owner)).await.unwrap().into_inner();
        assert_eq!(done.status(), expected, "{owner}");
    }
    assert!(web.try_lock_alpha1(lock("bob", 60)).await.unwrap().into_inner().success);
}

#[tokio::test]
async fn a_lock_without_owner_resource_time_or_store_is_the_callers_mistake() {
    let rig = Rig::new().await;
    let mut web = client(&rig, "web/1");
    let good = lock("ann", 60);
    for bad in [
        lock("", 60),
        lock("ann", 0),
        lock("ann", -1),
        TryLockRequest { resource_id: String::new(), ..good.clone() },
        TryLockRequest { store_name: "nowhere".to_owned(), ..good },
    ] {
        refused(web.try_lock_alpha1(bad).await, Code::InvalidArgument);
    }
    refused(web.unlock_alpha1(unlock("")).await, Code::InvalidArgument);
}

#[tokio::test]
async fn secrets_are_read_one_by_one_and_all_together() {
    let rig = Rig::new().await;
    let secrets = rig.coordination.secrets();
    secrets.set("secretstore", "db", Secret::new("hunter2")).await.unwrap();
    let mut web = client(&rig, "web/1");
    let get = |key: &str| GetSecretRequest {
        store_name: "secretstore".to_owned(),
        key: key.to_owned(),
        ..GetSecretRequest::default()
    };
    let one = web.get_secret(get("db")).await.unwrap().into_inner();
    assert_eq!(one.data["db"], "hunter2");
    refused(web.get_secret(get("none")).await, Code::Internal);
    let unknown = GetSecretRequest { store_name: "nowhere".to_owned(), ..get("db") };
    refused(web.get_secret(unknown).await, Code::InvalidArgument);
    let store_name = "secretstore".to_owned();
    let all = GetBulkSecretRequest { store_name, ..GetBulkSecretRequest::default() };
    let all = web.get_bulk_secret(all).await.unwrap().into_inner();
    assert_eq!(all.data["db"].secrets["db"], "hunter2");
}

#[tokio::test]
async fn metadata_tells_of_the_app_the_stores_and_what_the_app_added() {
    let rig = Rig::new().await;
    let health = HealthCheck {
        path: "/healthz".to_owned(),
        interval: Duration::from_secs(5),
        timeout: Duration::from_millis(500),
        threshold: 3,
    };
    let channel = Channel {
        address: ([127, 0, 0, 1], 8_000).into(),
        protocol: Protocol::Http,
        is_open: true,
        health: Some(health),
        concurrency_max: 7,
    };
    rig.node.put("web/1", Instance { app: Some(channel), ..Instance::default() });
    let mut web = client(&rig, "web/1");
    let entry = SetMetadataRequest { key: "team".to_owned(), value: "red".to_owned() };
    web.set_metadata(entry).await.unwrap();
    let told = web.get_metadata(GetMetadataRequest {}).await.unwrap().into_inner();
    assert_eq!(told.id, "web");
    assert!(told.runtime_version.starts_with("1.18.0"), "{told:?}");
    assert_eq!(told.extended_metadata["team"], "red");
    let names: Vec<_> = told.registered_components.iter().map(|it| it.name.as_str()).collect();
    for store in ["statestore", "lockstore", "configstore", "secretstore"] {
        assert!(names.contains(&store), "{names:?}");
    }
    let app = told.app_connection_properties.unwrap();
    assert_eq!((app.port, app.protocol.as_str(), app.max_concurrency), (8_000, "http", 7));
    let health = app.health.unwrap();
    assert_eq!(health.health_check_path, "/healthz");
    assert_eq!((&*health.health_probe_interval, &*health.health_probe_timeout), ("5s", "500ms"));

    let nameless = SetMetadataRequest { key: String::new(), value: "red".to_owned() };
    refused(web.set_metadata(nameless).await, Code::InvalidArgument);
}

#[tokio::test]
async fn an_instance_can_ask_for_its_own_end() {
    let rig = Rig::new().await;
    client(&rig, "web/1").shutdown(ShutdownRequest {}).await.unwrap();
    assert_eq!(*rig.node.stopped.lock().unwrap(), [id("web/1")]);
}
