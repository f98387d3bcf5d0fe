"""A side's own world in the free mode: what came from outside, and what this side has sent, and nothing else."""

from __future__ import annotations

from collections import defaultdict
from copy import copy
from datetime import date, datetime
from typing import TYPE_CHECKING

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
from domain.replay.classes import DifferenceClass, Mail
from domain.replay.findings import Breach
from domain.replay.past import CHANGES_RULES, OUTCOMES
from domain.replay.replies import Key, Replies, Reply, is_unlocked
from domain.replay.sides import Answer, Crash, Side
from domain.replay.ticks import TickKind
from domain.rules import LockRefused, Wait

if TYPE_CHECKING:
    from domain.replay.free import FreeCase

PLANNED = 20_000
"""The end of a world is worked out beyond the history for so many waiting leads at most."""


class World(Rehearsal):
    """One side's world."""

    def __init__(self, case: FreeCase, column: int, side: Side, replies: Replies) -> None:
        self._case, self._column, self._side, self._replies = case, column, side, replies
        self.begin_again()

    def begin_again(self) -> None:
        """From what really is, whatever this side has sent so far."""
        real = self._case.campaign
        self.campaign = copy_of(real) if real.exists else Campaign(real.stream)
        self.campaign.mails = Tally(self.campaign.mails)
        if real.exists:
            self._take_over(self._side)
        self._recorded: defaultdict[str, Tally] = defaultdict(_nothing)
        self._sent: defaultdict[str, Tally] = defaultdict(_nothing)
        self._standing = Standing.of(self.campaign)
        self._last: Answer | None = None
        self._refused: dict[Key, date] = {}

    def leaves_out(self, event: e.EmailLocked) -> None:
        """A mail that really left, which counts for nothing here."""
        self._recorded[event.mailbox].add(event.recorded_at)

    def take(self, event: e.Event) -> bool:
        """What came from outside; False for what was decided inside."""
        campaign, kind = self.campaign, type(event)
        if kind in CHANGES_RULES:
            evolve(campaign, event)
            self._standing.take(event)
            self._take_over(self._side)
        elif isinstance(event, e.EmailQueued):
            evolve(campaign, event)
            campaign.roll.move(event.position, self._case.campaign.roll.state(event.position), event.v1_status)
        elif isinstance(event, e.EmailSkipped | e.ContactChanged):
            if campaign.roll.state(event.position) is LeadState.QUEUED:
                evolve(campaign, event)
        elif isinstance(event, e.EmailRequeued):
            if campaign.roll.state(event.position) is LeadState.FAILED:
                evolve(campaign, event)
        elif isinstance(event, e.StatusFixed | e.StatusObserved):
            if campaign.roll.state(event.position) in (LeadState.QUEUED, LeadState.FAILED):
                evolve(campaign, event)
        elif isinstance(event, e.InDoubtResolved):
            self._resolve(event)
        elif isinstance(event, OUTCOMES) and event.token in campaign.open:
            evolve(campaign, event)  # of a mail that was under way when this world began
        else:
            return False
        return True

    def _take_over(self, side: Side) -> None:
        """This side owns it, under its settings."""
        campaign = self.campaign
        campaign.owner = side.sender
        if campaign.legacy is not None:
            campaign.legacy.observed = False
        campaign.limits = side.what_if.limits(campaign.limits)
        campaign.schedule = side.what_if.schedule(campaign.schedule)

    def tick_at(self, now: datetime, number: int) -> datetime | None:
        """One tick; when to look again, None: when something happens."""
        self.mailbox = self._mailbox_now()
        while True:
            answer = self._last = self._side.decide(self.campaign, self.mailbox, now)
            self._case.tell(self.campaign, now, self._column, answer)
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
        if isinstance(self._last, Crash):
            return str(self._last)
        return "its turn had not come"

    def ends_at(self, end: datetime) -> datetime | None:
        """When the last mail of this world leaves, beyond the history too; None where that is not known."""
        tally, left = self._case.findings.tallies[self._column], queued(self.campaign)
        if not left:
            return tally.last_at
        if left > PLANNED or not self.campaign.exists:
            return None
        every = self._side.what_if.every or self._case.our_ticks.every(self._side.sender)
        tried, following = copy_of(self.campaign), EPOCH + every * -((EPOCH - end) // every)
        try:
            plan = make_plan(tried, [tried], self._mailbox_now(), {self._side.sender: every}, following)
        except CommandRefused:
            return None
        return None if plan.left else plan.ends_at

    def _mail(self, send: Send, now: datetime, number: int) -> bool:
        """One mail; False when the gate refuses it: then it is none, and the rule that the side would have broken is
        counted once a day."""
        campaign, case = self.campaign, self._case
        key = (send.position, campaign.next_attempt(send.position))
        reply, today = self._replies.get(key), self._standing.day(now)
        is_allowed = self._refused.get(key) != today and self._judge(send, now)
        mail = self._column_mail(send, now, number)
        try:
            if isinstance(reply, e.EmailFailed) and is_unlocked(reply):
                self._refuse(send, reply, now)
            else:
                self._answer(self.lock(campaign, send, self._side.sender, now), reply, now)
        except LockRefused as refused:
            self._refused[key] = today
            if is_allowed:
                words = f"the gate refuses it: {refused.wait.rule}"
                case.findings.breach(self._column, DifferenceClass.FORBIDDEN, Breach(send.lead_id, now, words))
            return False
        case.mailed(self._column, key, send.lead_id, mail)
        return True

    def _answer(self, token: str, reply: Reply | None, now: datetime) -> None:
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

    def _judge(self, send: Send, now: datetime) -> bool:
        """Does it keep the rules?"""
        state = self.campaign.roll.state(send.position)
        is_waiting = self._case.judge_state_of(self._column, state, send.lead_id, now)
        what_if = self._side.what_if
        judged = self._standing.judge(
            now, schedule=what_if.schedule(self._standing.schedule), limits=what_if.limits(self._standing.limits)
        )
        return self._case.judge_rules(self._column, send.lead_id, now, judged, self.mailbox) and is_waiting

    def _column_mail(self, send: Send, now: datetime, number: int) -> Mail:
        campaign, latest = self.campaign, self._case.ticks.latest.get(self._side.sender)
        assumed = latest is None or latest.kind is TickKind.ASSUMED
        said = (campaign.content_version, campaign.revision(send.position), campaign.mailbox)
        return Mail(now, number, self._case.past.place, *said, assumed)

    def _mailbox_now(self) -> Mailbox:
        """The real one, but for this campaign's mails, which are those of this world."""
        real = self._case.mailbox if self.campaign.exists else Mailbox("")
        mailbox = copy(real)
        name = self.campaign.mailbox if self.campaign.exists else ""
        mailbox.mails = _Otherwise(real.mails, self._recorded[name], self._sent[name])
        return mailbox


def _nothing() -> Tally:
    return Tally(MailCount())


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
