"""The free mode: both sides start from the same state and live with their own decisions, each in a world of its own.

What came from outside happens in both worlds when it happened: leads, settings, pauses, trouble of mailboxes, and what
other campaigns sent through the mailbox. Servers answer as they did, attempt by attempt; where nothing is recorded,
they accept. A mail takes no time.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import count

from domain import events as e
from domain.campaign import Campaign
from domain.counting import EPOCH
from domain.mailbox import Mailbox
from domain.policies import Send
from domain.replay.classes import Mail
from domain.replay.findings import A, B, Findings
from domain.replay.imported import EVERY, AsRecorded, TicksAssumed
from domain.replay.past import MAILBOX, Case, Past, Setup, Witness, decision
from domain.replay.replies import Key, Replies
from domain.replay.sides import CADENCE, Answer
from domain.replay.situations import Situation
from domain.replay.ticks import Step, Tick, TickKind, happened
from domain.replay.worlds import World

SET_BACK = timedelta(minutes=1)
"""A tick so much earlier than one before it comes by a clock that was set back, not by another runner's."""


class Free:
    """A pass over the history of some campaigns, which may share mailboxes."""

    def __init__(
        self,
        replies: Mapping[str, Replies],
        setup: Setup,
        given: tuple[Collection[Campaign], Collection[Mailbox]] = ((), ()),
        witness: Witness | None = None,
    ) -> None:
        self.past = Past()
        self._setup = setup
        self.past.know(given[1])
        campaigns = {campaign.stream: campaign for campaign in given[0]}
        self.cases = {
            stream: FreeCase(stream, setup, self.past, known, campaigns.get(stream), witness)
            for stream, known in replies.items()
        }
        self._agendas = {A: _Agenda(setup.a.what_if.every), B: _Agenda(setup.b.what_if.every)}
        self._given: Collection[str] = campaigns

    def run(self, steps: Iterable[Step]) -> dict[str, Findings]:
        """All of it."""
        for step in steps:
            at = step.at if isinstance(step, Tick) else happened(step[1])
            is_old = not isinstance(step, Tick) and step[0] < 0
            if self._setup.is_over(at):
                if is_old:
                    continue  # behind an imported past comes what others recorded
                break
            for stream in self._given:
                self._changed(self.cases[stream], at - timedelta.resolution)
            self._given = ()
            if isinstance(step, Tick):
                self._tick(step)
            else:
                self._event(*step)
        for case in self.cases.values():
            for tick in case.ticks_at_the_end():
                self._tick_of(case, tick)
            case.finish()
        return {stream: case.findings for stream, case in self.cases.items()}

    def _event(self, position: int, event: e.Event) -> None:
        stream, at = event.originator_id, happened(event)
        case = self.cases.get(stream)
        self.past.place = position
        if stream.startswith(MAILBOX):
            self._own_ticks(at, stream.removeprefix(MAILBOX))
            self.past.take(event)
            if not isinstance(event, e.MailboxSlotTaken):
                self._mailbox_changed(stream.removeprefix(MAILBOX), position, event)
        elif isinstance(event, e.TickFinished):
            for each in self.cases.values() if event.deferred else ():
                each.tick_ends(position, event)
            self.past.finished(event)
        elif case is not None:
            if isinstance(event, TicksAssumed):
                case.tick_assumed(event)
                return
            if position >= 0:
                self._own_ticks_of(case, at)
            for tick in case.ticks_before(event):
                self._tick_of(case, tick)
            if case.take(position, event):
                self._changed(case, at)

    def _changed(self, case: FreeCase, at: datetime) -> None:
        for agenda in self._agendas.values():
            agenda.changed(case, at)

    def _mailbox_changed(self, name: str, position: int, event: e.Event) -> None:
        for case in self.cases.values():
            if case.campaign.exists and case.campaign.mailbox == name:
                case.happens(position, event)
                self._changed(case, happened(event))

    def _tick(self, tick: Tick) -> None:
        self._own_ticks(tick.at)
        ticked_at = self.past.ticked_at
        if ticked_at is not None and ticked_at - tick.at > SET_BACK:  # what was to come then is near again
            for case in self.cases.values():
                self._changed(case, tick.at)
        self.past.tick(tick)
        if tick.kind is TickKind.MISSED:
            for agenda in self._agendas.values():
                agenda.absent = tick.between
            for case in self.cases.values():
                if case.is_judged(tick.at):
                    case.situations.seen.add(Situation.OUTAGE)
            return
        for column, agenda in self._at_ticks_of(tick.sender):
            for stream, _ in agenda.due(tick.at):
                case = self.cases[stream]
                self._decide(column, case, tick.at, case.our_ticks.numbers[tick.sender])

    def _tick_of(self, case: FreeCase, tick: Tick) -> None:
        """One that is assumed of this campaign."""
        case.our_ticks.take(tick)
        for column, agenda in self._at_ticks_of(tick.sender):
            if agenda.next_of(case, tick.at) is not None:
                self._decide(column, case, tick.at, case.our_ticks.numbers[tick.sender])

    def _at_ticks_of(self, sender: e.Sender) -> Iterator[tuple[int, _Agenda]]:
        """The columns that are asked when this sender ticks."""
        for column, side in ((A, self._setup.a), (B, self._setup.b)):
            if side.sender == sender and side.what_if.every is None:
                yield column, self._agendas[column]

    def _own_ticks(self, until: datetime, mailbox: str | None = None) -> None:
        """Those of a side whose cadence is not the recorded one, for all campaigns, or those of a mailbox."""
        for column, agenda in self._agendas.items():
            while agenda.every is not None and (due := agenda.due(until, mailbox)):
                for stream, at in due:
                    self._decide(column, self.cases[stream], at, 0)

    def _own_ticks_of(self, case: FreeCase, until: datetime) -> None:
        for column, agenda in self._agendas.items():
            while agenda.every is not None and (at := agenda.next_of(case, until)) is not None:
                self._decide(column, case, at, 0)

    def _decide(self, column: int, case: FreeCase, at: datetime, number: int) -> None:
        again = None if case.campaign.observed else case.decide(column, at, number)
        if again is not None:
            self._agendas[column].again(case, again, at)


