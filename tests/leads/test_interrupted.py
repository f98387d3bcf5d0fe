"""Imports that are killed, or that meet another one: run again, every lead is there exactly once."""

from __future__ import annotations

import signal
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from runner.leads.spool import BATCH
from tests.faults.processes import ended, started
from tests.faults.steps import Fault, kill
from tests.leads import victim
from tests.leads.world import World, people

COUNT = 2 * BATCH + 500
"""People in a file that takes three appends."""

EVERYBODY = [f"person{number}@example.com" for number in range(COUNT)]


def process(world: World, file: Path, *faults: Fault, suppresses: bool = False) -> BaseProcess:
    """An import in a process of its own."""
    return started(victim.run, victim.Plan(world.url, file, faults, suppresses))


def killed_at(world: World, file: Path, step: str, nth: int, *, suppresses: bool = False) -> None:
    assert ended(process(world, file, Fault(step, nth, kill), suppresses=suppresses)) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("step", "nth", "stands"),
    [
        ("before the file is read", 1, 0),
        ("while the file is read", 2, 0),
        ("before the append", 1, 0),
        ("after the events, before the contacts", 1, 0),
        ("after the contacts, before the commit", 2, BATCH),
        ("after the commit", 2, 2 * BATCH),
        ("after the events, before the contacts", 3, 2 * BATCH),
        ("before the report", 1, COUNT),
    ],
)
def test_a_killed_import_left_whole_appends_and_the_same_file_again_completes_it(
    world: World, step: str, nth: int, stands: int
) -> None:
    file = world.file(people(range(COUNT)))
    killed_at(world, file, step, nth)
    assert world.addresses() == EVERYBODY[:stands]
    assert world.unsound() == []

    report = world.load_file(file)
    assert (report.rows, report.unchanged, report.imported) == (COUNT, stands, COUNT - stands)
    assert world.addresses() == EVERYBODY
    assert world.unsound() == []


def test_killed_again_and_again_each_start_goes_on_where_the_last_one_stopped(world: World) -> None:
    file = world.file(people(range(COUNT)))
    for nth in (1, 2):
        killed_at(world, file, "after the commit", nth)
        assert world.addresses() == EVERYBODY[: nth * BATCH]
    world.load_file(file)
    assert world.addresses() == EVERYBODY
    assert world.unsound() == []


def test_another_file_after_a_killed_import_adds_its_own_people_and_says_whom_it_met(world: World) -> None:
    first = world.file(people(range(COUNT)), "first.csv")
    killed_at(world, first, "after the commit", 1)
    second = people(range(BATCH - 300, BATCH + 200)).replace("Żaneta 8", "Żanna 8")  # 800 to 899 waits already

    report = world.load(second)
    assert (report.rows, report.imported, report.changed, report.unchanged) == (500, 200, 100, 200)
    assert world.addresses() == EVERYBODY[: BATCH + 200]

    report = world.load_file(first)
    assert (report.imported, report.changed, report.unchanged) == (COUNT - BATCH - 200, 100, BATCH + 100)
    assert world.addresses() == EVERYBODY
    assert world.unsound() == []


def test_an_import_that_another_process_overtakes_adds_nobody_twice(world: World) -> None:
    file = world.file(people(range(COUNT)))
    other = world.file(people(range(BATCH // 2, COUNT + 300)), "other.csv")

    def overtake(phase: str, rows: int, _total: int) -> None:
        if (phase, rows) == ("importing", BATCH):
            assert ended(process(world, other)) == 0

    report = world.load_file(file, progress=overtake)
    assert (report.imported, report.unchanged) == (BATCH, COUNT - BATCH)
    assert world.addresses() == [f"person{number}@example.com" for number in range(COUNT + 300)]
    assert world.unsound() == []


def test_imports_at_the_same_time_add_each_person_once(world: World) -> None:
    files = [world.file(people(range(first, first + COUNT)), f"{first}.csv") for first in (0, 500, 1000)]
    processes = [process(world, file) for file in files]
    assert [ended(one) for one in processes] == [0, 0, 0]
    assert sorted(world.addresses()) == sorted(f"person{number}@example.com" for number in range(1000 + COUNT))
    assert world.unsound() == []


def test_whoever_is_suppressed_at_the_same_time_waits_nowhere(world: World) -> None:
    leads = world.file(people(range(COUNT)))
    listed = world.file(people(range(0, COUNT, 2)), "list.csv")
    importing, suppressing = process(world, leads), process(world, listed, suppresses=True)
    assert [ended(importing), ended(suppressing)] == [0, 0]
    waiting = {row["address"] for row in world.contacts() if world.state(row["position"]) == "queued"}
    assert waiting == set(EVERYBODY[1::2])
    assert len(world.suppressions()) == COUNT // 2
    assert world.unsound() == []


@pytest.mark.parametrize(
    ("step", "nth", "stands"),
    [
        ("before the append", 1, 0),
        ("after the events, before the contacts", 2, BATCH),
        ("after the contacts, before the commit", 2, BATCH),
        ("after the commit", 2, 2 * BATCH),
    ],
)
def test_a_killed_suppression_left_whole_appends_and_the_same_file_again_completes_it(
    world: World, step: str, nth: int, stands: int
) -> None:
    world.load(people(range(COUNT)))
    file = world.file(people(range(COUNT)), "list.csv")
    killed_at(world, file, step, nth, suppresses=True)
    assert (len(world.suppressions()), len(world.skipped())) == (stands, stands)

    report = world.suppress_from(file)
    assert (report.added, report.already, report.skipped) == (COUNT - stands, stands, COUNT - stands)
    assert sorted(world.skipped()) == [(position, "suppressed") for position in range(COUNT)]
    assert world.unsound() == []
