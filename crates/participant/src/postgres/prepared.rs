//! Branches of a two-phase commit as prepared transactions.
//!
//! A prepared transaction survives the connection, the service and the server, and keeps its locks until somebody ends it. Its
//! barrier row is a part of it, so nobody else sees the row, and whoever inserts the same one would wait for the second phase. So
//! calls of one branch are first kept apart by an advisory lock, which a prepared transaction keeps, too: who does not get it looks whether
//! the transaction is prepared, and otherwise says "not yet".

use super::Barrier;
use crate::{
    Answer, BoxError, Branch, Error, Mode, Op, Outcome, Skip, barrier::Found, branch::encoded,
};
use tokio_postgres::{Client, Transaction, error::SqlState, types::Type};

/// Longest name of a prepared transaction: PostgreSQL's bound less its end mark.
const NAME_MAX: usize = 199;

/// Prepared transactions of PostgreSQL as branches of a two-phase commit (`2pc`, `xa`, `3pc` whose `pre_commit` does the work,
/// `3pc_classic` whose `can_commit` does it).
///
/// PostgreSQL has to have `max_prepared_transactions` above 0. Its transactions are called `flotilla:<system>:<gid>:<branch>`;
/// [`Prepared::sweep`] ends those whose coordinator was lost on the way.
///
/// ```no_run
/// # use flotilla_participant::{Answer, Branch, Error, postgres::{Barrier, Prepared}};
/// # async fn example(client: &mut tokio_postgres::Client, branch: &Branch) -> Result<Answer, Error> {
/// let prepared = Prepared::new("shop", Barrier::new())?;
/// // One path for all phases: the work is done in the phase that does it.
/// prepared
///     .call(client, branch, async |tx| {
///         tx.execute("UPDATE accounts SET balance = balance - 30 WHERE name = 'ann'", &[]).await?;
///         Ok(Answer::done())
///     })
///     .await
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Prepared {
    pub(super) system: String,
    pub(super) barrier: Barrier,
}

/// What became of an order to end a prepared transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Now,
    Gone,
    /// Another session is at it.
    Busy,
}

impl Prepared {
    /// Branches of a system: its name keeps apart what is prepared on a server that several use. Give each system a barrier's table of
    /// its own.
    ///
    /// # Errors
    /// [`Error::Name`] unless the name is 1 to 32 letters, digits, `_` and `-`.
    pub fn new(system: &str, barrier: Barrier) -> Result<Self, Error> {
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if !((1..=32).contains(&system.len()) && system.bytes().all(is_fine)) {
            let expected = "1 to 32 letters, digits, `_` and `-` are";
            return Err(Error::Name { what: "a system", name: system.to_owned(), expected });
        }
        Ok(Self { system: system.to_owned(), barrier })
    }

