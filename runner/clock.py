"""The time of a ledger: real, or simulated and moved from tick to tick. Fixed when the ledger is made."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What asks for the time gets an aware UTC datetime."""

    def now(self) -> datetime:
        """The time of this ledger."""

    def steady(self) -> timedelta:
        """Time that passes evenly, whatever is done to the clock; it says nothing of the date."""


class RealClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Now."""
        return datetime.now(UTC)

    def steady(self) -> timedelta:
        """Since the machine was started."""
        return timedelta(seconds=time.monotonic())


class SimulatedClock:
    """Stands still until it is moved, and never goes back."""

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        """Where it stands."""
        return self._now

    def steady(self) -> timedelta:
        """Nobody sets it."""
        return self._now - datetime.min.replace(tzinfo=UTC)

    def move_to(self, at: datetime) -> None:
        """Forward to this instant."""
        self._now = max(self._now, at.astimezone(UTC))
