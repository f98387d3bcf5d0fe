"""Given what happened to a campaign since it changed hands, when it is verified, then each question is answered from
the events, with its cases and the places that prove it; and no case is never a pass.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from domain import events as e
from domain.calendar import Schedule
from domain.checks import check_campaign
from domain.emitting import Draft
from domain.rules import Limits, Rule, Wait
from domain.verifying import GRACE, STUCK_AFTER, Answer, verify
from tests.domain.given import ALWAYS, NOON, World, digest, observed, running, taken_over

MINUTE = timedelta(minutes=1)
SENDING, DUPLICATES, SCHEDULE, LIMITS, ACCOUNTED, SUPPRESSED, OWNER, STARVING = range(8)
SLOW = Limits(daily_limit=1000, delay_s=600, max_attempts=4)
ONE_A_DAY = Limits(daily_limit=1, delay_s=0, max_attempts=4)


def answers(
    world: World, *, since: datetime | None = None, suppressed: dict[int, datetime] | None = None
) -> list[Answer]:
    """Of the world as it is now. The places are those of its history, from 1 on."""
    log = enumerate(world.history, start=1)
    return verify(world.campaign.stream, log, suppressed=suppressed or {}, since=since, now=world.now)


def of_campaign(world: World) -> list[e.Event]:
    return [event for event in world.history if event.originator_id == world.campaign.stream]


def verdicts(world: World, **asked: Any) -> list[str]:
    return [answer.verdict for answer in answers(world, **asked)]


def forged(world: World, kind: type[e.Event], **said: Any) -> int:
    """An event that no gate let through, as a fault would leave it; its place in the ledger."""
    draft = Draft(world.campaign.stream, world.campaign.version, world.now)
    draft.add(kind, **said)
    world.save(draft.events)
    return len(world.history)


def forged_lock(world: World, position: int, **other: Any) -> int:
    request = world.request(position, **other)
    return forged(
        world,
        e.EmailLocked,
        position=position,
        lead_id=position + 100,
        attempt=world.campaign.next_attempt(position),
        **{
            name: getattr(request, name)
            for name in (
                *("sender", "epoch", "runner", "token", "due_at", "mailbox", "message_id", "date"),
                *("content_version", "revision", "commitment", "digest"),
            )
        },
    )


def migrated(*priorities: int, **settings: Any) -> World:
    """A running campaign that V2 has owned for a minute."""
    world = running(*(priorities or (5, 5)), **settings)
    world.now += MINUTE
    world.migrate()
    world.now += MINUTE
    return world


def test_a_campaign_that_mails_by_the_rules_passes_every_question() -> None:
    world = migrated(5, 5, 5)
    for position in (0, 1):
        world.delivered(position)
        world.now += MINUTE
    assert verdicts(world) == ["PASS"] * 8
    sending = answers(world)[SENDING]
    assert (sending.cases, sending.broken) == (2, 0)
    assert [type(world.history[place - 1]) for place in sending.evidence] == [e.EmailLocked, e.EmailLocked]


def test_no_case_is_no_pass() -> None:
    world = migrated()
    found = verdicts(world)
    assert [found[each] for each in (ACCOUNTED, STARVING)] == ["PASS", "PASS"]
    assert set(found) == {"PASS", "NO DATA"}
    assert found.count("NO DATA") == 6


def test_it_begins_anew_with_each_change_of_owner() -> None:
    world = migrated()
    world.delivered(0)
    before = answers(world)
    world.now += MINUTE
    world.roll_back()
    after = answers(world)
    assert [(before[each].cases, after[each].cases) for each in (SENDING, DUPLICATES, OWNER)] == [(1, 0)] * 3


def test_since_an_instant_it_looks_past_changes_of_owner() -> None:
    world = running(5, 5, 5)
    world.delivered(0)
    world.now += MINUTE
    asked = world.now
    world.delivered(1)
    world.now += MINUTE
    world.migrate()
    world.delivered(2)
    assert answers(world, since=asked)[OWNER].cases == 2
    assert answers(world)[OWNER].cases == 1


class TestSending:
    def test_a_mail_that_was_due_and_never_left_is_missed(self) -> None:
        world = migrated()
        world.now += GRACE + MINUTE
        found = answers(world)[SENDING]
        assert (found.verdict, found.broken) == ("FAIL", 1)
        assert "due since" in found.says
        assert found.evidence == [len(world.history)]

    def test_a_mail_that_left_late_says_how_late(self) -> None:
        world = migrated()
        world.now += GRACE + MINUTE
        world.delivered(0)
        found = answers(world)[SENDING]
        assert found.verdict == "FAIL"
        assert str(GRACE + 2 * MINUTE) in found.says

    def test_within_the_grace_nothing_is_missed(self) -> None:
        world = migrated(5)
        world.now += GRACE - MINUTE
        assert verdicts(world)[SENDING] == "NO DATA"
        world.delivered(0)
        assert verdicts(world)[SENDING] == "PASS"

    def test_a_closed_window_is_no_silence(self) -> None:
        world = migrated(schedule=Schedule(zone="Europe/Warsaw", start="09:00", end="12:10"))
        world.now += timedelta(hours=12)
        assert verdicts(world)[SENDING] == "NO DATA"

    def test_nor_is_a_pause_a_limit_or_the_delay(self) -> None:
        paused = migrated()
        paused.pause()
        full = migrated(limits=ONE_A_DAY)
        full.delivered(0)
        slow = migrated(limits=SLOW)
        slow.delivered(0)
        for world, minutes, expected in ((paused, 600, "NO DATA"), (full, 600, "PASS"), (slow, 17, "PASS")):
            world.now += minutes * MINUTE
            assert verdicts(world)[SENDING] == expected

    def test_a_limit_that_the_gate_names_and_that_is_not_reached_is_no_reason(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = migrated()
        reached = Wait(Rule.CAMPAIGN_LIMIT, world.now + timedelta(hours=12))
        monkeypatch.setattr("domain.policies.holds_back", lambda *_: reached)
        world.now += GRACE + MINUTE
        found = answers(world)[SENDING]
        assert found.verdict == "FAIL"
        assert found.says.endswith(": the owner named campaign's daily limit, which did not hold")

    def test_what_the_old_system_mails_is_due_to_nobody_here(self) -> None:
        world = observed("queued")
        world.now += timedelta(hours=5)
        assert verdicts(world)[SENDING] == "NO DATA"


def test_a_second_mail_to_a_lead_is_found_with_its_place() -> None:
    world = migrated()
    late = world.not_sent_after_doubt(0)
    world.delivered(0)
    world.sent(late)
    found = answers(world)[DUPLICATES]
    assert (found.verdict, found.cases, found.broken) == ("FAIL", 2, 1)
    assert isinstance(world.history[found.evidence[0] - 1], e.EmailSent)
    assert "lead 100, mail 2" in found.says


def test_a_mail_outside_the_window_is_found() -> None:
    world = migrated(schedule=Schedule(zone="Europe/Warsaw", start="09:00", end="12:10"))
    world.now = NOON + timedelta(hours=3)
    place = forged_lock(world, 0)
    found = answers(world)[SCHEDULE]
    assert (found.verdict, found.evidence) == ("FAIL", [place])


def test_it_is_judged_by_the_window_of_its_moment() -> None:
    world = migrated(5, 5, schedule=ALWAYS)
    world.delivered(0)
    world.edit(schedule=Schedule(zone="Europe/Warsaw", start="03:00", end="04:00"))
    assert verdicts(world)[SCHEDULE] == "PASS"


@pytest.mark.parametrize(("limits", "says"), [(ONE_A_DAY, "mail 2 of 2025-03-04"), (SLOW, "after 0:01:00")])
def test_a_mail_over_the_limit_or_under_the_delay_is_found(limits: Limits, says: str) -> None:
    world = migrated(limits=limits)
    world.delivered(0)
    world.now += MINUTE
    place = forged_lock(world, 1)
    found = answers(world)[LIMITS]
    assert (found.verdict, found.evidence) == ("FAIL", [place])
    assert says in found.says


def test_a_mail_over_the_mailboxs_limit_is_found() -> None:
    world = migrated()
    taken = Draft(world.mailbox.stream, world.mailbox.version, world.now)
    taken.add(e.MailboxChanged, daily_limit=1, zone="Europe/Warsaw", identity_digest=digest(1), actor="anna")
    world.save(taken.events)
    for nth in range(2):
        slot = Draft(world.mailbox.stream, world.mailbox.version, world.now)
        slot.add(e.MailboxSlotTaken, campaign="campaign-1", position=nth, token=f"some-token-{nth}")
        world.save(slot.events)
    found = answers(world)[LIMITS]
    assert (found.verdict, found.evidence) == ("FAIL", [len(world.history)])
    assert "1 allowed" in found.says


def test_what_the_old_system_sent_today_counts_for_the_limit() -> None:
    world = taken_over("queued", "queued", limits=ONE_A_DAY)
    world.add_sends((7, 0))
    place = forged_lock(world, 1)
    found = answers(world)[LIMITS]
    assert (found.verdict, place in found.evidence) == ("FAIL", True)


def test_a_lead_that_was_mailed_and_waits_is_found() -> None:
    world = migrated()
    world.delivered(0)
    assert verdicts(world)[ACCOUNTED] == "PASS"
    forged(world, e.EmailRequeued, position=0, lead_id=100, reason="by hand", actor="anna")
    found = answers(world)[ACCOUNTED]
    assert (found.verdict, found.cases, found.broken) == ("FAIL", 2, 1)
    assert found.says == "lead 100 is queued"


def test_who_counts_as_mailed_by_an_old_status_or_a_persons_word_is_accounted_for() -> None:
    world = taken_over("sent", "replied", "sending", "failed")
    world.resolve(2, "sent")
    assert verdicts(world)[ACCOUNTED] == "PASS"


def test_a_mail_to_somebody_on_the_list_is_found_unless_it_left_before() -> None:
    world = migrated()
    world.delivered(0)
    world.now += MINUTE
    place = forged_lock(world, 1)
    listed = {100: world.now, 101: world.now - MINUTE}
    found = answers(world, suppressed=listed)[SUPPRESSED]
    assert (found.verdict, found.cases, found.evidence) == ("FAIL", 2, [place])
    assert "lead 101" in found.says


def test_a_lock_by_the_sender_before_is_found_but_not_the_end_of_its_last_mail() -> None:
    world = running(5, 5)
    token = world.lock(0)
    world.migrate()
    world.sent(token)
    assert verdicts(world)[OWNER] == "NO DATA"
    place = forged_lock(world, 1, sender="v1", epoch=1)
    found = answers(world)[OWNER]
    assert (found.verdict, found.evidence) == ("FAIL", [place])
    assert "v1 in epoch 1" in found.says


def test_a_mail_of_the_old_system_after_the_take_over_is_found() -> None:
    world = taken_over("queued", "queued")
    world.now += MINUTE
    world.add_sends((7, 0))
    found = answers(world)[OWNER]
    assert (found.verdict, found.cases) == ("FAIL", 1)
    assert "the old system mailed lead 100" in found.says


class TestStarving:
    def test_a_lead_that_v1_passes_over_waits_in_vain(self) -> None:
        world = World()
        world.queue(5, v1_status="failed")
        world.queue(5)
        world.start()
        found = answers(world)[STARVING]
        assert (found.verdict, found.cases, found.broken) == ("FAIL", 2, 1)
        assert "lead 100" in found.says

    def test_v2_comes_to_everybody_who_waits(self) -> None:
        world = World(owner="v2")
        world.queue(5, v1_status="failed")
        world.start()
        assert verdicts(world)[STARVING] == "PASS"

    def test_a_lead_that_waits_in_a_completed_campaign_waits_in_vain(self) -> None:
        world = migrated()
        forged(world, e.CampaignCompleted)
        assert verdicts(world)[STARVING] == "FAIL"

    def test_a_mail_that_stays_locked_is_found(self) -> None:
        world = migrated()
        world.lock(0)
        assert verdicts(world)[STARVING] == "PASS"
        world.now += STUCK_AFTER + MINUTE
        assert verdicts(world)[STARVING] == "FAIL"


def test_a_check_blames_the_old_system_for_a_mail_that_came_while_ours_was_locked() -> None:
    world = taken_over("queued", "queued")
    token = world.lock(0)
    world.add_sends((7, 0))
    world.sent(token)
    world.add_sends((8, 1))
    verdicts_of = {check.name: check.verdict for check in check_campaign("campaign-1", of_campaign(world))}
    assert verdicts_of["no duplicates"] == "NO DATA"
    assert verdicts_of["no duplicates by the old system"] == "HISTORY"


def test_a_check_blames_us_for_a_mail_that_was_locked_after_the_old_one_was_known() -> None:
    world = taken_over("queued")
    world.add_sends((7, 0))
    forged_lock(world, 0)
    token = next(iter(world.campaign.open))
    forged(world, e.EmailSent, position=0, lead_id=100, attempt=2, token=token, code=250)
    found = {check.name: check.verdict for check in check_campaign("campaign-1", of_campaign(world))}
    assert found["no duplicates"] == "FAIL"
