"""A comparison proves itself: on what the daemon wrote it holds, and what is wrong with it would be seen."""

from __future__ import annotations

import os
import random
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import NoReturn

import pytest

from domain import events as e
from domain.campaign import Campaign
from domain.mailbox import Mailbox
from domain.policies import Send
from domain.replay.past import Setup
from domain.replay.proving import Proof, prove
from domain.replay.sides import Side, as_owner
from domain.replay.slices import Slice, take
from domain.rules import Rule, Wait
from runner.replaying.again import SEED, SEEDS, NotProved, elsewhere
from runner.replaying.history import History
from tests.databases import on_sqlite
from tests.faults.world import World
from tests.replay.given import DAY, HOUR, MINUTE, MONDAY, OFFICE, PACED, run

pytestmark = on_sqlite


@pytest.fixture
def part(world: World) -> Slice:
    """A morning of V1, with a temporary failure."""
    world.campaign(1, "v1", ["lead", "busy", *["lead"] * 8], limits=PACED, schedule=OFFICE)
    run(world, MONDAY - 3 * MINUTE, MONDAY + HOUR)
    return slice_of(world, None)


def slice_of(world: World, size: int | None) -> Slice:
    history = History(world.ledger.histories, [1])
    return take("campaign-1", history.rows(), history.ticks, history.replies("campaign-1"), size, None)


@pytest.mark.parametrize("is_free", [False, True])
def test_the_proof_holds_on_what_the_daemon_wrote(part: Slice, is_free: bool) -> None:
    with elsewhere() as prove_there:
        proof = prove_there(part, Setup(is_free=is_free))()

    assert proof == prove(part, Setup(is_free=is_free))
    assert proof.holds
    assert (proof.seeded, proof.found, proof.identity, proof.looked_ahead) == (3, 3, 0, 0)
    assert proof.looks >= 15


def test_it_holds_over_a_slice_from_the_middle_of_a_state(part: Slice, world: World) -> None:  # noqa: ARG001
    short = slice_of(world, 9)

    assert (len(short.rows), short.is_whole) == (9, False)
    assert prove(short, Setup()).holds


def test_it_holds_where_several_runs_of_idle_ticks_lie_between_two_mails(world: World) -> None:
    """A run is written down every hour, and a mail leaves every third."""
    limits = PACED.model_copy(update={"delay_s": 9_000})
    world.campaign(1, "v1", ["lead"] * 8, limits=limits)
    run(world, MONDAY, MONDAY + DAY)

    proof = prove(slice_of(world, None), Setup())

    assert proof.looks >= 30
    assert proof.looked_ahead == 0


def test_a_policy_that_draws_lots_is_not_deterministic(part: Slice) -> None:
    lots = random.Random(7)  # noqa: S311 - the very mistake

    def drawing(campaign: Campaign, mailbox: Mailbox, sender: e.Sender, now: datetime) -> Send | Wait:
        answer = as_owner(campaign, mailbox, sender, now)
        return answer if lots.random() < 0.5 else Wait(answer.rule if isinstance(answer, Wait) else Wait.__name__, now)  # type: ignore[arg-type]

    assert not prove(part, Setup(b=Side("v2", policy=drawing))).is_deterministic


def by_hash(campaign: Campaign, mailbox: Mailbox, sender: e.Sender, now: datetime) -> Send | Wait:
    """What it says hangs on the process's hash seed."""
    answer = as_owner(campaign, mailbox, sender, now)
    return answer if hash(str(now)) % 2 else Wait(Rule.DELAY, now)


def test_a_policy_that_goes_by_a_hash_is_seen_by_the_other_process(part: Slice) -> None:
    setup = Setup(b=Side("v2", policy=by_hash))

    with elsewhere() as prove_there:
        assert not prove_there(part, setup)().same_twice
    assert prove(part, setup).same_twice


def test_the_other_process_imports_nothing_from_the_folder_where_it_is_started(
    part: Slice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pickle.py").write_text("raise SystemExit('a file of somebody else')")
    monkeypatch.chdir(tmp_path)

    with elsewhere() as prove_there:
        assert prove_there(part, Setup())().holds


def test_what_ends_the_other_process_is_told(part: Slice) -> None:
    with pytest.raises(NotProved, match="ended with 3"), elsewhere() as prove_there:
        prove_there(part, Setup(b=Side("v2", policy=ending)))()


def ending(*_: object) -> NoReturn:
    """In the other process only."""
    if os.environ.get(SEED) in SEEDS:
        sys.exit(3)
    raise ValueError


def test_a_proof_with_a_mutant_that_was_missed_does_not_hold(part: Slice) -> None:
    proof = prove(part, Setup())

    assert not replace(proof, found=2, not_found=("one lead dropped",)).holds
    assert isinstance(proof, Proof)
