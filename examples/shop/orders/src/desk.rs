//! The desk where orders are left. An order changes two databases: its own, and the one with the stock. Messages connect them.
//!
//! ```text
//! orders: order `pending` + message  ─ order.created ─►  items: takes the stock, or none of it
//!         in one transaction                                    │
//! orders: `confirmed` or `rejected` ◄─ stock.taken, stock.missing
//! ```
//!
//! There is no order without its message, because both are written in one transaction: the message
//! into the table `outbox`, from which Flotilla publishes it. Every message comes at least once,
//! whoever dies in between, and what comes twice changes nothing: so each order ends as
//! `confirmed` or `rejected`, once.

use axum::http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use shop_kit::{Answer, Db, Error, Flotilla, Result, Trace, Upstream, failed};

use crate::store::{self, Line, NewOrder, Order};

#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) db: Db,
    pub(crate) users: Upstream,
    pub(crate) items: Upstream,
    pub(crate) flotilla: Flotilla,
}

/// What `items` says of an item; the rest of it does not concern us.
#[derive(Deserialize)]
struct Item {
    price: i64,
}

impl Desk {
    /// Stores an order with the prices of the moment. Its stock is taken later, by message.
    pub(crate) async fn create(&self, new: NewOrder, trace: &Trace) -> Result<Order> {
        let prices = self.quote(&new, trace).await?;
        self.db.write(move |db| store::create(db, &new, &prices)).await
    }

    /// Cancels an order and gives back its stock. Done again, it only gives back what an earlier
    /// attempt could not.
    pub(crate) async fn cancel(&self, id: i64, trace: &Trace) -> Result<Order> {
        let order = self.db.write(move |db| store::cancel(db, id)).await?;
        self.give_all(&order, trace).await?;
        Ok(order)
    }

    /// Removes an order; one whose goods are here or reserved is cancelled first.
    pub(crate) async fn remove(&self, id: i64, trace: &Trace) -> Result<()> {
        let order = self.db.read(move |db| store::get(db, id)).await?;
        if order.status.can_be_cancelled() {
            self.cancel(id, trace).await?;
        }
        self.db.write(move |db| store::remove(db, id)).await
    }

    /// The price of each line, in order, if there is such a user.
    pub(crate) async fn quote(&self, new: &NewOrder, trace: &Trace) -> Result<Vec<i64>> {
        self.find_user(new.user_id, trace).await?;
        self.prices(new, trace).await
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

    async fn prices(&self, new: &NewOrder, trace: &Trace) -> Result<Vec<i64>> {
        let mut prices = Vec::with_capacity(new.items.len());
        for line in &new.items {
            let path = format!("/item/{}", line.name);
            let answer = self.items.call(Method::GET, &path, None, trace).await?;
            match answer.status {
                StatusCode::OK => prices.push(answer.json::<Item>()?.price),
                StatusCode::NOT_FOUND => {
                    let message = format!("there is no item `{}`", line.name);
                    return Err(Error::conflict("not_available", message));
                }
                status => return Err(failed(format!("items answered {status}"))),
            }
        }
        Ok(prices)
    }

    /// Gives back every line, also those of which it is unknown whether they were taken: a take
    /// that comes later finds out that it is too late. Reports the first that could not be. An
    /// item that is gone needs nothing back.
    async fn give_all(&self, order: &Order, trace: &Trace) -> Result<()> {
        let mut result = Ok(());
        for line in &order.items {
            let given = match self.give(order.id, line, trace).await {
                Ok(answer) if answer.status.is_success() => Ok(()),
                Ok(answer) if answer.status == StatusCode::NOT_FOUND => Ok(()),
                Ok(answer) => Err(failed(format!("items answered {}", answer.status))),
                Err(error) => Err(error),
            };
            result = result.and(given);
        }
        result
    }

    async fn give(&self, order: i64, line: &Line, trace: &Trace) -> Result<Answer> {
        let path = format!("/item/{}/give", line.name);
        let body = json!({ "quantity": line.quantity, "key": format!("order-{order}") });
        self.items.call(Method::POST, &path, Some(&body), trace).await
    }
}

#[cfg(test)]
mod tests;
