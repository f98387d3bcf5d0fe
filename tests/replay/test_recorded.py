"""The recorded column is judged by itself: what the old system broke is shown as its own. Histories that no daemon of
ours would write: imported acceptances without locks or ticks, and locks against the rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from domain import commands, observing
from domain import events as e
from domain.calendar import Schedule
from domain.campaign import Campaign, Status
from domain.mailbox import Mailbox
from domain.observing import OldMail
from domain.policies import Send
from domain.replay.classes import Column, DifferenceClass
from domain.replay.findings import OLD, A, B
from domain.replay.past import Setup
from domain.replay.proving import prove
from domain.replay.sides import Side, as_owner
from domain.rules import Limits, Rule, Wait
from tests.domain.given import World
from tests.replay.given import Recorded, broken, found

MONDAY = datetime(2025, 3, 3, 8, tzinfo=UTC)
"""09:00 in Warsaw."""

MINUTE = timedelta(minutes=1)


def imported(*minutes: float, leads: int = 6, again: int = 0) -> Recorded:
    """Mails of an old system at these minutes after Monday nine o'clock, taken in a month later: nobody's ticks are
    known. A lead a mail, but for the last `again` mails, which go to the first lead."""
    limits = Limits(daily_limit=3, delay_s=120)
    world = World(observed=True, schedule=Schedule(), limits=limits, now=MONDAY + timedelta(days=30))
    mailed = len(minutes) - again
    statuses: list[e.V1Status] = ["sent" if lead < mailed else "queued" for lead in range(leads)]
    world.add_leads(*statuses)
    sends = [
        OldMail(row, row if row < mailed else 0, None, MONDAY + minute * MINUTE) for row, minute in enumerate(minutes)
    ]
    world.save(observing.add_sends(world.campaign, world.mailbox, sends, now=world.now))
    start = MONDAY - 60 * MINUTE
    world.save(observing.follow_life(world.campaign, Status.RUNNING, since=start, now=world.now))
    world.end()
    return Recorded.of_imported(world.history)


def test_mails_of_an_old_system_are_replayed_on_assumed_ticks() -> None:
    findings = imported(0.2, 2.3, 4.1).compared()

    assert findings.tallies[0].mails == 3
    assert findings.breaches == {}
    assert (findings.held_against[OLD], findings.faithful[OLD]) == (2, 2)  # V2's third would leave after the end
    assert findings.held_against[A] == 0


def test_what_the_old_system_broke_is_its_own_and_not_hidden_as_equal() -> None:
    """Before the window, too soon after the last, and one more than a day allows."""
    findings = imported(-30, 0, 0.5, 3, 6).compared()

    assert broken(findings, Column.R) == {DifferenceClass.WINDOW: 1, DifferenceClass.LIMIT: 3}
    assert broken(findings, Column.A) == broken(findings, Column.B) == {}


def test_a_second_row_for_one_lead_is_a_duplicate_of_the_record_alone() -> None:
    findings = imported(0, 3, 100, again=1).compared()

    assert broken(findings, Column.R) == {DifferenceClass.DUPLICATE: 1}
    assert broken(findings, Column.A) == broken(findings, Column.B) == {}


def test_nothing_is_assumed_after_the_last_mail_of_an_old_system() -> None:
    """The leads that wait would be mailed within minutes; nobody knows whether it still ran."""
    findings = imported(0, 3).compared()

    assert findings.tallies[A].mails <= 3


def test_in_the_free_mode_each_side_has_the_old_systems_time_at_its_own_cadence() -> None:
    findings = imported(0, 2, 4).compared(is_free=True)

    assert (findings.held_against[OLD], findings.faithful[OLD]) == (2, 2)
    assert findings.tallies[B].gaps == {150: 1}  # by half minutes; its third would leave after the old system's last
    assert findings.breaches == {}


def test_a_policy_that_knows_what_comes_later_is_found_in_an_old_systems_time() -> None:
    """It has seen how the history goes on, and decides otherwise when it is asked again."""
    latest = [MONDAY - timedelta(days=1)]

    def knowing(campaign: Campaign, mailbox: Mailbox, sender: e.Sender, now: datetime) -> Send | Wait:
        latest.append(max(latest[-1], now))
        return as_owner(campaign, mailbox, sender, now) if now == latest[-1] else Wait(Rule.DELAY, now)

    part = imported(*range(0, 120, 3), leads=45).part()

    assert prove(part, Setup(b=Side("v2", policy=knowing))).looked_ahead > 0
    assert prove(part, Setup()).holds


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
