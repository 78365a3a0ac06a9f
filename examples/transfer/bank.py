"""A bank that takes part in transfers, whichever mode they have.

It keeps balances, and what is promised: `held` of an account that pays is gone from its balance and not yet spent, `held` of an account that
is paid is on its way. The barrier of `flotilla.tx` sees to it that calls that come twice, too late or in the wrong order do no harm.
"""

import json
import os
import sqlite3
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from flotilla.tx import Barrier, Refused, participant

DATABASE = os.environ["DATABASE_URL"].removeprefix("sqlite://")

SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (name TEXT PRIMARY KEY, balance INTEGER NOT NULL CHECK (balance >= 0), held INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS moves (gid TEXT NOT NULL, account TEXT NOT NULL, amount INTEGER NOT NULL);
"""

DO = ("action", "commit_one_phase")
"""Operations that move the money at once."""

PROMISE = {"tcc": "try", "2pc": "prepare", "3pc": "pre_commit", "3pc_classic": "can_commit"}
"""The operation of each mode that promises it."""


def connect():
    connection = sqlite3.connect(DATABASE, timeout=60, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    return connection


@participant(connect=connect)
def transfer(cursor, branch, body):
    """One side of a transfer: `debit` takes `amount` from `account`, `credit` gives it."""
    name, amount, is_debit = body["account"], body["amount"], body["side"] == "debit"
    found = cursor.execute("SELECT balance FROM accounts WHERE name = ?", [name]).fetchone()
    if found is None:
        raise Refused(f"there is no account {name}")
    if amount <= 0:
        raise Refused(f"{amount} cannot be transferred")
    lacks = is_debit and found[0] < amount

    def change(balance, held, move=0):
        cursor.execute("UPDATE accounts SET balance = balance + ?, held = held + ? WHERE name = ?", [balance, held, name])
        if move:
            cursor.execute("INSERT INTO moves VALUES (?, ?, ?)", [branch.gid, name, move])

    signed = -amount if is_debit else amount
    if branch.op in DO:
        if lacks:
            raise Refused(f"{name} has {found[0]}")
        change(signed, 0, signed)
    elif branch.op == "compensate":
        change(-signed, 0, -signed)
    elif branch.op == PROMISE.get(branch.mode):
        if lacks:
            raise Refused(f"{name} has {found[0]}")
        change(signed if is_debit else 0, amount)
    elif branch.op == "can_commit":
        # Only a question: nothing is held, and the answer may be another one when it matters.
        if lacks:
            raise Refused(f"{name} has {found[0]}")
    elif branch.op in ("confirm", "commit"):
        change(0 if is_debit else amount, -amount, signed)
    elif branch.op in ("cancel", "rollback"):
        change(amount if is_debit else 0, -amount)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = urlsplit(self.path).path
        if path == "/ready":
            return self.answer(200, b"{}")
        if path == "/accounts":
            rows = connect().execute("SELECT name, balance, held FROM accounts ORDER BY name")
            accounts = [{"name": name, "balance": balance, "held": held} for name, balance, held in rows]
            return self.answer(200, json.dumps({"accounts": accounts}).encode())
        if path == "/moves":
            rows = connect().execute("SELECT gid, account, amount FROM moves ORDER BY rowid")
            return self.answer(200, json.dumps({"moves": [list(row) for row in rows]}).encode())
        return self.answer(404, b"")

    def do_PUT(self):
        """`PUT /accounts/ann` with `{"balance": 100}` opens an account, or sets its balance."""
        body = self.body()
        name = unquote(urlsplit(self.path).path.rpartition("/")[2])
        sql = "INSERT INTO accounts (name, balance) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET balance = excluded.balance"
        connect().execute(sql, [name, int(body["balance"])])
        self.answer(204, b"")

    def do_POST(self):
        body = self.body()
        result = transfer(urlsplit(self.path).query, self.headers, body)
        self.answer(result.status, result.body, result.headers)

    def body(self):
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")

    def answer(self, status, body, headers=None):
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def prepare():
    """Makes the tables."""
    connection = connect()
    connection.executescript(SCHEMA)
    Barrier().create_table(connection)
    connection.close()


def serve(handler=Handler):
    prepare()
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), handler).serve_forever()


if __name__ == "__main__":
    serve()
