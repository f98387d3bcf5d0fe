"""Long histories, written straight into the log: campaigns that were queued, started, and mailed from in turn.
The events are those that real sending leaves behind: imports of a thousand leads, then a mail a second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy.engine import URL

from domain import events as e
from domain.calendar import Schedule
from domain.rules import MAX_DAILY_LIMIT, Limits
from runner.store.ledger import Ledger, campaign_stream, mailbox_stream
from tests.benchmarks.given import ACTOR, ALWAYS, MAILBOX, NO_DELAY, ZONE

E = TypeVar("E", bound=e.Event)

START = datetime(2026, 10, 5, 6, 0, 0, 271_828, tzinfo=UTC)
MAIL_EVERY = timedelta(seconds=1.000_007)
ANSWERED_AFTER = timedelta(milliseconds=20)
LEADS_AN_APPEND = 1_000
EVENTS_AN_APPEND = 3_000
DIGEST = "0" * 64


@dataclass
class History:
    """Campaigns of so many leads each, of which the first `mailed` were mailed; priorities take turns."""

    campaigns: int
    leads: int
    mailed: int = 0
    priorities: tuple[int, ...] = (999,)
    schedule: Schedule = ALWAYS
    limits: Limits = NO_DELAY
    _versions: Counter[str] = field(default_factory=Counter)
    _last_mail: dict[str, datetime] = field(default_factory=dict)
    _now: datetime = START

    def write(self, url: URL) -> int:
        """Append all of it to an empty ledger; how many events that were."""
        events = self.events()
        with closing(Ledger(url)) as ledger:
            while some := list(islice(events, EVENTS_AN_APPEND)):
                ledger.append(some)
        return self._versions.total()

    def events(self) -> Iterator[e.Event]:
        """The mailbox, every campaign's beginning, and then a mail of each campaign in turn."""
        said = {"daily_limit": MAX_DAILY_LIMIT, "zone": ZONE, "identity_digest": DIGEST, "actor": ACTOR}
        yield self._event(e.MailboxAdded, mailbox_stream(MAILBOX), **said)
        streams = [campaign_stream(number) for number in range(1, self.campaigns + 1)]
        for stream in streams:
            yield from self._beginning(stream)
        for position in range(self.mailed):
            for stream in streams:
                yield from self._mail(stream, position)

    def _beginning(self, stream: str) -> Iterator[e.Event]:
        yield self._event(
            e.CampaignCreated,
            stream,
            name="Jesień",
            owner="v2",
            mailbox=MAILBOX,
            content_digest=DIGEST,
            schedule=self.schedule,
            limits=self.limits,
            message_id_domain="nadawca.example",
            actor=ACTOR,
        )
        for position in range(self.leads):
            if position % LEADS_AN_APPEND == 0:
                self._now += ANSWERED_AFTER
            priority = self.priorities[position % len(self.priorities)]
            said = {"position": position, "lead_id": position + 1, "priority": priority}
            yield self._event(e.EmailQueued, stream, **said, commitment=_hex(position))
        yield self._event(e.CampaignStarted, stream, actor=ACTOR)

    def _mail(self, stream: str, position: int) -> Iterator[e.Event]:
        self._now += MAIL_EVERY
        due_at = self._last_mail.get(stream, START)
        self._last_mail[stream] = self._now
        token = f"{position:024}"
        lead = {"position": position, "lead_id": position + 1, "attempt": 1, "token": token}
        yield self._event(
            e.EmailLocked,
            stream,
            **lead,
            sender="v2",
            epoch=1,
            runner="0123456789ab",
            due_at=due_at,
            mailbox=MAILBOX,
            message_id=f"<{_hex(position)[:32]}@nadawca.example>",
            date=self._now.replace(microsecond=0),
            content_version=1,
            revision=0,
            commitment=_hex(position),
            digest=_hex(position),
        )
        said = {"campaign": stream, "position": position, "token": token}
        yield self._event(e.MailboxSlotTaken, mailbox_stream(MAILBOX), **said)
        self._now += ANSWERED_AFTER
        yield self._event(e.EmailSent, stream, **lead, code=250, enhanced="2.0.0", queue_id=f"4F{position:08X}")

    def _event(self, kind: type[E], stream: str, **said: Any) -> E:
        self._versions[stream] += 1
        return kind(originator_id=stream, originator_version=self._versions[stream], recorded_at=self._now, **said)


def _hex(number: int) -> str:
    """Some 64 hex digits, such as a commitment has."""
    return f"{number:064x}"
