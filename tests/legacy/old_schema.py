"""The old application's tables as Prisma made them, on SQLite and on PostgreSQL, and ways in which databases differ.

Times are given as a `datetime`, which is stored as Prisma does it, or as ISO text, as a person's SQL left it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Dialect,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.engine import URL
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

from projections.bulk import copy_rows, drivers_cursor
from projections.database import engine_for, is_sqlite

Times = Literal["timestamp", "timestamptz", "bigint", "text"]
"""What the columns for times are on PostgreSQL. Prisma makes them timestamps without zone."""
Moment = datetime | str

ROWS_AT_ONCE = 10_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ms(at: datetime) -> int:
    """As Prisma stores a time on SQLite."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def iso(at: datetime) -> str:
    """As SQL's CURRENT_TIMESTAMP gives it."""
    return f"{at:%Y-%m-%d %H:%M:%S}"


def iso_z(at: datetime) -> str:
    """As JavaScript writes it."""
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"


class OldTime(TypeDecorator[Any]):
    """A column for times."""

    impl = Text
    cache_ok = True

    def __init__(self, times: Times = "timestamp") -> None:
        super().__init__()
        self.times = times

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return _PrismasDatetime()
        kinds: dict[Times, TypeEngine[Any]] = {
            "timestamp": TIMESTAMP(precision=3),
            "timestamptz": TIMESTAMP(timezone=True, precision=3),
            "bigint": BigInteger(),
            "text": Text(),
        }
        return dialect.type_descriptor(kinds[self.times])

    def process_bind_param(self, value: Moment | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if dialect.name == "sqlite":
            return value if isinstance(value, str) else ms(value)
        if self.times == "text":
            return value if isinstance(value, str) else iso_z(value)
        at = datetime.fromisoformat(value).replace(tzinfo=UTC) if isinstance(value, str) else value
        return {"timestamp": at.replace(tzinfo=None), "timestamptz": at, "bigint": ms(at)}[self.times]


class _PrismasDatetime(UserDefinedType[Any]):
    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "DATETIME"


def old_schema(*, without: Collection[str] = (), times: Times = "timestamp", loose: bool = False) -> MetaData:
    """The tables, but for those and for those columns ("Campaign.useV2") that are left out. `loose`: null is allowed
    everywhere and nothing refers to anything, as after years of mending by hand."""
    metadata = MetaData()
    for name, columns in _columns(times).items():
        kept = [each for each in columns if not isinstance(each, Column) or f"{name}.{each.name}" not in without]
        if name not in without:
            Table(name, metadata, *(_loosened(kept) if loose else kept))
    return metadata


def old_engine(url: URL, *, wal: bool = False) -> Engine:
    """As the old application connects: an SQLite file without write-ahead log, but for those who set it."""
    if not is_sqlite(url):
        return engine_for(url)
    engine = create_engine(url)
    if wal:
        event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA journal_mode = WAL"))
    return engine


@contextmanager
def old_connection(url: URL) -> Iterator[Connection]:
    """A transaction of the old application's; its connection is closed afterwards."""
    engine = old_engine(url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def insert(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Rows in bulk. What they have too many, because the table was made without it, is left out."""
    waiting = iter(rows)
    while batch := list(islice(waiting, ROWS_AT_ONCE)):
        values = [{name: value for name, value in row.items() if name in table.c} for row in batch]
        if connection.dialect.name == "sqlite":
            connection.execute(table.insert(), values)
        else:
            _copy(connection, table, values)


def count_on(connection: Connection, tables: Iterable[Table]) -> None:
    """Let the ids of new rows go on after those that were given."""
    if connection.dialect.name != "sqlite":
        for table in tables:
            last = select(func.coalesce(func.max(table.c.id), 0) + 1).scalar_subquery()
            sequence = func.pg_get_serial_sequence(f'"{table.name}"', "id")
            connection.execute(select(func.setval(sequence, last, False)))


def _copy(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    columns = [table.c[name] for name in rows[0]]
    types = {each.name: each.type.compile(dialect=connection.dialect).lower() for each in columns}
    kinds = {name: _COPIED_AS.get(kind.partition("(")[0], kind) for name, kind in types.items()}
    times = {each.name: each.type for each in columns if isinstance(each.type, OldTime)}
    for row in rows:
        row.update({name: kind.process_bind_param(row[name], connection.dialect) for name, kind in times.items()})
    with drivers_cursor(connection) as cursor:
        copy_rows(cursor, table.name, kinds, ([row[name] for name in kinds] for row in rows))


_COPIED_AS = {"integer": "int4", "boolean": "bool", "bigint": "int8", "timestamp": "timestamp"}


def _loosened(columns: list[Any]) -> Iterator[Column[Any]]:
    for each in columns:
        if isinstance(each, Column):
            yield Column(each.name, each.type, primary_key=each.primary_key, server_default=each.server_default)


def _columns(times: Times) -> dict[str, list[Any]]:
    """As in the old application's schema.prisma, with some columns that nobody reads."""
    return {
        "Campaign": [
            _id(),
            _text("name"),
            _text("subject", nullable=True),
            _text("text", nullable=True),
            _text("status"),
            _time("scheduledAt", times, nullable=True),
            _time("sendingStartedAt", times, nullable=True),
            _time("sendingCompletedAt", times, nullable=True),
            _number("delayBetweenEmails"),
            _number("maxEmailsPerDay"),
            _text("allowedDays"),
            _number("startHour"),
            _number("startMinute"),
            _number("endHour"),
            _number("endMinute"),
            _flag("respectHolidays"),
            _text("targetCountries", nullable=True),
            _flag("useV2"),
            _time("createdAt", times),
            _text("jobDescription", nullable=True),
        ],
        "Lead": [
            _id(),
            Column("email", Text, nullable=False, unique=True),
            _text("firstName", nullable=True),
            _text("lastName", nullable=True),
            _text("company", nullable=True),
            _text("language", nullable=True),
            _text("greetingForm", nullable=True),
            _text("status"),
            _flag("isBlocked"),
            _text("linkedinUrl", nullable=True),
        ],
        "CampaignLead": [
            _id(),
            _number("campaignId", ForeignKey("Campaign.id")),
            _number("leadId", ForeignKey("Lead.id")),
            _text("status"),
            _number("priority"),
            _time("sentAt", times, nullable=True),
            _time("createdAt", times),
            UniqueConstraint("campaignId", "leadId"),
        ],
        "SendLog": [
            _id(),
            _number("campaignId", ForeignKey("Campaign.id"), nullable=True),
            _number("leadId", ForeignKey("Lead.id"), nullable=True),
            _text("toEmail"),
            _text("messageId", nullable=True),
            _text("subject"),
            _text("content", nullable=True),
            _text("status"),
            _text("error", nullable=True),
            _time("createdAt", times),
        ],
        "CampaignEmailQueue": [
            _id(),
            _number("campaignId", ForeignKey("Campaign.id")),
            _number("campaignLeadId"),
            _time("scheduledAt", times),
            _text("status"),
            _time("sentAt", times, nullable=True),
            _text("error", nullable=True),
        ],
        "Mailbox": [
            _id(),
            Column("email", Text, nullable=False, unique=True),
            _text("displayName", nullable=True),
            _text("smtpHost"),
            _number("smtpPort"),
            _text("smtpUser", nullable=True),
            _text("smtpPass"),
            _text("imapPassword", nullable=True),
            _flag("smtpSecure"),
            _number("dailyEmailLimit"),
            _flag("isActive"),
        ],
    }


def _id() -> Column[int]:
    return Column("id", Integer, primary_key=True)


def _text(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, Text, nullable=nullable)


def _number(name: str, *more: Any, nullable: bool = False) -> Column[int]:
    return Column(name, Integer, *more, nullable=nullable)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False)


def _time(name: str, times: Times, *, nullable: bool = False) -> Column[Any]:
    return Column(name, OldTime(times), nullable=nullable)
