"""The questions of an audit: each attempt with all that is known of it, in an order that needs no sorting, so that a
million rows are read as they are used; what one person got; and what each sender did, day by day.

`COLUMNS` says what each column means: the documentation and the types of an export are made from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    RowMapping,
    Select,
    case,
    func,
    literal,
    literal_column,
    select,
)

from projections import views
from projections.event_log import POSITION, stored_events
from projections.kept import contacts, kept_mails
from projections.rows import Outcome
from projections.times import MINUTE, time_text

ERASED = "[erased]"
"""Instead of the address of whoever was erased."""
STREAMED = 5_000
"""Rows fetched at a time."""

Kind = Literal["whole", "text", "time", "yes or no"]
OutcomeAsked = Literal["sent", "failed", "in-doubt"]

OUTCOMES: dict[OutcomeAsked, tuple[Outcome, ...]] = {
    "sent": (Outcome.SENT, Outcome.RESOLVED_SENT),
    "failed": (Outcome.FAILED, Outcome.RESOLVED_NOT_SENT),
    "in-doubt": (Outcome.IN_DOUBT, Outcome.LOCKED),
}
"""What people ask for: settled by a person counts as settled, under way as not known yet."""


@dataclass(frozen=True, slots=True)
class Described:
    """A column of the export."""

    name: str
    kind: Kind
    says: str


COLUMNS = (
    Described("campaign_id", "whole", "the campaign's number"),
    Described("campaign", "text", "its name"),
    Described("lead_id", "whole", "the lead's number in that campaign"),
    Described("address", "text", f"who that is today; {ERASED} for a person who was erased"),
    Described("attempt", "whole", "1 for the first attempt at this lead, by either sender"),
    Described("sender", "text", "v1 or v2; v1 too for an old system, whose runner is `old system`"),
    Described("epoch", "whole", "how often the campaign's ownership had moved, plus one"),
    Described("outcome", "text", "locked, sent, failed, in doubt, resolved sent, resolved not sent"),
    Described("code", "whole", "the server's reply code, where it answered"),
    Described("enhanced", "text", "its enhanced status code"),
    Described("phase", "text", "of a failure: the step of the dialogue it happened in"),
    Described("permanent", "yes or no", "of a failure: is it final?"),
    Described("queue_id", "text", "the server's own number for the mail"),
    Described("message_id", "text", "the Message-ID: the same in every attempt at this lead"),
    Described("digest", "text", "HMAC-SHA256 of the very bytes, under the contact's salt"),
    Described("locked_at", "time", "the point of no return; empty where it failed before, or was imported"),
    Described("finished_at", "time", "when its outcome happened"),
    Described("due_at", "time", "when it was due"),
    Described("next_attempt_at", "time", "of a failure for now: when it is tried again"),
    Described("mailbox", "text", "through which mailbox"),
    Described("runner", "text", "by which process start"),
    Described("token", "text", "what the lock is called in the ledger"),
    Described("content_version", "whole", "which version of the campaign's content"),
    Described("revision", "whole", "which revision of the contact"),
    Described("commitment", "text", "HMAC-SHA256 of the contact, under its salt"),
    Described("cause", "text", "of what is, or was, in doubt: why"),
    Described("evidence", "text", "how a person knew what became of it"),
    Described("resolved_by", "text", "who that was"),
    Described("duplicate", "yes or no", "was this lead accepted twice?"),
    Described("lock_position", "whole", "where the lock stands in the ledger"),
    Described("outcome_position", "whole", "where the outcome stands in the ledger"),
)
NAMES = tuple(column.name for column in COLUMNS)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which attempts. `since` and `until` are held against the lock, or the outcome where there was none."""

    campaign: int | None = None
    sender: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    outcome: OutcomeAsked | None = None

    def of(self, query: Select[Any]) -> Select[Any]:
        """The query for these alone."""
        log = views.send_log
        if self.campaign is not None:
            query = query.where(log.c.campaign_id == self.campaign)
        if self.sender is not None:
            query = query.where(log.c.sender == self.sender)
        if self.since is not None:
            query = query.where(_happened() >= time_text(self.since))
        if self.until is not None:
            query = query.where(_happened() < time_text(self.until))
        if self.outcome is not None:
            query = query.where(log.c.outcome.in_(OUTCOMES[self.outcome]))
        return query


