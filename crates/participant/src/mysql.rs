//! The barrier in MySQL and MariaDB, by mysql_async.
//!
//! The tables of the business have to be in an engine with transactions (InnoDB), or the barrier protects nothing.

use crate::{
    Answer, BoxError, Branch, Error, Skip, Verdict,
    barrier::{self, Found, GIVEN_UP, MSG_REASON, Row, repeated},
};
use mysql_async::{
    Conn, Transaction, TxOpts,
    prelude::{Query as _, Queryable as _, WithParams as _},
};
use std::time::Duration;

/// The marker of MySQL's dialect.
#[derive(Debug)]
pub struct MySql;

/// A barrier in MySQL or MariaDB.
///
/// Calls at the same time may end in a deadlock, which the server ends with an error for one of them; the coordinator calls again.
pub type Barrier = barrier::Barrier<MySql>;

impl Barrier {
    /// Makes the table unless it is there. Ends a transaction that the connection is in.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn create_table(&self, connection: &mut Conn) -> Result<(), Error> {
        // The collation compares ids as they are: the usual one takes `a` for `A`.
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS {} (
                trans_type varchar(45) NOT NULL, gid varchar(128) NOT NULL, branch_id varchar(128) NOT NULL,
                op varchar(45) NOT NULL, barrier_id varchar(45) NOT NULL, reason varchar(45) NOT NULL,
                answer mediumblob, create_time datetime NOT NULL DEFAULT CURRENT_TIMESTAMP,
                PRIMARY KEY (gid, branch_id, op, barrier_id)
             ) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            self.table
        );
        sql.ignore(connection).await.map_err(self.failed("make the table"))
    }

    /// Decides about a call inside a transaction of the service. On [`Verdict::Skip`] the transaction is to be committed, too: an
    /// undo without its action has to leave its mark. While another call of the same branch is not committed, it waits for it.
    ///
    /// # Errors
    /// [`Error::Database`]: roll back.
    /// # Cancel safety
    /// What was written is in the caller's transaction, which ends when it is dropped.
    pub async fn check(&self, tx: &mut Transaction<'_>, branch: &Branch) -> Result<Verdict, Error> {
        let undoes_nothing = match branch.origin() {
            Some(origin) => self.insert(tx, self.row(branch, origin)).await?,
            None => false,
        };
        let row = self.row(branch, branch.row_op());
        if !self.insert(tx, row).await? {
            let found = self.find(tx, row).await?;
            let undo = branch.undo_of_vote().map(|op| self.row(branch, op));
            let is_undone = match undo {
                Some(undo) => self.find(tx, undo).await?.is_some(),
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
        tx: &mut Transaction<'_>,
        branch: &Branch,
        answer: &Answer,
    ) -> Result<(), Error> {
        let Some(body) = self.kept(answer)? else { return Ok(()) };
        let sql = format!(
            "UPDATE {} SET answer = ? WHERE gid = ? AND branch_id = ? AND op = ? AND barrier_id = ?",
            self.table
        );
        let [gid, id, op, part] = self.row(branch, branch.row_op()).key();
        let kept = sql.with((body, gid, id, op, part)).ignore(tx).await;
        kept.map_err(self.failed("keep the answer"))
    }

    /// Does `work` in a transaction if the barrier lets it, and answers what there is to answer. What `work` wrote is rolled back
    /// when it fails, refuses or is not done.
    ///
    /// ```no_run
    /// # use flotilla_participant::{Answer, Branch, Error, mysql::Barrier};
    /// # use mysql_async::prelude::Queryable;
    /// # async fn example(connection: &mut mysql_async::Conn, branch: &Branch) -> Result<Answer, Error> {
    /// Barrier::new()
    ///     .call(connection, branch, async |tx| {
    ///         tx.query_drop("UPDATE stock SET left_over = left_over - 1").await?;
    ///         Ok(Answer::done())
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
        connection: &mut Conn,
        branch: &Branch,
        work: W,
    ) -> Result<Answer, Error>
    where
        W: AsyncFnOnce(&mut Transaction<'_>) -> Result<Answer, BoxError>,
    {
        let mut tx = self.begin(connection).await?;
        let answer = match self.check(&mut tx, branch).await? {
            Verdict::Skip(skip) => skip.answer(branch),
            Verdict::Run => {
                let answer = work(&mut tx).await.map_err(Error::Work)?;
                if !answer.keeps() {
                    tx.rollback().await.map_err(self.failed("roll back"))?;
                    return Ok(answer);
                }
                self.remember(&mut tx, branch, &answer).await?;
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
    pub async fn message(&self, tx: &mut Transaction<'_>, gid: &str) -> Result<(), Error> {
        let inserted = self.insert(tx, self.message_row(gid, MSG_REASON)?).await?;
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
        connection: &mut Conn,
        branch: &Branch,
    ) -> Result<Answer, Error> {
        let mut tx = self.begin(connection).await?;
        let row = self.message_row(&branch.gid, GIVEN_UP)?;
        let given_up = self.insert(&mut tx, row).await?
            || self.find(&mut tx, row).await?.is_none_or(|found| found.reason == GIVEN_UP);
        tx.commit().await.map_err(self.failed("commit"))?;
        Ok(barrier::message_answer(given_up))
    }

    /// Deletes rows older than `age` and returns how many. A row is needed as long as its transaction may call: keep them longer than
    /// the coordinator keeps trying.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn forget(&self, connection: &mut Conn, age: Duration) -> Result<u64, Error> {
        let sql = format!(
            "DELETE FROM {} WHERE create_time < CURRENT_TIMESTAMP - INTERVAL ? SECOND",
            self.table
        );
        let deleted = sql.with((age.as_secs(),)).ignore(&mut *connection).await;
        deleted.map_err(self.failed("delete old rows"))?;
        Ok(connection.affected_rows())
    }

    async fn begin<'a>(&self, connection: &'a mut Conn) -> Result<Transaction<'a>, Error> {
        let tx = connection.start_transaction(TxOpts::default()).await;
        tx.map_err(self.failed("begin"))
    }

    /// Whether the row was not there.
    async fn insert(&self, tx: &mut Transaction<'_>, row: Row<'_>) -> Result<bool, Error> {
        // It would also ignore that an id is too long for its column, but a branch has none of those.
        let sql = format!(
            "INSERT IGNORE INTO {} (trans_type, gid, branch_id, op, barrier_id, reason, create_time)
             VALUES (?, ?, ?, ?, ?, ?, CURRENT_TIMESTAMP)",
            self.table
        );
        let [mode, gid, branch, op, part, reason] = row.values();
        let done = tx.exec_drop(sql, (mode, gid, branch, op, part, reason)).await;
        done.map_err(self.failed("write the row of a call"))?;
        Ok(tx.affected_rows() == 1)
    }

    async fn find(&self, tx: &mut Transaction<'_>, row: Row<'_>) -> Result<Option<Found>, Error> {
        // A plain reading may see the table as it was before the other call was committed.
        let sql = format!(
            "SELECT {} FROM {} WHERE gid = ? AND branch_id = ? AND op = ? AND barrier_id = ? LOCK IN SHARE MODE",
            self.columns(),
            self.table
        );
        let [gid, branch, op, part] = row.key();
        let found: Option<(String, Option<Vec<u8>>)> = tx
            .exec_first(sql, (gid, branch, op, part))
            .await
            .map_err(self.failed("read the row of a call"))?;
        Ok(found.map(|(reason, answer)| Found { reason, answer }))
    }
}
