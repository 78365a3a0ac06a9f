//! Placing an order takes stock from another service, and undoes that when it cannot be finished.
//!
//! ```text
//! user known? ─► order `pending` ─► take each item ─► order `placed`
//!                                        │ one refused, or unknown what happened
//!                                        └─► give each back ─► order gone
//! ```
//!
//! Every take carries the order's key, and giving back by that key undoes exactly what was taken,
//! once, even if an answer got lost. If this instance dies half-way, the order stays `pending`:
//! it can be seen, and cancelling it gives back what it took.

use axum::http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use shop_kit::{Db, Error, Result, log};

use crate::{
    store::{self, Line, NewOrder, Order},
    upstream::{Answer, Trace, Upstream, failed},
};

#[derive(Debug)]
pub(crate) struct Checkout {
    pub(crate) db: Db,
    pub(crate) users: Upstream,
    pub(crate) items: Upstream,
}

/// What `items` says after a take; the rest of it does not concern us.
#[derive(Deserialize)]
struct Taken {
    price: i64,
}

impl Checkout {
    pub(crate) async fn create(&self, new: NewOrder, trace: &Trace) -> Result<Order> {
        self.find_user(new.user_id, trace).await?;
        let pending = self.db.write(move |db| store::begin(db, &new)).await?;
        let id = pending.id;
        let placed = match self.take_all(&pending, trace).await {
            Ok(prices) => self.db.write(move |db| store::place(db, id, &prices)).await,
            Err(refused) => Err(refused),
        };
        if placed.is_err()
            && let Err(error) = self.remove(id, trace).await
            && error.status != StatusCode::NOT_FOUND
        {
            log(format_args!("error: order {id} stays, and maybe its stock is taken: {error}"));
        }
        placed
    }

    /// Cancels an order and gives back its stock. Done again, it only gives back what an earlier
    /// attempt could not.
    pub(crate) async fn cancel(&self, id: i64, trace: &Trace) -> Result<Order> {
        let order = self.db.write(move |db| store::cancel(db, id)).await?;
        self.give_all(&order, trace).await?;
        Ok(order)
    }

    /// Removes an order; one that was not shipped is cancelled first.
    pub(crate) async fn remove(&self, id: i64, trace: &Trace) -> Result<()> {
        let order = self.db.read(move |db| store::get(db, id)).await?;
        if order.status.can_be_cancelled() {
            self.cancel(id, trace).await?;
        }
        self.db.write(move |db| store::remove(db, id)).await
    }

    async fn find_user(&self, id: i64, trace: &Trace) -> Result<()> {
        let answer = self.users.call(Method::GET, &format!("/users/{id}"), None, trace).await?;
        match answer.status {
            StatusCode::OK => Ok(()),
            StatusCode::NOT_FOUND => {
                let message = format!("there is no user {id}");
                Err(Error::new(StatusCode::UNPROCESSABLE_ENTITY, "unknown_user", message))
            }
            status => Err(failed(format!("users answered {status}"))),
        }
    }

    /// The price of each line, in order.
    async fn take_all(&self, order: &Order, trace: &Trace) -> Result<Vec<i64>> {
        let mut prices = Vec::with_capacity(order.items.len());
        for line in &order.items {
            let answer = self.move_stock("take", order.id, line, trace).await?;
            match answer.status {
                StatusCode::OK => prices.push(answer.json::<Taken>()?.price),
                StatusCode::NOT_FOUND | StatusCode::CONFLICT => {
                    let message =
                        answer.message().unwrap_or_else(|| format!("no `{}` to take", line.name));
                    return Err(Error::conflict("not_available", message));
                }
                status => return Err(failed(format!("items answered {status}"))),
            }
        }
        Ok(prices)
    }

    /// Gives back every line, also those of which the take is unknown, and reports the first that
    /// could not be. An item that is gone needs nothing back.
    async fn give_all(&self, order: &Order, trace: &Trace) -> Result<()> {
        let mut result = Ok(());
        for line in &order.items {
            let given = match self.move_stock("give", order.id, line, trace).await {
                Ok(answer) if answer.status.is_success() => Ok(()),
                Ok(answer) if answer.status == StatusCode::NOT_FOUND => Ok(()),
                Ok(answer) => Err(failed(format!("items answered {}", answer.status))),
                Err(error) => Err(error),
            };
            result = result.and(given);
        }
        result
    }

    async fn move_stock(
        &self,
        action: &str,
        order: i64,
        line: &Line,
        trace: &Trace,
    ) -> Result<Answer> {
        let path = format!("/item/{}/{action}", line.name);
        let body = json!({ "quantity": line.quantity, "key": format!("order-{order}") });
        self.items.call(Method::POST, &path, Some(&body), trace).await
    }
}

#[cfg(test)]
mod tests;
