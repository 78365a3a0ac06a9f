"""Branches of a two-phase commit on a real PostgreSQL."""

import unittest

from flotilla.tx import Answer, Branch, Prepared, Refused, Swept, Working
from tests.databases import Bank, Postgres, postgres_address


def withdraw(cursor):
    cursor.execute("UPDATE account SET balance = balance - 3")


@unittest.skipUnless(postgres_address(), "FLOTILLA_TEST_POSTGRES names no server")
class PreparedTransactions(unittest.TestCase):
    def setUp(self):
        self.bank = Bank(Postgres(postgres_address()))
        self.addCleanup(self.bank.close)
        # The names of prepared transactions are those of the whole server.
        self.prepared = Prepared(self.bank.database.database)
        self.addCleanup(self.end_all)

    def end_all(self):
        self.prepared.sweep(self.bank.connection, lambda gid: "abort", 0)

    def call(self, op, gid="a", work=withdraw, mode="2pc", connection=None):
        return self.prepared.call(connection or self.bank.connection, Branch(gid, "from", op, mode), work)

    def count(self):
        cursor = self.bank.connection.cursor()
        cursor.execute("SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()")
        value = cursor.fetchone()[0]
        self.bank.connection.rollback()
        return value

    def test_what_is_prepared_waits_for_the_commit_and_each_call_may_come_again(self):
        for _ in range(2):
            self.assertEqual(self.call("prepare"), Answer.done())
            self.assertEqual((self.bank.balance(), self.count()), (0, 1))
        other = self.bank.database.connect()
        self.addCleanup(other.close)
        for _ in range(2):
            self.assertEqual(self.call("commit", connection=other), Answer.done())
            self.assertEqual((self.bank.balance(), self.count()), (-3, 0))
        self.assertEqual(self.call("prepare"), Answer.done())
        self.assertEqual(self.call("rollback"), Answer.heuristic("rollback", "committed"))
        self.assertEqual((self.bank.balance(), self.count()), (-3, 0))

    def test_it_works_with_connections_that_commit_alone(self):
        connection = Postgres.connect(self.bank.database)
        self.addCleanup(connection.close)
        connection.autocommit = True
        self.assertEqual(self.call("prepare", connection=connection), Answer.done())
        self.assertEqual(self.call("commit", connection=connection), Answer.done())
        self.assertEqual((self.bank.balance(), self.count(), connection.autocommit), (-3, 0, True))

    def test_what_is_rolled_back_stays_so_and_a_late_vote_is_a_no(self):
        for gid, is_prepared in [("a", True), ("b", False)]:
            if is_prepared:
                self.assertEqual(self.call("prepare", gid), Answer.done())
            for _ in range(2):
                self.assertEqual(self.call("rollback", gid), Answer.done())
            self.assertEqual(self.call("prepare", gid).status, 409)
            self.assertEqual(self.call("commit", gid), Answer.heuristic("commit", "aborted"))
            self.assertEqual((self.bank.balance(), self.count()), (0, 0))

    def test_each_protocol_has_its_phase_that_works(self):
        for mode, ops in [
            ("xa", ["action", "commit"]),
            ("3pc", ["can_commit", "pre_commit", "commit"]),
            ("3pc_classic", ["can_commit", "pre_commit", "commit"]),
            ("2pc", ["commit_one_phase", "commit_one_phase"]),
        ]:
            before = self.bank.balance()
            for op in ops:
                self.assertEqual(self.call(op, mode, mode=mode), Answer.done())
            self.assertEqual((self.bank.balance(), self.count()), (before - 3, 0))
        with self.assertRaises(ValueError):
            self.call("action", mode="saga")

    def test_who_wrote_nothing_needs_no_second_phase(self):
        read = self.call("prepare", "a", lambda cursor: cursor.execute("SELECT * FROM account") and None)
        self.assertEqual((read, self.count()), (Answer.read_only(), 0))
        locked = self.call("prepare", "b", lambda cursor: cursor.execute("SELECT * FROM account FOR UPDATE") and None)
        self.assertEqual((locked, self.count()), (Answer.done(), 1))

    def test_a_no_or_a_failure_leaves_nothing_and_may_become_a_yes(self):
        for error in (Refused("too little"), Working(), ZeroDivisionError()):

            def work(cursor, error=error):
                withdraw(cursor)
                raise error

            if isinstance(error, ZeroDivisionError):
                self.assertRaises(ZeroDivisionError, self.call, "prepare", work=work)
            else:
                self.assertIn(self.call("prepare", work=work).status, (409, 425))
            self.assertEqual((self.bank.balance(), self.count()), (0, 0))
        self.assertEqual(self.call("prepare"), Answer.done())

    def test_calls_during_a_vote_say_not_yet(self):
        other, seen = self.bank.database.connect(), []
        self.addCleanup(other.close)

        def work(cursor):
            withdraw(cursor)
            seen.extend(self.call(op, connection=other) for op in ("prepare", "rollback"))

        self.assertEqual(self.call("prepare", work=work), Answer.done())
        self.assertEqual(seen, [Answer.working(), Answer.working()])
        self.assertEqual(self.call("rollback"), Answer.done())

    def test_a_search_ends_what_was_decided_and_leaves_the_rest(self):
        def insert(cursor):
            cursor.execute("INSERT INTO account VALUES (1)")

        for gid in ["commit:1", "abort@2", "undecided", "unknown"]:
            self.assertEqual(self.call("prepare", gid, insert), Answer.done())

        def decide(gid):
            if gid == "unknown":
                raise OSError("nobody answers")
            return {"commit:1": "commit", "abort@2": "abort"}.get(gid, "undecided")

        def name(gid):
            return self.prepared.name(gid, "from")

        self.assertEqual(self.prepared.sweep(self.bank.connection, decide, 3600), Swept())
        rest = {"left": [name("undecided")], "unknown": [(name("unknown"), "nobody answers")]}
        swept = self.prepared.sweep(self.bank.connection, decide, 0)
        self.assertEqual(swept, Swept(committed=[name("commit:1")], rolled_back=[name("abort@2")], **rest))
        self.assertEqual(self.prepared.sweep(self.bank.connection, decide, 0), Swept(**rest))
        for gid, op in [("commit:1", "commit"), ("abort@2", "rollback"), ("undecided", "commit")]:
            self.assertEqual(self.call(op, gid), Answer.done())
        self.assertEqual(self.call("prepare", "abort@2").status, 409)


class Names(unittest.TestCase):
    def test_names_that_do_not_fit_are_refused(self):
        prepared = Prepared("shop")
        self.assertEqual(prepared.name("order 7'; DROP", "a:b"), "flotilla:shop:order%207%27%3B%20DROP:a%3Ab")
        self.assertRaises(ValueError, prepared.name, "x" * 128, "y" * 80)
        for system in ["", "a:b", "a'b", "x" * 33]:
            self.assertRaises(ValueError, Prepared, system)


if __name__ == "__main__":
    unittest.main()