class _Agenda:
    """When each campaign is to be asked next in one column. `every`: at a cadence of its own, on round times of UTC;
    None: at the recorded ticks. What is due at a cadence of its own is asked for before something happens to a campaign
    or its mailbox, so it is kept by mailbox."""

    def __init__(self, every: timedelta | None) -> None:
        self.every = every
        self.absent: tuple[datetime, datetime] | None = None
        """From when until when nobody ticked, at whatever cadence."""
        self._next: dict[str, datetime] = {}
        self._in_order: dict[str, list[tuple[datetime, int, str]]] = {}
        self._numbers = count()

    def changed(self, case: FreeCase, at: datetime) -> None:
        """Something happened to it: at the next tick."""
        self._put_case(case, self._round(at + timedelta.resolution) if self.every else EPOCH)

    def again(self, case: FreeCase, at: datetime, asked_at: datetime) -> None:
        """It was asked, and is to be asked again at this instant, if nothing happens until then."""
        self._put_case(case, self._round(max(at, asked_at + self.every)) if self.every else at)

    def due(self, until: datetime, mailbox: str | None = None) -> list[tuple[str, datetime]]:
        """Whom to ask, and when; they are struck off."""
        found = []
        for name in self._in_order if mailbox is None else (mailbox,):
            line = self._in_order.get(name, [])
            while line and line[0][0] <= until:
                at, _, stream = heapq.heappop(line)
                if self._next.get(stream) != at:
                    continue
                if (later := self._postponed(at)) is not None:
                    self._put(stream, name, later)
                else:
                    del self._next[stream]
                    found.append((stream, at))
        return found

    def next_of(self, case: FreeCase, until: datetime) -> datetime | None:
        """When to ask this one, if it is due; it is struck off."""
        at = self._next.get(case.stream)
        if at is not None and (later := self._postponed(at)) is not None:
            self._put_case(case, later)
            at = later
        return self._next.pop(case.stream) if at is not None and at <= until else None

    def _postponed(self, at: datetime) -> datetime | None:
        """The first tick of one's own after nobody was there, where that was so then."""
        if self.every is None or self.absent is None or not self.absent[0] < at < self.absent[1]:
            return None
        return self._round(self.absent[1])

    def _put_case(self, case: FreeCase, at: datetime) -> None:
        self._put(case.stream, case.campaign.mailbox if case.campaign.exists else "", at)

    def _put(self, stream: str, mailbox: str, at: datetime) -> None:
        if self._next.get(stream) != at:
            self._next[stream] = at
            heapq.heappush(self._in_order.setdefault(mailbox, []), (at, next(self._numbers), stream))

    def _round(self, at: datetime) -> datetime:
        """The first tick from here on."""
        assert self.every is not None  # noqa: S101 - for the type checker
        return EPOCH + self.every * -((EPOCH - at) // self.every)


class FreeCase(Case):
    """One campaign in two worlds."""

    def __init__(
        self,
        stream: str,
        setup: Setup,
        past: Past,
        replies: Replies,
        given: Campaign | None,
        witness: Witness | None,
    ) -> None:
        super().__init__(stream, setup, past, replies, given)
        self._witness = witness
        self._has_begun = setup.start is None
        self._old_due: dict[int, datetime | None] = {A: EPOCH, B: EPOCH}
        self._worlds = {A: World(self, A, setup.a, replies), B: World(self, B, setup.b, replies)}

    def ticks_before(self, event: e.Event) -> Iterable[Tick]:
        """Those to assume where none are recorded."""
        if self.is_old:
            return
        at, is_mail = happened(event), isinstance(event, e.EmailLocked | e.EmailSent)
        for sender in dict.fromkeys(side.sender for side in self.setup.sides):
            yield from self.ticks_to_assume(sender, at, is_mail=is_mail and not self.past.has_just_begun(at))

    def take(self, position: int, event: e.Event) -> bool:
        """An event of this campaign; did it change a world?"""
        self._begin(happened(event))
        self.record(position, event, decision(self.campaign, event))
        self.fold(event)
        if not self._has_begun:
            return True
        if isinstance(event, e.EmailLocked):
            for world in self._worlds.values():
                world.leaves_out(event)
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

    def tell(self, world: Campaign, now: datetime, column: int, answer: Answer) -> None:
        """What a side says in its world, which is as it was when it was asked."""
        if self._witness is not None:
            attempt = world.next_attempt(answer.position) if isinstance(answer, Send) else 0
            self._witness(world, now, column, answer, attempt)

    def mailed(self, column: int, key: Key, lead_id: int, mail: Mail) -> None:
        """A world sends this mail; the other says why it does not."""
        own = self.setup.column(self.campaign.owner)
        entry, other = self.findings.mailed(column, key, lead_id, mail, own, self.is_mail(key)), A + B - column
        if entry is not None:
            entry.why[other] = entry.why[other] or self._worlds[other].reason(key[0])

    def decide(self, column: int, now: datetime, number: int) -> datetime | None:
        """A tick in one world; when to look again."""
        self._begin(now)
        if not self.campaign.exists:
            return None
        if not self._has_begun:
            return self.setup.start
        self.situations.tick(self.campaign.schedule, now)
        return self._worlds[column].tick_at(now, number)

    def _begin(self, at: datetime) -> None:
        """Where the part that is compared begins, both worlds are what really is."""
        if not self._has_begun and self.is_judged(at):
            self._has_begun = True
            for world in self._worlds.values():
                world.begin_again()

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

    def ticks_at_the_end(self) -> Iterator[Tick]:
        """Those that are assumed of a side after the last event, up to the last tick that is recorded of the other."""
        if (end := self.ends_at) is not None and not self.is_old:
            for sender in dict.fromkeys(side.sender for side in self.setup.sides):
                yield from self.ticks_to_assume(sender, end, is_mail=False)

    def finish(self) -> None:
        """The history ends."""
        if (end := self.ends_at) is None:
            return
        self.close_what_is_open(end)
        for column, world in self._worlds.items():
            self.findings.tallies[column].ends_at = world.ends_at(end)
