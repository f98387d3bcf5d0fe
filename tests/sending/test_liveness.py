"""Who lives: a kernel lock says so. What a gone runner left locked is put in doubt, what a living one holds is not."""

from __future__ import annotations

import os
import signal
import subprocess
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from domain.events import CampaignCompleted, EmailInDoubt, Event
from runner.clock import SimulatedClock
from runner.sending.liveness import RunnerLock, is_gone, lock_file
from runner.sending.recording import sweep
from runner.store.ledger import Ledger
from tests.domain.given import NOON, running
from tests.faults.processes import TIMEOUT_S, ended, is_stopped, put_away, started, wait_until

CLOCK = SimulatedClock(NOON)


def hold(folder: Path) -> None:
    """The work of a process: it lives, with a child of its own, until it is killed."""
    with RunnerLock(folder) as lock:
        # A child that inherits every descriptor its parent did not close to it, and outlives it.
        child = subprocess.Popen(["sleep", str(TIMEOUT_S)], close_fds=False)
        (folder / "child").write_text(str(child.pid))
        (folder / "runner").write_text(lock.runner)
        while True:
            signal.pause()


def holder(folder: Path) -> tuple[BaseProcess, str]:
    process = started(hold, folder)
    wait_until((folder / "runner").exists)
    return process, (folder / "runner").read_text()


def put_in_doubt(ledger: Ledger) -> list[Event]:
    return [event for _, event in ledger.read(0, 1000) if isinstance(event, EmailInDoubt)]


def test_a_killed_process_is_gone_and_a_living_or_stopped_one_is_not(runners: Path) -> None:
    process, runner = holder(runners)
    try:
        assert process.pid is not None
        assert not is_gone(runners, runner)
        os.kill(process.pid, signal.SIGSTOP)
        wait_until(lambda: is_stopped(process))
        assert not is_gone(runners, runner)
        os.kill(process.pid, signal.SIGKILL)
        assert ended(process) == -signal.SIGKILL
        assert lock_file(runners, runner).exists()  # nobody was left to tidy up
        assert is_gone(runners, runner)
    finally:
        put_away(process)
        os.kill(int((runners / "child").read_text()), signal.SIGKILL)


def test_a_lock_of_this_very_process_is_seen_as_held(runners: Path) -> None:
    with RunnerLock(runners) as lock:
        assert not is_gone(runners, lock.runner)
    assert is_gone(runners, lock.runner)
    assert list(runners.iterdir()) == []


def test_to_ask_whether_a_runner_is_gone_leaves_no_lock_behind(runners: Path) -> None:
    lock_file(runners, "gone").touch()
    assert is_gone(runners, "gone")
    assert is_gone(runners, "gone")
    assert is_gone(runners, "never-there")
    assert not lock_file(runners, "never-there").exists()


def test_every_start_is_a_runner_of_its_own(runners: Path) -> None:
    with RunnerLock(runners) as first, RunnerLock(runners) as second:
        assert first.runner != second.runner


@pytest.mark.parametrize("folder", ["new", "new/er"])
def test_the_folder_of_the_runners_is_made_for_its_owner_alone(tmp_path: Path, folder: str) -> None:
    with RunnerLock(tmp_path / folder):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o700


def test_everything_that_gone_runners_left_locked_is_put_in_doubt_once(ledger: Ledger, runners: Path) -> None:
    world = running(5, 5, 5, 5)
    world.lock(0, runner="gone")
    world.lock(1, runner="gone too")
    world.lock(2, runner="gone")
    ledger.append(world.history)
    lock_file(runners, "gone").touch()
    assert len(sweep(ledger, 1, runners, CLOCK)) == 3
    assert sweep(ledger, 1, runners, CLOCK) == []
    assert len(put_in_doubt(ledger)) == 3
    with ledger.campaign(1) as campaign:
        assert [campaign.roll.state(position).label for position in range(4)] == ["in doubt"] * 3 + ["queued"]


def test_what_a_living_runner_holds_is_left_to_it(ledger: Ledger, runners: Path) -> None:
    with RunnerLock(runners) as living:
        world = running(5, 5)
        world.lock(0, runner=living.runner)
        world.lock(1, runner="gone")
        ledger.append(world.history)
        sweep(ledger, 1, runners, CLOCK)
        with ledger.campaign(1) as campaign:
            assert [campaign.roll.state(position).label for position in range(2)] == ["locked", "in doubt"]


def test_when_the_last_lead_is_put_in_doubt_the_campaign_is_completed(ledger: Ledger, runners: Path) -> None:
    world = running(5)
    world.lock(0)
    ledger.append(world.history)
    assert [type(event) for event in sweep(ledger, 1, runners, CLOCK)] == [EmailInDoubt, CampaignCompleted]


def test_an_outcome_that_came_meanwhile_is_not_overruled(ledger: Ledger, other: Ledger, runners: Path) -> None:
    world = running(5)
    token = world.lock(0)
    ledger.append(world.history)
    with ledger.campaign(1):
        pass
    other.append(world.sent(token))
    assert sweep(ledger, 1, runners, CLOCK) == []
    assert put_in_doubt(ledger) == []
