"""The barrier: what a table of the service's own database says about a call, and what follows.

In the transaction of the business, a call writes a row for its operation; an undo first writes the row of what it undoes. Rows are
unique, so a row that was there tells a duplicate or a call that comes too late, and an undo that could write the row of what it undoes has
nothing to undo. Two calls at the same time are decided by the database, which lets the second wait.
"""

import re
from dataclasses import dataclass
from typing import Callable, Optional

from .answer import Answer, Refused, Working
from .branch import Branch, check_id
from .dialect import CREATE, CREATE_LOCK, FORGET, Dialect, cursor_of

ANSWER_MAX = 64 * 1024
"""Most bytes of an answer that are kept for a repeated call. Later steps use ids and numbers of it, not documents."""

MESSAGE = ("msg", "00", "msg", "01")
"""Mode, branch, operation and part of the row by which a local transaction says that its message shall be sent."""


class GivenUp(Exception):
    """The coordinator asked for the message before its transaction wrote the mark, and was told that it is not sent. Roll back."""


@dataclass(frozen=True)
class Skip:
    """A call has nothing to do: it is a `duplicate`, has `nothing_to_undo`, or comes `too_late`."""

    why: str
    body: Optional[bytes] = None

    def answer(self, branch: Branch) -> Answer:
        """What to tell the coordinator."""
        if self.why == "too_late" and branch.is_vote:
            # A yes would promise what nobody has prepared.
            return Answer.refused("the transaction was rolled back here before")
        return Answer(200, self.body or b"")


