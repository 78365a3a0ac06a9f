"""A service with one account, on each database that the tests have.

SQLite is always there. `FLOTILLA_TEST_POSTGRES` and `FLOTILLA_TEST_MYSQL` are `host:port:user` of servers in which the tests may make databases.
"""

import os
import sqlite3
import tempfile
import uuid

from flotilla.tx import Barrier


class Sqlite:
    name = "sqlite3"

    def __init__(self, **options):
        self.folder = tempfile.TemporaryDirectory()
        self.options = options

    def connect(self):
        connection = sqlite3.connect(os.path.join(self.folder.name, "bank.db"), timeout=60, **self.options)
        # No test cuts the power.
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    def close(self):
        self.folder.cleanup()


class Memory:
    name = "sqlite3"

    def connect(self):
        return sqlite3.connect(":memory:")

    def close(self):
        pass


class Postgres:
    name = "psycopg"

    def __init__(self, address, **options):
        self.address, self.options = address, options
        self.database = f"py{uuid.uuid4().hex[:12]}"
        with self._open("postgres", autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {self.database}")

    def _open(self, database, **options):
        import psycopg

        host, port, user = self.address.split(":")
        return psycopg.connect(host=host, port=port, user=user, dbname=database, **options)

    def connect(self):
        return self._open(self.database, **self.options)

    def close(self):
        pass


class MySql:
    name = "pymysql"

    def __init__(self, address, **options):
        self.address, self.options = address, options
        self.database = f"py{uuid.uuid4().hex[:12]}"
        admin = self._open(None, autocommit=True)
        admin.cursor().execute(f"CREATE DATABASE {self.database}")
        admin.close()

    def _open(self, database, **options):
        import pymysql

        host, port, user = self.address.split(":")
        return pymysql.connect(host=host, port=int(port), user=user, database=database, **options)

    def connect(self):
        return self._open(self.database, **self.options)

    def close(self):
        pass


def postgres_address():
    return os.environ.get("FLOTILLA_TEST_POSTGRES")


def databases():
    """Each database, with its driver beginning transactions by itself and without."""
    found = [Sqlite(), Sqlite(isolation_level=None)]
    if postgres_address():
        found += [Postgres(postgres_address()), Postgres(postgres_address(), autocommit=True)]
    address = os.environ.get("FLOTILLA_TEST_MYSQL")
    if address:
        found += [MySql(address), MySql(address, autocommit=True)]
    return found


class Bank:
    """A connection, and the account."""

    def __init__(self, database):
        self.database, self.barrier = database, Barrier()
        self.connection = database.connect()
        for _ in range(2):
            self.barrier.create_table(self.connection)
        self.execute("CREATE TABLE account (balance integer)")
        self.execute("INSERT INTO account VALUES (0)")

    def execute(self, sql):
        self.connection.cursor().execute(sql)
        self.connection.commit()

    def balance(self):
        cursor = self.connection.cursor()
        cursor.execute("SELECT balance FROM account")
        value = cursor.fetchone()[0]
        self.connection.rollback()
        return value

    def change(self, branch, by, end=lambda: None, connection=None):
        """Changes the account behind the barrier."""

        def work(cursor):
            cursor.execute(f"UPDATE account SET balance = balance + ({by})")
            return end()

        return self.barrier.call(connection or self.connection, branch, work)

    def close(self):
        self.connection.close()
        self.database.close()
