"""The projector pulls: it reads the ledger in batches from where the views stand, and folds each into rows.
Rows and position are written in one transaction, so a crash loses nothing, and two projectors at once are harmless.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    DDL,
    CompoundSelect,
    Connection,
    Engine,
    MetaData,
    Table,
    except_,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.ddl import CreateTableAs

from domain.errors import SendledgerError
from domain.events import Event
from projections import views
from projections.batch import Batch
from projections.database import POSTGRESQL, copying, reading, writing
from projections.fold import fold

BATCH_EVENTS = 4_000
"""Some 50 ms of the write lock, which a sender that appends has to wait for. Twice as many are a tenth faster."""

REBUILT = "rebuilt_"
CHECKED = "checked_"
"""Prefixes of fresh tables: of a rebuild, and of a check."""

RENAME = "ALTER TABLE %(fullname)s RENAME TO %(live)s"
"""The same in SQLite and PostgreSQL; SQLAlchemy has no construct for it."""
RENAME_KEY = "ALTER INDEX %(prefix)s%(live)s_pkey RENAME TO %(live)s_pkey"
"""On PostgreSQL the index of a primary key has a name of its own, which the next rebuild will want."""

KEEP = "LOCK TABLE {} IN ACCESS SHARE MODE"
HOLD_BACK = "LOCK TABLE {} IN EXCLUSIVE MODE"
TAKE = "LOCK TABLE {} IN ACCESS EXCLUSIVE MODE"
"""PostgreSQL: by whom views are read, by whom projectors are held back, and by whom views are put in place.

A snapshot does not hold for tables that are swapped: whoever has read the old `campaigns` would find the new `leads`
empty, for its rows are younger than the snapshot. So a reader keeps all tables before the snapshot is taken, and a
swap waits until nobody does. All lock in one order, which no two can deadlock in.
"""

Read = Callable[[int, int], Sequence[tuple[int, Event]]]
"""`(after, limit)` -> the next events with their positions in the ledger, ascending."""
Progress = Callable[[int], None]
"""Is told the position up to which the events are folded."""


class RebuildDisturbed(SendledgerError):
    """Another process rebuilt or checked the views at the same time, and took the fresh tables away."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that the live views and rebuilt ones do not agree on; None where one of them has no such row."""

    table: str
    key: dict[str, Any]
    live: dict[str, Any] | None
    rebuilt: dict[str, Any] | None


class Projector:
    """Keeps the views of one database up to date with its ledger."""

    def __init__(self, engine: Engine, read: Read, *, batch_events: int = BATCH_EVENTS) -> None:
        self._engine = engine
        self._read = read
        self._batch_events = batch_events
        self._live = _Tables(engine, dict(views.METADATA.tables))

    @property
    def position(self) -> int:
        """The place in the ledger up to which the views hold."""
        with self._live.reading() as connection:
            return self._live.position(connection)

    def catch_up(self, progress: Progress | None = None) -> int:
        """Fold what was appended since; returns the position reached. Takes no lock when there is nothing new."""
        return self._fill(self._live, progress)

    @contextmanager
    def views(self) -> Iterator[Connection]:
        """One snapshot of the views that holds everything appended so far.

        Whoever may only read cannot bring the live ones up to date: what they lack is folded into temporary copies,
        which bear the same names and are gone when the block ends.
        """
        try:
            self.catch_up()
        except DBAPIError as error:
            if not _only_reads(error):
                raise
            with copying(self._engine) as connection:
                self._live.lock(connection, KEEP)
                for table in self._live.tables.values():
                    connection.execute(CreateTableAs(select(table), table.name, temporary=True))
                self._fill_within(connection, self._live)
                yield connection
            return
        with self._live.reading() as connection:
            yield connection

    def rebuild(self, progress: Progress | None = None) -> int:
        """Fold the whole ledger into fresh tables, then put them in place of the live ones; returns the position.

        Until the last moment the live views stay as they are: a rebuild that is broken off changes nothing.
        """
        with self._fresh(REBUILT) as fresh:
            self._fill(fresh, progress)
            with writing(self._engine) as connection:
                self._live.lock(connection, HOLD_BACK, "progress")
                position = self._fill_within(connection, fresh)
                self._live.lock(connection, TAKE)
                _swap(connection, fresh.tables, REBUILT)
        return position

    def check(self, progress: Progress | None = None) -> list[Difference]:
        """Rebuild into fresh tables beside the live ones and compare row for row. Empty: they are equal."""
        self.catch_up()
        with self._fresh(CHECKED) as fresh:
            while (differences := self._compared(fresh, progress)) is None:
                pass  # events were folded into the live views meanwhile: follow, and compare again
        return differences

    def _fill(self, tables: _Tables, progress: Progress | None, upto: int | None = None) -> int:
        while True:
            with no_search_for_garbage():
                position, reached = self._fold_next(tables, upto)
            if reached is None:
                return position
            if progress is not None:
                progress(reached)

    def _fold_next(self, tables: _Tables, upto: int | None) -> tuple[int, int | None]:
        """One batch: where the tables stood, and where they stand then; None when there was nothing to fold."""
        with tables.reading() as connection:
            position = tables.position(connection)
        events = self._next(position, upto)
        if not events:
            return position, None
        with writing(self._engine) as connection:
            if tables.position(connection, lock=True) == position:  # else another projector was faster
                tables.fold(connection, events)
        return position, events[-1][0]

    def _fill_within(self, connection: Connection, tables: _Tables) -> int:
        position = tables.position(connection, lock=True)
        while events := self._next(position, None):
            tables.fold(connection, events)
            position = events[-1][0]
        return position

    def _next(self, position: int, upto: int | None) -> Sequence[tuple[int, Event]]:
        if upto is None:
            return self._read(position, self._batch_events)
        events = self._read(position, min(self._batch_events, max(upto - position, 1)))
        return [(at, event) for at, event in events if at <= upto]

    def _compared(self, fresh: _Tables, progress: Progress | None) -> list[Difference] | None:
        upto = self.position
        self._fill(fresh, progress, upto)
        with self._live.reading() as connection:
            if self._live.position(connection) != upto:
                return None
            return [
                difference
                for name in sorted(self._live.tables)
                for difference in _differences(connection, self._live.tables[name], fresh.tables[name])
            ]

    @contextmanager
    def _fresh(self, prefix: str) -> Iterator[_Tables]:
        fresh = _Tables(self._engine, _copies(prefix))
        with writing(self._engine) as connection:
            _drop(connection, fresh)  # left over by one that was killed
            for table in fresh.tables.values():
                table.create(connection)
            connection.execute(insert(fresh.tables["progress"]), {"id": views.PROGRESS_ID, "position": 0})
        try:
            yield fresh
        except DBAPIError as error:
            if inspect(self._engine).has_table(prefix + "progress"):
                raise
            raise RebuildDisturbed(
                "the views were rebuilt or checked by another process at the same time, which took over; "
                "the live views are whole. Run the command again if you still need it."
            ) from error
        finally:
            with writing(self._engine) as connection:
                _drop(connection, fresh)


