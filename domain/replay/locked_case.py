"""One campaign in the locked mode: both sides asked on the state that really was."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from domain import events as e
from domain.campaign import Campaign
from domain.counting import EPOCH
from domain.leads import Retry
from domain.mailbox import Mailbox
from domain.policies import Send, sends_at_once
from domain.replay.classes import Mail
from domain.replay.findings import A, B, Entry
from domain.replay.following import Before, before, without
from domain.replay.imported import AsRecorded, TicksAssumed
from domain.replay.minds import UNASKED, Mind
from domain.replay.past import LEAD_DECISIONS, MAILBOX, OUTCOMES, Case, Past, Setup, Witness
from domain.replay.replies import Replies
from domain.replay.sides import Answer, Crash
from domain.replay.situations import Situation
from domain.replay.ticks import Tick, TickKind, happened
from domain.rules import Wait

ONE_A_TICK = "the tick sends one mail only"


class _Instead(NamedTuple):
    """Of a side that has not sent a mail: has it sent nobody instead, why not this lead, and when would it try it
    again?"""

    sent_nobody: bool
    why: str
    retry: Retry | None


class LockedCase(Case):
    def __init__(
        self,
        stream: str,
        setup: Setup,
        past: Past,
        replies: Replies,
        campaign: Campaign | None,
        witness: Witness | None,
    ) -> None:
        super().__init__(stream, setup, past, replies, campaign)
        self._witness = witness
        self._new: list[tuple[Entry, int, int]] = []
        self._is_stirred = True  # something happened since the last tick of an old system
        self._goes_on_at_once = False
        self._next_tick: datetime | None = None  # where a side goes on by itself, for the owner sends no more
        self._minds = {A: Mind(setup.a, self.campaign), B: Mind(setup.b, self.campaign)}

    @property
    def again_at(self) -> datetime | None:
        """When a side is to be asked again, if nothing happens until then."""
        times = [at for mind in self._minds.values() for at in (mind.again, mind.following.again_at)]
        return min((at for at in (*times, self._next_tick) if at is not None), default=None)

    def take(self, position: int, event: e.Event, sender: e.Sender | None) -> None:
        """An event of this campaign. `sender`: whose decision it is, if it is one."""
        self._is_stirred = True
        if type(event) is e.EmailQueued:  # an import of any size
            self.seen(happened(event))
            self.fold(event)
            for mind in self._minds.values():
                mind.seen.queued(event.position, event.priority)
            return
        at = happened(event)
        judged = self.is_judged(at)
        lead = self._before(event, at) if sender is not None and judged else None
        if lead is not None:
            for mind in self._minds.values():
                mind.hold_whom_it_waits_for(self.campaign, lead.position, at)
        self.record(position, event, sender)
        of = self._sender_of(event)
        instead = self._instead(lead) if lead is not None else {}
        self.fold(event)
        for mind in self._minds.values():
            if sender is not None:
                mind.go_on()
            mind.fold(self.campaign, event)
        if lead is not None:
            self._follow(lead, at, instead)
        if isinstance(event, e.EmailSkipped) or (isinstance(event, e.EmailSent) and sender is None):
            self._note_fate(event)
        self._goes_on_at_once = isinstance(event, e.EmailLocked) and sends_at_once(self.campaign, event.sender)
        if of == self.campaign.owner and isinstance(event, OUTCOMES):
            self._goes_on(happened(event))

    def slot_taken(self, at: datetime) -> None:
        """The lock of a mail is whole: its mailbox counts it too."""
        if self._goes_on_at_once:
            self._goes_on_at_once = False
            self._goes_on(at)

    def _goes_on(self, at: datetime) -> None:
        """The owner's tick is under way, and has sent one."""
        if self.is_judged(at) and self.ticks.is_open(self.campaign.owner):
            self._ask_both(at, self.campaign.owner, inside=True)

    def is_late(self, tick: Tick) -> bool:
        """Has what really was gone on beyond this tick? So it may, where a run is told after a part of the log was
        read."""
        streams = (self.stream, f"{MAILBOX}{self.campaign.mailbox}")
        known = self.past.changed_at
        return any(stream in known and self.ticks.is_late(tick, known[stream]) for stream in streams)

    def tick(self, tick: Tick) -> None:
        """A tick of the sender that owns the campaign."""
        self.situations.tick(self.campaign.schedule, tick.at)
        if tick.kind is TickKind.MISSED:
            self.situations.seen.add(Situation.OUTAGE)
        self._ask_both(tick.at, tick.sender, inside=False)

    def tick_assumed(self, event: TicksAssumed) -> None:
        """Those of the old system; a side is asked where something happened, or when it was to be asked again."""
        due = EPOCH if self._is_stirred else self.again_at
        for tick in event.ticks():
            if self.setup.is_over(tick.at):
                break
            self.assume(tick)
            if due is not None and due <= tick.at and self.is_judged(tick.at):
                self._is_stirred = False
                self.tick(tick)
                due = self.again_at

    def own_time_begins(self, event: AsRecorded) -> None:
        """Both sides begin on what really is."""
        super().own_time_begins(event)
        self._minds = {column: Mind(mind.side, self.campaign) for column, mind in self._minds.items()}
        self._next_tick = None

    def begin_again(self, column: int, now: datetime) -> None:
        """Its line is the real one; what it had not sent yet is followed without a place in it."""
        self._minds[column].begin_again(self.campaign, now)

    def finish(self) -> None:
        """The history ends."""
        if (end := self.ends_at) is not None:
            self.close_what_is_open(end)

    def close_what_is_open(self, end: datetime) -> None:
        """Each with the reason of the side that has not sent it."""
        waits = {column: dict(self._left(mind)) for column, mind in self._minds.items()}
        self.findings.finish(end, lambda column, position: waits[column].get(position) or self._says(column))

    def _ask_both(self, now: datetime, sender: e.Sender, *, inside: bool) -> None:
        mailbox = self.mailbox
        rules_seen = (self.rules_seen, self.past.changes[self.campaign.mailbox])
        own = self._minds[self.setup.column(sender) or A]
        at_rest = own.rests
        self._new.clear()
        for column, mind in self._minds.items():
            if at_rest and not inside and mind.sent is not None:
                mind.go_on()
                mind.version = UNASKED
            version = (self.campaign.version, rules_seen[1])
            if mind.sent is None and not (inside and mind.one_a_tick) and not mind.holds(version, now):
                mind.version = version
                self._ask(column, mind, mailbox, now, sender)
            if mind.following.any:
                for lead, answer in mind.following.due(self.campaign, mailbox, now, rules_seen):
                    self._followed(column, mind, lead, answer, mailbox, now, sender)

        for entry, other, position in self._new:  # both have been asked
            if entry.mails[other] is None:
                entry.why[other] = entry.why[other] or self._says(other, position)
        waits_for_nobody = own.rests and any(mind.sent is not None for mind in self._minds.values())
        self._next_tick = now if waits_for_nobody else None

    def _ask(self, column: int, mind: Mind, mailbox: Mailbox, now: datetime, sender: e.Sender) -> None:
        turn = mind.following.turn(mind.seen, now)
        if turn is not None:
            turn.pace_from(self.campaign.last_mail_at)
            answer = turn.ask(mind.side, self.campaign, mailbox, now)
            if isinstance(answer, Send):
                answer = replace(answer, position=turn.lead.position)
        else:
            answer = mind.side.decide(mind.seen, mailbox, now)
        mind.answer = answer
        if not isinstance(answer, Send):
            self._tell(now, column, answer)
        if isinstance(answer, Wait):
            mind.again = answer.until
            self.situations.waits(answer)
        elif isinstance(answer, Crash):
            mind.again = now
            self.findings.crash(column, answer.error, now)
        elif turn is not None:
            mind.following.took_turn()
            mind.sent, mind.again = turn.lead.position, None
            self._followed(column, mind, turn.lead, answer, mailbox, now, sender)
        else:
            mind.sent, mind.again = answer.position, None
            self._sends(column, mind, answer, mailbox, now, sender)

    def _sends(self, column: int, mind: Mind, send: Send, mailbox: Mailbox, now: datetime, sender: e.Sender) -> None:
        if not self.judge_state(column, send.position, send.lead_id, now):
            return
        key = (send.position, self.campaign.next_attempt(send.position))
        mail = self._mail(send.position, now, sender)
        entry = self.findings.mailed(column, key, send.lead_id, mail, self.setup.column(sender), self.is_mail(key))
        if entry is None:
            return
        self._tell(now, column, send, key[1])
        self._new.append((entry, A + B - column, send.position))
        what_if = mind.side.what_if
        judged = self.standing.judge(
            now, schedule=what_if.schedule(self.standing.schedule), limits=what_if.limits(self.standing.limits)
        )
        self.judge_rules(column, send.lead_id, now, judged, mailbox)

    def _followed(
        self,
        column: int,
        mind: Mind,
        lead: Before,
        answer: Answer,
        mailbox: Mailbox,
        now: datetime,
        sender: e.Sender,
    ) -> None:
        if isinstance(answer, Crash):
            self.findings.crash(column, answer.error, now)
            return
        mind.seen.waits_again(lead.position)
        mail = self._mail(lead.position, now, sender)
        key = (lead.position, lead.attempt)
        own = self.setup.column(sender)
        if self.findings.mailed(column, key, lead.lead_id, mail, own, self.is_mail(key)) is None:
            return
        if self._witness is not None:
            self._tell(now, column, Send(lead.position, lead.lead_id, now), lead.attempt)
        what_if = mind.side.what_if
        judged = self.standing.judge(
            now,
            alone=(lead.counted_at, lead.last_mail_at),
            schedule=what_if.schedule(self.standing.schedule),
            limits=what_if.limits(self.standing.limits),
        )
        is_spare = mailbox.mails.on_date_of(now, mailbox.zone) < mailbox.daily_limit  # with this mail even
        self.judge_rules(column, lead.lead_id, now, judged, mailbox if is_spare else without(mailbox, lead))

    def _tell(self, now: datetime, column: int, answer: Answer, attempt: int = 0) -> None:
        if self._witness is not None:
            self._witness(self.campaign, now, column, answer, attempt)

    def _mail(self, position: int, now: datetime, sender: e.Sender) -> Mail:
        campaign, ticks = self.campaign, self.ticks
        tick = ticks.latest.get(sender)
        return Mail(
            now,
            ticks.numbers[sender],
            self.past.place,
            campaign.content_version,
            campaign.revision(position),
            campaign.mailbox,
            ticks.is_inexact(sender),
            tick.between if tick else None,
        )

    def _before(self, event: e.Event, at: datetime) -> Before:
        assert isinstance(event, LEAD_DECISIONS)  # noqa: S101 - for the type checker
        counted_at = None if isinstance(event, e.EmailFailed) else at
        return before(self.campaign, event.position, event.attempt, counted_at)

    def _instead(self, lead: Before) -> dict[int, _Instead]:
        """Before the mail is folded, of each side that has not sent it."""
        entry = self.findings.open.get((lead.position, lead.attempt))
        return {
            column: _Instead(mind.sent is None, self._says(column, lead.position), mind.seen.own_retry(lead.position))
            for column, mind in self._minds.items()
            if entry is not None and entry.mails[column] is None
        }

    def _follow(self, lead: Before, now: datetime, instead: dict[int, _Instead]) -> None:
        """Each side that has not sent this mail is followed on it."""
        entry = self.findings.open.get((lead.position, lead.attempt))
        if entry is None:
            return
        for column, (sent_nobody, why, retry) in instead.items():
            mind = self._minds[column]
            entry.why[column] = entry.why[column] or why
            mind.seen.pass_over(lead.position)  # where it waits again: its next attempt comes after this one
            mind.following.add(mind.seen, lead._replace(retry=retry), now, at_once=sent_nobody)

    def _note_fate(self, event: e.EmailSkipped | e.EmailSent) -> None:
        if isinstance(event, e.EmailSent):
            self.findings.settled(event.position)
            return
        key = (event.position, self.campaign.next_attempt(event.position))
        if (entry := self.findings.open.get(key)) is not None:
            entry.fate = f"skipped: {event.reason}"

    def _sender_of(self, event: e.Event) -> e.Sender | None:
        """Whose tick this belongs to."""
        if isinstance(event, e.EmailLocked | e.EmailFailed):
            return event.sender
        if isinstance(event, e.EmailSent | e.EmailInDoubt):
            attempt = self.campaign.open.get(event.token)
            return attempt.sender if attempt else self.campaign.owner
        return None

    def _says(self, column: int, position: int | None = None) -> str:
        """What holds this side back from this lead, in words."""
        mind = self._minds[column]
        answer = mind.answer
        if isinstance(answer, Wait):
            return str(answer.rule)
        if isinstance(answer, Crash):
            return str(answer)
        if answer is None:
            return "it was not asked yet"
        if position is None or answer.position == position or mind.version[0] < self.campaign.version:
            return ONE_A_TICK if mind.one_a_tick else "its turn had not come"
        return f"lead {answer.lead_id} goes first"

    @staticmethod
    def _left(mind: Mind) -> Iterable[tuple[int, str]]:
        return ((lead.position, why) for lead, why in mind.following.waits(mind.answer))
