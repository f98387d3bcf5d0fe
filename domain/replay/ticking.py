"""The ticks of a history so far: how many, which of them are under way, how exactly it is known when they came, and
which are to be assumed where none are recorded."""

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
        self._distances: dict[e.Sender, Counter[int]] = {"v1": Counter(), "v2": Counter()}  # in seconds
        self._newest: Counter[e.Sender] = Counter()  # but for idle ones of a runner beside one that works
        self._worked: dict[e.Sender, str] = {}  # whose the newest is that found work
        self._farthest: dict[tuple[str, e.Sender], datetime] = {}
        self._under_way: dict[tuple[str, e.Sender, datetime], int] = {}
        self._runners: dict[tuple[e.Sender, int], str] = {}  # of those under way: one that is gone leaves them there

    def take(self, tick: Tick) -> None:
        """One more."""
        self.numbers[tick.sender] += 1
        self.latest[tick.sender] = tick
        works = self._runners.get((tick.sender, self._newest[tick.sender]), tick.runner)
        if tick.kind is not TickKind.IDLE or works == tick.runner:
            self._newest[tick.sender] = self.numbers[tick.sender]
        by = (tick.runner, tick.sender)
        farthest = self._farthest.get(by, tick.at)
        if tick.kind in (TickKind.WORK, TickKind.IDLE) and tick.at > farthest:
            self._distances[tick.sender][round((tick.at - farthest).total_seconds())] += 1
        self._farthest[by] = max(farthest, tick.at)
        if tick.kind is TickKind.WORK:
            self._worked[tick.sender] = tick.runner
            self._end(tick.runner, tick.sender, tick.at)
            number = self._under_way[tick.runner, tick.sender, tick.at] = self.numbers[tick.sender]
            self._runners[tick.sender, number] = tick.runner

    def every(self, sender: e.Sender) -> timedelta:
        """Its cadence: the commonest distance of its ticks, or the usual one where none is known."""
        [(seconds, _)] = self._distances[sender].most_common(1) or [(0, 0)]
        return timedelta(seconds=seconds) or CADENCE[sender]

    def is_inexact(self, sender: e.Sender) -> bool:
        """Is it not known when just the newest one came? So of an assumed one; and of an idle one whose time was not
        written down, beside another runner that works."""
        latest = self.latest.get(sender)
        if latest is None or latest.kind is TickKind.ASSUMED:
            return True
        return not latest.is_known and self._worked.get(sender, latest.runner) != latest.runner

    def is_late(self, tick: Tick, state_at: datetime) -> bool:
        """Is the newest, which was told when its run was over, older than the state it meets? Not where its runner had
        a later one before: the clock was set back, and the log knows better than the times."""
        is_of_run = tick.kind in (TickKind.IDLE, TickKind.MISSED)
        return is_of_run and tick.at < state_at and tick.at >= self._farthest[tick.runner, tick.sender]

    def finished(self, event: e.TickFinished) -> None:
        """It is through; the next of this runner may be under way already."""
        self._end(event.runner, event.sender, event.tick_at)

    def is_open(self, sender: e.Sender, number: int | None = None, runner: str | None = None) -> bool:
        """Is this tick, or the newest, under way? An assumed one is, until the next. `runner`: in whose hands; one that
        is gone never finished its last."""
        latest = self.latest.get(sender)
        number = self._newest[sender] if number is None else number
        if latest is not None and latest.kind is TickKind.ASSUMED and number == self.numbers[sender]:
            return True
        by = self.runner(sender, number)
        return by is not None and runner in (None, by)

    def runner(self, sender: e.Sender, number: int) -> str | None:
        """In whose hands this tick is, if it is under way."""
        return self._runners.get((sender, number))

    def number(self, event: e.TickFinished) -> int | None:
        """Of the tick that is through."""
        return self._under_way.get((event.runner, event.sender, event.tick_at))

    def _end(self, runner: str, sender: e.Sender, at: datetime) -> None:
        number = self._under_way.pop((runner, sender, at), None)
        if number is not None:
            del self._runners[sender, number]

    def covers(self, sender: e.Sender, at: datetime) -> bool:
        """Can a mail of this instant have been sent in a recorded tick?"""
        latest = self.latest.get(sender)
        if latest is None or latest.kind is TickKind.ASSUMED:
            return False
        is_under_way = latest.kind is TickKind.WORK and self.is_open(sender)
        return is_under_way or abs(at - latest.at) <= COVERED

    def missing(self, sender: e.Sender, at: datetime) -> list[Tick]:
        """The ticks to assume before a mail of which no recorded tick tells: from then on, before everything that
        happens, until one is recorded again."""
        if self.covers(sender, at):
            return []
        latest = self.latest.get(sender)
        if latest is None or latest.kind is not TickKind.ASSUMED:
            grid = self.grids.setdefault(sender, Grid(sender, CADENCE[sender]))
            if latest is not None:
                grid.skip_to(latest.at)
            self.assumed_from = min(self.assumed_from, at) if self.assumed_from else at
        return list(self.grids[sender].up_to(at))

    def assumed_until(self, sender: e.Sender, at: datetime) -> list[Tick]:
        """The assumed ticks before something that happens, while ticks are assumed."""
        latest = self.latest.get(sender)
        assumed = latest is not None and latest.kind is TickKind.ASSUMED
        return list(self.grids[sender].up_to(at)) if assumed else []