class Barrier:
    """A barrier in a table of SQLite, PostgreSQL or MySQL; the driver is known by the connection. It holds names, no connection.

    `part` is for a request that does two things in two database transactions: it needs two barriers, with different parts, which must
    be the same whenever the request comes again. `keeps_answers=False` is for a table that DTM's clients have made.
    """

    def __init__(self, table="barrier", part="01", keeps_answers=True, dialect=None):
        word = r"[A-Za-z_][A-Za-z0-9_]{0,62}"
        if not re.fullmatch(rf"{word}(\.{word})?", table):
            raise ValueError(f"`{table}` cannot be the name of a table: `table` or `schema.table`, of letters, digits and `_`, is")
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", part):
            raise ValueError(f"`{part}` cannot be the name of a part: 1 to 32 letters, digits, `_` and `-` are")
        self.table, self.part, self.keeps_answers, self.dialect = table, part, keeps_answers, dialect

    def create_table(self, connection) -> None:
        """Makes the table unless it is there."""
        dialect = Dialect(connection, self.dialect)
        dialect.begin(connection)
        try:
            cursor = connection.cursor()
            if dialect.kind == "postgres":
                cursor.execute(f"SELECT pg_catalog.pg_advisory_xact_lock({CREATE_LOCK})")
            cursor.execute(CREATE[dialect.kind].format(table=self.table))
        except BaseException:
            dialect.end(connection, "ROLLBACK")
            raise
        dialect.end(connection, "COMMIT")

    def check(self, it, branch: Branch) -> Optional[Skip]:
        """Decides about a call inside a transaction of the service: `None` means that the work is to be done.

        `it` is the connection or a cursor of it. After a `Skip` the transaction is to be committed, too: an undo without its action
        has to leave its mark.
        """
        dialect, cursor = Dialect(it, self.dialect), cursor_of(it)
        undoes_nothing = branch.origin is not None and self._insert(dialect, cursor, self._row(branch, branch.origin))
        row = self._row(branch, branch.row_op)
        if not self._insert(dialect, cursor, row):
            return self._repeated(dialect, cursor, branch, row)
        return Skip("nothing_to_undo") if undoes_nothing else None

    def remember(self, it, branch: Branch, answer: Answer) -> None:
        """Keeps the answer of a call for the case that it comes again; `call` does it by itself."""
        if not (answer.keeps and answer.body and self.keeps_answers):
            return
        if len(answer.body) > ANSWER_MAX:
            raise ValueError(
                f"the answer has {len(answer.body)} bytes, more than {ANSWER_MAX} are not kept for a repeated call; "
                "answer with an id and keep the rest with the business"
            )
        sql = f"UPDATE {self.table} SET answer = ? WHERE gid = ? AND branch_id = ? AND op = ? AND barrier_id = ?"
        key = self._row(branch, branch.row_op)[1:5]
        Dialect(it, self.dialect).execute(cursor_of(it), sql, (answer.body, *key))

    def call(self, connection, branch: Branch, work: Callable) -> Answer:
        """Does `work(cursor)` in a transaction if the barrier lets it, and says what there is to answer.

        What `work` returns is told as JSON. What it wrote is rolled back when it raises, and `Refused` and `Working` become their
        answers; other exceptions go on to the caller.
        """
        dialect = Dialect(connection, self.dialect)
        dialect.begin(connection)
        try:
            cursor = connection.cursor()
            skip = self.check(cursor, branch)
            if skip is not None:
                answer = skip.answer(branch)
            else:
                answer = perform(work, cursor)
                self.remember(cursor, branch, answer)
            keeps = skip is not None or answer.keeps
        except BaseException:
            dialect.end(connection, "ROLLBACK")
            raise
        dialect.end(connection, "COMMIT" if keeps else "ROLLBACK")
        return answer

    def message(self, it, gid: str) -> None:
        """Marks, inside the local transaction, that the message `gid` shall be sent; `GivenUp` when it is too late for that."""
        check_id("transaction id", gid)
        dialect, cursor = Dialect(it, self.dialect), cursor_of(it)
        if not self._insert(dialect, cursor, _message(gid, "msg")):
            raise GivenUp(f"the message `{gid}` was given up before its local transaction was done; roll that back")

    def message_query(self, connection, branch: Branch) -> Answer:
        """Answers the coordinator's question whether the local transaction of a message was committed: done, or refused, after which
        it cannot be committed. While it runs, this waits for it."""
        dialect = Dialect(connection, self.dialect)
        dialect.begin(connection)
        try:
            cursor, row = connection.cursor(), _message(branch.gid, "rollback")
            if self._insert(dialect, cursor, row):
                reason = "rollback"
            else:
                found = self._find(dialect, cursor, row)
                reason = found[0] if found else "rollback"
        except BaseException:
            dialect.end(connection, "ROLLBACK")
            raise
        dialect.end(connection, "COMMIT")
        if reason == "rollback":
            return Answer.refused("the local transaction of the message was not committed")
        return Answer.done()

    def forget(self, connection, seconds: int) -> int:
        """Deletes rows that are older and returns how many. Keep them longer than the coordinator keeps trying."""
        dialect = Dialect(connection, self.dialect)
        dialect.begin(connection)
        cursor = dialect.execute(connection.cursor(), FORGET[dialect.kind].format(table=self.table), (int(seconds),))
        count = cursor.rowcount
        dialect.end(connection, "COMMIT")
        return count

    def _row(self, branch: Branch, op: str):
        return (branch.mode, branch.gid, branch.id, op, self.part, branch.op)

    def _insert(self, dialect, cursor, row) -> bool:
        return dialect.execute(cursor, dialect.insert(self.table), row).rowcount == 1

    def _find(self, dialect, cursor, row):
        columns = "reason, answer" if self.keeps_answers else "reason, NULL"
        return dialect.execute(cursor, dialect.find(self.table, columns), row[1:5]).fetchone()

    def _repeated(self, dialect, cursor, branch, row) -> Skip:
        found = self._find(dialect, cursor, row)
        if found is None:
            raise RuntimeError(f"the row of a call was deleted from `{self.table}` meanwhile")
        reason, body = found
        undo = branch.undo_of_vote
        if reason != branch.op or (undo and self._find(dialect, cursor, self._row(branch, undo))):
            return Skip("too_late")
        return Skip("duplicate", None if body is None else bytes(body))


def perform(work: Callable, cursor) -> Answer:
    """Does the work; its ways to say no are answers."""
    try:
        return Answer.of(work(cursor))
    except Refused as refused:
        return Answer.refused(str(refused))
    except Working:
        return Answer.working()


def _message(gid, reason):
    mode, branch, op, part = MESSAGE
    return (mode, gid, branch, op, part, reason)
