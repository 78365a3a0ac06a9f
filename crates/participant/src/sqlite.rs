//! The barrier in SQLite, by rusqlite.
//!
//! Give the connection a busy timeout (`Connection::busy_timeout`): SQLite has one writer at a time, and a call that finds another one
//! writing has to wait for it. A transaction of your own should begin with `BEGIN IMMEDIATE`, or it may fail when it first writes.

use crate::{
    Answer, BoxError, Branch, Error, Skip, Verdict,
    barrier::{self, Found, GIVEN_UP, MSG_REASON, Row, repeated},
};
use rusqlite::{
    Connection, OptionalExtension as _, Transaction, TransactionBehavior, params_from_iter,
};
use std::time::Duration;

/// The marker of SQLite's dialect.
#[derive(Debug)]
pub struct Sqlite;

/// A barrier in SQLite.
///
/// ```
/// # use flotilla_participant::{Answer, Branch, Mode, Op, sqlite::Barrier};
/// # let mut connection = rusqlite::Connection::open_in_memory().unwrap();
/// # connection.execute_batch("CREATE TABLE stock (left INTEGER); INSERT INTO stock VALUES (10)").unwrap();
/// # let branch = Branch::new("order-7", "reserve", Mode::Saga, Op::Action).unwrap();
/// let barrier = Barrier::new();
/// barrier.create_table(&connection)?;
/// for _ in 0..2 {
///     let answer = barrier.call(&mut connection, &branch, |tx| {
///         tx.execute("UPDATE stock SET left = left - 1", [])?;
///         Ok(Answer::done())
///     })?;
///     assert_eq!(answer, Answer::done());
/// }
/// let left: i64 = connection.query_row("SELECT left FROM stock", [], |row| row.get(0)).unwrap();
/// assert_eq!(left, 9);
/// # Ok::<(), flotilla_participant::Error>(())
/// ```
pub type Barrier = barrier::Barrier<Sqlite>;

