"""The calls of the official Python SDK, each case behind a path: `GET /state` answers 200, or 500 with the traceback."""

import json
import os
import queue
import time
import traceback
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from dapr.clients import DaprClient
from dapr.clients.exceptions import DaprGrpcError
from dapr.clients.grpc._request import (
    TransactionalStateOperation,
    TransactionOperationType,
)
from dapr.clients.grpc._response import UnlockResponseStatus
from dapr.clients.grpc._state import Concurrency, StateItem, StateOptions
from dapr.clients.grpc.client import DaprGrpcClient

STATE, LOCK, CONFIG, SECRETS = "statestore", "lockstore", "configstore", "secretstore"
FIRST_WRITE = StateOptions(concurrency=Concurrency.first_write)


def fails(code, work):
    """Checks that `work` ends with the status `code`, and returns the error."""
    try:
        work()
    except grpc.RpcError as error:
        assert error.code() == code, f"{error.code()} is not {code}: {error.details()}"
        return error
    raise AssertionError(f"nothing failed with {code}")


def until(what, found):
    """Waits until `found` returns something."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        value = found()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come")


def state():
    key = f"py-{uuid.uuid4()}"
    with DaprClient() as dapr:
        assert dapr.get_state(STATE, key).data == b""
        dapr.save_state(STATE, key, "one")
        first = dapr.get_state(STATE, key)
        assert first.data == b"one" and first.etag
        dapr.save_state(STATE, key, b"\x00\xff two", etag=first.etag)
        assert dapr.get_state(STATE, key).data == b"\x00\xff two"
        stale = lambda: dapr.save_state(STATE, key, "three", etag=first.etag, options=FIRST_WRITE)
        fails(grpc.StatusCode.ABORTED, stale)
        fails(grpc.StatusCode.ABORTED, lambda: dapr.save_state(STATE, key, "x", options=FIRST_WRITE))
        fails(grpc.StatusCode.ABORTED, lambda: dapr.delete_state(STATE, key, etag=first.etag))
        assert dapr.get_state(STATE, key).data == b"\x00\xff two"
        dapr.delete_state(STATE, key)
        assert dapr.get_state(STATE, key).data == b""


def bulk():
    stem = f"py-{uuid.uuid4()}"
    keys = [f"{stem}-{number}" for number in range(5)]
    with DaprClient() as dapr:
        dapr.save_bulk_state(STATE, [StateItem(key=key, value=key[-1]) for key in keys])
        found = dapr.get_bulk_state(STATE, keys=keys + ["missing"], parallelism=2).items
        assert [item.key for item in found] == keys + ["missing"], found
        assert [item.data for item in found] == [b"0", b"1", b"2", b"3", b"4", b""]
        assert all(item.etag for item in found[:5]) and not found[5].etag


def transaction():
    stem = f"py-{uuid.uuid4()}"
    upsert, delete = TransactionOperationType.upsert, TransactionOperationType.delete
    step = lambda kind, key, data, etag=None: TransactionalStateOperation(key, data, etag, kind)
    with DaprClient() as dapr:
        dapr.save_state(STATE, f"{stem}-old", "old")
        steps = [step(upsert, f"{stem}-new", "new"), step(delete, f"{stem}-old", "")]
        dapr.execute_state_transaction(STATE, steps)
        assert dapr.get_state(STATE, f"{stem}-new").data == b"new"
        assert dapr.get_state(STATE, f"{stem}-old").data == b""
        steps = [step(upsert, f"{stem}-other", "x"), step(upsert, f"{stem}-new", "x", etag="1")]
        fails(grpc.StatusCode.INTERNAL, lambda: dapr.execute_state_transaction(STATE, steps))
        assert dapr.get_state(STATE, f"{stem}-other").data == b""
        assert dapr.get_state(STATE, f"{stem}-new").data == b"new"


def ttl():
    key = f"py-{uuid.uuid4()}"
    with DaprClient() as dapr:
        dapr.save_state(STATE, key, "short", state_metadata={"ttlInSeconds": "1"})
        assert dapr.get_state(STATE, key).data == b"short"
        until("the end of the value", lambda: dapr.get_state(STATE, key).data == b"")


def errors():
    with DaprClient() as dapr:
        try:
            dapr.save_state(STATE, "a||b", "x")
        except DaprGrpcError as error:
            assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
            details = error.status_details()
            assert details.error_info["reason"] == "DAPR_STATE_ILLEGAL_KEY", details.as_dict()
            assert details.error_info["domain"] == "dapr.io"
            assert details.resource_info["resource_name"] == STATE
            assert details.bad_request["field_violations"][0]["field"] == "a||b"
        else:
            raise AssertionError("the key was taken")
        error = fails(grpc.StatusCode.INVALID_ARGUMENT, lambda: dapr.get_state("nowhere", "k"))
        assert "nowhere" in error.details()
        publish = lambda: dapr.publish_event("pubsub", "nowhere", "x")
        assert "nowhere" in fails(grpc.StatusCode.NOT_FOUND, publish).details()
        binding = lambda: dapr.invoke_binding("nowhere", "create", "x")
        fails(grpc.StatusCode.UNIMPLEMENTED, binding)
        # Larger than a value may be, and larger than a message may be.
        large = lambda megabytes: lambda: dapr.save_state(STATE, "large", b"x" * (megabytes << 20))
        fails(grpc.StatusCode.INVALID_ARGUMENT, large(2))
        fails(grpc.StatusCode.RESOURCE_EXHAUSTED, large(5))
        dapr.save_state(STATE, "large", b"x" * 900_000)
        assert dapr.get_state(STATE, "large").data == b"x" * 900_000


def lock():
    name = f"py-{uuid.uuid4()}"
    with DaprClient() as dapr:
        with dapr.try_lock(LOCK, name, "ann", 60) as held:
            assert held.success
            with dapr.try_lock(LOCK, name, "bob", 60) as other:
                assert not other.success
            assert dapr.unlock(LOCK, name, "bob").status == UnlockResponseStatus.lock_belongs_to_others
        assert dapr.unlock(LOCK, name, "ann").status == UnlockResponseStatus.lock_does_not_exist
        assert dapr.try_lock(LOCK, name, "bob", 1).success
        until("the end of the lock", lambda: dapr.try_lock(LOCK, name, "ann", 60).success)


def set_configuration(key, value):
    """Where the SDK has no call, the native API of the same listener has one."""
    url = f"{os.environ['DAPR_HTTP_ENDPOINT']}/v1/config/{CONFIG}/keys/{key}"
    body = json.dumps({"value": value}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="PUT")
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status in (200, 201), answer.status


def configuration():
    key, other = f"py-{uuid.uuid4()}", f"py-{uuid.uuid4()}"
    set_configuration(key, "1")
    told = []
    with DaprClient() as dapr:
        items = dapr.get_configuration(store_name=CONFIG, keys=[key, "missing"]).items
        assert list(items) == [key] and items[key].value == "1" and items[key].version, items
        handler = lambda _, answer: told.append({k: v.value for k, v in answer.items.items()})
        subscription = dapr.subscribe_configuration(CONFIG, [key], handler)
        assert subscription
        set_configuration(other, "9")
        set_configuration(key, "2")
        until("the change", lambda: {key: "2"} in told)
        assert dapr.unsubscribe_configuration(CONFIG, subscription)
        assert not dapr.unsubscribe_configuration(CONFIG, subscription)
        set_configuration(key, "3")
        assert dapr.get_configuration(store_name=CONFIG, keys=[key]).items[key].value == "3"
    assert told == [{key: "2"}], told


def secrets():
    with DaprClient() as dapr:
        assert dapr.get_secret(SECRETS, "DB_PASSWORD").secret == {"DB_PASSWORD": "hunter2"}
        assert dapr.get_bulk_secret(SECRETS).secrets["DB_PASSWORD"] == {"DB_PASSWORD": "hunter2"}
        fails(grpc.StatusCode.INVALID_ARGUMENT, lambda: dapr.get_secret("nowhere", "x"))


def invoke_http():
    with DaprClient() as dapr:
        query = (("a", "1"), ("b", "2"))
        done = dapr.invoke_method("echo", "items/7", b"body", http_verb="PUT", http_querystring=query)
        assert done.data == b"PUT|/items/7?a=1&b=2|body", done.data
        headers = {name.lower(): value for name, value in done.headers.items()}
        assert headers["x-caller"] == ["checks"], headers
        try:
            dapr.invoke_method("nobody", "x", b"", http_verb="GET")
        except Exception as error:
            assert "nobody" in str(error), error
        else:
            raise AssertionError("nobody answered")


def invoke_grpc():
    with DaprGrpcClient() as dapr:
        done = dapr.invoke_method("echo", "items/7", b"body", http_verb="POST")
        assert done.data == b"POST|/items/7|body", done.data
        assert done.headers["x-caller"] == ["checks"], done.headers
        missing = lambda: dapr.invoke_method("echo", "missing", b"", http_verb="GET")
        fails(grpc.StatusCode.NOT_FOUND, missing)
        done = dapr.invoke_method("greeter", "greet", b"Ann", content_type="text/plain")
        assert done.data == b"hello Ann of checks", done.data
        assert done.content_type == "text/plain"
        fails(grpc.StatusCode.UNKNOWN, lambda: dapr.invoke_method("greeter", "fail", b""))
        fails(grpc.StatusCode.UNIMPLEMENTED, lambda: dapr.invoke_method("greeter", "nothing", b""))
        fails(grpc.StatusCode.INTERNAL, lambda: dapr.invoke_method("nobody", "x", b""))


def proxying():
    target = os.environ["DAPR_GRPC_ENDPOINT"].removeprefix("http://")
    with grpc.insecure_channel(target) as channel:
        to = (("dapr-app-id", "greeter"),)
        double = channel.unary_unary("/shop.Numbers/Double")
        large = b"x" * 1_000_000
        answer, call = double.with_call(large, metadata=to, timeout=20)
        assert answer == large + large
        assert dict(call.trailing_metadata())["x-last"] == "yes"
        count = channel.unary_stream("/shop.Numbers/Count")
        assert list(count(b"100", metadata=to, timeout=20)) == [str(n).encode() for n in range(100)]
        stream = count(b"3", metadata=to, timeout=20)
        got = []
        try:
            for piece in stream:
                got.append(piece)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.OUT_OF_RANGE, error
            assert error.details() == "three is enough"
        assert got == [b"0", b"1", b"2"], got
        # Both ways at once: each piece is sent when the answer to the one before it is there.
        pieces = queue.SimpleQueue()
        echo = channel.stream_stream("/shop.Numbers/Echo")
        stream = echo(iter(pieces.get, None), metadata=to, timeout=20)
        for number in range(20):
            pieces.put(str(number).encode())
            assert next(stream) == f"<{number}>".encode()
        pieces.put(None)
        assert list(stream) == []
        fails(grpc.StatusCode.UNIMPLEMENTED, lambda: double(b"x", timeout=20))


def metadata():
    with DaprClient() as dapr:
        dapr.set_metadata("team", "red")
        told = dapr.get_metadata()
        assert told.application_id == "checks", told.application_id
        assert told.extended_metadata["team"] == "red", told.extended_metadata
        names = [component.name for component in told.registered_components]
        assert all(name in names for name in (STATE, LOCK, CONFIG, SECRETS)), names


def shutdown():
    with DaprClient() as dapr:
        dapr.shutdown()


CASES = {
    case.__name__: case
    for case in [
        state, bulk, transaction, ttl, errors, lock, configuration, secrets, invoke_http, invoke_grpc,
        proxying, metadata, shutdown,
    ]
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        status, text = 200, "fine"
        try:
            if self.path.startswith("/dapr/"):
                status = 404
            elif self.path != "/healthz":
                CASES[self.path.strip("/")]()
        except BaseException:
            status, text = 500, traceback.format_exc()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
