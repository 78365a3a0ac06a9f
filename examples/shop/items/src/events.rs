//! Orders that were placed, and what we say of them: `stock.taken` or `stock.missing`.
//!
//! A message is done when it is answered with 2xx, and only then: after the stock was taken *and*
//! the answer to it published. If anything fails in between, the message comes again, finds its id
//! among those that are done, and the answer is published again.

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use serde::Serialize;
use shop_kit::{Body, Db, Event, Flotilla, Message, Result, Trace};

use crate::store::{self, Order};

#[derive(Clone, Debug)]
struct Stock {
    db: Db,
    flotilla: Flotilla,
}

pub(crate) fn routes(db: Db, flotilla: Flotilla) -> Router {
    Router::new()
        .route("/events/order-created", post(order_created))
        .with_state(Stock { db, flotilla })
}

#[derive(Serialize)]
struct Answer {
    order: i64,
    /// Why its stock was not taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

async fn order_created(
    State(stock): State<Stock>,
    headers: HeaderMap,
    Body(Event { id, data: order }): Body<Event<Order>>,
) -> Result<StatusCode> {
    let trace = Trace::of(&headers);
    let (number, event) = (order.order, id.clone());
    let missing = stock.db.write(move |db| store::take_order(db, &event, &order)).await?;
    let topic = if missing.is_none() { "stock.taken" } else { "stock.missing" };
    let answer = Answer { order: number, reason: missing };
    let message = Message { topic, key: &number.to_string(), id: &id, data: &answer };
    stock.flotilla.publish(message, &trace).await?;
    Ok(StatusCode::NO_CONTENT)
}
