"""Moving a ledger to PostgreSQL: every event with its position, every kept row, then views made anew, then the proof
that both databases hold the same.

Broken off, it goes on with the events where it stopped. Until it is through, the new database has no ledger id and no
command opens it; from then on the old one says that it was moved, and no runner sends from it. While the proof is made
nobody changes the old one, so what was proven is what is moved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Select, Table, delete, func, inspect, select, text
from sqlalchemy.engine import URL

from domain.errors import CommandRefused, InvalidInput, SendledgerError
from migrations.run import create, current, head, shown, target_metadata
from projections import event_log, kept, views
from projections.bulk import column_types, copy_rows, drivers_cursor
from projections.database import POSTGRESQL, engine_for, is_sqlite, reading, writing
from projections.projector import Projector
from runner.store.ledger import Ledger
from runner.store.postgres import require_durable

COPY_OF = "copy_of"
"""In `ledger_info` of a copy that is not through: whose copy it is."""
MOVED_TO = "moved_to"
"""In `ledger_info` of a ledger that was copied: where to."""

BATCH = 5_000
ROWS_AT_ONCE = 1_000
TABLES_NAMED = 5
"""Of those in the way; there may be hundreds."""

STORED_EVENTS = event_log.METADATA[POSTGRESQL].tables["stored_events"]
EVENT = ["notification_id", "originator_id", "originator_version", "topic", "state"]
MARK = select(kept.ledger_info).where(kept.ledger_info.c.key == COPY_OF).with_for_update()
ONLY_READ = "LOCK TABLE {} IN SHARE MODE"

Progress = Callable[[str, int, int], None]
"""Is told what is being copied, how much of it is, and how much there is."""


class CopyDiffers(SendledgerError):
    """The copy does not hold what the original holds; the original is as it was and goes on."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One table in both databases: rows and SHA-256 over all of them, in order."""

    table: str
    rows: int
    digest: str


def prepare(target: URL, ledger_id: str) -> None:
    """Make the target's tables, unless they are there. Raises what `require_fit` raises."""
    require_fit(target, ledger_id)
    if current(target) is None:
        create(target, {COPY_OF: ledger_id})


def require_fit(target: URL, ledger_id: str) -> None:
    """Raise `InvalidInput` unless the target is empty, or holds a copy of the same ledger that was broken off."""
    if is_sqlite(target):
        raise InvalidInput("a ledger is copied to PostgreSQL only.", mend="Copy an SQLite file as files.", field="--to")
    require_durable(target)
    with _opened(target) as engine, reading(engine) as connection:
        if there := _in_the_way(connection, current(target), ledger_id):
            mend = "Name a database that is empty."
            raise InvalidInput(f"{shown(target)} is not empty: {there}.", mend=mend, field="--to")


def copy(source: Ledger, target: URL, progress: Progress) -> None:
    """Copy everything; what is there of a copy that was broken off stays."""
    with _opened(source.url) as ours, _opened(target) as theirs, closing(Ledger(target)) as ledger:
        _copy_events(source, theirs, progress)
        for table in _kept_tables():
            _copy_table(ours, theirs, table, progress)
        Projector(ours, source.read).catch_up()
        total = source.position()
        Projector(theirs, ledger.read).rebuild(lambda done: progress("views", done, total))


def finish(source: URL, target: URL, progress: Progress, require_quiet: Callable[[], None]) -> list[Compared]:
    """Prove that both hold the same; then no runner sends from the source any more, and the target is a ledger.

    Returns what was compared, table by table; raises `CopyDiffers`, and what `require_quiet` raises for a runner that
    is at work on the source. A runner takes its lock first and looks second whether its ledger was moved, and here it
    is the other way round: so one of the two always finds the other.
    """
    with _opened(source) as ours, _opened(target) as theirs:
        with _only_read(ours) as mine, reading(theirs) as other:
            compared = list(_compare(mine, other, progress))
            info = kept.info(mine)
            info.pop(MOVED_TO, None)
            _set_moved_to(mine, shown(target))
        try:
            require_quiet()
        except CommandRefused:
            with writing(ours) as connection:
                _set_moved_to(connection, None)
            raise
        with _filling(theirs) as connection:
            connection.execute(kept.DROP_INFO, {"b_key": COPY_OF})
            connection.execute(kept.SET_INFO, [{"key": key, "value": value} for key, value in info.items()])
    return compared


def _in_the_way(connection: Connection, schema: str | None, ledger_id: str) -> str:
    """What the database holds that is not the beginning of this copy; nothing where it is empty."""
    if schema is None:
        tables = sorted(inspect(connection).get_table_names())
        more = ", …" if len(tables) > TABLES_NAMED else ""
        return f"it has tables of another program: {', '.join(tables[:TABLES_NAMED])}{more}" if tables else ""
    if schema != head():
        return f"it has schema {schema}, this program needs {head()}"
    return "" if kept.info(connection).get(COPY_OF) == ledger_id else "it holds another ledger"


