//! A user's account, which is event-sourced: what happened is kept, the balance is what it adds up
//! to.
//!
//! The events of user 7 are the stream `account-7`. Nothing is locked: whoever changes an account
//! says which revision of it the decision was made on, and when another event was quicker, reads
//! that and decides again. So a balance never goes below zero, whichever instances are asked at
//! the same time.

use axum::{
    Json, Router,
    extract::State,
    http::HeaderMap,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use shop_kit::{Body, Db, Error, Flotilla, Id, Result, Trace, failed, log};

use crate::store;

/// In cents; so sums stay far from the end of `i64`.
pub(crate) const AMOUNT_MAX: i64 = 1_000_000_000;

/// How many events are read at most behind a snapshot, if all goes well.
const SNAPSHOT_EVERY: u64 = 100;

/// How often a decision is made before the caller is told to try later. Each time somebody else's
/// was quicker, so all together get on.
const DECISIONS_MAX: u32 = 50;

#[derive(Clone, Debug)]
pub(crate) struct Accounts {
    pub(crate) db: Db,
    pub(crate) flotilla: Flotilla,
}

pub(crate) fn routes(accounts: Accounts) -> Router {
    Router::new()
        .route("/users/{id}/account", get(show))
        .route("/users/{id}/deposit", post(deposit))
        .route("/users/{id}/withdraw", post(withdraw))
        .with_state(accounts)
}

/// What happens to an account. These are facts: their form never changes.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "type", content = "data", rename_all = "lowercase")]
enum Event {
    Deposited { amount: i64 },
    Withdrawn { amount: i64 },
}

/// What the events come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
struct Account {
    /// In cents.
    balance: i64,
    /// Of the last event; none without any.
    revision: Option<u64>,
}

impl Account {
    fn apply(&mut self, revision: u64, event: Event) {
        match event {
            Event::Deposited { amount } => self.balance += amount,
            Event::Withdrawn { amount } => self.balance -= amount,
        }
        self.revision = Some(revision);
    }

    /// Refuses what must not happen.
    fn check(&self, event: Event) -> Result<()> {
        match event {
            Event::Withdrawn { amount } if amount > self.balance => {
                let message = format!("the balance is {}, {amount} asked", self.balance);
                Err(Error::conflict("too_little", message))
            }
            Event::Deposited { amount } | Event::Withdrawn { amount } => {
                if (1..=AMOUNT_MAX).contains(&amount) {
                    return Ok(());
                }
                Err(Error::invalid(format!("`amount` is 1 to {AMOUNT_MAX}")))
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Amount {
    amount: i64,
}

async fn show(
    State(accounts): State<Accounts>,
    Id(user): Id,
    headers: HeaderMap,
) -> Result<Json<Account>> {
    accounts.db.read(move |db| store::get(db, user)).await?;
    Ok(Json(accounts.read(user, &Trace::of(&headers)).await?))
}

async fn deposit(
    State(accounts): State<Accounts>,
    Id(user): Id,
    headers: HeaderMap,
    Body(Amount { amount }): Body<Amount>,
) -> Result<Json<Account>> {
    let event = Event::Deposited { amount };
    Ok(Json(accounts.change(user, event, &Trace::of(&headers)).await?))
}

async fn withdraw(
    State(accounts): State<Accounts>,
    Id(user): Id,
    headers: HeaderMap,
    Body(Amount { amount }): Body<Amount>,
) -> Result<Json<Account>> {
    let event = Event::Withdrawn { amount };
    Ok(Json(accounts.change(user, event, &Trace::of(&headers)).await?))
}

impl Accounts {
    async fn change(&self, user: i64, event: Event, trace: &Trace) -> Result<Account> {
        self.db.read(move |db| store::get(db, user)).await?;
        let (stream, id) = (stream(user), random_id()?);
        for _decision in 0..DECISIONS_MAX {
            let mut account = self.read(user, trace).await?;
            account.check(event)?;
            let appended =
                self.flotilla.append(&stream, account.revision, &id, &event, trace).await?;
            if let Some(revision) = appended {
                account.apply(revision, event);
                self.keep(&stream, &account, revision, trace).await;
                return Ok(account);
            }
        }
        Err(Error::conflict("busy", "too many others change this account"))
    }

    /// The snapshot, if there is one, and what happened since.
    async fn read(&self, user: i64, trace: &Trace) -> Result<Account> {
        let stream = stream(user);
        let snapshot = self.flotilla.snapshot::<Account>(&stream, trace).await?;
        let mut account = snapshot.unwrap_or_default();
        let mut next = Some(account.revision.map_or(0, |revision| revision + 1));
        while let Some(from) = next {
            let page = self.flotilla.events::<Event>(&stream, from, trace).await?;
            for stored in page.events {
                account.apply(stored.revision, stored.event);
            }
            next = page.next;
        }
        Ok(account)
    }

    /// A snapshot only saves reading, so nothing depends on whether it is kept.
    async fn keep(&self, stream: &str, account: &Account, revision: u64, trace: &Trace) {
        if (revision + 1).is_multiple_of(SNAPSHOT_EVERY)
            && let Err(error) = self.flotilla.keep_snapshot(stream, revision, account, trace).await
        {
            log(format_args!("no snapshot of {stream}: {error}"));
        }
    }
}

fn stream(user: i64) -> String {
    format!("account-{user}")
}

/// Tells an event apart from all others, so that appending it again is no second event.
fn random_id() -> Result<String> {
    let number = getrandom::u64().map_err(|cause| failed(format!("no random number: {cause}")))?;
    Ok(format!("{number:016x}"))
}

#[cfg(test)]
mod tests;
