"""The barrier means the same on every database."""

import random
import sqlite3
import threading
import time
import unittest

from flotilla.tx import ANSWER_MAX, Answer, Barrier, Branch, GivenUp, Invalid, Refused, Skip, Working, participant
from tests.databases import Bank, Sqlite, databases

WAIT_MAX = 60
"""How long anything may take on a busy machine, in seconds."""


def saga(gid, op):
    return Branch(gid, "01", op, "saga")


def raising(error):
    def end():
        raise error

    return end


class OnEachDatabase(unittest.TestCase):
    def each(self, check):
        for database in databases():
            with self.subTest(database=database.name, **database.options):
                bank = Bank(database)
                try:
                    check(bank)
                finally:
                    bank.close()

    def test_a_repeated_call_works_once_and_gets_the_first_answer(self):
        def check(bank):
            for attempt in range(3):
                answer = bank.change(saga("a", "action"), 5, lambda: {"attempt": attempt})
                self.assertEqual(answer, Answer.json({"attempt": 0}))
            self.assertEqual(bank.balance(), 5)

        self.each(check)

    def test_an_undo_without_its_action_does_nothing_and_holds_the_action_back(self):
        def check(bank):
            for gid, mode, forward, back in [
                ("a", "saga", "action", "compensate"),
                ("b", "tcc", "try", "cancel"),
                ("c", "xa", "action", "rollback"),
                ("d", "2pc", "prepare", "rollback"),
                ("e", "3pc", "pre_commit", "rollback"),
                ("f", "3pc_classic", "can_commit", "rollback"),
                ("g", "2pc", "commit_one_phase", "rollback"),
            ]:
                forward, back = Branch(gid, "01", forward, mode), Branch(gid, "01", back, mode)
                for _ in range(2):
                    self.assertEqual(bank.change(back, -5), Answer.done())
                    self.assertEqual(bank.change(forward, 5).status, 409 if forward.is_vote else 200)
                self.assertEqual(bank.balance(), 0)

        self.each(check)

    def test_a_vote_that_was_undone_is_not_given_again(self):
        def check(bank):
            vote = Branch("a", "01", "prepare", "2pc")
            for branch, by, status in [(vote, 5, 200), (vote, 5, 200), (vote.with_op("rollback"), -5, 200), (vote, 5, 409)]:
                self.assertEqual(bank.change(branch, by).status, status)
            self.assertEqual(bank.balance(), 0)

        self.each(check)

    def test_what_was_refused_failed_or_is_not_done_leaves_nothing(self):
        def check(bank):
            action = saga("a", "action")
            refused = bank.change(action, 5, raising(Refused("sold out")))
            self.assertEqual((refused.status, refused.body), (409, b"sold out"))
            self.assertEqual(bank.change(action, 5, raising(Working())).status, 425)
            with self.assertRaises(ZeroDivisionError):
                bank.change(action, 5, lambda: 1 / 0)
            self.assertEqual(bank.balance(), 0)
            self.assertEqual(bank.change(action, 5), Answer.done())
            self.assertEqual(bank.balance(), 5)

        self.each(check)

    def test_a_message_is_sent_exactly_if_its_transaction_was_committed(self):
        def check(bank):
            def query(gid):
                return bank.barrier.message_query(bank.connection, Branch(gid, "00", "msg", "msg")).status

            bank.barrier.message(bank.connection, "sent")
            bank.connection.commit()
            self.assertEqual([query("sent"), query("sent")], [200, 200])
            self.assertEqual(query("lost"), 409)
            with self.assertRaises(GivenUp):
                bank.barrier.message(bank.connection, "lost")
            bank.connection.rollback()
            self.assertEqual(query("lost"), 409)
            with self.assertRaises(Invalid):
                bank.barrier.message(bank.connection, "a gid")

        self.each(check)

    def test_ids_that_differ_only_in_case_are_different_transactions(self):
        def check(bank):
            for gid in ["order-a", "order-A", "order-ä"]:
                bank.change(saga(gid, "action"), 1)
            self.assertEqual(bank.balance(), 3)

        self.each(check)

    def test_old_rows_are_forgotten(self):
        def check(bank):
            bank.change(saga("a", "action"), 1)
            self.assertEqual(bank.barrier.forget(bank.connection, 3600), 0)
            bank.execute("UPDATE barrier SET create_time = '2020-01-01 00:00:00'")
            self.assertEqual(bank.barrier.forget(bank.connection, 3600), 1)

        self.each(check)

    def test_calls_in_any_order_and_number_leave_what_the_protocol_means(self):
        # The action works at most once, its undo at most once and only after it, and the account has the action's effect exactly if the
        # action was called and its undo was not.
        def check(bank):
            seed = random.randrange(1 << 30)
            dice, before = random.Random(seed), bank.balance()
            for number in range(30):
                calls = dice.choices(["action", "compensate"], k=dice.randint(1, 7))
                ran = []
                for op in calls:
                    bank.change(saga(f"gid-{number}", op), 7 if op == "action" else -7, lambda: ran.append(op))
                first, is_undone = calls[0] == "action", "compensate" in calls
                expected = (["action"] if first else []) + (["compensate"] if first and is_undone else [])
                self.assertEqual(ran, expected, f"{calls} (seed {seed})")
                before += 7 if "action" in calls and not is_undone else 0
                self.assertEqual(bank.balance(), before, f"{calls} (seed {seed})")

        self.each(check)

    def test_calls_at_the_same_time_leave_what_the_protocol_means(self):
        def check(bank):
            for undos in (0, 2, 4):
                before, errors = bank.balance(), []
                ops = ["compensate"] * undos + ["action"] * (4 - undos)

                def insist(op, gid=f"undos-{undos}"):
                    connection, end = bank.database.connect(), time.monotonic() + WAIT_MAX
                    try:
                        while True:
                            try:
                                return bank.change(saga(gid, op), 7 if op == "action" else -7, connection=connection)
                            except Exception as error:
                                # A database may end one of two calls; the coordinator calls again.
                                if time.monotonic() > end:
                                    return errors.append(error)
                    finally:
                        connection.close()

                threads = [threading.Thread(target=insist, args=(op,)) for op in ops]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                self.assertEqual(errors, [])
                self.assertEqual(bank.balance() - before, 0 if undos else 7)

        self.each(check)


