"""One lead under the record and both sides, tick by tick: what each side saw and said."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from domain import events as e
from domain.campaign import Campaign
from domain.errors import InvalidInput
from domain.policies import Send, next_in_line, pace
from domain.replay.findings import COLUMNS
from domain.replay.locked import Locked
from domain.replay.past import Setup
from domain.replay.sides import Answer
from domain.replay.ticks import Row, happened, in_order
from runner.replaying.history import History
from runner.replaying.isolation import replaying
from runner.store.ledger import Ledger, campaign_stream

BEFORE = 4
"""Answers shown before the lead is first in line or mailed."""

OF_LEAD = (
    e.EmailQueued,
    e.ContactChanged,
    e.EmailSkipped,
    e.EmailRequeued,
    e.EmailLocked,
    e.EmailSent,
    e.EmailFailed,
    e.EmailInDoubt,
    e.InDoubtResolved,
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a column said at an instant, and what it saw. `in_line`: the lead whose turn it was by its own order;
    `gap_s`: V2's pace before this lead. Of the record it is the event."""

    at: datetime
    column: str
    says: Answer | e.Event
    lead_is: str
    in_line: int | None
    mails_today: int
    last_mail_at: datetime | None
    gap_s: float | None


def explain(ledger: Ledger, number: int, lead_id: int, setup: Setup) -> tuple[list[Seen], str]:
    """Everything that was said about this lead, and the campaign's zone."""
    with ledger.campaign(number) as campaign:
        position = campaign.numbers.position(lead_id)
        zone = campaign.schedule.zone
    if position is None:
        raise InvalidInput(f"campaign {number} has no lead {lead_id}.", mend="Name one that it has.", field="--lead")
    watch = _Watch(position, setup)
    history = History(ledger.histories, [number])
    with replaying():
        engine = Locked([campaign_stream(number)], setup, watch.answers)
        engine.run(in_order(watch.events(history.rows()), history.ticks))
    return watch.found, zone


class _Watch:
    """Looks over the shoulder of a comparison."""

    def __init__(self, position: int, setup: Setup) -> None:
        self.found: list[Seen] = []
        self._position = position
        self._senders = {1: setup.a.sender, 2: setup.b.sender}
        self._start, self._end = setup.start, setup.end
        self._passing: deque[Seen] = deque(maxlen=BEFORE)
        self._campaign: Campaign | None = None
        self._has_sent: set[int] = set()

    def answers(self, campaign: Campaign, at: datetime, column: int, answer: Answer, _attempt: int) -> None:
        self._campaign = campaign
        sender = self._senders[column]
        first = next_in_line(campaign, sender, at)
        seen = Seen(
            at,
            COLUMNS[column].value,
            answer,
            campaign.roll.state(self._position).label if self._position < len(campaign.roll) else "unknown",
            campaign.numbers.lead_id(first) if first is not None else None,
            campaign.mails.on_date_of(at, campaign.schedule.zone),
            campaign.last_mail_at,
            pace(campaign, first).total_seconds() if sender == "v2" and first is not None else None,
        )
        sends = isinstance(answer, Send) and answer.position == self._position
        if sends or (first == self._position and column not in self._has_sent):
            self._add(seen)
        else:
            self._passing.append(seen)
        if sends:
            self._has_sent.add(column)

    def events(self, rows: Iterator[Row]) -> Iterator[Row]:
        for position, event in rows:
            if isinstance(event, OF_LEAD) and event.position == self._position and self._is_in_range(happened(event)):
                self._recorded(event)
            yield position, event

    def _is_in_range(self, at: datetime) -> bool:
        return (self._start is None or at >= self._start) and (self._end is None or at < self._end)

    def _recorded(self, event: e.Event) -> None:
        campaign, at = self._campaign, happened(event)
        today = campaign.mails.on_date_of(at, campaign.schedule.zone) if campaign is not None else 0
        last = campaign.last_mail_at if campaign is not None else None
        state = "" if campaign is None else campaign.roll.state(self._position).label
        self._add(Seen(at, "R", event, state, None, today, last, None))
        if isinstance(event, e.EmailFailed):
            self._has_sent.clear()  # its next attempt is another mail

    def _add(self, seen: Seen) -> None:
        self.found += self._passing
        self._passing.clear()
        self.found.append(seen)
