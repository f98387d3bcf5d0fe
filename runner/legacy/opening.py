"""Opens the old application's database so that nothing can be changed in it, and its own writers wait for nobody.

An SQLite file without write-ahead log (Prisma's default) cannot be written while somebody reads: a sender whose mail
has just been accepted would then run into a time-out, and take it for not sent. So the columns that are needed are
copied at one moment into temporary tables, and all reading is done from those. PostgreSQL keeps a snapshot by itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, CreateTableAs, Engine, FromClause, Index, Select, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from domain.errors import InvalidInput
from projections.database import database_url, engine_for, engine_for_file, is_sqlite, reading
from runner.legacy.tables import CAMPAIGN_LEAD, LEAD, QUEUE, SEND_LOG, find

SQLITE_SCHEMA = "main"
SCHEMA = "schema"
POSTGRES_PORT = 5432
OF_PRISMA_ALONE = ("connection_limit", "pool_timeout", "socket_timeout", "pgbouncer", "statement_cache_size")
"""Settings in a URL of Prisma's that no server knows."""

_INDEXED = {CAMPAIGN_LEAD.name: "campaignId", LEAD.name: "id", SEND_LOG.name: "campaignId", QUEUE.name: "campaignId"}
_MENDS = {
    "attempt to write a readonly database": (
        "A program ended in the middle of a write, or this user may not write: start the old application once, and"
        " run this as its user."
    ),
    "database is locked": "Another program holds the file: try again when it has finished.",
    "database or disk is full": "Set TMPDIR to a folder with as much room as the old database takes.",
    "file is not a database": "Give the path of the old application's SQLite file.",
    "unable to open database file": "Run this as the user of the old application.",
}
_ELSE = "Look whether the database can be reached, and whether this user may read it."

Tables = Mapping[str, FromClause]


class Place(NamedTuple):
    """Where the old database is."""

    url: URL
    schema: str | None
    name: str

    @property
    def on_sqlite(self) -> bool:
        return is_sqlite(self.url)


def place_of(text: str | URL) -> Place:
    """The place that a URL names, Prisma's own URLs included. Raises `InvalidInput`."""
    url = database_url(text, field="old database")
    if is_sqlite(url):
        return Place(url, SQLITE_SCHEMA, f"sqlite:///{Path(_existing(url)).resolve()}")
    shown = url.set(drivername="postgresql")._replace(password=None).difference_update_query(OF_PRISMA_ALONE)
    name = shown.difference_update_query([key for key in shown.query if "password" in key]).render_as_string()
    schema = url.query.get(SCHEMA)
    plain = url.difference_update_query([SCHEMA, *OF_PRISMA_ALONE])
    return Place(plain, schema if isinstance(schema, str) else None, name)


def is_same_place(one: str, other: str) -> bool:
    """Do these names of places, as they are recorded, name one database? Who reads it, and by which settings, does not
    matter; two names of one host are two places."""
    return _where(make_url(one)) == _where(make_url(other))


def _where(url: URL) -> tuple[object, ...]:
    if is_sqlite(url):
        return (str(Path(url.database or "").resolve()),)
    return (url.host, url.query.get("host"), url.port or POSTGRES_PORT, url.database, url.query.get(SCHEMA, "public"))


@contextmanager
def snapshot(place: Place) -> Iterator[tuple[Connection, Tables]]:
    """A connection that can change nothing of the old database, and its tables as they are at one moment."""
    engine = engine_of(place, "ro")
    with ExitStack() as stack:
        stack.callback(engine.dispose)
        with unreadable(place.name):
            if place.on_sqlite:
                connection = stack.enter_context(engine.connect())
                with connection.begin():
                    tables = _copied(connection, find(connection, place.schema, place.name))
            else:
                connection = stack.enter_context(reading(engine))
                tables = {name: rows.subquery() for name, rows in find(connection, place.schema, place.name).items()}
        yield connection, tables


def engine_of(place: Place, mode: Literal["ro", "rw"]) -> Engine:
    """An engine for the old database."""
    if not place.on_sqlite:
        return engine_for(place.url)
    engine = engine_for_file(Path(place.url.database or ""), mode)
    event.listen(engine, "connect", _configure)
    return engine


@contextmanager
def unreadable(name: str) -> Iterator[None]:
    """Raises `InvalidInput` for what the database says, which quotes no values."""
    try:
        yield
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", None) or error).partition("\n")[0].strip()
        mend = next((mend for words, mend in _MENDS.items() if words in said), _ELSE)
        raise InvalidInput(f"cannot be used: {said.rstrip('.')}.", mend=mend, source=name) from None


def _copied(connection: Connection, found: Mapping[str, Select[Any]]) -> Tables:
    """In temporary tables, whose file is gone with the connection."""
    tables = {}
    for name, rows in found.items():
        copying = CreateTableAs(rows, name, temporary=True)
        connection.execute(copying)
        tables[name] = copying.table
        if name in _INDEXED:
            Index(f"copy_of_{name}", copying.table.c[_INDEXED[name]]).create(connection)
    return tables


def _existing(url: URL) -> str:
    file = url.database or ""
    if not Path(file).is_file():
        mend = "Give the path of the old application's SQLite file, as sqlite:///PATH."
        raise InvalidInput("there is no such file." if file else "names no file.", mend=mend, source=str(url))
    return file


def _configure(connection: Any, _record: Any) -> None:
    assert isinstance(connection, sqlite3.Connection)  # noqa: S101 — for the type checker; listened to on SQLite only
    # What is no UTF-8 comes through as halves of surrogate pairs, so that its row can be named.
    connection.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
    connection.execute("PRAGMA temp_store = FILE")
