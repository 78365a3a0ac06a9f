//! Transactions, as the operator sees them: through the client.

use super::*;
use crate::{
    TransactionQuestion,
    app::tests::transactions::samples,
    client,
    wire::transactions::{Abort, Resolve, Submit},
};
use serde_json::json;

#[tokio::test]
async fn the_client_submits_and_steers_transactions() {
    let Setup { fake, client, .. } = &setup().await;
    samples::fill(&fake.transactions.1).await;
    let submit = Submit {
        id: Some("c-1".to_owned()),
        name: Some("checkout".to_owned()),
        input: json!({ "order": 7 }),
        labels: [("a".to_owned(), "b".to_owned())].into(),
        ..Submit::default()
    };
    // Nobody is there.
    let begun = client.submit_transaction(&submit, Some(Duration::from_millis(10))).await.unwrap();
    assert_eq!((begun.id.as_str(), begun.status.as_str()), ("c-1", "trying"));
    assert_eq!((begun.name.as_deref(), begun.caller), (Some("checkout"), None));
    let question = TransactionQuestion {
        status: Some("trying".to_owned()),
        name: Some("checkout".to_owned()),
        label: Some(("a".to_owned(), "b".to_owned())),
        since: Some("1h".to_owned()),
        limit: Some(5),
        ..TransactionQuestion::default()
    };
    let found = client.transactions(&question).await.unwrap();
    assert_eq!((found.transactions.len(), found.next), (1, None));
    assert_eq!(found.transactions[0].id, "c-1");
    assert_eq!(client.retry_transaction("c-1").await.unwrap().status, "trying");

    let mut events = client.transaction_stream("c-1", None).await.unwrap();
    let first = within(events.next()).await.unwrap().unwrap();
    assert_eq!((first.id, first.data.seq), (1, 1));
    let why = Abort { reason: Some("a test".to_owned()) };
    let given_up = client.abort_transaction("c-1", &why).await.unwrap();
    assert_eq!(given_up.reason.as_deref(), Some("a test"));
    let ended = async { while events.next().await.unwrap().is_some() {} };
    within(ended).await;
    assert_eq!(client.transaction("c-1").await.unwrap().status, "aborted");
    let told = client.transaction_events("c-1").await.unwrap().events;
    assert_eq!(told.first().map(|event| event.seq), Some(1));

    let committed = client.commit_transaction("open", Some(Duration::from_secs(60))).await.unwrap();
    assert_eq!(committed.status, "committed");
    let resolve = Resolve { outcome: Some("mixed".to_owned()), ..Resolve::default() };
    assert_eq!(client.resolve_transaction("stuck", &resolve).await.unwrap().status, "mixed");
}

/// Status and code.
fn refused(error: &client::Error) -> (u16, String) {
    match error {
        client::Error::Api { status, body } => (*status, body.code.clone()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_in_words() {
    let Setup { fake, client, .. } = &setup().await;
    samples::fill(&fake.transactions.1).await;
    let missing = client.transaction("none").await.unwrap_err();
    assert_eq!(refused(&missing), (404, "not_found".to_owned()));
    let unknown = Submit { name: Some("checkoutt".to_owned()), ..Submit::default() };
    let unknown = client.submit_transaction(&unknown, None).await.unwrap_err();
    assert_eq!(refused(&unknown), (404, "unknown_definition".to_owned()));
    let steps = vec![json!({ "call": "user/x" })];
    let typo = Submit { steps, ..Submit::default() };
    let typo = client.submit_transaction(&typo, None).await.unwrap_err();
    assert_eq!(typo.detail().unwrap().help.as_deref(), Some("did you mean `users`?"));
    let nothing = Resolve { branch: Some("01".to_owned()), ..Resolve::default() };
    let open = client.resolve_transaction("given-up", &nothing).await.unwrap_err();
    assert_eq!(refused(&open).0, 404);
}
