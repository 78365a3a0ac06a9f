use std::collections::BTreeMap;

use axum::{
    extract::FromRequestParts,
    http::{Method, Request, Uri},
};
use serde_json::Value;
use shop_kit::{Client, Db, Flotilla, Upstream};

use super::*;
use crate::store;

/// All neighbours in one: knows user 1 and apples for 30, and how transactions ended by their ids.
async fn neighbour(method: Method, uri: Uri, body: String) -> (StatusCode, String) {
    let asked: Value = serde_json::from_str(&body).unwrap_or_default();
    let ended = |id: &str| match id {
        "good" => Some(json!({ "id": id, "status": "committed" })),
        "bad" => Some(json!({ "id": id, "status": "aborted", "reason": "no apples" })),
        "odd" => Some(json!({ "id": id, "status": "mixed" })),
        "slow" => Some(json!({ "id": id, "status": "trying" })),
        _ => None,
    };
    let answer = match (method, uri.path()) {
        (Method::GET, "/users/1") => Some(json!({})),
        (Method::GET, "/item/apple") => Some(json!({ "price": 30 })),
        (Method::POST, "/v1/tx") => {
            assert_eq!(
                (&asked["use"], &asked["input"]["user_id"]),
                (&json!("checkout"), &json!(1))
            );
            match ended(asked["id"].as_str().unwrap()) {
                None => {
                    return (
                        StatusCode::CONFLICT,
                        r#"{"error":{"message":"it is not the same"}}"#.into(),
                    );
                }
                known => known,
            }
        }
        (Method::GET, path) => path.strip_prefix("/v1/tx/").and_then(ended),
        _ => None,
    };
    match answer {
        Some(answer) => (StatusCode::OK, answer.to_string()),
        None => (StatusCode::NOT_FOUND, String::new()),
    }
}

/// Gives `work` a desk.
fn with_desk<F: Future<Output = ()>>(work: impl FnOnce(Arc<Desk>) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/orders.db", folder.path().display());
        let db = Db::open(&url, store::SCHEMA).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let upstream = Upstream::new(&Client::default(), url);
        let flotilla = Flotilla::new(upstream.clone());
        let desk = Desk { db, users: upstream.clone(), items: upstream, flotilla };
        tokio::select! {
            () = work(Arc::new(desk)) => {}
            ended = axum::serve(listener, Router::new().fallback(neighbour)) => {
                panic!("the neighbour ended: {ended:?}")
            }
        }
    });
}

fn new(name: &str) -> NewOrder {
    NewOrder { user_id: 1, items: vec![NewLine { name: name.to_owned(), quantity: 2 }] }
}

async fn step(transaction: &str, branch: &str, op: &str) -> Step {
    let line = format!("gid={transaction};branch={branch};op={op};attempt=1;mode=saga");
    let request = Request::builder().header("flotilla-tx", line).body(()).unwrap();
    Step::from_request_parts(&mut request.into_parts().0, &()).await.unwrap()
}

/// Opens an order for the transaction, which may be done before.
async fn opened(desk: &Arc<Desk>, transaction: &str, name: &str) -> StatusCode {
    let step = step(transaction, "open", "action").await;
    open(State(desk.clone()), step, HeaderMap::new(), Body(new(name))).await.unwrap().status()
}

/// What becomes of the order that a transaction opened.
async fn order(desk: &Arc<Desk>, transaction: &'static str) -> String {
    let order = desk.db.read(move |db| checkouts::order(db, transaction)).await.unwrap();
    let reason = order.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{} {}{reason}", order.status, order.total)
}

#[test]
fn a_checkout_opens_one_order_and_confirms_it() {
    with_desk(async |desk| {
        for _time in 0..2 {
            assert_eq!(opened(&desk, "good", "apple").await, StatusCode::OK);
            assert_eq!(order(&desk, "good").await, "pending 60");
        }
        for _time in 0..2 {
            let step = step("good", "confirm", "action").await;
            let confirmed = confirm(State(desk.clone()), step).await.unwrap();
            assert_eq!(
                (confirmed.status(), &*order(&desk, "good").await),
                (StatusCode::OK, "confirmed 60")
            );
        }
        let orders = desk.db.read(store::list).await.unwrap();
        assert_eq!(orders.len(), 1);
        let id = orders[0].id;
        let refused = desk.db.write(move |db| store::cancel(db, id)).await.unwrap_err();
        assert_eq!(refused.code, "checked_out");
    });
}

#[test]
fn an_order_whose_checkout_is_undone_says_why() {
    with_desk(async |desk| {
        opened(&desk, "bad", "apple").await;
        for _time in 0..2 {
            let step = step("bad", "open", "compensate").await;
            let done = reject(State(desk.clone()), step, HeaderMap::new()).await.unwrap();
            assert_eq!(
                (done.status(), &*order(&desk, "bad").await),
                (StatusCode::OK, "rejected 60: no apples")
            );
        }
        let late = step("bad", "confirm", "action").await;
        let late = confirm(State(desk.clone()), late).await.unwrap();
        assert_eq!(
            (late.status(), &*order(&desk, "bad").await),
            (StatusCode::CONFLICT, "rejected 60: no apples")
        );
    });
}

#[test]
fn what_cannot_be_ordered_refuses_the_checkout_and_leaves_no_order() {
    with_desk(async |desk| {
        assert_eq!(opened(&desk, "bad", "kiwi").await, StatusCode::CONFLICT);
        let undo = step("bad", "open", "compensate").await;
        let undone = reject(State(desk.clone()), undo, HeaderMap::new()).await.unwrap();
        assert_eq!(undone.status(), StatusCode::OK);
        assert_eq!(opened(&desk, "bad", "apple").await, StatusCode::OK, "it comes too late");
        assert_eq!(desk.db.read(store::list).await.unwrap(), []);
    });
}

#[test]
fn the_customer_is_told_how_the_checkout_ended() {
    with_desk(async |desk| {
        opened(&desk, "good", "apple").await;
        let mut told = BTreeMap::new();
        for id in ["good", "bad", "odd", "slow", "another", "no name"] {
            let NewOrder { user_id, items } = new("apple");
            let body = NewCheckout { id: Some(id.to_owned()), user_id, items };
            let answer = checkout(State(desk.clone()), HeaderMap::new(), Body(body)).await;
            let answer = match answer {
                Ok(answer) => answer.status().to_string(),
                Err(error) => format!("{} {}: {}", error.status, error.code, error.message),
            };
            told.insert(id, answer);
        }
        let expected = [
            ("another", "409 Conflict id_reused: it is not the same"),
            ("bad", "409 Conflict rejected: no apples"),
            ("good", "201 Created"),
            (
                "no name",
                "400 Bad Request invalid: `id` has 1 to 64 letters, digits, `.`, `_` or `-`",
            ),
            ("odd", "409 Conflict mixed: somebody has ended this checkout by hand"),
            ("slow", "202 Accepted"),
        ];
        assert_eq!(told, expected.map(|(id, answer)| (id, answer.to_owned())).into());
    });
}