impl Barrier {
    /// Makes the table unless it is there.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn create_table(&self, connection: &Connection) -> Result<(), Error> {
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS {} (
                trans_type TEXT NOT NULL, gid TEXT NOT NULL, branch_id TEXT NOT NULL, op TEXT NOT NULL,
                barrier_id TEXT NOT NULL, reason TEXT NOT NULL, answer BLOB,
                create_time TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
                PRIMARY KEY (gid, branch_id, op, barrier_id)
            ) WITHOUT ROWID",
            self.table
        );
        connection.execute_batch(&sql).map_err(self.failed("make the table"))
    }

    /// Decides about a call inside a transaction of the service. On [`Verdict::Skip`] the transaction is to be committed, too: an
    /// undo without its action has to leave its mark.
    ///
    /// # Errors
    /// [`Error::Database`]: roll back.
    pub fn check(&self, tx: &Transaction<'_>, branch: &Branch) -> Result<Verdict, Error> {
        let undoes_nothing = match branch.origin() {
            Some(origin) => self.insert(tx, self.row(branch, origin))?,
            None => false,
        };
        let row = self.row(branch, branch.row_op());
        if !self.insert(tx, row)? {
            let found = self.find(tx, row)?;
            let undo = branch.undo_of_vote().map(|op| self.row(branch, op));
            let is_undone = match undo {
                Some(undo) => self.find(tx, undo)?.is_some(),
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
    pub fn remember(
        &self,
        tx: &Transaction<'_>,
        branch: &Branch,
        answer: &Answer,
    ) -> Result<(), Error> {
        let Some(body) = self.kept(answer)? else { return Ok(()) };
        let sql = format!(
            "UPDATE {} SET answer = ?1 WHERE gid = ?2 AND branch_id = ?3 AND op = ?4 AND barrier_id = ?5",
            self.table
        );
        let [gid, id, op, part] = self.row(branch, branch.row_op()).key();
        let mut statement = tx.prepare_cached(&sql).map_err(self.failed("keep the answer"))?;
        statement.execute((body, gid, id, op, part)).map_err(self.failed("keep the answer"))?;
        Ok(())
    }

    /// Does `work` in a transaction if the barrier lets it, and answers what there is to answer. What `work` wrote is rolled back
    /// when it fails, refuses or is not done.
    ///
    /// # Errors
    /// [`Error`]; `Answer::from` makes an answer of it.
    pub fn call(
        &self,
        connection: &mut Connection,
        branch: &Branch,
        work: impl FnOnce(&Transaction<'_>) -> Result<Answer, BoxError>,
    ) -> Result<Answer, Error> {
        let tx = self.begin(connection)?;
        let answer = match self.check(&tx, branch)? {
            Verdict::Skip(skip) => skip.answer(branch),
            Verdict::Run => {
                let answer = work(&tx).map_err(Error::Work)?;
                if !answer.keeps() {
                    tx.rollback().map_err(self.failed("roll back"))?;
                    return Ok(answer);
                }
                self.remember(&tx, branch, &answer)?;
                answer
            }
        };
        tx.commit().map_err(self.failed("commit"))?;
        Ok(answer)
    }

    /// Marks, inside the local transaction, that the message `gid` shall be sent. Prepare the message before, submit it after the
    /// commit; when that is lost, the coordinator asks, and [`Self::message_query`] finds the mark.
    ///
    /// # Errors
    /// [`Error::GivenUp`] when it has asked before: roll back. [`Error::Database`]: roll back.
    pub fn message(&self, tx: &Transaction<'_>, gid: &str) -> Result<(), Error> {
        let inserted = self.insert(tx, self.message_row(gid, MSG_REASON)?)?;
        inserted.then_some(()).ok_or_else(|| Error::GivenUp { gid: gid.to_owned() })
    }

    /// Answers the coordinator's question whether the local transaction of a message was committed: done, or refused, after which
    /// it cannot be committed.
    ///
    /// # Errors
    /// [`Error::Database`]: it is not known yet, the coordinator asks again.
    pub fn message_query(
        &self,
        connection: &mut Connection,
        branch: &Branch,
    ) -> Result<Answer, Error> {
        let tx = self.begin(connection)?;
        let row = self.message_row(&branch.gid, GIVEN_UP)?;
        let given_up = self.insert(&tx, row)?
            || self.find(&tx, row)?.is_none_or(|found| found.reason == GIVEN_UP);
        tx.commit().map_err(self.failed("commit"))?;
        Ok(barrier::message_answer(given_up))
    }

    /// Deletes rows older than `age` and returns how many. A row is needed as long as its transaction may call: keep them longer than
    /// the coordinator keeps trying.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn forget(&self, connection: &Connection, age: Duration) -> Result<usize, Error> {
        let sql = format!("DELETE FROM {} WHERE create_time < datetime('now', ?1)", self.table);
        let age = format!("-{} seconds", age.as_secs());
        connection.execute(&sql, [age]).map_err(self.failed("delete old rows"))
    }

    /// Immediate: one that begins by reading cannot always be made one that writes.
    fn begin<'a>(&self, connection: &'a mut Connection) -> Result<Transaction<'a>, Error> {
        let behavior = TransactionBehavior::Immediate;
        connection.transaction_with_behavior(behavior).map_err(self.failed("begin"))
    }

    /// Whether the row was not there.
    fn insert(&self, tx: &Transaction<'_>, row: Row<'_>) -> Result<bool, Error> {
        let sql = format!(
            "INSERT INTO {} (trans_type, gid, branch_id, op, barrier_id, reason, create_time)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, CURRENT_TIMESTAMP) ON CONFLICT DO NOTHING",
            self.table
        );
        let doing = "write the row of a call";
        let mut statement = tx.prepare_cached(&sql).map_err(self.failed(doing))?;
        let count = statement.execute(params_from_iter(row.values()));
        Ok(count.map_err(self.failed(doing))? == 1)
    }

    fn find(&self, tx: &Transaction<'_>, row: Row<'_>) -> Result<Option<Found>, Error> {
        let sql = format!(
            "SELECT {} FROM {} WHERE gid = ?1 AND branch_id = ?2 AND op = ?3 AND barrier_id = ?4",
            self.columns(),
            self.table
        );
        let doing = "read the row of a call";
        let mut statement = tx.prepare_cached(&sql).map_err(self.failed(doing))?;
        let found = statement.query_row(params_from_iter(row.key()), |row| {
            Ok(Found { reason: row.get(0)?, answer: row.get(1)? })
        });
        found.optional().map_err(self.failed(doing))
    }
}
