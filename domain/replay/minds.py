"""What one side of the locked mode has in mind: what it said last, whom it sent, and whom it has yet to send."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from domain import events as e
from domain.campaign import Campaign, Status
from domain.leads import LeadState
from domain.policies import next_in_line
from domain.replay.following import Following, before
from domain.replay.seen import Seen
from domain.replay.sides import Answer, Side
from domain.rules import Rule, Wait

UNASKED = (-1, -1)
AT_REST = (Rule.EMPTY, Rule.STUCK)


class Mind:
    """What a side said last, and until when that holds. `sent`: whom it sent since the recorded sender's last mail: it
    goes on when that one does."""

    __slots__ = ("again", "answer", "following", "one_a_tick", "seen", "sent", "side", "version")

    def __init__(self, side: Side, campaign: Campaign) -> None:
        self.side = side
        self.one_a_tick = side.one_a_tick
        self.seen = Seen(campaign, side.sender)
        self.answer: Answer | None = None
        self.version = UNASKED
        self.again: datetime | None = None
        self.sent: int | None = None
        self.following = Following(side)

    @property
    def rests(self) -> bool:
        """Has it nobody left to send to?"""
        return isinstance(self.answer, Wait) and self.answer.rule in AT_REST

    def holds(self, version: tuple[int, int], now: datetime) -> bool:
        """Would it say the same again?"""
        return self.version == version and (self.again is None or now < self.again)

    def hold_whom_it_waits_for(self, campaign: Campaign, mailed: int, now: datetime) -> None:
        """Before another lead's mail is folded: where this side waits for the pace of its next, that one is followed,
        for the recorded mails would put it off for ever."""
        answer = self.answer
        if self.sent is not None or not isinstance(answer, Wait) or answer.rule is not Rule.DELAY:
            return
        if answer.until is None or self.version[0] != campaign.version:
            return
        if self.following.turn(self.seen, now) is not None:
            self.following.hold_turn(answer.until)
        elif (position := next_in_line(self.seen, self.side.sender, now)) is not None and position != mailed:
            lead = before(campaign, position, campaign.next_attempt(position), None)
            self.following.hold(self.seen, lead._replace(retry=self.seen.own_retry(position)), answer.until)
            self.seen.pass_over(position)

    def begin_again(self, campaign: Campaign, now: datetime) -> None:
        """It owns the campaign from here on: its line is the real one, whatever it would have sent before."""
        self.seen = Seen(campaign, self.side.sender)
        self.answer, self.version, self.again, self.sent = None, UNASKED, None, None
        self.following.leave_the_line(campaign, now)

    def go_on(self) -> None:
        """The recorded sender has sent one more, or will send no more."""
        if self.sent is not None and self.seen.roll.state(self.sent) is LeadState.QUEUED:
            self.seen.pass_over(self.sent)
        self.sent = None

    def fold(self, campaign: Campaign, event: e.Event) -> None:
        """What the event, which is folded, means for its line."""
        fold = _FOLDS.get(type(event))
        if fold is not None:
            fold(self, event)
        elif campaign.status is Status.CANCELLED:
            self.sent = None

    def failed(self, event: e.EmailFailed) -> None:
        """It may wait for another attempt."""
        self.seen.failed(event)

    def waits_again(self, event: e.EmailRequeued | e.InDoubtResolved) -> None:
        """A lead is back in line."""
        self.seen.waits_again(event.position, event.recorded_at)

    def moved(self, event: e.StatusFixed | e.StatusObserved) -> None:
        """A lead has another status."""
        self.seen.moved(event.position, event.recorded_at)

    def gone(self, event: e.EmailLocked | e.EmailSent | e.EmailSkipped) -> None:
        """A lead no longer waits."""
        self.seen.gone(event.position)
        if self.sent == event.position:
            self.sent = None

    def skipped(self, event: e.EmailSkipped) -> None:
        """The same, and it gets no mail any more."""
        self.gone(event)
        self.following.drop(event.position, self.seen.next_attempt(event.position))


_FOLDS: dict[type[e.Event], Callable[[Mind, Any], None]] = {
    e.EmailFailed: Mind.failed,
    e.EmailRequeued: Mind.waits_again,
    e.InDoubtResolved: Mind.waits_again,
    e.StatusFixed: Mind.moved,
    e.StatusObserved: Mind.moved,
    e.EmailLocked: Mind.gone,
    e.EmailSent: Mind.gone,
    e.EmailSkipped: Mind.skipped,
}