def sends(connection: Connection, wanted: Wanted, *, limit: int | None = None) -> Iterator[Row[Any]]:
    """The attempts by campaign, lead and attempt, with values in the order of `COLUMNS`, read as they are used."""
    log = views.send_log
    query = wanted.of(select(*_columns())).join(views.campaigns, views.campaigns.c.id == log.c.campaign_id)
    query = query.order_by(log.c.campaign_id, log.c.position, log.c.attempt).limit(limit)
    yield from connection.execute(query.execution_options(yield_per=STREAMED))


def totals(connection: Connection, wanted: Wanted) -> dict[str, int]:
    """How many attempts of each outcome these are."""
    outcome = views.send_log.c.outcome
    query = wanted.of(select(outcome, func.count().label("attempts"))).group_by(outcome).order_by(outcome)
    return {row.outcome: row.attempts for row in connection.execute(query)}


def events_counted(connection: Connection, campaign: int | None, upto: int) -> dict[tuple[str, str], int]:
    """Events by stream and topic, of one campaign or of all streams, counted in the ledger itself."""
    own, position = stored_events, POSITION[connection.dialect.name]
    query = select(own.c.originator_id, own.c.topic, func.count().label("events")).where(position <= upto)
    if campaign is not None:
        query = query.where(own.c.originator_id == f"campaign-{campaign}")
    found = connection.execute(query.group_by(own.c.originator_id, own.c.topic))
    return {(row.originator_id, row.topic): row.events for row in found}


def places(connection: Connection, address_key: str) -> Sequence[RowMapping]:
    """The leads with this address, in all campaigns."""
    own = contacts
    query = select(own.c.campaign_id, own.c.lead_id, own.c.position, own.c.revision).where(
        own.c.address_key == address_key
    )
    return connection.execute(query.order_by(own.c.campaign_id)).mappings().all()


def attempts(connection: Connection, campaign: int, lead_id: int) -> list[dict[str, Any]]:
    """Everything about one lead's attempts, the first first: in the columns of `COLUMNS`. By the lead's place, which is
    the beginning of the key."""
    leads, log = views.leads, views.send_log
    place = select(leads.c.position).where(leads.c.campaign_id == campaign, leads.c.lead_id == lead_id)
    query = select(*_columns()).join(views.campaigns, views.campaigns.c.id == log.c.campaign_id)
    query = query.where(log.c.campaign_id == campaign, log.c.position == place.scalar_subquery())
    found = connection.execute(query.order_by(log.c.attempt)).mappings()
    return [dict(row) for row in found]


def kept_bytes(connection: Connection, token: str) -> bytes | None:
    """The compressed bytes of the mail of this lock; None where none were kept, or they were erased."""
    found = connection.execute(select(kept_mails.c.message).where(kept_mails.c.token == token)).scalar_one_or_none()
    return None if found is None else bytes(cast(bytes, found))


def by_minute(connection: Connection, campaign: int | None = None) -> Iterator[RowMapping]:
    """What each sender did in each campaign and minute (UTC): so a caller can add up local days of any zone."""
    log = views.send_log
    # Literal: PostgreSQL compares what is grouped by with what is selected, and parameters are never the same.
    minute = func.substr(_happened(), literal_column("1"), literal_column(str(MINUTE)))
    counted = [
        func.sum(case((log.c.outcome.in_(OUTCOMES[asked]), 1), else_=0)).label(asked.replace("-", "_"))
        for asked in OUTCOMES
    ]
    query = select(
        log.c.campaign_id,
        views.campaigns.c.zone,
        log.c.sender,
        minute.label("minute"),
        func.count().label("attempts"),
        *counted,
        func.sum(log.c.duplicate).label("duplicates"),
    ).join(views.campaigns, views.campaigns.c.id == log.c.campaign_id)
    if campaign is not None:
        query = query.where(log.c.campaign_id == campaign)
    query = query.group_by(log.c.campaign_id, views.campaigns.c.zone, log.c.sender, minute)
    yield from connection.execute(query.execution_options(yield_per=STREAMED)).mappings()


def _happened() -> ColumnElement[str]:
    """When an attempt was made: a failure before the lock, and an imported history, have no lock."""
    return func.coalesce(views.send_log.c.locked_at, views.send_log.c.finished_at)


def _columns() -> list[Any]:
    """Each address by a look-up of its own: for a join, PostgreSQL may compare every attempt with every contact."""
    log = views.send_log
    same = (contacts.c.campaign_id == log.c.campaign_id) & (contacts.c.lead_id == log.c.lead_id)
    address = func.coalesce(select(contacts.c.address).where(same).scalar_subquery(), literal(ERASED))
    special = {"campaign": views.campaigns.c.name.label("campaign"), "address": address.label("address")}
    return [special[name] if name in special else log.c[name] for name in NAMES]
