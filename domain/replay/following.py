"""A mail that one side would send later than it was sent: followed on its own until that side would send it.

It stands alone: the lead is put back to wait as it did, its pace runs from the mail before it, and it counts for no
limit. Everything else is as it really was. It first waits for its turn, then for the rules.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import datetime
from itertools import count
from typing import NamedTuple

from domain.campaign import Campaign, Status
from domain.counting import MailCount
from domain.events import Sender, V1Status
from domain.leads import LeadState, Retry
from domain.mailbox import Mailbox
from domain.policies import Send, next_in_line
from domain.replay.sides import Answer, Crash, Side
from domain.rules import Rule, Wait

Order = tuple[int, datetime | int, int, int]
"""Where a lead stands in a sender's order; lower goes first."""


class Before(NamedTuple):
    """A lead as it was before its mail was recorded. `counted_at`: when the recorded mail began to count for limits,
    None if it does not."""

    position: int
    attempt: int
    lead_id: int
    priority: int
    v1_status: V1Status
    retry: Retry | None
    last_mail_at: datetime | None
    counted_at: datetime | None


def before(campaign: Campaign, position: int, attempt: int, counted_at: datetime | None) -> Before:
    """The lead as it is now, before its mail is folded."""
    return Before(
        position,
        attempt,
        campaign.numbers.lead_id(position),
        campaign.priority(position),
        campaign.roll.v1_status(position),
        campaign.retry_of.get(position),
        campaign.last_mail_at,
        counted_at,
    )


def order_of(sender: Sender, priority: int, position: int, retry: Retry | None) -> Order:
    """V1: fresh ones as they came, then retries. V2: retries, then fresh ones by priority and position."""
    if retry is not None:
        return (1 if sender == "v1" else 0, retry.due_at, retry.priority, position)
    return (0, position, 0, 0) if sender == "v1" else (1, priority, position, 0)


class Followed:
    """One mail that is followed."""

    __slots__ = ("_alone", "answer", "lead")

    def __init__(self, campaign: Campaign, lead: Before) -> None:
        self.lead = lead
        self.answer: Answer | None = None
        alone = self._alone = Campaign(campaign.stream)
        alone.roll.append(lead.v1_status)
        alone.numbers.append(lead.lead_id)
        alone.arrivals.append(0)
        alone.precedence.append(lead.priority)
        alone.attempts[0] = lead.attempt - 1
        alone.last_mail_at, alone.started_at = lead.last_mail_at, campaign.started_at
        alone.owner, alone.epoch = campaign.owner, campaign.epoch
        if lead.retry is not None:
            retry = alone.retry_of[0] = lead.retry._replace(position=0)
            alone.retries.append(retry)

    def pace_from(self, last_mail_at: datetime | None) -> None:
        """Its turn came later than the mail that was recorded: the pace is that of this moment."""
        self._alone.last_mail_at = last_mail_at
        self.lead = self.lead._replace(last_mail_at=last_mail_at)

    def ask(self, side: Side, campaign: Campaign, mailbox: Mailbox, now: datetime) -> Answer:
        """What the side would do with this lead now."""
        alone, at = self._alone, self.lead.counted_at
        alone.status = Status.RUNNING if campaign.status is Status.COMPLETED else campaign.status
        alone.schedule, alone.limits, alone.mailbox = campaign.schedule, campaign.limits, campaign.mailbox
        alone.mails = campaign.mails if at is None else _Less(campaign.mails, at)
        self.answer = side.decide(alone, without(mailbox, self.lead), now)
        return self.answer


