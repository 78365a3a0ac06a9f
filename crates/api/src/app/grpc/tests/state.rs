//! State.

use super::{client, details, info, refused};
use crate::app::testing::Rig;
use proto::{
    dapr::{
        common::{Etag, StateItem, StateOptions, state_options::StateConcurrency},
        runtime::{
            DeleteBulkStateRequest, DeleteStateRequest, ExecuteStateTransactionRequest,
            GetBulkStateRequest, GetStateRequest, GetStateResponse, SaveStateRequest,
            TransactionalStateOperation,
        },
    },
    prost::Message as _,
    rpc::{BadRequest, ResourceInfo},
};
use tonic::Code;

const STORE: &str = "statestore";

fn item(key: &str, value: &str) -> StateItem {
    let value = value.as_bytes().to_vec().into();
    StateItem { key: key.to_owned(), value, ..StateItem::default() }
}

fn with_etag(item: StateItem, etag: &str) -> StateItem {
    StateItem { etag: Some(Etag { value: etag.to_owned() }), ..item }
}

fn first_write(item: StateItem) -> StateItem {
    let concurrency = StateConcurrency::ConcurrencyFirstWrite.into();
    StateItem { options: Some(StateOptions { concurrency, ..StateOptions::default() }), ..item }
}

fn save(items: Vec<StateItem>) -> SaveStateRequest {
    SaveStateRequest { store_name: STORE.to_owned(), states: items }
}

fn get(key: &str) -> GetStateRequest {
    let (store_name, key) = (STORE.to_owned(), key.to_owned());
    GetStateRequest { store_name, key, ..GetStateRequest::default() }
}

async fn read(rig: &Rig, caller: &str, key: &str) -> GetStateResponse {
    client(rig, caller).get_state(get(key)).await.unwrap().into_inner()
}

fn operation(kind: &str, item: StateItem) -> TransactionalStateOperation {
    TransactionalStateOperation { operation_type: kind.to_owned(), request: Some(item) }
}

fn transaction(operations: Vec<TransactionalStateOperation>) -> ExecuteStateTransactionRequest {
    ExecuteStateTransactionRequest {
        store_name: STORE.to_owned(),
        operations,
        ..ExecuteStateTransactionRequest::default()
    }
}

#[tokio::test]
async fn what_is_saved_is_read_byte_by_byte_and_belongs_to_its_service() {
    let rig = Rig::new().await;
    rig.node.put("api/1", crate::app::Instance::default());
    let bytes = vec![0_u8, 255, 10, 13].into();
    let raw = StateItem { key: "raw".to_owned(), value: bytes, ..StateItem::default() };
    client(&rig, "web/1").save_state(save(vec![raw, item("text", "\"a\"")])).await.unwrap();
    let found = read(&rig, "web/1", "raw").await;
    assert_eq!(found.data[..], [0, 255, 10, 13]);
    assert!(!found.etag.is_empty());
    assert_eq!(read(&rig, "web/1", "text").await.data[..], b"\"a\""[..]);
    assert_eq!(read(&rig, "api/1", "raw").await, GetStateResponse::default());
    assert_eq!(read(&rig, "web/1", "missing").await, GetStateResponse::default());
}

#[tokio::test]
async fn an_etag_that_does_not_match_is_aborted() {
    let rig = Rig::new().await;
    let mut web = client(&rig, "web/1");
    web.save_state(save(vec![item("k", "1")])).await.unwrap();
    let etag = read(&rig, "web/1", "k").await.etag;
    web.save_state(save(vec![with_etag(item("k", "2"), &etag)])).await.unwrap();
    let stale = web.save_state(save(vec![with_etag(item("k", "3"), &etag)])).await;
    refused(stale, Code::Aborted);
    let stale = DeleteStateRequest {
        store_name: STORE.to_owned(),
        key: "k".to_owned(),
        etag: Some(Etag { value: etag }),
        ..DeleteStateRequest::default()
    };
    refused(web.delete_state(stale.clone()).await, Code::Aborted);
    assert_eq!(read(&rig, "web/1", "k").await.data[..], b"2"[..]);
    let etag = Some(Etag { value: read(&rig, "web/1", "k").await.etag });
    web.delete_state(DeleteStateRequest { etag, ..stale }).await.unwrap();
    assert_eq!(read(&rig, "web/1", "k").await, GetStateResponse::default());
}

#[tokio::test]
async fn an_etag_that_is_none_is_the_callers_mistake_and_an_empty_one_is_no_etag() {
    let rig = Rig::new().await;
    let mut web = client(&rig, "web/1");
    let malformed = web.save_state(save(vec![with_etag(item("k", "1"), "never ours")])).await;
    refused(malformed, Code::InvalidArgument);
    web.save_state(save(vec![item("k", "1")])).await.unwrap();
    web.save_state(save(vec![with_etag(item("k", "2"), "")])).await.unwrap();
    assert_eq!(read(&rig, "web/1", "k").await.data[..], b"2"[..]);
}

#[tokio::test]
async fn the_first_write_wins_when_that_is_asked_for() {
    let rig = Rig::new().await;
    let mut web = client(&rig, "web/1");
    web.save_state(save(vec![first_write(item("k", "1"))])).await.unwrap();
    refused(web.save_state(save(vec![first_write(item("k", "2"))])).await, Code::Aborted);
    web.save_state(save(vec![item("k", "3")])).await.unwrap();
    assert_eq!(read(&rig, "web/1", "k").await.data[..], b"3"[..]);
}

