"""Two runners on one ledger, of which one is killed in the middle of a tick; the other has idled, and goes on."""

from __future__ import annotations

import signal
from collections import deque
from contextlib import closing, suppress
from datetime import timedelta
from functools import partial
from multiprocessing.synchronize import Barrier
from threading import BrokenBarrierError

import pytest

from domain import events as e
from domain.replay.past import Setup
from domain.rules import Limits
from runner.clock import SimulatedClock
from runner.daemon import Runner
from runner.replaying.comparing import compare
from runner.store.ledger import Ledger
from tests.faults.processes import CONTEXT, TIMEOUT_S, ended
from tests.faults.steps import Fault, kill
from tests.faults.world import NO_DELAY, World
from tests.replay.given import MINUTE, MONDAY, OFFICE, PACED, late, tick_at

UNTIL = MONDAY + 45 * MINUTE
THIRD = 3


@pytest.mark.parametrize("step", ["after the lock", "after the record", "before the tick is told"])
def test_a_mail_that_another_runner_decided_is_replayed_in_its_tick(world: World, step: str) -> None:
    """Of the runner that dies before its tick is told, the idle ticks before it are lost too: they found nothing."""
    run_beside_one_that_dies(world, "v2", PACED, step)

    report = compare(world.ledger, 1, Setup())

    assert [one.same for one in report.fidelity] == [one.mails for one in report.fidelity]
    assert report.classes == []


@pytest.mark.parametrize(
    ("owner", "limits", "step"),
    [("v1", PACED, "before the lock"), ("v2", PACED, "before the lock"), ("v2", NO_DELAY, "after the lock")],
)
def test_a_mail_that_its_tick_left_open_has_that_for_a_cause(
    world: World, owner: e.Sender, limits: Limits, step: str
) -> None:
    dead = run_beside_one_that_dies(world, owner, limits, step)

    report = compare(world.ledger, 1, Setup())

    assert sum(one.mails - one.same for one in report.fidelity) == 1
    assert [(one.cause, one.mails) for one in report.causes] == [
        (f"left open by runner {dead}, in the middle of its tick", 1)
    ]


def run_beside_one_that_dies(world: World, owner: e.Sender, limits: Limits, step: str) -> str:
    """One runner on round times, which dies when it comes to this step for the third time; and one whose ticks come
    between those, at any distance. Which was it that died?"""
    world.campaign(1, owner, ["lead"] * 20, limits=limits, schedule=OFFICE)
    turn, clock = CONTEXT.Barrier(2), SimulatedClock(MONDAY)
    faults = Fault("before a tick", 1, partial(_pass_on, turn), always=True), Fault(step, THIRD, partial(_die, turn))
    other = world.victim(*faults, start=MONDAY, until=UNTIL)
    ticks = deque(late(MONDAY + timedelta(seconds=5), UNTIL, off=timedelta(seconds=24)))
    with closing(Ledger(world.database)) as ledger, Runner(ledger, world.runners, clock) as runner:
        with suppress(BrokenBarrierError):
            for other_at, _ in late(MONDAY, UNTIL, off=timedelta(0)):
                turn.wait(TIMEOUT_S)
                while ticks and ticks[0][0] < other_at:
                    tick_at(runner, clock, *ticks.popleft())
                turn.wait(TIMEOUT_S)
        assert ended(other) == -signal.SIGKILL
        tick_at(runner, clock, *ticks.popleft())
        runner.sweep()
        for at, sender in ticks:
            tick_at(runner, clock, at, sender)
    stopped = {event.runner for event in world.told(e.RunnerStopped) if isinstance(event, e.RunnerStopped)}
    started = {event.runner for event in world.told(e.RunnerStarted) if isinstance(event, e.RunnerStarted)}
    [dead] = started - stopped
    return dead


def _pass_on(turn: Barrier) -> None:
    """The other has its turn, and gives it back."""
    turn.wait(TIMEOUT_S)
    turn.wait(TIMEOUT_S)


def _die(turn: Barrier) -> None:
    turn.abort()
    kill()
