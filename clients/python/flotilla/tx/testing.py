"""Tries a service's own handlers with what happens in bad hours: every call twice, a failure at every step, an undo that comes before its
action, an action that comes after its undo.

    class Shop:
        def __init__(self): ...                               # a fresh service, with an empty database
        def call(self, path, query, headers, body): ...       # -> Answer, or (body, status, headers)
        def state(self): ...                                  # what must be right: balances, rows; without the barrier's table

    check_steps(Shop, [Step.saga("reserve", "/reserve", "/release", {"sku": "apple"})])
"""

from dataclasses import dataclass
from typing import Any, Callable, List, Sequence, Tuple
from urllib.parse import urlencode

from .answer import Answer
from .branch import Branch

GID = "check-1"
"""Every run has a fresh service, so all may have the same transaction."""


@dataclass(frozen=True)
class Step:
    """One branch of a transaction: its calls on the way to the end, with their paths, and what undoes it."""

    id: str
    mode: str
    forward: Tuple[Tuple[str, str], ...]
    back: Tuple[str, str]
    body: Any = None

    @classmethod
    def saga(cls, id, action, compensate, body=None):
        """A step of a saga, with the paths of its action and of what undoes it."""
        return cls(id, "saga", (("action", action),), ("compensate", compensate), body)

    @classmethod
    def tcc(cls, id, try_, confirm, cancel, body=None):
        """A reservation, with the paths that make it, turn it into a fact, and give it back."""
        return cls(id, "tcc", (("try", try_), ("confirm", confirm)), ("cancel", cancel), body)

    @classmethod
    def two_phase(cls, id, path, body=None):
        """A branch of a two-phase commit, with the path that all its phases are sent to."""
        return cls(id, "2pc", (("prepare", path), ("commit", path)), ("rollback", path), body)

    @classmethod
    def three_phase(cls, id, path, body=None):
        """A branch of a strict three-phase commit, with the path that all its phases are sent to."""
        return cls(id, "3pc", tuple((op, path) for op in ("can_commit", "pre_commit", "commit")), ("rollback", path), body)

    def may_fail(self, phase):
        """Whether a transaction can still be undone when this phase fails."""
        return phase < max(1, len(self.forward) - 1)


def check_steps(fresh: Callable, steps: Sequence[Step]) -> None:
    """Tries everything that this module has; `AssertionError` names every problem."""
    trials = (run_each_step_twice, fail_at_each_step, undo_before_action, action_after_undo)
    found = [problem for trial in trials for problem in trial(fresh, steps)]
    if found:
        raise AssertionError("the steps do not hold:\n" + "\n".join(f"- {problem}" for problem in found))


def run_each_step_twice(fresh: Callable, steps: Sequence[Step]) -> List[str]:
    """Every call is made twice, as when the first answer was lost. The second must answer the same and change nothing."""
    run = _Run("every call twice", fresh())
    for phase in range(_phases(steps)):
        for step in steps:
            first = run.forward(step, phase)
            if first is None:
                continue
            op = step.forward[phase][0]
            run.must_be_done(step, op, first)
            before = run.state()
            second = run.forward(step, phase)
            run.must(
                first == second, f"the first {op} of `{step.id}` was answered {_shown(first)}, the second {_shown(second)}"
            )
            run.must_be(before, f"the second {op} of `{step.id}`")
            run.vote(step, first)
    return run.problems


def fail_at_each_step(fresh: Callable, steps: Sequence[Step]) -> List[str]:
    """The transaction fails at each step, once before and once after the step had its effect, and is undone, each undo twice. In the end
    everything must be as before."""
    problems = []
    for phase in range(_phases(steps)):
        for at, failing in enumerate(steps):
            if phase >= len(failing.forward) or not failing.may_fail(phase):
                continue
            for has_effect in (False, True):
                run = _Run("a failure at every step", fresh())
                before = run.state()
                for earlier in range(phase + 1):
                    count = len(steps) if earlier < phase else at + has_effect
                    for step in steps[:count]:
                        answer = run.forward(step, earlier)
                        if answer is not None:
                            run.must_be_done(step, step.forward[earlier][0], answer)
                            run.vote(step, answer)
                # Whose call was sent may have run; nobody knows it of the one that failed.
                called = steps[: at + 1] if phase == 0 else steps
                for step in reversed(called):
                    run.undo(step)
                    run.undo(step)
                when = "after" if has_effect else "before"
                run.must_be(
                    before, f"a transaction that failed {when} the {failing.forward[phase][0]} of `{failing.id}` and was undone"
                )
                problems += run.problems
    return problems


