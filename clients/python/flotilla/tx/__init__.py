"""Transactions that a Flotilla node coordinates.

For those who start them: `Client`. For participants: `Branch` (what a request says), `Answer` (what the coordinator understands),
`Barrier` (a table in the service's own database by which calls that come twice, too late or in the wrong order do no harm),
`participant` (all of it as a decorator), `Prepared` (branches of two-phase commits in PostgreSQL), `flotilla.tx.testing`.
"""

from .answer import Answer, Refused, Working
from .barrier import ANSWER_MAX, Barrier, GivenUp, Skip
from .branch import Branch, Invalid
from .client import Client, TransactionAborted, TransactionError
from .participant import participant
from .prepared import Prepared, Swept

__all__ = [
    "ANSWER_MAX",
    "Answer",
    "Barrier",
    "Branch",
    "Client",
    "GivenUp",
    "Invalid",
    "Prepared",
    "Refused",
    "Skip",
    "Swept",
    "TransactionAborted",
    "TransactionError",
    "Working",
    "participant",
]
