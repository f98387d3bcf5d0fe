"""The ticks so far, numbered by sender; those under way; and those to assume where none are recorded."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

from domain import events as e
from domain.replay.sides import CADENCE
from domain.replay.ticks import Grid, Tick, TickKind

COVERED = timedelta(minutes=10)
"""A mail so long after its sender's last recorded tick was sent by none that is known: ticks are assumed there."""


class Ticks:
    """The ticks so far, numbered by sender, and those that are under way."""

    def __init__(self) -> None:
        self.numbers: Counter[e.Sender] = Counter()
        self.latest: dict[e.Sender, Tick] = {}
        self.grids: dict[e.Sender, Grid] = {}
        self.assumed_from: datetime | None = None
        self._under_way: dict[tuple[str, e.Sender, datetime], int] = {}

    def take(self, tick: Tick) -> None:
        """One more."""
        self.numbers[tick.sender] += 1
        self.latest[tick.sender] = tick
        if tick.kind is TickKind.ASSUMED:
            self.assumed_from = self.assumed_from or tick.at
        if tick.kind is TickKind.WORK:
            self._under_way[tick.runner, tick.sender, tick.at] = self.numbers[tick.sender]

    def finished(self, event: e.TickFinished) -> None:
        """It is through; the next of this runner may be under way already."""
        self._under_way.pop((event.runner, event.sender, event.tick_at), None)

    def is_open(self, sender: e.Sender, number: int | None = None, runner: str | None = None) -> bool:
        """Is this tick, or the newest, under way? An assumed one is, until the next. `runner`: in whose hands; one that
        is gone never finished its last."""
        latest = self.latest.get(sender)
        number = self.numbers[sender] if number is None else number
        if latest is not None and latest.kind is TickKind.ASSUMED and number == self.numbers[sender]:
            return True
        return any(
            sender == of and number == one and runner in (None, by) for (by, of, _), one in self._under_way.items()
        )

    def missing(self, sender: e.Sender, at: datetime) -> list[Tick]:
        """The ticks to assume before a mail of which no recorded tick tells: from then on, before everything that
        happens, until one is recorded again."""
        latest = self.latest.get(sender)
        if latest is None or latest.kind is not TickKind.ASSUMED:
            under_way = latest is not None and latest.kind is TickKind.WORK and self.is_open(sender)
            if under_way or (latest is not None and abs(at - latest.at) <= COVERED):
                return []
            grid = self.grids.setdefault(sender, Grid(sender, CADENCE[sender]))
            if latest is not None:
                grid.skip_to(latest.at)
        return list(self.grids[sender].up_to(at))

    def assumed_until(self, sender: e.Sender, at: datetime) -> list[Tick]:
        """The assumed ticks before something that happens, while ticks are assumed."""
        latest = self.latest.get(sender)
        assumed = latest is not None and latest.kind is TickKind.ASSUMED
        return list(self.grids[sender].up_to(at)) if assumed else []
