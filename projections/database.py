"""The one way to a database: an engine whose transactions begin as they are meant to.
SQLite: WAL, every commit on disk, and a transaction that will write takes the write lock at once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from domain.errors import InvalidInput

BUSY_TIMEOUT_S = 30
SUPPORTED = ("sqlite",)
_WRITES = "sendledger_writes"


def engine_for(url: str | URL) -> Engine:
    """An engine for this database, as every part of the program must use it."""
    parsed = _parsed(url)
    engine = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_S}, hide_parameters=True)
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One snapshot of the database: what it reads belongs together, whatever others write meanwhile."""
    with engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that holds the write lock from its first moment.

    A deferred one that reads first and writes then fails at once ("database is locked") when another has written
    in between: no busy time-out helps it.
    """
    with engine.connect() as plain:
        connection = plain.execution_options(**{_WRITES: True})
        with connection.begin():
            yield connection


def _parsed(url: str | URL) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise InvalidInput("the database URL cannot be read.", mend="Write it as sqlite:///PATH.") from None
    if parsed.get_backend_name() not in SUPPORTED:
        raise InvalidInput(
            f"{parsed.get_backend_name()} is no database that this version knows.", mend="Write sqlite:///PATH."
        )
    return parsed


def _configure(connection: Any, _record: Any) -> None:
    assert isinstance(connection, sqlite3.Connection)  # noqa: S101 — for the type checker; listened to on SQLite only
    connection.isolation_level = None  # else sqlite3 begins transactions itself: late, deferred and not before DDL
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
