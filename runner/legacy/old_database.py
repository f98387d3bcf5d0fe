"""The old application's database at one moment: its campaigns, leads, sends, queue and mailboxes, only read.

    with open_old_database("sqlite:///dev.db") as old:
        for campaign in old.campaigns():
            for send in old.sends(campaign.number): …

The one thing that can be written there is the flag that tells the old application to leave a campaign alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    Select,
    String,
    case,
    cast,
    column,
    func,
    inspect,
    or_,
    select,
    table,
    update,
)
from sqlalchemy.engine import URL

from domain.errors import InvalidInput
from projections.database import writing
from runner.legacy.opening import Place, Tables, engine_of, place_of, snapshot, unreadable
from runner.legacy.records import OldCampaign, OldCounts, OldLead, OldMailbox, OldQueueRow, OldSend
from runner.legacy.tables import (
    CAMPAIGN,
    CAMPAIGN_LEAD,
    LEAD,
    LEAD_FIELDS,
    MAILBOX,
    QUEUE,
    SEND_LOG,
    USE_V2,
    OldTable,
    read_row,
    wrong,
)

AT_ONCE = 2_000
"""Rows held in memory."""
BLOCKED = frozenset({"blocked", "blokada", "zablokowany", "unsubscribed", "wypisany"})
"""What `Lead.status` says, in any case, of somebody who gets no mail."""

_EPOCH_DAY = 2_440_587.5
_MS_A_DAY = 86_400_000


@contextmanager
def open_old_database(url: str | URL) -> Iterator[OldDatabase]:
    """The database as it is now. Raises `InvalidInput` for one that is not there or lacks a table or a column."""
    place = place_of(url)
    with snapshot(place) as (connection, tables), ExitStack() as results:
        yield OldDatabase(place, connection, tables, results)


def set_use_v2(url: str | URL, campaign: int, value: bool) -> None:
    """Tell the old application whose campaign this is: the only thing that is ever written there."""
    place = place_of(url)
    engine = engine_of(place, "rw")
    try:
        with unreadable(place.name), writing(engine) as connection:
            _write_use_v2(connection, place, campaign, value)
    finally:
        engine.dispose()


class OldDatabase:
    """One moment of the old database. `name`: its URL as it may be shown."""

    def __init__(self, place: Place, connection: Connection, tables: Tables, results: ExitStack) -> None:
        self.name = place.name
        self._on_sqlite = place.on_sqlite
        self._connection = connection
        self._tables = tables
        self._results = results  # closed at the end, when one was not read to its end

    def campaigns(self, *only: int) -> list[OldCampaign]:
        """The campaigns, or only those with these numbers, by number."""
        campaigns = self._tables[CAMPAIGN.name]
        rows = select(campaigns).order_by(campaigns.c.id)
        return [self._campaign(row) for row in self._rows(rows.where(campaigns.c.id.in_(only)) if only else rows)]

    def leads(self, campaign: int) -> Iterator[OldLead]:
        """The leads of a campaign, in the order in which they came to it."""
        of_campaign, leads = self._tables[CAMPAIGN_LEAD.name], self._tables[LEAD.name]
        rows = select(*of_campaign.c, *leads.c).outerjoin_from(of_campaign, leads, of_campaign.c.leadId == leads.c.id)
        return map(self._lead, self._rows(self._in_order(rows, CAMPAIGN_LEAD, campaign)))

    def sends(self, campaign: int) -> Iterator[OldSend]:
        """What the old sender wrote down about the mails of a campaign, in that order."""
        rows = self._rows(self._in_order(select(self._tables[SEND_LOG.name]), SEND_LOG, campaign))
        return (self._send(row) for row in rows)

    def queue(self, campaign: int) -> Iterator[OldQueueRow]:
        """The rows of a campaign in the old queue, by id."""
        if (queue := self._tables.get(QUEUE.name)) is None:
            return iter(())
        rows = self._rows(select(queue).where(queue.c.campaignId == campaign).order_by(queue.c.id))
        return (OldQueueRow(key, *values) for key, _, *values in (read_row(QUEUE, row, self.name) for row in rows))

    def newest_send(self, campaign: int) -> int:
        """The highest number of a row that the old sender wrote about a campaign; 0 for none."""
        sends = self._tables[SEND_LOG.name]
        newest = select(func.max(sends.c.id)).where(sends.c.campaignId == campaign)
        with unreadable(self.name):
            return self._connection.scalar(newest) or 0

    def mail_of(self, campaign: int, row: int) -> tuple[datetime, str | None] | None:
        """When the mail of this row of the SendLog was written down, and its Message-ID; None where a campaign has no
        such row."""
        sends = self._tables[SEND_LOG.name]
        [*found] = self._rows(select(sends).where(sends.c.campaignId == campaign, sends.c.id == row))
        if not found:
            return None
        send = self._send(found[0])
        return send.created_at, send.message_id

    def blocked(self) -> Iterator[str]:
        """The addresses of all who want no mail, whatever campaign they are in."""
        leads = self._tables[LEAD.name]
        flagged = func.lower(cast(leads.c.isBlocked, String)).not_in(("0", "false", "f"))
        said = func.lower(func.trim(leads.c.status)).in_(BLOCKED)
        for row in self._rows(select(leads).where(or_(flagged, said)).order_by(leads.c.id)):
            _, address, *_texts, standing, is_blocked = read_row(LEAD, row, self.name)
            if _is_blocked(standing, is_blocked):
                yield address

    def mailboxes(self) -> list[OldMailbox]:
        """The mailboxes, by id."""
        if (mailboxes := self._tables.get(MAILBOX.name)) is None:
            return []
        rows = self._rows(select(mailboxes).order_by(mailboxes.c.id))
        return [OldMailbox(*read_row(MAILBOX, row, self.name)) for row in rows]

    def counts(self, campaign: int) -> OldCounts:
        """How much there is to read of a campaign."""
        return OldCounts(*(self._count(of, campaign) for of in (CAMPAIGN_LEAD, SEND_LOG, QUEUE)))

    def _count(self, of: OldTable, campaign: int) -> int:
        if (there := self._tables.get(of.name)) is None:
            return 0
        with unreadable(self.name):
            counting = select(func.count()).select_from(there).where(there.c.campaignId == campaign)
            return self._connection.scalar(counting) or 0

    def _rows(self, statement: Select[Any]) -> Iterator[Any]:
        with unreadable(self.name):
            result = self._connection.execute(statement.execution_options(yield_per=AT_ONCE))
            yield from self._results.enter_context(result)

    def _in_order(self, rows: Select[Any], of: OldTable, campaign: int) -> Select[Any]:
        there = self._tables[of.name].c
        made = _ms_on_sqlite(there.createdAt) if self._on_sqlite else _sortable(there.createdAt)
        return rows.where(there.campaignId == campaign).order_by(made, there.id)

    def _campaign(self, row: Any) -> OldCampaign:
        values = dict(zip((each.name for each in CAMPAIGN.columns), read_row(CAMPAIGN, row, self.name), strict=True))
        start, end = (f"{values[f'{at}Hour']:02}:{values[f'{at}Minute']:02}" for at in ("start", "end"))
        if not start < end <= "24:00":
            problem = f"the window from {start} to {end} never opens, or ends after its day."
            mend = "Let it end after its start, at 24:00 at the latest."
            raise wrong(CAMPAIGN, values["id"], "endHour", problem, mend, self.name)
        return OldCampaign(
            number=values["id"],
            name=values["name"],
            subject=values["subject"],
            text=values["text"],
            status=values["status"],
            scheduled_at=values["scheduledAt"],
            started_at=values["sendingStartedAt"],
            completed_at=values["sendingCompletedAt"],
            delay_s=values["delayBetweenEmails"],
            daily_limit=values["maxEmailsPerDay"],
            weekdays=values["allowedDays"],
            start=start,
            end=end,
            respect_holidays=values["respectHolidays"],
            countries=values["targetCountries"],
            use_v2=values[USE_V2],
            created_at=values["createdAt"],
        )

    def _send(self, row: Any) -> OldSend:
        key, _, *values = read_row(SEND_LOG, row, self.name)
        return OldSend(key, *values)

    def _lead(self, row: Any) -> OldLead:
        split = len(CAMPAIGN_LEAD.columns)
        key, _, lead, status, priority, sent_at, created_at = read_row(CAMPAIGN_LEAD, row[:split], self.name)
        if row[split] is None:
            mend = "Add it, or remove the row."
            raise wrong(CAMPAIGN_LEAD, key, "leadId", f"there is no Lead {lead}.", mend, self.name)
        _, address, *texts, standing, is_blocked = read_row(LEAD, row[split:], self.name)
        fields = dict(zip(LEAD_FIELDS, texts, strict=True))
        blocked = _is_blocked(standing, is_blocked)
        return OldLead(key, lead, address, fields, status, priority, sent_at, created_at, blocked)


def _is_blocked(standing: str, flag: bool) -> bool:
    return flag or standing.strip().casefold() in BLOCKED


def _ms_on_sqlite(made: ColumnElement[Any]) -> ColumnElement[Any]:
    """One column may hold numbers and texts, and SQLite would sort all numbers before all texts."""
    ms = cast(func.round((func.julianday(made) - _EPOCH_DAY) * _MS_A_DAY), BigInteger)
    return case((func.typeof(made) == "text", ms), else_=made)


def _sortable(made: ColumnElement[Any]) -> ColumnElement[Any]:
    """Texts on PostgreSQL: with `T` or blank, with or without `Z` and parts of a second."""
    if not isinstance(made.type, String):
        return made
    parts = func.coalesce(func.substring(made, r"\.(\d+)"), "")
    return func.left(func.replace(made, "T", " "), 19).concat(func.rpad(parts, 9, "0"))


def _write_use_v2(connection: Connection, place: Place, campaign: int, value: bool) -> None:
    inspector = inspect(connection)
    there = inspector.has_table(CAMPAIGN.name, schema=place.schema)
    found = inspector.get_columns(CAMPAIGN.name, schema=place.schema) if there else []
    kinds = {each["name"]: each["type"] for each in found}
    if USE_V2 not in kinds:
        problem = f"there is no column {USE_V2} in the table {CAMPAIGN.name}: the old application knows no such flag."
        mend = "Stop its sender for this campaign in another way."
        raise InvalidInput(problem, mend=mend, source=place.name)
    campaigns = table(CAMPAIGN.name, column("id"), column(USE_V2), schema=place.schema)
    written: bool | int = value if isinstance(kinds[USE_V2], Boolean) else int(value)
    changed = connection.execute(update(campaigns).where(campaigns.c.id == campaign).values({USE_V2: written}))
    if changed.rowcount != 1:
        mend = "Give the number that the campaign has in the old application."
        raise InvalidInput(f"there is no {CAMPAIGN.name} {campaign}.", mend=mend, source=place.name)
