"""The shadow beside a daemon: it decides at the owner's ticks, is compared as it goes, and sends nothing."""

from __future__ import annotations

from functools import partial
from itertools import count
from math import inf
from threading import Event
from types import MethodType, ModuleType, SimpleNamespace

import pytest
from structlog.testing import capture_logs

from domain import events as e
from domain.emitting import Draft
from domain.errors import CommandRefused
from domain.replay.past import Setup
from domain.replay.shadowing import SHADOW, Shadow, shadow_of, start, stop
from domain.replay.travel import at
from runner.clock import SimulatedClock
from runner.replaying.history import History
from runner.replaying.shadow import LOOKED_AT_ONCE, Shadows, shadow_stream
from runner.store.ledger import Ledger
from runner.store.reading import LogReader
from runner.store.side_streams import ForeignStream, SideStreams
from tests.faults.invariants import broken
from tests.faults.world import World
from tests.replay.given import HOUR, MINUTE, MONDAY, OFFICE, PACED, Recorded, run


def switch(world: World, change: object) -> None:
    shadow = shadow_of(shadow_stream(1), world.ledger.stream(shadow_stream(1)))
    world.ledger.append(change(shadow, actor="anna", now=MONDAY))  # type: ignore[operator]


def beside(world: World, **budgets: float) -> Shadows:
    """The shadows of a daemon that has just started, after the hour of the test."""
    return Shadows(world.ledger.side_streams(SHADOW), SimulatedClock(MONDAY + HOUR), **budgets)


def reached_from(start: object) -> list[object]:
    """Everything that its attributes lead to, and theirs, through collections too."""
    known: dict[int, object] = {}
    left = [start]
    while left:
        one = left.pop()
        if id(one) in known or isinstance(one, type | ModuleType):
            continue
        known[id(one)] = one
        left += [*vars(one).values()] if hasattr(one, "__dict__") else []
        left += [one.__self__] if isinstance(one, MethodType) else []
        left += [*one.values()] if isinstance(one, dict) else [*one] if isinstance(one, list | tuple) else []
    return list(known.values())


def summary(world: World) -> e.ShadowSummarised | None:
    return shadow_of(shadow_stream(1), world.ledger.stream(shadow_stream(1))).summary


def decided(world: World) -> list[tuple[int, int, e.Sender]]:
    return [(one.lead_id, one.attempt, one.sender) for one in world.told(e.ShadowDecided)]  # type: ignore[attr-defined]


