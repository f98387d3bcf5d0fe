"""Given campaigns, when V1 is retired, then no mail is left behind; and it comes back when it is needed."""

from __future__ import annotations

import pytest

from domain import events as e
from domain.errors import CommandRefused, UnknownEvent
from domain.senders import Senders, evolve, needs_v1, reinstate_v1, retire_v1
from tests.domain.given import NOON, World, kinds, observed, running


def on_v2() -> World:
    world = running(5)
    world.migrate()
    return world


def completed() -> World:
    world = running(5)
    world.delivered(0)
    return world


def cancelled(*, locked: bool = False) -> World:
    world = running(5, 5)
    if locked:
        world.lock(0)
    world.cancel()
    return world


@pytest.mark.parametrize(
    ("world", "needed"),
    [
        (World(), True),
        (running(5), True),
        (observed("sent"), True),
        (cancelled(locked=True), True),
        (completed(), False),
        (cancelled(), False),
        (on_v2(), False),
    ],
    ids=["draft", "running", "observed", "cancelled with a lock", "completed", "cancelled", "on V2"],
)
def test_v1_is_needed_while_a_mail_would_be_left_or_an_old_system_unwatched(world: World, needed: bool) -> None:
    assert needs_v1(world.campaign) is needed


def test_it_is_refused_while_a_campaign_is_left_and_names_each() -> None:
    left = [running(5), on_v2(), World(number=7)]
    with pytest.raises(CommandRefused) as refused:
        retire_v1(Senders("senders"), [world.campaign for world in left], actor="anna", reason=None, now=NOON)
    assert str(refused.value) == (
        "V1 still has campaigns: 1, 7. Migrate or cancel them first; `sendledger cutover owners`."
    )


def test_retired_once_and_reinstated_once() -> None:
    senders, campaigns = Senders("senders"), [on_v2().campaign, completed().campaign]
    assert reinstate_v1(senders, actor="anna", reason=None, now=NOON) == []

    [retired] = retire_v1(senders, campaigns, actor="anna", reason="all on V2", now=NOON)
    evolve(senders, retired)
    assert (senders.v1_retired, senders.version) == (True, 1)
    with pytest.raises(CommandRefused, match="V1 is retired already"):
        retire_v1(senders, campaigns, actor="anna", reason=None, now=NOON)

    events = reinstate_v1(senders, actor="anna", reason="rolled back", now=NOON)
    assert kinds(events) == ["V1Reinstated"]
    evolve(senders, events[0])
    assert (senders.v1_retired, senders.version) == (False, 2)


def test_it_knows_no_other_event() -> None:
    other = e.RunnerStopped(recorded_at=NOON, runner="runner-1")
    with pytest.raises(UnknownEvent, match="RunnerStopped is no event of the senders"):
        evolve(Senders("senders"), other)
