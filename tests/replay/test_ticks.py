"""Ticks among events: each in the place where it came, whether it was written down at once, later, or never."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from domain import events as e
from domain import idle_ticks
from domain.replay.ticks import Grid, Row, Step, Tick, TickKind, cut, in_order
from tests.domain.given import NOON

MINUTE = timedelta(minutes=1)


def at(minutes: float) -> datetime:
    return NOON + minutes * MINUTE


def tick_event(
    kind: type[Any], position: int, minutes: float, sender: e.Sender = "v1", by: str = "r1", **said: Any
) -> Row:
    stream = f"ticks-{by}-{sender}-2025-03-04"
    return position, kind(originator_id=stream, recorded_at=at(minutes), runner=by, sender=sender, **said)


def _started(position: int, runner: str) -> Row:
    said: dict[str, Any] = {"host": "here", "pid": 1, "version": "1"}
    stream = f"runner-{runner}"
    return position, e.RunnerStarted(originator_id=stream, recorded_at=at(0), runner=runner, **said)


def paused(position: int, minutes: float) -> Row:
    return position, e.CampaignPaused(originator_id="campaign-1", recorded_at=at(minutes), actor="anna")


def idle(position: int, first: float, last: float, count: int, sender: e.Sender = "v1") -> Row:
    said: dict[str, Any] = {"count": count, "first_at": at(first), "last_at": at(last)}
    return tick_event(e.TicksIdle, position, last, sender, **said)


def missed(position: int, count: int, after: float, before: float) -> Row:
    return tick_event(e.TicksMissed, position, before, count=count, after=at(after), before=at(before))


def told(steps: list[Step]) -> list[tuple[str, float]]:
    """Ticks by their kind and events by their class, with the minute."""
    return [
        (str(step.kind) if isinstance(step, Tick) else type(step[1]).__name__, (_when(step) - NOON) / MINUTE)
        for step in steps
    ]


def _when(step: Step) -> datetime:
    return step.at if isinstance(step, Tick) else step[1].recorded_at


def test_an_idle_run_is_laid_around_what_happened_while_it_lasted() -> None:
    rows = [paused(1, 1.5)]
    ticks = [idle(2, 0, 3, 4)]

    steps = list(in_order(rows, ticks))

    assert told(steps) == [("idle", 0), ("idle", 1), ("CampaignPaused", 1.5), ("idle", 2), ("idle", 3)]


def test_what_happens_at_the_instant_of_an_idle_tick_came_before_it() -> None:
    steps = list(in_order([paused(1, 1)], [idle(2, 0, 1, 2)]))

    assert told(steps) == [("idle", 0), ("CampaignPaused", 1), ("idle", 1)]


def test_a_tick_that_found_work_stands_where_it_stands() -> None:
    started = tick_event(e.TickStarted, 2, 5, tick_at=at(5), due=1)
    said: dict[str, Any] = {"considered": 1, "sent": 1, "failed": 0, "in_doubt": 0, "deferred": {}}
    finished = tick_event(e.TickFinished, 4, 5, tick_at=at(5), **said)

    steps = list(in_order([paused(1, 5), paused(3, 5)], [started, finished]))

    assert [name for name, _ in told(steps)] == ["CampaignPaused", "work", "CampaignPaused", "TickFinished"]


def test_a_run_comes_no_earlier_than_the_tick_before_it() -> None:
    """The clock was set back between the two: the log knows better than the times."""
    started = tick_event(e.TickStarted, 2, 10, tick_at=at(10), due=1)

    steps = list(in_order([paused(1, 9), paused(3, 11)], [started, idle(4, 2, 3, 2)]))

    assert [name for name, _ in told(steps)] == ["CampaignPaused", "work", "idle", "idle", "CampaignPaused"]


def test_a_run_comes_after_its_own_runner_s_tick_whatever_another_did_meanwhile() -> None:
    begun = [_started(position, runner) for position, runner in ((1, "r1"), (2, "r2"))]
    works = [tick_event(e.TickStarted, 2 * nth + 1, nth, tick_at=at(nth), due=1, by="r2") for nth in (1, 3)]

    steps = list(in_order([paused(4, 1.5), paused(8, 3.5)], [*begun, *works, idle(9, 0.5, 4.5, 5)]))

    assert [when for _, when in told(steps)] == [0.5, 1, 1.5, 1.5, 2.5, 3, 3.5, 3.5, 4.5]


def test_a_runner_s_first_run_comes_after_its_start() -> None:
    """The clock was set back before it."""
    steps = list(in_order([paused(1, 9), paused(3, 4)], [_started(2, "r1"), idle(4, 2, 3, 2)]))

    assert told(steps) == [("CampaignPaused", 9), ("idle", 2), ("idle", 3), ("CampaignPaused", 4)]


def test_missed_ticks_lie_between_the_last_and_the_first() -> None:
    [first, *_, last] = list(in_order([], [missed(1, 3, after=6, before=10)]))

    assert isinstance(first, Tick)
    assert (first.kind, first.at, first.between) == (TickKind.MISSED, at(7), (at(6), at(10)))
    assert isinstance(last, Tick)
    assert last.at == at(9)


def test_runs_of_two_senders_interleave_by_time() -> None:
    steps = list(in_order([], [idle(1, 0, 2, 3), idle(2, 0.5, 1.5, 2, "v2")]))

    assert [step.sender for step in steps if isinstance(step, Tick)] == ["v1", "v2", "v1", "v2", "v1"]


def test_a_cut_run_ends_with_its_ticks_so_far() -> None:
    [(position, run)] = cut([idle(9, 0, 10, 11)], position=5, at=at(3.5))

    assert isinstance(run, e.TicksIdle)
    assert (position, run.count, run.last_at) == (9, 4, at(3))


def test_the_ticks_of_a_cut_run_are_those_that_were() -> None:
    """Its shortest distance is its last, which a part of it lacks."""
    ticks = [at(minutes) for minutes in (0, 1.25, 2, 3.5, 4)]
    run = tick_event(e.TicksIdle, 9, 4, **idle_ticks.told(ticks))

    steps = list(in_order([], cut([run], position=5, at=at(3.5))))

    assert [step.at for step in steps if isinstance(step, Tick)] == ticks[:4]


def test_all_runs_so_far_are_known_where_nothing_else_was_written_between_them() -> None:
    runs = [idle(8, 0, 1, 2), idle(9, 2, 3, 2), missed(10, 3, after=3, before=7), idle(11, 7, 9, 3)]

    steps = list(in_order([], cut(runs, position=5, at=at(5))))

    assert told(steps) == [("idle", 0), ("idle", 1), ("idle", 2), ("idle", 3), ("missed", 4), ("missed", 5)]


def test_a_grid_begins_at_the_tick_before_and_gives_each_once() -> None:
    grid = Grid("v1", MINUTE)

    assert [tick.at for tick in grid.up_to(at(0.5))] == [at(0)]
    assert [tick.at for tick in grid.up_to(at(2))] == [at(1), at(2)]
    assert list(grid.up_to(at(2))) == []
    assert grid.made == 3
