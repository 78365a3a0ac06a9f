//! A user's wallet, from which a checkout is paid.
//!
//! The wallet is a row here, and not a stream of events as the account is, because paying is a
//! step of a transaction: the note that the step was done must be written together with the money,
//! and a stream is in another store than the barrier's table.

use axum::{
    Json, Router,
    extract::State,
    response::Response,
    routing::{get, post},
};
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use shop_kit::{Body, Db, Error, Id, Result, Step};

use crate::{account::AMOUNT_MAX, store};

pub(crate) fn routes(db: Db) -> Router {
    Router::new()
        .route("/users/{id}/wallet", get(show).post(top_up))
        .route("/tx/pay", post(pay))
        .route("/tx/refund", post(refund))
        .with_state(db)
}

#[derive(Debug, PartialEq, Serialize)]
struct Wallet {
    /// In cents.
    balance: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Amount {
    amount: i64,
}

/// What the transaction `checkout` says to both of its steps.
#[derive(Deserialize)]
struct Payment {
    user: i64,
    amount: i64,
}

async fn show(State(db): State<Db>, Id(user): Id) -> Result<Json<Wallet>> {
    Ok(Json(db.read(move |db| find(db, user)).await?))
}

async fn top_up(
    State(db): State<Db>,
    Id(user): Id,
    Body(Amount { amount }): Body<Amount>,
) -> Result<Json<Wallet>> {
    if !(1..=AMOUNT_MAX).contains(&amount) {
        return Err(Error::invalid(format!("`amount` is 1 to {AMOUNT_MAX}")));
    }
    Ok(Json(db.write(move |db| change(db, user, amount)).await?))
}

async fn pay(
    State(db): State<Db>,
    step: Step,
    Body(Payment { user, amount }): Body<Payment>,
) -> Result<Response> {
    db.step(step, move |db| change(db, user, -amount)).await
}

/// Undoes `pay`: the barrier lets it through only if that was done.
async fn refund(
    State(db): State<Db>,
    step: Step,
    Body(Payment { user, amount }): Body<Payment>,
) -> Result<Response> {
    db.step(step, move |db| give_back(db, user, amount)).await
}

/// Nobody is left to give it to when the user is gone, and an undo that says no would only be
/// called again.
fn give_back(db: &Connection, user: i64, amount: i64) -> Result<Option<Wallet>> {
    match change(db, user, amount) {
        Err(error) if error.code == "not_found" => Ok(None),
        changed => changed.map(Some),
    }
}

/// What a user has, who need not have had anything yet.
fn find(db: &Connection, user: i64) -> Result<Wallet> {
    let sql = "SELECT balance FROM wallets WHERE user_id = ?1";
    let balance = db.prepare_cached(sql)?.query_row([user], |row| row.get(0)).optional()?;
    if balance.is_none() {
        store::get(db, user)?;
    }
    Ok(Wallet { balance: balance.unwrap_or(0) })
}

/// Reads and then writes, which is safe because a transaction of ours has the write lock from its
/// begin on.
fn change(db: &Connection, user: i64, by: i64) -> Result<Wallet> {
    let before = find(db, user)?.balance;
    let balance = before + by;
    if balance < 0 {
        let message = format!("the wallet has {before}, {} asked", -by);
        return Err(Error::conflict("too_little", message));
    }
    let sql = "INSERT INTO wallets (user_id, balance) VALUES (?1, ?2)
               ON CONFLICT DO UPDATE SET balance = excluded.balance";
    db.prepare_cached(sql)?.execute(params![user, balance])?;
    Ok(Wallet { balance })
}

#[cfg(test)]
mod tests;
