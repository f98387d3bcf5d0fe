"""The diary: every tick is an event, a run of idle ones is one, and what did not happen is written down too."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from eventsourcing.persistence import OperationalError

from domain.events import (
    Event,
    RunnerStarted,
    RunnerStopped,
    Sender,
    TickFinished,
    TicksIdle,
    TicksMissed,
    TickStarted,
)
from domain.idle_ticks import times
from domain.rules import Rule, Wait
from runner.clock import SimulatedClock
from runner.daemon import CADENCE, Runner
from runner.sending.diary import Diary
from runner.sending.worker import Tick
from runner.store.ledger import Ledger
from tests.store.given import recorder_of

NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

E = TypeVar("E", bound=Event)


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(NOON)


@pytest.fixture
def diary(ledger: Ledger, clock: SimulatedClock) -> Diary:
    return Diary(ledger, "r1", clock)


def told(ledger: Ledger, kind: type[E]) -> list[E]:
    return [event for _, event in ledger.read(0, 10_000) if isinstance(event, kind)]


def idle_minutes(diary: Diary, clock: SimulatedClock, count: int, sender: Sender = "v1") -> None:
    """So many idle ticks, one a minute from where the clock stands."""
    for _ in range(count):
        diary.idle(sender, clock.now())
        clock.move_to(clock.now() + MINUTE)


def runs(ledger: Ledger) -> list[tuple[Sender, int, datetime, datetime]]:
    return [(event.sender, event.count, event.first_at, event.last_at) for event in told(ledger, TicksIdle)]


def test_a_run_of_idle_ticks_is_one_event_written_when_a_tick_finds_work(
    ledger: Ledger, diary: Diary, clock: SimulatedClock
) -> None:
    idle_minutes(diary, clock, 7)
    assert ledger.position() == 0
    diary.started(Tick("v1", clock.now(), 1))
    assert [type(event) for event in told(ledger, Event)] == [TicksIdle, TickStarted]
    assert runs(ledger) == [("v1", 7, NOON, NOON + 6 * MINUTE)]


def test_the_idle_runs_of_the_two_senders_are_told_apart(ledger: Ledger, diary: Diary, clock: SimulatedClock) -> None:
    idle_minutes(diary, clock, 2)
    idle_minutes(diary, clock, 3, "v2")
    diary.started(Tick("v1", clock.now(), 1))
    assert [(sender, count) for sender, count, *_ in runs(ledger)] == [("v1", 2)]
    diary.runner_stopped()
    assert [(sender, count) for sender, count, *_ in runs(ledger)] == [("v1", 2), ("v2", 3)]
    assert isinstance(told(ledger, Event)[-1], RunnerStopped)


def test_an_idle_run_is_written_down_every_hour_so_that_a_crash_forgets_little(
    ledger: Ledger, diary: Diary, clock: SimulatedClock
) -> None:
    idle_minutes(diary, clock, 150)
    assert [count for _, count, *_ in runs(ledger)] == [60, 60]
    diary.runner_stopped()
    assert [count for _, count, *_ in runs(ledger)] == [60, 60, 30]
    firsts = [first for *_, first, _ in runs(ledger)]
    assert firsts == [NOON, NOON + 60 * MINUTE, NOON + 120 * MINUTE]


def test_an_idle_run_tells_when_each_of_its_ticks_was(ledger: Ledger, diary: Diary) -> None:
    ticks = [NOON + timedelta(seconds=each) for each in (0, 30.045, 60.241, 95.5)]
    for at in ticks:
        diary.idle("v2", at)
    diary.runner_stopped()
    [run] = told(ledger, TicksIdle)
    assert list(times(run)) == ticks


def test_an_idle_run_ends_with_its_utc_day_and_each_day_has_its_own_stream(ledger: Ledger) -> None:
    clock = SimulatedClock(datetime(2026, 10, 5, 23, 57, tzinfo=UTC))
    diary = Diary(ledger, "r1", clock)
    idle_minutes(diary, clock, 5)
    diary.runner_stopped()
    assert [
        (event.originator_id, event.count) for event in told(ledger, TicksIdle) if isinstance(event, TicksIdle)
    ] == [
        ("ticks-r1-v1-2026-10-05", 3),
        ("ticks-r1-v1-2026-10-06", 2),
    ]


def test_a_tick_with_work_is_two_events_that_say_what_came_of_it(ledger: Ledger, diary: Diary) -> None:
    tick = Tick("v2", NOON, 3)
    diary.started(tick)
    for kind in ("sent", "sent", "failed", "in doubt", "error"):
        tick.count(kind)
    assert not tick.finish_one(None)
    assert not tick.finish_one(Wait(Rule.DELAY))
    assert tick.finish_one(Wait(Rule.DELAY))
    diary.finished(tick)
    started, finished = told(ledger, Event)
    assert isinstance(started, TickStarted)
    assert isinstance(finished, TickFinished)
    assert (started.runner, started.sender, started.tick_at, started.due) == ("r1", "v2", NOON, 3)
    assert (finished.considered, finished.sent, finished.failed, finished.in_doubt) == (3, 2, 1, 1)
    assert finished.deferred == {"delay": 2}
    assert started.originator_id == finished.originator_id == "ticks-r1-v2-2026-10-05"


def test_a_campaign_that_has_nobody_left_is_not_deferred(ledger: Ledger, diary: Diary) -> None:
    tick = Tick("v1", NOON, 1)
    assert tick.finish_one(Wait(Rule.EMPTY))
    diary.finished(tick)
    [finished] = told(ledger, TickFinished)
    assert finished.deferred == {}


def test_a_runner_tells_its_start_and_its_end(ledger: Ledger, runners: Path, clock: SimulatedClock) -> None:
    with Runner(ledger, runners, clock) as runner:
        runner.tick("v1")
        clock.move_to(NOON + MINUTE)
        runner.tick("v1")
    assert [type(event) for event in told(ledger, Event)] == [RunnerStarted, TicksIdle, RunnerStopped]
    assert runs(ledger) == [("v1", 2, NOON, NOON + MINUTE)]


@pytest.mark.parametrize(
    ("away", "v1", "v2"),
    [
        (timedelta(seconds=30), 0, 0),
        (timedelta(seconds=60), 0, 1),
        (timedelta(seconds=119), 0, 2),
        (timedelta(minutes=2), 1, 3),
        (timedelta(hours=9), 539, 1079),
    ],
)
def test_ticks_that_nobody_was_there_for_are_counted(
    ledger: Ledger, runners: Path, clock: SimulatedClock, away: timedelta, v1: int, v2: int
) -> None:
    with Runner(ledger, runners, clock) as runner:
        runner.record_missed({sender: (NOON - away, cadence) for sender, cadence in CADENCE.items()})
    missed = told(ledger, TicksMissed)
    assert {event.sender: event.count for event in missed} == {
        sender: count for sender, count in (("v1", v1), ("v2", v2)) if count
    }
    assert {(event.after, event.before) for event in missed} <= {(NOON - away, NOON)}


def test_several_threads_write_one_diary_without_a_conflict(ledger: Ledger, diary: Diary) -> None:
    ticks = [Tick("v1", NOON, 1) for _ in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(diary.finished, ticks))
    assert [event.originator_version for event in told(ledger, TickFinished)] == list(range(1, 41))


def test_after_a_lost_answer_the_diary_goes_on_where_the_ledger_stands(
    ledger: Ledger, diary: Diary, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = type(recorder_of(ledger))
    append = recorder.append

    def stored_but_not_answered(*said: Any) -> None:
        append(*said)
        raise OperationalError("disk I/O error")

    diary.finished(Tick("v1", NOON, 1))
    with monkeypatch.context() as patch:
        patch.setattr(recorder, "append", stored_but_not_answered)
        with pytest.raises(OperationalError):
            diary.finished(Tick("v1", NOON, 1))
    diary.finished(Tick("v1", NOON, 1))
    assert [event.originator_version for event in told(ledger, TickFinished)] == [1, 2, 3]


def test_an_idle_run_is_kept_until_it_is_stored(
    ledger: Ledger, diary: Diary, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_stored(*_: Any) -> None:
        raise OperationalError("disk I/O error")

    idle_minutes(diary, clock, 3)
    with monkeypatch.context() as patch:
        patch.setattr(type(recorder_of(ledger)), "append", not_stored)
        for _ in range(2):
            with pytest.raises(OperationalError):
                diary.started(Tick("v1", clock.now(), 1))
    idle_minutes(diary, clock, 2)
    diary.runner_stopped()
    assert runs(ledger) == [("v1", 5, NOON, NOON + 4 * MINUTE)]
