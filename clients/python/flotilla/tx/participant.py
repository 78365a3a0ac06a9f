"""A function as a participant."""

import functools
import logging
from typing import Callable, Optional

from .answer import Answer
from .barrier import Barrier
from .branch import Branch, Invalid

log = logging.getLogger("flotilla.tx")


def participant(connect: Callable, barrier: Optional[Barrier] = None, prepared=None):
    """Makes `work(cursor, branch, body)` a handler `handler(query, headers, body=None) -> Answer` for the coordinator's calls.

    `connect()` gives a connection, which is closed afterwards, or a context manager that does (a pool's `connection`). With `prepared`
    (see `Prepared`) it is a branch of a two-phase commit; `work` then runs only in the phase that does the work.

        @participant(connect=lambda: sqlite3.connect("shop.db"))
        def reserve(cursor, branch, body):
            cursor.execute("UPDATE stock SET left = left - 1 WHERE sku = ? AND left > 0", [body["sku"]])
            if cursor.rowcount == 0:
                raise Refused("sold out")

        @app.post("/reserve")
        def _():
            return reserve(request.query_string, request.headers, request.get_json()).as_tuple()

    A request that is none of the coordinator's is answered 400; an exception is logged and answered 500, so the coordinator calls again.
    """
    guard = prepared or barrier or Barrier()

    def decorate(work):
        @functools.wraps(work)
        def handler(query, headers, body=None) -> Answer:
            try:
                branch = Branch.from_request(query, headers)
            except Invalid as invalid:
                return Answer.invalid(str(invalid))
            try:
                with _Closing(connect()) as connection:
                    return guard.call(connection, branch, lambda cursor: work(cursor, branch, body))
            except Exception as error:
                log.exception("%s of branch %s of transaction %s failed", branch.op, branch.id, branch.gid)
                return Answer.failed(f"{type(error).__name__}: {error}")

        return handler

    return decorate


class _Closing:
    """A connection that is closed in the end. Drivers give `with` different meanings, so it is used only for what is no connection."""

    def __init__(self, it):
        self.it = it
        self.is_connection = hasattr(it, "cursor")

    def __enter__(self):
        return self.it if self.is_connection else self.it.__enter__()

    def __exit__(self, *error):
        if self.is_connection:
            self.it.close()
            return None
        return self.it.__exit__(*error)
