"""Two daemons on one server: a campaign that one works on is not begun by the other, until that one lets go of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress

import pytest
from eventsourcing.persistence import PersistenceError

from domain.events import EmailLocked, Sender
from runner.clock import SimulatedClock
from runner.daemon import Runner
from runner.store.ledger import Ledger
from tests.another_program import end_connections
from tests.databases import on_postgresql
from tests.faults.invariants import broken
from tests.faults.processes import TIMEOUT_S
from tests.faults.steps import Fault, struck
from tests.faults.world import START, World

senders = pytest.mark.parametrize("sender", ["v1", "v2"])


@pytest.fixture
def two(world: World) -> Iterator[list[Runner]]:
    """Daemons of two machines."""
    with ExitStack() as stack:
        ledgers = [stack.enter_context(closing(Ledger(world.database))) for _ in range(2)]
        yield [
            stack.enter_context(Runner(ledger, world.folder / f"machine{nth}", SimulatedClock(START)))
            for nth, ledger in enumerate(ledgers)
        ]


def works(runner: Runner, sender: Sender) -> bool:
    """One tick, to its end: did it find work?"""
    tick = runner.tick(sender)
    if tick is not None:
        assert tick.wait(TIMEOUT_S)
    return tick is not None


@on_postgresql
@senders
def test_a_campaign_that_one_works_on_is_left_to_it_and_all_others_are_not(
    world: World, two: list[Runner], sender: Sender
) -> None:
    first, second = two
    world.campaign(1, sender, ["lead"] * 2)
    found: list[bool] = []

    def second_looks_for_work() -> None:
        found.append(works(second, sender))
        world.campaign(2, sender, ["lead"])
        found.append(works(second, sender))

    with struck(Fault("after the body", 1, second_looks_for_work)):
        assert works(first, sender)
    assert found == [False, True]
    assert world.states(2) == ["sent"]
    assert works(second, sender) == (sender == "v1")  # the first has let go of it; V2's has nothing left
    world.follow()
    assert world.states(1) == ["sent"] * 2
    assert broken(world) == []


@on_postgresql
@senders
def test_claims_that_a_lost_connection_set_free_cost_work_and_no_more(
    world: World, two: list[Runner], sender: Sender
) -> None:
    first, second = two
    world.campaign(1, sender, ["lead"])

    def second_is_faster() -> None:
        end_connections(world.database)
        world.leave()
        with suppress(PersistenceError):  # by a connection that was ended; with the next try there are new ones
            second.sweep()
        assert works(second, sender)

    with struck(Fault("after the body", 1, second_is_faster)):
        assert works(first, sender)
    world.follow()
    assert len(world.told(EmailLocked)) == 1
    assert world.accepted() == {(1, 1): 1}
    assert broken(world) == []
