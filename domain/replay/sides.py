"""A side of a comparison: a sender's policy, asked as if it owned the campaign, under recorded settings or others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache

from domain.calendar import Schedule
from domain.campaign import Campaign
from domain.events import Sender
from domain.mailbox import Mailbox
from domain.policies import MAILS_A_TICK, Send, next_send
from domain.rules import Limits, Wait

Policy = Callable[[Campaign, Mailbox, Sender, datetime], Send | Wait]

RAISED = "the policy raised"
"""How it begins where a side has not sent a mail because of that."""

CADENCE: dict[Sender, timedelta] = {"v1": timedelta(minutes=1), "v2": timedelta(seconds=30)}
"""How often the senders tick unless told otherwise."""


def as_owner(campaign: Campaign, mailbox: Mailbox, sender: Sender, now: datetime) -> Send | Wait:
    """The policy that runs live, whoever owns the campaign."""
    return next_send(campaign, mailbox, sender, now, as_owner=True)


@dataclass(frozen=True, slots=True)
class Crash:
    """A policy raised: the name of its error."""

    error: str

    def __str__(self) -> str:
        return f"{RAISED} {self.error}"


Answer = Send | Wait | Crash


def said(answer: Answer) -> str:
    """The answer in one spelling, whatever its times were read from."""
    match answer:
        case Send():
            return f"send {answer.position} due {answer.due_at.isoformat()}"
        case Wait():
            return f"wait {answer.rule} until {answer.until.isoformat() if answer.until else 'told'} {answer.note}"
        case _:
            return f"crash {answer.error}"


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Settings other than the recorded ones; None: as recorded. `window`: local minutes, start and end."""

    every: timedelta | None = None
    delay_s: int | None = None
    daily_limit: int | None = None
    window: tuple[int, int] | None = None

    @property
    def changes_rules(self) -> bool:
        """Is anything but the cadence changed?"""
        return not (self.delay_s is None and self.daily_limit is None and self.window is None)

    def limits(self, recorded: Limits) -> Limits:
        """The limits of this side."""
        is_as_recorded = self.delay_s is None and self.daily_limit is None
        return recorded if is_as_recorded else _limits(recorded, self.delay_s, self.daily_limit)

    def schedule(self, recorded: Schedule) -> Schedule:
        """The schedule of this side."""
        return recorded if self.window is None else _schedule(recorded, *self.window)


AS_RECORDED = WhatIf()


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared."""

    sender: Sender
    what_if: WhatIf = AS_RECORDED
    policy: Policy = field(default=as_owner, compare=False)

    @property
    def one_a_tick(self) -> bool:
        """Does it send one mail of a campaign a tick at most?"""
        return MAILS_A_TICK[self.sender] == 1

    @property
    def is_as_recorded(self) -> bool:
        """Can what it decides be held against the record?"""
        return self.what_if == AS_RECORDED

    def decide(self, campaign: Campaign, mailbox: Mailbox, now: datetime) -> Answer:
        """What it would do now. The campaign is as before afterwards."""
        if not self.what_if.changes_rules:
            return self._ask(campaign, mailbox, now)
        recorded = campaign.limits, campaign.schedule
        campaign.limits, campaign.schedule = self.what_if.limits(recorded[0]), self.what_if.schedule(recorded[1])
        try:
            return self._ask(campaign, mailbox, now)
        finally:
            campaign.limits, campaign.schedule = recorded

    def _ask(self, campaign: Campaign, mailbox: Mailbox, now: datetime) -> Answer:
        try:
            return self.policy(campaign, mailbox, self.sender, now)
        except Exception as error:  # noqa: BLE001 - a policy that raises is a finding, not the end of the comparison
            return Crash(type(error).__name__)


@lru_cache(maxsize=256)
def _limits(recorded: Limits, delay_s: int | None, daily_limit: int | None) -> Limits:
    changed = {"delay_s": delay_s, "daily_limit": daily_limit}
    return Limits(**{**recorded.model_dump(), **{name: value for name, value in changed.items() if value is not None}})


@lru_cache(maxsize=256)
def _schedule(recorded: Schedule, start: int, end: int) -> Schedule:
    return Schedule(**{**recorded.model_dump(), "start": start, "end": end})
