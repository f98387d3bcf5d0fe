"""F41: nobody was there for an hour, a night or a week. The pace stays as it was, no day is lost, and it is told."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from domain.calendar import Schedule
from domain.events import EmailLocked, Sender, TicksMissed
from domain.rules import Limits
from projections import queries
from projections.database import reading
from runner.clock import SimulatedClock
from runner.daemon import CADENCE, Runner, run_simulated
from runner.store.ledger import Ledger
from tests.faults.invariants import broken
from tests.faults.world import START, World

MINUTE = timedelta(minutes=1)
DELAY = timedelta(seconds=90)
OFFICE = Schedule(zone="Europe/Warsaw", start="08:00", end="16:00")
PACED = Limits(daily_limit=1000, delay_s=90)

senders = pytest.mark.parametrize("sender", ["v1", "v2"])


def run(world: World, start: datetime, until: datetime) -> list[datetime]:
    """As `sendledger run` does after a while: what was missed is told first. The times of the mails that then left."""
    before = len(world.told(EmailLocked))
    world.follow()
    with reading(world.engine) as views:
        last = {sender: datetime.fromisoformat(at) for sender, at in queries.last_ticks(views).items()}
    clock = SimulatedClock(start)
    with closing(Ledger(world.database)) as ledger, Runner(ledger, world.runners, clock) as runner:
        runner.record_missed({sender: (last[sender], CADENCE[sender]) for sender in CADENCE if sender in last})
        run_simulated(runner, clock, CADENCE, until)
    world.follow()
    return [event.recorded_at for event in world.told(EmailLocked)[before:]]


@senders
@pytest.mark.parametrize("away", [timedelta(hours=1), timedelta(days=1), timedelta(days=7)])
def test_f41_after_downtime_the_work_goes_on_at_its_normal_pace_and_at_once(
    world: World, sender: Sender, away: timedelta
) -> None:
    world.campaign(1, sender, ["lead"] * 60, limits=PACED, schedule=OFFICE)
    before = run(world, START, START + 20 * MINUTE)
    back = START + 20 * MINUTE + away
    after = run(world, back, back + 20 * MINUTE)
    assert before[0] == START
    assert after[0] == back
    for mails in (before, after):
        gaps = [later - earlier for earlier, later in pairwise(mails)]
        assert all(0.8 * DELAY <= gap <= 1.2 * DELAY + 1 * MINUTE for gap in gaps)
    assert abs(len(after) - len(before)) <= 3
    assert broken(world) == []


@senders
def test_f41_after_a_night_the_mails_of_the_evening_wait_for_the_morning_and_none_is_lost(
    world: World, sender: Sender
) -> None:
    world.campaign(1, sender, ["lead"] * 12, limits=PACED, schedule=OFFICE)
    evening = START.replace(hour=13, minute=55)  # 15:55 in Warsaw
    night = START.replace(hour=23)
    morning = START + timedelta(days=1)
    assert len(run(world, evening, evening + 3 * MINUTE)) in (2, 3)
    assert run(world, night, night + 30 * MINUTE) == []
    assert run(world, morning - 30 * MINUTE, morning + 40 * MINUTE)[0] == morning
    assert world.states(1) == ["sent"] * 12
    assert broken(world) == []


def test_f41_the_ticks_that_were_missed_are_told_of_each_sender(world: World) -> None:
    world.campaign(1, "v1", ["lead"])
    run(world, START, START + 10 * MINUTE)
    assert world.told(TicksMissed) == []
    back = START + timedelta(hours=9)
    run(world, back, back + MINUTE)
    told = [event for event in world.told(TicksMissed) if isinstance(event, TicksMissed)]
    assert {event.sender: event.count for event in told} == {"v1": 9 * 60 - 10, "v2": 2 * (9 * 60 - 10)}
    assert {event.before for event in told} == {back}
    run(world, back + MINUTE, back + 2 * MINUTE)
    assert len(world.told(TicksMissed)) == 2
    assert broken(world) == []
