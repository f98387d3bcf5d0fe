"""The locked mode on histories that the daemon wrote: the record is replayed in the very ticks, and each class of
difference is found where it was provoked, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from domain import commands
from domain import events as e
from domain import mailbox as mailboxes
from domain.calendar import WEEK, Schedule
from domain.campaign import Campaign
from domain.mailbox import Mailbox
from domain.policies import Send
from domain.replay.classes import Column, DifferenceClass, Pattern
from domain.replay.findings import A, B
from domain.replay.locked import Locked
from domain.replay.past import Setup
from domain.replay.sides import Side, WhatIf, as_owner
from domain.replay.situations import Situation
from domain.replay.ticks import in_order
from domain.rules import Limits, Rule, Wait
from tests.databases import on_sqlite
from tests.faults.world import ALWAYS, NO_DELAY, World
from tests.replay.given import (
    DAY,
    HOUR,
    MINUTE,
    MONDAY,
    OFFICE,
    PACED,
    SPARSE,
    Recorded,
    broken,
    faithful,
    found,
    never_waiting,
    run,
)

senders = pytest.mark.parametrize(("sender", "own"), [("v1", A), ("v2", B)])

pytestmark = on_sqlite


@senders
def test_a_sender_replayed_on_its_own_past_decides_in_the_very_ticks(world: World, sender: e.Sender, own: int) -> None:
    world.campaign(1, sender, ["lead"] * 8, limits=PACED, schedule=OFFICE)
    run(world, MONDAY - 2 * MINUTE, MONDAY + 20 * MINUTE)

    findings = Recorded.of(world).compared()

    assert faithful(findings, own)
    assert findings.patterns == {Pattern.MATCH: 8}
    assert findings.breaches == {}


@senders
def test_days_with_everything_in_them_are_replayed_as_they_were(world: World, sender: e.Sender, own: int) -> None:
    """From before the autumn clock change over All Saints' Day, with a night's outage, a pause, a new limit and a
    temporary failure."""
    friday = datetime(2026, 10, 23, 6, tzinfo=UTC)
    every_day = Schedule(zone="Europe/Warsaw", weekdays=WEEK, start="09:00", end="15:00", holidays_of=("PL",))
    limits = Limits(daily_limit=6, delay_s=1200)
    leads = ["lead", "busy", *["lead"] * 30]
    world.campaign(1, sender, leads, limits=limits, schedule=every_day, started_at=friday)
    run(world, friday, friday + 2 * DAY, SPARSE)
    world.ledger.on_campaign(1, lambda c: commands.pause(c, actor="anna", reason=None, now=friday + 2 * DAY))
    run(world, friday + 2 * DAY, friday + 2 * DAY + 3 * HOUR, SPARSE)
    resumed = friday + 2 * DAY + 3 * HOUR
    world.ledger.on_campaign(1, lambda c: commands.resume(c, actor="anna", reason=None, now=resumed))
    fewer = Limits(daily_limit=3, delay_s=1200)
    world.ledger.on_campaign(1, lambda c: commands.edit(c, actor="anna", limits=fewer, now=resumed))
    run(world, resumed, resumed + 12 * HOUR, SPARSE)
    run(world, resumed + 20 * HOUR, friday + 10 * DAY, SPARSE, missed=8 * HOUR)
    history = Recorded.of(world)

    locked, free = history.compared(), history.compared(is_free=True)

    assert faithful(locked, own)
    assert faithful(free, own)
    assert locked.breaches == free.breaches == {}


def test_the_situations_of_a_history_are_told(world: World) -> None:
    saturday = datetime(2027, 3, 27, 7, tzinfo=UTC)
    every_day = Schedule(zone="Europe/Warsaw", weekdays=WEEK, start="09:00", end="15:00", holidays_of=("PL",))
    world.campaign(1, "v2", ["busy"] * 9, Limits(daily_limit=3, delay_s=60), every_day, started_at=saturday)
    run(world, saturday, saturday + 2 * DAY, SPARSE)
    history = Recorded.of(world)
    engine = Locked({history.stream: {}}, Setup())
    engine.run(in_order(history.rows, history.ticks))

    seen = engine.cases[history.stream].situations.seen

    assert {Situation.WINDOW, Situation.CLOCK_CHANGE, Situation.HOLIDAY, Situation.LIMIT, Situation.FAILURE} <= seen
    assert Situation.PAUSE not in seen
    assert Situation.OUTAGE not in seen


def test_what_v1_may_not_pick_is_extra(world: World) -> None:
    world.campaign(1, "v2", ["lead"] * 3, limits=PACED, schedule=OFFICE, v1_status="replied")
    run(world, MONDAY, MONDAY + 30 * MINUTE)

    findings = Recorded.of(world).compared()

    assert found(findings) == {"EXTRA": 3}
    assert findings.classes[DifferenceClass.EXTRA].examples[0].why == Rule.STUCK
    assert findings.patterns == {Pattern.DIFFERENCE: 3}


def test_what_v1_leaves_behind_is_extra_for_v2(world: World) -> None:
    """V1 rests, for it may pick none of them; V2 goes on all the same."""
    world.campaign(1, "v1", ["lead"] * 3, limits=PACED, schedule=OFFICE, v1_status="replied")
    run(world, MONDAY, MONDAY + 30 * MINUTE)

    findings = Recorded.of(world).compared()

    assert found(findings) == {"EXTRA": 3}
    assert [tally.mails for tally in findings.tallies] == [0, 0, 3]
    assert not findings.held_against[A], "what neither the record nor its sender's replay has says nothing of that one"


def test_what_a_lower_limit_holds_back_is_missing(world: World) -> None:
    b = Side("v2", WhatIf(daily_limit=3))

    findings = paced_morning(world).compared(b=b)

    assert found(findings) == {"MISSING": 5}
    assert findings.classes[DifferenceClass.MISSING].examples[0].why == Rule.CAMPAIGN_LIMIT


def test_a_later_window_is_a_shift_and_nothing_cascades(world: World) -> None:
    findings = paced_morning(world).compared(b=Side("v2", WhatIf(window=(9 * 60 + 10, 15 * 60))))

    counts = findings.classes[DifferenceClass.SHIFT]
    assert set(found(findings)) == {"SHIFT"}
    assert counts.examples[0].why == Rule.WINDOW
    assert counts.examples[0].shift == 10 * MINUTE
    assert counts.consequence == 0
    assert found(findings)["SHIFT"] < 8  # those that were mailed after ten past nine match


def test_another_order_is_a_shift_of_those_it_concerns(world: World) -> None:
    limits = Limits(daily_limit=100, delay_s=300)
    world.campaign(1, "v1", ["lead"] * 6, limits=limits, schedule=OFFICE, priorities=(9, 9, 9, 9, 9, 1))
    run(world, MONDAY, MONDAY + 2 * HOUR)

    findings = Recorded.of(world).compared(tolerance=3 * MINUTE)

    shifts = findings.classes[DifferenceClass.SHIFT].examples
    assert set(found(findings)) == {"SHIFT"}
    assert next(one for one in shifts if one.lead_id == 6).b_at == MONDAY
    assert {one.why.partition(" ")[0] for one in shifts if one.lead_id != 6} == {"lead"}


def test_new_content_between_the_two_is_another_content(world: World) -> None:
    history = changed_meanwhile(world, lambda c, at: commands.edit(c, actor="anna", content_digest="1" * 64, now=at))

    assert set(found(history.compared(b=LATE))) == {"CONTENT"}


def test_another_mailbox_between_the_two_is_another_mailbox(world: World) -> None:
    world.mailbox("support")
    history = changed_meanwhile(world, lambda c, at: commands.edit(c, actor="anna", mailbox="support", now=at))

    assert set(found(history.compared(b=LATE))) == {"MAILBOX"}


def test_a_policy_that_raises_is_a_crash_of_that_policy_only(world: World) -> None:
    def raising(campaign: Campaign, mailbox: Mailbox, sender: e.Sender, now: datetime) -> Send | Wait:
        answer = as_owner(campaign, mailbox, sender, now)
        if isinstance(answer, Send) and answer.lead_id == 8:
            raise ZeroDivisionError
        return answer

    findings = paced_morning(world).compared(b=Side("v2", policy=raising))

    assert set(broken(findings, Column.B)) == {DifferenceClass.CRASH}
    assert broken(findings, Column.A) == {}
    assert found(findings) == {"MISSING": 1}
    assert findings.broken[Column.B, DifferenceClass.CRASH][0].words == "ZeroDivisionError"


@pytest.mark.parametrize(
    ("state", "breach"), [("sent", DifferenceClass.DUPLICATE), ("skipped", DifferenceClass.FORBIDDEN)]
)
def test_a_mail_to_who_has_had_it_or_shall_have_none_is_critical(
    world: World, state: str, breach: DifferenceClass
) -> None:
    def again(campaign: Campaign, mailbox: Mailbox, sender: e.Sender, now: datetime) -> Send | Wait:
        roll = campaign.roll
        if len(roll) > 1 and roll.state(0).label == state and roll.state(7).label == "queued":
            return Send(0, 1, now)
        return as_owner(campaign, mailbox, sender, now)

    world.campaign(1, "v1", ["lead"] * 8, limits=PACED, schedule=OFFICE)
    if state == "skipped":
        world.ledger.on_campaign(1, lambda c: commands.skip(c, [0], "suppressed", now=MONDAY - HOUR))
    run(world, MONDAY, MONDAY + 30 * MINUTE)

    findings = Recorded.of(world).compared(b=Side("v2", policy=again))

    assert set(broken(findings, Column.B)) == {breach}
    assert broken(findings, Column.R) == broken(findings, Column.A) == {}


def test_too_early_is_outside_the_window_and_too_soon_is_under_the_delay(world: World) -> None:
    def early(campaign: Campaign, mailbox: Mailbox, sender: e.Sender, now: datetime) -> Send | Wait:
        return as_owner(campaign, mailbox, sender, now + HOUR)

    findings = paced_morning(world).compared(b=Side("v2", policy=early))

    assert set(broken(findings, Column.B)) == {DifferenceClass.WINDOW, DifferenceClass.LIMIT}
    assert broken(findings, Column.A) == {}


def test_a_mail_that_is_followed_to_another_day_is_judged_by_the_mailboxes_limit_of_that_day(world: World) -> None:
    """Three a day have left already when V2 would send those of the day before; those of that very day are in it."""
    world.mailbox(daily_limit=3)
    world.campaign(1, "v1", ["lead"] * 6, limits=Limits(daily_limit=100, delay_s=0), schedule=OFFICE)
    run(world, MONDAY, MONDAY + DAY + 2 * HOUR, SPARSE)

    def late(campaign: Campaign, mailbox: Mailbox, sender: e.Sender, now: datetime) -> Send | Wait:
        until = MONDAY + DAY + HOUR
        return Wait(Rule.WINDOW, until) if now < until else never_waiting(campaign, mailbox, sender, now)

    findings = Recorded.of(world).compared(b=Side("v2", policy=late))

    assert broken(findings, Column.R) == {}
    assert broken(findings, Column.B) == {DifferenceClass.LIMIT: 3}
    assert "over the mailbox's 3 a day" in findings.broken[Column.B, DifferenceClass.LIMIT][0].words


@pytest.mark.parametrize(("sender", "own"), [("v1", A), ("v2", B)])
def test_a_mailbox_that_two_campaigns_fill_together_is_no_fault_of_either(
    world: World, sender: e.Sender, own: int
) -> None:
    """Both decide at one tick on its last slot: the gate has the last word, and the ledger says so."""
    world.mailbox(daily_limit=15)
    for number in (1, 2):
        world.campaign(number, sender, ["lead"] * 40, limits=PACED, schedule=OFFICE)
    for day in range(3):
        run(world, MONDAY + day * DAY - MINUTE, MONDAY + day * DAY + HOUR)

    for number in (1, 2):
        findings = Recorded.of(world, number).compared()
        assert faithful(findings, own)
        assert findings.causes == {}
        assert broken(findings, Column.B) == {}


def test_v2_without_a_delay_sends_what_its_mailbox_takes_and_no_more(world: World) -> None:
    world.mailbox(daily_limit=10)
    world.campaign(1, "v2", ["lead"] * 20, limits=Limits(daily_limit=1000, delay_s=0), schedule=OFFICE)
    run(world, MONDAY - MINUTE, MONDAY + HOUR / 2)

    findings = Recorded.of(world).compared()

    assert [tally.mails for tally in (findings.tallies[0], findings.tallies[B])] == [10, 10]
    assert faithful(findings, B)


def test_what_the_history_ends_too_soon_to_show_is_unknown_and_no_match(world: World) -> None:
    world.campaign(1, "v1", ["lead"], limits=PACED, schedule=OFFICE)
    run(world, MONDAY, MONDAY + 2 * MINUTE)

    findings = Recorded.of(world).compared(b=Side("v2", WhatIf(window=(9 * 60 + 30, 15 * 60))))

    assert found(findings) == {"UNKNOWN": 1}
    assert (findings.judged, findings.equal) == (0, 0)


def test_an_outage_is_named_and_no_difference_of_v2(world: World) -> None:
    world.campaign(1, "v1", ["lead"] * 8, limits=PACED, schedule=OFFICE)
    run(world, MONDAY, MONDAY + 5 * MINUTE)
    run(world, MONDAY + 35 * MINUTE, MONDAY + HOUR, missed=31 * MINUTE)

    findings = Recorded.of(world).compared()

    assert found(findings) == {}
    assert findings.patterns[Pattern.NOISE] == 1
    assert list(findings.causes) == ["outage 2026-10-05 09:04–09:35"]


def test_trouble_of_the_server_is_named(world: World) -> None:
    world.port = 1  # nobody listens there
    world.campaign(1, "v1", ["lead"] * 2, limits=PACED, schedule=OFFICE)
    run(world, MONDAY, MONDAY + 3 * MINUTE)
    world.ledger.on_mailbox("sales", lambda m: mailboxes.resume(m, actor="anna", reason=None, now=MONDAY + 3 * MINUTE))
    world.ledger.keep((MOVE_TO_PORT, [{"port": world.server.port}]))
    run(world, MONDAY + 3 * MINUTE, MONDAY + 20 * MINUTE)

    findings = Recorded.of(world).compared()

    assert found(findings) == {}
    assert [cause.partition(":")[0] for cause in findings.causes] == ["server trouble"]


def test_several_connections_and_no_delay_are_replayed_in_their_ticks(world: World) -> None:
    world.mailbox(connections=5)
    world.campaign(1, "v2", ["lead"] * 20, limits=NO_DELAY, schedule=ALWAYS)
    run(world, MONDAY, MONDAY + 3 * MINUTE)

    findings = Recorded.of(world).compared()

    assert faithful(findings, B)
    assert findings.breaches == {}


def test_v1_in_v2s_place_backs_off_as_v1_does(world: World) -> None:
    """What a sender makes of a failure is its own decision: V1 tries again at once, V2 after a quarter of an hour."""
    world.campaign(1, "v2", ["busy", "lead"], limits=PACED, schedule=OFFICE)
    run(world, MONDAY, MONDAY + HOUR)

    again = Recorded.of(world).compared(tolerance=MINUTE).classes[DifferenceClass.SHIFT].examples

    assert [(one.lead_id, one.attempt) for one in again if one.attempt > 1] == [(1, 2)]
    second = next(one for one in again if one.attempt == 2)
    assert second.shift is not None
    assert second.shift > timedelta(minutes=10)


def paced_morning(world: World) -> Recorded:
    """Eight leads, mailed by V1 from nine o'clock on; and half an hour more."""
    world.campaign(1, "v1", ["lead"] * 8, limits=PACED, schedule=OFFICE)
    run(world, MONDAY - 2 * MINUTE, MONDAY + 45 * MINUTE)
    return Recorded.of(world)


MOVE_TO_PORT = text("UPDATE mailbox_identities SET port = :port")
LATE = Side("v2", WhatIf(window=(9 * 60 + 20, 15 * 60)))


def changed_meanwhile(world: World, change: Callable[[Campaign, datetime], list[e.Event]]) -> Recorded:
    """One lead, mailed at nine; at ten past a person changes something; until ten."""
    world.campaign(1, "v1", ["lead"], limits=PACED, schedule=OFFICE)
    run(world, MONDAY, MONDAY + 10 * MINUTE)
    world.ledger.on_campaign(1, lambda campaign: change(campaign, MONDAY + 10 * MINUTE))
    run(world, MONDAY + 10 * MINUTE, MONDAY + HOUR)
    return Recorded.of(world)
