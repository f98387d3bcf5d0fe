"""Our recorder on the library's PostgreSQL one: an advisory lock instead of a table lock, no pipeline, no blind retry.

The library locks the whole table, for which an append-only role should have no right; inserts through a client-side
pipeline, in which one append of 40,000 events hangs for ever (measured over TCP); and inserts again when the answer to
a COMMIT was lost, so that its own write comes back as a conflict. Here a trigger takes the append lock, a few events go
by one INSERT and many by COPY, and an append is tried once: what became of it is read back by whoever must know.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, cast

import psycopg
from eventsourcing import postgres as library
from eventsourcing.persistence import (
    DataError,
    IntegrityError,
    InternalError,
    OperationalError,
    PersistenceError,
    ProgrammingError,
    StoredEvent,
)
from eventsourcing.utils import Environment, strtobool
from psycopg import Connection, Cursor
from psycopg.rows import DictRow, dict_row, tuple_row
from psycopg.sql import SQL
from sqlalchemy import Executable, Insert
from sqlalchemy.dialects.postgresql.psycopg import dialect as psycopg_dialect
from sqlalchemy.engine import URL

from projections.bulk import COPY_FROM_ROWS, column_types, copy_rows
from projections.event_log import TAIL
from runner.store.recorder import LIBRARY, Appending, Kept, LedgerRecorder, LogRow, UnsafeDatabase, compiling

for _name in ("psycopg", "psycopg.pool"):
    logging.getLogger(_name).setLevel(logging.NOTSET)  # the library silenced them when it was imported

LOCK_TIMEOUT_S = 30
"""How long an append waits for another writer."""
IDLE_TIMEOUT_S = 20
"""A transaction that does nothing for so long is ended by the server: a process that was stopped while it held the
append lock must not hold up all others for ever."""
CONNECT_TIMEOUT_S = 10
MOST_CONNECTIONS = 10
OLDEST_VERSION = 150_000
DB_FUNCTIONS = "POSTGRES_ENABLE_DB_FUNCTIONS"

APPEND_LOCK = SQL("SELECT pg_advisory_xact_lock(1397507396, 1)")
"""The very lock that the trigger on `stored_events` takes."""
INSERT = SQL(
    "INSERT INTO stored_events (originator_id, originator_version, topic, state)"
    " SELECT * FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::bytea[]) RETURNING notification_id"
)
LAST_POSITION = SQL("SELECT max(notification_id) AS last FROM stored_events")
SERVER = SQL(
    "SELECT current_schema() AS schema, current_setting('server_version_num')::int AS version,"
    " current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS synchronous_commit"
)
PLACE = SQL(
    "SELECT system_identifier, oid, current_schema() AS schema FROM pg_control_system(), pg_database"
    " WHERE datname = current_database()"
)

_KEEPALIVE: dict[str, Any] = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
"""A peer that lost its power says nothing: by the system's own settings it is missed after two hours."""
_PARAMETERS: dict[str, Any] = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    "application_name": "sendledger",
    **_KEEPALIVE,
}
_SERVER_SETTINGS = {f"tcp_{name}": value for name, value in _KEEPALIVE.items()}
"""The same for the server, which keeps the locks of a connection as long as it believes in it."""
_EVENT = {"originator_id": "text", "originator_version": "int8", "topic": "text", "state": "bytea"}

_DIALECT = psycopg_dialect(paramstyle="pyformat")  # type: ignore[no-untyped-call]
_sql = compiling(_DIALECT)


