"""The free mode: both sides start from the same state and live with their own decisions, each in a world of its own.

What came from outside happens in both worlds when it happened: leads, settings, pauses, trouble of mailboxes, and what
other campaigns sent through the mailbox. Servers answer as they did, attempt by attempt; where nothing is recorded,
they accept. A mail takes no time.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping
from copy import copy
from datetime import datetime
from itertools import count

from domain import commands
from domain import events as e
from domain.attempts import AttemptState
from domain.campaign import Campaign, evolve
from domain.checks import Standing
from domain.commands import Failure
from domain.counting import EPOCH, MailCount, Tally
from domain.errors import CommandRefused
from domain.leads import LeadState
from domain.mailbox import Mailbox
from domain.planning import make_plan
from domain.policies import Send
from domain.rehearsal import REHEARSED, Rehearsal, copy_of, fold, queued
from domain.replay.classes import Mail
from domain.replay.findings import A, B, Findings, Key
from domain.replay.past import CHANGES_RULES, MAILBOX, Case, Past, Setup, decision
from domain.replay.sides import CADENCE, Answer, Crash, Side
from domain.replay.situations import Situation
from domain.replay.ticks import Grid, Row, Step, Tick, TickKind, happened
from domain.rules import LockRefused, Wait

PLANNED = 20_000
"""The end of a world is worked out beyond the history for so many waiting leads at most."""

Replies = Mapping[Key, e.EmailFailed | e.EmailInDoubt]


def replies_of(rows: Iterable[Row]) -> Replies:
    """What servers answered other than yes, by lead and attempt."""
    return {
        (event.position, event.attempt): event for _, event in rows if isinstance(event, e.EmailFailed | e.EmailInDoubt)
    }


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
            stream: _FreeCase(stream, setup, self.past, known, campaigns.get(stream))
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
            if self._setup.end is not None and at >= self._setup.end:
                break
            if isinstance(step, Tick):
                self._tick(step)
            else:
                self._event(*step)
        for case in self.cases.values():
            case.finish()
        return {stream: case.findings for stream, case in self.cases.items()}

    def _event(self, position: int, event: e.Event) -> None:
        at = happened(event)
        self._other_ticks(at)
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


class _FreeCase(Case):
    def __init__(self, stream: str, setup: Setup, past: Past, replies: Replies, given: Campaign | None) -> None:
        super().__init__(stream, setup, past, given)
        self._worlds = {A: World(self, A, setup.a, replies), B: World(self, B, setup.b, replies)}

    def ticks_before(self, event: e.Event) -> Iterable[Tick]:
        """Those to assume where none are recorded."""
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
        return any(changed)

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

    def finish(self) -> None:
        """The history ends."""
        if (end := self.ends_at) is None:
            return
        self.findings.finish(end, lambda column, position: self._worlds[column].reason(position))
        for column, world in self._worlds.items():
            self.findings.tallies[column].ends_at = world.ends_at(end)


class World(Rehearsal):
    """One side's world. `recorded`: the mails that really left, which count for nothing here."""

    def __init__(self, case: _FreeCase, column: int, side: Side, replies: Replies) -> None:
        self.campaign = copy_of(case.campaign) if case.campaign.exists else Campaign(case.stream)
        self.campaign.mails = Tally(self.campaign.mails)
        if self.campaign.exists:
            self._take_over(side)
        self.recorded, self._sent = Tally(MailCount()), Tally(MailCount())
        self._case, self._column, self._side, self._replies = case, column, side, replies
        self._standing = Standing.of(self.campaign)
        self._last: Answer | None = None

    def take(self, event: e.Event) -> bool:
        """What came from outside; False for what was decided inside."""
        campaign, kind = self.campaign, type(event)
        if kind in CHANGES_RULES:
            evolve(campaign, event)
            self._standing.take(event)
            self._take_over(self._side)
        elif isinstance(event, e.EmailQueued):
            evolve(campaign, event)
        elif isinstance(event, e.EmailSkipped | e.ContactChanged):
            if campaign.roll.state(event.position) is LeadState.QUEUED:
                evolve(campaign, event)
        elif isinstance(event, e.EmailRequeued):
            if campaign.roll.state(event.position) is LeadState.FAILED:
                evolve(campaign, event)
        elif isinstance(event, e.InDoubtResolved):
            self._resolve(event)
        else:
            return False
        return True

    def _take_over(self, side: Side) -> None:
        """This side owns it, under its settings."""
        campaign = self.campaign
        campaign.owner = side.sender
        campaign.limits = side.what_if.limits(campaign.limits)
        campaign.schedule = side.what_if.schedule(campaign.schedule)

    def tick_at(self, now: datetime, number: int) -> datetime | None:
        """One tick; when to look again, None: when something happens."""
        self.mailbox = self._mailbox_now()
        while True:
            answer = self._last = self._side.decide(self.campaign, self.mailbox, now)
            if isinstance(answer, Crash):
                self._case.findings.crash(self._column, answer.error, now)
                return now
            if isinstance(answer, Wait):
                self._case.situations.waits(answer)
                return answer.until
            if not self._mail(answer, now, number) or self._side.one_a_tick:
                return now

    def reason(self, position: int) -> str:
        """Why this lead is not sent, at the end."""
        state = self.campaign.roll.state(position)
        if state is not LeadState.QUEUED:
            return f"it is {state.label}"
        if isinstance(self._last, Wait):
            return str(self._last.rule)
        return "its turn had not come"

    def ends_at(self, end: datetime) -> datetime | None:
        """When the last mail of this world leaves, beyond the history too; None where that is not known."""
        tally, left = self._case.findings.tallies[self._column], queued(self.campaign)
        if not left:
            return tally.last_at
        if left > PLANNED or not self.campaign.exists:
            return None
        every = self._side.what_if.every or CADENCE[self._side.sender]
        tried, following = copy_of(self.campaign), EPOCH + every * -((EPOCH - end) // every)
        try:
            plan = make_plan(tried, [tried], self._mailbox_now(), {self._side.sender: every}, following)
        except CommandRefused:
            return None
        return None if plan.left else plan.ends_at

    def _mail(self, send: Send, now: datetime, number: int) -> bool:
        """One mail; False when the gate refuses it, which is judged."""
        campaign, case = self.campaign, self._case
        key = (send.position, campaign.next_attempt(send.position))
        if case.is_judged(now):
            self._judge(send, now)
            mail = self._column_mail(send, now, number)
            case.mailed(self._column, key, send.lead_id, mail)
        reply = self._replies.get(key)
        try:
            if isinstance(reply, e.EmailFailed) and reply.token is None:
                self._refuse(send, reply, now)
            else:
                self._answer(self.lock(campaign, send, self._side.sender, now), reply, now)
        except LockRefused:
            return False
        return True

    def _answer(self, token: str, reply: e.EmailFailed | e.EmailInDoubt | None, now: datetime) -> None:
        self._standing.count(now)
        if isinstance(reply, e.EmailFailed):
            fold(self.campaign, commands.record_failed(self.campaign, token, _failure(reply), now=now))
        elif reply is not None:
            fold(self.campaign, commands.record_in_doubt(self.campaign, token, reply.cause, now=now))
        else:
            sent = commands.record_sent(self.campaign, token, code=250, enhanced=None, queue_id=None, now=now)
            fold(self.campaign, sent)

    def _refuse(self, send: Send, reply: e.EmailFailed, now: datetime) -> None:
        campaign = self.campaign
        refused = commands.fail_before_lock(
            campaign,
            send.position,
            _failure(reply),
            sender=self._side.sender,
            epoch=campaign.epoch,
            runner=REHEARSED,
            mailbox=campaign.mailbox,
            content_version=campaign.content_version,
            revision=campaign.revision(send.position),
            now=now,
        )
        for event in refused:
            self._standing.take(event)
        fold(campaign, refused)

    def _resolve(self, event: e.InDoubtResolved) -> None:
        found = (one for one in self.campaign.open.values() if one.state is AttemptState.IN_DOUBT)
        if any((one.position, one.attempt) == (event.position, event.attempt) for one in found):
            resolved = commands.resolve_in_doubt(
                self.campaign,
                event.position,
                event.outcome,
                evidence=event.evidence,
                actor=event.actor,
                now=event.recorded_at,
            )
            fold(self.campaign, resolved)

    def _judge(self, send: Send, now: datetime) -> None:
        state = self.campaign.roll.state(send.position)
        self._case.judge_state_of(self._column, state, send.lead_id, now)
        what_if = self._side.what_if
        judged = self._standing.judge(
            now, schedule=what_if.schedule(self._standing.schedule), limits=what_if.limits(self._standing.limits)
        )
        self._case.judge_rules(self._column, send.lead_id, now, judged, self.mailbox)

    def _column_mail(self, send: Send, now: datetime, number: int) -> Mail:
        campaign, latest = self.campaign, self._case.past.ticks.latest.get(self._side.sender)
        assumed = latest is None or latest.kind is TickKind.ASSUMED
        said = (campaign.content_version, campaign.revision(send.position), campaign.mailbox)
        return Mail(now, number, self._case.past.place, *said, assumed)

    def _mailbox_now(self) -> Mailbox:
        """The real one, but for this campaign's mails, which are those of this world."""
        real = self._case.past.mailbox(self.campaign.mailbox) if self.campaign.exists else Mailbox("")
        mailbox = copy(real)
        mailbox.mails = _Otherwise(real.mails, self.recorded, self._sent)
        return mailbox


class _Otherwise(MailCount):
    """A mailbox's count with one campaign's mails replaced by others."""

    __slots__ = ("_all", "_instead", "_without")

    def __init__(self, everything: MailCount, without: MailCount, instead: MailCount) -> None:
        self._all, self._without, self._instead = everything, without, instead

    def add(self, at: datetime) -> None:
        self._instead.add(at)

    def on_date_of(self, at: datetime, zone: str) -> int:
        others = self._all.on_date_of(at, zone) - self._without.on_date_of(at, zone)
        return max(others, 0) + self._instead.on_date_of(at, zone)

    def quarters(self) -> dict[int, int]:
        found = self._all.quarters()
        for quarter, mails in self._without.quarters().items():
            found[quarter] = max(0, found.get(quarter, 0) - mails)
        for quarter, mails in self._instead.quarters().items():
            found[quarter] = found.get(quarter, 0) + mails
        return found


def _failure(reply: e.EmailFailed) -> Failure:
    return Failure(reply.phase, reply.permanent, reply.code, reply.enhanced)
