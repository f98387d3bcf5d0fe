"""The questions people ask of the views. Rows come as mappings; the caller has caught the views up."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Connection, Select, and_, func, literal, not_, or_, select

from domain.events import EVENT_TYPES
from domain.legacy import OLD_SYSTEM
from projections import views
from projections.kept import contacts, in_lists, suppressed
from projections.rows import Outcome, State
from projections.times import text_time, time_text

Row = Mapping[str, Any]
"""A row by column name."""

STREAMED = 1000
"""Rows fetched at a time where a listing may be long."""

TICKS_LOOKED_AT = 20
"""Ticks, or runs of them, that tell a cadence."""

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


def lead(connection: Connection, number: int, lead_id: int) -> Row | None:
    """One lead by its number."""
    leads = views.leads
    query = select(leads).where(leads.c.campaign_id == number, leads.c.lead_id == lead_id)
    return _one(connection, query)


def leads(
    connection: Connection, number: int, *, state: State | None = None, limit: int | None = None
) -> Iterator[Row]:
    """A campaign's leads by position, each with its address: None for one that was erased.

    Each address by a look-up of its own: for a join, PostgreSQL compares every lead with every contact as long as it
    has no statistics on leads that have just been imported (100,000: no answer within minutes).
    """
    own = views.leads
    same_lead = (contacts.c.campaign_id == own.c.campaign_id) & (contacts.c.lead_id == own.c.lead_id)
    address = select(contacts.c.address).where(same_lead).scalar_subquery()
    query = select(own, address.label("address")).where(own.c.campaign_id == number)
    if state is not None:
        query = query.where(own.c.state == state)
    return _stream(connection, query.order_by(own.c.position).limit(limit))


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


def mailbox_days(connection: Connection, name: str, *, limit: int | None = None) -> list[Row]:
    """A mailbox's mails by local date, newest first."""
    days = views.mailbox_days
    return _rows(connection, select(days).where(days.c.mailbox == name).order_by(days.c.date.desc()).limit(limit))


def ticks(connection: Connection, *, sender: str | None = None, limit: int | None = None) -> Iterator[Row]:
    """Ticks that found work, and runs of idle and missed ones, newest first."""
    query = select(views.ticks).order_by(views.ticks.c.log_position.desc()).limit(limit)
    return _stream(connection, query if sender is None else query.where(views.ticks.c.sender == sender))


def ticks_between(connection: Connection, sender: str, since: datetime, until: datetime) -> int:
    """How many ticks of this sender are on record that began in this time, idle ones too."""
    ticks = views.ticks
    made = (ticks.c.sender == sender, ticks.c.kind != "missed")
    began = (ticks.c.tick_at >= time_text(since), ticks.c.tick_at <= time_text(until))
    return connection.execute(select(func.sum(ticks.c.count)).where(*made, *began)).scalar_one() or 0


def last_ticks(connection: Connection) -> dict[str, str]:
    """The newest tick of each sender, by any runner."""
    ticks = views.ticks
    newest = func.max(func.coalesce(ticks.c.until, ticks.c.tick_at))
    query = select(ticks.c.sender, newest).where(ticks.c.kind != "missed").group_by(ticks.c.sender)
    return {row[0]: row[1] for row in connection.execute(query)}


def unended_runners(connection: Connection) -> list[Row]:
    """Process starts that have not ended in good order, newest first: they live, or were killed."""
    own = views.runners
    return _rows(connection, select(own).where(own.c.stopped_at.is_(None)).order_by(own.c.started_at.desc()))


def locked_by_runner(connection: Connection) -> dict[str, int]:
    """How many mails each runner has under way, as far as the ledger knows."""
    log = views.send_log
    query = select(log.c.runner, func.count()).where(views.UNANSWERED, log.c.outcome == Outcome.LOCKED)
    return {row[0]: row[1] for row in connection.execute(query.group_by(log.c.runner))}


def events_folded(connection: Connection) -> int:
    """How many events the views were made of."""
    return int(connection.execute(select(func.coalesce(func.sum(views.event_counts.c.events), 0))).scalar_one())


def cadences(connection: Connection) -> dict[str, timedelta]:
    """How often each sender's last runner ticked, as its ticks tell: the shortest gap between the newest of them, for a
    machine that slept makes longer ones. Nothing for a runner that ticked once."""
    own = views.ticks
    found = {}
    for sender in last_ticks(connection):
        newest = select(own).where(own.c.sender == sender, own.c.kind != "missed")
        newest = newest.order_by(func.coalesce(own.c.until, own.c.tick_at).desc()).limit(TICKS_LOOKED_AT)
        rows = _rows(connection, newest)
        if gaps := list(_gaps([row for row in rows if row["runner"] == rows[0]["runner"]])):
            found[sender] = min(gaps)
    return found


