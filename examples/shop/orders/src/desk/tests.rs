use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Uri},
    response::IntoResponse,
};

use shop_kit::Client;

use super::*;

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

type Calls = Arc<Mutex<Vec<String>>>;

/// Both neighbours in one: knows user 1, apples for 30 and pears for 50, breaks over plums.
async fn neighbour(State(calls): State<Calls>, headers: HeaderMap, uri: Uri) -> impl IntoResponse {
    assert_eq!(headers["traceparent"], TRACE, "every call belongs to the caller's trace");
    calls.lock().unwrap().push(uri.path().to_owned());
    match uri.path() {
        "/users/1" | "/item/apple/give" => (StatusCode::OK, "{}"),
        "/item/apple" => (StatusCode::OK, r#"{"price": 30}"#),
        "/item/pear" => (StatusCode::OK, r#"{"price": 50}"#),
        "/item/plum" | "/item/pear/give" => (StatusCode::INTERNAL_SERVER_ERROR, ""),
        _ => (StatusCode::NOT_FOUND, ""),
    }
}

/// Gives `work` a desk, and returns what it says and what was called.
fn with_neighbour<F: Future<Output = String>>(work: impl FnOnce(Desk, Trace) -> F) -> [String; 2] {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/orders.db", folder.path().display());
        let db = Db::open(&url, store::SCHEMA).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let upstream = Upstream::new(&Client::default(), url);
        let calls = Calls::default();
        let app = Router::new().fallback(neighbour).with_state(calls.clone());
        let flotilla = Flotilla::new(upstream.clone());
        let desk = Desk { db, users: upstream.clone(), items: upstream, flotilla };
        let headers = HeaderMap::from_iter([(
            HeaderName::from_static("traceparent"),
            HeaderValue::from_static(TRACE),
        )]);
        let said = tokio::select! {
            said = work(desk, Trace::of(&headers)) => said,
            ended = axum::serve(listener, app) => panic!("the neighbour ended: {ended:?}"),
        };
        [said, calls.lock().unwrap().join(" ")]
    })
}

fn said(outcome: Result<Order>) -> String {
    match outcome {
        Ok(order) => format!("{} {}", order.status, order.total),
        Err(error) => format!("{} {}", error.status.as_u16(), error.code),
    }
}

fn new(user_id: i64, names: &[&str]) -> NewOrder {
    let line = |name: &&str| store::NewLine { name: (*name).to_owned(), quantity: 1 };
    NewOrder { user_id, items: names.iter().map(line).collect() }
}

/// Orders one of each and says what came of it, what was called, and how many orders are stored.
fn check(user_id: i64, names: &[&str], expected: &str, expected_calls: &str, stored: usize) {
    let done = with_neighbour(async |desk, trace| {
        let outcome = said(desk.create(new(user_id, names), &trace).await);
        assert_eq!(desk.db.read(store::list).await.unwrap().len(), stored);
        outcome
    });
    assert_eq!(done, [expected, expected_calls]);
}

#[test]
fn an_order_is_pending_with_the_prices_of_the_moment() {
    check(1, &["apple", "pear"], "pending 80", "/users/1 /item/apple /item/pear", 1);
}

#[test]
fn what_cannot_be_ordered_leaves_no_order() {
    check(2, &["apple"], "422 unknown_user", "/users/2", 0);
    check(1, &["apple", "kiwi"], "409 not_available", "/users/1 /item/apple /item/kiwi", 0);
    check(1, &["plum", "apple"], "502 upstream_failed", "/users/1 /item/plum", 0);
}

#[test]
fn a_cancelled_order_gives_back_each_item_also_when_one_cannot_be() {
    let [said, calls] = with_neighbour(async |desk, trace| {
        let new = new(1, &["pear", "kiwi", "apple"]);
        let prices = [50, 20, 30];
        let order = desk.db.write(move |db| store::create(db, &new, &prices)).await.unwrap();
        let outcome = said(desk.cancel(order.id, &trace).await);
        let order = desk.db.read(move |db| store::get(db, order.id)).await.unwrap();
        format!("{outcome}, {}", order.status)
    });
    assert_eq!(said, "502 upstream_failed, cancelled");
    assert_eq!(calls, "/item/pear/give /item/kiwi/give /item/apple/give");
}
