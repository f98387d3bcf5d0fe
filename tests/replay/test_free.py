"""The free mode: each side lives by its own mails, on the ticks and the answers that were recorded, or on others."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain import commands
from domain import events as e
from domain.replay.classes import Column, DifferenceClass
from domain.replay.findings import A, B
from domain.replay.past import Setup
from domain.replay.sides import Side, WhatIf
from domain.rules import Limits
from tests.databases import on_sqlite
from tests.faults.world import World
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

pytestmark = on_sqlite

FREE = Setup(is_free=True)


@pytest.mark.parametrize(("sender", "own"), [("v1", A), ("v2", B)])
def test_a_senders_own_world_is_the_record(world: World, sender: e.Sender, own: int) -> None:
    world.campaign(1, sender, ["lead", "busy", "refused", "silent", *["lead"] * 4], limits=PACED, schedule=OFFICE)
    run(world, MONDAY, MONDAY + HOUR)

    findings = Recorded.of(world).compared(FREE)

    assert faithful(findings, own)
    assert findings.tallies[own].mails == findings.tallies[0].mails
    assert findings.breaches == {}


def test_a_slower_cadence_says_how_many_mails_a_day_and_when_it_ends(world: World) -> None:
    """Half-hourly ticks, as a cron line may be read: two mails an hour, twelve a window of six hours."""
    world.campaign(1, "v1", ["lead"] * 30, limits=PACED, schedule=OFFICE)
    run(world, MONDAY, MONDAY + DAY, SPARSE)
    half_hourly = Side("v2", WhatIf(every=timedelta(minutes=30)))

    tally = Recorded.of(world).compared(FREE, b=half_hourly).tallies[B]

    assert max(tally.days.values()) == 12
    assert tally.ends_at is not None
    assert tally.ends_at.date() == (MONDAY + 2 * DAY).date()


def test_only_the_first_difference_is_a_root_and_the_rest_its_consequence(world: World) -> None:
    world.campaign(1, "v1", ["lead"] * 12, limits=PACED, schedule=OFFICE)
    run(world, MONDAY, MONDAY + 2 * HOUR)

    findings = Recorded.of(world).compared(FREE, b=Side("v2", WhatIf(delay_s=300)))

    counts = findings.classes[DifferenceClass.SHIFT]
    assert set(found(findings)) == {"SHIFT"}
    assert counts.root == 1
    assert counts.consequence >= 5
    assert counts.examples[0].is_root


def test_a_lower_limit_spreads_the_mails_over_more_days_and_breaks_no_rule(world: World) -> None:
    world.campaign(1, "v1", ["lead"] * 6, limits=Limits(daily_limit=6, delay_s=600), schedule=OFFICE)
    run(world, MONDAY, MONDAY + 2 * DAY, SPARSE)

    findings = Recorded.of(world).compared(FREE, b=Side("v2", WhatIf(daily_limit=3)))

    assert list(findings.tallies[A].days.values()) == [6]
    assert list(findings.tallies[B].days.values()) == [3, 3]
    assert findings.breaches == {}


def test_in_a_range_both_worlds_begin_on_what_really_is(world: World) -> None:
    """V2 would be far behind by then, had it lived from the campaign's beginning."""
    world.campaign(1, "v1", ["lead"] * 60, limits=PACED, schedule=OFFICE)
    run(world, MONDAY, MONDAY + 2 * HOUR)
    history, slower = Recorded.of(world), Side("v2", WhatIf(delay_s=600))

    findings = history.compared(FREE, b=slower, start=MONDAY + HOUR)

    assert min(tally.first_at for tally in findings.tallies if tally.first_at) >= MONDAY + HOUR
    assert [tally.mails for tally in findings.tallies] == [30, 30, 5]  # from lead 31 on, each at its own pace
    assert faithful(findings, A)
    assert "EXTRA" not in found(findings)


def test_a_mail_that_the_gate_refuses_is_none_and_its_rule_is_counted_once_a_day(world: World) -> None:
    world.campaign(1, "v1", ["lead"] * 4, limits=PACED, schedule=OFFICE)
    run(world, MONDAY - 20 * MINUTE, MONDAY + 20 * MINUTE)

    findings = Recorded.of(world).compared(FREE, b=Side("v2", policy=never_waiting))

    assert [tally.mails for tally in findings.tallies] == [4, 4, 4]
    assert broken(findings, Column.B) == {DifferenceClass.WINDOW: 1, DifferenceClass.LIMIT: 3}


