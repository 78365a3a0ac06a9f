//! Transactions.

use super::{ANSWER_TIMEOUT, Client, Error, Stream, blocks::query};
use crate::{
    query::escape,
    wire::transactions::{Abort, Event, Events, Resolve, Submit, Transaction, Transactions},
};
use http::{Method, header};
use serde::Serialize;
use std::time::Duration;

/// Which transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionQuestion {
    /// That stand so, `committing`.
    pub status: Option<String>,
    /// That wait for an operator.
    pub attention: bool,
    /// Of this protocol.
    pub mode: Option<String>,
    /// Made of this definition.
    pub name: Option<String>,
    /// With this label.
    pub label: Option<(String, String)>,
    /// Begun at this time or later: RFC 3339, or how long ago (`10m`).
    pub since: Option<String>,
    /// Begun before this time.
    pub until: Option<String>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// At most 1000; `None`: 100.
    pub limit: Option<u32>,
}

fn path(id: &str, rest: &str) -> String {
    format!("/v1/tx/{}{rest}", escape(id))
}

/// Further errors: `Api` with 404 for a transaction that does not exist, 409 when it does not stand so that it could be done,
/// 503 when the engine is away, 504 when it broke off and the outcome is not known.
impl Client {
    /// Transactions, the newest first.
    pub async fn transactions(
        &self,
        question: &TransactionQuestion,
    ) -> Result<Transactions, Error> {
        let label = question.label.as_ref().map(|(key, value)| format!("{key}:{value}"));
        let limit = question.limit.map(|limit| limit.to_string());
        let query = query(&[
            ("status", question.status.as_deref()),
            ("attention", question.attention.then_some("true")),
            ("mode", question.mode.as_deref()),
            ("name", question.name.as_deref()),
            ("label", label.as_deref()),
            ("since", question.since.as_deref()),
            ("until", question.until.as_deref()),
            ("cursor", question.cursor.as_deref()),
            ("limit", limit.as_deref()),
        ]);
        self.get(&format!("/v1/tx{query}")).await
    }

    /// One transaction.
    pub async fn transaction(&self, id: &str) -> Result<Transaction, Error> {
        self.get(&path(id, "")).await
    }

    /// What has happened to a transaction.
    pub async fn transaction_events(&self, id: &str) -> Result<Events, Error> {
        self.get(&path(id, "/events")).await
    }

    /// What has happened to a transaction after the event with the number `after`, and what happens, until it has ended. The
    /// ids are the numbers.
    pub async fn transaction_stream(
        &self,
        id: &str,
        after: Option<u64>,
    ) -> Result<Stream<Event>, Error> {
        let after = after.map(|after| after.to_string());
        let query = query(&[("after", after.as_deref())]);
        self.stream(&path(id, &format!("/events{query}"))).await
    }

    /// Submits a transaction. `wait`: until it has ended, a minute at most; how it stands then is the answer.
    pub async fn submit_transaction(
        &self,
        submit: &Submit,
        wait: Option<Duration>,
    ) -> Result<Transaction, Error> {
        self.steer("/v1/tx", submit, wait).await
    }

    /// The client's part of an open transaction went well.
    pub async fn commit_transaction(
        &self,
        id: &str,
        wait: Option<Duration>,
    ) -> Result<Transaction, Error> {
        self.steer(&path(id, "/commit"), &serde_json::json!({}), wait).await
    }

    /// Tries at once what waits.
    pub async fn retry_transaction(&self, id: &str) -> Result<Transaction, Error> {
        self.act(&path(id, "/retry")).await
    }

    /// Gives a transaction up that is not decided.
    pub async fn abort_transaction(&self, id: &str, abort: &Abort) -> Result<Transaction, Error> {
        self.post(&path(id, "/abort"), abort).await
    }

    /// Ends what does not end by itself.
    pub async fn resolve_transaction(
        &self,
        id: &str,
        resolve: &Resolve,
    ) -> Result<Transaction, Error> {
        self.post(&path(id, "/resolve"), resolve).await
    }

    async fn steer(
        &self,
        path: &str,
        body: &impl Serialize,
        wait: Option<Duration>,
    ) -> Result<Transaction, Error> {
        let body = serde_json::to_vec(body).map_err(|e| Error::Unreadable(e.to_string()))?;
        let mut request =
            self.request(Method::POST, path).header(header::ACCEPT, "application/json");
        if let Some(wait) = wait {
            // A part of a second is waited for too.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            request = request.header("prefer", format!("wait={seconds}"));
        }
        self.read(request, body, ANSWER_TIMEOUT + wait.unwrap_or_default()).await
    }
}
