"""Our recorder on the library's SQLite one: appends inside BEGIN IMMEDIATE, together with rows of kept tables.

The library begins a deferred transaction, which under several writers fails when it first writes (1,565 busy errors
for 400 appends, measured); taking the write lock at the start waits instead. The same lock is the append lock inside
which a lost race is decided again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
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
from sqlalchemy.engine import URL

from projections.event_log import TAIL
from runner.store.recorder import LIBRARY, Appending, Kept, LedgerRecorder, LogRow, UnsafeDatabase, compiling

BUSY_TIMEOUT_S = 30
"""How long an append waits for another writer."""

MOUNTS = Path("/proc/mounts")
NETWORK_FILE_SYSTEMS = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "fuse.sshfs",
        "9p",
        "afs",
        "ceph",
        "fuse.ceph",
        "glusterfs",
        "fuse.glusterfs",
    }
)

_DIALECT = sqlite_dialect(paramstyle="named")
_sql = compiling(_DIALECT)


class SqliteRecorder(SQLiteApplicationRecorder, LedgerRecorder):
    """Appends and reads events of one SQLite file."""

    dialect = _DIALECT

    def __init__(self, datastore: SQLiteDatastore, events_table_name: str = "stored_events") -> None:
        super().__init__(datastore, events_table_name)

    @contextmanager
    def append_lock(self) -> Iterator[Appending]:
        """The write lock of the database."""
        with self.datastore.get_connection(commit=True) as connection:
            cursor = connection.cursor()
            with _library_errors():
                cursor.execute("BEGIN IMMEDIATE")
            try:
                with _library_errors():
                    yield SqliteAppending(self, cursor)
                    connection.commit()
            except BaseException:
                connection.rollback()
                raise

    def append(self, stored: Sequence[StoredEvent], kept: Sequence[Kept] = ()) -> None:
        """In one transaction."""
        with self.append_lock() as appending:
            appending.insert(stored)
            appending.keep(kept)

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int]:
        """The library's way to append; returns the positions."""
        with self.append_lock() as appending:
            return appending.insert(stored_events)

    def insert_with(self, cursor: SQLiteCursor, stored: Sequence[StoredEvent]) -> Sequence[int]:
        """Append inside a transaction that is open."""
        return self._insert_events(cursor, stored) or []

    def events(self, statement: Executable, values: Mapping[str, Any]) -> list[LogRow]:
        """By a connection of the store's pool."""
        return cast(list[LogRow], self._all(statement, values))

    def rows(self, statement: Executable, values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """By a connection of the store's pool."""
        return cast(list[Mapping[str, Any]], self._all(statement, values))

    def _all(self, statement: Executable, values: Mapping[str, Any]) -> list[Any]:
        """One statement is a transaction of its own; the library would open and end one around it."""
        with self.datastore.get_connection(commit=False) as connection, _library_errors():
            cursor = connection.cursor()
            cursor.execute(_sql(statement), values)
            return cast(list[Any], cursor.fetchall())

    def place(self) -> str:
        """The number of its file, which no copy shares."""
        return f"inode {Path(self.datastore.pool.db_name).stat().st_ino}"

    def close(self) -> None:
        """Close the pool."""
        self.datastore.close()


class SqliteAppending:
    def __init__(self, recorder: SqliteRecorder, cursor: SQLiteCursor) -> None:
        self._recorder = recorder
        self._cursor = cursor

    def tail(self, stream: str, after: int) -> list[StoredEvent]:
        self._cursor.execute(_sql(TAIL), {"stream": stream, "after": after})
        return [StoredEvent(stream, version, topic, state) for version, topic, state in self._cursor.fetchall()]

    def insert(self, stored: Sequence[StoredEvent]) -> Sequence[int]:
        return self._recorder.insert_with(self._cursor, stored)

    def keep(self, kept: Sequence[Kept]) -> None:
        for statement, rows in kept:
            self._cursor.executemany(_sql(statement), rows)


class SqliteLedgerFactory(SQLiteFactory):
    """Makes the recorder on a datastore whose connections are durable and patient."""

    application_recorder_class = SqliteRecorder

    def __init__(self, url: URL) -> None:
        file = url.database or ""
        require_local(Path(file))
        super().__init__(Environment(env={"SQLITE_DBNAME": file, **LIBRARY}))
        self.datastore.pool.close()
        self.datastore.pool = _DurablePool(db_name=file)


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
            [mode] = connection.execute("PRAGMA journal_mode=WAL").fetchone()
            if mode != "wal":
                raise UnsafeDatabase("SQLite cannot keep a write-ahead log here. Move the ledger to a local disk.")
            connection.execute("PRAGMA synchronous=FULL")  # what is reported stored survives a power cut
            connection.execute("PRAGMA secure_delete=ON")  # of a row that is removed nothing stays in its page
            connection.execute("PRAGMA recursive_triggers=ON")  # so that REPLACE meets the trigger against DELETE
        return SQLiteConnection(connection, self.max_age)


def require_local(file: Path) -> None:
    """SQLite's locks do not hold across a network: two writers would overwrite each other."""
    kind = file_system(file.resolve())
    if kind in NETWORK_FILE_SYSTEMS:
        raise UnsafeDatabase(f"{file} lies on a network file system ({kind}). Move it to a local disk.")


def file_system(file: Path) -> str | None:
    """The kind of file system a file lies on; None where nothing tells (no Linux)."""
    if not MOUNTS.exists():
        return None
    mounts = (line.split() for line in MOUNTS.read_text().splitlines())
    kinds = {Path(at.replace("\\040", " ")): kind for _, at, kind, *_ in mounts}
    return next((kinds[folder] for folder in (file, *file.parents) if folder in kinds), None)


@contextmanager
def _library_errors() -> Iterator[None]:
    """The library's errors for sqlite3's, which its own transaction object would have translated."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise IntegrityError(error) from error
    except sqlite3.Error as error:
        raise OperationalError(error) from error
