"""Branches of a two-phase commit as prepared transactions of PostgreSQL.

A prepared transaction keeps its locks until somebody ends it, and its barrier row is a part of it that nobody else sees. So calls of one
branch are first kept apart by an advisory lock, which a prepared transaction keeps, too: who does not get it looks whether the
transaction is prepared, and otherwise says "not yet".
"""

import re
from dataclasses import dataclass, field
from typing import Callable, List, Optional, Tuple
from urllib.parse import quote, unquote

from .answer import Answer
from .barrier import Barrier, Skip, perform
from .branch import ORIGIN_OF_ROLLBACK, Branch
from .dialect import Dialect

NAME_MAX = 199
"""Longest name of a prepared transaction: PostgreSQL's bound less its end mark."""

SWEEP_MAX = 1000
"""Most transactions of one search."""

WORKS_IN = {"2pc": "prepare", "xa": "action", "3pc": "pre_commit", "3pc_classic": "can_commit"}
"""The phase that does the work."""


@dataclass
class Swept:
    """What a search found and did, by the names of the transactions."""

    committed: List[str] = field(default_factory=list)
    rolled_back: List[str] = field(default_factory=list)
    left: List[str] = field(default_factory=list)
    unknown: List[Tuple[str, str]] = field(default_factory=list)


