//! The barrier: what a table of the service's own database says about a call, and what follows.
//!
//! In the transaction of the business, a call writes a row for its operation; an undo first writes the row of what it undoes.
//! Rows are unique, so:
//!
//! - the row was there: the call came before (*duplicate*), or its undo did and wrote it (*too late*);
//! - an undo could write the row of what it undoes: there is nothing to undo, and what comes later finds its row taken.
//!
//! Two calls at the same time are decided by the database: the second waits for the row until the first is committed or rolled
//! back. So a service needs no lock, and no rule beyond writing both in one transaction.

use crate::{Answer, Branch, Error, Op};
use std::{fmt, marker::PhantomData};

/// Most bytes of an answer that are kept for a repeated call. Later steps use ids and numbers of it, not documents.
pub const ANSWER_MAX: usize = 64 * 1024;

/// The table's name unless it is set.
const TABLE: &str = "barrier";

/// The part of a branch unless it is set; DTM counts from it.
const PART: &str = "01";

/// The row by which a local transaction says that its message shall be sent.
pub(crate) const MSG_BRANCH: &str = "00";
/// Why that row is there: the local transaction wrote it.
pub(crate) const MSG_REASON: &str = "msg";
/// Why that row is there: the coordinator asked first.
pub(crate) const GIVEN_UP: &str = "rollback";

/// A barrier in one kind of database. What can be done with it stands at `sqlite`, `postgres` and `mysql`.
///
/// Cheap to clone; it holds names, no connection.
#[must_use]
pub struct Barrier<D> {
    pub(crate) table: String,
    pub(crate) part: String,
    pub(crate) keeps_answers: bool,
    dialect: PhantomData<fn() -> D>,
}

/// What the barrier says about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// The work is to be done, in the same database transaction.
    Run,
    /// The work must not be done. Commit the database transaction and answer [`Skip::answer`].
    Skip(Skip),
}

/// Why a call has nothing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Skip {
    /// It was done before, with this answer if one was kept.
    Duplicate(Option<Vec<u8>>),
    /// It undoes what was never done.
    NothingToUndo,
    /// What undoes it was here first.
    TooLate,
}

impl Skip {
    /// What to tell the coordinator.
    #[must_use]
    pub fn answer(self, branch: &Branch) -> Answer {
        match self {
            Self::Duplicate(body) => Answer::again(body),
            Self::NothingToUndo => Answer::done(),
            // A yes would promise what nobody has prepared.
            Self::TooLate if branch.is_vote() => {
                Answer::refused("the transaction was rolled back here before")
            }
            Self::TooLate => Answer::done(),
        }
    }
}

impl<D> Barrier<D> {
    /// A barrier in the table `barrier`.
    pub fn new() -> Self {
        let (table, part) = (TABLE.to_owned(), PART.to_owned());
        Self { table, part, keeps_answers: true, dialect: PhantomData }
    }

    /// Another table: `table`, or `schema.table`.
    ///
    /// # Errors
    /// [`Error::Name`] unless it is made of letters, digits and `_`.
    pub fn in_table(mut self, name: &str) -> Result<Self, Error> {
        let is_word = |part: &str| {
            (1..=63).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                && !part.starts_with(|c: char| c.is_ascii_digit())
        };
        if !(name.split('.').all(is_word) && name.split('.').count() <= 2) {
            let expected = "`table` or `schema.table`, of letters, digits and `_`, is";
            return Err(Error::Name { what: "a table", name: name.to_owned(), expected });
        }
        name.clone_into(&mut self.table);
        Ok(self)
    }

    /// For a table that DTM's clients have made: it has no column for answers, so a repeated call is answered without a body.
    pub fn without_answers(mut self) -> Self {
        self.keeps_answers = false;
        self
    }

    /// A barrier for another part of the same request: one that does two things in two database transactions needs two, with
    /// different names, which must be the same whenever the request comes again. The first is `01`.
    ///
    /// # Errors
    /// [`Error::Name`] unless it is 1 to 32 letters, digits, `_` and `-`.
    pub fn part(mut self, name: &str) -> Result<Self, Error> {
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if !((1..=32).contains(&name.len()) && name.bytes().all(is_fine)) {
            let expected = "1 to 32 letters, digits, `_` and `-` are";
            return Err(Error::Name { what: "a part", name: name.to_owned(), expected });
        }
        name.clone_into(&mut self.part);
        Ok(self)
    }

