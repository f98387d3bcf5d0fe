"""F43: what goes wrong with one campaign is logged with its number and counted, and holds up no other."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import bindparam, delete

from domain.events import Sender
from projections import kept
from runner.clock import SimulatedClock
from runner.daemon import Runner
from runner.mail.templates import Content
from runner.store.ledger import Ledger
from tests.another_program import run
from tests.faults.invariants import broken
from tests.faults.processes import TIMEOUT_S
from tests.faults.world import START, World

Log = list[MutableMapping[str, Any]]

DROP_CONTENT = delete(kept.contents).where(kept.contents.c.campaign_id == bindparam("b_campaign_id"))
CONTENT = {"campaign_id": 1, "version": 1, "digest": "0" * 64, **Content("Cześć", "Dzień dobry.\n").row}

senders = pytest.mark.parametrize("sender", ["v1", "v2"])


def lose_content(world: World) -> None:
    world.ledger.keep((DROP_CONTENT, [{"b_campaign_id": 1}]))


def write_an_event_from_the_future(world: World) -> None:
    version = world.ledger.version("campaign-1") + 1
    statement = "INSERT INTO stored_events VALUES ('campaign-1', :version, 'EmailTeleported/1', '{}')"
    run(world.database, statement, version=version)


@senders
@pytest.mark.parametrize("break_campaign", [lose_content, write_an_event_from_the_future])
def test_f43_one_campaign_that_cannot_be_worked_on_is_logged_and_all_others_go_on(
    world: World, sender: Sender, log: Log, break_campaign: Callable[[World], None]
) -> None:
    for number in (1, 2, 3):
        world.campaign(number, sender, ["lead"] * 2)
    break_campaign(world)
    with (
        closing(Ledger(world.database)) as ledger,
        Runner(ledger, world.runners, SimulatedClock(START)) as runner,
    ):
        for _ in range(2):
            if (tick := runner.tick(sender)) is not None:
                assert tick.wait(TIMEOUT_S)
    assert world.accepted() == {(number, lead): 1 for number in (2, 3) for lead in (1, 2)}
    failed = [entry for entry in log if entry["event"] == "tick of a campaign failed"]
    assert failed
    assert {entry["campaign"] for entry in failed} == {1}


@senders
def test_f43_the_error_is_counted_and_later_ticks_go_on_with_that_campaign_too(world: World, sender: Sender) -> None:
    world.campaign(1, sender, ["lead"])
    lose_content(world)
    with (
        closing(Ledger(world.database)) as ledger,
        Runner(ledger, world.runners, SimulatedClock(START)) as runner,
    ):
        tick = runner.tick(sender)
        assert tick is not None
        assert tick.wait(TIMEOUT_S)
        assert tick.results == {"error": 1}
        world.ledger.keep((kept.ADD_CONTENT, [CONTENT]))
        tick = runner.tick(sender)
        assert tick is not None
        assert tick.wait(TIMEOUT_S)
        assert tick.results == {"sent": 1}
    world.follow()
    assert world.accepted() == {(1, 1): 1}
    assert broken(world) == []
