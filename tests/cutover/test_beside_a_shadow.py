"""A cutover that is watched: the shadow's decisions say what was due, in a verification and in the live view."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from datetime import datetime, timedelta

import pytest

from domain import commands, policies
from domain import events as e
from domain.campaign import Campaign
from domain.leads import LeadState
from domain.policies import Send
from domain.replay.shadowing import shadow_of, start, stop
from domain.rules import Limits, Rule, Wait
from domain.verifying import Answer
from projections.database import reading
from runner import cutover
from runner.overview import ShadowNow, shadows
from runner.replaying.shadow import shadow_stream
from tests.databases import on_sqlite
from tests.faults.world import World
from tests.replay.given import HOUR, MINUTE, MONDAY, OFFICE, PACED, run

AT_ONCE = Limits(daily_limit=100, delay_s=0)
FEW_A_DAY = Limits(daily_limit=5, delay_s=600)
SLOW = Limits(daily_limit=100, delay_s=1800)
QUICK: dict[e.Sender, timedelta] = {"v1": 5 * MINUTE, "v2": 4 * MINUTE}
UNTRUE = [
    *(Rule.WINDOW, Rule.WEEKDAY, Rule.HOLIDAY, Rule.CAMPAIGN_LIMIT, Rule.MAILBOX_LIMIT, Rule.DELAY, Rule.BACK_OFF),
    *(Rule.PAUSED, Rule.EMPTY, Rule.STUCK, Rule.MAILBOX_DELAYED),
]
RIGHT = policies._v2
OFTEN_BUSY = ["lead", "lead", "busy", "lead", "refused", "lead", "nameless", "lead"]


def minute(number: int) -> datetime:
    return MONDAY + number * MINUTE


def switch(world: World, change: Callable[..., list[e.Event]], now: datetime = MONDAY) -> None:
    """`start` or `stop` the shadow."""
    stream = shadow_stream(1)
    world.ledger.append(change(shadow_of(stream, world.ledger.stream(stream)), actor="anna", now=now))


def are_mails_sent(world: World, now: datetime, since: datetime | None = None) -> Answer:
    """The first of the eight answers."""
    world.follow()
    world.ledger.refresh()
    with reading(world.engine) as views:
        return cutover.verified(world.ledger, views, 1, since=since, now=now)[0]


def seen(world: World) -> ShadowNow:
    """What the live view says of it."""
    world.follow()
    with reading(world.engine) as views:
        return shadows(views)[1]


@pytest.fixture
def nobody_listens() -> Iterator[int]:
    """A port that refuses every connection."""
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_a_cutover_that_goes_well_passes_by_the_shadow_and_the_live_view_says_the_same(world: World) -> None:
    world.campaign(1, "v1", ["lead"] * 30, limits=PACED, schedule=OFFICE)
    switch(world, start)
    run(world, MONDAY, minute(20))
    world.ledger.refresh()
    cutover.migrate(world.ledger, 1, actor="anna", reason="the first one", now=minute(20))
    run(world, minute(20), minute(20) + 2 * HOUR)

    answer, now = are_mails_sent(world, minute(20) + 2 * HOUR), seen(world)

    by_v2 = [event for event in world.told(e.EmailLocked) if isinstance(event, e.EmailLocked) and event.sender == "v2"]
    told = answer.shadow
    assert told is not None
    assert (answer.verdict, answer.cases, answer.broken) == ("PASS", len(by_v2), 0)
    assert (told.sender, told.owner, told.since, told.until) == ("v1", "v2", minute(20), None)
    assert (told.ticks, told.due, told.tried, told.behind) == (240, len(by_v2), len(by_v2), 0)
    assert answer.words == f"by the shadow v1 at 240 ticks: {len(by_v2)} due, {len(by_v2)} tried"
    assert now == ShadowNow("v1", minute(20), len(by_v2), len(by_v2), 0)


@on_sqlite
@pytest.mark.parametrize("owner", ["v1", "v2"])
def test_an_owner_that_cannot_send_is_seen_beside_its_shadow_alone(
    world: World, owner: e.Sender, nobody_listens: int
) -> None:
    world.port = nobody_listens
    world.campaign(1, owner, ["lead"] * 8, limits=PACED, schedule=OFFICE)
    run(world, MONDAY, minute(15))
    before = are_mails_sent(world, minute(15))
    switch(world, start, minute(15))
    run(world, minute(15), minute(45))
    answer = are_mails_sent(world, minute(45))

    assert (before.verdict, before.words) == ("NO DATA", "by open time"), "each try that fails puts off what is due"
    [due] = [event for event in world.told(e.ShadowDecided) if isinstance(event, e.ShadowDecided)]
    assert (answer.verdict, answer.cases, answer.broken) == ("FAIL", 1, 1)
    assert dict(world.ledger.read(0, 10_000))[answer.evidence[0]] == due
    assert answer.says == f"lead 1 is due by the shadow since {due.decided_at.isoformat()}: mailbox delayed"
    assert answer.words.endswith("1 due, 0 tried, 1 behind (mailbox delayed)")
    assert seen(world).behind == 1


@on_sqlite
@pytest.mark.parametrize(
    ("owner", "limits", "held_by"),
    [("v1", FEW_A_DAY, "campaign's daily limit"), ("v2", AT_ONCE, "back-off"), ("v2", FEW_A_DAY, "")],
)
def test_rules_that_differ_are_named_and_break_nothing(
    world: World, owner: e.Sender, limits: Limits, held_by: str
) -> None:
    world.campaign(1, owner, OFTEN_BUSY * 3, limits=limits, schedule=OFFICE)
    switch(world, start)
    run(world, MONDAY, minute(14) if limits == AT_ONCE else minute(120))

    answer = are_mails_sent(world, minute(14) if limits == AT_ONCE else minute(300))

    assert answer.shadow is not None
    assert (answer.verdict, answer.shadow.held_by, answer.shadow.behind > 0) == ("PASS", held_by, bool(held_by))


def who_always_names(rule: Rule, after: int) -> Callable[..., Send | Wait]:
    """A policy of V2 that is wrong: once it has sent some mails it names this rule for a day, or for ever."""

    def wrong(campaign: Campaign, now: datetime, besides: Collection[int]) -> Send | Wait:
        if campaign.roll.counts[LeadState.SENT] < after:
            return RIGHT(campaign, now, besides)
        return Wait(rule, None if rule in (Rule.PAUSED, Rule.EMPTY, Rule.STUCK) else now + 24 * HOUR)

    return wrong


@on_sqlite
@pytest.mark.parametrize("beside", [True, False], ids=["beside a shadow", "by open time"])
@pytest.mark.parametrize("rule", UNTRUE)
def test_a_rule_of_the_owner_that_does_not_hold_is_no_reason(
    world: World, monkeypatch: pytest.MonkeyPatch, rule: Rule, beside: bool
) -> None:
    world.campaign(1, "v2", ["lead"] * 20, limits=PACED, schedule=OFFICE)
    monkeypatch.setattr(policies, "_v2", who_always_names(rule, after=3))
    if beside:
        switch(world, start)
    run(world, MONDAY, minute(14))
    soon = are_mails_sent(world, minute(14))
    answer = are_mails_sent(world, minute(40))

    assert len(world.told(e.EmailLocked)) == 3
    assert (soon.verdict, answer.verdict) == ("PASS", "FAIL")
    assert answer.says.endswith(f": the owner named {rule}, which did not hold")
    assert answer.says.startswith("lead 4 is due by the shadow since" if beside else "due since")


@on_sqlite
def test_a_mail_that_left_late_for_a_rule_that_did_not_hold_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.campaign(1, "v2", ["lead"] * 20, limits=PACED, schedule=OFFICE)
    switch(world, start)
    with monkeypatch.context() as patch:
        patch.setattr(policies, "_v2", who_always_names(Rule.WINDOW, after=3))
        run(world, MONDAY, minute(40))
        patch.setattr(policies, "_v2", who_always_names(Rule.WINDOW, after=5))
        run(world, minute(40), minute(50))
        patch.setattr(policies, "_v2", who_always_names(Rule.WINDOW, after=3))
        answer = are_mails_sent(world, minute(50))

    assert answer.verdict == "FAIL"
    assert answer.says.endswith("of open time: the owner named window, which did not hold")


@on_sqlite
@pytest.mark.parametrize("beside", [True, False], ids=["beside a shadow", "by open time"])
@pytest.mark.parametrize("owner", ["v1", "v2"])
@pytest.mark.parametrize("limits", [AT_ONCE, FEW_A_DAY, PACED, SLOW], ids=["at once", "few a day", "paced", "slow"])
def test_no_rule_that_holds_is_called_untrue(world: World, owner: e.Sender, limits: Limits, beside: bool) -> None:
    """Two days: the window closes, limits are reached, a neighbour fills the mailbox, leads are busy, a pause."""
    other: e.Sender = "v2" if owner == "v1" else "v1"
    world.mailbox(daily_limit=30)
    world.campaign(1, owner, OFTEN_BUSY * 5, limits=limits, schedule=OFFICE)
    world.campaign(2, other, OFTEN_BUSY * 3, limits=PACED, schedule=OFFICE)
    if beside:
        switch(world, start)
    run(world, MONDAY, minute(60), QUICK)
    world.ledger.refresh()
    world.ledger.on_campaign(1, lambda c: commands.pause(c, actor="anna", reason="lunch", now=minute(60)))
    run(world, minute(60), minute(150), QUICK)
    world.ledger.refresh()
    world.ledger.on_campaign(1, lambda c: commands.resume(c, actor="anna", reason=None, now=minute(150)))
    run(world, minute(150), MONDAY + 28 * HOUR, QUICK)

    for minutes in (30, 90, 149, 200, 400, 24 * 60, 28 * 60):
        answer = are_mails_sent(world, minute(minutes))
        assert (answer.verdict, "did not hold" in answer.words) == ("PASS", False), answer.words


@on_sqlite
@pytest.mark.parametrize("owner", ["v1", "v2"])
def test_another_order_is_no_difference_in_what_is_due(world: World, owner: e.Sender) -> None:
    leads = 24
    world.campaign(1, owner, ["lead"] * leads, limits=PACED, schedule=OFFICE, priorities=range(leads, 0, -1))
    switch(world, start)
    run(world, MONDAY, minute(30))
    half = are_mails_sent(world, minute(30))
    run(world, minute(30), minute(90))
    whole = are_mails_sent(world, minute(90))

    first = next(event.lead_id for event in world.events(1) if isinstance(event, e.EmailLocked))
    [due, *_] = [event.lead_id for event in world.told(e.ShadowDecided) if isinstance(event, e.ShadowDecided)]
    assert {first, due} == {1, leads}
    assert (half.verdict, whole.verdict) == ("PASS", "PASS")
    assert whole.shadow is not None
    assert (whole.shadow.due, whole.shadow.tried) == (leads, leads)


@on_sqlite
def test_stopped_half_way_the_rest_is_judged_by_open_time(world: World) -> None:
    world.campaign(1, "v2", ["lead"] * 40, limits=PACED, schedule=OFFICE)
    switch(world, start)
    run(world, MONDAY, minute(10))
    switch(world, stop, minute(10))
    run(world, minute(10), minute(20))
    goes_on = are_mails_sent(world, minute(20))
    stands_still = are_mails_sent(world, minute(60))

    beside = [event for event in world.told(e.EmailLocked) if event.recorded_at < minute(10)]
    assert goes_on.shadow is not None
    assert (goes_on.verdict, goes_on.shadow.until) == ("PASS", minute(10))
    assert goes_on.shadow.due == goes_on.shadow.tried == len(beside) < goes_on.cases
    assert stands_still.verdict == "FAIL"
    assert "due since" in stands_still.says
    assert "then by open time" in stands_still.words


@on_sqlite
def test_a_shadow_that_said_nothing_vouches_for_nothing(world: World) -> None:
    world.campaign(1, "v2", ["lead"] * 4, limits=PACED, schedule=OFFICE)
    switch(world, start)
    nothing = are_mails_sent(world, MONDAY)
    run(world, MONDAY, minute(30))
    switch(world, stop, minute(30))
    later = are_mails_sent(world, minute(60), since=minute(40))

    for answer in (nothing, later):
        assert (answer.verdict, answer.shadow, answer.words) == ("NO DATA", None, "by open time")


@on_sqlite
def test_whoever_v1_never_comes_to_is_due_by_the_shadow(world: World) -> None:
    world.campaign(1, "v1", ["lead"] * 3, limits=PACED, schedule=OFFICE, v1_status="failed")
    switch(world, start)
    run(world, MONDAY, minute(30))

    answer = are_mails_sent(world, minute(30))

    assert (answer.verdict, answer.broken) == ("FAIL", 3)
    assert "none in a status that V1 picks" in answer.says