class Following:
    """All mails that one side has yet to send: those whose turn has not come, and those that wait for the rules."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._turns: list[tuple[Order, int, Followed]] = []
        self._times: list[tuple[datetime, int, Followed]] = []
        self._parked: list[Followed] = []
        self._rules_seen = (0, 0)
        self._numbers = count()
        self._known: set[tuple[int, int]] = set()

    @property
    def any(self) -> bool:
        """Is anything followed?"""
        return bool(self._turns or self._times or self._parked)

    @property
    def again_at(self) -> datetime | None:
        """When to look again, if nothing happens until then."""
        return self._times[0][0] if self._times else None

    def add(self, seen: Campaign, lead: Before, now: datetime, *, at_once: bool) -> None:
        """One mail more. `at_once`: this side has sent nobody instead, so if it is this lead's turn already, only the
        rules hold it back."""
        if (lead.position, lead.attempt) in self._known:
            return
        self._known.add((lead.position, lead.attempt))
        order = order_of(self._side.sender, lead.priority, lead.position, lead.retry)
        followed = Followed(seen, lead)
        if at_once and self._has_its_turn(order, seen, now):
            heapq.heappush(self._times, (now, next(self._numbers), followed))
        else:
            heapq.heappush(self._turns, (order, next(self._numbers), followed))

    def turn(self, seen: Campaign, now: datetime) -> Followed | None:
        """The one whose turn it is, before all who really wait."""
        if self._turns and self._has_its_turn(self._turns[0][0], seen, now):
            return self._turns[0][2]
        return None

    def hold(self, seen: Campaign, lead: Before, until: datetime) -> None:
        """One that waits for its pace while another is mailed: its pace goes on from the mail before."""
        self._known.add((lead.position, lead.attempt))
        heapq.heappush(self._times, (until, next(self._numbers), Followed(seen, lead)))

    def hold_turn(self, until: datetime) -> None:
        """The same of the one whose turn it was."""
        heapq.heappush(self._times, (until, next(self._numbers), heapq.heappop(self._turns)[2]))

    def leave_the_line(self, campaign: Campaign, now: datetime) -> None:
        """This side goes on from what really was: only rules hold back what was mailed meanwhile, and who still waits
        in truth stands in its line again."""
        everyone = [*(one for _, _, one in self._turns), *(one for _, _, one in self._times), *self._parked]
        left = [one for one in everyone if self._is_followed(one.lead) and not _still_waits(campaign, one.lead)]
        self._known = {(one.lead.position, one.lead.attempt) for one in left}
        self._turns, self._parked = [], []
        self._times = [(now, next(self._numbers), one) for one in left]

    def took_turn(self) -> None:
        """It is sent."""
        lead = heapq.heappop(self._turns)[2].lead
        self._known.discard((lead.position, lead.attempt))

    def drop(self, position: int, attempt: int) -> None:
        """This lead gets no mail any more."""
        self._known.discard((position, attempt))

    def due(
        self, campaign: Campaign, mailbox: Mailbox, now: datetime, rules_seen: tuple[int, int]
    ) -> Iterator[tuple[Before, Answer]]:
        """Those that had their turn and that the side would send now. `rules_seen` changes when the rules, or what is
        paused, did."""
        if rules_seen != self._rules_seen:
            self._rules_seen = rules_seen
            self._look_at_all_again(now)
        while self._times and self._times[0][0] <= now:
            followed = heapq.heappop(self._times)[2]
            answer = self._ask(followed, campaign, mailbox, now) if self._is_followed(followed.lead) else None
            if answer is not None:
                yield followed.lead, answer

    def waits(self, said: Answer | None) -> Iterator[tuple[Before, str]]:
        """Everything that is left, and why. `said`: what the side said last."""
        for _, _, followed in self._turns:
            yield followed.lead, str(said) if isinstance(said, Crash) else "its turn had not come"
        for followed in [*(one for _, _, one in self._times), *self._parked]:
            yield followed.lead, _why(followed.answer)

    def _is_followed(self, lead: Before) -> bool:
        return (lead.position, lead.attempt) in self._known

    def _has_its_turn(self, order: Order, seen: Campaign, now: datetime) -> bool:
        position = next_in_line(seen, self._side.sender, now)
        if position is None:
            return True
        retry = seen.retry_of.get(position)
        return order < order_of(self._side.sender, seen.priority(position), position, retry)

    def _ask(self, followed: Followed, campaign: Campaign, mailbox: Mailbox, now: datetime) -> Answer | None:
        """What the side would do with it now; None: it waits on."""
        answer = followed.ask(self._side, campaign, mailbox, now)
        if isinstance(answer, Wait):
            self._wait(followed, answer.until, now)
            return None
        if isinstance(answer, Send):
            self._known.discard((followed.lead.position, followed.lead.attempt))
        else:
            self._parked.append(followed)
        return answer

    def _wait(self, followed: Followed, until: datetime | None, now: datetime) -> None:
        if until is None or (isinstance(followed.answer, Wait) and followed.answer.rule is Rule.STUCK):
            self._parked.append(followed)
        elif until > now:
            heapq.heappush(self._times, (until, next(self._numbers), followed))
        else:
            self._parked.append(followed)

    def _look_at_all_again(self, now: datetime) -> None:
        everyone = [*self._parked, *(followed for _, _, followed in self._times)]
        self._parked, self._times = [], [(now, next(self._numbers), followed) for followed in everyone]
        heapq.heapify(self._times)


def _why(answer: Answer | None) -> str:
    if isinstance(answer, Crash):
        return str(answer)
    return str(answer.rule) if isinstance(answer, Wait) else "it was not asked yet"


def _still_waits(campaign: Campaign, lead: Before) -> bool:
    is_queued = campaign.roll.state(lead.position) is LeadState.QUEUED
    return is_queued and campaign.next_attempt(lead.position) == lead.attempt


def without(mailbox: Mailbox, lead: Before) -> Mailbox:
    """The mailbox as if this mail had not been sent."""
    if lead.counted_at is None:
        return mailbox
    other = Mailbox.__new__(Mailbox)  # `copy` costs three times as much, and each mail that is followed needs one
    other.__dict__.update(mailbox.__dict__, mails=_Less(mailbox.mails, lead.counted_at))
    return other


class _Less(MailCount):
    """A count without one mail of it."""

    __slots__ = ("_at", "_of")

    def __init__(self, of: MailCount, at: datetime) -> None:
        self._of, self._at = of, at

    def on_date_of(self, at: datetime, zone: str) -> int:
        start, end = self._of.day_of(at, zone)
        return self._of.on_date_of(at, zone) - (start <= self._at < end)