class Alone(unittest.TestCase):
    def setUp(self):
        self.bank = Bank(Sqlite())
        self.addCleanup(self.bank.close)

    def test_a_transaction_of_the_service_decides_for_itself(self):
        connection, barrier = self.bank.connection, self.bank.barrier
        cursor = connection.cursor()
        self.assertIsNone(barrier.check(cursor, saga("a", "action")))
        barrier.remember(cursor, saga("a", "action"), Answer.json([1]))
        connection.commit()
        self.assertEqual(barrier.check(connection, saga("a", "action")), Skip("duplicate", b"[1]"))
        self.assertIsNone(barrier.check(connection, saga("a", "compensate")))
        self.assertEqual(barrier.check(connection, saga("b", "compensate")), Skip("nothing_to_undo"))
        self.assertEqual(barrier.check(connection, saga("b", "action")), Skip("too_late"))
        with self.assertRaisesRegex(RuntimeError, "is in a transaction"):
            barrier.call(connection, saga("c", "action"), lambda cursor: None)
        # What is rolled back was never there.
        connection.rollback()
        self.assertIsNone(barrier.check(connection, saga("b", "action")))

    def test_parts_of_a_request_have_barriers_of_their_own(self):
        for part, answer in [("01", 1), ("stock", 2), ("01", 1), ("stock", 2)]:
            found = Barrier(part=part).call(self.bank.connection, saga("a", "action"), lambda cursor: answer)
            self.assertEqual(found, Answer.json(answer))

    def test_names_that_could_be_sql_are_refused(self):
        for table in ["", "a.b.c", "a-b", "a;b", "1a", "a.", "x" * 64]:
            with self.assertRaises(ValueError):
                Barrier(table=table)
        with self.assertRaises(ValueError):
            Barrier(part="a b")
        with self.assertRaisesRegex(TypeError, "no known driver"):
            Barrier().check(object(), saga("a", "action"))

    def test_an_answer_that_is_too_long_to_be_kept_is_an_error_and_nothing_is_done(self):
        with self.assertRaisesRegex(ValueError, "not kept"):
            self.bank.change(saga("a", "action"), 5, lambda: "x" * ANSWER_MAX)
        self.assertEqual(self.bank.balance(), 0)
        for _ in range(2):
            self.assertEqual(len(self.bank.change(saga("a", "action"), 5, lambda: "x" * (ANSWER_MAX - 2)).body), ANSWER_MAX)

    def test_a_table_of_dtm_will_do(self):
        self.bank.execute("DROP TABLE barrier")
        self.bank.execute(
            "CREATE TABLE barrier (id INTEGER PRIMARY KEY, trans_type TEXT, gid TEXT, branch_id TEXT, op TEXT, barrier_id TEXT, "
            "reason TEXT, create_time TEXT, UNIQUE (gid, branch_id, op, barrier_id))"
        )
        barrier = Barrier(keeps_answers=False)
        answers = [barrier.call(self.bank.connection, saga("a", "action"), lambda cursor: 1) for _ in range(2)]
        self.assertEqual(answers, [Answer.json(1), Answer.done()])

    def test_a_function_becomes_a_participant(self):
        database = self.bank.database

        @participant(connect=database.connect)
        def reserve(cursor, branch, body):
            """Reserves."""
            if body == "no":
                raise Refused("sold out")
            cursor.execute("UPDATE account SET balance = balance - ?", [body])
            return {"left": 1}

        query = "gid={}&branch_id=01&op=action&trans_type=saga"
        self.assertEqual(reserve.__doc__, "Reserves.")
        for _ in range(2):
            self.assertEqual(reserve(query.format("a"), {}, 3).as_tuple(), (b'{"left":1}', 200, {"Content-Type": "application/json"}))
        self.assertEqual(self.bank.balance(), -3)
        self.assertEqual(reserve(query.format("b"), {}, "no").status, 409)
        self.assertEqual(reserve("", {}, 3).status, 400)
        with self.assertLogs("flotilla.tx", "ERROR"):
            answer = reserve(query.format("c"), {}, [])
        self.assertEqual((answer.status, b"Error" in answer.body), (500, True))

    def test_a_pool_gives_the_connection_back(self):
        connection, given_back = sqlite3.connect(":memory:"), []
        Barrier().create_table(connection)

        class Lent:
            def __enter__(self):
                return connection

            def __exit__(self, *error):
                given_back.append(error[0])

        handler = participant(connect=Lent)(lambda cursor, branch, body: None)
        self.assertEqual(handler("gid=a&branch_id=01&op=action&trans_type=saga", {}), Answer.done())
        self.assertEqual(given_back, [None])
        connection.close()


if __name__ == "__main__":
    unittest.main()
