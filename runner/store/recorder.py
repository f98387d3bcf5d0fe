"""Our recorder on the library's SQLite one: appends inside BEGIN IMMEDIATE, together with rows of kept tables.

The library begins a deferred transaction, which under several writers fails when it first writes (1,565 busy errors
for 400 appends, measured); taking the write lock at the start waits instead. The same lock is the append lock inside
which a lost race is decided again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

from eventsourcing.persistence import IntegrityError, OperationalError, StoredEvent
from eventsourcing.sqlite import (
    SQLiteApplicationRecorder,
    SQLiteConnection,
    SQLiteConnectionPool,
    SQLiteCursor,
    SQLiteDatastore,
    SQLiteFactory,
)
from eventsourcing.utils import Environment
from sqlalchemy import Executable
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.sql import ClauseElement

BUSY_TIMEOUT_S = 30
"""How long an append waits for another writer."""

Kept = tuple[Executable, Sequence[Mapping[str, Any]]]
"""A statement on kept tables and its rows, to be run in the transaction of an append."""

LogRow = tuple[int, str, int, str, bytes]
"""An event as it is stored: position, stream, version, topic, state."""


class Appending:
    """The append lock, held: read what others appended, then append. Everything commits together when it ends."""

    def __init__(self, recorder: SqliteRecorder, cursor: SQLiteCursor) -> None:
        self._recorder = recorder
        self._cursor = cursor

    def tail(self, stream: str, after: int) -> list[StoredEvent]:
        """The stream's events after this version."""
        self._cursor.execute(_TAIL, (stream, after))
        return [StoredEvent(stream, version, topic, state) for version, topic, state in self._cursor.fetchall()]

    def insert(self, stored: Sequence[StoredEvent]) -> Sequence[int]:
        """Append; the events' positions in the log."""
        return self._recorder.append_with(self._cursor, stored)

    def keep(self, kept: Sequence[Kept]) -> None:
        """Run these statements on kept tables."""
        for statement, rows in kept:
            self._cursor.executemany(self._recorder.sql(statement), rows)


class SqliteRecorder(SQLiteApplicationRecorder):
    """Appends and reads events of one SQLite file."""

    def __init__(self, datastore: SQLiteDatastore, events_table_name: str = "stored_events") -> None:
        super().__init__(datastore, events_table_name)
        self._compiled: dict[Executable, str] = {}

    @contextmanager
    def append_lock(self) -> Iterator[Appending]:
        """The write lock of the database, until the block ends. An error in the block appends nothing."""
        with self.datastore.get_connection(commit=True) as connection:
            cursor = connection.cursor()
            with _library_errors():
                cursor.execute("BEGIN IMMEDIATE")
            try:
                with _library_errors():
                    yield Appending(self, cursor)
                    connection.commit()
            except BaseException:
                connection.rollback()
                raise

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int]:
        """Append, with rows of kept tables (`kept`), in one transaction. `IntegrityError`: a version was taken."""
        with self.append_lock() as appending:
            positions = appending.insert(stored_events)
            appending.keep(kwargs.get("kept", ()))
        return positions

    def log(self, after: int, limit: int) -> list[LogRow]:
        """The events after this position, in order."""
        return self.rows(_LOG, (after, limit))

    def stream(self, stream: str, after: int, limit: int) -> list[LogRow]:
        """The events of one stream after this version, in order."""
        return self.rows(_STREAM, (stream, after, limit))

    def rows(self, statement: str, values: Sequence[Any] | Mapping[str, Any]) -> list[Any]:
        """The rows of one statement, as they come: it is a transaction of its own. The library would open and end one
        around it, and make an object of each event, which takes as long as reading the event in it."""
        with self.datastore.get_connection(commit=False) as connection, _library_errors():
            cursor = connection.cursor()
            cursor.execute(statement, values)
            return cast(list[Any], cursor.fetchall())

    def append_with(self, cursor: SQLiteCursor, stored: Sequence[StoredEvent]) -> Sequence[int]:
        """Append inside a transaction that is open."""
        return self._insert_events(cursor, stored) or []

    def sql(self, statement: Executable) -> str:
        """The statement as text with named parameters, compiled once."""
        text = self._compiled.get(statement)
        if text is None:
            compiled = cast(ClauseElement, statement).compile(dialect=sqlite_dialect(paramstyle="named"))
            text = self._compiled[statement] = str(compiled)
        return text


class LedgerFactory(SQLiteFactory):
    """Makes the recorder on a datastore whose connections are durable and patient."""

    application_recorder_class = SqliteRecorder

    def __init__(self, env: Environment) -> None:
        super().__init__(env)
        self.datastore.pool.close()
        self.datastore.pool = _DurablePool(db_name=env["SQLITE_DBNAME"])


class _DurablePool(SQLiteConnectionPool):
    """Not the library's own connections: those remember one compiled statement each, and a mail needs eight by turns.
    Compiling them anew, with the triggers of their tables, took a quarter of a mail's time.
    """

    def _create_connection(self) -> SQLiteConnection:
        with _library_errors():
            connection = sqlite3.connect(
                self.db_name, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")  # what is reported stored survives a power cut
            connection.execute("PRAGMA recursive_triggers=ON")  # so that REPLACE meets the trigger against DELETE
        return SQLiteConnection(connection, self.max_age)


@contextmanager
def _library_errors() -> Iterator[None]:
    """The library's errors for sqlite3's, which its own transaction object would have translated."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise IntegrityError(error) from error
    except sqlite3.Error as error:
        raise OperationalError(error) from error


_TAIL = (
    "SELECT originator_version, topic, state FROM stored_events"
    " WHERE originator_id = ? AND originator_version > ? ORDER BY originator_version"
)
_ROW = "SELECT rowid, originator_id, originator_version, topic, state FROM stored_events"
_LOG = f"{_ROW} WHERE rowid > ? ORDER BY rowid LIMIT ?"
_STREAM = f"{_ROW} WHERE originator_id = ? AND originator_version > ? ORDER BY originator_version LIMIT ?"
