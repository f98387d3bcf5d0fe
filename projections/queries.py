"""The questions people ask of the views. Rows come as mappings; the caller has caught the views up."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, cast

from sqlalchemy import Connection, Select, func, literal, not_, or_, select

from domain.events import EVENT_TYPES
from projections import views
from projections.kept import contacts, in_lists
from projections.rows import Outcome, State

Row = Mapping[str, Any]
"""A row by column name."""

STREAMED = 1000
"""Rows fetched at a time where a listing may be long."""

WAITING = ("queued", "locked", "in doubt")


def campaigns(connection: Connection) -> list[Row]:
    """All campaigns by number."""
    return _rows(connection, select(views.campaigns).order_by(views.campaigns.c.id))


def campaign(connection: Connection, number: int) -> Row | None:
    """One campaign; None when there is none of that number."""
    query = select(views.campaigns).where(views.campaigns.c.id == number)
    return _one(connection, query)


def queue(connection: Connection, number: int, *, limit: int | None = None, offset: int = 0) -> Iterator[Row]:
    """The leads that wait, are being mailed or are in doubt: by priority, then position."""
    leads = views.leads
    query = select(leads).where(leads.c.campaign_id == number, leads.c.state.in_(WAITING))
    query = query.order_by(leads.c.priority, leads.c.position).limit(limit).offset(offset)
    return _stream(connection, query)


def v1_leads(connection: Connection, number: int) -> Iterator[Row]:
    """The leads as V1 would read them in its own table: number and status, oldest first."""
    leads = views.leads
    query = select(leads.c.lead_id, leads.c.v1_status).where(leads.c.campaign_id == number).order_by(leads.c.position)
    return _stream(connection, query)


def v1_statuses(connection: Connection, number: int) -> dict[str, int]:
    """How many leads V1 would see in each of its statuses."""
    leads = views.leads
    query = select(leads.c.v1_status, func.count()).where(leads.c.campaign_id == number).group_by(leads.c.v1_status)
    return {row[0]: row[1] for row in connection.execute(query)}


def lead(connection: Connection, number: int, lead_id: int) -> Row | None:
    """One lead by its number."""
    leads = views.leads
    query = select(leads).where(leads.c.campaign_id == number, leads.c.lead_id == lead_id)
    return _one(connection, query)


def failed_leads(connection: Connection, number: int, code: int | None = None) -> list[Row]:
    """The leads that definitely failed, all or those with this last reply code."""
    leads = views.leads
    query = select(leads).where(leads.c.campaign_id == number, leads.c.state == "failed").order_by(leads.c.position)
    return _rows(connection, query if code is None else query.where(leads.c.last_code == code))


def send_log(
    connection: Connection,
    *,
    campaign: int | None = None,
    sender: str | None = None,
    lead: int | None = None,
    limit: int | None = None,
) -> Iterator[Row]:
    """The attempts, newest first."""
    log = views.send_log
    query = select(log)
    for column, value in ((log.c.campaign_id, campaign), (log.c.sender, sender), (log.c.lead_id, lead)):
        if value is not None:
            query = query.where(column == value)
    newest = func.coalesce(log.c.lock_position, log.c.outcome_position).desc()
    return _stream(connection, query.order_by(newest).limit(limit))


def send_totals(connection: Connection) -> list[Row]:
    """Attempts by campaign, sender and outcome."""
    log = views.send_log
    keys = (log.c.campaign_id, log.c.sender, log.c.outcome)
    query = select(*keys, func.count().label("attempts")).group_by(*keys).order_by(*keys)
    return _rows(connection, query)


def in_doubt(connection: Connection) -> list[Row]:
    """The attempts of which nobody knows the outcome, oldest first."""
    log = views.send_log
    query = select(log).where(views.UNANSWERED, log.c.outcome == Outcome.IN_DOUBT).order_by(log.c.lock_position)
    return _rows(connection, query)


def mailboxes(connection: Connection) -> list[Row]:
    """All mailboxes by name."""
    return _rows(connection, select(views.mailboxes).order_by(views.mailboxes.c.name))


def mailbox_days(connection: Connection, name: str) -> list[Row]:
    """A mailbox's mails by local date, newest first."""
    days = views.mailbox_days
    return _rows(connection, select(days).where(days.c.mailbox == name).order_by(days.c.date.desc()))


