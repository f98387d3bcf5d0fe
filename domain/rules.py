"""The limits of a campaign, and the names of all rules that can hold a mail back.
A `Wait` is the answer to "why not yet?": the one rule that binds, and the earliest time it can change.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property

from pydantic import BaseModel, ConfigDict, Field

from domain.errors import CommandRefused

LEAST_SHARE_OF_DELAY = 0.8
"""A mail sooner than this share of the delay after the last one breaks the pace, whichever sender."""

LONGEST_HOLD = timedelta(seconds=30)
"""From the lock to the final dot. Later, somebody may rightly have put the mail in doubt."""

MAX_DELAY_S = 7 * 24 * 3600
MAX_DAILY_LIMIT = 1_000_000
MAX_ATTEMPTS = 20


class Limits(BaseModel):
    """How much and how fast: mails a local date, seconds between mails (0: no delay), attempts a lead."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    daily_limit: int = Field(default=500, strict=True, ge=1, le=MAX_DAILY_LIMIT)
    delay_s: int = Field(default=90, strict=True, ge=0, le=MAX_DELAY_S)
    max_attempts: int = Field(default=4, strict=True, ge=1, le=MAX_ATTEMPTS)

    @cached_property
    def delay(self) -> timedelta:
        """The time from one mail to the next."""
        return timedelta(seconds=self.delay_s)

    @cached_property
    def least_gap(self) -> timedelta:
        """The shortest time from one mail to the next that keeps the pace."""
        return self.delay * LEAST_SHARE_OF_DELAY


class Rule(StrEnum):
    """Everything that can hold a mail back."""

    NOT_STARTED = "not started"
    PAUSED = "paused"
    FINISHED = "finished"
    OWNER = "other owner"
    OBSERVED = "the old system mails it"
    EMPTY = "nothing waits"
    STUCK = "leads wait, but none in a status that V1 picks"
    WEEKDAY = "weekday"
    HOLIDAY = "holiday"
    WINDOW = "window"
    CAMPAIGN_LIMIT = "campaign's daily limit"
    DELAY = "delay"
    BACK_OFF = "back-off"
    MAILBOX_PAUSED = "mailbox paused"
    MAILBOX_DELAYED = "mailbox delayed"
    MAILBOX_LIMIT = "mailbox's daily limit"
    LEAD = "lead no longer waits"
    CONTENT = "content changed"
    CONTACT = "contact changed"
    MAILBOX = "mailbox changed"
    SERVER = "server unavailable"


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a mail may not leave now: the rule that binds, and when it can change (None: only by an event)."""

    rule: Rule
    until: datetime | None = None
    note: str = ""


class LockRefused(CommandRefused):
    """This mail may not leave now: drop it without the final dot."""

    def __init__(self, wait: Wait) -> None:
        self.wait = wait
        until = f", until {wait.until.isoformat()}" if wait.until else ""
        super().__init__(f"held back by: {wait.rule}{until}")