class PostgresRecorder(library.PostgresApplicationRecorder, LedgerRecorder):
    """Appends and reads events of one PostgreSQL database."""

    dialect = _DIALECT

    # The library tries each of these ten times. While the server is away, each try waits for a connection: over a
    # minute and a half in which no runner could be told to stop.
    select_events = inspect.unwrap(library.PostgresApplicationRecorder.select_events)
    select_notifications = inspect.unwrap(library.PostgresApplicationRecorder.select_notifications)
    max_notification_id = inspect.unwrap(library.PostgresApplicationRecorder.max_notification_id)

    @contextmanager
    def append_lock(self) -> Iterator[Appending]:
        """The advisory lock that every append takes."""
        with self._transaction() as cursor:
            cursor.execute(APPEND_LOCK)
            yield PostgresAppending(cursor)

    def append(self, stored: Sequence[StoredEvent], kept: Sequence[Kept] = ()) -> None:
        """In one transaction, tried once."""
        with self._transaction() as cursor:
            appending = PostgresAppending(cursor)
            appending.insert(stored)
            appending.keep(kept)

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int]:
        """The library's way to append; returns the positions."""
        with self._transaction() as cursor:
            return PostgresAppending(cursor).insert(stored_events)

    def events(self, statement: Executable, values: Mapping[str, Any]) -> list[LogRow]:
        """By a connection of the store's pool."""
        with self.datastore.get_connection() as connection, _library_errors():
            cursor = connection.cursor(row_factory=tuple_row, binary=True)
            return cast(list[LogRow], cursor.execute(_sql(statement), values).fetchall())

    def rows(self, statement: Executable, values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """By a connection of the store's pool."""
        with self.datastore.get_connection() as connection, _library_errors():
            return cast(list[Mapping[str, Any]], connection.execute(_sql(statement), values).fetchall())

    def place(self) -> str:
        """The cluster and the database in it: restored from a dump, it is another one."""
        with self.datastore.get_connection() as connection, _library_errors():
            row = connection.execute(PLACE).fetchone()
        assert row is not None  # noqa: S101 — for the type checker; a database is always in the list of databases
        return f"cluster {row['system_identifier']}, database {row['oid']}, schema {row['schema']}"

    def close(self) -> None:
        """Close the pool."""
        self.datastore.close()

    @contextmanager
    def _transaction(self) -> Iterator[Cursor[DictRow]]:
        with self.datastore.get_connection() as connection, _library_errors(), connection.transaction():
            yield connection.cursor()


class PostgresAppending:
    def __init__(self, cursor: Cursor[DictRow]) -> None:
        self._cursor = cursor

    def tail(self, stream: str, after: int) -> list[StoredEvent]:
        self._cursor.execute(_sql(TAIL), {"stream": stream, "after": after})
        return [
            StoredEvent(stream, row["originator_version"], row["topic"], row["state"])
            for row in self._cursor.fetchall()
        ]

    def insert(self, stored: Sequence[StoredEvent]) -> Sequence[int]:
        if len(stored) < COPY_FROM_ROWS:
            if not stored:
                return []
            columns = [list(column) for column in zip(*map(_values, stored), strict=True)]
            self._cursor.execute(INSERT, columns)
            return [row["notification_id"] for row in self._cursor.fetchall()]
        copy_rows(self._cursor, "stored_events", _EVENT, map(_values, stored))
        row = self._cursor.execute(LAST_POSITION).fetchone()
        assert row is not None  # noqa: S101 — for the type checker; an aggregate has a row always
        return range(row["last"] - len(stored) + 1, row["last"] + 1)  # without a gap: the append lock is held

    def keep(self, kept: Sequence[Kept]) -> None:
        for statement, rows in kept:
            if isinstance(statement, Insert) and len(rows) >= COPY_FROM_ROWS:
                self._copy(statement.table, rows)
            elif len(rows) == 1:
                self._cursor.execute(_sql(statement), rows[0])
            else:
                self._cursor.executemany(_sql(statement), rows)

    def _copy(self, table: Any, rows: Sequence[Mapping[str, Any]]) -> None:
        names = list(rows[0])
        copy_rows(self._cursor, table.name, column_types(table, names), ([row[name] for name in names] for row in rows))


def _values(stored: StoredEvent) -> tuple[object, int, str, bytes]:
    return stored.originator_id, stored.originator_version, stored.topic, stored.state


class PostgresLedgerFactory(library.PostgresFactory):
    """Makes the recorder on a pool whose connections are patient, but not for ever."""

    def __init__(self, url: URL) -> None:
        super().__init__(Environment(env={**_TO_BE_REPLACED, **LIBRARY}))
        self.datastore.pool = _pool(url)
        with self.datastore.get_connection() as connection, _library_errors():
            server = connection.execute(SERVER).fetchone()
        assert server is not None  # noqa: S101 — for the type checker; one row always
        _require_durable(server)
        self.datastore.schema = server["schema"]

    def application_recorder(self) -> PostgresRecorder:
        """On the table that migrations made; the library would name it after the application."""
        return PostgresRecorder(self.datastore)


def require_durable(url: URL) -> None:
    """Raise `UnsafeDatabase` for a server that may forget what it has reported stored, or that is too old."""
    with connect(url) as connection:
        server = connection.cursor(row_factory=dict_row).execute(SERVER).fetchone()
    assert server is not None  # noqa: S101 — for the type checker; one row always
    _require_durable(server)


def _require_durable(server: DictRow) -> None:
    if server["version"] < OLDEST_VERSION:
        raise UnsafeDatabase(f"this is PostgreSQL {server['version'] // 10_000}; 15 and newer are supported.")
    if server["fsync"] == "off":
        raise UnsafeDatabase("fsync is off: after a power cut, mails that were sent would go out again. Set it to on.")
    if server["synchronous_commit"] == "off":
        raise UnsafeDatabase(
            "synchronous_commit is off: after a crash, mails that were sent would go out again. "
            "Set it to on, for this role or database at least."
        )
    if strtobool(os.environ.get(DB_FUNCTIONS) or "no"):
        raise UnsafeDatabase(
            f"{DB_FUNCTIONS} is set in the environment: appends would take no lock, and readers miss events. Unset it."
        )


_TO_BE_REPLACED = dict.fromkeys(
    (f"POSTGRES_{name}" for name in ("DBNAME", "HOST", "PORT", "USER", "PASSWORD")), "replaced"
)
"""What the library's factory asks for; the pool that it makes of this never opens."""


def connection_string(url: URL) -> str:
    """The URL as libpq reads it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def connect(url: URL) -> Connection[Any]:
    """A connection outside the pool, for locks that last as long as it does. Raises `psycopg.OperationalError`."""
    return psycopg.connect(connection_string(url), autocommit=True, options=_options(), **_PARAMETERS)


def _options(**settings: str) -> str:
    return " ".join(f"-c {name}={value}" for name, value in {**_SERVER_SETTINGS, **settings}.items())


class _Pool(library.ConnectionPool[Connection[DictRow]]):
    def putconn(self, conn: Connection[DictRow]) -> None:
        """One that was lost tells of the others: a server that went down ended them all, and each would fail somebody
        once more."""
        lost = conn.broken
        super().putconn(conn)
        if lost:
            self.check()


def _pool(url: URL) -> _Pool:
    options = _options(lock_timeout=f"{LOCK_TIMEOUT_S}s", idle_in_transaction_session_timeout=f"{IDLE_TIMEOUT_S}s")
    return _Pool(
        connection_string(url),
        connection_class=Connection[DictRow],
        kwargs={
            "row_factory": dict_row,
            "autocommit": True,
            "options": options,
            **_PARAMETERS,
        },
        min_size=1,
        max_size=MOST_CONNECTIONS,
        open=False,
        timeout=CONNECT_TIMEOUT_S,
        reconnect_timeout=CONNECT_TIMEOUT_S,  # then whoever asks tries anew; the pool's own tries come ever more rarely
    )


@contextmanager
def _library_errors() -> Iterator[None]:
    """The library's errors for psycopg's, without DETAIL and CONTEXT: they tell the values of the row."""
    try:
        yield
    except psycopg.Error as error:
        _raise_without_values(error)


def _raise_without_values(error: psycopg.Error) -> NoReturn:
    told = error.diag.message_primary or str(error)
    for theirs, ours in _ERRORS.items():
        if isinstance(error, theirs):
            raise ours(told) from None
    raise PersistenceError(told) from None


_ERRORS: dict[type[psycopg.Error], type[PersistenceError]] = {
    psycopg.IntegrityError: IntegrityError,
    psycopg.OperationalError: OperationalError,
    psycopg.DataError: DataError,
    psycopg.InternalError: InternalError,
    psycopg.ProgrammingError: ProgrammingError,
}
