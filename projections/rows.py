"""Rows in memory while a batch is folded, and the statements that read and write them in bulk.
Rows go to the driver as tuples, past SQLAlchemy's work on every row: it would take longer than the fold itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from operator import attrgetter, itemgetter
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Dialect, Executable, Table, and_, bindparam, insert, select, update

from projections.bulk import column_types, copy_rows, drivers_cursor, update_rows
from projections.database import POSTGRESQL
from projections.kept import in_lists

KEY = "b_"
"""Prefix of a key's parameters in an UPDATE: the plain names are the new values."""


class State(StrEnum):
    """Where a lead is: the labels of `domain.leads.LeadState`."""

    QUEUED = "queued"
    LOCKED = "locked"
    SENT = "sent"
    FAILED = "failed"
    SKIPPED = "skipped"
    IN_DOUBT = "in doubt"

    @property
    def column(self) -> str:
        """The column of `campaigns` that counts it."""
        return self.replace(" ", "_")


class Outcome(StrEnum):
    """What is known of an attempt."""

    LOCKED = "locked"
    SENT = "sent"
    FAILED = "failed"
    IN_DOUBT = "in doubt"
    RESOLVED_SENT = "resolved sent"
    RESOLVED_NOT_SENT = "resolved not sent"


@dataclass(slots=True)
class AttemptRow:
    """A row of `send_log`."""

    campaign_id: int
    position: int
    attempt: int
    lead_id: int
    sender: str
    epoch: int
    runner: str
    mailbox: str
    token: str | None = None
    message_id: str | None = None
    digest: str | None = None
    content_version: int | None = None
    revision: int | None = None
    commitment: str | None = None
    due_at: str | None = None
    date: str | None = None
    locked_at: str | None = None
    lock_position: int | None = None
    outcome: str = Outcome.LOCKED.value
    outcome_position: int | None = None
    finished_at: str | None = None
    phase: str | None = None
    code: int | None = None
    enhanced: str | None = None
    queue_id: str | None = None
    permanent: int | None = None
    next_attempt_at: str | None = None
    cause: str | None = None
    evidence: str | None = None
    resolved_by: str | None = None
    duplicate: int = 0
    imported: int | None = None


@dataclass(slots=True)
class LeadRow:
    """A row of `leads`, and those of its attempts in the send log that the batch touches."""

    campaign_id: int
    position: int
    lead_id: int
    state: str
    v1_status: str
    priority: int
    revision: int
    attempts: int
    awaited_attempt: int | None
    accepted_late: int
    next_attempt_at: str | None
    queued_at: str
    last_code: int | None = None
    last_enhanced: str | None = None
    reason: str | None = None
    log: dict[int, AttemptRow] = field(default_factory=dict)


class Writer(Protocol):
    """An INSERT of whole rows, or an UPDATE of some columns by key."""

    def write(self, connection: Connection, rows: Iterable[Any]) -> None:
        """All rows in one round."""
        ...


class _Statement:
    """One statement for each row, by the driver."""

    def __init__(self, statement: Executable, columns: Sequence[str], dialect: Dialect, rows: type | None) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=list(columns))  # type: ignore[attr-defined]
        names = [name.removeprefix(KEY) for name in compiled.positiontup]
        self._sql = str(compiled)
        self._values: Callable[[Any], tuple[Any, ...]] = attrgetter(*names) if rows else itemgetter(*names)

    def write(self, connection: Connection, rows: Iterable[Any]) -> None:
        """All rows in one round."""
        values = list(map(self._values, rows))
        if values:
            connection.exec_driver_sql(self._sql, values)


class _Bulk:
    """All rows in one statement, on PostgreSQL. With a key: rows that are there; without: new ones."""

    def __init__(self, table: Table, columns: Sequence[str], rows: type | None, key: Sequence[str] = ()) -> None:
        names = [*key, *columns]
        self._table, self._types, self._key = table.name, column_types(table, names), key
        self._values: Callable[[Any], tuple[Any, ...]] = attrgetter(*names) if rows else itemgetter(*names)

    def write(self, connection: Connection, rows: Iterable[Any]) -> None:
        values = list(map(self._values, rows))
        if not values:
            return
        with drivers_cursor(connection) as cursor:
            if self._key:
                update_rows(cursor, self._table, self._types, self._key, values)
            else:
                copy_rows(cursor, self._table, self._types, values)