def test_what_a_slow_shadow_writes_is_not_the_last_word_with_an_earlier_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulated time is that of the newest event: it must not go back."""
    append = SideStreams.append

    def slowly(streams: SideStreams, events: list[e.Event]) -> None:
        Event().wait(1)
        append(streams, events)

    monkeypatch.setattr(SideStreams, "append", slowly)
    world.campaign(1, "v1", ["lead"], limits=PACED, schedule=OFFICE)
    switch(world, start)
    run(world, MONDAY, MONDAY + 3 * MINUTE)

    written = [event for _, event in world.ledger.read(0, 1_000_000)]
    stopped = next(nth for nth, event in enumerate(written) if isinstance(event, e.RunnerStopped))
    assert len(world.told(e.ShadowDecided)) == 1
    assert {event.recorded_at for event in written[stopped:]} == {MONDAY + 3 * MINUTE}


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

    findings = Recorded.of(world).compared(Setup(start=MONDAY))

    told = summary(world)
    assert told is not None
    assert (told.judged, told.equal) == (findings.judged, findings.equal)


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
    appends, others = SideStreams.append, [True]

    def first_another(streams: SideStreams, events: list[e.Event]) -> None:
        if isinstance(events[0], e.ShadowDecided) and others:
            others.clear()
            shadow = shadow_of(shadow_stream(1), streams.histories.stream(shadow_stream(1)))
            draft = Draft(shadow.stream, shadow.version, MONDAY)
            draft.add(e.ShadowSummarised, log_position=1, judged=0, equal=0, differences={}, cut_short=0)
            appends(streams, draft.events)
        appends(streams, events)

    monkeypatch.setattr(SideStreams, "append", first_another)
    run(world, MONDAY, MONDAY + HOUR)
    assert not others
    assert decided(world) == [(lead, 1, "v2") for lead in range(1, 5)]


def test_a_database_that_is_away_for_a_turn_ends_no_shadow(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.campaign(1, "v1", ["lead"] * 4, limits=PACED, schedule=OFFICE)
    switch(world, start)
    shadows = beside(world)
    run(world, MONDAY, MONDAY + HOUR)
    before = decided(world)
    with monkeypatch.context() as patch:
        patch.setattr(LogReader, "stream", lambda *_: 1 / 0)
        patch.setattr("runner.replaying.shadow.History", lambda *_a, **_k: 1 / 0)
        for _ in range(2):
            shadows._turn(1, inf)
    shadows._turn(1, inf)
    assert decided(world) == before
    assert not shadows._failed


def test_at_the_end_its_time_is_short_and_the_next_start_takes_up_what_is_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads = LOOKED_AT_ONCE // 4
    world.campaign(1, "v1", ["lead"] * leads, limits=PACED, schedule=OFFICE)
    run(world, MONDAY, MONDAY + 2 * HOUR)
    switch(world, start)

    each_look_takes_a_second = SimpleNamespace(monotonic=partial(next, count()))
    monkeypatch.setattr("runner.replaying.shadow.time", each_look_takes_a_second)
    with capture_logs() as logs:
        beside(world, end_budget_s=2.5).end()
    first, reached = decided(world), summary(world)
    with capture_logs() as later:
        beside(world, end_budget_s=1000).end()

    [told] = [line for line in logs if "behind" in line["event"]]
    assert told["campaigns"] == [1]
    assert reached is not None
    assert 0 < reached.log_position < world.ledger.position()
    assert (reached.judged > 0, reached.cut_short, 0 < len(first) < leads) == (True, 1, True)
    assert not later
    assert decided(world) == [(lead, 1, "v2") for lead in range(1, leads + 1)]


def test_what_it_came_to_is_not_forgotten_by_one_that_ended_sooner(world: World) -> None:
    world.campaign(1, "v1", ["lead"] * 4, limits=PACED, schedule=OFFICE)
    switch(world, start)
    run(world, MONDAY, MONDAY + HOUR)
    before = summary(world)

    beside(world, end_budget_s=0).end()

    assert before is not None
    assert summary(world) == before


def test_it_has_no_right_to_lock(world: World) -> None:
    """No ledger, not even by private names; and what is of another stream than its own is refused."""
    world.campaign(1, "v1", ["lead"] * 4, limits=PACED, schedule=OFFICE)
    switch(world, start)
    run(world, MONDAY, MONDAY + 3 * MINUTE)
    shadows, position = beside(world), world.ledger.position()
    lock = next(event for event in world.events(1) if isinstance(event, e.EmailLocked))
    mine = Draft(shadow_stream(1), world.ledger.version(shadow_stream(1)), MONDAY).add(e.ShadowStopped, actor="anna")

    with pytest.raises(ForeignStream, match="EmailLocked of campaign-1"):
        shadows._streams.append([mine, lock.model_copy(update={"originator_version": lock.originator_version + 100})])

    assert world.ledger.position() == position
    assert not [held for held in reached_from(shadows) if isinstance(held, Ledger)]


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

    then = at("campaign-1", History(world.ledger.histories, [1]).rows(), third.recorded_at - MINUTE)
    now = at("campaign-1", History(world.ledger.histories, [1]).rows(), MONDAY + HOUR)

    assert [one.outcome for one in then.attempts.values()] == ["sent", "failed", "sent"]
    assert len(then.waiting()) == 3
    assert [one.outcome for one in now.attempts.values()].count("sent") == 5
    assert now.waiting() == []
    assert now.mailbox.mails.on_date_of(MONDAY, "Europe/Warsaw") == 5
