"""The tables of the old database as far as sending goes: which columns are read, by whom, and what stands for those
that are not there. Finds them in a database by reflection, and reads their rows.

Never read: passwords, the subjects and bodies of mails that were sent, and the texts of errors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, FromClause, Select, Text, column, inspect, literal, select, table
from sqlalchemy.types import NullType, String, TypeEngine

from domain.errors import InvalidInput
from domain.rules import MAX_DAILY_LIMIT, MAX_DELAY_S
from runner.legacy.records import CampaignStatus, LeadStatus, QueueStatus, SendStatus
from runner.legacy.values import (
    MOST_DIGITS,
    Reader,
    countries,
    filled_text,
    flag,
    instant,
    one_of,
    or_none,
    row_id,
    text,
    text_or_empty,
    weekdays,
    whole,
)

NEEDED = object()
"""No default: a database without this column is none of the old application."""
USE_V2 = "useV2"


class OldColumn(NamedTuple):
    """A column, who reads its values, and what every row has there when the column is missing."""

    name: str
    read: Reader
    default: object = NEEDED


class OldTable(NamedTuple):
    """A table. Its first column is its key."""

    name: str
    columns: tuple[OldColumn, ...]
    may_be_missing: bool = False


CAMPAIGN = OldTable(
    "Campaign",
    (
        OldColumn("id", row_id),
        OldColumn("name", filled_text),
        OldColumn("subject", text_or_empty),
        OldColumn("text", text_or_empty),
        OldColumn("status", one_of(CampaignStatus)),
        OldColumn("scheduledAt", or_none(instant)),
        OldColumn("sendingStartedAt", or_none(instant)),
        OldColumn("sendingCompletedAt", or_none(instant)),
        OldColumn("delayBetweenEmails", whole(0, MAX_DELAY_S), 90),
        OldColumn("maxEmailsPerDay", whole(1, MAX_DAILY_LIMIT), 500),
        OldColumn("allowedDays", weekdays, "MON,TUE,WED,THU,FRI"),
        OldColumn("startHour", whole(0, 23), 9),
        OldColumn("startMinute", whole(0, 59), 0),
        OldColumn("endHour", whole(0, 24), 15),
        OldColumn("endMinute", whole(0, 59), 0),
        OldColumn("respectHolidays", flag, 1),
        OldColumn("targetCountries", countries),
        OldColumn(USE_V2, flag, 0),
        OldColumn("createdAt", instant),
    ),
)
LEAD_FIELDS = ("firstName", "lastName", "company", "language", "greetingForm")
LEAD = OldTable(
    "Lead",
    (
        OldColumn("id", row_id),
        OldColumn("email", filled_text),
        *(OldColumn(name, text_or_empty) for name in LEAD_FIELDS),
        OldColumn("status", text_or_empty),
        OldColumn("isBlocked", flag),
    ),
)
CAMPAIGN_LEAD = OldTable(
    "CampaignLead",
    (
        OldColumn("id", row_id),
        OldColumn("campaignId", row_id),
        OldColumn("leadId", row_id),
        OldColumn("status", one_of(LeadStatus)),
        OldColumn("priority", whole(-MOST_DIGITS, MOST_DIGITS), 999),
        OldColumn("sentAt", or_none(instant)),
        OldColumn("createdAt", instant),
    ),
)
SEND_LOG = OldTable(
    "SendLog",
    (
        OldColumn("id", row_id),
        OldColumn("campaignId", row_id),
        OldColumn("leadId", or_none(row_id)),
        OldColumn("toEmail", text),
        OldColumn("messageId", or_none(text)),
        OldColumn("status", one_of(SendStatus)),
        OldColumn("error", flag),
        OldColumn("createdAt", instant),
    ),
)
QUEUE = OldTable(
    "CampaignEmailQueue",
    (
        OldColumn("id", row_id),
        OldColumn("campaignId", row_id),
        OldColumn("campaignLeadId", row_id),
        OldColumn("status", one_of(QueueStatus)),
        OldColumn("scheduledAt", instant),
        OldColumn("sentAt", or_none(instant)),
    ),
    may_be_missing=True,
)
MAILBOX = OldTable(
    "Mailbox",
    (
        OldColumn("id", row_id),
        OldColumn("email", filled_text),
        OldColumn("displayName", text_or_empty),
        OldColumn("smtpHost", text_or_empty),
        OldColumn("smtpPort", whole(1, 65535)),
        OldColumn("smtpUser", text_or_empty),
        OldColumn("smtpSecure", flag),
        OldColumn("dailyEmailLimit", whole(0, MAX_DAILY_LIMIT), 50),
        OldColumn("isActive", flag),
    ),
    may_be_missing=True,
)
TABLES = (CAMPAIGN, LEAD, CAMPAIGN_LEAD, SEND_LOG, QUEUE, MAILBOX)

_ONLY_WHETHER = {("SendLog", "error")}
"""Columns of which only is read whether they say something: the text quotes addresses."""
_MEND = "Give the URL of the old application's own database; where its tables have a schema, with ?schema=NAME."


def find(connection: Connection, schema: str | None, source: str) -> dict[str, Select[Any]]:
    """How to select each table that is there, as if it had all columns. Raises `InvalidInput` naming all that lack."""
    there = {each.name: _columns(connection, each.name, schema) for each in TABLES}
    if missing := list(_missing(there)):
        problem = f"is not the old application's database as it should be: there is {', '.join(missing)}."
        raise InvalidInput(problem, mend=_MEND, source=source)
    return {each.name: _selecting(each, schema, kinds) for each in TABLES if (kinds := there[each.name]) is not None}


def read_row(of: OldTable, values: Sequence[Any], source: str) -> list[Any]:
    """The values of one row, in the order of its table's columns. Raises `InvalidInput` with table, row and column."""
    found = []
    for each, value in zip(of.columns, values, strict=True):
        try:
            found.append(each.read(value))
        except InvalidInput as error:
            raise wrong(of, values[0], each.name, error.problem, error.mend, source) from None
    return found