def campaign_days(connection: Connection, number: int) -> list[Row]:
    """A campaign's mails by local date, newest first."""
    days = views.campaign_days
    return _rows(connection, select(days).where(days.c.campaign_id == number).order_by(days.c.date.desc()))


def ticks(connection: Connection, *, sender: str | None = None, limit: int | None = None) -> Iterator[Row]:
    """Ticks that found work, and runs of idle and missed ones, newest first."""
    query = select(views.ticks).order_by(views.ticks.c.log_position.desc()).limit(limit)
    return _stream(connection, query if sender is None else query.where(views.ticks.c.sender == sender))


def last_ticks(connection: Connection) -> dict[str, str]:
    """The newest tick of each sender, by any runner."""
    ticks = views.ticks
    newest = func.max(func.coalesce(ticks.c.until, ticks.c.tick_at))
    query = select(ticks.c.sender, newest).where(ticks.c.kind != "missed").group_by(ticks.c.sender)
    return {row[0]: row[1] for row in connection.execute(query)}


def waiting_positions(connection: Connection, address_keys: Collection[str]) -> dict[int, list[int]]:
    """Where these people wait, by campaign: positions of leads that are queued."""
    leads = views.leads
    found: dict[int, list[int]] = {}
    for keys in in_lists(address_keys):
        query = (
            select(leads.c.campaign_id, leads.c.position)
            .join(
                contacts,
                (contacts.c.campaign_id == leads.c.campaign_id) & (contacts.c.lead_id == leads.c.lead_id),
            )
            .where(contacts.c.address_key.in_(keys), leads.c.state == "queued")
        )
        for number, position in connection.execute(query):
            found.setdefault(number, []).append(position)
    return found


def _one(connection: Connection, query: Select[Any]) -> Row | None:
    return cast(Row | None, connection.execute(query).mappings().one_or_none())


def unknown_topics(connection: Connection) -> list[str]:
    """Topics in the ledger that this program does not know: a newer one wrote them."""
    return [
        topic for topic in connection.execute(select(views.event_counts.c.topic)).scalars() if topic not in EVENT_TYPES
    ]


def duplicates(connection: Connection) -> list[Row]:
    """Leads that were mailed twice, for all that is known: two acceptances, or an alarm."""
    log = views.send_log
    accepted = func.count().filter(log.c.outcome.in_((Outcome.SENT, Outcome.RESOLVED_SENT)))
    alarms = func.sum(log.c.duplicate)
    query = select(log.c.campaign_id, log.c.lead_id, accepted.label("accepted"), alarms.label("alarms"))
    grouped = query.group_by(log.c.campaign_id, log.c.lead_id).having(or_(accepted > 1, alarms > 0))
    return _rows(connection, grouped.order_by(log.c.campaign_id, log.c.lead_id))


def unaccounted(connection: Connection) -> list[Row]:
    """Campaigns whose counts by state are not those of their leads, one by one: each must be in exactly one state."""
    own, leads = views.campaigns, views.leads
    counted = [func.count().filter(leads.c.state == state).label(state.column) for state in State]
    actual = select(leads.c.campaign_id, func.count().label("leads"), *counted).group_by(leads.c.campaign_id).subquery()
    names = ["leads", *(state.column for state in State)]
    differs = [own.c[name] != func.coalesce(actual.c[name], 0) for name in names]
    joined = select(own).join(actual, actual.c.campaign_id == own.c.id, isouter=True)
    adds_up = sum((own.c[state.column] for state in State), start=literal(0)) == own.c.leads
    return _rows(connection, joined.where(or_(*differs, not_(adds_up))).order_by(own.c.id))


def _rows(connection: Connection, query: Select[Any]) -> list[Row]:
    return [cast(Row, row) for row in connection.execute(query).mappings()]


def _stream(connection: Connection, query: Select[Any]) -> Iterator[Row]:
    rows = connection.execute(query.execution_options(yield_per=STREAMED)).mappings()
    return (cast(Row, row) for row in rows)