def undo_before_action(fresh: Callable, steps: Sequence[Step]) -> List[str]:
    """The undo of each step comes although its action never did, and the action comes later. Neither may change anything."""
    problems = []
    for step in steps:
        run = _Run("an undo before its action", fresh())
        before = run.state()
        run.undo(step)
        run.must_be(before, f"the {step.back[0]} of `{step.id}`, which never ran,")
        run.late(step, before)
        problems += run.problems
    return problems


def action_after_undo(fresh: Callable, steps: Sequence[Step]) -> List[str]:
    """The action of each step comes, its undo, and the action once more, because the network held it back. The last must change nothing."""
    problems = []
    for step in steps:
        run = _Run("an action after its undo", fresh())
        before = run.state()
        for phase, (op, _) in enumerate(step.forward):
            if step.may_fail(phase):
                run.must_be_done(step, op, run.forward(step, phase))
        run.undo(step)
        run.late(step, before)
        problems += run.problems
    return problems


class _Run:
    """One transaction against one fresh service."""

    def __init__(self, trial, service):
        self.trial, self.service, self.read_only, self.problems = trial, service, set(), []

    def state(self):
        return self.service.state()

    def forward(self, step, phase):
        if step.id in self.read_only or phase >= len(step.forward):
            return None
        return self.send(step, *step.forward[phase])

    def undo(self, step):
        """Which must never fail."""
        if step.id not in self.read_only:
            self.must_be_done(step, step.back[0], self.send(step, *step.back))

    def late(self, step, before):
        """The calls of a step that was undone."""
        for phase, (op, path) in enumerate(step.forward):
            if step.may_fail(phase):
                answer = self.send(step, op, path)
                # A vote may say no; any other answer would have the coordinator call for ever.
                is_fine = 200 <= answer.status < 300 or answer.status == 409
                self.must(is_fine, f"the late {op} of `{step.id}` was answered {_shown(answer)}")
                self.must_be(before, f"the late {op} of `{step.id}`, which was undone,")

    def vote(self, step, answer):
        """Notes whether the step needs a second phase."""
        if any(name.lower() == "flotilla-vote" and value == "read_only" for name, value in answer.extra):
            self.read_only.add(step.id)

    def must_be_done(self, step, op, answer):
        is_done = 200 <= answer.status < 300 and answer.status != 202
        self.must(is_done, f"the {op} of `{step.id}` was answered {_shown(answer)}")

    def must_be(self, before, what):
        state = self.state()
        self.must(state == before, f"{what} changed the state from {before!r} to {state!r}")

    def must(self, is_right, text):
        if not is_right:
            self.problems.append(f"{self.trial}: {text}")

    def send(self, step, op, path):
        """The request that the coordinator would send."""
        branch = Branch(GID, step.id, op, step.mode)
        path, _, own = path.partition("?")
        query = urlencode({"gid": GID, "trans_type": step.mode, "branch_id": step.id, "op": op})
        headers = {"Flotilla-Tx": branch.to_line(), "Idempotency-Key": branch.key, "Content-Type": "application/json"}
        answer = self.service.call(path, f"{own}&{query}" if own else query, headers, step.body)
        if isinstance(answer, Answer):
            return Answer(answer.status, answer.body, answer.extra)
        body, status, headers = answer
        body = body.encode() if isinstance(body, str) else bytes(body or b"")
        kept = {name: value for name, value in dict(headers or {}).items() if name.lower().startswith("flotilla-")}
        return Answer(status, body, tuple(sorted(kept.items())))


def _phases(steps):
    return max((len(step.forward) for step in steps), default=0)


def _shown(answer):
    body = answer.body.decode(errors="replace")[:200]
    return f"{answer.status} `{body}`"
