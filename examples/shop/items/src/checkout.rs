//! The stock of a checkout: a step of the transaction `checkout`, and what undoes it.
//!
//! All of an order is taken or nothing, because what a refused step wrote is rolled back.

use axum::{Router, extract::State, response::Response, routing::post};
use shop_kit::{Body, Db, Result, Step};

use crate::store::{self, Order};

pub(crate) fn routes(db: Db) -> Router {
    Router::new().route("/tx/take", post(take)).route("/tx/give", post(give)).with_state(db)
}

async fn take(State(db): State<Db>, step: Step, Body(order): Body<Order>) -> Result<Response> {
    db.step(step, move |db| store::take_all(db, &order)).await
}

/// Undoes `take`: the barrier lets it through only if that was done.
async fn give(State(db): State<Db>, step: Step, Body(order): Body<Order>) -> Result<Response> {
    db.step(step, move |db| store::give_all(db, &order)).await
}

#[cfg(test)]
mod tests;
