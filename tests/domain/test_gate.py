"""The one gate: every rule refuses once, with the instant at which it can change, and opens exactly there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain import commands, gate
from domain import events as e
from domain import mailbox as mailboxes
from domain.calendar import Schedule
from domain.gate import earliest
from domain.leads import LeadState
from domain.rules import Limits, LockRefused, Rule, Wait
from tests.domain.given import ALWAYS, NO_DELAY, NOON, PERMANENT, World, digest, running

TICK = timedelta(microseconds=1)
OFFICE = Schedule(zone="Europe/Warsaw", weekdays=("MON", "TUE", "WED", "THU", "FRI"), start="09:00", end="15:00")


def test_when_no_rule_binds_the_lock_and_the_slot_are_one_decision() -> None:
    world = running()
    request = world.request()
    locked, slot = gate.lock(world.campaign, world.mailbox, request, world.now)
    assert isinstance(locked, e.EmailLocked)
    assert isinstance(slot, e.MailboxSlotTaken)
    assert (locked.originator_id, locked.originator_version) == ("campaign-1", world.campaign.version + 1)
    assert (slot.originator_id, slot.originator_version) == ("mailbox-sales", world.mailbox.version + 1)
    assert (locked.token, slot.token) == (request.token, request.token)
    assert (locked.position, locked.lead_id, locked.attempt, locked.recorded_at) == (0, 100, 1, NOON)


def test_a_refusal_changes_nothing_and_says_what_binds_until_when() -> None:
    world = running(5, 5, limits=Limits(delay_s=100))
    world.lock(0)
    version = world.campaign.version
    with pytest.raises(LockRefused, match=r"held back by: delay, until 2025-03-04T11:01:20\+00:00"):
        world.lock(1)
    assert (world.campaign.version, world.state(1)) == (version, LeadState.QUEUED)


class TestLife:
    def test_a_draft_is_not_started(self) -> None:
        world = World()
        world.queue(5)
        assert world.refusal() == Wait(Rule.NOT_STARTED)

    def test_a_paused_campaign_is_paused(self) -> None:
        world = running()
        world.pause()
        assert world.refusal() == Wait(Rule.PAUSED)

    @pytest.mark.parametrize("how", ["cancel", "complete"])
    def test_one_that_is_over_is_finished(self, how: str) -> None:
        world = running()
        if how == "cancel":
            world.cancel()
        else:
            world.skip(0)
        assert world.refusal() == Wait(Rule.FINISHED, note=how.rstrip("e") + ("led" if how == "cancel" else "ed"))

    @pytest.mark.parametrize("other", [{"sender": "v2"}, {"epoch": 0}, {"epoch": 2}])
    def test_f21_f26_another_sender_or_epoch_has_no_say(self, other: dict[str, Any]) -> None:
        assert running().refusal(**other) == Wait(Rule.OWNER, note="v1 owns it in epoch 1")


class TestCalendar:
    @pytest.mark.parametrize(
        ("now", "rule", "until", "note"),
        [
            ("2025-03-04T07:59:59.999999Z", Rule.WINDOW, "2025-03-04T08:00Z", ""),
            ("2025-03-04T14:00Z", Rule.WINDOW, "2025-03-05T08:00Z", ""),
            ("2025-03-08T11:00Z", Rule.WEEKDAY, "2025-03-10T08:00Z", ""),
            ("2025-11-11T11:00Z", Rule.HOLIDAY, "2025-11-12T08:00Z", "National Independence Day, PL"),
            ("2025-03-28T14:00Z", Rule.WINDOW, "2025-03-31T07:00Z", ""),  # over the spring change
            ("2025-10-24T13:00Z", Rule.WINDOW, "2025-10-27T08:00Z", ""),  # over the autumn change
        ],
    )
    def test_a_closed_calendar_names_its_rule_and_the_next_opening(
        self, now: str, rule: Rule, until: str, note: str
    ) -> None:
        world = running(schedule=OFFICE.model_copy(update={"holidays_of": ("PL",)}), now=at("2025-03-04T11:00Z"))
        world.now = at(now)
        assert world.refusal() == Wait(rule, at(until), note)
        world.now = at(until) - TICK
        assert world.refusal() is not None
        world.now = at(until)
        assert world.refusal() is None

    def test_a_changed_schedule_is_in_force_at_once(self) -> None:
        world = running(schedule=OFFICE)
        world.edit(schedule=OFFICE.model_copy(update={"zone": "America/New_York"}))
        assert world.refusal() == Wait(Rule.WINDOW, at("2025-03-04T14:00Z"))


class TestCampaignLimit:
    @pytest.mark.parametrize(
        ("day", "midnight"),
        [
            ("2025-03-04T11:00Z", "2025-03-04T23:00Z"),
            ("2025-03-30T11:00Z", "2025-03-30T22:00Z"),  # 23 hours
            ("2025-10-26T11:00Z", "2025-10-26T23:00Z"),  # 25 hours
        ],
    )
    def test_it_ends_at_local_midnight_on_clock_change_days_too(self, day: str, midnight: str) -> None:
        world = running(5, 5, 5, limits=Limits(daily_limit=2, delay_s=0), now=at(day))
        world.lock(0)
        world.lock(1)
        full = Wait(Rule.CAMPAIGN_LIMIT, at(midnight), "2 a day")
        assert world.refusal(2) == full
        world.now = at(midnight) - TICK
        assert world.refusal(2) == full
        world.now = at(midnight)
        assert world.refusal(2) is None

    def test_both_times_of_the_repeated_hour_are_one_date(self) -> None:
        world = running(5, 5, 5, limits=Limits(daily_limit=2, delay_s=0), now=at("2025-10-26T00:30Z"))
        world.lock(0)  # 02:30 for the first time
        world.now = at("2025-10-26T01:30Z")
        world.lock(1)  # 02:30 for the second
        assert world.refusal(2) == Wait(Rule.CAMPAIGN_LIMIT, at("2025-10-26T23:00Z"), "2 a day")

    def test_a_changed_zone_counts_by_its_own_date(self) -> None:
        world = running(5, 5, limits=Limits(daily_limit=1, delay_s=0), now=at("2025-03-03T22:30Z"))
        world.lock(0)  # on the 3rd in Warsaw, already the 4th in Kiritimati
        world.now = at("2025-03-04T01:00Z")
        assert world.refusal(1) is None
        world.edit(schedule=ALWAYS.model_copy(update={"zone": "Pacific/Kiritimati"}))
        assert world.refusal(1) == Wait(Rule.CAMPAIGN_LIMIT, at("2025-03-04T10:00Z"), "1 a day")

    def test_an_attempt_that_definitely_failed_still_counts(self) -> None:
        world = running(5, 5, limits=Limits(daily_limit=1, delay_s=0))
        world.failed(world.lock(0), PERMANENT)
        wait = world.refusal(1)
        assert wait is not None
        assert wait.rule is Rule.CAMPAIGN_LIMIT

    def test_raised_today_it_lets_more_out_today(self) -> None:
        world = running(5, 5, limits=Limits(daily_limit=1, delay_s=0))
        world.lock(0)
        world.edit(limits=Limits(daily_limit=2, delay_s=0))
        assert world.refusal(1) is None


class TestMailbox:
    def test_f29_its_limit_is_shared_by_campaigns_and_by_both_senders(self) -> None:
        first = running(5, 5, owner="v1")
        second = World(owner="v2", mailbox=first.mailbox, number=2)
        second.queue(5, 5)
        second.start()
        first.save(limited_to(first, 3))
        first.lock(0)
        second.lock(0)
        first.lock(1)
        full = Wait(Rule.MAILBOX_LIMIT, at("2025-03-04T23:00Z"), "3 a day")
        assert second.refusal(1) == full
        second.now = at("2025-03-04T23:00Z")
        assert second.refusal(1) is None

    def test_a_delayed_mailbox_holds_until_its_delay_is_over(self) -> None:
        world = running()
        world.save(mailboxes.delay(world.mailbox, phase="mail", code=421, enhanced=None, now=NOON))
        assert world.refusal() == Wait(Rule.MAILBOX_DELAYED, NOON + timedelta(minutes=1))
        world.now = NOON + timedelta(minutes=1)
        assert world.refusal() is None

    def test_a_paused_mailbox_is_named_before_a_window_that_will_open_anyway(self) -> None:
        world = running(schedule=OFFICE)
        world.save(mailboxes.pause(world.mailbox, actor="runner-1", reason="auth refused", now=NOON))
        world.now = NOON + timedelta(hours=12)
        assert world.refusal() == Wait(Rule.MAILBOX_PAUSED, note="auth refused")


class TestPace:
    @pytest.mark.parametrize("delay_s", [1, 90, 100, 3600])
    def test_eight_tenths_of_the_delay_after_the_last_mail_and_not_a_moment_sooner(self, delay_s: int) -> None:
        world = running(5, 5, limits=Limits(delay_s=delay_s))
        world.lock(0)
        until = NOON + timedelta(milliseconds=800 * delay_s)
        world.now = until - TICK
        assert world.refusal(1) == Wait(Rule.DELAY, until)
        world.now = until
        assert world.refusal(1) is None

    def test_it_runs_from_a_refused_recipient_too(self) -> None:
        world = running(5, 5, limits=Limits(delay_s=100))
        world.refused_before_lock(0)
        assert world.refusal(1) == Wait(Rule.DELAY, NOON + timedelta(seconds=80))

    @pytest.mark.parametrize("back_s", [1, 80])
    def test_f42_a_clock_that_was_set_back_a_little_sends_no_mail_early(self, back_s: int) -> None:
        world = running(5, 5, limits=Limits(delay_s=100))
        world.lock(0)
        world.now = NOON - timedelta(seconds=back_s)
        assert world.refusal(1) == Wait(Rule.DELAY, NOON + timedelta(seconds=80))

    @pytest.mark.parametrize("back", [timedelta(seconds=81), timedelta(days=1)])
    def test_f42_a_clock_that_was_set_back_further_than_the_pace_reaches_means_no_silence(
        self, back: timedelta
    ) -> None:
        world = running(5, 5, limits=Limits(delay_s=100))
        world.lock(0)
        world.now = NOON - back
        assert world.refusal(1) is None

    def test_f42_after_that_it_runs_from_a_refused_recipient(self) -> None:
        world = running(5, 5, 5, limits=Limits(delay_s=100))
        world.lock(0)
        world.now = earlier = NOON - timedelta(days=1)
        world.refused_before_lock(1)
        world.now += timedelta(seconds=1)
        assert world.refusal(2) == Wait(Rule.DELAY, earlier + timedelta(seconds=80))


class TestTheLead:
    @pytest.mark.parametrize("state", ["locked", "sent", "failed", "skipped", "in doubt"])
    def test_f20_it_must_still_wait(self, state: str) -> None:
        world = running(5, 5)
        if state == "skipped":
            world.skip(0)
        else:
            token = world.lock(0)
            if state == "sent":
                world.sent(token)
            elif state == "failed":
                world.failed(token, PERMANENT)
            elif state == "in doubt":
                world.in_doubt(token)
        assert world.refusal(0) == Wait(Rule.LEAD, note=state)
        assert world.refusal(1) is None

    def test_its_back_off_must_be_over(self) -> None:
        world = running(owner="v2")
        world.failed(world.lock())
        until = NOON + timedelta(minutes=15)
        world.now = until - TICK
        assert world.refusal() == Wait(Rule.BACK_OFF, until)
        world.now = until
        assert world.refusal() is None

    def test_f15_what_was_rendered_must_still_be_in_force(self) -> None:
        world = running()
        stale = world.request()
        world.save(commands.change_contacts(world.campaign, {0: digest(50)}, now=NOON))
        assert world.refusal(revision=stale.revision) == Wait(Rule.CONTACT)
        world.edit(content_digest=digest(2))
        assert world.refusal(content_version=stale.content_version) == Wait(Rule.CONTENT)
        world.edit(mailbox="support")
        assert world.refusal(mailbox=stale.mailbox) == Wait(Rule.MAILBOX)
        assert world.refusal() is None


class TestEarliest:
    def test_it_is_now_when_nothing_binds(self) -> None:
        world = running()
        assert earliest(world.campaign, world.mailbox, NOON) == NOON

    def test_it_looks_past_one_rule_after_another(self) -> None:
        friday = at("2025-03-07T11:00Z")
        world = running(5, 5, schedule=OFFICE, limits=Limits(daily_limit=1, delay_s=90), now=friday)
        world.lock(0)
        found = earliest(world.campaign, world.mailbox, friday)
        assert found == at("2025-03-10T08:00Z")
        world.now = found
        assert world.refusal(1) is None

    @pytest.mark.parametrize("how", ["pause", "cancel"])
    def test_it_is_never_when_only_an_event_can_free_it(self, how: str) -> None:
        world = running()
        getattr(world, how)()
        assert earliest(world.campaign, world.mailbox, NOON) is None

    def test_it_is_never_when_the_calendar_never_opens(self) -> None:
        gone = Schedule(zone="Europe/Warsaw", weekdays=("SUN",), start="02:15", end="02:45")
        world = running(schedule=gone, limits=NO_DELAY, now=NOON)
        found = earliest(world.campaign, world.mailbox, NOON)
        assert found == at("2025-03-09T01:15Z")


def limited_to(world: World, daily_limit: int) -> list[e.Event]:
    return mailboxes.change(
        world.mailbox,
        daily_limit=daily_limit,
        zone="Europe/Warsaw",
        identity_digest=digest(1),
        actor="anna",
        now=world.now,
    )


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
