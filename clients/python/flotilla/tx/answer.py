"""What the coordinator understands of an answer."""

import json
from dataclasses import dataclass
from typing import Any, Dict, Tuple


class Refused(Exception):
    """Raised by the work of a branch: no, for a reason of the business. The transaction is to be given up."""


class Working(Exception):
    """Raised by the work of a branch: not yet, ask again."""


@dataclass(frozen=True)
class Answer:
    """The answer of a branch, for any framework: `status`, `headers` and `body`, or `as_tuple()` as Flask takes it."""

    status: int
    body: bytes = b""
    extra: Tuple[Tuple[str, str], ...] = ()
    keeps: bool = True
    """Whether what was written for it is to be kept."""

    @classmethod
    def done(cls) -> "Answer":
        """It is done, or was done before."""
        return cls(200)

    @classmethod
    def json(cls, value: Any) -> "Answer":
        """It is done, and later steps may use what this says. A barrier keeps it, so that a repeated call gets it, too."""
        return cls(200, json.dumps(value, separators=(",", ":")).encode())

    @classmethod
    def refused(cls, reason: str) -> "Answer":
        """No, for a reason of the business. Followed for actions, tries and votes; an undo or a confirmation cannot be refused."""
        return cls(409, str(reason).encode(), keeps=False)

    @classmethod
    def working(cls) -> "Answer":
        """Not yet: the coordinator asks again. Also DTM understands this status; 202 it takes for a failure."""
        return cls(425, keeps=False)

    @classmethod
    def read_only(cls) -> "Answer":
        """Yes, and there was nothing to write: no second phase is needed."""
        return cls(200, extra=(("Flotilla-Vote", "read_only"),))

    @classmethod
    def heuristic(cls, op: str, outcome: str) -> "Answer":
        """What was decided alone (`committed`, `aborted`, `mixed`) before the coordinator told it to do `op`."""
        agrees = (op in ("commit", "confirm"), outcome) == (True, "committed") or (
            op in ("rollback", "cancel") and outcome == "aborted"
        )
        return cls(200 if agrees else 409, extra=(("Flotilla-Outcome", outcome),))

    @classmethod
    def failed(cls, reason: str) -> "Answer":
        """It is unknown whether it is done: the coordinator calls again, and shows the reason."""
        return cls(500, str(reason).encode(), keeps=False)

    @classmethod
    def invalid(cls, reason: str) -> "Answer":
        """The request is none of the coordinator's."""
        return cls(400, str(reason).encode(), keeps=False)

    @classmethod
    def of(cls, value: Any) -> "Answer":
        """What a function returned: nothing, an answer, or what is to be told as JSON."""
        if isinstance(value, cls):
            return value
        return cls.done() if value is None else cls.json(value)

    @property
    def headers(self) -> Dict[str, str]:
        """The header fields that have to go with it."""
        headers = dict(self.extra)
        if self.body:
            headers["Content-Type"] = "application/json" if self.status == 200 else "text/plain; charset=utf-8"
        return headers

    def as_tuple(self) -> Tuple[bytes, int, Dict[str, str]]:
        """Body, status, headers."""
        return self.body, self.status, self.headers
