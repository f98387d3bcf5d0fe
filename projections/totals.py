"""What the views must add up to: each event of a mail is one row's doing, so counts of both are held together.

attempts = EmailLocked + EmailFailed without a lock + EmailSent without one (a history that was imported)
sent     = EmailSent          failed = EmailFailed          with a lock = EmailLocked
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Select, func, select

from domain.legacy import OLD_SYSTEM
from projections import views
from projections.batch import CAMPAIGN_STREAM
from projections.rows import Outcome

Counts = Mapping[tuple[str, str], int]
"""Events by stream and topic."""

KINDS = {"EmailLocked": "locked", "EmailSent": "sent", "EmailFailed": "failed", "EmailQueued": "leads"}
"""Events by name, and what counts them in the views."""


def position(connection: Connection) -> int:
    """The place in the ledger up to which these views hold."""
    return int(connection.execute(select(views.progress.c.position)).scalar_one())


def differences(connection: Connection, counts: Counts) -> Iterator[str]:
    """What does not add up to the events of the whole log; nothing where all does."""
    yield from _by_topic(connection, counts)
    found = by_campaign(connection)
    streams = {stream for stream, _ in counts if stream.startswith(CAMPAIGN_STREAM)}
    for stream in sorted(streams | found.keys()):
        yield from differences_of(stream, of_events(counts, stream), found.get(stream, Counter()))


def differences_of(stream: str, events: Mapping[str, int], rows: Mapping[str, int]) -> Iterator[str]:
    """The same of one campaign."""
    for name, counted in KINDS.items():
        if events.get(counted, 0) != rows.get(counted, 0):
            yield f"{stream} has {events.get(counted, 0):,} {name} events, and {rows.get(counted, 0):,} rows of them"


def of_events(counts: Counts, stream: str) -> Counter[str]:
    """What the rows of this campaign must count, by its events of whatever version."""
    found: Counter[str] = Counter()
    for (of, topic), number in counts.items():
        counted = KINDS.get(topic.partition("/")[0])
        if of == stream and counted is not None:
            found[counted] += number
    return found


def by_campaign(connection: Connection, number: int | None = None) -> dict[str, Counter[str]]:
    """What the rows of each campaign count, or of one."""
    log, leads = views.send_log, views.leads
    ours = log.c.runner != OLD_SYSTEM  # what an old system has under way, or gave up, its statuses say: no event does
    attempts = select(
        log.c.campaign_id,
        func.count(log.c.lock_position).filter(ours).label("locked"),
        func.count().filter(log.c.outcome == Outcome.SENT).label("sent"),
        func.count().filter(ours, log.c.outcome == Outcome.FAILED).label("failed"),
    ).group_by(log.c.campaign_id)
    of_leads = select(leads.c.campaign_id, func.count().label("leads")).group_by(leads.c.campaign_id)
    found: dict[str, Counter[str]] = {}
    for query in (_only(attempts, log.c.campaign_id, number), _only(of_leads, leads.c.campaign_id, number)):
        for row in connection.execute(query).mappings():
            counted = {name: int(row[name]) for name in row if name != "campaign_id"}
            found.setdefault(f"{CAMPAIGN_STREAM}{row['campaign_id']}", Counter()).update(counted)
    return found


def _only(query: Select[Any], column: Any, number: int | None) -> Select[Any]:
    return query if number is None else query.where(column == number)


def _by_topic(connection: Connection, counts: Counts) -> Iterator[str]:
    events: Counter[str] = Counter()
    for (_, topic), number in counts.items():
        events[topic] += number
    rows = {row.topic: row.events for row in connection.execute(select(views.event_counts))}
    for topic in sorted(events.keys() | rows.keys()):
        if events[topic] != rows.get(topic, 0):
            yield f"{events[topic]:,} events of {topic}, of which the views counted {rows.get(topic, 0):,}"
