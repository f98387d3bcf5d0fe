"""The one way to a database: an engine whose transactions begin as they are meant to.
SQLite: WAL, every commit on disk, and a transaction that will write takes the write lock at once.
PostgreSQL: a transaction that reads sees one state of everything.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Literal

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError

from domain.errors import InvalidInput

BUSY_TIMEOUT_S = 30
"""How long a writer waits for another."""
CONNECT_TIMEOUT_S = 10
GLANCE_S = 1
"""Who presses a key does not wait longer."""
GLANCE_LEAST_S = 2
"""libpq takes one second to connect for two."""
STEPS_BETWEEN_LOOKS = 10_000
"""Of SQLite's machine; some 0.1 ms."""
SQLITE, POSTGRESQL = "sqlite", "postgresql"
WRITE_AS = "Write sqlite:///PATH or postgresql://USER@HOST/DATABASE."
_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
_WRITES = "sendledger_writes"


def database_url(text: str | URL, *, field: str = "database_url") -> URL:
    """The URL of a database, with the driver that this program uses. Raises `InvalidInput`, naming the field."""
    try:
        url = make_url(text)
    except ArgumentError:
        raise InvalidInput("the database URL cannot be read.", mend=WRITE_AS, field=field) from None
    scheme = url.drivername.partition("+")[0]
    if scheme not in _DRIVERS:
        problem = f"{scheme} is no database that this program knows."
        raise InvalidInput(problem, mend=WRITE_AS, field=field)
    return url.set(drivername=_DRIVERS[scheme])


def is_sqlite(url: URL) -> bool:
    """Is it a file of our own, and not a server?"""
    return url.get_backend_name() == SQLITE


def sqlite_url(path: Path) -> URL:
    """The URL of an SQLite file."""
    return URL.create("sqlite", database=str(path))


def engine_for(url: str | URL) -> Engine:
    """An engine for this database, as every part of the program must use it."""
    parsed = database_url(url)
    if is_sqlite(parsed):
        engine = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_S}, hide_parameters=True)
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _begin)
        return engine
    engine = create_engine(
        parsed,
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S, "options": f"-c lock_timeout={BUSY_TIMEOUT_S}s"},
        hide_parameters=True,
        paramstyle="format",
        pool_pre_ping=True,
    )
    event.listen(engine, "handle_error", _without_values)
    return engine


def glancing(url: URL) -> Engine:
    """An engine for a quick look at what may be away or busy: it changes nothing and gives up soon."""
    if is_sqlite(url):
        file = Path(url.database or "")
        engine = create_engine("sqlite://", creator=lambda: _open_file(file, "ro", GLANCE_S))
        event.listen(engine, "connect", _give_up_soon)
        return engine
    options = f"-c statement_timeout={GLANCE_S}s -c default_transaction_read_only=on"
    return create_engine(
        url, connect_args={"connect_timeout": GLANCE_LEAST_S, "options": options}, hide_parameters=True
    )


def _give_up_soon(connection: Any, _record: Any) -> None:
    deadline = monotonic() + GLANCE_S
    connection.set_progress_handler(lambda: monotonic() > deadline, STEPS_BETWEEN_LOOKS)


def engine_for_file(path: Path, mode: Literal["ro", "rw"]) -> Engine:
    """An engine for another program's SQLite file, which keeps its journal mode; with "ro" nothing changes at all."""
    engine = create_engine(
        "sqlite://", creator=lambda: _open_file(path, mode, BUSY_TIMEOUT_S), poolclass=QueuePool, hide_parameters=True
    )
    event.listen(engine, "begin", _begin)
    return engine


def _open_file(path: Path, mode: Literal["ro", "rw"], wait_s: int) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", wait_s, isolation_level=None, uri=True)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One snapshot of the database: what it reads belongs together, whatever others write meanwhile."""
    with engine.connect() as plain:
        connection = plain
        if engine.dialect.name == POSTGRESQL:
            connection = plain.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            yield connection


@contextmanager
def copying(engine: Engine) -> Iterator[Connection]:
    """One snapshot too, in which temporary tables may be made; they are gone when the block ends."""
    with engine.connect() as plain:
        connection = plain
        if engine.dialect.name == POSTGRESQL:
            connection = plain.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin() as transaction:
            yield connection
            transaction.rollback()


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that changes something. On SQLite it holds the write lock from its first moment.

    A deferred one that reads first and writes then fails at once ("database is locked") when another has written
    in between: no busy time-out helps it.
    """
    with engine.connect() as plain:
        connection = plain.execution_options(**{_WRITES: True})
        with connection.begin():
            yield connection


def _configure(connection: Any, _record: Any) -> None:
    assert isinstance(connection, sqlite3.Connection)  # noqa: S101 — for the type checker; listened to on SQLite only
    connection.isolation_level = None  # else sqlite3 begins transactions itself: late, deferred and not before DDL
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")  # of a row that is removed nothing stays in its page


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _without_values(context: ExceptionContext) -> None:
    """PostgreSQL tells the values of a row in the DETAIL of an error, and they may be an address."""
    forget_values(context.original_exception, context.sqlalchemy_exception)


def forget_values(error: BaseException, wrapped: BaseException | None) -> None:
    """Leave of a driver's error, and of the one around it, what names no value."""
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    if primary:
        for each in filter(None, (error, wrapped)):
            each.args = (primary,)