def wrong(of: OldTable, key: object, name: str, problem: str, mend: str, source: str) -> InvalidInput:
    """The error for a value of a row."""
    row = f"{of.name} {key}" if type(key) is int else of.name  # else it may be anything, and says nothing
    return InvalidInput(problem, mend=mend, field=f"{row}, {name}", source=source)


def _columns(connection: Connection, name: str, schema: str | None) -> Mapping[str, TypeEngine[Any]] | None:
    """The columns of a table; None when there is no such table."""
    inspector = inspect(connection)
    if not inspector.has_table(name, schema=schema):
        return None
    return {found["name"]: found["type"] for found in inspector.get_columns(name, schema=schema)}


def _missing(there: Mapping[str, Mapping[str, TypeEngine[Any]] | None]) -> Iterator[str]:
    for each in TABLES:
        found = there[each.name]
        if found is not None:
            needed = (known.name for known in each.columns if known.default is NEEDED)
            yield from (f"no column {name} in the table {each.name}" for name in needed if name not in found)
        elif not each.may_be_missing:
            yield f"no table {each.name}"


def _selecting(of: OldTable, schema: str | None, kinds: Mapping[str, TypeEngine[Any]]) -> Select[Any]:
    """The values as the driver gives them: SQLite stores in a column of any type whatever it is given."""
    there = table(of.name, *(column(name, _kind(kind)) for name, kind in kinds.items()), schema=schema)
    return select(*(_value(there, of, each) for each in of.columns)).select_from(there)


def _value(there: FromClause, of: OldTable, each: OldColumn) -> Any:
    if each.name not in there.c:
        return literal(each.default).label(each.name)
    value = there.c[each.name]
    if (of.name, each.name) in _ONLY_WHETHER:
        return (value.is_not(None) & (value != "")).label(each.name)
    return value


def _kind(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    return Text() if isinstance(kind, String) else NullType()