class _Tables:
    """One set of view tables, and the batch that folds into it."""

    def __init__(self, engine: Engine, tables: dict[str, Table]) -> None:
        self.tables = tables
        self._engine = engine
        self._progress = tables["progress"]
        self._batch = Batch(tables, engine.dialect)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One snapshot of them. Until it ends no rebuild puts others in their place."""
        with reading(self._engine) as connection:
            self.lock(connection, KEEP)
            yield connection

    def lock(self, connection: Connection, mode: str, *names: str) -> None:
        """Lock these tables, or all, until the transaction ends. SQLite needs none: its snapshots hold for tables."""
        if connection.dialect.name == POSTGRESQL:
            tables = [self.tables[name].name for name in names or self.tables]
            connection.execute(text(mode.format(", ".join(tables))))

    def position(self, connection: Connection, *, lock: bool = False) -> int:
        """How far they hold. `lock`: hold back other projectors, where it is not done yet (SQLite ignores it)."""
        query = select(self._progress.c.position).where(self._progress.c.id == views.PROGRESS_ID)
        return int(connection.execute(query.with_for_update() if lock else query).scalar_one())

    def fold(self, connection: Connection, events: Sequence[tuple[int, Event]]) -> None:
        """Events and position, in the caller's transaction."""
        fold(self._batch, connection, events)
        connection.execute(update(self._progress).values(position=events[-1][0]))


def _only_reads(error: DBAPIError) -> bool:
    """Was it refused for want of rights, or because the database is read-only?"""
    state = getattr(error.orig, "sqlstate", None)
    return state in ("42501", "25006") or "readonly" in str(error.orig)


@contextmanager
def no_search_for_garbage() -> Iterator[None]:
    """A batch makes some twenty thousand objects, which die with it and form no cycles: each time so many are made,
    Python searches all objects of the process for garbage, and that took a fourth of a rebuild."""
    searches = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searches:
            gc.enable()


def _drop(connection: Connection, fresh: _Tables) -> None:
    for table in reversed(fresh.tables.values()):  # `progress` first: who fills them locks that before all others
        table.drop(connection, checkfirst=True)


def _copies(prefix: str) -> dict[str, Table]:
    metadata = MetaData()
    copies: dict[str, Table] = {
        name: table.to_metadata(metadata, name=prefix + name) for name, table in views.METADATA.tables.items()
    }
    for copy in copies.values():
        copy.indexes.clear()  # they come last: their names are the live ones', and a sorted fill is faster
    return copies


def _swap(connection: Connection, fresh: dict[str, Table], prefix: str) -> None:
    for name, live in views.METADATA.tables.items():
        live.drop(connection)
        for ddl in (RENAME, RENAME_KEY) if connection.dialect.name == POSTGRESQL else (RENAME,):
            rename = DDL(ddl, context={"live": name, "prefix": prefix})  # type: ignore[no-untyped-call]
            connection.execute(rename.against(fresh[name]))
        for index in sorted(live.indexes, key=lambda index: str(index.name)):
            index.create(connection)


def _differences(connection: Connection, live: Table, rebuilt: Table) -> Iterator[Difference]:
    names = [column.name for column in live.primary_key]
    mine = _by_key(connection, except_(select(live), select(rebuilt)), names)
    theirs = _by_key(connection, except_(select(rebuilt), select(live)), names)
    for key in sorted(mine.keys() | theirs.keys(), key=_by_type):
        yield Difference(live.name, dict(zip(names, key, strict=True)), mine.get(key), theirs.get(key))


def _by_type(key: tuple[Any, ...]) -> list[tuple[str, Any]]:
    """An order for any keys: SQLite lets a text stand where a number should, and the two do not compare."""
    return [(type(part).__name__, part) for part in key]


def _by_key(
    connection: Connection, query: CompoundSelect[Any], key: list[str]
) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {tuple(row[name] for name in key): dict(row) for row in connection.execute(query).mappings()}
