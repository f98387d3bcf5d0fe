"""The recorded column is judged by itself: what the old system broke is shown as its own. Histories that no daemon of
ours would write: imported acceptances without locks or ticks, and locks against the rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from domain import commands
from domain import events as e
from domain.calendar import Schedule
from domain.replay.classes import Column, DifferenceClass
from domain.replay.findings import A
from domain.rules import Limits
from tests.domain.given import World
from tests.replay.given import Recorded, broken, found

MONDAY = datetime(2025, 3, 3, 8, tzinfo=UTC)
"""09:00 in Warsaw."""

MINUTE = timedelta(minutes=1)


def imported(*minutes: float, leads: int = 6, priority: int = 5) -> Recorded:
    """Acceptances at these minutes after Monday nine o'clock, recorded a month later; nobody's ticks are known."""
    world = World(schedule=Schedule(), limits=Limits(daily_limit=3, delay_s=120), now=MONDAY - 60 * MINUTE)
    world.queue(*[priority] * leads)
    world.start()
    recorded_at = MONDAY + timedelta(days=30)
    for position, minute in enumerate(minutes):
        sent = e.EmailSent(
            originator_id=world.campaign.stream,
            originator_version=world.campaign.version + 1,
            recorded_at=recorded_at,
            occurred_at=MONDAY + minute * MINUTE,
            position=position,
            lead_id=position + 100,
            attempt=1,
            token=f"row-{position:08}",
            code=250,
        )
        world.save([sent])
    return Recorded.of_events(world.history)


def test_mails_of_an_old_system_are_replayed_on_assumed_ticks() -> None:
    findings = imported(0.2, 2.3, 4.1).compared()

    assert findings.tallies[0].mails == 3
    assert findings.breaches == {}
    assert findings.held_against[A] == 3


def test_what_the_old_system_broke_is_its_own_and_not_hidden_as_equal() -> None:
    """Before the window, too soon after the last, and one more than a day allows."""
    findings = imported(-30, 0, 0.5, 3, 6).compared()

    assert broken(findings, Column.R) == {DifferenceClass.WINDOW: 1, DifferenceClass.LIMIT: 3}
    assert broken(findings, Column.A) == broken(findings, Column.B) == {}


def test_a_second_acceptance_is_a_duplicate_of_the_record() -> None:
    world = World(now=MONDAY)
    world.queue(5)
    world.start()
    late = world.not_sent_after_doubt()
    world.now += timedelta(hours=5)
    world.delivered(0)
    world.sent(late)

    findings = Recorded.of_events(world.history).compared()

    assert broken(findings, Column.R) == {DifferenceClass.DUPLICATE: 1}
    assert DifferenceClass.DUPLICATE not in broken(findings, Column.B)


def test_a_lead_that_was_skipped_meanwhile_is_noise_and_no_difference() -> None:
    world = World(owner="v1", limits=Limits(delay_s=600), now=MONDAY)
    world.queue(5, 5)
    world.start()
    ticks = [tick(world, "v1")]
    world.save(commands.skip(world.campaign, [0], "suppressed", now=world.now))
    world.delivered(1)

    findings = Recorded.of_events([*world.history[:-5], *ticks, *world.history[-5:]]).compared()

    assert found(findings) == {}
    assert "skipped: suppressed" in findings.causes


def tick(world: World, sender: e.Sender) -> e.Event:
    stream = f"ticks-r1-{sender}-{world.now.date()}"
    said: dict[str, Any] = {"runner": "r1", "sender": sender, "tick_at": world.now, "due": 1}
    return e.TickStarted(originator_id=stream, originator_version=1, recorded_at=world.now, **said)
