"""Erasing people: the events that say so and the rows that go are one transaction; then the traces of those rows.

A person is found by the address in force. All leads with it are erased in all campaigns, or, while a mail to one of
them is under way, none. The address stays on the suppression list, which knows only a keyed HMAC of it.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, func, select

from domain.campaign import Campaign
from domain.commitments import address_key, suppression_key
from domain.erasing import erase
from domain.events import EmailSkipped, Event, PersonErased
from domain.leads import LeadState
from projections.database import engine_for, is_sqlite, reading
from projections.kept import ERASE_CONTACT, ERASE_MAILS, ERASE_REPLIES, SUPPRESS, kept_mails, replies
from projections.times import time_text
from runner.free_text import check_free_text
from runner.leads.addresses import canonical
from runner.leads.everywhere import Places, append_everywhere
from runner.leads.lookups import Lookups, lookups
from runner.leads.reading import given
from runner.store.ledger import Ledger, campaign_number
from runner.store.recorder import Kept

REFERENCE_BYTES = 8
LISTED_AS = "erased"
"""Why an erased address is on the suppression list: no reference stands there, for it would tie the two together."""


@dataclass(frozen=True, slots=True)
class Found:
    """What there is of some people. `under_way`: mails that nobody can call back."""

    leads: int
    waiting: int
    under_way: int
    mails: int
    replies: int


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did. `reference`: stands in every event of it, and can be told to the person."""

    reference: str
    leads: int
    skipped: int
    newly_suppressed: int


def look(ledger: Ledger, addresses: Iterable[str]) -> Found:
    """What an erasure would find."""
    with lookups(ledger) as lookup:
        places = lookup.places(_keys(addresses))
    states = []
    for number, rows in places.items():
        with ledger.campaign(number) as campaign:
            states += [campaign.roll.state(row["position"]) for row in rows]
    leads = [(row["campaign_id"], row["lead_id"]) for rows in places.values() for row in rows]
    return Found(
        len(leads),
        states.count(LeadState.QUEUED),
        states.count(LeadState.LOCKED),
        _count(ledger, kept_mails, leads),
        _count(ledger, replies, leads),
    )


def erase_people(
    ledger: Ledger,
    secret: bytes,
    addresses: Collection[str],
    *,
    reason: str,
    actor: str,
    now: Callable[[], datetime],
) -> Erased:
    """Erase everybody with one of these addresses. Raises `InvalidInput` before anything is done for an address that is
    none, and `MailUnderWay` when nothing was done."""
    reason = check_free_text(reason, field="--reason")
    with lookups(ledger) as lookup:
        one = _Erasing(ledger, lookup, secret, addresses, reason, actor, now)
        events = one.append()
    erased = sum(isinstance(event, PersonErased) for event in events)
    skipped = sum(isinstance(event, EmailSkipped) for event in events)
    return Erased(one.reference, erased, skipped, len(one.unlisted))


class _Erasing:
    """One transaction: the events, the rows that go, and the entries of the suppression list."""

    def __init__(
        self,
        ledger: Ledger,
        lookup: Lookups,
        secret: bytes,
        addresses: Collection[str],
        reason: str,
        actor: str,
        now: Callable[[], datetime],
    ) -> None:
        self.reference = f"er-{secrets.token_hex(REFERENCE_BYTES)}"
        self.unlisted: list[str] = []
        self._ledger = ledger
        self._lookup = lookup
        self._keys = _keys(addresses)
        self._hmacs = {suppression_key(secret, key) for key in self._keys}
        self._reason = reason
        self._actor = actor
        self._now = now

    def append(self) -> list[Event]:
        """All of it."""
        return append_everywhere(self._ledger, self._lookup, self._keys, self._decide, self._keep)

    def _decide(self, campaigns: Sequence[Campaign], places: Places) -> list[Event]:
        self.unlisted = sorted(self._hmacs - self._lookup.suppressed(self._hmacs))
        events: list[Event] = []
        for campaign in campaigns:
            positions = [row["position"] for row in places.get(campaign_number(campaign.stream), ())]
            said = {"reference": self.reference, "reason": self._reason, "actor": self._actor}
            events += erase(campaign, positions, **said, now=self._now())
        return events

    def _keep(self, events: Sequence[Event]) -> list[Kept]:
        gone = [
            {"b_campaign_id": campaign_number(event.originator_id), "b_lead_id": event.lead_id}
            for event in events
            if isinstance(event, PersonErased)
        ]
        entry = {"reason": LISTED_AS, "actor": self._actor, "added_at": time_text(self._now())}
        entries: list[dict[str, Any]] = [{"address_hmac": hmac, **entry} for hmac in self.unlisted]
        return [(ERASE_REPLIES, gone), (ERASE_MAILS, gone), (ERASE_CONTACT, gone), (SUPPRESS, entries)]


def scrub(ledger: Ledger) -> bool:
    """Remove what removed rows may have left in the file and its journal: on SQLite, rewrite the one and cut the other.

    False where others read or write too long to let it: then it is to be done again. On PostgreSQL nothing is done
    here: that is its owner's (docs/erasure.md).
    """
    if not is_sqlite(ledger.url):
        return True
    engine = engine_for(ledger.url)
    try:
        return _cut_journal(engine) and _rewritten(engine) and _cut_journal(engine)
    finally:
        engine.dispose()


def _cut_journal(engine: Engine) -> bool:
    """SQLite waits for readers as long as for writers, and then says that it was busy."""
    [busy, *_] = _pragma(engine, "PRAGMA wal_checkpoint(TRUNCATE)")
    return not busy


def _rewritten(engine: Engine) -> bool:
    """Positions are rowids, which a rewrite may number anew: but they follow each other without a gap from 1, so they
    come out as they were."""
    try:
        _pragma(engine, "VACUUM")
    except sqlite3.OperationalError:  # another wrote all the while, or there is no room for a second copy
        return False
    return True


def _pragma(engine: Engine, statement: str) -> Sequence[Any]:
    """Outside any transaction."""
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute(statement)
        return cursor.fetchone() or ()
    finally:
        connection.close()


def _keys(addresses: Iterable[str]) -> set[str]:
    return {address_key(canonical(given(address))) for address in addresses}


def _count(ledger: Ledger, table: Any, leads: Sequence[tuple[int, int]]) -> int:
    engine = engine_for(ledger.url)
    query = select(func.count()).select_from(table)
    try:
        with reading(engine) as connection:
            return sum(
                connection.execute(query.where(table.c.campaign_id == campaign, table.c.lead_id == lead)).scalar_one()
                for campaign, lead in leads
            )
    finally:
        engine.dispose()
