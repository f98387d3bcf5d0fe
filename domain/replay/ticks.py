"""Events and ticks in one line. A tick that found work has a place in the log; runs of idle and of missed ticks are
written down after the fact, so each of their ticks is put where its time falls, between the events around the run.

Position orders; of the ticks inside a run, times say between which events they lie: a tick comes after what happened
at its very instant.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import count, takewhile
from typing import NamedTuple

from domain import events as e
from domain.counting import EPOCH
from domain.idle_ticks import times

Row = tuple[int, e.Event]
"""An event and its position in the log."""


class TickKind(StrEnum):
    """How a tick is known."""

    WORK = "work"
    IDLE = "idle"
    MISSED = "missed"
    ASSUMED = "assumed"


class Tick(NamedTuple):
    """One tick of a sender. `between`: of a missed one, the last tick before the outage and the first after it.
    `is_known`: False in a run of `TicksIdle/1`, which holds its first and its last alone."""

    at: datetime
    sender: e.Sender
    kind: TickKind
    runner: str = ""
    between: tuple[datetime, datetime] | None = None
    is_known: bool = True


Step = Row | Tick

Run = e.TicksIdle | e.TicksMissed
RUNS = (e.TicksIdle, e.TicksMissed)
TICK_EVENTS = (e.TickStarted, e.TickFinished, *RUNS)


def happened(event: e.Event) -> datetime:
    """When it happened, which for an imported event is not when it was recorded."""
    return event.occurred_at or event.recorded_at


def in_order(rows: Iterable[Row], ticks: Sequence[Row]) -> Iterator[Step]:
    """The events of campaigns and mailboxes, and all ticks, in the order in which they came. Both are in log order;
    the ticks are known beforehand, for a run is written down after its ticks. Among them it is told when a runner
    started."""
    runs, nth = _Runs(ticks), 0
    for row in rows:
        while nth < len(ticks) and ticks[nth][0] < row[0]:
            yield from runs.tick_event(*ticks[nth])
            nth += 1
        if runs.waiting(row[0]):
            yield from runs.until(row[0], happened(row[1]))
        yield row
    for position, event in ticks[nth:]:
        yield from runs.tick_event(position, event)


def cut(ticks: Iterable[Row], position: int, at: datetime) -> list[Row]:
    """The tick events as they were known at this place of the log and time: of runs that are written down later, the
    ticks so far, as if each run had ended with them."""
    known: list[Row] = []
    for place, event in ticks:
        if place <= position:
            known.append((place, event))
        elif isinstance(event, RUNS) and (so_far := list(takewhile(at.__ge__, _times(event)))):
            known.append((place, event.model_copy(update=_ended(event, so_far))))
    return known


def _ended(run: Run, ticks: Sequence[datetime]) -> Mapping[str, object]:
    """What it says when it has so many ticks."""
    if isinstance(run, e.TicksMissed):
        return {"count": len(ticks), "before": ticks[-1] + (ticks[0] - run.after)}
    over_us = run.over_us and run.over_us[: len(ticks) - 1]
    return {"count": len(ticks), "last_at": ticks[-1], "over_us": over_us}


class Grid:
    """Ticks that nobody recorded: one every so often, on round times of UTC."""

    def __init__(self, sender: e.Sender, every: timedelta) -> None:
        self.sender, self.every = sender, every
        self.made = 0
        self._last: datetime | None = None

    def up_to(self, at: datetime) -> Iterator[Tick]:
        """Those after the last one until `at`, itself included; the first time only the one at or before `at`."""
        newest = EPOCH + self.every * ((at - EPOCH) // self.every)
        following = newest if self._last is None else self._last + self.every
        while following <= newest:
            self._last = following
            self.made += 1
            yield Tick(following, self.sender, TickKind.ASSUMED)
            following += self.every

    def skip_to(self, at: datetime) -> None:
        """Up to here the ticks are known otherwise."""
        self._last = max(self._last, at) if self._last else at


class _Placed(NamedTuple):
    """A run, to be put between two places of the log."""

    after: int
    position: int
    run: Run


class _Runs:
    """The runs of a history: each opens after the tick before it, and is through at its own place in the log. Before an
    idle tick came its own runner's, and that runner's start: others may have gone on meanwhile. Before a missed one
    came those of all."""

    def __init__(self, ticks: Sequence[Row]) -> None:
        started: dict[str, int] = {}
        last: dict[tuple[e.Sender, str], int] = {}
        newest: dict[e.Sender, int] = {}
        runs = []
        for position, event in ticks:
            if isinstance(event, e.RunnerStarted):
                started[event.runner] = position
            elif isinstance(event, TICK_EVENTS):
                own = last.get((event.sender, event.runner), started.get(event.runner, 0))
                after = newest.get(event.sender, 0) if isinstance(event, e.TicksMissed) else own
                if isinstance(event, RUNS) and event.count:
                    runs.append(_Placed(after, position, event))
                last[event.sender, event.runner] = newest[event.sender] = position
        self._closed = sorted(runs, key=lambda run: (run.after, run.position), reverse=True)
        self._open: list[tuple[datetime, int, int, Tick, Iterator[Tick]]] = []
        self._numbers = count()

    def waiting(self, position: int) -> bool:
        """Could a tick of a run come before this place?"""
        return bool(self._open) or bool(self._closed and self._closed[-1].after < position)

    def until(self, position: int, at: datetime) -> Iterator[Tick]:
        """The ticks of open runs before this event: those of an earlier time."""
        while self._closed and self._closed[-1].after < position:
            _, place, run = self._closed.pop()
            ticks = _ticks(run)
            first = next(ticks)
            heapq.heappush(self._open, (first.at, place, next(self._numbers), first, ticks))
        while self._open and self._open[0][0] < at:
            yield self._next()

    def tick_event(self, position: int, event: e.Event) -> Iterator[Step]:
        """A tick of its own; or the end of a run, with all that is left of it."""
        if not isinstance(event, TICK_EVENTS):
            return
        yield from self.until(position, happened(event))
        if isinstance(event, e.TickStarted):
            yield Tick(event.tick_at.astimezone(UTC), event.sender, TickKind.WORK, event.runner)
        elif isinstance(event, e.TickFinished):
            yield position, event
        while any(place <= position for _, place, *_ in self._open):
            yield self._next()

    def _next(self) -> Tick:
        _, place, number, tick, ticks = self._open[0]
        if (following := next(ticks, None)) is not None:
            heapq.heapreplace(self._open, (following.at, place, number, following, ticks))
        else:
            heapq.heappop(self._open)
        return tick


def _ticks(run: Run) -> Iterator[Tick]:
    if isinstance(run, e.TicksMissed):
        between = (run.after, run.before)
        return (Tick(at, run.sender, TickKind.MISSED, run.runner, between) for at in _times(run))
    is_known = run.over_us is not None
    return (Tick(at, run.sender, TickKind.IDLE, run.runner, is_known=is_known) for at in _times(run))


def _times(run: Run) -> Iterator[datetime]:
    if isinstance(run, e.TicksIdle):
        return times(run)
    first, every = run.after.astimezone(UTC), (run.before - run.after) / (run.count + 1)
    return (first + every * nth for nth in range(1, run.count + 1))
