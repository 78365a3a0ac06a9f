"""What the client sends, to a node that answers as it is told."""

import json
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from flotilla.tx import Client, Refused, TransactionAborted, TransactionError


class Node(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen, self.answers = [], []
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def close(self):
        self.shutdown()
        self.server_close()
        self.thread.join()


class Handler(BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        interesting = ("Prefer", "Flotilla-Tx", "Idempotency-Key", "Authorization")
        headers = {name: self.headers[name] for name in interesting if name in self.headers}
        self.server.seen.append((f"{self.command} {self.path}", json.loads(body) if body else None, headers))
        status, answer = self.server.answers.pop(0) if self.server.answers else (200, {"id": "t1", "status": "committed"})
        text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


class Requests(unittest.TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.close)
        self.client = Client(self.node.url)

    def lines(self):
        return [line for line, _, _ in self.node.seen]

    def test_a_saga_is_submitted_by_name_and_waited_for(self):
        self.client.saga("place-order", {"sku": "apple"}, id="order-7", wait=5)
        self.client.submit({"mode": "2pc", "steps": [{"participant": "users/tx"}]})
        self.assertEqual(
            self.node.seen,
            [
                ("POST /v1/tx", {"id": "order-7", "use": "place-order", "input": {"sku": "apple"}}, {"Prefer": "wait=5"}),
                ("POST /v1/tx", {"mode": "2pc", "steps": [{"participant": "users/tx"}]}, {}),
            ],
        )

    def test_a_transaction_is_waited_for_until_it_has_ended(self):
        self.node.answers = [(200, {"status": "trying"}), (200, {"status": "committed", "id": "a"})]
        self.assertEqual(self.client.wait("a")["id"], "a")
        self.assertEqual(self.lines(), ["GET /v1/tx/a", "GET /v1/tx/a"])
        self.node.answers = [(200, {"status": "aborted", "reason": "sold out", "id": "a"})]
        with self.assertRaisesRegex(TransactionAborted, "sold out"):
            self.client.wait("a")
        self.node.answers = [(200, {"status": "trying"})]
        with self.assertRaises(TimeoutError):
            self.client.wait("a", timeout=0)

    def test_transactions_are_steered(self):
        self.client.get("a/b")
        self.client.abort("a", "enough")
        self.client.retry("a")
        self.client.list(status="trying", attention=True)
        self.node.answers = [(200, {"gid": "a", "decision": "undecided"})]
        self.assertEqual(self.client.decision("a"), "undecided")
        self.assertEqual(
            self.lines(),
            [
                "GET /v1/tx/a%2Fb",
                "POST /v1/tx/a/abort",
                "POST /v1/tx/a/retry",
                "GET /v1/tx?status=trying&attention=true",
                "GET /v1/tx/a/decision",
            ],
        )
        self.assertEqual(self.node.seen[1][1], {"reason": "enough"})

    def test_errors_say_what_the_node_said(self):
        self.node.answers = [(409, {"error": {"code": "conflict", "message": "another content", "help": "take another id"}})]
        with self.assertRaises(TransactionError) as raised:
            self.client.saga("checkout", {})
        error = raised.exception
        self.assertEqual((error.status, error.code, str(error)), (409, "conflict", "another content (take another id)"))
        self.node.answers = [(502, b"<html>")]
        with self.assertRaisesRegex(TransactionError, "<html>"):
            self.client.get("a")
        self.node.answers = [(302, {})]
        self.assertRaises(TransactionError, self.client.get, "a")
        self.node.close()
        with self.assertRaises(TransactionError) as raised:
            self.client.get("a")
        self.assertEqual(raised.exception.status, 0)

    def test_reservations_are_made_known_before_they_are_made_and_confirmed_at_the_end(self):
        opened, known = (201, {"id": "t1", "status": "open"}), (200, {})
        self.node.answers = [opened, known, (200, {"seat": 7}), known, (200, b""), (200, {"status": "committing"})]
        with self.client.tcc(labels={"a": "b"}) as t:
            seat = t.call("POST seats/reserve", confirm="seats/confirm", cancel="seats/cancel", body={"row": 1}, reserve="30s")
            self.assertEqual(seat, {"seat": 7})
            self.assertIsNone(t.call(f"{self.node.url}/x?y=1", confirm="x/confirm", cancel="x/cancel", id="x"))
        self.assertEqual(t.transaction, {"status": "committing"})
        own = {"Flotilla-Tx": "gid=t1;branch={0};op=try;attempt=1;mode=tcc", "Idempotency-Key": "t1/{0}/try"}

        def headers(id):
            return {name: value.format(id) for name, value in own.items()}

        first = {"id": "01", "confirm": "seats/confirm", "cancel": "seats/cancel", "body": {"row": 1}, "reserve": "30s"}
        second = {"id": "x", "confirm": "x/confirm", "cancel": "x/cancel"}
        query = "gid=t1&trans_type=tcc&branch_id={}&op=try"
        self.assertEqual(
            self.node.seen,
            [
                ("POST /v1/tx", {"mode": "tcc", "open": True, "timeout": "35s", "labels": {"a": "b"}}, {}),
                ("POST /v1/tx/t1/branches", {"steps": [first]}, {}),
                ("POST /v1.0/invoke/seats/method/reserve?" + query.format("01"), {"row": 1}, headers("01")),
                ("POST /v1/tx/t1/branches", {"steps": [second]}, {}),
                ("POST /x?y=1&" + query.format("x"), None, headers("x")),
                ("POST /v1/tx/t1/commit", None, {}),
            ],
        )

    def test_a_refused_reservation_gives_all_of_them_back(self):
        self.node.answers = [(201, {"id": "t1"}), (200, {}), (409, b"sold out"), (500, b"")]
        with self.assertRaisesRegex(Refused, "sold out"):
            with self.client.tcc() as t:
                t.call("seats/reserve", confirm="seats/confirm", cancel="seats/cancel")
        self.assertEqual(self.node.seen[-1][:2], ("POST /v1/tx/t1/abort", {"reason": "Refused: sold out"}))
        self.node.answers = [(201, {"id": "t1"}), (200, {}), (425, b"")]
        with self.assertRaisesRegex(TransactionError, "answered 425"):
            with self.client.tcc() as t:
                t.call("seats/reserve", confirm="seats/confirm", cancel="seats/cancel")

    def test_a_message_is_opened_before_the_block_and_sent_after_it(self):
        steps = [{"call": "POST mailer/welcome"}]
        with self.client.message("GET orders/tx-query", steps) as message:
            self.assertEqual(message.id, "t1")
            self.assertEqual(len(self.node.seen), 1)
        spec = {"mode": "msg", "open": True, "query": "GET orders/tx-query", "steps": steps, "timeout": "35s"}
        self.assertEqual(self.node.seen, [("POST /v1/tx", spec, {}), ("POST /v1/tx/t1/commit", None, {})])
        # Whether the local transaction was committed is for the database to say.
        with self.assertRaises(ZeroDivisionError):
            with self.client.message("GET orders/tx-query", steps):
                raise ZeroDivisionError
        self.assertEqual(len(self.node.seen), 3)

    def test_a_token_goes_with_every_request(self):
        Client(self.node.url, headers={"Authorization": "Bearer x"}).get("a")
        self.assertEqual(self.node.seen[0][2], {"Authorization": "Bearer x"})


if __name__ == "__main__":
    unittest.main()
