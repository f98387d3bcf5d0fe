"""Moving a ledger to PostgreSQL: every event with its position, every kept row, then views made anew, then the proof
that both databases hold the same.

Broken off, it goes on with the events where it stopped. Until it is through, the new database has no ledger id and no
command opens it; from then on the old one says that it was moved, and no runner sends from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Table, delete, func, select, text
from sqlalchemy.engine import URL

from domain.errors import InvalidInput, SendledgerError
from migrations.run import create, current, require_empty, require_head, shown
from projections import event_log, kept, views
from projections.bulk import column_types, copy_rows, drivers_cursor
from projections.database import engine_for, is_sqlite, reading, writing
from projections.projector import Projector
from runner.store.ledger import Ledger

COPY_OF = "copy_of"
"""In `ledger_info` of a copy that is not through: whose copy it is."""
MOVED_TO = "moved_to"
"""In `ledger_info` of a ledger that was copied: where to."""

BATCH = 5_000
ROWS_AT_ONCE = 1_000

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
    if current(target) is None:
        require_empty(target)
        return
    require_head(target)
    engine = engine_for(target)
    with reading(engine) as connection:
        begun = kept.info(connection).get(COPY_OF)
    engine.dispose()
    if begun != ledger_id:
        mend = "Name a database that is empty."
        raise InvalidInput(f"{shown(target)} is not empty: it holds another ledger.", mend=mend, field="--to")


def copy(source: Ledger, target: URL, progress: Progress) -> list[Compared]:
    """Copy everything and prove it. Returns what was compared, table by table; raises `CopyDiffers`."""
    ours, theirs = engine_for(source.url), engine_for(target)
    ledger = Ledger(target)
    try:
        _copy_events(source, theirs, progress)
        for table in kept.METADATA.sorted_tables:
            if table is not kept.ledger_info:
                _copy_table(ours, theirs, table, progress)
        Projector(ours, source.read).catch_up()
        total = source.position()
        Projector(theirs, ledger.read).rebuild(lambda done: progress("views", done, total))
        return list(_compare(ours, theirs, progress))
    finally:
        ledger.close()
        ours.dispose()
        theirs.dispose()


def finish(source: URL, target: URL) -> None:
    """No runner sends from the source any more; then the target is a ledger."""
    ours, theirs = engine_for(source), engine_for(target)
    with writing(ours) as connection:
        info = kept.info(connection)
        info.pop(MOVED_TO, None)
        connection.execute(kept.DROP_INFO, {"b_key": MOVED_TO})
        connection.execute(kept.SET_INFO, [{"key": MOVED_TO, "value": shown(target)}])
    with writing(theirs) as connection:
        connection.execute(kept.DROP_INFO, {"b_key": COPY_OF})
        connection.execute(kept.SET_INFO, [{"key": key, "value": value} for key, value in info.items()])
    ours.dispose()
    theirs.dispose()


def _copy_events(source: Ledger, theirs: Engine, progress: Progress) -> None:
    total = source.position()
    table = event_log.METADATA["postgresql"].tables["stored_events"]
    names = ["notification_id", "originator_id", "originator_version", "topic", "state"]
    types = column_types(table, names)
    with reading(theirs) as connection:
        done = connection.execute(select(func.coalesce(func.max(table.c.notification_id), 0))).scalar_one()
    while batch := source.recorder.select_notifications(done, BATCH, inclusive_of_start=False):
        rows = [(n.id, n.originator_id, n.originator_version, n.topic, n.state) for n in batch]
        with writing(theirs) as connection, drivers_cursor(connection) as cursor:
            copy_rows(cursor, table.name, types, rows)
        done = batch[-1].id
        progress("events", done, total)
    with writing(theirs) as connection:
        connection.execute(text(f"ALTER TABLE stored_events ALTER notification_id RESTART WITH {done + 1}"))


def _copy_table(ours: Engine, theirs: Engine, table: Table, progress: Progress) -> None:
    """In one transaction: a row may have changed since a copy that was broken off. Checkpoints never do, and are not
    to be removed: those that are there already stay."""
    names = [column.name for column in table.columns]
    with reading(ours) as reader, writing(theirs) as writer:
        total = reader.execute(select(func.count()).select_from(table)).scalar_one()
        there = select(table)
        if table is kept.checkpoints:
            newest = writer.execute(select(func.coalesce(func.max(table.c.size), 0))).scalar_one()
            there = there.where(table.c.size > newest)
        else:
            writer.execute(delete(table))
        with drivers_cursor(writer) as cursor:
            rows = _counted(_rows(reader, table), lambda done: progress(table.name, done, total))
            copy_rows(cursor, table.name, column_types(table, names), rows)


def _compare(ours: Engine, theirs: Engine, progress: Progress) -> Iterator[Compared]:
    tables: list[Table] = [t for t in kept.METADATA.sorted_tables if t is not kept.ledger_info]
    tables += views.METADATA.sorted_tables
    with reading(ours) as mine, reading(theirs) as other:
        yield _same("stored_events", _log(mine), _log(other), progress)
        for table in tables:
            yield _same(table.name, _rows(mine, table), _rows(other, table), progress)


def _same(name: str, mine: Iterator[Any], other: Iterator[Any], progress: Progress) -> Compared:
    found, copied = (_digest(name, rows) for rows in (mine, other))
    progress(f"proof of {name}", found.rows, found.rows)
    if found != copied:
        raise CopyDiffers(
            f"{name} differs: {found.rows:,} rows ({found.digest[:12]}) here, {copied.rows:,} ({copied.digest[:12]}) "
            "there. Were all runners stopped, and does `sendledger rebuild --check` find nothing here? "
            "Then drop the new database and copy again."
        )
    return found


def _digest(name: str, rows: Iterator[Any]) -> Compared:
    digest, count = hashlib.sha256(), 0
    for row in rows:
        digest.update(repr(tuple(row)).encode())
        count += 1
    return Compared(name, count, digest.hexdigest())


def _rows(connection: Connection, table: Table) -> Iterator[Any]:
    query = select(table).order_by(*table.primary_key).execution_options(yield_per=ROWS_AT_ONCE)
    yield from connection.execute(query)


def _log(connection: Connection) -> Iterator[Any]:
    position = event_log.POSITION[connection.dialect.name]
    query = select(position, *event_log.stored_events.c).order_by(position)
    yield from connection.execute(query.execution_options(yield_per=ROWS_AT_ONCE))


def _counted(rows: Iterator[Any], progress: Callable[[int], None]) -> Iterator[Any]:
    for done, row in enumerate(rows, start=1):
        yield row
        if done % ROWS_AT_ONCE == 0:
            progress(done)
