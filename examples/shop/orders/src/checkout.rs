//! Checking out: an order that is paid for and taken from the stock, or nothing of that, and the
//! customer waits for which.
//!
//! Three databases change, so it is a transaction, which `flotilla.yaml` has as `checkout`:
//!
//! ```text
//!        ┌─► users: pay  ──┐
//! open ──┤                 ├─► confirm ─► message order.confirmed
//!        └─► items: take ──┘
//! ```
//!
//! Flotilla calls the steps. When one says no, it has those that were done undone: the money is
//! given back, the stock too, and the order is `rejected`. Whoever dies in between, it goes on
//! until one or the other is complete.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
    routing::post,
};
use serde::Deserialize;
use serde_json::json;
use shop_kit::{Body, Error, Result, Status, Step, Trace, is_name};

use crate::{
    desk::Desk,
    store::{NewLine, NewOrder, checkouts},
};

pub(crate) fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route("/checkout", post(checkout))
        .route("/tx/open", post(open))
        .route("/tx/reject", post(reject))
        .route("/tx/confirm", post(confirm))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewCheckout {
    /// With the same one again, it is the same checkout: who got no answer simply asks again.
    id: Option<String>,
    user_id: i64,
    items: Vec<NewLine>,
}

/// 201 with the order, 409 with the reason why not, and 202 when neither is known in time: then ask
/// again with the same id.
async fn checkout(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    Body(NewCheckout { id, user_id, items }): Body<NewCheckout>,
) -> Result<Response> {
    let new = NewOrder { user_id, items };
    new.check()?;
    if id.as_ref().is_some_and(|id| !is_name(id)) {
        return Err(Error::invalid("`id` has 1 to 64 letters, digits, `.`, `_` or `-`"));
    }
    let trace = Trace::of(&headers);
    let transaction = desk.flotilla.transact("checkout", id.as_deref(), &new, &trace).await?;
    match transaction.status {
        Status::Committed => {
            let order = desk.db.read(move |db| checkouts::order(db, &transaction.id)).await?;
            let location = format!("/orders/{}", order.id);
            Ok((StatusCode::CREATED, [(LOCATION, location)], Json(order)).into_response())
        }
        Status::Aborted => Err(Error::conflict("rejected", transaction.reason.unwrap_or_default())),
        Status::Mixed => Err(Error::conflict("mixed", "somebody has ended this checkout by hand")),
        Status::Unfinished => {
            let body = json!({ "id": transaction.id, "status": "pending" });
            Ok((StatusCode::ACCEPTED, Json(body)).into_response())
        }
    }
}

async fn open(
    State(desk): State<Arc<Desk>>,
    step: Step,
    headers: HeaderMap,
    Body(new): Body<NewOrder>,
) -> Result<Response> {
    let prices = desk.quote(&new, &Trace::of(&headers)).await;
    let transaction = step.transaction().to_owned();
    // A step that comes again is answered as it was the first time, also when the item is gone
    // by then: so a missing price counts only behind the barrier.
    desk.db.step(step, move |db| checkouts::open(db, &transaction, &new, &prices?)).await
}

/// Undoes `open`. Only the transaction knows who said no, and why.
async fn reject(State(desk): State<Arc<Desk>>, step: Step, headers: HeaderMap) -> Result<Response> {
    let transaction = step.transaction().to_owned();
    let known = desk.flotilla.transaction(&transaction, &Trace::of(&headers)).await?;
    let reason = known.and_then(|known| known.reason);
    desk.db.step(step, move |db| checkouts::reject(db, &transaction, reason.as_deref())).await
}

async fn confirm(State(desk): State<Arc<Desk>>, step: Step) -> Result<Response> {
    let transaction = step.transaction().to_owned();
    desk.db.step(step, move |db| checkouts::confirm(db, &transaction)).await
}

#[cfg(test)]
mod tests;
