"""What a campaign's events add up to: late truth above all, and the one alarm it can end in.

Attempt 1 is in doubt, a person says "not sent", the lead is tried again: and then the truth about attempt 1 comes in.
"""

from __future__ import annotations

import pytest

from domain import events as e
from domain.attempts import AttemptState
from domain.campaign import Status, evolve
from domain.commands import Failure
from domain.errors import CommandRefused, UnknownEvent
from domain.leads import LeadState
from tests.domain.given import NOON, PERMANENT, REFUSED, TEMPORARY, World, kinds, running


def test_a_lead_is_queued_then_locked_then_sent() -> None:
    world = running()
    assert (world.state(), world.campaign.roll.v1_status(0)) == (LeadState.QUEUED, "queued")
    token = world.lock()
    assert (world.state(), world.campaign.roll.v1_status(0)) == (LeadState.LOCKED, "sending")
    assert kinds(world.sent(token)) == ["EmailSent", "CampaignCompleted"]
    assert (world.state(), world.campaign.roll.v1_status(0)) == (LeadState.SENT, "sent")


def test_an_unknown_token_is_no_event_whatever_is_said_of_it() -> None:
    world = running()
    assert [world.sent("nobody-1"), world.failed("nobody-1"), world.in_doubt("nobody-1")] == [[], [], []]


def test_a_fact_that_is_known_already_is_no_event() -> None:
    world = running(5, 5)
    token = world.lock()
    world.sent(token)
    assert [world.sent(token), world.failed(token), world.in_doubt(token)] == [[], [], []]
    token = world.lock(1)
    world.in_doubt(token)
    assert world.in_doubt(token) == []


def test_facts_are_recorded_whatever_became_of_the_campaign() -> None:
    world = running(5, 5, 5)
    tokens = [world.lock(position) for position in range(3)]
    world.pause()
    world.sent(tokens[0])
    world.cancel()
    world.failed(tokens[1], PERMANENT)
    world.in_doubt(tokens[2])
    assert [world.state(at) for at in range(3)] == [LeadState.SENT, LeadState.FAILED, LeadState.IN_DOUBT]


def test_what_is_in_doubt_is_never_tried_again_by_itself() -> None:
    world = running()
    world.in_doubt(world.lock())
    assert world.state() is LeadState.IN_DOUBT
    assert (world.campaign.next_fresh(), world.campaign.next_retry()) == (None, None)


def test_a_person_says_sent_and_the_server_says_so_too() -> None:
    world = running()
    token = world.lock()
    world.in_doubt(token)
    assert kinds(world.resolve(0, "sent")) == ["InDoubtResolved"]
    assert world.state() is LeadState.SENT
    assert kinds(world.sent(token)) == ["EmailSent"]
    assert world.state() is LeadState.SENT


def test_a_person_says_sent_but_it_definitely_failed_so_it_is_tried_again() -> None:
    world = running()
    token = world.lock()
    world.in_doubt(token)
    world.resolve(0, "sent")
    world.failed(token)
    assert (world.state(), world.campaign.status) == (LeadState.QUEUED, Status.RUNNING)
    assert world.refusal() is None


def test_a_person_says_not_sent_and_it_is_sent_again_under_the_next_attempt() -> None:
    world = running()
    world.not_sent_after_doubt()
    assert (world.state(), world.campaign.status) == (LeadState.QUEUED, Status.RUNNING)
    world.sent(world.lock())
    assert [event.attempt for event in world.history if isinstance(event, e.EmailLocked)] == [1, 2]


def test_nothing_is_resolved_twice_or_before_it_is_in_doubt() -> None:
    world = running()
    with pytest.raises(CommandRefused, match="lead 100 of campaign-1 is queued, not in doubt"):
        world.resolve(0, "sent")
    world.not_sent_after_doubt()
    with pytest.raises(CommandRefused, match="is queued, not in doubt"):
        world.resolve(0, "sent")


