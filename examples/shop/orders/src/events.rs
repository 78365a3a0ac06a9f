//! What other services tell us: that the stock of an order was taken, or is missing.
//!
//! A message is done when it is answered with 2xx. All of them may come twice.

use std::sync::Arc;

use axum::{Router, extract::State, http::StatusCode, routing::post};
use serde::{Deserialize, de::IgnoredAny};
use shop_kit::{Body, Event, Result, log};

use crate::{
    desk::Desk,
    store::{self, Status},
};

pub(crate) fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route("/events/stock-taken", post(stock_taken))
        .route("/events/stock-missing", post(stock_missing))
        .route("/events/report-due", post(report_due))
}

#[derive(Deserialize)]
struct Taken {
    order: i64,
}

#[derive(Deserialize)]
struct Missing {
    order: i64,
    reason: String,
}

async fn stock_taken(
    State(shop): State<Arc<Desk>>,
    Body(Event { data, .. }): Body<Event<Taken>>,
) -> Result<StatusCode> {
    settle(&shop, data.order, Status::Confirmed, None).await
}

async fn stock_missing(
    State(shop): State<Arc<Desk>>,
    Body(Event { data, .. }): Body<Event<Missing>>,
) -> Result<StatusCode> {
    settle(&shop, data.order, Status::Rejected, Some(data.reason)).await
}

async fn settle(
    shop: &Desk,
    id: i64,
    status: Status,
    reason: Option<String>,
) -> Result<StatusCode> {
    if shop.db.write(move |db| store::settle(db, id, status, reason.as_deref())).await? {
        log(format_args!("order {id} is {status}"));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The nightly report, for which `schedules` in `flotilla.yaml` publishes a message without data.
async fn report_due(
    State(shop): State<Arc<Desk>>,
    Body(Event { id, .. }): Body<Event<Option<IgnoredAny>>>,
) -> Result<StatusCode> {
    for (status, orders, total) in shop.db.read(store::report).await? {
        log(format_args!("report {id}: {orders} {status}, {total} in all"));
    }
    Ok(StatusCode::NO_CONTENT)
}