@contextmanager
def _opened(url: URL) -> Iterator[Engine]:
    engine = engine_for(url)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _filling(theirs: Engine) -> Iterator[Connection]:
    """A transaction that changes the copy, one at a time: also after one whose process was killed when its commit was
    on the way. Another process may have finished this copy, and runners send from it: then it is left alone."""
    with writing(theirs) as connection:
        if connection.execute(MARK).first() is None:
            raise CommandRefused("another process has finished this copy; nothing in it was changed.")
        yield connection


@contextmanager
def _only_read(ours: Engine) -> Iterator[Connection]:
    """A transaction until whose end nobody else changes the original."""
    with writing(ours) as connection:  # on SQLite that is all it takes
        if connection.dialect.name == POSTGRESQL:
            names = [table for metadata in target_metadata(POSTGRESQL) for table in metadata.tables]
            connection.execute(text(ONLY_READ.format(", ".join(names))))
        yield connection


def _set_moved_to(connection: Connection, place: str | None) -> None:
    connection.execute(kept.DROP_INFO, {"b_key": MOVED_TO})
    if place is not None:
        connection.execute(kept.SET_INFO, [{"key": MOVED_TO, "value": place}])


def _kept_tables() -> list[Table]:
    return [table for table in kept.METADATA.sorted_tables if table is not kept.ledger_info]


def _copy_events(source: Ledger, theirs: Engine, progress: Progress) -> None:
    total = source.position()
    while (done := _copy_batch(source, theirs)) is not None:
        progress("events", done, max(done, total))
    with _filling(theirs) as connection:
        following = _last_position(connection) + 1
        connection.execute(text(f"ALTER TABLE stored_events ALTER notification_id RESTART WITH {following}"))


def _copy_batch(source: Ledger, theirs: Engine) -> int | None:
    """Copy the events that follow those that are there; the last one's position, None when there are no more."""
    with _filling(theirs) as connection:
        after = _last_position(connection)
        batch = source.recorder.select_notifications(after, BATCH, inclusive_of_start=False)
        if not batch:
            return None
        rows = [(n.id, n.originator_id, n.originator_version, n.topic, n.state) for n in batch]
        with drivers_cursor(connection) as cursor:
            copy_rows(cursor, STORED_EVENTS.name, column_types(STORED_EVENTS, EVENT), rows)
    return batch[-1].id


def _last_position(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.max(STORED_EVENTS.c.notification_id), 0))).scalar_one())


def _copy_table(ours: Engine, theirs: Engine, table: Table, progress: Progress) -> None:
    """In one transaction: a row may have changed since a copy that was broken off. Checkpoints never do, and are not
    to be removed: those that are there already stay."""
    names = [column.name for column in table.columns]
    with reading(ours) as reader, _filling(theirs) as writer:
        total = reader.execute(select(func.count()).select_from(table)).scalar_one()
        there = select(table)
        if table is kept.checkpoints:
            newest = writer.execute(select(func.coalesce(func.max(table.c.size), 0))).scalar_one()
            there = there.where(table.c.size > newest)
        else:
            writer.execute(delete(table))
        with drivers_cursor(writer) as cursor:
            rows = _counted(_found(reader, there, table), lambda done: progress(table.name, done, total))
            copy_rows(cursor, table.name, column_types(table, names), rows)


def _compare(mine: Connection, other: Connection, progress: Progress) -> Iterator[Compared]:
    yield _same("stored_events", _log(mine), _log(other), progress)
    for table in (*_kept_tables(), *views.METADATA.sorted_tables):
        yield _same(table.name, _rows(mine, table), _rows(other, table), progress)


def _same(name: str, mine: Iterator[Any], other: Iterator[Any], progress: Progress) -> Compared:
    found, copied = (_digest(name, rows) for rows in (mine, other))
    progress(f"proof of {name}", found.rows, found.rows)
    if found != copied:
        raise CopyDiffers(
            f"{name} differs: {found.rows:,} rows ({found.digest[:12]}) here, {copied.rows:,} ({copied.digest[:12]}) "
            "there. If something was changed here meanwhile, the same command goes on. Else look whether "
            "`sendledger rebuild --check` finds something here, drop the new database and copy again."
        )
    return found


def _digest(name: str, rows: Iterator[Any]) -> Compared:
    digest, count = hashlib.sha256(), 0
    for row in rows:
        digest.update(repr(tuple(row)).encode())
        count += 1
    return Compared(name, count, digest.hexdigest())


def _rows(connection: Connection, table: Table) -> Iterator[Any]:
    return _found(connection, select(table), table)


def _found(connection: Connection, query: Select[Any], table: Table) -> Iterator[Any]:
    """In the order of the table's key."""
    ordered = query.order_by(*table.primary_key).execution_options(yield_per=ROWS_AT_ONCE)
    yield from connection.execute(ordered)


def _log(connection: Connection) -> Iterator[Any]:
    position = event_log.POSITION[connection.dialect.name]
    query = select(position, *event_log.stored_events.c).order_by(position)
    yield from connection.execute(query.execution_options(yield_per=ROWS_AT_ONCE))


def _counted(rows: Iterator[Any], progress: Callable[[int], None]) -> Iterator[Any]:
    for done, row in enumerate(rows, start=1):
        yield row
        if done % ROWS_AT_ONCE == 0:
            progress(done)