class TestF11LateTruthOfAnAttemptThatAPersonCalledNotSent:
    def test_sent_while_the_lead_waits_so_it_is_not_mailed_again(self) -> None:
        world = running()
        late = world.not_sent_after_doubt()
        assert kinds(world.sent(late)) == ["EmailSent", "CampaignCompleted"]
        assert world.state() is LeadState.SENT
        assert (world.campaign.next_fresh(), world.campaign.next_retry()) == (None, None)

    def test_sent_after_the_next_attempt_was_sent_is_a_duplicate(self) -> None:
        world = running()
        late = world.not_sent_after_doubt()
        world.sent(world.lock())
        [sent, alarm] = world.sent(late)
        assert isinstance(sent, e.EmailSent)
        assert isinstance(alarm, e.DuplicateDetected)
        assert (alarm.token, alarm.attempt) == (late, 1)

    def test_sent_while_the_next_attempt_is_locked_and_then_sent_too_is_a_duplicate(self) -> None:
        world = running()
        late = world.not_sent_after_doubt()
        token = world.lock()
        assert kinds(world.sent(late)) == ["EmailSent"]
        assert world.state() is LeadState.LOCKED
        assert kinds(world.sent(token)) == ["EmailSent", "DuplicateDetected", "CampaignCompleted"]
        assert world.state() is LeadState.SENT

    @pytest.mark.parametrize("failure", [TEMPORARY, PERMANENT])
    def test_sent_while_the_next_attempt_is_locked_which_fails_so_the_lead_is_sent_for_good(
        self, failure: Failure
    ) -> None:
        world = running()
        late = world.not_sent_after_doubt()
        token = world.lock()
        world.sent(late)
        [failed, completed] = world.failed(token, failure)
        assert isinstance(failed, e.EmailFailed)
        assert failed.next_attempt_at is None
        assert isinstance(completed, e.CampaignCompleted)
        assert world.state() is LeadState.SENT
        assert world.campaign.next_retry() is None
        with pytest.raises(CommandRefused, match="is sent"):
            world.requeue(0)

    def test_sent_while_the_next_attempt_is_in_doubt_settles_the_lead(self) -> None:
        world = running()
        late = world.not_sent_after_doubt()
        token = world.lock()
        world.in_doubt(token)
        assert kinds(world.sent(late)) == ["EmailSent"]
        assert world.state() is LeadState.SENT
        assert kinds(world.sent(token)) == ["EmailSent", "DuplicateDetected"]

    @pytest.mark.parametrize("doubt_first", [True, False])
    def test_and_a_person_says_of_the_second_it_was_not_sent_so_all_is_well(self, doubt_first: bool) -> None:
        world = two_attempts_first_sent_late_second_in_doubt(doubt_first=doubt_first)
        assert kinds(world.resolve(0, "not sent")) == ["InDoubtResolved"]
        assert (world.state(), world.campaign.next_retry()) == (LeadState.SENT, None)

    @pytest.mark.parametrize("doubt_first", [True, False])
    def test_and_a_person_says_of_the_second_it_was_sent_too_which_is_a_duplicate_once(self, doubt_first: bool) -> None:
        world = two_attempts_first_sent_late_second_in_doubt(doubt_first=doubt_first)
        assert kinds(world.resolve(0, "sent")) == ["InDoubtResolved", "DuplicateDetected"]
        assert world.state() is LeadState.SENT
        assert kinds(world.sent("campaign-1-token-2")) == ["EmailSent"]

    def test_sent_although_a_person_called_the_second_sent_is_a_duplicate(self) -> None:
        world = running()
        late = world.not_sent_after_doubt()
        world.in_doubt(world.lock())
        world.resolve(0, "sent")
        assert kinds(world.sent(late)) == ["EmailSent", "DuplicateDetected"]

    def test_failed_for_good_while_the_lead_waits_ends_its_waiting(self) -> None:
        world = running()
        late = world.not_sent_after_doubt()
        assert kinds(world.failed(late, PERMANENT)) == ["EmailFailed", "CampaignCompleted"]
        assert (world.state(), world.campaign.next_retry()) == (LeadState.FAILED, None)

    @pytest.mark.parametrize("failure", [TEMPORARY, PERMANENT])
    def test_failed_after_a_newer_attempt_changes_nothing_and_completes_nothing(self, failure: Failure) -> None:
        world = running(owner="v2")
        late = world.not_sent_after_doubt()
        world.failed(world.lock())
        waits_until = world.campaign.retry_of[0].due_at
        [failed] = world.failed(late, failure)
        assert isinstance(failed, e.EmailFailed)
        assert failed.next_attempt_at is None
        assert (world.state(), world.campaign.status) == (LeadState.QUEUED, Status.RUNNING)
        assert world.campaign.retry_of[0].due_at == waits_until

    def test_failed_while_the_next_attempt_is_locked_leaves_that_lock_alone(self) -> None:
        world = running()
        late = world.not_sent_after_doubt()
        token = world.lock()
        world.failed(late, PERMANENT)
        assert world.state() is LeadState.LOCKED
        assert kinds(world.sent(token)) == ["EmailSent", "CampaignCompleted"]

    @pytest.mark.parametrize("failure", [TEMPORARY, PERMANENT])
    def test_failed_after_the_person_unsubscribed_does_not_bring_the_lead_back(self, failure: Failure) -> None:
        world = running()
        late = world.not_sent_after_doubt()
        world.skip(0, reason="suppressed")
        [failed] = world.failed(late, failure)
        assert isinstance(failed, e.EmailFailed)
        assert failed.next_attempt_at is None
        assert world.state() is LeadState.SKIPPED

    def test_sent_after_the_person_unsubscribed_is_told_as_it_was(self) -> None:
        world = running()
        late = world.not_sent_after_doubt()
        world.skip(0, reason="suppressed")
        assert kinds(world.sent(late)) == ["EmailSent"]
        assert world.state() is LeadState.SENT

    def test_sent_after_the_next_attempt_failed_for_good_makes_the_lead_sent(self) -> None:
        world = running()
        late = world.not_sent_after_doubt()
        world.failed(world.lock(), PERMANENT)
        assert kinds(world.sent(late)) == ["EmailSent"]
        assert world.state() is LeadState.SENT

    def test_two_that_a_person_called_not_sent_were_both_sent(self) -> None:
        world = running()
        first, second = world.not_sent_after_doubt(), world.not_sent_after_doubt()
        assert kinds(world.sent(second)) == ["EmailSent", "CampaignCompleted"]
        assert kinds(world.sent(first)) == ["EmailSent", "DuplicateDetected"]


