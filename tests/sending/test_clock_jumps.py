"""F42: the wall clock jumps. No mail leaves early, the ticks go on, and the jump is logged."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import time_machine

import runner.daemon
from domain.events import EmailLocked, Sender
from domain.rules import Limits
from runner.clock import RealClock
from runner.daemon import CLOCK_JUMP, Runner, run_real
from runner.sending.worker import Tick
from runner.store.ledger import Ledger
from tests.faults.invariants import broken
from tests.faults.processes import TIMEOUT_S, wait_until
from tests.faults.world import START, World

CADENCE: dict[Sender, timedelta] = {"v1": timedelta(seconds=2), "v2": timedelta(seconds=2)}
A_TICK_LATER = timedelta(seconds=3)
"""More than the cadence, and less than a jump."""
HOUR = timedelta(hours=1)

Log = list[MutableMapping[str, Any]]


class Counted(Runner):
    """A runner that counts its ticks."""

    ticks = 0

    def tick(self, sender: Sender) -> Tick | None:
        self.ticks += 1
        return super().tick(sender)


@contextmanager
def running(ledger: Ledger, folder: Path) -> Iterator[Counted]:
    """A daemon in real time; its first ticks, one of each sender, are over."""
    with Counted(ledger, folder, RealClock()) as runner:
        thread = Thread(target=run_real, args=(runner, CADENCE, None))
        thread.start()
        try:
            wait_until(lambda: runner.ticks == 2)
            yield runner
        finally:
            runner.stopping.set()
            thread.join(TIMEOUT_S)
            assert not thread.is_alive()


def jumps(log: Log) -> list[int]:
    return [entry["seconds"] for entry in log if entry["event"] == "the clock jumped"]


@pytest.fixture(autouse=True)
def _quick_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner.daemon, "HEARTBEAT_S", 0.005)


@pytest.mark.parametrize("direction", [-1, 1])
@pytest.mark.parametrize("size", [2 * CLOCK_JUMP, HOUR, timedelta(days=30)])
def test_f42_after_a_jump_the_ticks_go_on_at_their_pace_and_it_is_logged(
    ledger: Ledger, runners: Path, log: Log, size: timedelta, direction: int
) -> None:
    jump = direction * size
    with time_machine.travel(START, tick=True) as wall, running(ledger, runners) as runner:
        wall.shift(jump)
        wait_until(lambda: bool(jumps(log)))
        before = runner.ticks
        assert before <= 4  # none was made up for
        wall.shift(A_TICK_LATER)
        wait_until(lambda: runner.ticks >= before + 2)
        assert jumps(log) == [round(jump.total_seconds())]


def test_f42_a_clock_that_is_set_right_by_little_is_no_jump(ledger: Ledger, runners: Path, log: Log) -> None:
    with time_machine.travel(START, tick=True) as wall, running(ledger, runners) as runner:
        wall.shift(A_TICK_LATER)
        wait_until(lambda: runner.ticks >= 4)
    assert jumps(log) == []


class Watch(RealClock):
    """The machine's clock, which may be set, beside time that really passes."""

    def __init__(self) -> None:
        self.passed = timedelta()

    def steady(self) -> timedelta:
        return self.passed


@pytest.mark.parametrize("sender", ["v1", "v2"])
def test_f42_no_mail_leaves_early_whichever_way_the_clock_is_set_and_none_is_made_up_for(
    world: World, sender: Sender
) -> None:
    world.campaign(1, sender, ["lead"] * 4, limits=Limits(daily_limit=1000, delay_s=600))
    clock, sent = Watch(), []
    with (
        time_machine.travel(START, tick=False) as wall,
        closing(Ledger(world.database)) as ledger,
        Runner(ledger, world.runners, clock) as runner,
    ):
        for set_by, passes in [
            (timedelta(0), timedelta(0)),
            (-HOUR, timedelta(0)),
            (HOUR, timedelta(minutes=7)),
            (timedelta(0), timedelta(minutes=6)),
            (HOUR, timedelta(0)),
            (timedelta(0), timedelta(minutes=7)),
            (timedelta(0), HOUR),
            (timedelta(0), timedelta(0)),
        ]:
            wall.shift(set_by + passes)
            clock.passed += passes
            if (tick := runner.tick(sender)) is not None:
                tick.wait()
            sent.append(len(world.told(EmailLocked)))
    assert sent == [1, 1, 1, 2, 2, 2, 3, 3]
    world.follow()
    assert world.accepted().total() == 3
    assert broken(world) == []
