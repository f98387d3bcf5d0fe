"""Two runners on one ledger. One finds nothing while the other works: its idle run is told when all that is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import pytest

from domain import events as e
from domain.campaign import Campaign
from domain.replay.locked import Locked
from domain.replay.past import Setup
from domain.replay.sides import Answer
from domain.replay.ticking import Ticks
from domain.replay.ticks import Tick, TickKind, in_order
from runner.replaying.comparing import compare
from tests.faults.world import World
from tests.replay.given import MINUTE, MONDAY, OFFICE, PACED, Recorded, faithful, found, run_beside, run_two


@pytest.mark.parametrize("owner", ["v1", "v2"])
def test_a_clean_history_of_two_that_idle_in_turn_is_replayed_as_it_was(world: World, owner: e.Sender) -> None:
    world.campaign(1, owner, ["lead"] * 20, limits=PACED, schedule=OFFICE)
    run_two(world, MONDAY, MONDAY + 30 * MINUTE)

    report = compare(world.ledger, 1, Setup())

    assert [one.same for one in report.fidelity] == [one.mails for one in report.fidelity]
    assert report.classes == []


@pytest.mark.parametrize("owner", ["v1", "v2"])
def test_ticks_seconds_off_their_cadence_are_replayed_when_they_were(world: World, owner: e.Sender) -> None:
    world.campaign(1, owner, ["lead"] * 20, limits=PACED, schedule=OFFICE)
    run_beside(world, MONDAY, MONDAY + 45 * MINUTE, off=MINUTE / 12)

    report = compare(world.ledger, 1, Setup())

    assert [one.same for one in report.fidelity] == [one.mails for one in report.fidelity]
    assert report.verdict == "EQUIVALENT"


@pytest.mark.parametrize("owner", ["v1", "v2"])
def test_the_owner_s_own_world_has_the_mails_of_the_record_in_the_same_ticks(world: World, owner: e.Sender) -> None:
    world.campaign(1, owner, ["lead"] * 20, limits=PACED, schedule=OFFICE)
    run_beside(world, MONDAY, MONDAY + 45 * MINUTE, off=MINUTE / 12)

    findings = Recorded.of(world).compared(is_free=True)

    assert faithful(findings, 1 if owner == "v1" else 2)


def test_where_a_ledger_has_not_the_times_of_idle_ticks_a_mail_may_be_in_the_next(world: World) -> None:
    """As `TicksIdle/1` left it: then the ticks beside another runner's are no closer known than that."""
    world.campaign(1, "v2", ["lead"] * 20, limits=PACED, schedule=OFFICE)
    run_two(world, MONDAY, MONDAY + 30 * MINUTE)
    history = Recorded.of(world)
    older = [
        (at, row.model_copy(update={"over_us": None}) if isinstance(row, e.TicksIdle) else row)
        for at, row in history.ticks
    ]

    assert faithful(replace(history, ticks=older).compared(), 2)


def test_who_reads_in_chunks_asks_nobody_on_a_later_state(world: World) -> None:
    world.campaign(1, "v1", ["lead"] * 20, limits=PACED, schedule=OFFICE)
    run_two(world, MONDAY, MONDAY + 30 * MINUTE)
    history = Recorded.of(world)
    asked: list[tuple[datetime, datetime | None]] = []

    engine = Locked({history.stream: {}}, Setup(), _noting(asked))
    last = [place for place, event in history.ticks if isinstance(event, e.TickFinished)][-1]
    for after, until in ((0, last), (last, history.ticks[-1][0])):
        rows, ticks = ([row for row in some if after < row[0] <= until] for some in (history.rows, history.ticks))
        for step in in_order(rows, ticks):
            engine.take(step)
    findings = engine.finish()[history.stream]

    assert [at for at, mailed in asked if mailed is not None and at < mailed] == []
    assert faithful(findings, 1)
    assert found(findings) == {}


def test_a_tick_is_under_way_whatever_another_runner_finds_meanwhile() -> None:
    ticks = Ticks()
    ticks.take(Tick(MONDAY, "v1", TickKind.WORK, "r1"))

    ticks.take(Tick(MONDAY + MINUTE, "v1", TickKind.IDLE, "r2"))
    assert ticks.is_open("v1")

    ticks.take(Tick(MONDAY + 2 * MINUTE, "v1", TickKind.IDLE, "r1"))
    assert not ticks.is_open("v1")


def _noting(asked: list[tuple[datetime, datetime | None]]) -> Callable[[Campaign, datetime, int, Answer, int], None]:
    return lambda campaign, at, *_: asked.append((at, campaign.last_mail_at))
