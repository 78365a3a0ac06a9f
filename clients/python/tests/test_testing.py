"""The checks find what services do wrong."""

import unittest

from flotilla.tx import Answer, Branch
from flotilla.tx.testing import Step, check_steps, fail_at_each_step, run_each_step_twice
from tests.databases import Bank, Memory

STEPS = [
    Step.saga("reserve", "/reserve", "/release?by=5", {"sku": "apple"}),
    Step.tcc("seat", "/try", "/confirm", "/cancel"),
    Step.two_phase("from", "/tx"),
    Step.three_phase("to", "/tx"),
]


class Shop:
    """A service with an account."""

    def __init__(self):
        self.bank = Bank(Memory())

    def call(self, path, query, headers, body):
        branch = Branch.from_request(query, headers)
        works = {"action": 5, "try": 5, "prepare": 5, "pre_commit": 5, "compensate": -5, "cancel": -5, "rollback": -5}
        return self.answer(branch, works.get(branch.op, 0)).as_tuple()

    def answer(self, branch, by):
        return self.bank.change(branch, by)

    def state(self):
        return self.bank.balance()


class WithoutBarrier(Shop):
    def answer(self, branch, by):
        self.bank.execute(f"UPDATE account SET balance = balance + ({by})")
        return Answer.done()


class WithHalfAnUndo(Shop):
    def answer(self, branch, by):
        return self.bank.change(branch, -4 if by == -5 else by)


class WithARefusal(Shop):
    def answer(self, branch, by):
        return Answer.refused("sold out") if branch.op == "prepare" else self.bank.change(branch, by)


class Checks(unittest.TestCase):
    def test_a_service_with_a_barrier_holds(self):
        check_steps(Shop, STEPS)

    def test_faults_are_found_and_named(self):
        for shop, text in [
            (WithoutBarrier, "every call twice: the second action of `reserve` changed the state from 5 to 10"),
            (WithoutBarrier, "an undo before its action: the cancel of `seat`, which never ran, changed the state from 0 to -5"),
            (WithoutBarrier, "an action after its undo: the late prepare of `from`, which was undone, changed the state from 0 to 5"),
            (WithHalfAnUndo, "a failure at every step: a transaction that failed after the pre_commit of `to` and was undone changed"),
            (WithARefusal, "every call twice: the prepare of `from` was answered 409 `sold out`"),
        ]:
            with self.assertRaises(AssertionError) as raised:
                check_steps(shop, STEPS)
            self.assertIn(text, str(raised.exception))

    def test_each_trial_can_be_made_alone(self):
        self.assertEqual(run_each_step_twice(Shop, STEPS) + fail_at_each_step(Shop, STEPS), [])
        self.assertNotEqual(run_each_step_twice(WithoutBarrier, STEPS), [])


if __name__ == "__main__":
    unittest.main()
