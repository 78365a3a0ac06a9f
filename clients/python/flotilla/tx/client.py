"""Starting transactions at a node, and steering them."""

import json
import os
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import Any, Iterator, Mapping, Optional, Sequence
from urllib.parse import quote, urlencode

from .answer import Refused
from .branch import Branch

WAIT_MAX = 60
"""Longest time in seconds that a node waits within one request."""

REQUEST_MAX = 30
"""How long a request may take beyond what it waits for, in seconds."""

ANSWER_MAX = 16 << 20
"""Most bytes of an answer that are read: many times what a node keeps of a transaction."""

ENDED = ("committed", "aborted", "mixed")
"""The statuses in which a transaction stays."""


class TransactionError(Exception):
    """The node refused a request, or could not be reached: then `status` is 0, and it may or may not have been done.

    Submit again with the same id."""

    def __init__(self, status: int, code: str, message: str, help: Optional[str] = None):
        super().__init__(f"{message} ({help})" if help else message)
        self.status, self.code = status, code


class TransactionAborted(Exception):
    """A transaction that was waited for was given up. `transaction` says why."""

    def __init__(self, transaction: dict):
        super().__init__(f"transaction {transaction.get('id')} was {transaction.get('status')}: {transaction.get('reason')}")
        self.transaction = transaction


class Client:
    """Speaks with a node: by default with the own app API of this service. Every answer is the transaction as a `dict`.

    `url` may also be the admin API's; then give its token: `headers={"Authorization": "Bearer …"}`.
    """

    def __init__(self, url: Optional[str] = None, headers: Optional[Mapping[str, str]] = None):
        port = os.environ.get("DAPR_HTTP_PORT")
        if url is None and port is None:
            raise ValueError("where is the node? Give `Client(url)`, or start the service with `flotilla up`, which sets DAPR_HTTP_PORT")
        self.url = (url or f"http://127.0.0.1:{port}").rstrip("/")
        self.headers = dict(headers or {})

    def saga(self, name: str, input: Any = None, *, id=None, labels=None, wait: Optional[float] = None) -> dict:
        """Starts the transaction that the file defines under this name, of whichever mode. With `wait`, in seconds, it is waited for.

        Give an `id` that belongs to the business (an order's number), and the same call again is the same transaction.
        """
        return self.submit({"use": name, "input": input, "labels": labels}, id=id, wait=wait)

    start = saga

    def submit(self, transaction: Mapping[str, Any], *, id=None, wait: Optional[float] = None) -> dict:
        """Submits a transaction: `{"use": …, "input": …}`, or `{"mode": …, "steps": […]}` as in the file."""
        body = {name: value for name, value in {"id": id, **transaction}.items() if value is not None}
        return self._request("POST", "/v1/tx", body, wait)

    def get(self, id: str) -> dict:
        """The transaction as it stands."""
        return self._request("GET", self._path(id))

    def wait(self, id: str, timeout: float = WAIT_MAX) -> dict:
        """Waits until the transaction has ended. `TransactionAborted` unless it was committed, `TimeoutError` when it takes longer."""
        end = time.monotonic() + timeout
        while True:
            left = end - time.monotonic()
            transaction = self._request("GET", self._path(id), wait=max(0, min(left, WAIT_MAX)))
            if transaction["status"] == "committed":
                return transaction
            if transaction["status"] in ENDED:
                raise TransactionAborted(transaction)
            if left <= 0:
                raise TimeoutError(f"transaction {id} is {transaction['status']} after {timeout} s; it goes on")

    def list(self, **filters) -> dict:
        """Transactions by `status`, `attention`, `mode`, `name`, `label`, `since`, `until`, `limit`, `cursor`."""
        query = {name: str(value).lower() if isinstance(value, bool) else value for name, value in filters.items()}
        return self._request("GET", "/v1/tx" + ("?" + urlencode(query) if query else ""))

    def decision(self, id: str) -> str:
        """`commit`, `abort` or `undecided`: for participants in doubt."""
        return self._request("GET", self._path(id, "/decision"))["decision"]

    def enlist(self, id: str, *steps: Mapping[str, Any]) -> dict:
        """Adds branches to an open transaction, before their participants are asked."""
        return self._request("POST", self._path(id, "/branches"), {"steps": list(steps)})

    def commit(self, id: str, *, wait: Optional[float] = None) -> dict:
        """The first phase of an open transaction went well: on to the second."""
        return self._request("POST", self._path(id, "/commit"), wait=wait)

    def abort(self, id: str, reason: Optional[str] = None, *, wait: Optional[float] = None) -> dict:
        """Gives a transaction up that is not decided."""
        return self._request("POST", self._path(id, "/abort"), {"reason": reason} if reason else None, wait)

    def retry(self, id: str) -> dict:
        """Tries at once what waits."""
        return self._request("POST", self._path(id, "/retry"))

    @contextmanager
    def tcc(self, *, id=None, timeout: str = "35s", labels=None, wait: Optional[float] = None) -> Iterator["Tcc"]:
        """Reservations that become facts together: confirmed at the end of the block, given back when it raises.

            with client.tcc() as t:
                t.call("POST users/reserve", confirm="POST users/confirm", cancel="POST users/cancel", body={"amount": 30})
                t.call("POST items/reserve", confirm="POST items/confirm", cancel="POST items/cancel", body={"sku": "apple"})

        When this program ends in between, the node gives all of it back after `timeout`.
        """
        opened = self.submit({"mode": "tcc", "open": True, "timeout": timeout, "labels": labels}, id=id)
        tcc = Tcc(self, opened["id"])
        try:
            yield tcc
        except BaseException as error:
            try:
                self.abort(tcc.id, f"{type(error).__name__}: {error}"[:500])
            except TransactionError:
                # The node finds out by itself, when the time is over; what matters is why the block ended.
                pass
            raise
        tcc.transaction = self.commit(tcc.id, wait=wait)

    @contextmanager
    def message(
        self, query: str, steps: Sequence[Mapping[str, Any]], *, id=None, timeout="35s", wait: Optional[float] = None, **more
    ) -> Iterator["Open"]:
        """A message that is sent if, and only if, the local transaction of the block is committed.

            with client.message("GET orders/tx-query", [{"call": "POST mailer/welcome", "body": {"user": 7}}]) as message:
                cursor.execute("INSERT INTO orders …")
                barrier.message(cursor, message.id)
                connection.commit()

        When the block raises or this program ends in between, the node asks `query` (see `Barrier.message_query`) after `timeout`: only
        the database knows whether the transaction was committed.
        """
        spec = {"mode": "msg", "open": True, "query": query, "steps": list(steps), "timeout": timeout, **more}
        message = Open(self.submit(spec, id=id)["id"])
        yield message
        message.transaction = self.commit(message.id, wait=wait)

    def _path(self, id: str, rest: str = "") -> str:
        return f"/v1/tx/{quote(id, safe='')}{rest}"

    def _request(self, method: str, path: str, body: Any = None, wait: Optional[float] = None) -> Any:
        headers = {"Prefer": f"wait={int(min(wait, WAIT_MAX))}"} if wait else {}
        status, text = self.exchange(method, self.url + path, body, headers, (wait or 0) + REQUEST_MAX)
        try:
            answer = json.loads(text) if text else {}
        except ValueError:
            answer = {}
        if 200 <= status < 300:
            return answer
        error = answer.get("error") if isinstance(answer, dict) else None
        error = error if isinstance(error, dict) else answer if isinstance(answer, dict) else {}
        message = error.get("message") or text.decode(errors="replace")[:500] or f"status {status}"
        raise TransactionError(status, error.get("code", ""), message, error.get("help"))

    def exchange(self, method: str, url: str, body: Any, headers: Mapping[str, str], timeout: float):
        """Status and body of an answer, of whichever status."""
        data = None if body is None else json.dumps(body).encode()
        fields = {**self.headers, **headers}
        if data is not None:
            fields["Content-Type"] = "application/json"
        request = urllib.request.Request(url, data=data, headers=fields, method=method)
        try:
            with _OPENER.open(request, timeout=timeout) as response:
                return response.status, response.read(ANSWER_MAX)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(ANSWER_MAX)
        except OSError as error:
            raise TransactionError(0, "unreachable", f"{method} {url}: {error}") from error


