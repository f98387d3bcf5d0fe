"""A campaign that changes its owner: each tick is held against the sender that made it; both are asked as owners."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain import campaign as campaigns
from domain import events as e
from domain.campaign import Campaign
from domain.policies import Send
from domain.replay.findings import A, B
from domain.rules import Limits
from tests.domain.given import World
from tests.replay.given import Recorded, found

NOON = datetime(2025, 3, 4, 11, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Moved(e.Event):
    """Stands for any event by which ownership moves."""

    owner: e.Sender


def _moved(campaign: Campaign, event: Moved) -> None:
    campaign.owner, campaign.epoch = event.owner, campaign.epoch + 1


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(campaigns._EVOLVE, Moved, _moved)  # type: ignore[misc]


def tick_until_wait(world: World, history: list[e.Event]) -> None:
    """A tick of the owner, as the daemon would have it."""
    sender = world.campaign.owner
    said: dict[str, Any] = {"originator_id": f"ticks-r1-{sender}", "recorded_at": world.now, "runner": "r1"}
    said |= {"sender": sender, "tick_at": world.now}
    if not isinstance(decision := world.next(), Send):
        history.append(idle(world, sender))
        return
    history.append(e.TickStarted(**said, due=1))
    known = len(world.history)
    world.delivered(decision.position)
    history += world.history[known:]
    counts: dict[str, Any] = {"considered": 1, "sent": 1, "failed": 0, "in_doubt": 0}
    history.append(e.TickFinished(**said, **counts, deferred={}))


def idle(world: World, sender: e.Sender) -> e.Event:
    said: dict[str, Any] = {"count": 1, "first_at": world.now, "last_at": world.now, "runner": "r1", "sender": sender}
    return e.TicksIdle(originator_id=f"ticks-r1-{sender}", recorded_at=world.now, **said)


def test_a_tick_that_a_crash_cut_off_is_not_the_one_that_mailed_later() -> None:
    """Its runner never finished it; half an hour later another one mails the lead."""
    world = World(owner="v1", limits=Limits(delay_s=90), now=NOON)
    world.queue(5, 5)
    world.start()
    history = list(world.history)
    said: dict[str, Any] = {"originator_id": "ticks-gone-v1", "recorded_at": world.now, "runner": "gone"}
    history.append(e.TickStarted(**said, sender="v1", tick_at=world.now, due=1))
    world.now += 30 * MINUTE
    tick_until_wait(world, history)

    findings = Recorded.of_events(history).compared()

    assert (findings.held_against[A], findings.faithful[A]) == (1, 0)


def test_each_half_is_held_against_its_own_sender() -> None:
    world = World(owner="v1", limits=Limits(delay_s=90), now=NOON)
    world.queue(*[5] * 8)
    world.start()
    history = list(world.history)
    for _ in range(8):
        tick_until_wait(world, history)
        world.now += MINUTE
    moved = Moved(
        originator_id="campaign-1", originator_version=world.campaign.version + 1, recorded_at=world.now, owner="v2"
    )
    world.save([moved])
    history.append(moved)
    for _ in range(16):
        tick_until_wait(world, history)
        world.now += MINUTE / 2

    findings = Recorded.of_events(history).compared()

    assert (findings.held_against[A], findings.held_against[B]) == (4, 4)
    assert (findings.faithful[A], findings.faithful[B]) == (4, 4)
    assert found(findings) == {}
    assert findings.breaches == {}
    assert Recorded.of_events(history).compared(is_free=True).breaches == {}