def inserting(table: Table, dialect: Dialect, rows: type | None = None) -> Writer:
    """Writes new rows: objects of class `rows`, or dicts."""
    if dialect.name == POSTGRESQL:
        return _Bulk(table, [column.name for column in table.columns], rows)
    return _Statement(insert(table), [column.name for column in table.columns], dialect, rows)


def updating(table: Table, dialect: Dialect, rows: type | None = None, *, fixed: Collection[str] = ()) -> Writer:
    """Writes changed rows: every column but the key and the `fixed` ones, which never change."""
    key = [column.name for column in table.primary_key]
    changing = [column.name for column in table.columns if column.name not in key and column.name not in fixed]
    if dialect.name == POSTGRESQL:
        return _Bulk(table, changing, rows, key)
    statement = update(table).where(*(table.c[name] == bindparam(KEY + name) for name in key))
    return _Statement(statement, changing, dialect, rows)


class Reader:
    """Reads rows of one campaign by position into objects."""

    def __init__(self, table: Table, rows: type) -> None:
        self._table = table
        self._rows = rows
        self._columns = [table.c[item.name] for item in fields(rows) if item.name in table.c]

    def read(self, connection: Connection, campaign_id: int, positions: Collection[int]) -> Iterator[Any]:
        """The rows of these leads."""
        of_campaign = select(*self._columns).where(self._table.c.campaign_id == campaign_id)
        for some in in_lists(positions):
            for row in connection.execute(of_campaign.where(self._among(some))).fetchall():
                yield self._rows(*row)

    def _among(self, positions: list[int]) -> ColumnElement[bool]:
        """A campaign is mailed about in order, so most often a range says it: a tenth of the time of a long list."""
        first, last = positions[0], positions[-1]
        if last - first == len(positions) - 1:
            return self._table.c.position.between(first, last)
        return self._table.c.position.in_(positions)


class SmallTable:
    """A table of few rows: each is read when first asked for, and written when the batch is done."""

    def __init__(self, table: Table, dialect: Dialect) -> None:
        self._table = table
        self._key = [column.name for column in table.primary_key]
        self._insert = inserting(table, dialect)
        self._update = updating(table, dialect)
        self._find = select(table).where(and_(*map(_is_key, table.primary_key)))
        self._rows: dict[tuple[Any, ...], dict[str, Any] | None] = {}
        self._new: set[tuple[Any, ...]] = set()

    def get(self, connection: Connection, *key: Any) -> dict[str, Any] | None:
        """The row of this key, to be changed in place."""
        if key not in self._rows:
            values = {KEY + name: value for name, value in zip(self._key, key, strict=True)}
            found = connection.execute(self._find, values).mappings().one_or_none()
            self._rows[key] = dict(found) if found is not None else None
        return self._rows[key]

    def put(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A new row; the caller has asked for its key before."""
        key = tuple(row[name] for name in self._key)
        if self._rows.get(key) is None:
            self._new.add(key)
        self._rows[key] = {column.name: row.get(column.name) for column in self._table.columns}
        return self._rows[key]  # type: ignore[return-value]

    def flush(self, connection: Connection) -> None:
        """Write everything that was asked for."""
        new = [row for key, row in self._rows.items() if row is not None and key in self._new]
        old = [row for key, row in self._rows.items() if row is not None and key not in self._new]
        self._insert.write(connection, new)
        self._update.write(connection, old)

    def forget(self) -> None:
        """Before the next batch: another projector may have written meanwhile."""
        self._rows.clear()
        self._new.clear()


def _is_key(column: Any) -> ColumnElement[bool]:
    return column == bindparam(KEY + column.name)  # type: ignore[no-any-return]