class Open:
    """A transaction whose first phase is this program's. `transaction` is how it stood when the block had ended."""

    def __init__(self, id: str):
        self.id = id
        self.transaction: Optional[dict] = None


class Tcc(Open):
    """An open transaction of reservations."""

    def __init__(self, client: Client, id: str):
        super().__init__(id)
        self.client, self.count = client, 0

    def call(
        self, try_: str, *, confirm: str, cancel: str, body: Any = None, id: Optional[str] = None, timeout=REQUEST_MAX, **more
    ) -> Any:
        """Makes a reservation and returns what it answered. Its confirmation and its cancellation are durable before it is asked for.

        Targets are written as in the file: `POST users/reserve`, or with a URL. `Refused` when the participant says no, `TransactionError`
        when it is not known whether it did it; either, when it leaves the block, gives all of it back.
        """
        self.count += 1
        id = id or f"{self.count:02}"
        step = {"id": id, "confirm": confirm, "cancel": cancel, "body": body, **more}
        self.client.enlist(self.id, {name: value for name, value in step.items() if value is not None})
        branch = Branch(self.id, id, "try", "tcc")
        method, _, target = try_.rpartition(" ")
        query = urlencode({"gid": self.id, "trans_type": "tcc", "branch_id": id, "op": "try"})
        url = self._url(target)
        url += ("&" if "?" in url else "?") + query
        headers = {"Flotilla-Tx": branch.to_line(), "Idempotency-Key": branch.key}
        status, text = self.client.exchange(method or "POST", url, body, headers, timeout)
        said = text.decode(errors="replace")[:500]
        if status == 409:
            raise Refused(said or f"`{try_}` was refused")
        if not 200 <= status < 300 or status == 202:
            raise TransactionError(status, "try", f"`{try_}` was answered {status}: {said}")
        try:
            return json.loads(text) if text else None
        except ValueError:
            return said

    def _url(self, target: str) -> str:
        """A service is called through the node, which balances over its instances."""
        if target.startswith(("http://", "https://")):
            return target
        service, _, path = target.partition("/")
        return f"{self.client.url}/v1.0/invoke/{quote(service, safe='')}/method/{path}"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An order must not be sent to another place than it was meant for."""

    def redirect_request(self, *_):
        return None


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
"""Without the proxies of the environment: the node is on this machine."""
