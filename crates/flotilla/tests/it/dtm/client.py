"""The calls of DTM's Python client, each case by its name: `client.py URL CASE…`. It plays the participants too.

Ends with the traceback of the first case that is not as it has to be.
"""

import json
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests
from dtmcli import msg, saga, tcc, utils

DTM = sys.argv[1]
BODY = {"amount": 30}


class Participants:
    """Answers 200 to everything but what it was told about, and remembers what it was asked."""

    def __init__(self):
        self.lock = threading.Lock()
        self.heard = []
        self.script = {}
        participants = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                length = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(length).decode()
                status, text = participants.answer(self.command, self.path, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_POST = answer

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def says(self, path, *answers):
        with self.lock:
            self.script[path] = list(answers)

    def answer(self, method, target, body):
        path, _, query = target.partition("?")
        said = dict(urllib.parse.parse_qsl(query))
        with self.lock:
            self.heard.append((method, path, said, body))
            answers = self.script.get(path)
            return answers.pop(0) if answers else (200, "{}")

    def told(self, gid):
        """What was asked for a transaction, as `path op`."""
        with self.lock:
            return [f"{path} {said['op']}" for _, path, said, _ in self.heard if said["gid"] == gid]


def until(gid, status):
    """Waits until a transaction has this status; its rows' statuses, and the whole of it."""
    deadline = time.monotonic() + 60
    while True:
        answer = requests.get(DTM + "/query", params={"gid": gid}, timeout=10).json()
        it = answer["transaction"]
        if it and it["status"] == status:
            return [row["status"][0] for row in answer["branches"]], it
        assert time.monotonic() < deadline, f"never {status}: {answer}"
        time.sleep(0.02)


def is_so(found, expected):
    assert found == expected, f"{found} is not {expected}"


def saga_of(at, gid):
    it = saga.Saga(DTM, gid)
    it.add(BODY, at.url("/out"), at.url("/out-back"))
    it.add(BODY, at.url("/in"), at.url("/in-back"))
    it.trans_base.retry_interval = 1
    return it


def saga_good(at, gid):
    at.says("/out", (425, ""))
    saga_of(at, gid).submit()
    rows, _ = until(gid, "succeed")
    is_so(rows, ["p", "s", "p", "s"])
    is_so(at.told(gid), ["/out action", "/out action", "/in action"])
    method, _, said, body = at.heard[-1]
    is_so((method, said["trans_type"], said["branch_id"]), ("POST", "saga", "02"))
    is_so(json.loads(body), BODY)


def saga_refused(at, gid):
    at.says("/in", (409, "Insufficient balance"))
    saga_of(at, gid).submit()
    rows, it = until(gid, "failed")
    is_so(rows, ["s", "s", "s", "f"])
    assert "Insufficient balance" in it["rollback_reason"], it
    is_so(at.told(gid), ["/out action", "/in action", "/in-back compensate", "/out-back compensate"])


def saga_waited(at, gid):
    it = saga_of(at, gid)
    it.trans_base.wait_result = True
    it.submit()
    rows, _ = until(gid, "succeed")
    is_so(rows, ["p", "s", "p", "s"])
    at.says("/in", (409, "no"))
    other = saga_of(at, gid + "-refused")
    other.trans_base.wait_result = True
    try:
        other.submit()
    except utils.DTMFailureError:
        return
    raise AssertionError("a saga that was refused was no error")


def tcc_good(at, gid):
    def call(it):
        for name in ["out", "in"]:
            it.call_branch(BODY, *[at.url(f"/{name}-{op}") for op in ["try", "confirm", "cancel"]])

    is_so(tcc.tcc_global_transaction(DTM, gid, call), gid)
    rows, _ = until(gid, "succeed")
    is_so(rows, ["p", "s", "p", "s"])
    is_so(at.told(gid), ["/out-try try", "/in-try try", "/in-confirm confirm", "/out-confirm confirm"])


def tcc_refused(at, gid):
    at.says("/in-try", (409, "no"))

    def call(it):
        for name in ["out", "in"]:
            it.call_branch(BODY, *[at.url(f"/{name}-{op}") for op in ["try", "confirm", "cancel"]])

    is_so(tcc.tcc_global_transaction(DTM, gid, call), "")
    rows, _ = until(gid, "failed")
    is_so(rows, ["s", "p", "s", "p"])
    is_so(at.told(gid), ["/out-try try", "/in-try try", "/in-cancel cancel", "/out-cancel cancel"])


def msg_of(at, gid):
    it = msg.Msg(DTM, gid)
    return it.add(BODY, at.url("/in")).add(BODY, at.url("/mail"))


def msg_good(at, gid):
    msg_of(at, gid).submit()
    rows, _ = until(gid, "succeed")
    is_so(rows, ["s", "s"])
    done = []
    msg_of(at, gid + "-2").do_and_submit(at.url("/asked"), lambda _: done.append(1))
    until(gid + "-2", "succeed")
    is_so(done, [1])
    is_so(at.told(gid + "-2"), ["/in action", "/mail action"])


def msg_given_up(at, gid):
    def refuses(_):
        raise utils.DTMFailureError("no")

    try:
        msg_of(at, gid).do_and_submit(at.url("/asked"), refuses)
    except utils.DTMFailureError:
        rows, _ = until(gid, "failed")
        is_so(rows, ["p", "p"])
        is_so(at.told(gid), [])
        return
    raise AssertionError("what was refused was no error")


def msg_asked(at, gid):
    """The sender is gone after it has prepared; its participant knows what became of it."""
    for name, answers, status in [
        ("-yes", [(425, ""), (200, "")], "succeed"),
        ("-no", [(409, "")], "failed"),
    ]:
        at.says("/asked", *answers)
        it = msg_of(at, gid + name)
        it.trans_base.timeout_to_fail = 1
        it.trans_base.retry_interval = 1
        it.prepare(at.url("/asked"))
        until(gid + name, status)
    is_so(at.told(gid + "-yes"), ["/asked msg", "/asked msg", "/in action", "/mail action"])
    is_so(at.told(gid + "-no"), ["/asked msg"])


def prepared(at, gid):
    """Only prepares: what comes of it is seen in another run."""
    del at
    it = msg.Msg(DTM, gid)
    it.trans_base.timeout_to_fail = 3600
    it.add(BODY, "")
    it.prepare("http://127.0.0.1:1/asked")


def submitted(at, gid):
    del at
    it = msg.Msg(DTM, gid)
    it.add(BODY, "")
    it.submit()
    until(gid, "succeed")


def main():
    at = Participants()
    for case in sys.argv[2:]:
        name, _, gid = case.partition("=")
        gid = gid or utils.gen_gid(DTM)
        globals()[name](at, gid)
        at.script.clear()
        print(f"{name} {gid}")


main()
