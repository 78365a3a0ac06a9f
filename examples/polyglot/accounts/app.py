"""Accounts: who may have a basket. A plain Flask app; all instances share one SQLite file."""

import os
import signal
import sqlite3
import time

from flask import Flask, g, jsonify, request
from werkzeug.exceptions import HTTPException
from werkzeug.serving import ThreadedWSGIServer

DATABASE = os.environ["DATABASE_URL"].removeprefix("sqlite://")
app = Flask(__name__)


def connect():
    # isolation_level=None: transactions start where we say BEGIN, not by themselves.
    db = sqlite3.connect(DATABASE, timeout=5, isolation_level=None)
    db.row_factory = sqlite3.Row
    return db


def create_schema(attempts=100):
    """Turning on WAL may fail at once while another instance does the same: so try again."""
    while True:
        try:
            db = connect()
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(
                "CREATE TABLE IF NOT EXISTS accounts"
                " (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE)"
            )
            db.close()
            return
        except sqlite3.OperationalError:
            attempts -= 1
            if attempts == 0:
                raise
            time.sleep(0.05)


def database():
    if "db" not in g:
        g.db = connect()
    return g.db


@app.teardown_appcontext
def close(_error):
    if "db" in g:
        g.db.close()


@app.get("/ready")
def ready():
    database().execute("SELECT 1 FROM accounts LIMIT 1")
    return jsonify(ready=True)


@app.get("/accounts")
def list_accounts():
    rows = database().execute("SELECT id, name FROM accounts ORDER BY id").fetchall()
    return jsonify(accounts=[dict(row) for row in rows], instance=instance())


@app.post("/accounts")
def create_account():
    body = request.get_json(force=True)
    name = body.get("name") if isinstance(body, dict) else None
    if not isinstance(name, str) or not 1 <= len(name.strip()) <= 100:
        return failure(400, "`name` has 1 to 100 characters")
    try:
        row = database().execute("INSERT INTO accounts (name) VALUES (?) RETURNING id", [name])
        account = row.fetchone()["id"]
    except sqlite3.IntegrityError:
        return failure(409, f"`{name}` has an account already")
    return jsonify(id=account, name=name), 201, {"Location": f"/accounts/{account}"}


@app.get("/accounts/<int:account>")
def read_account(account):
    row = database().execute("SELECT id, name FROM accounts WHERE id = ?", [account]).fetchone()
    return jsonify(dict(row)) if row else failure(404, f"there is no account {account}")


@app.errorhandler(HTTPException)
def as_json(error):
    return failure(error.code, error.description)


def failure(status, message):
    return jsonify(error={"message": message}), status


def instance():
    return os.environ.get("FLOTILLA_INSTANCE")


def stop(_signal, _frame):
    """Ends `app.run`, which then waits for the requests that are still being answered."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    create_schema()
    signal.signal(signal.SIGTERM, stop)
    ThreadedWSGIServer.daemon_threads = False
    port = int(os.environ["PORT"])
    print(f"accounts listening on 127.0.0.1:{port}", flush=True)
    app.run(port=port, threaded=True)
    print("accounts stopped", flush=True)
