"""One lead under the record and both sides, tick by tick: what each side saw and said."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime

from domain import events as e
from domain.campaign import Campaign
from domain.errors import InvalidInput
from domain.policies import Send, next_in_line, pace
from domain.replay.classes import Column
from domain.replay.findings import COLUMNS
from domain.replay.past import Setup
from domain.replay.sides import Answer, Side
from domain.replay.ticks import Step, Tick, happened, in_order
from runner.replaying.comparing import engine_of
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
    """What a column said at an instant, and what it saw: in the free mode each side its own world. Of the record it is
    the event. `in_line`: the lead whose turn it was by its own order; `gap_s`: V2's pace before that lead."""

    at: datetime
    column: str
    says: Answer | e.Event
    lead_is: str
    mails_today: int
    last_mail_at: datetime | None
    in_line: int | None = None
    gap_s: float | None = None


def explain(ledger: Ledger, number: int, lead_id: int, setup: Setup) -> tuple[list[Seen], str]:
    """Everything that was said about this lead, and the campaign's zone."""
    with ledger.campaign(number) as campaign:
        position = campaign.numbers.position(lead_id)
        zone = campaign.schedule.zone
    if position is None:
        raise InvalidInput(f"campaign {number} has no lead {lead_id}.", mend="Name one that it has.", field="--lead")
    history, watch = History(ledger.histories, [number]), _Watch(position, setup)
    with replaying():
        engine = engine_of(history, setup, watch.answers)
        real = engine.cases[campaign_stream(number)].campaign
        engine.run(watch.steps(in_order(history.rows(), history.ticks), real))
    return watch.found, zone


class _Watch:
    """Looks over the shoulder of a comparison."""

    def __init__(self, position: int, setup: Setup) -> None:
        self.found: list[Seen] = []
        self._position = position
        self._setup = setup
        self._passing: deque[Seen] = deque(maxlen=BEFORE)
        self._sent: set[tuple[int, int]] = set()

    def answers(self, campaign: Campaign, at: datetime, column: int, answer: Answer, attempt: int) -> None:
        side = self._setup.sides[column - 1]
        first = next_in_line(campaign, side.sender, at)
        seen = replace(
            self._seen(campaign, at, COLUMNS[column], answer),
            in_line=campaign.numbers.lead_id(first) if first is not None else None,
            gap_s=_gap_s(campaign, side, first) if side.sender == "v2" and first is not None else None,
        )
        sends = isinstance(answer, Send) and answer.position == self._position
        if sends:
            self._sent.add((column, attempt))
        is_next = first == self._position and (column, campaign.next_attempt(first)) not in self._sent
        if sends or is_next:
            self._add(seen)
        else:
            self._passing.append(seen)

    def steps(self, steps: Iterable[Step], real: Campaign) -> Iterator[Step]:
        """All of them. `real`: the campaign, which is as before an event when that is passed on."""
        for step in steps:
            if not isinstance(step, Tick):
                self._recorded(step[1], real)
            yield step

    def _recorded(self, event: e.Event, real: Campaign) -> None:
        if isinstance(event, OF_LEAD) and event.position == self._position and self._is_in_range(happened(event)):
            self._add(self._seen(real, happened(event), Column.R, event))

    def _is_in_range(self, at: datetime) -> bool:
        start = self._setup.start
        return (start is None or at >= start) and not self._setup.is_over(at)

    def _seen(self, campaign: Campaign, at: datetime, column: Column, says: Answer | e.Event) -> Seen:
        return Seen(
            at,
            column.value,
            says,
            campaign.roll.state(self._position).label if self._position < len(campaign.roll) else "unknown",
            campaign.mails.on_date_of(at, campaign.schedule.zone),
            campaign.last_mail_at,
        )

    def _add(self, seen: Seen) -> None:
        self.found += self._passing
        self._passing.clear()
        self.found.append(seen)


def _gap_s(campaign: Campaign, side: Side, first: int) -> float:
    """V2's pace under the settings of this side."""
    under_its_own = copy(campaign)
    under_its_own.limits = side.what_if.limits(campaign.limits)
    return pace(under_its_own, first).total_seconds()
