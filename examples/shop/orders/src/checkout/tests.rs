use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Uri},
    response::IntoResponse,
};

use super::*;
use crate::upstream::Client;

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

type Calls = Arc<Mutex<Vec<String>>>;

/// Both neighbours in one: knows user 1, has apples for 30, no pears, and breaks over plums.
async fn neighbour(State(calls): State<Calls>, headers: HeaderMap, uri: Uri) -> impl IntoResponse {
    assert_eq!(headers["traceparent"], TRACE, "every call belongs to the caller's trace");
    calls.lock().unwrap().push(uri.path().to_owned());
    match uri.path() {
        "/users/1" | "/item/pear/give" | "/item/plum/give" => (StatusCode::OK, "{}"),
        "/item/apple/take" | "/item/apple/give" => (StatusCode::OK, r#"{"price": 30}"#),
        "/item/pear/take" => (StatusCode::CONFLICT, r#"{"error": {"message": "0 left"}}"#),
        "/item/plum/take" => (StatusCode::INTERNAL_SERVER_ERROR, ""),
        _ => (StatusCode::NOT_FOUND, ""),
    }
}

/// Orders one of each and says what came of it, what was called, and how many orders are stored.
fn check(user_id: i64, names: &[&str], expected: &str, expected_calls: &str, stored: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/orders.db", folder.path().display());
        let db = Db::open(&url, store::SCHEMA).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream =
            Upstream::new(&Client::new(), format!("http://{}", listener.local_addr().unwrap()));
        let calls = Calls::default();
        let app = Router::new().fallback(neighbour).with_state(calls.clone());
        let checkout = Checkout { db, users: upstream.clone(), items: upstream };
        let line = |name: &&str| store::NewLine { name: (*name).to_owned(), quantity: 1 };
        let new = NewOrder { user_id, items: names.iter().map(line).collect() };

        let headers = HeaderMap::from_iter([(
            HeaderName::from_static("traceparent"),
            HeaderValue::from_static(TRACE),
        )]);
        let trace = Trace::of(&headers);
        let created = tokio::select! {
            created = checkout.create(new, &trace) => created,
            ended = axum::serve(listener, app) => panic!("the neighbour ended: {ended:?}"),
        };

        let outcome = match created {
            Ok(order) => format!("{} {}", order.status, order.total),
            Err(error) => format!("{} {}", error.status.as_u16(), error.code),
        };
        assert_eq!(outcome, expected);
        assert_eq!(calls.lock().unwrap().join(" "), expected_calls);
        assert_eq!(checkout.db.read(store::list).await.unwrap().len(), stored);
    });
}

#[test]
fn an_order_takes_its_stock_and_is_placed() {
    check(1, &["apple"], "placed 30", "/users/1 /item/apple/take", 1);
}

#[test]
fn an_unknown_user_takes_nothing() {
    check(2, &["apple"], "422 unknown_user", "/users/2", 0);
}

#[test]
fn when_one_item_is_refused_all_are_given_back() {
    check(
        1,
        &["apple", "pear"],
        "409 not_available",
        "/users/1 /item/apple/take /item/pear/take /item/apple/give /item/pear/give",
        0,
    );
}

#[test]
fn when_an_answer_is_lost_that_item_is_given_back_too() {
    check(
        1,
        &["plum", "apple"],
        "502 upstream_failed",
        "/users/1 /item/plum/take /item/plum/give /item/apple/give",
        0,
    );
}
