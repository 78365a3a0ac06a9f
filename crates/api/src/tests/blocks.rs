//! State, locks, configuration and secrets, as the operator sees them: through the client.

use super::*;
use crate::{
    StateQuestion, client,
    wire::{config, locks, secrets, state},
};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

const STORE: &str = "statestore";

fn json(text: &str) -> state::Put {
    let value = Some(RawValue::from_string(text.to_owned()).unwrap());
    state::Put { value, ..state::Put::default() }
}

pub(super) fn refused<T: std::fmt::Debug>(
    outcome: Result<T, client::Error>,
) -> (u16, wire::ErrorDetail) {
    match outcome.unwrap_err() {
        client::Error::Api { status, body } => (status, *body),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn state_is_read_written_and_deleted() {
    let Setup { client, .. } = &setup().await;
    let service = Some("users");
    let written = client.put_state(STORE, "a/b", service, &json("{ \"x\": 1 }")).await.unwrap();
    let item = client.state_item(STORE, "users||a/b", None).await.unwrap();
    assert_eq!(item.key, "users||a/b");
    assert_eq!(item.value.unwrap().get(), "{ \"x\": 1 }");
    assert_eq!(item.etag, written.etag);
    let item = client.state_item(STORE, "a/b", service).await.unwrap();
    assert_eq!(item.key, "a/b");
    for (put, is_text) in [
        (state::Put { text: Some("plain text".into()), ..state::Put::default() }, true),
        (state::Put { base64: Some("/wA=".into()), ..state::Put::default() }, false),
    ] {
        client.put_state(STORE, "c", None, &put).await.unwrap();
        let item = client.state_item(STORE, "c", None).await.unwrap();
        assert_eq!((item.text, item.base64), (put.text, put.base64));
        assert!(item.value.is_none(), "{is_text}");
    }
    // Without a service keys are whole, with one they are its own.
    let all = client.state_items(STORE, &StateQuestion::default()).await.unwrap();
    let keys =
        |items: &state::Items| items.items.iter().map(|it| it.key.clone()).collect::<Vec<_>>();
    assert_eq!(keys(&all), ["c", "users||a/b"]);
    let own = StateQuestion { service, ..StateQuestion::default() };
    assert_eq!(keys(&client.state_items(STORE, &own).await.unwrap()), ["a/b"]);
    let first = StateQuestion { limit: Some(1), ..StateQuestion::default() };
    let page = client.state_items(STORE, &first).await.unwrap();
    assert_eq!((keys(&page), page.next.as_deref()), (vec!["c".to_owned()], Some("c")));
    let rest = StateQuestion { after: page.next.as_deref(), ..first };
    let page = client.state_items(STORE, &rest).await.unwrap();
    assert_eq!((keys(&page), page.next), (vec!["users||a/b".to_owned()], None));

    assert!(client.delete_state(STORE, "c", None).await.unwrap().deleted);
    assert!(!client.delete_state(STORE, "c", None).await.unwrap().deleted);
    let (status, body) = refused(client.state_item(STORE, "c", None).await);
    assert_eq!((status, body.code.as_str()), (404, "not_found"));
    let (status, body) = refused(client.state_item("statstore", "c", None).await);
    assert_eq!((status, body.code.as_str()), (404, "unknown_store"));
    assert_eq!(body.help.as_deref(), Some("did you mean `statestore`?"));
}

#[tokio::test]
async fn a_conflict_names_the_key_and_what_it_was() {
    let Setup { client, .. } = &setup().await;
    let etag = client.put_state(STORE, "a", Some("users"), &json("1")).await.unwrap().etag;
    let expect = |etag: &str| Some(state::Expect { etag: Some(etag.to_owned()), missing: false });
    let put = state::Put { expect: expect("999999"), ..json("2") };
    let (status, body) = refused(client.put_state(STORE, "a", Some("users"), &put).await);
    assert_eq!((status, body.code.as_str()), (409, "conflict"));
    let expected = state::Conflict {
        key: "a".into(),
        expected: Some("999999".into()),
        found: Some(etag.clone()),
    };
    assert_eq!(body.conflict, Some(expected));
    let put = state::PutKey { key: "b".into(), put: json("3") };
    let delete = state::Delete { key: "a".into(), expect: expect("999999"), fence: None };
    let operations = vec![state::Operation::Put(put), state::Operation::Delete(delete)];
    let transaction = state::Transaction { operations, ..state::Transaction::default() };
    let (status, body) = refused(client.transact_state(STORE, Some("users"), &transaction).await);
    assert_eq!((status, body.conflict.unwrap().key.as_str()), (409, "a"));
    assert_eq!(refused(client.state_item(STORE, "b", Some("users")).await).0, 404);
    let good = state::Transaction {
        operations: vec![
            state::Operation::Put(state::PutKey { key: "b".into(), put: json("3") }),
            state::Operation::Delete(state::Delete {
                key: "a".into(),
                expect: expect(&etag),
                fence: None,
            }),
        ],
        ..state::Transaction::default()
    };
    let done = client.transact_state(STORE, Some("users"), &good).await.unwrap();
    assert!(done.etags[0].is_some() && done.etags[1].is_none(), "{done:?}");
}

#[tokio::test]
async fn changes_of_state_come_as_a_stream() {
    let Setup { client, .. } = &setup().await;
    let mut stream = client.state_stream(STORE, Some("users"), Some("cart/")).await.unwrap();
    client.put_state(STORE, "other", Some("users"), &json("1")).await.unwrap();
    client.put_state(STORE, "cart/1", Some("users"), &json("2")).await.unwrap();
    client.delete_state(STORE, "cart/1", Some("users")).await.unwrap();
    let first = within(stream.next()).await.unwrap().unwrap();
    assert_eq!((first.id, first.data.put[0].key.as_str()), (first.data.revision, "cart/1"));
    let second = within(stream.next()).await.unwrap().unwrap();
    assert_eq!(second.data.deleted, ["cart/1"]);
    assert!(second.id > first.id);
}

#[tokio::test]
async fn a_lock_is_taken_renewed_shown_and_taken_away() {
    let Setup { client, .. } = &setup().await;
    let ask = |owner: &str| locks::Acquire {
        owner: owner.into(),
        ttl_ms: 60_000,
        value: "here".into(),
        ..locks::Acquire::default()
    };
    let got = client.acquire_lock("lockstore", "night", &ask("ann")).await.unwrap();
    let token = got.token.unwrap();
    assert!(got.acquired && got.ttl_ms == Some(60_000));
    let other = client.acquire_lock("lockstore", "night", &ask("bob")).await.unwrap();
    assert!(!other.acquired);
    assert_eq!(other.holder.unwrap().owner, "ann");
    let renew = |token| locks::Renew { owner: "ann".into(), token };
    assert_eq!(
        client.renew_lock("lockstore", "night", &renew(token)).await.unwrap().ttl_ms,
        60_000
    );
    let (status, body) = refused(client.renew_lock("lockstore", "night", &renew(token + 1)).await);
    assert_eq!((status, body.code.as_str()), (409, "not_held"));
    let held = client.locks("lockstore", None).await.unwrap().locks;
    assert_eq!((held.len(), held[0].owner.as_str(), held[0].value.as_str()), (1, "ann", "here"));
    let mut stream = client.lock_stream("lockstore", "night").await.unwrap();
    let now = within(stream.next()).await.unwrap().unwrap().data;
    assert_eq!(now.holder.unwrap().token, token);
    let release = |owner: &str| locks::Release { owner: owner.into(), token: None };
    let wrong = client.release_lock("lockstore", "night", &release("bob")).await.unwrap();
    assert_eq!(wrong.outcome, locks::ReleaseOutcome::Other);
    // The operator need not know who holds it.
    let away = client.release_lock("lockstore", "night", &release("")).await.unwrap();
    assert_eq!(away.outcome, locks::ReleaseOutcome::Released);
    assert_eq!(within(stream.next()).await.unwrap().unwrap().data.holder, None);
    let again = client.release_lock("lockstore", "night", &release("")).await.unwrap();
    assert_eq!(again.outcome, locks::ReleaseOutcome::Missing);
    assert_eq!(client.lock("lockstore", "night").await.unwrap().holder, None);
}

#[tokio::test]
async fn configuration_has_versions_to_go_back_to() {
    let Setup { client, .. } = &setup().await;
    let set = |value: &str, expected| config::Set {
        value: value.into(),
        metadata: BTreeMap::new(),
        expected,
    };
    let store = "configstore";
    let key = "check/out limit";
    assert_eq!(client.set_config(store, key, &set("1", Some(0))).await.unwrap().version, Some(1));
    assert_eq!(client.set_config(store, key, &set("2", Some(1))).await.unwrap().version, Some(2));
    let (status, body) = refused(client.set_config(store, key, &set("3", Some(1))).await);
    assert_eq!((status, body.conflict.unwrap().found.as_deref()), (409, Some("2")));
    let items = client.config(store, &[key.to_owned()]).await.unwrap().items;
    assert_eq!((items[key].value.as_str(), items[key].by.as_str()), ("2", "admin"));
    let diff = client.config_diff(store, key, 1, None).await.unwrap().diff;
    assert!(diff.contains("-1") && diff.contains("+2"), "{diff}");
    let mut stream = client.config_stream(store, &["check/*".to_owned()]).await.unwrap();
    let first = within(stream.next()).await.unwrap().unwrap();
    assert_eq!(first.data["items"][key]["value"], "2");
    assert_eq!(client.rollback_config(store, key, 1).await.unwrap().version, Some(3));
    let second = within(stream.next()).await.unwrap().unwrap();
    assert_eq!(second.data["items"][key]["value"], "1");
    assert_eq!(client.delete_config(store, key).await.unwrap().version, Some(4));
    assert_eq!(client.delete_config(store, key).await.unwrap().version, None);
    let versions = client.config_history(store, key).await.unwrap().versions;
    let shown: Vec<_> =
        versions.iter().map(|it| (it.version, it.value.as_deref(), it.restores)).collect();
    assert_eq!(
        shown,
        [(4, None, None), (3, Some("1"), Some(1)), (2, Some("2"), None), (1, Some("1"), None)]
    );
    assert_eq!(refused(client.rollback_config(store, key, 99).await).0, 404);
}

#[tokio::test]
async fn a_secret_is_shown_only_when_it_is_to_be_revealed() {
    let Setup { client, .. } = &setup().await;
    let store = "secretstore";
    let set = secrets::Set { value: "hunter22".into() };
    assert_eq!(format!("{set:?}"), "Set");
    client.set_secret(store, "db/pass", &set).await.unwrap();
    let names = client.secrets(store).await.unwrap().secrets;
    assert_eq!(
        (names.len(), names[0].name.as_str(), names[0].source.as_str()),
        (1, "db/pass", "kv")
    );
    let hidden = client.secret(store, "db/pass", false).await.unwrap();
    assert_eq!((hidden.revealed, hidden.values["db/pass"].as_str()), (false, "***"));
    let shown = client.secret(store, "db/pass", true).await.unwrap();
    assert_eq!((shown.revealed, shown.values["db/pass"].as_str()), (true, "hunter22"));
    assert!(!format!("{shown:?}").contains("hunter22"));
    assert_eq!(client.rotate_secrets().await.unwrap().secrets, 1);
    let shown = client.secret(store, "db/pass", true).await.unwrap();
    assert_eq!(shown.values["db/pass"], "hunter22");
    assert!(client.delete_secret(store, "db/pass").await.unwrap().deleted);
    assert_eq!(refused(client.secret(store, "db/pass", true).await).0, 404);
}

#[tokio::test]
async fn stores_and_the_engine_below_are_shown() {
    let Setup { client, .. } = &setup().await;
    let stores = client.stores().await.unwrap().stores;
    let names: Vec<&str> = stores.iter().map(|store| store.name.as_str()).collect();
    assert_eq!(names, ["statestore", "lockstore", "configstore", "secretstore"]);
    let kv = client.kv().await.unwrap();
    assert!(kv.up && kv.trouble.is_none(), "{kv:?}");
}