    /// Does what the branch asks: the phase that does the work calls `work` and prepares, commit and rollback end what is prepared. A
    /// cheap check of `can_commit` (or an announcement by `pre_commit`) is answered with yes; look for yourself before, if there is something to check.
    ///
    /// When `work` wrote nothing, its transaction is ended at once, and the vote is that no second phase is needed.
    ///
    /// # Errors
    /// [`Error`]; `Answer::from` makes an answer of it. [`Error::Op`] for a branch of a saga, a reservation or a message.
    /// # Cancel safety
    /// A dropped call has prepared or ended the transaction, or not; the next call finds out.
    pub async fn call<W>(
        &self,
        client: &mut Client,
        branch: &Branch,
        work: W,
    ) -> Result<Answer, Error>
    where
        W: AsyncFnOnce(&Transaction<'_>) -> Result<Answer, BoxError>,
    {
        match (branch.mode, branch.op) {
            (Mode::TwoPhase, Op::Prepare)
            | (Mode::Xa, Op::Action)
            | (Mode::ThreePhase, Op::PreCommit)
            | (Mode::ThreePhaseClassic, Op::CanCommit) => self.prepare(client, branch, work).await,
            (Mode::ThreePhase, Op::CanCommit) | (Mode::ThreePhaseClassic, Op::PreCommit) => {
                Ok(Answer::done())
            }
            (Mode::TwoPhase, Op::CommitOnePhase) => self.barrier.call(client, branch, work).await,
            (mode, op) if mode.is_atomic() && op == Op::Commit => self.commit(client, branch).await,
            (mode, op) if mode.is_atomic() && op == Op::Rollback => {
                self.roll_back(client, branch).await
            }
            (mode, op) => Err(Error::Op { op, mode, helper: "prepared transactions" }),
        }
    }

    async fn prepare<W>(
        &self,
        client: &mut Client,
        branch: &Branch,
        work: W,
    ) -> Result<Answer, Error>
    where
        W: AsyncFnOnce(&Transaction<'_>) -> Result<Answer, BoxError>,
    {
        let name = self.name(&branch.gid, &branch.id)?;
        let tx = client.transaction().await.map_err(self.barrier.failed("begin"))?;
        if !self.lock(tx.client(), &name).await? {
            return Ok(match self.is_prepared(tx.client(), &name).await? {
                true => Answer::done(),
                false => Answer::working(),
            });
        }
        let row = self.barrier.row(branch, branch.row_op());
        if let Some(Found { reason, answer }) = self.barrier.find(tx.client(), row).await? {
            let is_own = reason == branch.op.as_str();
            let skip = if is_own { Skip::Duplicate(answer) } else { Skip::TooLate };
            return Ok(skip.answer(branch));
        }
        let answer = work(&tx).await.map_err(Error::Work)?;
        if !answer.keeps() || !self.has_written(tx.client()).await? {
            tx.rollback().await.map_err(self.barrier.failed("roll back"))?;
            // Locks that a transaction took on rows count as written, so nothing is given up here that the vote promises.
            return Ok(if answer.keeps() { Answer::read_only() } else { answer });
        }
        self.barrier.insert(tx.client(), row).await?;
        self.barrier.remember(&tx, branch, &answer).await?;
        // What follows in the same message gives the end of `tx` something to end.
        let sql = format!("PREPARE TRANSACTION '{name}'; BEGIN");
        tx.batch_execute(&sql).await.map_err(|cause| match cause.code() {
            Some(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE) => Error::PreparedOff,
            _ => self.barrier.failed("prepare the transaction")(cause),
        })?;
        // It is prepared, whatever becomes of this connection.
        drop(tx);
        Ok(answer)
    }

    async fn commit(&self, client: &mut Client, branch: &Branch) -> Result<Answer, Error> {
        let name = self.name(&branch.gid, &branch.id)?;
        match self.end(client, "COMMIT", &name).await? {
            Ended::Now => Ok(Answer::done()),
            Ended::Busy => Ok(Answer::working()),
            Ended::Gone => {
                // Its row says who ended it: committed rows are there, those of an abort are not or have another reason.
                let Some(origin) = branch.with_op(Op::Rollback).ok().and_then(|it| it.origin())
                else {
                    return Ok(Answer::done());
                };
                let found = self.barrier.find(client, self.barrier.row(branch, origin)).await?;
                let is_kept = found.is_some_and(|found| found.reason == origin.as_str());
                Ok(match is_kept {
                    true => Answer::done(),
                    false => Answer::heuristic(Op::Commit, Outcome::Aborted),
                })
            }
        }
    }

    /// Also leaves the mark that a late vote finds.
    pub(super) async fn roll_back(
        &self,
        client: &mut Client,
        branch: &Branch,
    ) -> Result<Answer, Error> {
        let name = self.name(&branch.gid, &branch.id)?;
        if self.end(client, "ROLLBACK", &name).await? == Ended::Busy {
            return Ok(Answer::working());
        }
        let tx = client.transaction().await.map_err(self.barrier.failed("begin"))?;
        if !self.lock(tx.client(), &name).await? {
            // A vote is on its way.
            return Ok(Answer::working());
        }
        let Some(origin) = branch.origin() else { return Ok(Answer::done()) };
        let row = self.barrier.row(branch, origin);
        let is_new = self.barrier.insert(tx.client(), row).await?;
        let found = if is_new { None } else { self.barrier.find(tx.client(), row).await? };
        if found.is_some_and(|found| found.reason == origin.as_str()) {
            return Ok(Answer::heuristic(Op::Rollback, Outcome::Committed));
        }
        self.barrier.insert(tx.client(), self.barrier.row(branch, branch.op)).await?;
        tx.commit().await.map_err(self.barrier.failed("commit"))?;
        Ok(Answer::done())
    }

    /// What a branch's transaction is called. Only letters, digits and `-._~%:` are in it, so it can stand in a statement.
    ///
    /// # Errors
    /// [`Error::Name`] when it would be longer than PostgreSQL allows.
    pub fn name(&self, gid: &str, branch: &str) -> Result<String, Error> {
        let name = format!("flotilla:{}:{}:{}", self.system, encoded(gid), encoded(branch));
        if name.len() > NAME_MAX {
            let expected = "PostgreSQL allows 199 bytes, so ids should be shorter than 80,";
            return Err(Error::Name { what: "a prepared transaction", name, expected });
        }
        Ok(name)
    }

    /// Commits or rolls back what was prepared.
    pub(super) async fn end(
        &self,
        client: &Client,
        how: &'static str,
        name: &str,
    ) -> Result<Ended, Error> {
        match client.batch_execute(&format!("{how} PREPARED '{name}'")).await {
            Ok(()) => Ok(Ended::Now),
            Err(error) => match error.code() {
                Some(&SqlState::UNDEFINED_OBJECT) => Ok(Ended::Gone),
                Some(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE) => Ok(Ended::Busy),
                _ => Err(self.barrier.failed("end the prepared transaction")(error)),
            },
        }
    }

    /// Whether nobody else is at this branch; until the end of the transaction, prepared or not.
    async fn lock(&self, client: &Client, name: &str) -> Result<bool, Error> {
        let sql = "SELECT pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended($1, 0))";
        let rows = client.query_typed(sql, &[(&name, Type::TEXT)]).await;
        let has = rows.and_then(|rows| rows.first().map_or(Ok(false), |row| row.try_get(0)));
        has.map_err(self.barrier.failed("lock the branch"))
    }

    async fn is_prepared(&self, client: &Client, name: &str) -> Result<bool, Error> {
        let sql = "SELECT 1 FROM pg_catalog.pg_prepared_xacts WHERE gid = $1 AND database = pg_catalog.current_database()";
        let rows = client.query_typed(sql, &[(&name, Type::TEXT)]).await;
        let rows = rows.map_err(self.barrier.failed("look for the prepared transaction"))?;
        Ok(!rows.is_empty())
    }

    /// Whether the transaction has an id, which it gets with the first thing that it writes or locks.
    async fn has_written(&self, client: &Client) -> Result<bool, Error> {
        let sql = "SELECT pg_catalog.txid_current_if_assigned() IS NOT NULL";
        let rows = client.query_typed(sql, &[]).await;
        let has = rows.and_then(|rows| rows.first().map_or(Ok(true), |row| row.try_get(0)));
        has.map_err(self.barrier.failed("see whether something was written"))
    }
}
