//! Steps of transactions: what Flotilla calls when a transaction over several services needs this
//! one.
//!
//! A network loses answers, so a step may come twice, an undo without its step, and a step after
//! its undo. The barrier is a table in the service's own database that tells them apart. It is
//! written in the same transaction as the business, so the two never differ.

use std::time::Duration;

use axum::{extract::FromRequestParts, http::request::Parts, response::Response};
use flotilla_participant::{Answer, BoxError, Branch, sqlite::Barrier};
use rusqlite::Connection;
use serde::Serialize;

use crate::{
    db::Db,
    error::{Error, Result},
    serve::log,
};

/// How long the barrier remembers a call: far longer than anybody leaves a transaction unfinished.
const REMEMBERED: Duration = Duration::from_secs(90 * 24 * 3600);

/// Which step of which transaction a request is for. Only Flotilla makes such requests.
#[derive(Clone, Debug)]
pub struct Step(Branch);

impl Step {
    /// The id of the transaction.
    #[must_use]
    pub fn transaction(&self) -> &str {
        &self.0.gid
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Step {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        let branch = Branch::from_parts(parts.uri.query(), &parts.headers);
        branch.map(Self).map_err(|invalid| Error::invalid(invalid.to_string()))
    }
}

impl Db {
    /// Runs `work` in a transaction of its own, unless the barrier finds that there is nothing to
    /// do, and answers as Flotilla understands it. A step that comes again is answered as it was
    /// the first time.
    ///
    /// An error that is the caller's (4xx) is a no: asking again would not change it, so the
    /// whole transaction is undone. After any other error Flotilla calls again.
    ///
    /// # Errors
    /// As for [`Db::read`]; nothing was written then.
    pub async fn step<T: Serialize>(
        &self,
        step: Step,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<Response> {
        self.run(move |connection| {
            let answer = Barrier::new().call(connection, &step.0, |db| answer(work(db)));
            if let Err(error) = &answer {
                log(format_args!("error: {}: {}", step.0.key(), error.chain()));
            }
            Ok(Answer::from(answer).into_response())
        })
        .await
    }
}

fn answer<T: Serialize>(done: Result<T>) -> std::result::Result<Answer, BoxError> {
    match done {
        Ok(value) => Ok(Answer::json(serde_json::to_string(&value)?)),
        Err(error) if error.status.is_client_error() => Ok(Answer::refused(error.message)),
        Err(error) => Err(error.into()),
    }
}

/// Makes the barrier's table, and forgets what nobody asks about any more.
pub(crate) fn prepare(db: &Connection) -> Result<()> {
    let barrier = Barrier::new();
    barrier
        .create_table(db)
        .and_then(|()| barrier.forget(db, REMEMBERED))
        .map(drop)
        .map_err(|cause| Error::internal(&cause.chain()))
}
