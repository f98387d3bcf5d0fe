"""The commands of a campaign: its life, its leads, and failures before a lock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from domain import analysis as found
from domain import commands
from domain import events as e
from domain.calendar import Schedule
from domain.campaign import Campaign, Status
from domain.commands import NewLead
from domain.errors import CommandRefused
from domain.leads import LeadState
from domain.rules import Limits, LockRefused, Rule, Wait
from tests.domain.given import (
    GREYLISTED,
    NO_DELAY,
    NOON,
    PERMANENT,
    REFUSED,
    TEMPORARY,
    World,
    digest,
    kinds,
    observed,
    running,
)


class TestLife:
    def test_it_begins_as_a_draft_with_its_settings(self) -> None:
        world = World(owner="v2")
        campaign = world.campaign
        assert (campaign.status, campaign.owner, campaign.epoch, campaign.version) == (Status.DRAFT, "v2", 1, 1)
        assert (campaign.content_version, campaign.mailbox, campaign.limits) == (1, "sales", NO_DELAY)

    def test_it_is_created_once(self) -> None:
        world = World()
        with pytest.raises(CommandRefused, match="campaign-1 exists already"):
            commands.create(
                world.campaign,
                name="Again",
                owner="v1",
                mailbox="sales",
                content_digest=digest(1),
                schedule=Schedule(),
                limits=Limits(),
                message_id_domain="example.com",
                actor="anna",
                now=NOON,
            )

    def test_it_starts_with_leads_only(self) -> None:
        world = World()
        with pytest.raises(CommandRefused, match="has no leads"):
            world.start()
        world.queue(5)
        world.start()
        assert (world.campaign.status, world.campaign.started_at) == (Status.RUNNING, NOON)

    def test_started_with_nobody_who_waits_it_is_completed_at_once(self) -> None:
        world = World()
        world.queue(5)
        world.skip(0)
        world.start()
        assert kinds(world.history)[-2:] == ["CampaignStarted", "CampaignCompleted"]

    def test_paused_and_resumed_it_goes_on_where_it_was(self) -> None:
        world = running()
        world.pause()
        assert world.campaign.status is Status.PAUSED
        world.resume()
        assert (world.campaign.status, world.refusal()) == (Status.RUNNING, None)

    def test_it_completes_when_the_last_one_leaves_and_not_before(self) -> None:
        world = running(5, 5, 5, 5)
        assert kinds(world.sent(world.lock(0))) == ["EmailSent"]
        assert kinds(world.failed(world.lock(1), PERMANENT)) == ["EmailFailed"]
        assert kinds(world.refused_before_lock(2)) == ["EmailFailed"]
        assert kinds(world.skip(3)) == ["EmailSkipped", "CampaignCompleted"]

    @pytest.mark.parametrize("last", ["sent", "failed", "refused", "skipped", "in doubt"])
    def test_every_way_of_the_last_one_to_leave_completes_it(self, last: str) -> None:
        world = running()
        events = {
            "sent": lambda: world.sent(world.lock()),
            "failed": lambda: world.failed(world.lock(), PERMANENT),
            "refused": lambda: world.refused_before_lock(0),
            "skipped": lambda: world.skip(0),
            "in doubt": lambda: world.in_doubt(world.lock()),
        }[last]()
        assert kinds(events)[-1] == "CampaignCompleted"
        assert world.campaign.status is Status.COMPLETED

    def test_a_retry_or_a_lock_still_open_keeps_it_running(self) -> None:
        world = running(5, 5)
        first, second = world.lock(0), world.lock(1)
        assert kinds(world.failed(first)) == ["EmailFailed"]
        assert kinds(world.sent(second)) == ["EmailSent"]
        assert world.campaign.status is Status.RUNNING

    def test_a_repeated_position_does_not_complete_it_while_others_wait(self) -> None:
        world = running(5, 5)
        assert kinds(world.skip(0, 0)) == ["EmailSkipped"]
        assert world.campaign.status is Status.RUNNING

    def test_the_last_one_leaves_while_it_is_paused_so_it_completes_when_resumed(self) -> None:
        world = running()
        token = world.lock()
        world.pause()
        assert kinds(world.sent(token)) == ["EmailSent"]
        world.resume()
        assert kinds(world.history)[-2:] == ["CampaignResumed", "CampaignCompleted"]

    @pytest.mark.parametrize(
        ("again", "position"), [("new leads", 2), ("a person", 0), ("not sent", 1), ("late truth", 1)]
    )
    def test_whoever_waits_again_reopens_it(self, again: str, position: int) -> None:
        world = running(5, 5)
        world.failed(world.lock(0), PERMANENT)
        token = world.lock(1)
        world.in_doubt(token)
        assert world.campaign.status is Status.COMPLETED
        reopening: dict[str, Callable[[], object]] = {
            "new leads": lambda: world.queue(5),
            "a person": lambda: world.requeue(0),
            "not sent": lambda: world.resolve(1, "not sent"),
            "late truth": lambda: world.failed(token),
        }
        reopening[again]()
        assert world.refusal(position) is None

    def test_cancelled_everybody_who_waits_is_skipped_for_good(self) -> None:
        world = running(5, 5, 5)
        world.failed(world.lock(0))
        world.delivered(1)
        world.cancel()
        assert [world.state(at) for at in range(3)] == [LeadState.SKIPPED, LeadState.SENT, LeadState.SKIPPED]
        assert (world.campaign.next_fresh(), world.campaign.next_arrival(), world.campaign.next_retry()) == (None,) * 3
        with pytest.raises(CommandRefused, match="takes no more leads"):
            world.queue(5)
        with pytest.raises(CommandRefused, match="settings are history"):
            world.edit(mailbox="support")

    def test_cancelled_with_a_lock_that_then_fails_for_now_that_lead_is_never_mailed_again(self) -> None:
        world = running(owner="v2")
        token = world.lock()
        world.cancel()
        [failed] = world.failed(token)
        assert isinstance(failed, e.EmailFailed)
        assert (failed.permanent, failed.next_attempt_at) == (False, None)
        assert (world.state(), world.campaign.next_retry(), world.campaign.waiting) == (LeadState.FAILED, None, 0)
        with pytest.raises(CommandRefused, match="cancelled"):
            world.requeue(0)

    def test_cancelled_with_one_in_doubt_that_was_not_sent_it_is_skipped(self) -> None:
        world = running()
        world.in_doubt(world.lock())
        world.queue(5)
        world.cancel()
        world.resolve(0, "not sent")
        assert (world.state(), world.campaign.next_retry(), world.campaign.waiting) == (LeadState.SKIPPED, None, 0)

    @pytest.mark.parametrize(
        ("status", "refused"),
        [
            (Status.DRAFT, {"pause", "resume"}),
            (Status.RUNNING, {"start", "resume"}),
            (Status.PAUSED, {"start", "pause"}),
            (Status.COMPLETED, {"start", "pause", "resume", "cancel"}),
            (Status.CANCELLED, {"start", "pause", "resume", "cancel"}),
        ],
    )
    def test_what_is_out_of_turn_is_refused_and_says_what_is_true(self, status: Status, refused: set[str]) -> None:
        for name in ("start", "pause", "resume", "cancel"):
            world = in_status(status)
            if name not in refused:
                getattr(world, name)()
                continue
            with pytest.raises(CommandRefused, match=f"campaign-1 is {status}: only one that is "):
                getattr(world, name)()

    def test_a_campaign_that_is_not_there_takes_no_command(self) -> None:
        nobody = Campaign("campaign-9")
        with pytest.raises(CommandRefused, match="there is no campaign-9"):
            commands.queue(nobody, [], now=NOON)
        with pytest.raises(CommandRefused, match="there is no campaign-9"):
            commands.edit(nobody, actor="anna", now=NOON)
        with pytest.raises(CommandRefused, match="there is no campaign-9"):
            commands.start(nobody, actor="anna", reason=None, now=NOON)


class TestSettings:
    def test_what_is_the_same_is_no_event_and_each_change_is_one(self) -> None:
        world = World()
        campaign = world.campaign
        world.edit(content_digest=digest(1), schedule=campaign.schedule, limits=campaign.limits, mailbox="sales")
        assert campaign.version == 1
        schedule, limits = Schedule(zone="UTC"), Limits(daily_limit=7)
        world.edit(content_digest=digest(2), schedule=schedule, limits=limits, mailbox="support")
        assert kinds(world.history)[-4:] == ["ContentChanged", "ScheduleChanged", "LimitsChanged", "MailboxAssigned"]
        assert (campaign.content_version, campaign.content_digest) == (2, digest(2))
        assert (campaign.schedule, campaign.limits, campaign.mailbox) == (schedule, limits, "support")


class TestLeads:
    def test_positions_follow_one_another_over_several_imports(self) -> None:
        world = World()
        world.queue(5, 5)
        world.queue(5)
        queued = [event for event in world.history if isinstance(event, e.EmailQueued)]
        assert [(event.position, event.lead_id) for event in queued] == [(0, 100), (1, 101), (2, 102)]
        assert [event.originator_version for event in queued] == [2, 3, 4]

    @pytest.mark.parametrize("numbers", [[100], [102, 102], [200, 101]])
    def test_a_lead_of_the_campaign_cannot_be_queued_a_second_time(self, numbers: list[int]) -> None:
        world = World()
        world.queue(5, 5)
        with pytest.raises(CommandRefused, match=f"lead {numbers[-1]} is in campaign-1 already"):
            commands.queue(world.campaign, [NewLead(number, digest(0)) for number in numbers], now=NOON)

    def test_a_contact_changes_while_the_lead_waits_and_no_longer(self) -> None:
        world = running(5, 5)
        world.lock(1)
        change = {0: digest(50), 1: digest(51)}
        for revision in (1, 2):
            [changed] = world.save(commands.change_contacts(world.campaign, change, now=NOON))
            assert isinstance(changed, e.ContactChanged)
            assert (changed.position, changed.revision, changed.commitment) == (0, revision, digest(50))
        assert (world.campaign.revision(0), world.campaign.revision(1)) == (2, 0)

    def test_only_those_who_wait_are_skipped(self) -> None:
        world = running(5, 5, 5)
        world.lock(0)
        world.delivered(1)
        [skipped] = world.skip(0, 1, 2, reason="erased")
        assert isinstance(skipped, e.EmailSkipped)
        assert (skipped.position, skipped.reason) == (2, "erased")

    def test_a_lead_that_waited_for_a_retry_is_skipped_and_not_retried(self) -> None:
        world = running(5, 5)
        world.failed(world.lock(0))
        world.skip(0)
        assert (world.state(0), world.campaign.next_retry()) == (LeadState.SKIPPED, None)

    def test_a_definite_failure_is_requeued_at_once_and_its_attempts_count_anew(self) -> None:
        world = running(owner="v2", limits=Limits(delay_s=0, max_attempts=2))
        for _ in range(2):
            world.failed(world.lock())
            world.now += timedelta(hours=9)
        assert world.state() is LeadState.FAILED
        [requeued] = world.requeue(0, 0)
        assert isinstance(requeued, e.EmailRequeued)
        assert (world.state(), world.refusal()) == (LeadState.QUEUED, None)
        [failed] = world.failed(world.lock())
        assert isinstance(failed, e.EmailFailed)
        assert (failed.attempt, failed.next_attempt_at) == (3, world.now + timedelta(minutes=15))

    @pytest.mark.parametrize("state", ["queued", "locked", "sent", "skipped", "in doubt"])
    def test_nothing_but_a_definite_failure_is_requeued(self, state: str) -> None:
        world = running(5, 5)
        given: dict[str, Callable[[], object]] = {
            "queued": lambda: None,
            "locked": lambda: world.lock(0),
            "sent": lambda: world.delivered(0),
            "skipped": lambda: world.skip(0),
            "in doubt": lambda: world.in_doubt(world.lock(0)),
        }
        given[state]()
        version = world.campaign.version
        with pytest.raises(CommandRefused, match=f"lead 100 of campaign-1 is {state}: only a definite failure"):
            world.requeue(0)
        assert world.campaign.version == version


class TestAnotherChanceOfOldLeads:
    """What the old database shows of who failed counts when they are to wait again."""

    @pytest.mark.parametrize(
        ("statuses", "again", "refused"),
        [
            (("failed", "failed"), (0, 1), (101,)),
            (("failed", "failed"), (0,), ()),
            (("failed", "queued"), (0,), (100,)),
            (("failed", "sent"), (0,), (100,)),
            (("failed", "sending"), (0,), (100,)),
            (("failed", "failed", "queued"), (0, 1), (100, 101)),
        ],
    )
    def test_of_one_address_one_lead_is_mailed(
        self, statuses: tuple[e.V1Status, ...], again: tuple[int, ...], refused: tuple[int, ...]
    ) -> None:
        world = observed(*statuses, "queued")
        world.end(e.Observation(rule=found.ONE_ADDRESS, leads=tuple(range(100, 100 + len(statuses)))))
        world.take_over()
        if not refused:
            world.requeue(*again)
            return
        with pytest.raises(CommandRefused, match=found.ONE_ADDRESS) as told:
            world.requeue(*again)
        assert str(told.value).endswith(f"add {' '.join(f'--except {lead}' for lead in refused)}.")

    @pytest.mark.parametrize("rule", [found.QUEUE_SENT, found.QUEUE_SENDING, found.NO_LEAD_ID_KNOWN])
    def test_nobody_who_may_have_been_mailed_waits_again(self, rule: str) -> None:
        world = observed("failed", "failed")
        world.end(e.Observation(rule=rule, leads=(100,)))
        world.take_over()
        with pytest.raises(CommandRefused, match=f"lead 100: {rule} .*, add --except 100"):
            world.requeue(0, 1)
        world.requeue(1)

    def test_of_whom_a_person_said_that_he_was_not_mailed_a_later_failure_is_no_doubt(self) -> None:
        world = observed("queued", "queued")
        world.end(e.Observation(rule=found.QUEUE_SENT, leads=(100,)))
        world.fix()
        world.take_over()
        world.resolve(0, "not sent")
        world.failed(world.lock(0), PERMANENT)
        world.requeue(0)
        assert world.state() is LeadState.QUEUED


class TestFailureBeforeALock:
    def test_f6_for_good_it_ends_the_lead_and_spends_one_attempt(self) -> None:
        world = running(5, 5)
        [failed] = world.refused_before_lock(0)
        assert isinstance(failed, e.EmailFailed)
        assert (failed.token, failed.attempt, failed.phase, failed.code) == (None, 1, "rcpt", 550)
        assert world.state(0) is LeadState.FAILED

    def test_for_now_it_waits_and_the_next_lock_is_the_next_attempt(self) -> None:
        world = running(owner="v2")
        [failed] = world.refused_before_lock(0, GREYLISTED)
        assert isinstance(failed, e.EmailFailed)
        assert failed.next_attempt_at == NOON + timedelta(minutes=15)
        world.now = failed.next_attempt_at
        world.lock()
        assert world.campaign.attempts[0] == 2

    @pytest.mark.parametrize(
        ("happened", "asked", "rule"),
        [
            ("nothing", {"sender": "v2"}, Rule.OWNER),
            ("nothing", {"epoch": 0}, Rule.OWNER),
            ("paused", {}, Rule.PAUSED),
            ("cancelled", {}, Rule.FINISHED),
            ("locked", {}, Rule.LEAD),
            ("content changed", {"content_version": 1}, Rule.CONTENT),
            ("contact changed", {"revision": 0}, Rule.CONTACT),
            ("mailbox changed", {"mailbox": "sales"}, Rule.MAILBOX),
        ],
    )
    def test_it_goes_through_the_fence_of_a_lock(self, happened: str, asked: dict[str, Any], rule: Rule) -> None:
        world = running(5, 5)
        given: dict[str, Callable[[], object]] = {
            "nothing": lambda: None,
            "paused": world.pause,
            "cancelled": world.cancel,
            "locked": lambda: world.lock(0),
            "content changed": lambda: world.edit(content_digest=digest(2)),
            "contact changed": lambda: world.save(
                commands.change_contacts(world.campaign, {0: digest(50)}, now=world.now)
            ),
            "mailbox changed": lambda: world.edit(mailbox="support"),
        }
        given[happened]()
        version = world.campaign.version
        with pytest.raises(LockRefused) as refused:
            world.refused_before_lock(0, REFUSED, **asked)
        assert (refused.value.wait.rule, world.campaign.version) == (rule, version)

    def test_two_runners_that_were_refused_at_once_spend_one_attempt(self) -> None:
        world = running(owner="v2")
        world.refused_before_lock(0, GREYLISTED)
        with pytest.raises(LockRefused) as refused:
            world.refused_before_lock(0, GREYLISTED)
        assert refused.value.wait == Wait(Rule.BACK_OFF, NOON + timedelta(minutes=15))

    @pytest.mark.parametrize("locked", [True, False])
    def test_attempts_are_limited_over_both_kinds_of_failure(self, locked: bool) -> None:
        world = running(limits=Limits(delay_s=0, max_attempts=3))
        for last in (False, False, True):
            [failed, *_] = world.failed(world.lock(), TEMPORARY) if locked else world.refused_before_lock(0, GREYLISTED)
            assert isinstance(failed, e.EmailFailed)
            assert (failed.next_attempt_at is None) is last
        assert (world.state(), world.campaign.status) == (LeadState.FAILED, Status.COMPLETED)


def in_status(status: Status) -> World:
    world = World()
    world.queue(5)
    if status is Status.CANCELLED:
        world.cancel()
    elif status is not Status.DRAFT:
        world.start()
    if status is Status.PAUSED:
        world.pause()
    elif status is Status.COMPLETED:
        world.skip(0)
    assert world.campaign.status is status
    return world
