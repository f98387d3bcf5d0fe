"""The shadow beside a daemon: it decides at the owner's ticks, is compared as it goes, and sends nothing."""

from __future__ import annotations

import pytest

from domain import events as e
from domain.emitting import Draft
from domain.errors import CommandRefused
from domain.replay.past import Setup
from domain.replay.shadowing import Shadow, shadow_of, start, stop
from domain.replay.travel import at
from runner.clock import SimulatedClock
from runner.replaying.history import History
from runner.replaying.shadow import Shadows, shadow_stream
from runner.store.ledger import Ledger
from tests.faults.invariants import broken
from tests.faults.world import World
from tests.replay.given import HOUR, MINUTE, MONDAY, OFFICE, PACED, Recorded, run


def switch(world: World, change: object) -> None:
    shadow = shadow_of(shadow_stream(1), world.ledger.stream(shadow_stream(1)))
    world.ledger.append(change(shadow, actor="anna", now=MONDAY))  # type: ignore[operator]


def decided(world: World) -> list[tuple[int, int, e.Sender]]:
    return [(one.lead_id, one.attempt, one.sender) for one in world.told(e.ShadowDecided)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("owner", "other"), [("v1", "v2"), ("v2", "v1")])
def test_the_other_sender_decides_beside_the_owner_and_sends_nothing(
    world: World, owner: e.Sender, other: e.Sender
) -> None:
    world.campaign(1, owner, ["lead"] * 6, limits=PACED, schedule=OFFICE)
    switch(world, start)
    run(world, MONDAY, MONDAY + HOUR)

    assert decided(world) == [(lead, 1, other) for lead in range(1, 7)]
    assert {event.sender for event in world.told(e.EmailLocked)} == {owner}  # type: ignore[attr-defined]
    assert sum(world.accepted().values()) == 6
    assert broken(world) == []


def test_its_summary_is_what_a_comparison_of_the_same_time_finds(world: World) -> None:
    world.campaign(1, "v1", ["lead", "busy", *["lead"] * 4], limits=PACED, schedule=OFFICE)
    switch(world, start)
    run(world, MONDAY, MONDAY + 2 * HOUR)

    summary = shadow_of(shadow_stream(1), world.ledger.stream(shadow_stream(1))).summary
    findings = Recorded.of(world).compared(Setup(start=MONDAY))

    assert summary is not None
    assert (summary.judged, summary.equal) == (findings.judged, findings.equal)


def test_after_a_restart_nothing_is_decided_twice_and_nothing_is_left_out(world: World) -> None:
    world.campaign(1, "v1", ["lead"] * 8, limits=PACED, schedule=OFFICE)
    switch(world, start)
    for nth in range(4):
        run(world, MONDAY + nth * 5 * MINUTE, MONDAY + (nth + 1) * 5 * MINUTE)
    run(world, MONDAY + 20 * MINUTE, MONDAY + HOUR)

    assert sorted(decided(world)) == [(lead, 1, "v2") for lead in range(1, 9)]


def test_beside_an_owner_that_finds_nothing_it_has_its_turn_each_hour(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[int] = []
    monkeypatch.setattr(Shadows, "after_tick", lambda _shadows, number: turns.append(number))
    world.campaign(1, "v1", ["lead"], limits=PACED, schedule=OFFICE)
    switch(world, start)
    run(world, MONDAY + 10 * HOUR, MONDAY + 13 * HOUR)

    assert world.told(e.EmailLocked) == []
    assert turns[:2] == [1, 1]


def test_what_another_writes_at_the_same_time_costs_no_decision(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.campaign(1, "v1", ["lead"] * 4, limits=PACED, schedule=OFFICE)
    switch(world, start)
    appends, others = Ledger.append, [True]

    def first_another(ledger: Ledger, events: list[e.Event]) -> None:
        if isinstance(events[0], e.ShadowDecided) and others:
            others.clear()
            shadow = shadow_of(shadow_stream(1), ledger.stream(shadow_stream(1)))
            draft = Draft(shadow.stream, shadow.version, MONDAY)
            draft.add(e.ShadowSummarised, log_position=1, judged=0, equal=0, differences={}, cut_short=0)
            appends(ledger, draft.events)
        appends(ledger, events)

    monkeypatch.setattr(Ledger, "append", first_another)
    run(world, MONDAY, MONDAY + HOUR)
    assert not others
    assert decided(world) == [(lead, 1, "v2") for lead in range(1, 5)]


def test_a_database_that_is_away_for_a_turn_ends_no_shadow(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.campaign(1, "v1", ["lead"] * 4, limits=PACED, schedule=OFFICE)
    switch(world, start)
    shadows = Shadows(world.ledger, SimulatedClock(MONDAY + HOUR))
    run(world, MONDAY, MONDAY + HOUR)
    before = decided(world)
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "stream", lambda *_: 1 / 0)
        patch.setattr("runner.replaying.shadow.History", lambda *_a, **_k: 1 / 0)
        for _ in range(2):
            shadows._turn(1, None)
    shadows._turn(1, None)
    assert decided(world) == before
    assert not shadows._failed


def test_stopped_it_says_nothing_more(world: World) -> None:
    world.campaign(1, "v1", ["lead"] * 8, limits=PACED, schedule=OFFICE)
    switch(world, start)
    run(world, MONDAY, MONDAY + 3 * MINUTE)
    switch(world, stop)
    before = decided(world)
    run(world, MONDAY + 3 * MINUTE, MONDAY + HOUR)

    assert before
    assert decided(world) == before


def test_what_is_on_cannot_be_started_and_what_is_off_not_stopped() -> None:
    off, on = Shadow("shadow-1"), Shadow("shadow-1", since=MONDAY)

    with pytest.raises(CommandRefused, match="on already"):
        start(on, actor="anna", now=MONDAY)
    with pytest.raises(CommandRefused, match="not on"):
        stop(off, actor="anna", now=MONDAY)


def test_time_travel_shows_a_campaign_as_it_was(world: World) -> None:
    world.campaign(1, "v1", ["lead", "refused", *["lead"] * 4], limits=PACED, schedule=OFFICE)
    run(world, MONDAY, MONDAY + HOUR)
    events = world.events(1)
    third = [event for event in events if isinstance(event, e.EmailLocked)][2]

    then = at("campaign-1", History(world.ledger, [1]).rows(), third.recorded_at - MINUTE)
    now = at("campaign-1", History(world.ledger, [1]).rows(), MONDAY + HOUR)

    assert [one.outcome for one in then.attempts.values()] == ["sent", "failed", "sent"]
    assert len(then.waiting()) == 3
    assert [one.outcome for one in now.attempts.values()].count("sent") == 5
    assert now.waiting() == []
    assert now.mailbox.mails.on_date_of(MONDAY, "Europe/Warsaw") == 5
