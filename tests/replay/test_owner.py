"""A campaign that changes its owner: each tick is held against the sender that made it; both are asked as owners, and
the one that becomes owner goes on from what really was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest

from domain import commands, cutover
from domain import events as e
from domain.attempts import AttemptState
from domain.campaign import Campaign
from domain.policies import Send
from domain.replay.classes import DifferenceClass
from domain.replay.findings import A, B
from domain.replay.past import Setup
from domain.replay.proving import prove
from domain.replay.sides import Side
from domain.replay.slices import take
from domain.rules import Limits
from runner.replaying.history import History
from tests.databases import on_sqlite
from tests.domain.given import World as Written
from tests.faults.world import World
from tests.replay.given import DAY, HOUR, MINUTE, MONDAY, OFFICE, USUAL, Recorded, faithful, found, run

NOON = datetime(2025, 3, 4, 11, tzinfo=UTC)
WHY: dict[str, Any] = {"actor": "anna", "reason": "as planned"}
MIXED = ["lead", "busy", "lead", "silent", "busy", *["lead"] * 19]
PRIORITIES = [9, 1, 1, 1, 5, *[9] * 9, *[1] * 10]
"""V1 does not heed them, so V2 goes ahead on some leads and stays behind on others."""


def moves(world: World, at: datetime, *, to: e.Sender) -> None:
    """A person moves the campaign."""

    def move(campaign: Campaign) -> list[e.Event]:
        if to == "v2":
            return cutover.migrate(campaign, [], now=at, **WHY)
        return cutover.roll_back(campaign, now=at, **WHY)

    world.ledger.on_campaign(1, move)


def settles(world: World, at: datetime) -> None:
    """Whoever is in doubt was not sent, a person says."""

    def settle(campaign: Campaign) -> list[e.Event]:
        [doubt] = [one for one in campaign.open.values() if one.state is AttemptState.IN_DOUBT]
        said: dict[str, Any] = {"evidence": "log", "actor": "anna", "now": at}
        return commands.resolve_in_doubt(campaign, doubt.position, "not sent", **said)

    world.ledger.on_campaign(1, settle)


def there_and_back(world: World, first: e.Sender, second: e.Sender) -> None:
    """Moved in the middle of a day, with back-offs not over and a mail in doubt, which is settled by the next owner;
    back on the next day; and there once more."""
    limits = Limits(daily_limit=10, delay_s=240)
    world.campaign(1, first, MIXED, limits=limits, schedule=OFFICE, priorities=PRIORITIES)
    half_past = MONDAY + 30 * MINUTE
    run(world, MONDAY - 5 * MINUTE, half_past)
    moves(world, half_past, to=second)
    run(world, half_past, half_past + 20 * MINUTE)
    settles(world, half_past + 20 * MINUTE)
    run(world, half_past + 20 * MINUTE, half_past + HOUR)
    run(world, MONDAY + DAY - MINUTE, MONDAY + DAY + 17 * MINUTE, missed=22 * HOUR + 29 * MINUTE)
    moves(world, MONDAY + DAY + 17 * MINUTE, to=first)
    run(world, MONDAY + DAY + 17 * MINUTE, MONDAY + DAY + 2 * HOUR)
    moves(world, MONDAY + DAY + 2 * HOUR, to=second)
    run(world, MONDAY + 2 * DAY - 15 * MINUTE, MONDAY + 2 * DAY + 2 * HOUR, missed=21 * HOUR + 45 * MINUTE)


@on_sqlite
@pytest.mark.parametrize(("first", "second"), [("v1", "v2"), ("v2", "v1")])
def test_each_owner_is_replayed_as_it_was(world: World, first: e.Sender, second: e.Sender) -> None:
    there_and_back(world, first, second)
    history = Recorded.of(world)

    for findings in (history.compared(), history.compared(is_free=True)):
        assert faithful(findings, A)
        assert faithful(findings, B)
        assert findings.held_against[A] + findings.held_against[B] >= len(MIXED)
        assert findings.causes == {}
        assert findings.breaches == {}


@on_sqlite
@pytest.mark.parametrize("is_free", [False, True])
def test_a_sender_beside_itself_is_not_held_against_what_the_other_mailed(world: World, is_free: bool) -> None:
    there_and_back(world, "v1", "v2")
    history, both = Recorded.of(world), Setup(a=Side("v2"), b=Side("v2"), is_free=is_free)

    findings = history.compared(both)

    by_v2 = [event for _, event in history.rows if isinstance(event, e.EmailLocked) and event.sender == "v2"]
    assert (findings.held_against[A], findings.held_against[B]) == (len(by_v2), 0)
    assert faithful(findings, A)
    assert found(findings) == {}


@on_sqlite
def test_the_proof_holds_over_changes_of_owner(world: World) -> None:
    there_and_back(world, "v1", "v2")
    history = History(world.ledger.histories, [1])
    part = take("campaign-1", history.rows(), history.ticks, history.replies("campaign-1"), None, None)

    for setup in (Setup(), Setup(is_free=True)):
        proof = prove(part, setup)
        assert proof.holds
        assert proof.found >= 2
        assert proof.looks > 50


def test_what_v2_had_not_sent_in_v1s_time_stays_followed_without_a_place_in_its_line() -> None:
    """V1 mails lead 100 first, V2 would have mailed it last: its shift is known when V2 owns the campaign, whose first
    mail is nevertheless lead 102."""
    history = two_of_v1_and_then_v2(priorities=[9, 8, 1, 2])

    findings = Recorded.of_events(history).compared(tolerance=MINUTE)

    assert (findings.faithful[A], findings.faithful[B]) == (2, 2)
    assert found(findings) == {"SHIFT": 4}
    assert findings.breaches == {}
    shifts = {one.lead_id: one for one in findings.classes[DifferenceClass.SHIFT].examples}
    assert shifts[100].b_at == MOVED
    assert shifts[101].b_at == MOVED + 3.5 * MINUTE  # from its turn in V1's time, by V2's pace


def test_in_the_free_mode_it_is_unknown_for_its_world_began_again() -> None:
    history = two_of_v1_and_then_v2(priorities=[9, 8, 1, 2])

    findings = Recorded.of_events(history).compared(is_free=True, tolerance=MINUTE)

    assert (findings.faithful[A], findings.faithful[B]) == (2, 2)
    assert found(findings)["UNKNOWN"] == 2
    assert findings.judged == 2


def test_what_v1_has_under_way_when_v2_takes_over_is_v1s_and_its_failure_is_kept_to_by_v2() -> None:
    """V1's failure puts it back to the line at once, and so V2 tries it first: not by its own back-off."""
    world, history = written()
    history.append(started(world, "v1"))
    token = kept(world, history, lambda: world.lock(0))
    kept(world, history, lambda: world.save(cutover.migrate(world.campaign, [], now=world.now, **WHY)))
    world.now += MINUTE / 6
    kept(world, history, lambda: world.failed(token))
    world.now += 2 * MINUTE
    for _ in range(30):
        tick(world, history)

    findings = Recorded.of_events(history).compared()

    assert (findings.held_against[A], findings.faithful[A]) == (1, 1)
    assert (findings.held_against[B], findings.faithful[B]) == (4, 4)