#[tokio::test]
async fn many_keys_are_read_in_their_order_and_deleted_together() {
    let rig = Rig::new().await;
    let mut web = client(&rig, "web/1");
    web.save_state(save(vec![item("a", "1"), item("b", "2")])).await.unwrap();
    let many = GetBulkStateRequest {
        store_name: STORE.to_owned(),
        keys: ["b", "missing", "a"].map(str::to_owned).into(),
        parallelism: 1,
        ..GetBulkStateRequest::default()
    };
    let found = web.get_bulk_state(many.clone()).await.unwrap().into_inner().items;
    let found: Vec<_> = found
        .iter()
        .map(|item| (item.key.as_str(), &item.data[..], item.etag.is_empty()))
        .collect();
    assert_eq!(found, [("b", &b"2"[..], false), ("missing", b"", true), ("a", b"1", false)]);
    let none = GetBulkStateRequest { keys: Vec::new(), ..many };
    assert!(web.get_bulk_state(none).await.unwrap().into_inner().items.is_empty());
    let states = vec![item("a", ""), item("b", "")];
    let both = DeleteBulkStateRequest { store_name: STORE.to_owned(), states };
    web.delete_bulk_state(both).await.unwrap();
    assert_eq!(read(&rig, "web/1", "a").await, GetStateResponse::default());
}

#[tokio::test]
async fn a_transaction_is_all_or_nothing() {
    let rig = Rig::new().await;
    let mut web = client(&rig, "web/1");
    web.save_state(save(vec![item("old", "1")])).await.unwrap();
    let steps = vec![operation("upsert", item("new", "2")), operation("delete", item("old", ""))];
    web.execute_state_transaction(transaction(steps)).await.unwrap();
    assert_eq!(read(&rig, "web/1", "new").await.data[..], b"2"[..]);
    assert_eq!(read(&rig, "web/1", "old").await, GetStateResponse::default());

    let steps = vec![
        operation("upsert", item("other", "3")),
        operation("upsert", with_etag(item("new", "3"), "1")),
    ];
    refused(web.execute_state_transaction(transaction(steps)).await, Code::Internal);
    assert_eq!(read(&rig, "web/1", "other").await, GetStateResponse::default());
    assert_eq!(read(&rig, "web/1", "new").await.data[..], b"2"[..]);
}

#[tokio::test]
async fn a_transaction_with_an_unknown_or_an_empty_step_is_the_callers_mistake() {
    let rig = Rig::new().await;
    let mut web = client(&rig, "web/1");
    let steps = vec![operation("increment", item("k", "1"))];
    let status =
        refused(web.execute_state_transaction(transaction(steps)).await, Code::InvalidArgument);
    assert!(status.message().contains("increment"), "{status:?}");
    let empty = TransactionalStateOperation { operation_type: "upsert".to_owned(), request: None };
    refused(web.execute_state_transaction(transaction(vec![empty])).await, Code::InvalidArgument);
}

#[tokio::test]
async fn a_value_that_ends_says_when() {
    let rig = Rig::new().await;
    let mut web = client(&rig, "web/1");
    let metadata = [("ttlInSeconds".to_owned(), "100".to_owned())].into();
    web.save_state(save(vec![StateItem { metadata, ..item("k", "1") }])).await.unwrap();
    let found = read(&rig, "web/1", "k").await;
    assert!(found.metadata["ttlExpireTime"].ends_with('Z'), "{found:?}");
    let metadata = [("ttlInSeconds".to_owned(), "soon".to_owned())].into();
    let odd = web.save_state(save(vec![StateItem { metadata, ..item("k", "1") }])).await;
    refused(odd, Code::InvalidArgument);
}

#[tokio::test]
async fn an_error_says_more_to_programs() {
    let rig = Rig::new().await;
    let mut web = client(&rig, "web/1");
    let unknown = GetStateRequest { store_name: "nowhere".to_owned(), ..get("k") };
    let status = refused(web.get_state(unknown).await, Code::InvalidArgument);
    assert!(status.message().contains("state store nowhere is not found"), "{status:?}");
    let named = info(&status);
    assert_eq!((named.reason.as_str(), named.domain.as_str()), ("DAPR_STATE_NOT_FOUND", "dapr.io"));

    let status =
        refused(web.save_state(save(vec![item("a||b", "1")])).await, Code::InvalidArgument);
    assert_eq!(info(&status).reason, "DAPR_STATE_ILLEGAL_KEY");
    let all = details(&status);
    let of = |name: &str| all.iter().find(|(found, _)| found == name).unwrap().1.clone();
    let resource = ResourceInfo::decode(of("ResourceInfo")).unwrap();
    assert_eq!((resource.resource_type.as_str(), &*resource.resource_name), ("state", STORE));
    let bad = BadRequest::decode(of("BadRequest")).unwrap();
    assert_eq!(bad.field_violations[0].field, "a||b");
}

#[tokio::test]
async fn an_engine_that_is_away_fails_calls_and_comes_back() {
    let rig = Rig::new().await;
    let mut web = client(&rig, "web/1");
    rig.memory.set_down(true);
    let status = web.save_state(save(vec![item("k", "1")])).await.unwrap_err();
    assert!(matches!(status.code(), Code::Internal | Code::Unavailable), "{status:?}");
    rig.memory.set_down(false);
    let mut tries = 0;
    while let Err(status) = web.save_state(save(vec![item("k", "1")])).await {
        tries += 1;
        assert!(tries < 1_000, "{status:?}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