class Prepared:
    """Prepared transactions of PostgreSQL (psycopg, psycopg2) as branches of a two-phase commit.

    `system` keeps apart what is prepared on a server that several systems use; give each a barrier's table of its own. The
    transactions are called `flotilla:<system>:<gid>:<branch>`. PostgreSQL has to have `max_prepared_transactions` above 0.
    """

    def __init__(self, system: str, barrier: Optional[Barrier] = None):
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", system):
            raise ValueError(f"`{system}` cannot be the name of a system: 1 to 32 letters, digits, `_` and `-` are")
        self.system, self.barrier = system, barrier or Barrier()

    def name(self, gid: str, branch: str) -> str:
        """What a branch's transaction is called."""
        name = f"flotilla:{self.system}:{quote(gid, safe='')}:{quote(branch, safe='')}"
        if len(name) > NAME_MAX:
            raise ValueError(f"`{name}` is longer than the {NAME_MAX} bytes that PostgreSQL allows; ids should be shorter than 80")
        return name

    def call(self, connection, branch: Branch, work: Callable) -> Answer:
        """Does what the branch asks: the phase that does the work calls `work(cursor)` and prepares, commit and rollback end what is
        prepared. A cheap check of `can_commit`, or an announcement by `pre_commit`, is answered with yes."""
        if branch.op == WORKS_IN.get(branch.mode):
            return self._in_transaction(connection, lambda cursor: self._prepare(cursor, branch, work))
        if branch.op in ("can_commit", "pre_commit"):
            return Answer.done()
        if branch.op == "commit_one_phase":
            return self.barrier.call(connection, branch, work)
        if branch.mode in WORKS_IN and branch.op == "commit":
            return self._commit(connection, branch)
        if branch.mode in WORKS_IN and branch.op == "rollback":
            return self._roll_back(connection, branch)
        raise ValueError(f"`{branch.op}` of mode `{branch.mode}` is not for prepared transactions")

    def sweep(self, connection, decide: Callable[[str], str], age_seconds: float = 60) -> Swept:
        """Looks for this system's transactions in this database that are prepared for longer, asks `decide(gid)` (`Client.decision`) about
        each, and ends it so. Call it when the service starts and then from time to time; several instances may do so at once."""
        swept = Swept()
        for name in self._in_transaction(connection, lambda cursor: self._orphans(cursor, age_seconds)):
            parts = name.split(":")
            if len(parts) != 4:
                swept.unknown.append((name, "its name was not made by this helper"))
                continue
            gid, branch = unquote(parts[2]), unquote(parts[3])
            try:
                decision = decide(gid)
            except Exception as error:
                swept.unknown.append((name, str(error)))
                continue
            if decision == "commit":
                is_done = self._end(connection, "COMMIT", name) != "busy"
                (swept.committed if is_done else swept.left).append(name)
            elif decision == "abort":
                (swept.rolled_back if self._abandon(connection, gid, branch) else swept.left).append(name)
            else:
                swept.left.append(name)
        return swept

    def _prepare(self, cursor, branch, work) -> Answer:
        name, barrier = self.name(branch.gid, branch.id), self.barrier
        if not self._lock(cursor, name):
            cursor.execute(
                "SELECT 1 FROM pg_catalog.pg_prepared_xacts WHERE gid = %s AND database = pg_catalog.current_database()", (name,)
            )
            return Answer.done() if cursor.fetchone() else Answer.working()
        dialect, row = Dialect(cursor, barrier.dialect), barrier._row(branch, branch.op)
        found = barrier._find(dialect, cursor, row)
        if found is not None:
            is_own = found[0] == branch.op
            body = None if found[1] is None else bytes(found[1])
            return (Skip("duplicate", body) if is_own else Skip("too_late")).answer(branch)
        answer = perform(work, cursor)
        if not answer.keeps:
            return answer
        cursor.execute("SELECT pg_catalog.txid_current_if_assigned() IS NOT NULL")
        if not cursor.fetchone()[0]:
            # Locks that a transaction took on rows count as written, so nothing is given up here that the vote promises.
            return Answer.read_only()
        barrier._insert(dialect, cursor, row)
        barrier.remember(cursor, branch, answer)
        try:
            cursor.execute(f"PREPARE TRANSACTION '{name}'")
        except Exception as error:
            if _state(error) == "55000":
                raise RuntimeError(
                    "PostgreSQL keeps no prepared transactions: set `max_prepared_transactions` to at least the number of its "
                    "connections and restart it"
                ) from error
            raise
        return answer

    def _commit(self, connection, branch) -> Answer:
        ended = self._end(connection, "COMMIT", self.name(branch.gid, branch.id))
        if ended == "busy":
            return Answer.working()
        if ended == "gone":
            # Its row says who ended it: committed rows are there, those of an abort are not or have another reason.
            origin = branch.with_op("rollback").origin
            row, dialect = self.barrier._row(branch, origin), Dialect(connection, self.barrier.dialect)
            found = self._in_transaction(connection, lambda cursor: self.barrier._find(dialect, cursor, row))
            if not found or found[0] != origin:
                return Answer.heuristic("commit", "aborted")
        return Answer.done()

    def _roll_back(self, connection, branch) -> Answer:
        """Also leaves the mark that a late vote finds."""
        name = self.name(branch.gid, branch.id)
        if self._end(connection, "ROLLBACK", name) == "busy":
            return Answer.working()

        def mark(cursor):
            if not self._lock(cursor, name):
                # A vote is on its way.
                return Answer.working()
            dialect, row = Dialect(cursor, self.barrier.dialect), self.barrier._row(branch, branch.origin)
            if not self.barrier._insert(dialect, cursor, row):
                found = self.barrier._find(dialect, cursor, row)
                if found and found[0] == branch.origin:
                    return Answer.heuristic("rollback", "committed")
            self.barrier._insert(dialect, cursor, self.barrier._row(branch, branch.op))
            return Answer.done()

        return self._in_transaction(connection, mark)

    def _abandon(self, connection, gid, branch) -> bool:
        """As if the coordinator had said it. The name does not tell the protocol, so the marks of all are left."""
        modes = [*ORIGIN_OF_ROLLBACK, "xa"]
        answers = [self._roll_back(connection, Branch(gid, branch, "rollback", mode)) for mode in modes]
        return all(answer == Answer.done() for answer in answers)

    def _end(self, connection, how: str, name: str) -> str:
        """Ends what was prepared, which must happen outside of a transaction: `now`, `gone` or `busy`."""
        connection.rollback()
        before, connection.autocommit = connection.autocommit, True
        try:
            connection.cursor().execute(f"{how} PREPARED '{name}'")
            return "now"
        except Exception as error:
            words = {"42704": "gone", "55000": "busy"}
            if _state(error) in words:
                return words[_state(error)]
            raise
        finally:
            connection.autocommit = before

    def _lock(self, cursor, name) -> bool:
        """Whether nobody else is at this branch; until the end of the transaction, prepared or not."""
        cursor.execute("SELECT pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended(%s, 0))", (name,))
        return cursor.fetchone()[0]

    def _orphans(self, cursor, age_seconds) -> List[str]:
        cursor.execute(
            "SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database() "
            "AND pg_catalog.starts_with(gid, %s) AND prepared <= now() - make_interval(secs => %s) ORDER BY prepared LIMIT %s",
            (f"flotilla:{self.system}:", float(age_seconds), SWEEP_MAX),
        )
        return [row[0] for row in cursor.fetchall()]

    def _in_transaction(self, connection, work):
        """An answer that keeps nothing is rolled back; after a preparation there is nothing left to commit."""
        dialect = Dialect(connection, self.barrier.dialect)
        dialect.begin(connection)
        try:
            result = work(connection.cursor())
        except BaseException:
            dialect.end(connection, "ROLLBACK")
            raise
        keeps = not isinstance(result, Answer) or result.keeps
        dialect.end(connection, "COMMIT" if keeps else "ROLLBACK")
        return result


def _state(error) -> Optional[str]:
    """The SQLSTATE, which psycopg and psycopg2 call differently."""
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
