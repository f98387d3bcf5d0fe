"""Any old database at all: whatever an old system did and however often it was taken in, its past is a history as any
other, and what it broke is its own."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain import events as e
from domain import observing
from domain.calendar import Schedule
from domain.campaign import Campaign, Status
from domain.observing import OldMail
from domain.policies import Send
from domain.replay.classes import Column, DifferenceClass
from domain.replay.findings import A
from domain.replay.imported import fold
from domain.replay.past import Setup
from domain.replay.proving import prove
from domain.replay.sides import Side, WhatIf
from domain.rules import Limits
from domain.snapshot import freeze
from tests.domain.given import World
from tests.replay.given import Recorded, broken, faithful, found

MINUTE = timedelta(minutes=1)
MONDAY = datetime(2025, 3, 3, 8, tzinfo=UTC)
"""09:00 in Warsaw, where the window opens."""
IMPORTED = MONDAY + timedelta(days=2)
OFFICE = Schedule(zone="Europe/Warsaw", start="09:00", end="15:00")


class Round(NamedTuple):
    """One import: new leads, rows of the SendLog (a lead, the second after Monday nine o'clock), what has changed."""

    leads: list[e.V1Status]
    mails: list[tuple[int, int]]
    status: Status
    delay_s: int


class Old(NamedTuple):
    """What an old system did. `ours`: so many minutes of our V1 after it was taken over; None: never."""

    rounds: list[Round]
    ours: int | None


statuses = st.sampled_from(["planned", "queued", "sending", "sent", "failed", "replied"])
mails = st.tuples(st.integers(0, 11), st.integers(-900, 8 * 3600))
lives = st.sampled_from([Status.RUNNING, Status.RUNNING, Status.PAUSED, Status.COMPLETED, Status.DRAFT])
rounds = st.builds(
    Round, st.lists(statuses, max_size=6), st.lists(mails, max_size=7), lives, st.sampled_from([0, 60, 90])
)
pasts = st.builds(Old, st.lists(rounds, min_size=1, max_size=3), st.one_of(st.none(), st.integers(4, 12)))


bounds = st.one_of(st.none(), st.integers(-4_000, 6 * 86_400).map(lambda second: MONDAY + timedelta(seconds=second)))


def lived(old: Old) -> World:
    """Its imports, one a day; then our V1, tick by tick, if it was taken over."""
    first = old.rounds[0]
    world = World(
        observed=True, schedule=OFFICE, limits=Limits(daily_limit=5, delay_s=first.delay_s), now=IMPORTED - 3 * MINUTE
    )
    row = 0
    for one in old.rounds:
        world.begin(schedule=OFFICE, limits=Limits(daily_limit=5, delay_s=one.delay_s), settings=one.delay_s)
        world.add_leads(*one.leads)
        leads = len(world.campaign.roll)
        sends = []
        for position, second in one.mails if leads else []:
            row += 1
            sends.append(OldMail(row, position % leads, None, MONDAY + timedelta(seconds=second)))
        world.save(observing.add_sends(world.campaign, world.mailbox, sends, now=world.now))
        since = MONDAY - timedelta(hours=1) if world.campaign.status is Status.DRAFT else None
        world.follow_life(one.status, since)
        world.end()
        world.now += timedelta(days=1)
    if old.ours is not None:
        take_over(world, old.ours)
    return world


def history(old: Old) -> Recorded:
    """As a comparison reads it."""
    return Recorded.of_imported(lived(old).history)


def take_over(world: World, minutes: int) -> None:
    """It runs, what is found in it is mended, and three more wait."""
    world.add_leads("queued", "queued", "queued")
    world.follow_life(Status.RUNNING)
    world.end()
    if world.plan().repairs:
        world.fix()
    world.take_over()
    for _ in range(minutes):
        world.now += MINUTE
        answer = world.next("v1")
        if isinstance(answer, Send):
            tick: dict[str, Any] = {"runner": "r1", "sender": "v1", "tick_at": world.now, "recorded_at": world.now}
            did = {"considered": 1, "sent": 1, "failed": 0, "in_doubt": 0, "deferred": {}}
            world.history.append(e.TickStarted(originator_id="ticks-r1-v1", due=1, **tick))
            world.delivered(answer.position)
            world.history.append(e.TickFinished.model_validate({"originator_id": "ticks-r1-v1", **tick, **did}))


@settings(deadline=None, max_examples=40)
@given(pasts, st.booleans())
def test_it_is_deterministic_and_a_sender_against_itself_never_differs(old: Old, is_free: bool) -> None:
    proof = prove(history(old).part(), Setup(is_free=is_free))

    assert proof.is_deterministic
    assert proof.identity == 0
    assert proof.not_found == ()


@settings(deadline=None, max_examples=60)
@given(pasts, st.booleans())
def test_what_it_broke_is_its_own_and_our_v1_is_faithful(old: Old, is_free: bool) -> None:
    recorded = history(old)
    mailed = Counter(event.position for _, event in recorded.rows if isinstance(event, e.EmailSent) and event.imported)

    findings = recorded.compared(is_free=is_free)

    again = mailed.total() - len(mailed)
    assert broken(findings, Column.R).get(DifferenceClass.DUPLICATE, 0) == again
    assert DifferenceClass.FORBIDDEN not in broken(findings, Column.R)
    assert broken(findings, Column.A) == broken(findings, Column.B) == {}
    assert not findings.held_against[A] or faithful(findings, A)
    assert found(recorded.compared(Setup(Side("v1"), Side("v1"), is_free=is_free))) == {}


@settings(deadline=None, max_examples=60)
@given(pasts, bounds, bounds, st.booleans(), st.sampled_from([None, 7 * MINUTE]))
@example(Old([Round(["queued"], [], Status.DRAFT, 0)], 4), None, MONDAY, False, None)
@example(Old([Round(["sent"] * 2, [(0, 0), (1, 300)], Status.RUNNING, 0)], 4), None, MONDAY + MINUTE, False, None)
def test_a_part_of_it_is_compared_by_itself(
    old: Old, start: datetime | None, end: datetime | None, is_free: bool, every: timedelta | None
) -> None:
    recorded, side = history(old), Side("v1", WhatIf(every=every) if is_free else WhatIf())

    same = recorded.compared(Setup(side, side, is_free=is_free, start=start, end=end))
    findings = recorded.compared(is_free=is_free, start=start, end=end)

    assert found(same) == broken(same, Column.A) == broken(findings, Column.A) == broken(findings, Column.B) == {}
    assert end is None or end > IMPORTED or findings.held_against[A] == 0
    for tally in findings.tallies:
        assert start is None or tally.first_at is None or tally.first_at >= start
        assert end is None or tally.last_at is None or tally.last_at < end


@settings(deadline=None, max_examples=60)
@given(pasts)
def test_in_the_end_it_is_what_the_ledger_has_of_it(old: Old) -> None:
    world = lived(old)
    laid = Campaign(world.campaign.stream)

    for _, event in Recorded.of_imported(world.history).rows:
        if event.originator_id == laid.stream:
            fold(laid, event)

    assert freeze(laid) == freeze(world.campaign)