def test_what_v1_was_about_to_mail_when_the_campaign_moved_is_held_against_v2() -> None:
    """V1's tick was to mail a lead when the campaign moved: V2 mails it instead."""
    world, history = written()
    history.append(started(world, "v1"))
    kept(world, history, lambda: world.save(cutover.migrate(world.campaign, [], now=world.now, **WHY)))
    world.now += MINUTE
    for _ in range(30):
        tick(world, history)

    findings = Recorded.of_events(history).compared()

    assert findings.held_against[A] == 0
    assert (findings.held_against[B], findings.faithful[B]) == (4, 4)


def test_a_tick_that_a_crash_cut_off_is_not_the_one_that_mailed_later() -> None:
    """Its runner never finished it; half an hour later another one mails the lead."""
    world, history = written()
    history.append(started(world, "v1", runner="gone"))
    world.now += 30 * MINUTE
    tick(world, history)

    findings = Recorded.of_events(history).compared()

    assert findings.held_against[A] >= 1
    assert findings.faithful[A] == findings.held_against[A] - 1


MOVED = NOON + 5 * MINUTE
T = TypeVar("T")


def written(priorities: Sequence[int] = (5, 5, 5, 5), delay_s: int = 90) -> tuple[Written, list[e.Event]]:
    """A campaign on V1, started at noon, and its history so far."""
    world = Written(owner="v1", limits=Limits(delay_s=delay_s), now=NOON)
    world.queue(*priorities)
    world.start()
    return world, list(world.history)


def two_of_v1_and_then_v2(priorities: Sequence[int]) -> list[e.Event]:
    """Five minutes of V1, which mails two; then V2."""
    world, history = written(priorities, delay_s=240)
    while world.now < MOVED:
        tick(world, history)
    kept(world, history, lambda: world.save(cutover.migrate(world.campaign, [], now=world.now, **WHY)))
    for _ in range(40):
        tick(world, history)
    return history


def kept(world: Written, history: list[e.Event], change: Callable[[], T]) -> T:
    """A change, and its events in the history."""
    known = len(world.history)
    told = change()
    history += world.history[known:]
    return told


def tick(world: Written, history: list[e.Event]) -> None:
    """A tick of the owner, as the daemon would have it; and the time until its next."""
    sender = world.campaign.owner
    decision = world.next()
    if isinstance(decision, Send):
        history.append(started(world, sender))
        kept(world, history, lambda: world.delivered(decision.position))
        counts: dict[str, Any] = {"considered": 1, "sent": 1, "failed": 0, "in_doubt": 0, "deferred": {}}
        history.append(e.TickFinished(**said(world, sender), tick_at=world.now, **counts))
    else:
        history.append(e.TicksIdle(**said(world, sender), count=1, first_at=world.now, last_at=world.now))
    world.now += USUAL[sender]


def started(world: Written, sender: e.Sender, runner: str = "r1") -> e.Event:
    """A tick that finds work."""
    return e.TickStarted(**said(world, sender, runner), tick_at=world.now, due=1)


def said(world: Written, sender: e.Sender, runner: str = "r1") -> dict[str, Any]:
    stream = f"ticks-{runner}-{sender}"
    return {"originator_id": stream, "recorded_at": world.now, "runner": runner, "sender": sender}