def test_an_attempt_that_a_person_judged_stays_open_for_the_truth() -> None:
    world = running(5, 5)
    first = world.not_sent_after_doubt(0)
    second = world.lock(1)
    world.in_doubt(second)
    world.resolve(1, "sent")
    states = {token: attempt.state for token, attempt in world.campaign.open.items()}
    assert states == {first: AttemptState.RESOLVED_NOT_SENT, second: AttemptState.RESOLVED_SENT}


def test_the_attempts_under_way_are_the_locked_ones() -> None:
    world = running(5, 5)
    world.in_doubt(world.lock(0))
    token = world.lock(1)
    assert [attempt.token for attempt in world.campaign.locked()] == [token]


def test_a_refused_recipient_counts_for_the_pace_and_other_failures_before_the_lock_do_not() -> None:
    world = running(5, 5, 5, 5)
    world.refused_before_lock(0, REFUSED)
    assert world.campaign.last_mail_at == NOON
    for phase in ("local", "data"):
        world.now = NOON.replace(hour=12)
        world.refused_before_lock(1 if phase == "local" else 2, Failure(phase, permanent=True))
        assert world.campaign.last_mail_at == (NOON if phase == "local" else world.now)


def test_f42_a_refusal_told_by_a_clock_that_is_behind_does_not_bring_the_next_mail_forward() -> None:
    world = running(5, 5)
    world.lock(0)
    world.now = NOON.replace(hour=10)
    world.refused_before_lock(1, REFUSED)
    assert world.campaign.last_mail_at == NOON


def test_an_event_of_a_mailbox_is_none_of_a_campaign() -> None:
    with pytest.raises(UnknownEvent, match="MailboxResumed is no event of a campaign"):
        evolve(running().campaign, e.MailboxResumed(recorded_at=NOON, actor="anna"))


def two_attempts_first_sent_late_second_in_doubt(*, doubt_first: bool) -> World:
    """The late acceptance comes after the second attempt is in doubt, or while it is still locked."""
    world = running()
    late = world.not_sent_after_doubt()
    token = world.lock()
    if doubt_first:
        world.in_doubt(token)
    world.sent(late)
    if not doubt_first:
        world.in_doubt(token)
    return world