def test_what_fails_before_its_lock_is_no_mail_in_any_column(world: World) -> None:
    """It counts for no limit; so neither in mails a day."""
    world.campaign(1, "v1", ["lead", "refused", "busy", *["lead"] * 4], limits=PACED, schedule=OFFICE)
    run(world, MONDAY, MONDAY + HOUR)
    history = Recorded.of(world)

    for setup in (FREE, Setup()):
        assert [tally.mails for tally in history.compared(setup).tallies] == [7, 7, 7]  # one was tried twice


def test_mails_through_another_mailbox_before_do_not_count_for_this_one(world: World) -> None:
    """Fourteen have left through the first when the campaign is given one of which each mail counts."""
    world.mailbox("other", daily_limit=15)
    world.campaign(1, "v1", ["lead"] * 24, limits=PACED, schedule=OFFICE)
    world.campaign(2, "v1", ["lead"] * 5, limits=PACED, schedule=OFFICE, mailbox="other")
    later = MONDAY + 28 * MINUTE
    run(world, MONDAY - MINUTE, later)
    world.ledger.refresh()
    world.ledger.on_campaign(1, lambda c: commands.edit(c, actor="anna", mailbox="other", now=later))
    run(world, later, MONDAY + 2 * HOUR)

    findings = Recorded.of(world).compared(FREE)

    assert faithful(findings, A)
    assert findings.held_against[A] == 24


def test_a_clock_that_was_set_back_does_not_send_a_world_to_sleep(world: World) -> None:
    world.campaign(1, "v1", ["lead"] * 40, limits=PACED, schedule=OFFICE)
    run(world, MONDAY, MONDAY + 20 * MINUTE)
    run(world, MONDAY + 5 * MINUTE, MONDAY + HOUR)

    assert faithful(Recorded.of(world).compared(FREE), A)


def test_no_cadence_sends_while_nobody_was_there(world: World) -> None:
    world.campaign(1, "v1", ["lead"] * 60, limits=PACED, schedule=OFFICE)
    run(world, MONDAY, MONDAY + 30 * MINUTE)
    run(world, MONDAY + 90 * MINUTE, MONDAY + 2 * HOUR, missed=HOUR)

    findings = Recorded.of(world).compared(FREE, b=Side("v1", WhatIf(every=MINUTE)))

    assert findings.tallies[0].mails == 30
    assert 30 <= findings.tallies[B].mails <= 31


def test_the_end_is_worked_out_at_the_cadence_that_was(world: World) -> None:
    """A tick every ten minutes: so the first day does not end it, as one a minute would."""
    world.campaign(1, "v1", ["lead"] * 60, limits=PACED, schedule=OFFICE)
    run(world, MONDAY, MONDAY + 3 * HOUR, SPARSE)
    then = Recorded.of(world).compared(FREE).tallies[A].ends_at
    run(world, MONDAY + 3 * HOUR, MONDAY + 2 * DAY, SPARSE)

    assert then == Recorded.of(world).compared(FREE).tallies[0].last_at


def test_what_a_person_did_happens_in_both_worlds(world: World) -> None:
    """A pause, a skipped lead, new leads' limits: at the same time for both."""
    world.campaign(1, "v1", ["lead"] * 6, limits=PACED, schedule=OFFICE)
    run(world, MONDAY, MONDAY + 3 * MINUTE)
    later = MONDAY + 3 * MINUTE
    world.ledger.on_campaign(1, lambda c: commands.skip(c, [5], "suppressed", now=later))
    world.ledger.on_campaign(1, lambda c: commands.pause(c, actor="anna", reason=None, now=later))
    run(world, later, later + HOUR)
    world.ledger.on_campaign(1, lambda c: commands.resume(c, actor="anna", reason=None, now=later + HOUR))
    run(world, later + HOUR, later + 2 * HOUR)

    findings = Recorded.of(world).compared(FREE)

    assert [tally.mails for tally in findings.tallies] == [5, 5, 5]
    for tally in findings.tallies:
        assert not any(later <= mail < later + HOUR for mail in (tally.last_at,) if mail)
    assert found(findings) == {}
    assert broken(findings, Column.B) == {}
