"""The locked mode: at each tick, and again after each outcome inside it, both sides are asked on the state that really
was. Differences do not cascade: each stands alone, for a side that would not send is followed on that lead alone.

A side is asked anew only when the campaign changed, when what it said is over, or when its mailbox's rules changed:
so a tick at which nothing can be due costs nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from itertools import count

from domain import events as e
from domain.campaign import Campaign
from domain.mailbox import Mailbox
from domain.replay.findings import Findings
from domain.replay.imported import TicksAssumed
from domain.replay.locked_case import LockedCase
from domain.replay.past import MAILBOX, Past, Setup, Witness, decision
from domain.replay.replies import Replies
from domain.replay.ticks import Step, Tick, happened


class Locked:
    """A pass over the history of some campaigns, which may share mailboxes."""

    def __init__(
        self,
        replies: Mapping[str, Replies],
        setup: Setup,
        witness: Witness | None = None,
        given: tuple[Collection[Campaign], Collection[Mailbox]] = ((), ()),
    ) -> None:
        """`replies`: by campaign. Of those that failed before their lock it is known beforehand that they are no mails;
        nothing else is made of them."""
        self.past = Past()
        self._setup = setup
        campaigns = {campaign.stream: campaign for campaign in given[0]}
        self.cases = {
            stream: LockedCase(stream, setup, self.past, known, campaigns.get(stream), witness)
            for stream, known in replies.items()
        }
        self.past.know(given[1])
        self._changed: dict[str, None] = dict.fromkeys(campaigns)
        self._due: dict[e.Sender, list[tuple[datetime, int, str]]] = {"v1": [], "v2": []}
        self._numbers = count()

    def run(self, steps: Iterable[Step]) -> dict[str, Findings]:
        """All of it."""
        for step in steps:
            if not self.take(step):
                break
        return self.finish()

    def take(self, step: Step) -> bool:
        """One step; False when the part that is compared is over."""
        if isinstance(step, Tick):
            if self._setup.is_over(step.at):
                return False
            self._tick(step)
            return True
        position, event = step
        at, case = happened(event), self.cases.get(event.originator_id)
        if self._setup.is_over(at):
            if case is not None and case.leaves_out(position, event):
                return True
            if isinstance(event, e.EmailLocked | e.EmailSent | e.TickFinished):
                return False
        self.past.place = position
        if case is not None:
            self._of_campaign(case, position, event)
        elif event.originator_id.startswith(MAILBOX):
            self.past.take(event)
            if not isinstance(event, e.MailboxSlotTaken):
                self._of_mailbox(event.originator_id, position, event)
            elif (case := self.cases.get(event.campaign)) is not None:
                case.slot_taken(at)
        elif isinstance(event, e.TickFinished):
            for case in self.cases.values() if event.deferred else ():
                case.tick_ends(position, event)
            self.past.finished(event)
        return True

    def finish(self) -> dict[str, Findings]:
        """The history ends: what is open is closed."""
        for case in self.cases.values():
            case.finish()
        return {stream: case.findings for stream, case in self.cases.items()}

    def _is_judged(self, at: datetime) -> bool:
        return self._setup.start is None or at >= self._setup.start

    def _of_mailbox(self, stream: str, position: int, event: e.Event) -> None:
        name = stream.removeprefix(MAILBOX)
        for case in self.cases.values():
            if case.campaign.exists and case.campaign.mailbox == name:
                case.happens(position, event)
                self._changed[case.stream] = None

    def _of_campaign(self, case: LockedCase, position: int, event: e.Event) -> None:
        sender = decision(case.campaign, event)
        at = happened(event)
        if isinstance(event, TicksAssumed):
            case.tick_assumed(event)
            return
        if not case.is_old:
            of = sender or (case.campaign.owner if case.campaign.exists else "v1")
            for tick in case.ticks_to_assume(of, at, is_mail=sender is not None):
                self._tick_of(case, tick)
        case.take(position, event, sender)
        self.past.changed_at[case.stream] = at
        self._changed[case.stream] = None

    def _tick(self, tick: Tick) -> None:
        self.past.tick(tick)
        if not self._is_judged(tick.at):
            return
        due = self._due[tick.sender]
        streams = self._changed
        while due and due[0][0] <= tick.at:
            streams[heapq.heappop(due)[2]] = None
        if not streams:
            return
        self._changed = {}
        for stream in streams:
            case = self.cases[stream]
            campaign = case.campaign
            is_its_turn = campaign.exists and not campaign.observed and campaign.owner == tick.sender
            if is_its_turn and not case.is_late(tick):
                self._ask(case, tick)
            else:
                self._changed[stream] = None

    def _tick_of(self, case: LockedCase, tick: Tick) -> None:
        """One that is assumed of this campaign."""
        case.our_ticks.take(tick)
        again = case.again_at
        is_due = case.stream in self._changed or (again is not None and again <= tick.at)
        if is_due and case.campaign.exists and self._is_judged(tick.at) and not case.is_late(tick):
            self._changed.pop(case.stream, None)
            self._ask(case, tick)

    def _ask(self, case: LockedCase, tick: Tick) -> None:
        case.tick(tick)
        if (again := case.again_at) is not None:
            heapq.heappush(self._due[case.campaign.owner], (again, next(self._numbers), case.stream))