def _gaps(newest_first: Sequence[Row]) -> Iterator[timedelta]:
    begins = None
    for row in newest_first:
        begun, ended = text_time(row["tick_at"]), text_time(row["until"] or row["tick_at"])
        if row["count"] > 1:
            yield (ended - begun) / (row["count"] - 1)
        if begins is not None and begins > ended:
            yield begins - ended
        begins = begun


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
    ours = func.count().filter(log.c.runner != OLD_SYSTEM, log.c.outcome.in_((Outcome.SENT, Outcome.RESOLVED_SENT)))
    query = select(log.c.campaign_id, log.c.lead_id, accepted.label("accepted"), alarms.label("alarms"))
    twice = and_(or_(accepted > 1, alarms > 0), ours > 0)  # what an old system did alone is its own
    grouped = query.group_by(log.c.campaign_id, log.c.lead_id).having(twice)
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


def leads_in_states(connection: Connection, number: int) -> int:
    """How many leads of a campaign there are, counted one by one: each row is in one state."""
    query = select(func.count()).select_from(views.leads).where(views.leads.c.campaign_id == number)
    return int(connection.execute(query).scalar_one())


def sent_digest(connection: Connection, number: int) -> str:
    """SHA-256 over the numbers of all leads that are sent, ascending, one a line; hex."""
    own = views.leads
    sent = select(own.c.lead_id).where(own.c.campaign_id == number, own.c.state == State.SENT).order_by(own.c.lead_id)
    digest = hashlib.sha256()
    for row in connection.execute(sent.execution_options(yield_per=STREAMED)):
        digest.update(b"%d\n" % row[0])
    return digest.hexdigest()


def suppressed_leads(connection: Connection, number: int) -> dict[int, datetime]:
    """Lead numbers of those who must not be mailed, and since when."""
    same = suppressed.c.address_hmac == contacts.c.address_hmac
    query = select(contacts.c.lead_id, suppressed.c.added_at).join(suppressed, same)
    found = connection.execute(query.where(contacts.c.campaign_id == number))
    return {row[0]: text_time(row[1]) for row in found}


def shadows(connection: Connection) -> list[Row]:
    """The shadows that are on, by campaign: since when, mails due by them, mails that the owner tried, who waits."""
    own, of = views.shadows, views.campaigns
    query = select(own, of.c.owner, of.c.queued).join(of, of.c.id == own.c.campaign_id)
    return _rows(connection, query.where(own.c.stopped_at.is_(None)).order_by(own.c.campaign_id))


def cutover_steps(connection: Connection, number: int) -> list[Row]:
    """The steps of a campaign's way from an old system to V2, or back, oldest first."""
    steps = views.cutovers
    return _rows(connection, select(steps).where(steps.c.campaign_id == number).order_by(steps.c.log_position))


def owners(connection: Connection) -> list[Row]:
    """Who owns which campaign since when; and the last step that changed the owner, with who did it and why."""
    own, steps, earlier = views.campaigns, views.cutovers, views.cutovers.alias("earlier")
    moved = earlier.c.step.in_(("taken over", "migrated", "rolled back"))
    last = select(func.max(earlier.c.log_position)).where(earlier.c.campaign_id == own.c.id, moved)
    of_last = steps.c.log_position == last.correlate(own).scalar_subquery()
    joined = select(own, steps.c.step, steps.c.actor, steps.c.reason).select_from(
        own.join(steps, of_last, isouter=True)
    )
    return _rows(connection, joined.order_by(own.c.id))


def mails_of(connection: Connection, number: int, lead_ids: Collection[int]) -> list[Row]:
    """What was sent to these leads, oldest first."""
    log = views.send_log
    found: list[Row] = []
    for some in in_lists(lead_ids):
        query = select(log).where(log.c.campaign_id == number, log.c.lead_id.in_(some), log.c.outcome == Outcome.SENT)
        found += _rows(connection, query.order_by(log.c.lead_id, log.c.finished_at))
    return found


def _rows(connection: Connection, query: Select[Any]) -> list[Row]:
    return [cast(Row, row) for row in connection.execute(query).mappings()]


def _stream(connection: Connection, query: Select[Any]) -> Iterator[Row]:
    rows = connection.execute(query.execution_options(yield_per=STREAMED)).mappings()
    return (cast(Row, row) for row in rows)
