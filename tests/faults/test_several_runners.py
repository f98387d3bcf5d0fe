"""F20, F28, F29: several runners, each with a V1 and a V2 loop, on one ledger and one mailbox."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from domain.events import EmailInDoubt, EmailLocked, Sender
from domain.rules import Limits
from runner.sending.liveness import Liveness
from tests.databases import on_postgresql
from tests.faults.invariants import broken
from tests.faults.processes import CONTEXT, TIMEOUT_S, ended
from tests.faults.steps import Fault, struck
from tests.faults.world import END, START, World

RUNNERS = 3

senders = pytest.mark.parametrize("sender", ["v1", "v2"])


def run_together(world: World, step: str = "before the tick is told", *, claims: bool = False) -> None:
    """All runners come to this step of their first tick at the same moment. Without claims each of them works on every
    campaign, as on SQLite: so only the append decides."""
    together = CONTEXT.Barrier(RUNNERS)
    wait = Fault(step, 1, partial(together.wait, TIMEOUT_S))
    victims = [world.victim(wait, claims=claims) for _ in range(RUNNERS)]
    assert [ended(victim) for victim in victims] == [0] * RUNNERS


def test_f20_f28_runners_at_once_send_each_mail_once_and_none_meets_a_busy_database(world: World) -> None:
    world.campaign(1, "v1", ["lead"] * 15)
    world.campaign(2, "v2", ["lead"] * 40)
    run_together(world)
    assert world.states(1) == ["sent"] * 15
    assert world.states(2) == ["sent"] * 40
    assert world.accepted().total() == 55
    assert not world.told(EmailInDoubt)
    assert "Error" not in (world.folder / "log").read_text()
    assert broken(world) == []


@on_postgresql
def test_f20_runners_that_claim_what_they_work_on_send_each_mail_once_too(world: World) -> None:
    for number in range(1, 7):
        world.campaign(number, ("v1", "v2")[number % 2], ["lead"] * 5)
    run_together(world, "before a tick", claims=True)
    assert world.accepted().total() == 30
    assert not world.told(EmailInDoubt)
    assert "Error" not in (world.folder / "log").read_text()
    assert broken(world) == []


def test_f20_runners_at_once_keep_the_pace(world: World) -> None:
    slow = Limits(daily_limit=1000, delay_s=300, max_attempts=4)
    world.campaign(1, "v1", ["lead"] * 10, limits=slow)
    world.campaign(2, "v2", ["lead"] * 10, limits=slow)
    run_together(world)
    assert world.accepted().total() == 20
    assert broken(world) == []


@senders
def test_f20_of_two_runners_at_one_lead_the_second_is_refused(
    world: World, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Liveness, "claim", lambda *_: True)  # a claim is a courtesy: the append decides
    world.campaign(1, sender, ["lead"] * 2)

    def second_runner_is_faster() -> None:
        world.run(START)

    with struck(Fault("after the body", 1, second_runner_is_faster)):
        world.run(START)
    runners = {event.runner for event in world.told(EmailLocked) if isinstance(event, EmailLocked)}
    assert len(runners) == 1
    assert world.accepted() == {(1, 1): 1, (1, 2): 1}
    assert broken(world) == []


def test_f29_the_limit_of_a_mailbox_that_both_senders_share_holds_exactly(world: World) -> None:
    world.mailbox(daily_limit=7)
    world.campaign(1, "v1", ["lead"] * 10)
    world.campaign(2, "v2", ["lead"] * 10)
    run_together(world)
    assert world.accepted().total() == 7
    world.run(START + timedelta(days=1), END + timedelta(days=1))
    assert world.accepted().total() == 14
    assert broken(world) == []


@pytest.mark.parametrize(("first", "other"), [("v1", "v2"), ("v2", "v1")])
def test_f29_the_other_sender_takes_the_last_place_while_a_body_is_held(
    world: World, first: Sender, other: Sender
) -> None:
    world.mailbox(daily_limit=3)
    world.campaign(1, first, ["lead"] * 5, Limits(daily_limit=1000, delay_s=60))

    def other_sender_takes_the_last() -> None:
        world.campaign(2, other, ["lead"])
        too_soon_for_the_first = START + timedelta(seconds=61)
        world.run(too_soon_for_the_first, until=too_soon_for_the_first + timedelta(seconds=1))

    with struck(Fault("after the body", 3, other_sender_takes_the_last)):
        world.run(START)
    assert world.states(2) == ["sent"]
    assert world.states(1) == ["sent"] * 2 + ["queued"] * 3
    assert world.accepted().total() == 3
    assert broken(world) == []
