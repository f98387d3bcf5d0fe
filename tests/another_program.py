"""Another program at the same database: what it runs, holds or ends there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy import text
from sqlalchemy.engine import URL

from projections.database import engine_for, is_sqlite, writing
from runner.store.postgres import connection_string

APPEND_LOCK = (1397507396, 1)
"""The advisory lock that a trigger takes for whoever appends."""


def run(url: URL, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    """Run a statement and commit; the rows it gives."""
    engine = engine_for(url)
    with writing(engine) as connection:
        result = connection.execute(text(statement), values)
        rows = [tuple(row) for row in result] if result.returns_rows else []
    engine.dispose()
    return rows


def append_lock_is_free(url: URL) -> bool:
    """Could it append at this instant?"""
    if is_sqlite(url):
        with closing(sqlite3.connect(str(url.database), timeout=0, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            return True
    with _connected(url) as connection:
        [free] = connection.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", APPEND_LOCK).fetchone() or [False]
        return bool(free)


@contextmanager
def append_lock_held(url: URL) -> Iterator[None]:
    """While the block runs, nobody else can append."""
    if is_sqlite(url):
        with closing(sqlite3.connect(str(url.database), isolation_level=None)) as file:
            file.execute("BEGIN IMMEDIATE")
            yield
    else:
        with _connected(url) as server, server.transaction():
            server.execute("SELECT pg_advisory_xact_lock(%s, %s)", APPEND_LOCK)
            yield


# --- PostgreSQL ---


def replace(source: URL, target: URL) -> None:
    """A database in place of another, with all that is in the source, as a dump and its restoration would make it."""
    names = {"source": Identifier(str(source.database)), "target": Identifier(str(target.database))}
    with _administering(source) as connection:
        connection.execute(SQL("DROP DATABASE {target} WITH (FORCE)").format(**names))
        connection.execute(SQL("CREATE DATABASE {target} TEMPLATE {source}").format(**names))


def rename(source: URL, name: str) -> URL:
    """The same database by another name."""
    with _administering(source) as connection:
        statement = SQL("ALTER DATABASE {} RENAME TO {}")
        connection.execute(statement.format(Identifier(str(source.database)), Identifier(name)))
    return source.set(database=name)


def end_connections(url: URL) -> None:
    """As an administrator, or a failover: the server ends every connection to this database."""
    with _administering(url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (url.database,)
        )


def take_away(url: URL) -> None:
    """The server lets nobody in any more, and ends the connections there are."""
    _allow(url, SQL("false"))
    end_connections(url)


def give_back(url: URL) -> None:
    """It lets everybody in again."""
    _allow(url, SQL("true"))


def _allow(url: URL, answer: SQL) -> None:
    with _administering(url) as connection:
        statement = SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}")
        connection.execute(statement.format(Identifier(str(url.database)), answer))


@contextmanager
def _connected(url: URL) -> Iterator[psycopg.Connection]:
    with psycopg.connect(connection_string(url), autocommit=True) as connection:
        yield connection


@contextmanager
def _administering(url: URL) -> Iterator[psycopg.Connection]:
    with _connected(url.set(database="postgres")) as connection:
        yield connection
