"""A campaign as one side sees it in the locked mode: as it really is, but for the mails that side has sent already.

Without this a lead that one side sends first, and the recorded sender last, would stand at the head of its line all
that time, and hide everybody behind it.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection
from datetime import datetime

from domain import events as e
from domain.campaign import Campaign
from domain.events import Sender
from domain.leads import LeadState, Line, Precedence, Retry
from domain.policies import retry_after


class Seen(Campaign):
    """Shares every attribute with the real campaign, whatever becomes of it; only the lines are its own, so that their
    cursors can pass what this side has sent."""

    __slots__ = ("_ahead", "_arrivals", "_own", "_precedence", "_retries", "_sender")

    def __init__(self, campaign: Campaign, sender: Sender) -> None:
        self.__dict__ = campaign.__dict__
        self._sender = sender
        self._ahead: set[int] = set()
        self._arrivals = Line(campaign.arrivals.runs())
        known = sender == "v2"
        raw = bytes(campaign.precedence) if known else b""
        self._precedence = Precedence(raw, ascending=campaign.precedence.ascending)
        self._own = dict(campaign.retry_of)
        self._retries = list(self._own.values())
        heapq.heapify(self._retries)

    def queued(self, position: int, priority: int) -> None:
        """One lead more."""
        if self._sender == "v1":
            self._arrivals.append(position)
        else:
            self._precedence.append(priority)

    def failed(self, event: e.EmailFailed) -> None:
        """A temporary failure: this sender's own back-off holds, not that of the one who met it; unless it is the
        owner by now, and has to go by what is recorded."""
        due_at = event.next_attempt_at
        if due_at is not None and self._sender not in (event.sender, self.owner):
            due_at = retry_after(self._sender, self, event.position, event.recorded_at)
        self.waits_again(event.position, due_at)

    def waits_again(self, position: int, due_at: datetime | None = None) -> None:
        """A lead is back: its next attempt is another mail."""
        self._ahead.discard(position)
        retry = self.retry_of.get(position)
        if retry is not None:
            if due_at is not None:
                retry = retry._replace(due_at=due_at)
            retry = self._own[position] = retry if due_at is not None else self._own.get(position, retry)
            heapq.heappush(self._retries, retry)

    def moved(self, position: int, at: datetime) -> None:
        """A person, or an old system, gave it another status: it may wait again, or no longer."""
        if self.roll.state(position) is LeadState.QUEUED:
            self.waits_again(position, at)
            self._arrivals.rewind(position)
        else:
            self.gone(position)

    def own_retry(self, position: int) -> Retry | None:
        """When this sender would try it again, if it waits for that."""
        return self._own.get(position) if position in self.retry_of else None

    def pass_over(self, position: int) -> None:
        """This side has sent it, and the recorded sender went on with another."""
        self._ahead.add(position)

    def gone(self, position: int) -> None:
        """It no longer waits in truth."""
        self._ahead.discard(position)
        self._own.pop(position, None)

    def is_fresh(self, position: int) -> bool:
        """Does this lead wait for its first attempt, and has this side not sent it?"""
        return position not in self._ahead and super().is_fresh(position)

    def next_fresh(self, besides: Collection[int] = ()) -> int | None:
        """By its own line."""
        return self._precedence.first(self.is_fresh, besides)

    def next_arrival(self) -> int | None:
        """By its own line."""
        return self._arrivals.first(self.is_fresh_for_v1)

    def next_retry(self, besides: Collection[int] = ()) -> Retry | None:  # noqa: ARG002 - one mail at a time here
        """By its own heap; what this side has sent is dropped from it."""
        while self._retries:
            retry = self._retries[0]
            is_current = self._own.get(retry.position) is retry and retry.position in self.retry_of
            if is_current and retry.position not in self._ahead:
                return retry
            heapq.heappop(self._retries)
        return None
