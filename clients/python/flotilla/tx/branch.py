"""Which branch of which transaction a request is for."""

from dataclasses import dataclass, replace
from typing import Mapping, Optional, Union
from urllib.parse import parse_qsl

ID_MAX = 128
"""Longest id of a transaction or a branch, in bytes: what the columns of the barrier table hold."""

OPS = {
    "saga": ("action", "compensate"),
    "tcc": ("try", "confirm", "cancel"),
    "2pc": ("prepare", "commit", "rollback", "commit_one_phase"),
    "3pc": ("can_commit", "pre_commit", "commit", "rollback"),
    "3pc_classic": ("can_commit", "pre_commit", "commit", "rollback"),
    "msg": ("action", "msg"),
    "xa": ("action", "commit", "rollback"),
    "workflow": ("action", "compensate", "try", "confirm", "cancel", "commit", "rollback"),
}
"""The operations of each protocol."""

ORIGIN_OF_ROLLBACK = {"2pc": "prepare", "3pc": "pre_commit", "3pc_classic": "can_commit"}


class Invalid(ValueError):
    """A request is none of the coordinator's, or cannot be understood. 400 is the answer to give."""


@dataclass(frozen=True)
class Branch:
    """What the coordinator wants of this service."""

    gid: str
    id: str
    op: str
    mode: str
    attempt: int = 1
    deadline_ms: Optional[int] = None
    """Until when a promise has to be kept, in milliseconds since 1970."""

    def __post_init__(self):
        if self.mode not in OPS:
            raise Invalid(f"`{self.mode}` is no mode of transactions: {', '.join(OPS)} are")
        if self.op not in OPS[self.mode]:
            raise Invalid(f"a transaction of mode `{self.mode}` has no `{self.op}`, only {', '.join(OPS[self.mode])}")
        check_id("transaction id", self.gid)
        check_id("branch id", self.id)

    @classmethod
    def from_request(cls, query: Union[str, bytes, Mapping[str, str]], headers: Mapping[str, str]) -> "Branch":
        """Reads the query (a text without `?`, or a mapping) and the headers: `Flotilla-Tx`, or DTM's parameters or metadata."""
        pairs = _pairs(query)
        # The coordinator adds its own behind those of the path.
        parameters = dict(pairs)
        fields = {str(name).lower(): value for name, value in dict(headers).items()}
        line = fields.get("flotilla-tx")
        if line is not None:
            said = dict(part.strip().partition("=")[::2] for part in line.split(";"))
            for name, parameter in (("gid", "gid"), ("branch", "branch_id"), ("op", "op")):
                values = [value for found, value in pairs if found == parameter]
                if values and said.get(name) not in values:
                    raise Invalid(f"the `Flotilla-Tx` field and the parameters of the request differ in `{name}`")
        elif "gid" in parameters:
            said = parameters
        else:
            said = {name[4:]: value for name, value in fields.items() if name.startswith("dtm-")}
        if not said.get("gid"):
            raise Invalid(
                "the request names no transaction: it has no `Flotilla-Tx` field, no `gid` parameter and no `dtm-gid` field; "
                "only the coordinator calls this path"
            )
        return cls(
            gid=said["gid"],
            id=_needed(said, "branch", "branch_id"),
            op=_needed(said, "op", "op"),
            mode=_needed(said, "mode", "trans_type"),
            attempt=_number(said, "attempt", "number of an attempt") or 1,
            deadline_ms=_number(said, "deadline", "deadline in milliseconds"),
        )

    def with_op(self, op: str) -> "Branch":
        """The same branch with another operation."""
        return replace(self, op=op)

    def to_line(self) -> str:
        """The value of the `Flotilla-Tx` field."""
        deadline = "" if self.deadline_ms is None else f";deadline={self.deadline_ms}"
        return f"gid={self.gid};branch={self.id};op={self.op};attempt={self.attempt};mode={self.mode}{deadline}"

    @property
    def key(self) -> str:
        """What the `Idempotency-Key` of its requests is."""
        return f"{self.gid}/{self.id}/{self.op}"

    @property
    def origin(self) -> Optional[str]:
        """The operation that this one undoes, if it undoes one."""
        if self.op == "rollback":
            return ORIGIN_OF_ROLLBACK.get(self.mode, "action")
        return {"compensate": "action", "cancel": "try"}.get(self.op)

    @property
    def is_vote(self) -> bool:
        """Whether a yes promises that the work can still be kept, so that a yes for what was undone would be a lie."""
        votes = ("prepare", "can_commit", "pre_commit", "try", "commit_one_phase")
        return self.op in votes or (self.mode == "xa" and self.op == "action")

    @property
    def undo_of_vote(self) -> Optional[str]:
        """The operation that undoes this vote."""
        if not self.is_vote:
            return None
        return "cancel" if self.op == "try" else "rollback"

    @property
    def row_op(self) -> str:
        """The operation whose row stands for this one: a commit in one phase stands where a rollback looks for what it undoes."""
        return "prepare" if self.op == "commit_one_phase" else self.op


def check_id(what: str, text: str) -> None:
    """Databases differ in how they compare spaces at the end, so an id has none anywhere."""
    is_fine = 1 <= len(text.encode()) <= ID_MAX and all(
        not char.isspace() and char.isprintable() and char != ";" for char in text
    )
    if not is_fine:
        raise Invalid(f"`{text}` is no {what}: 1 to {ID_MAX} bytes without spaces, control characters and `;` are")


def _pairs(query) -> list:
    if isinstance(query, bytes):
        query = query.decode("ascii", "replace")
    if query is None or isinstance(query, str):
        return parse_qsl((query or "").lstrip("?"), keep_blank_values=True)
    # A value may be a list, as `parse_qs` makes it.
    lists = [(name, value if isinstance(value, (list, tuple)) else [value]) for name, value in dict(query).items()]
    return [(name, value) for name, values in lists for value in values]


def _needed(said: dict, name: str, parameter: str) -> str:
    value = said.get(name) or said.get(parameter)
    if not value:
        raise Invalid(f"the request names a transaction, but not its `{parameter}`")
    return value


def _number(said: dict, name: str, what: str) -> Optional[int]:
    value = said.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit()):
        raise Invalid(f"`{value}` is no {what}")
    return int(value)
