"""Who lives: locks that no crash can leave behind say so. What a gone runner left locked is put in doubt, what a living
one holds is not. On one machine a kernel lock tells; of another machine only the server can, and not at once.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, MutableMapping
from contextlib import closing
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import URL

from domain.events import CampaignCompleted, EmailInDoubt, Event
from domain.rules import LONGEST_HOLD
from projections.database import engine_for, reading
from runner.clock import SimulatedClock
from runner.sending.claims import LONGEST_CLAIM, Claims
from runner.sending.liveness import LONGEST_WAIT, SUFFIX, Liveness, all_living
from runner.sending.recording import sweep
from runner.smtp.server import DOT_TIMEOUT_S
from runner.store.ledger import Ledger
from runner.store.postgres import connection_string
from tests.another_program import end_connections, give_back, take_away
from tests.databases import on_postgresql, on_sqlite
from tests.domain.given import NOON, running
from tests.faults.processes import TIMEOUT_S, ended, is_stopped, put_away, started, wait_until
from tests.store.given import one_more_a_day

CLOCK = SimulatedClock(NOON)
LONG_AGO = NOON - LONGEST_WAIT - timedelta(seconds=1)
JUST_NOW = NOON - LONGEST_WAIT


def hold(folder: Path, url: URL) -> None:
    """The work of a process: it lives, with a child of its own, until it is killed."""
    with Liveness(folder, url) as alive:
        # A child that inherits every descriptor its parent did not close to it, and outlives it.
        child = subprocess.Popen(["sleep", str(TIMEOUT_S)], close_fds=False)
        alive.claim(1)
        (folder / "child").write_text(str(child.pid))
        (folder / "started").write_text(alive.runner)
        (folder / "started").rename(folder / "runner")
        while True:
            signal.pause()


@pytest.fixture
def holder(runners: Path, database: URL) -> Iterator[tuple[BaseProcess, str]]:
    """A process that lives on this machine, and the runner it is."""
    process = started(hold, runners, database)
    try:
        wait_until((runners / "runner").exists)
        yield process, (runners / "runner").read_text()
    finally:
        put_away(process)
        os.kill(int((runners / "child").read_text()), signal.SIGKILL)


@pytest.fixture
def here(runners: Path, database: URL) -> Iterator[Liveness]:
    """A runner of this machine."""
    with Liveness(runners, database) as alive:
        yield alive


@pytest.fixture
def elsewhere(tmp_path: Path, database: URL) -> Iterator[Liveness]:
    """A runner of another machine: one that has a folder of its own."""
    with Liveness(tmp_path / "elsewhere", database) as alive:
        yield alive


def put_in_doubt(ledger: Ledger) -> list[Event]:
    return [event for _, event in ledger.read(0, 1000) if isinstance(event, EmailInDoubt)]


def states(ledger: Ledger, count: int) -> list[str]:
    with ledger.campaign(1) as campaign:
        return [campaign.roll.state(position).label for position in range(count)]


# --- on one machine ---


def test_a_killed_process_is_gone_at_once_and_a_living_or_stopped_one_is_not(
    holder: tuple[BaseProcess, str], here: Liveness, runners: Path
) -> None:
    process, runner = holder
    assert process.pid is not None
    assert not here.is_gone(runner, LONG_AGO, NOON)
    os.kill(process.pid, signal.SIGSTOP)
    wait_until(lambda: is_stopped(process))
    assert not here.is_gone(runner, LONG_AGO, NOON)
    os.kill(process.pid, signal.SIGKILL)
    assert ended(process) == -signal.SIGKILL
    assert (runners / f"{runner}{SUFFIX}").exists()  # nobody was left to tidy up
    assert here.is_gone(runner, NOON, NOON)
    assert here.is_gone_here(runner)


def test_a_lock_of_this_very_process_is_seen_as_held(here: Liveness, runners: Path, database: URL) -> None:
    with Liveness(runners, database) as other:
        for living in (here, other):
            assert not here.is_gone(living.runner, LONG_AGO, NOON)
            assert not other.is_gone(living.runner, LONG_AGO, NOON)
        assert living_now(runners, database) == {here.runner, other.runner}
    wait_until(lambda: here.is_gone(other.runner, LONG_AGO, NOON))  # a server hears of it a moment later
    assert living_now(runners, database) == {here.runner}
    assert [path.name for path in runners.iterdir()] == [f"{here.runner}{SUFFIX}"]


@on_postgresql
def test_a_runner_of_another_machine_is_seen_too(here: Liveness, database: URL, tmp_path: Path) -> None:
    assert living_now(tmp_path / "of another machine", database) == {here.runner}


def living_now(folder: Path, database: URL) -> set[str]:
    engine = engine_for(database)
    with reading(engine) as connection:
        found = all_living(folder, connection)
    engine.dispose()
    return found


def test_to_ask_whether_a_runner_is_gone_leaves_no_lock_behind(here: Liveness, runners: Path) -> None:
    (runners / f"dead{SUFFIX}").touch()
    for _ in range(2):
        for gone in ("dead", "beef"):
            assert here.is_gone(gone, LONG_AGO, NOON)
            assert here.is_gone_here(gone)
    assert not (runners / f"beef{SUFFIX}").exists()


def test_every_start_is_a_runner_of_its_own(runners: Path, database: URL) -> None:
    with Liveness(runners, database) as first, Liveness(runners, database) as second:
        assert first.runner != second.runner


@pytest.mark.parametrize("folder", ["new", "new/er"])
def test_the_folder_of_the_runners_is_made_for_its_owner_alone(tmp_path: Path, database: URL, folder: str) -> None:
    with Liveness(tmp_path / folder, database):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o700


# --- on many machines ---


@on_sqlite
def test_a_file_belongs_to_one_machine_so_whoever_has_no_lock_there_is_gone(here: Liveness) -> None:
    assert here.is_gone("beef", NOON, NOON)


@on_postgresql
def test_a_runner_that_lives_on_another_machine_is_never_taken_for_gone(here: Liveness, elsewhere: Liveness) -> None:
    assert not here.is_gone(elsewhere.runner, LONG_AGO, NOON)
    assert not here.is_gone(elsewhere.runner, NOON - timedelta(days=30), NOON)
    assert here.is_gone_here(elsewhere.runner)  # its journal is not on this machine


@on_postgresql
def test_a_runner_that_died_on_another_machine_is_gone_when_the_longest_wait_is_over(
    here: Liveness, tmp_path: Path, database: URL
) -> None:
    """Its lock is free at once, but a broken network frees one too, while a dot may still be answered."""
    assert LONGEST_HOLD + timedelta(seconds=DOT_TIMEOUT_S) < LONGEST_WAIT
    (tmp_path / "elsewhere").mkdir()
    process = started(hold, tmp_path / "elsewhere", database)
    wait_until((tmp_path / "elsewhere" / "runner").exists)
    os.kill(int((tmp_path / "elsewhere" / "child").read_text()), signal.SIGKILL)
    runner = (tmp_path / "elsewhere" / "runner").read_text()
    assert not here.is_gone(runner, LONG_AGO, NOON)
    process.kill()
    assert ended(process) == -signal.SIGKILL
    wait_until(lambda: here.is_gone(runner, LONG_AGO, NOON))  # the server hears of it a moment later
    assert not here.is_gone(runner, JUST_NOW, NOON)


@on_postgresql
def test_a_connection_that_was_lost_is_made_anew_with_the_next_beat_and_the_lock_taken_again(
    here: Liveness, elsewhere: Liveness, database: URL
) -> None:
    end_connections(database)
    here.beat()
    assert here.is_gone(elsewhere.runner, LONG_AGO, NOON)  # free, though it lives: therefore the longest wait
    elsewhere.beat()
    assert not here.is_gone(elsewhere.runner, LONG_AGO, NOON)


@on_postgresql
def test_while_the_server_is_away_nobody_is_taken_for_gone_and_nobody_is_held_up(
    here: Liveness, elsewhere: Liveness, database: URL
) -> None:
    take_away(database)
    try:
        with pytest.raises(psycopg.OperationalError):
            here.beat()
        assert not here.is_gone(elsewhere.runner, LONG_AGO, NOON)
        assert not here.is_gone("beef", LONG_AGO, NOON)
        assert here.claim(1)
        here.release(1)
    finally:
        give_back(database)
    here.beat()
    assert here.is_gone("beef", LONG_AGO, NOON)


@on_postgresql
def test_a_lock_that_lingers_on_the_server_is_taken_when_it_is_free(
    tmp_path: Path, here: Liveness, database: URL, log: list[MutableMapping[str, Any]]
) -> None:
    alive = Liveness(tmp_path / "elsewhere", database)
    with closing(psycopg.connect(connection_string(database), autocommit=True)) as lingering:
        lingering.execute("SELECT pg_advisory_lock(%s)", (int(alive.runner, 16),))
        with alive:
            assert [entry["event"] for entry in log] == ["the server still holds the lock of a lost connection"]
            lingering.close()
            wait_until(lambda: here.is_gone(alive.runner, LONG_AGO, NOON))
            alive.beat()
            assert not here.is_gone(alive.runner, LONG_AGO, NOON)


# --- claims ---


@on_postgresql
def test_one_runner_at_a_time_works_on_a_campaign(here: Liveness, elsewhere: Liveness) -> None:
    assert here.claim(1)
    assert not elsewhere.claim(1)
    assert elsewhere.claim(2)
    here.release(1)
    assert elsewhere.claim(1)


@on_postgresql
def test_the_claims_of_a_runner_that_was_killed_are_free(holder: tuple[BaseProcess, str], here: Liveness) -> None:
    process, _ = holder
    assert not here.claim(1)
    process.kill()
    assert ended(process) == -signal.SIGKILL
    wait_until(lambda: here.claim(1))


@on_sqlite
def test_on_a_file_nobody_claims_anything(here: Liveness, elsewhere: Liveness) -> None:
    assert here.claim(1)
    assert elsewhere.claim(1)
    here.release(1)


@on_postgresql
def test_a_claim_is_respected_as_long_as_its_campaign_moves_and_not_for_ever(
    here: Liveness, elsewhere: Liveness, ledger: Ledger
) -> None:
    ledger.append(running(5).history)
    clock = SimulatedClock(NOON)
    claims = Claims(ledger, here, clock)
    assert elsewhere.claim(1)
    for _ in range(5):
        clock.move_to(clock.now() + LONGEST_CLAIM)
        ledger.on_campaign(1, one_more_a_day)
        assert not claims.take(1)
    clock.move_to(clock.now() + LONGEST_CLAIM)
    assert not claims.take(1)
    clock.move_to(clock.now() + timedelta(seconds=1))
    for _ in range(2):
        assert claims.take(1)
        ledger.on_campaign(1, one_more_a_day)  # that it moves now says nothing of who holds the claim
        claims.give_back(1)
    elsewhere.release(1)
    assert claims.take(1)
    claims.give_back(1)
    assert elsewhere.claim(1)
    assert not claims.take(1)  # whoever let go once lives


# --- what gone runners left ---


def test_everything_that_gone_runners_left_locked_is_put_in_doubt_once(
    ledger: Ledger, here: Liveness, runners: Path
) -> None:
    world = running(5, 5, 5, 5)
    world.lock(0, runner="dead")
    world.lock(1, runner="beef")
    world.lock(2, runner="dead")
    ledger.append(world.history)
    for gone in ("dead", "beef"):
        (runners / f"{gone}{SUFFIX}").touch()
    assert len(sweep(ledger, 1, here, CLOCK)) == 3
    assert sweep(ledger, 1, here, CLOCK) == []
    assert len(put_in_doubt(ledger)) == 3
    assert states(ledger, 4) == ["in doubt"] * 3 + ["queued"]


def test_what_a_living_runner_holds_is_left_to_it(ledger: Ledger, here: Liveness, runners: Path, database: URL) -> None:
    (runners / f"dead{SUFFIX}").touch()
    with Liveness(runners, database) as living:
        world = running(5, 5)
        world.lock(0, runner=living.runner)
        world.lock(1, runner="dead")
        ledger.append(world.history)
        sweep(ledger, 1, here, CLOCK)
        assert states(ledger, 2) == ["locked", "in doubt"]


@on_postgresql
def test_what_a_runner_of_another_machine_left_is_put_in_doubt_when_it_can_have_no_answer_any_more(
    ledger: Ledger, here: Liveness, elsewhere: Liveness
) -> None:
    world = running(5, 5, 5)
    for position, runner in enumerate(["beef", elsewhere.runner, "beef"]):
        world.now = NOON + position * timedelta(minutes=5)
        world.lock(position, runner=runner)
    ledger.append(world.history)
    for waited, then in [
        (LONGEST_WAIT, ["locked", "locked", "locked"]),
        (LONGEST_WAIT + timedelta(seconds=1), ["in doubt", "locked", "locked"]),
        (LONGEST_WAIT + timedelta(days=1), ["in doubt", "locked", "in doubt"]),
    ]:
        sweep(ledger, 1, here, SimulatedClock(NOON + waited))
        assert states(ledger, 3) == then


def test_when_the_last_lead_is_put_in_doubt_the_campaign_is_completed(ledger: Ledger, here: Liveness) -> None:
    world = running(5)
    world.now = LONG_AGO
    world.lock(0, runner="dead")
    ledger.append(world.history)
    assert [type(event) for event in sweep(ledger, 1, here, CLOCK)] == [EmailInDoubt, CampaignCompleted]


def test_an_outcome_that_came_meanwhile_is_not_overruled(ledger: Ledger, other: Ledger, here: Liveness) -> None:
    world = running(5)
    world.now = LONG_AGO
    token = world.lock(0, runner="dead")
    ledger.append(world.history)
    with ledger.campaign(1):
        pass
    other.append(world.sent(token))
    assert sweep(ledger, 1, here, CLOCK) == []
    assert put_in_doubt(ledger) == []
