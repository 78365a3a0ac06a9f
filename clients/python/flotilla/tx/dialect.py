"""How the databases differ: placeholders, statements, transactions."""

import sys

KINDS = {
    "sqlite3": "sqlite",
    "pysqlite3": "sqlite",
    "psycopg": "postgres",
    "psycopg2": "postgres",
    "pg8000": "postgres",
    "pymysql": "mysql",
    "MySQLdb": "mysql",
    "mysql": "mysql",
    "mariadb": "mysql",
}
"""What a driver is for, by the name of its module."""

STYLES = {"qmark": "?", "format": "%s", "pyformat": "%s"}

CREATE = {
    "sqlite": """CREATE TABLE IF NOT EXISTS {table} (
        trans_type TEXT NOT NULL, gid TEXT NOT NULL, branch_id TEXT NOT NULL, op TEXT NOT NULL,
        barrier_id TEXT NOT NULL, reason TEXT NOT NULL, answer BLOB,
        create_time TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
        PRIMARY KEY (gid, branch_id, op, barrier_id)) WITHOUT ROWID""",
    "postgres": """CREATE TABLE IF NOT EXISTS {table} (
        trans_type varchar(45) NOT NULL, gid varchar(128) NOT NULL, branch_id varchar(128) NOT NULL,
        op varchar(45) NOT NULL, barrier_id varchar(45) NOT NULL, reason varchar(45) NOT NULL, answer bytea,
        create_time timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (gid, branch_id, op, barrier_id))""",
    # The collation compares ids as they are: the usual one takes `a` for `A`.
    "mysql": """CREATE TABLE IF NOT EXISTS {table} (
        trans_type varchar(45) NOT NULL, gid varchar(128) NOT NULL, branch_id varchar(128) NOT NULL,
        op varchar(45) NOT NULL, barrier_id varchar(45) NOT NULL, reason varchar(45) NOT NULL, answer mediumblob,
        create_time datetime NOT NULL DEFAULT CURRENT_TIMESTAMP,
        PRIMARY KEY (gid, branch_id, op, barrier_id)) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin""",
}

INSERT = (
    "INSERT {ignore} INTO {table} (trans_type, gid, branch_id, op, barrier_id, reason, create_time) "
    "VALUES (?, ?, ?, ?, ?, ?, CURRENT_TIMESTAMP) {conflict}"
)

FORGET = {
    "sqlite": "DELETE FROM {table} WHERE create_time < datetime('now', '-' || ? || ' seconds')",
    "postgres": "DELETE FROM {table} WHERE create_time < now() - make_interval(secs => ?)",
    "mysql": "DELETE FROM {table} WHERE create_time < CURRENT_TIMESTAMP - INTERVAL ? SECOND",
}

CREATE_LOCK = 0x0F107111BA221E20
"""Held in PostgreSQL while the table is made: two instances of a service that do so at once would disturb each other."""


class Dialect:
    """Speaks with one driver, which is known by the connection or cursor."""

    def __init__(self, of, kind=None):
        root = type(of).__module__.partition(".")[0]
        self.kind = kind or KINDS.get(root)
        if self.kind not in CREATE:
            raise TypeError(
                f"{type(of).__module__}.{type(of).__name__} is no known driver: say `Barrier(dialect=…)`, one of {', '.join(CREATE)}"
            )
        default = "qmark" if self.kind == "sqlite" else "pyformat"
        style = getattr(sys.modules.get(root), "paramstyle", default)
        if style not in STYLES:
            raise TypeError(f"placeholders of style `{style}`, as {root} wants them, are not supported")
        self.mark = STYLES[style]

    def execute(self, cursor, sql, values=()):
        """Runs a statement that is written with `?`."""
        cursor.execute(sql.replace("?", self.mark), tuple(values))
        return cursor

    def insert(self, table):
        """A statement that inserts a row unless it is there."""
        is_mysql = self.kind == "mysql"
        return INSERT.format(
            table=table, ignore="IGNORE" if is_mysql else "", conflict="" if is_mysql else "ON CONFLICT DO NOTHING"
        )

    def find(self, table, columns):
        """A statement that reads a row as it is now, not as it was when the transaction began."""
        lock = " LOCK IN SHARE MODE" if self.kind == "mysql" else ""
        return f"SELECT {columns} FROM {table} WHERE gid = ? AND branch_id = ? AND op = ? AND barrier_id = ?{lock}"

    def begin(self, connection):
        """Begins a transaction, where the driver does not do so by itself."""
        if self.kind == "sqlite":
            if connection.in_transaction and getattr(connection, "autocommit", -1) is not False:
                raise RuntimeError("the connection is in a transaction; commit it, or use `check` inside it")
            if not connection.in_transaction:
                # One that begins by reading cannot always be made one that writes.
                connection.execute("BEGIN IMMEDIATE")
        elif self._commits_alone(connection):
            connection.cursor().execute("BEGIN")

    def end(self, connection, word):
        """`COMMIT` or `ROLLBACK`."""
        by_hand = self._commits_alone(connection) or (
            self.kind == "sqlite" and getattr(connection, "autocommit", -1) is not False
        )
        if by_hand:
            if self.kind != "sqlite" or connection.in_transaction:
                connection.cursor().execute(word)
        elif word == "COMMIT":
            connection.commit()
        else:
            connection.rollback()

    def _commits_alone(self, connection):
        if self.kind == "sqlite":
            return False
        value = getattr(connection, "autocommit", False)
        return bool(connection.get_autocommit() if callable(value) else value)


def cursor_of(it):
    """The cursor of a connection, or the cursor itself."""
    make = getattr(it, "cursor", None)
    return make() if callable(make) else it