    /// The row of an operation of this branch, written by the branch's own operation.
    pub(crate) fn row<'a>(&'a self, branch: &'a Branch, op: Op) -> Row<'a> {
        Row {
            mode: branch.mode.as_str(),
            gid: &branch.gid,
            branch: &branch.id,
            op: op.as_str(),
            part: &self.part,
            reason: branch.op.as_str(),
        }
    }

    /// The row of a message, if it can have that id.
    pub(crate) fn message_row<'a>(&self, gid: &'a str, reason: &'a str) -> Result<Row<'a>, Error> {
        let expected = "1 to 128 bytes without spaces, control characters and `;` are";
        let wrong = |_| Error::Name { what: "a transaction", name: gid.to_owned(), expected };
        Branch::new(gid, MSG_BRANCH, crate::Mode::Msg, Op::Msg).map_err(wrong)?;
        Ok(Row { mode: "msg", gid, branch: MSG_BRANCH, op: "msg", part: PART, reason })
    }

    /// The answer's bytes, if they are to be kept.
    pub(crate) fn kept<'a>(&self, answer: &'a Answer) -> Result<Option<&'a [u8]>, Error> {
        let body = answer.kept_body().filter(|_| self.keeps_answers);
        match body.map(<[u8]>::len) {
            Some(size) if size > ANSWER_MAX => Err(Error::AnswerSize { size, max: ANSWER_MAX }),
            _ => Ok(body),
        }
    }

    /// The columns that a duplicate is read from.
    pub(crate) fn columns(&self) -> &'static str {
        if self.keeps_answers { "reason, answer" } else { "reason, NULL" }
    }

    /// A row that was there and then was not.
    pub(crate) fn vanished(&self) -> Error {
        self.failed("see who wrote the row of a call, which is gone")("it was deleted meanwhile")
    }

    /// For `map_err`.
    pub(crate) fn failed<E: Into<crate::BoxError>>(
        &self,
        doing: &'static str,
    ) -> impl Fn(E) -> Error + use<'_, D, E> {
        move |cause| Error::Database { doing, table: self.table.clone(), cause: cause.into() }
    }
}

impl<D> Default for Barrier<D> {
    fn default() -> Self {
        Self::new()
    }
}

impl<D> Clone for Barrier<D> {
    fn clone(&self) -> Self {
        let Self { table, part, keeps_answers, dialect } = self;
        let (table, part) = (table.clone(), part.clone());
        Self { table, part, keeps_answers: *keeps_answers, dialect: *dialect }
    }
}

impl<D> fmt::Debug for Barrier<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Barrier {{ {} {} }}", self.table, self.part)
    }
}

/// A row of the table, without its time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub(crate) mode: &'a str,
    pub(crate) gid: &'a str,
    pub(crate) branch: &'a str,
    pub(crate) op: &'a str,
    pub(crate) part: &'a str,
    pub(crate) reason: &'a str,
}

impl<'a> Row<'a> {
    /// In the order of the statements.
    pub(crate) fn values(&self) -> [&'a str; 6] {
        [self.mode, self.gid, self.branch, self.op, self.part, self.reason]
    }

    /// What it is found by.
    pub(crate) fn key(&self) -> [&'a str; 4] {
        [self.gid, self.branch, self.op, self.part]
    }
}

/// A row that was there when a call came: who wrote it, and the answer that was kept with it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) reason: String,
    pub(crate) answer: Option<Vec<u8>>,
}

/// What follows from a row that was there. One that is gone again was rolled back meanwhile, so nothing is known: `None`. A vote that
/// was undone since (`is_undone`) is none any more, however often it is asked for.
pub(crate) fn repeated(branch: &Branch, found: Option<Found>, is_undone: bool) -> Option<Verdict> {
    let Found { reason, answer } = found?;
    let is_own = reason == branch.op.as_str() && !is_undone;
    Some(Verdict::Skip(if is_own { Skip::Duplicate(answer) } else { Skip::TooLate }))
}

/// The answer to the question whether a message shall be sent.
pub(crate) fn message_answer(given_up: bool) -> Answer {
    match given_up {
        true => Answer::refused("the local transaction of the message was not committed"),
        false => Answer::done(),
    }
}
