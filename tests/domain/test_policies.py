"""The two senders: whom they pick, how they pace, and when they try again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain import events as e
from domain.events import Sender, V1Status
from domain.leads import LeadState
from domain.policies import LONGEST_BACK_OFF, MAILS_A_TICK, Send, next_send, pace
from domain.rules import Limits, Rule, Wait
from tests.domain.given import GREYLISTED, NOON, PERMANENT, TEMPORARY, World, running

MINUTE = timedelta(minutes=1)


def order(world: World) -> list[int]:
    """The positions in the order in which the owner mails them, all of them successfully."""
    sent = []
    while isinstance(send := world.next(), Send):
        sent.append(send.position)
        world.delivered(send.position)
        world.now += MINUTE
    return sent


class TestV1:
    def test_oldest_first_whatever_the_priority(self) -> None:
        assert order(running(9, 1, 5)) == [0, 1, 2]

    def test_one_that_failed_for_now_goes_to_the_end_of_the_line(self) -> None:
        world = running(5, 5, 5)
        world.failed(world.lock(0))
        world.now += MINUTE
        world.failed(world.lock(1))
        world.now += MINUTE
        assert order(world) == [2, 0, 1]

    def test_new_leads_go_before_those_that_failed(self) -> None:
        world = running(5)
        world.failed(world.lock(0))
        world.queue(5)
        assert order(world) == [1, 0]

    def test_it_picks_only_planned_and_queued(self) -> None:
        world = World()
        statuses: tuple[V1Status, ...] = ("sending", "sent", "failed", "replied", "planned", "queued")
        for status in statuses:
            world.queue(5, v1_status=status)
        world.start()
        assert order(world) == [4, 5]
        assert world.next() == Wait(Rule.STUCK)

    def test_it_waits_out_a_back_off_that_v2_left_behind(self) -> None:
        world = running()
        lead = world.campaign.numbers.lead_id(0)
        told = {"position": 0, "lead_id": lead, "attempt": 1, "sender": "v2", "epoch": 1, "runner": "runner-1"}
        failed = e.EmailFailed.model_validate(
            told
            | {"mailbox": "sales", "phase": "rcpt", "permanent": False, "next_attempt_at": NOON + 15 * MINUTE}
            | {"recorded_at": NOON, "originator_id": "campaign-1", "originator_version": world.campaign.version + 1}
        )
        world.save([failed])
        assert world.next() == Wait(Rule.BACK_OFF, NOON + 15 * MINUTE)
        assert world.refusal() == Wait(Rule.BACK_OFF, NOON + 15 * MINUTE)

    def test_it_sends_at_eight_tenths_of_the_delay(self) -> None:
        world = running(5, 5, limits=Limits(delay_s=100))
        world.lock(0)
        due = NOON + timedelta(seconds=80)
        assert world.next() == Wait(Rule.DELAY, due)
        world.now = due
        assert world.next() == Send(1, 101, due)

    def test_it_sends_one_mail_a_tick(self) -> None:
        assert MAILS_A_TICK == {"v1": 1, "v2": None}


class TestV2:
    def test_priority_then_position(self) -> None:
        assert order(running(9, 1, 5, 1, owner="v2")) == [1, 3, 2, 0]

    def test_one_that_came_later_with_a_lower_number_goes_first(self) -> None:
        world = running(5, 5, owner="v2")
        world.delivered(0)
        world.queue(1)
        assert order(world) == [2, 1]

    def test_the_v1_status_does_not_matter(self) -> None:
        world = World(owner="v2")
        world.queue(5, v1_status="failed")
        world.start()
        assert order(world) == [0]

    def test_a_retry_waits_out_its_back_off_and_then_goes_first(self) -> None:
        world = running(5, 5, 5, owner="v2")
        world.failed(world.lock(0))
        assert world.next() == Send(1, 101, NOON)
        world.now = NOON + 15 * MINUTE
        assert world.next() == Send(0, 100, world.now)

    def test_of_two_retries_the_one_due_first_then_the_priority_then_the_position(self) -> None:
        world = running(9, 5, 5, owner="v2")
        for position in (2, 1, 0):
            world.failed(world.lock(position))
        world.now = NOON + timedelta(hours=1)
        assert order(world) == [1, 2, 0]

    def test_only_retries_left_it_looks_again_when_the_first_is_due(self) -> None:
        world = running(owner="v2")
        world.failed(world.lock(0))
        assert world.next() == Wait(Rule.BACK_OFF, NOON + 15 * MINUTE)

    def test_it_sends_at_the_drawn_pace_and_the_gate_lets_it(self) -> None:
        world = running(5, 5, owner="v2", limits=Limits(delay_s=1000))
        world.lock(0)
        due = NOON + pace(world.campaign, 1)
        world.now = due - timedelta(microseconds=1)
        assert world.next() == Wait(Rule.DELAY, due)
        world.now = due
        assert world.next() == Send(1, 101, due)
        assert world.refusal(1) is None

    def test_the_pace_lies_between_08_and_12_of_the_delay_and_uses_all_of_it(self) -> None:
        world = running(*[5] * 400, owner="v2", limits=Limits(delay_s=100))
        seconds = [pace(world.campaign, at).total_seconds() for at in range(400)]
        assert 80 <= min(seconds) < 81
        assert 119 < max(seconds) <= 120
        assert abs(sum(seconds) / 400 - 100) < 2

    def test_the_pace_is_drawn_from_campaign_lead_and_attempt_and_from_nothing_else(self) -> None:
        world, other = running(5, 5, owner="v2", limits=Limits(delay_s=100)), running(5, number=2, owner="v2")
        first = pace(world.campaign, 0)
        assert first == timedelta(seconds=92, microseconds=645_452)  # the same for ever: a replay draws it again
        assert first != pace(world.campaign, 1)
        other.edit(limits=Limits(delay_s=100))
        assert first != pace(other.campaign, 0)
        world.now += timedelta(days=1)
        world.refused_before_lock(0, GREYLISTED)
        assert first != pace(world.campaign, 0)


@pytest.mark.parametrize("sender", ["v1", "v2"])
class TestBoth:
    def test_another_owners_campaign_is_left_alone(self, sender: Sender) -> None:
        world = running(owner="v2" if sender == "v1" else "v1")
        wait = world.next(sender)
        assert isinstance(wait, Wait)
        assert wait.rule is Rule.OWNER

    def test_nobody_waits(self, sender: Sender) -> None:
        world = running(owner=sender)
        world.lock(0)
        assert world.next() == Wait(Rule.EMPTY)

    def test_a_rule_of_the_gate_is_told_as_it_is(self, sender: Sender) -> None:
        world = running(owner=sender)
        world.pause()
        assert world.next() == Wait(Rule.PAUSED)

    def test_what_it_picks_the_gate_lets_through(self, sender: Sender) -> None:
        world = running(5, 1, owner=sender)
        send = world.next()
        assert isinstance(send, Send)
        assert world.refusal(send.position) is None

    def test_one_lead_in_doubt_never_blocks_the_others(self, sender: Sender) -> None:
        world = running(5, 5, owner=sender)
        world.in_doubt(world.lock(0))
        assert world.next() == Send(1, 101, NOON)

    def test_asking_changes_nothing(self, sender: Sender) -> None:
        world = running(5, 5, owner=sender)
        world.failed(world.lock(0))
        assert [world.next() for _ in range(3)] == [world.next()] * 3


def test_v2_backs_off_15_30_60_120_and_then_240_minutes() -> None:
    world = running(owner="v2", limits=Limits(delay_s=0, max_attempts=8))
    waits = []
    for _ in range(7):
        [failed] = world.failed(world.lock())
        assert isinstance(failed, e.EmailFailed)
        assert failed.next_attempt_at is not None
        waits.append((failed.next_attempt_at - world.now) // MINUTE)
        world.now = failed.next_attempt_at
    assert waits == [15, 30, 60, 120, 240, 240, 240]
    assert timedelta(minutes=240) == LONGEST_BACK_OFF


def test_v1_tries_again_at_its_next_turn() -> None:
    world = running()
    [failed] = world.failed(world.lock())
    assert isinstance(failed, e.EmailFailed)
    assert failed.next_attempt_at == NOON


@pytest.mark.parametrize("sender", ["v1", "v2"])
def test_the_last_attempt_is_the_last(sender: Sender) -> None:
    world = running(owner=sender, limits=Limits(delay_s=0, max_attempts=3))
    for _ in range(3):
        send = world.next()
        assert isinstance(send, Send)
        world.failed(world.lock(send.position), TEMPORARY)
        world.now += timedelta(hours=5)
    assert world.state() is LeadState.FAILED
    assert [event.attempt for event in world.history if isinstance(event, e.EmailLocked)] == [1, 2, 3]


def test_a_permanent_failure_is_not_tried_again() -> None:
    world = running()
    world.failed(world.lock(), PERMANENT)
    assert next_send(world.campaign, world.mailbox, "v1", NOON) == Wait(Rule.EMPTY)
