"""The free mode: both sides start from the same state and live with their own decisions, each in a world of its own.

What came from outside happens in both worlds when it happened: leads, settings, pauses, trouble of mailboxes, and what
other campaigns sent through the mailbox. Servers answer as they did, attempt by attempt; where nothing is recorded,
they accept. A mail takes no time.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from itertools import count

from domain import events as e
from domain.campaign import Campaign
from domain.counting import EPOCH
from domain.mailbox import Mailbox
from domain.replay.classes import Mail
from domain.replay.findings import A, B, Findings, Key
from domain.replay.imported import EVERY, AsRecorded, TicksAssumed
from domain.replay.past import MAILBOX, Case, Past, Setup, decision
from domain.replay.sides import CADENCE
from domain.replay.situations import Situation
from domain.replay.ticks import Grid, Step, Tick, TickKind, happened
from domain.replay.worlds import Replies, World


class Free:
    """A pass over the history of some campaigns, which may share mailboxes."""

    def __init__(
        self,
        replies: Mapping[str, Replies],
        setup: Setup,
        given: tuple[Collection[Campaign], Collection[Mailbox]] = ((), ()),
    ) -> None:
        self.past = Past()
        self._setup = setup
        self.past.know(given[1])
        campaigns = {campaign.stream: campaign for campaign in given[0]}
        self.cases = {
            stream: FreeCase(stream, setup, self.past, known, campaigns.get(stream))
            for stream, known in replies.items()
        }
        self._grids = {
            column: Grid(side.sender, side.what_if.every)
            for column, side in ((A, setup.a), (B, setup.b))
            if side.what_if.every is not None
        }
        self._agendas = {A: _Agenda(campaigns), B: _Agenda(campaigns)}

    def run(self, steps: Iterable[Step]) -> dict[str, Findings]:
        """All of it."""
        for step in steps:
            at = step.at if isinstance(step, Tick) else happened(step[1])
            is_old = not isinstance(step, Tick) and step[0] < 0
            if self._setup.is_over(at):
                if is_old:
                    continue  # behind an imported past comes what others recorded
                break
            if isinstance(step, Tick):
                self._tick(step)
            else:
                self._event(*step)
        for case in self.cases.values():
            case.finish()
        return {stream: case.findings for stream, case in self.cases.items()}

    def _event(self, position: int, event: e.Event) -> None:
        if position >= 0:
            self._other_ticks(happened(event))
        self.past.place = position
        stream = event.originator_id
        case = self.cases.get(stream)
        if stream.startswith(MAILBOX):
            self.past.take(event)
            if not isinstance(event, e.MailboxSlotTaken):
                self._mailbox_changed(stream.removeprefix(MAILBOX), position, event)
        elif isinstance(event, e.TickFinished):
            self.past.ticks.finished(event)
        elif case is not None:
            if isinstance(event, TicksAssumed):
                case.tick_assumed(event)
                return
            for tick in case.ticks_before(event):
                self._tick(tick)
            if case.take(position, event):
                for agenda in self._agendas.values():
                    agenda.changed(stream)

    def _mailbox_changed(self, name: str, position: int, event: e.Event) -> None:
        for case in self.cases.values():
            if case.campaign.exists and case.campaign.mailbox == name:
                case.findings.noise.take(position, event)
                case.situations.event(event)
                for agenda in self._agendas.values():
                    agenda.changed(case.stream)

    def _other_ticks(self, at: datetime) -> None:
        """Those of a side whose cadence is not the recorded one."""
        for column, grid in self._grids.items():
            for tick in grid.up_to(at):
                self._decide(column, tick.at, 0)

    def _tick(self, tick: Tick) -> None:
        self._other_ticks(tick.at)
        self.past.tick(tick)
        if tick.kind is TickKind.MISSED:
            for case in self.cases.values():
                case.situations.seen.add(Situation.OUTAGE)
            return
        for column, side in ((A, self._setup.a), (B, self._setup.b)):
            if side.sender == tick.sender and column not in self._grids:
                self._decide(column, tick.at, self.past.ticks.numbers[tick.sender])

    def _decide(self, column: int, at: datetime, number: int) -> None:
        agenda = self._agendas[column]
        for stream in agenda.due(at):
            if self.cases[stream].campaign.observed:
                continue
            again = self.cases[stream].decide(column, at, number)
            if again is not None:
                agenda.at(again, stream)


class _Agenda:
    """Whom to ask at a tick: what changed, and what was to be looked at again by then."""

    def __init__(self, streams: Iterable[str]) -> None:
        self._changed = dict.fromkeys(streams)
        self._later: list[tuple[datetime, int, str]] = []
        self._numbers = count()

    def changed(self, stream: str) -> None:
        self._changed[stream] = None

    def at(self, again: datetime, stream: str) -> None:
        heapq.heappush(self._later, (again, next(self._numbers), stream))

    def due(self, at: datetime) -> list[str]:
        while self._later and self._later[0][0] <= at:
            self.changed(heapq.heappop(self._later)[2])
        found = list(self._changed)
        self._changed.clear()
        return found


class FreeCase(Case):
    """One campaign in two worlds."""

    def __init__(self, stream: str, setup: Setup, past: Past, replies: Replies, given: Campaign | None) -> None:
        super().__init__(stream, setup, past, given)
        self._old_due: dict[int, datetime | None] = {A: EPOCH, B: EPOCH}
        self._worlds = {A: World(self, A, setup.a, replies), B: World(self, B, setup.b, replies)}

    def ticks_before(self, event: e.Event) -> Iterable[Tick]:
        """Those to assume where none are recorded."""
        if self.is_old:
            return
        ticks, at = self.past.ticks, happened(event)
        is_mail = isinstance(event, e.EmailLocked | e.EmailSent)
        for sender in dict.fromkeys(side.sender for side in self.setup.sides):
            yield from ticks.missing(sender, at) if is_mail else ticks.assumed_until(sender, at)

    def take(self, position: int, event: e.Event) -> bool:
        """An event of this campaign; did it change a world?"""
        self.record(position, event, decision(self.campaign, event))
        self.fold(event)
        if isinstance(event, e.EmailLocked):
            for world in self._worlds.values():
                world.recorded.add(event.recorded_at)
        changed = [world.take(event) for world in self._worlds.values()]
        if any(changed):
            self._old_due = dict.fromkeys(self._worlds, EPOCH)
        return any(changed)

    def tick_assumed(self, event: TicksAssumed) -> None:
        """Those of the old system's time, each side's at its own cadence."""
        cadences = {
            column: (side.sender, side.what_if.every or CADENCE[side.sender])
            for column, side in ((A, self.setup.a), (B, self.setup.b))
        }
        for sender, every in dict.fromkeys([("v1", EVERY), *cadences.values()]):
            for tick in event.ticks(sender, every):
                if self.setup.is_over(tick.at):
                    break
                if every == CADENCE[sender]:
                    self.assume(tick)
                for column in (column for column, cadence in cadences.items() if cadence == (sender, every)):
                    self._decide_then(column, tick)

    def _decide_then(self, column: int, tick: Tick) -> None:
        due = self._old_due[column]
        if due is not None and due <= tick.at:
            self._old_due[column] = self.decide(column, tick.at, self.ticks.numbers[tick.sender])

    def mailed(self, column: int, key: Key, lead_id: int, mail: Mail) -> None:
        """A world sends this mail; the other says why it does not."""
        own = self.setup.column(self.campaign.owner)
        entry, other = self.findings.mailed(column, key, lead_id, mail, own), A + B - column
        if entry is not None:
            entry.why[other] = entry.why[other] or self._worlds[other].reason(key[0])

    def decide(self, column: int, now: datetime, number: int) -> datetime | None:
        """A tick in one world; when to look again."""
        if not self.campaign.exists:
            return None
        self.situations.tick(self.campaign.schedule, now)
        return self._worlds[column].tick_at(now, number)

    def begin_again(self, column: int, now: datetime) -> None:  # noqa: ARG002 - a world looks at each of its ticks
        """Its world is what really was."""
        self.findings.begins_again(column)
        self._worlds[column].begin_again()

    def own_time_begins(self, event: AsRecorded) -> None:
        """Both worlds begin on what really is."""
        super().own_time_begins(event)
        for world in self._worlds.values():
            world.begin_again()

    def close_what_is_open(self, end: datetime) -> None:
        """Each with the reason of the world that has not sent it."""
        self.findings.finish(end, lambda column, position: self._worlds[column].reason(position))

    def finish(self) -> None:
        """The history ends."""
        if (end := self.ends_at) is None:
            return
        self.close_what_is_open(end)
        for column, world in self._worlds.items():
            self.findings.tallies[column].ends_at = world.ends_at(end)
