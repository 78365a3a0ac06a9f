//! The barrier in PostgreSQL, by tokio-postgres, and prepared transactions as branches of a two-phase commit.

mod prepared;
mod sweep;

pub use prepared::Prepared;
pub use sweep::Swept;

use crate::{
    Answer, BoxError, Branch, Error, Skip, Verdict,
    barrier::{self, Found, GIVEN_UP, MSG_REASON, Row, repeated},
};
use std::time::Duration;
use tokio_postgres::{Client, Transaction, types::Type};

/// Held while the table is made: two instances of a service that do so at once would disturb each other. Any number will do that
/// others do not use.
const CREATE_LOCK: i64 = 0x0f10_7111_ba22_1e20;

/// The marker of PostgreSQL's dialect.
#[derive(Debug)]
pub struct Postgres;

/// A barrier in PostgreSQL.
///
/// The service's transaction should be `READ COMMITTED`, which it is unless asked otherwise; with stricter ones it works as well, but two
/// calls at once end in an error for one of them, and the coordinator calls again.
pub type Barrier = barrier::Barrier<Postgres>;

impl Barrier {
    /// Makes the table unless it is there.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn create_table(&self, client: &Client) -> Result<(), Error> {
        // One message of several statements is one transaction.
        let sql = format!(
            "SELECT pg_catalog.pg_advisory_xact_lock({CREATE_LOCK});
             CREATE TABLE IF NOT EXISTS {} (
                trans_type varchar(45) NOT NULL, gid varchar(128) NOT NULL, branch_id varchar(128) NOT NULL,
                op varchar(45) NOT NULL, barrier_id varchar(45) NOT NULL, reason varchar(45) NOT NULL, answer bytea,
                create_time timestamptz NOT NULL DEFAULT now(),
                PRIMARY KEY (gid, branch_id, op, barrier_id)
             )",
            self.table
        );
        client.batch_execute(&sql).await.map_err(self.failed("make the table"))
    }

    /// Decides about a call inside a transaction of the service. On [`Verdict::Skip`] the transaction is to be committed, too: an
    /// undo without its action has to leave its mark. While another call of the same branch is not committed, it waits for it.
    ///
    /// # Errors
    /// [`Error::Database`]: roll back.
    /// # Cancel safety
    /// What was written is in the caller's transaction, which ends when it is dropped.
    pub async fn check(&self, tx: &Transaction<'_>, branch: &Branch) -> Result<Verdict, Error> {
        let undoes_nothing = match branch.origin() {
            Some(origin) => self.insert(tx.client(), self.row(branch, origin)).await?,
            None => false,
        };
        let row = self.row(branch, branch.row_op());
        if !self.insert(tx.client(), row).await? {
            let found = self.find(tx.client(), row).await?;
            let undo = branch.undo_of_vote().map(|op| self.row(branch, op));
            let is_undone = match undo {
                Some(undo) => self.find(tx.client(), undo).await?.is_some(),
                None => false,
            };
            return repeated(branch, found, is_undone).ok_or_else(|| self.vanished());
        }
        Ok(if undoes_nothing { Verdict::Skip(Skip::NothingToUndo) } else { Verdict::Run })
    }

    /// Keeps the answer of a call for the case that it comes again; [`Self::call`] does it by itself.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::AnswerSize`]: roll back.
    pub async fn remember(
        &self,
        tx: &Transaction<'_>,
        branch: &Branch,
        answer: &Answer,
    ) -> Result<(), Error> {
        let Some(body) = self.kept(answer)? else { return Ok(()) };
        let sql = format!(
            "UPDATE {} SET answer = $1 WHERE gid = $2 AND branch_id = $3 AND op = $4 AND barrier_id = $5",
            self.table
        );
        let [gid, id, op, part] = self.row(branch, branch.row_op()).key();
        let text = Type::TEXT;
        let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 5] = [
            (&body, Type::BYTEA),
            (&gid, text.clone()),
            (&id, text.clone()),
            (&op, text.clone()),
            (&part, text),
        ];
        let kept = tx.client().execute_typed(&sql, &values).await;
        kept.map(|_| ()).map_err(self.failed("keep the answer"))
    }

    /// Does `work` in a transaction if the barrier lets it, and answers what there is to answer. What `work` wrote is rolled back
    /// when it fails, refuses or is not done.
    ///
    /// ```no_run
    /// # use flotilla_participant::{Answer, Branch, Error, postgres::Barrier};
    /// # async fn example(client: &mut tokio_postgres::Client, branch: &Branch, sku: &str) -> Result<Answer, Error> {
    /// Barrier::new()
    ///     .call(client, branch, async |tx| {
    ///         let left = tx.execute("UPDATE stock SET left = left - 1 WHERE sku = $1 AND left > 0", &[&sku]).await?;
    ///         Ok(if left == 1 { Answer::done() } else { Answer::refused("sold out") })
    ///     })
    ///     .await
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error`]; `Answer::from` makes an answer of it.
    /// # Cancel safety
    /// A dropped call has changed everything or nothing.
    pub async fn call<W>(
        &self,
        client: &mut Client,
        branch: &Branch,
        work: W,
    ) -> Result<Answer, Error>
    where
        W: AsyncFnOnce(&Transaction<'_>) -> Result<Answer, BoxError>,
    {
        let tx = client.transaction().await.map_err(self.failed("begin"))?;
        let answer = match self.check(&tx, branch).await? {
            Verdict::Skip(skip) => skip.answer(branch),
            Verdict::Run => {
                let answer = work(&tx).await.map_err(Error::Work)?;
                if !answer.keeps() {
                    tx.rollback().await.map_err(self.failed("roll back"))?;
                    return Ok(answer);
                }
                self.remember(&tx, branch, &answer).await?;
                answer
            }
        };
        tx.commit().await.map_err(self.failed("commit"))?;
        Ok(answer)
    }

    /// Marks, inside the local transaction, that the message `gid` shall be sent. Prepare the message before, submit it after the
    /// commit; when that is lost, the coordinator asks, and [`Self::message_query`] finds the mark.
    ///
    /// # Errors
    /// [`Error::GivenUp`] when it has asked before: roll back. [`Error::Database`]: roll back.
    /// # Cancel safety
    /// As [`Self::check`].
    pub async fn message(&self, tx: &Transaction<'_>, gid: &str) -> Result<(), Error> {
        let inserted = self.insert(tx.client(), self.message_row(gid, MSG_REASON)?).await?;
        inserted.then_some(()).ok_or_else(|| Error::GivenUp { gid: gid.to_owned() })
    }

    /// Answers the coordinator's question whether the local transaction of a message was committed: done, or refused, after which
    /// it cannot be committed. While it runs, this waits for it.
    ///
    /// # Errors
    /// [`Error::Database`]: it is not known yet, the coordinator asks again.
    /// # Cancel safety
    /// A dropped call has changed everything or nothing.
    pub async fn message_query(
        &self,
        client: &mut Client,
        branch: &Branch,
    ) -> Result<Answer, Error> {
        let tx = client.transaction().await.map_err(self.failed("begin"))?;
        let row = self.message_row(&branch.gid, GIVEN_UP)?;
        let given_up = self.insert(tx.client(), row).await?
            || self.find(tx.client(), row).await?.is_none_or(|found| found.reason == GIVEN_UP);
        tx.commit().await.map_err(self.failed("commit"))?;
        Ok(barrier::message_answer(given_up))
    }

    /// Deletes rows older than `age` and returns how many. A row is needed as long as its transaction may call: keep them longer than
    /// the coordinator keeps trying.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn forget(&self, client: &Client, age: Duration) -> Result<u64, Error> {
        let sql = format!(
            "DELETE FROM {} WHERE create_time < now() - make_interval(secs => $1)",
            self.table
        );
        let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 1] =
            [(&age.as_secs_f64(), Type::FLOAT8)];
        client.execute_typed(&sql, &values).await.map_err(self.failed("delete old rows"))
    }

    /// Whether the row was not there.
    pub(super) async fn insert(&self, client: &Client, row: Row<'_>) -> Result<bool, Error> {
        let sql = format!(
            "INSERT INTO {} (trans_type, gid, branch_id, op, barrier_id, reason, create_time)
             VALUES ($1, $2, $3, $4, $5, $6, CURRENT_TIMESTAMP) ON CONFLICT DO NOTHING",
            self.table
        );
        let [mode, gid, branch, op, part, reason] = row.values();
        // With their types, a statement is one exchange with the server and leaves nothing there.
        let count =
            client.execute_typed(&sql, &texts(&[&mode, &gid, &branch, &op, &part, &reason])).await;
        Ok(count.map_err(self.failed("write the row of a call"))? == 1)
    }

    pub(super) async fn find(&self, client: &Client, row: Row<'_>) -> Result<Option<Found>, Error> {
        let sql = format!(
            "SELECT {} FROM {} WHERE gid = $1 AND branch_id = $2 AND op = $3 AND barrier_id = $4",
            self.columns().replace("NULL", "NULL::bytea"),
            self.table
        );
        let [gid, branch, op, part] = row.key();
        let rows = client.query_typed(&sql, &texts(&[&gid, &branch, &op, &part])).await;
        let rows = rows.map_err(self.failed("read the row of a call"))?;
        let found =
            rows.first().map(|row| Ok(Found { reason: row.try_get(0)?, answer: row.try_get(1)? }));
        found.transpose().map_err(self.failed::<tokio_postgres::Error>("read the row of a call"))
    }
}

/// Values that are texts.
fn texts<'a>(values: &[&'a &'a str]) -> Vec<(&'a (dyn tokio_postgres::types::ToSql + Sync), Type)> {
    values
        .iter()
        .map(|value| (*value as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT))
        .collect()
}
