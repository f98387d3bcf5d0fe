"""Given what an old system did, when it is taken in, then a lead stands here as it stood there, and nobody who may have
been mailed waits.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import analysis as found
from domain import events as e
from domain import mailbox as mailboxes
from domain.attempts import AttemptState
from domain.calendar import Schedule
from domain.campaign import Status
from domain.errors import CommandRefused
from domain.events import V1Status
from domain.leads import LeadState
from domain.legacy import RowNumbers
from domain.rules import Limits, LockRefused, Rule, Wait
from tests.domain.crossing import MADE_THERE, origin
from tests.domain.given import (
    ALWAYS,
    NO_DELAY,
    NOON,
    PERMANENT,
    World,
    digest,
    kinds,
    observed,
    refolded,
    running,
    taken_over,
)

QUEUED, LOCKED, SENT = LeadState.QUEUED, LeadState.LOCKED, LeadState.SENT
FAILED, SKIPPED, IN_DOUBT = LeadState.FAILED, LeadState.SKIPPED, LeadState.IN_DOUBT
HOUR = timedelta(hours=1)


def in_state(state: LeadState, *, marked: bool = True) -> World:
    """An observed campaign whose first lead is in this state; a second one waits. `marked`: sent by its status, not
    only by a row of the SendLog."""
    by_status: dict[LeadState, V1Status] = {LOCKED: "sending", IN_DOUBT: "sending", FAILED: "failed", SENT: "sent"}
    world = observed("queued" if not marked else by_status.get(state, "queued"), "queued")
    if state is SENT and not marked:
        world.add_sends((11, 0))
    elif state is SKIPPED:
        world.skip(0)
    elif state is IN_DOUBT:
        world.fix()
    assert world.state() is state
    return world


class TestStatuses:
    """Every state here, and every status that the old system can give the lead then."""

    @pytest.mark.parametrize(
        ("state", "after"),
        [
            (QUEUED, {"planned": QUEUED, "queued": QUEUED, "sending": LOCKED, "failed": FAILED}),
            (LOCKED, {"planned": LOCKED, "queued": LOCKED, "sending": LOCKED, "failed": FAILED}),
            (SENT, {"planned": SENT, "queued": SENT, "sending": SENT, "failed": SENT}),
            (FAILED, {"planned": QUEUED, "queued": QUEUED, "sending": LOCKED, "failed": FAILED}),
            (SKIPPED, {"planned": SKIPPED, "queued": SKIPPED, "sending": SKIPPED, "failed": SKIPPED}),
            (IN_DOUBT, {"planned": IN_DOUBT, "queued": IN_DOUBT, "sending": IN_DOUBT, "failed": FAILED}),
        ],
        ids=lambda value: value.label if isinstance(value, LeadState) else "",
    )
    def test_a_status_moves_a_lead_unless_a_mail_would_be_forgotten(
        self, state: LeadState, after: dict[V1Status, LeadState]
    ) -> None:
        for status in get_args(V1Status):
            world = in_state(state)
            before = world.campaign.roll.v1_status(0)
            events = world.follow_statuses({0: status})
            assert kinds(events) == (["StatusObserved"] if status != before else [])
            assert world.state() is after.get(status, SENT), status
            assert world.campaign.roll.v1_status(0) == status
            assert world.state(1) is QUEUED

    @pytest.mark.parametrize("status", get_args(V1Status))
    def test_whom_a_row_of_the_sendlog_calls_sent_stays_sent(self, status: V1Status) -> None:
        world = in_state(SENT, marked=False)
        world.follow_statuses({0: status})
        assert world.state() is SENT
        assert world.campaign.roll.v1_status(0) == status

    @given(st.lists(st.sampled_from(("planned", "queued", "sending", "failed")), min_size=1, max_size=8))
    def test_t6_nobody_waits_who_was_sending_and_of_whom_nothing_definite_was_said_since(
        self, statuses: list[V1Status]
    ) -> None:
        world = observed("queued")
        unknown = False
        for status in statuses:
            world.follow_statuses({0: status})
            unknown = status == "sending" or (unknown and status in ("planned", "queued"))
            assert (world.state() in (QUEUED, FAILED)) is not unknown

    @pytest.mark.parametrize(
        ("status", "state"),
        [
            ("planned", QUEUED),
            ("queued", QUEUED),
            ("sending", LOCKED),
            ("sent", SENT),
            ("replied", SENT),
            ("failed", FAILED),
        ],
    )
    def test_a_lead_comes_in_the_state_that_its_status_says(self, status: V1Status, state: LeadState) -> None:
        world = observed(status)
        assert (world.state(), world.campaign.roll.v1_status(0)) == (state, status)
        assert sum(world.campaign.roll.counts) == 1

    def test_what_is_as_it_was_is_no_event(self) -> None:
        world = observed("queued", "sending")
        assert world.follow_statuses({0: "queued", 1: "sending"}) == []

    def test_one_that_failed_and_waits_again_goes_on_after_the_takeover(self) -> None:
        world = observed("failed")
        world.follow_statuses({0: "planned"})
        world.take_over()
        world.delivered(0)
        assert world.state() is SENT

    def test_each_time_it_is_sending_is_an_attempt_of_its_own(self) -> None:
        world = observed("sending")
        world.follow_statuses({0: "failed"})
        world.follow_statuses({0: "sending"})
        assert [(held.token, held.attempt) for held in world.campaign.locked()] == [("observed-100-2", 2)]

    def test_after_the_takeover_its_statuses_are_no_longer_followed(self) -> None:
        world = taken_over("queued")
        with pytest.raises(CommandRefused, match=r"was taken over: what the old system does with it is no longer"):
            world.follow_statuses({0: "sent"})
        with pytest.raises(CommandRefused, match="no longer followed"):
            world.add_leads("queued")
        with pytest.raises(CommandRefused, match="no longer followed"):
            world.follow_life(Status.PAUSED)


class TestSends:
    def test_a_mail_is_a_fact_with_its_own_time_and_its_status_stays(self) -> None:
        world = observed("queued")
        sent, slot = world.add_sends((11, 0), ago=HOUR)
        assert isinstance(sent, e.EmailSent)
        assert (sent.recorded_at, sent.occurred_at, sent.code) == (NOON, NOON - HOUR, None)
        assert sent.imported == e.ImportedSend(row=11, message_id="<11@old.example>")
        assert isinstance(slot, e.MailboxSlotTaken)
        assert (slot.token, slot.occurred_at) == (sent.token, NOON - HOUR)
        assert (world.state(), world.campaign.roll.v1_status(0)) == (SENT, "queued")

    def test_taken_in_again_it_is_no_event(self) -> None:
        world = observed("queued", "queued")
        world.add_sends((12, 0))
        assert world.add_sends((12, 0)) == []
        assert kinds(world.add_sends((11, 1), (12, 0))) == ["EmailSent", "MailboxSlotTaken"]

    def test_it_counts_for_the_days_limit_on_the_local_date_it_happened(self) -> None:
        world = taken_over("queued", "queued", "queued", limits=Limits(daily_limit=1, delay_s=0))
        world.now = datetime(2025, 3, 4, 23, 30, tzinfo=UTC)  # half past midnight in Warsaw
        world.add_sends((11, 0), ago=HOUR)
        assert world.refusal(2) is None
        world.add_sends((12, 1), ago=timedelta(minutes=10))
        assert world.refusal(2) == Wait(Rule.CAMPAIGN_LIMIT, datetime(2025, 3, 5, 23, tzinfo=UTC), "1 a day")

    def test_it_counts_for_the_pace_from_when_it_happened(self) -> None:
        world = taken_over("queued", "queued", "queued", limits=Limits(delay_s=100))
        world.add_sends((12, 1), ago=timedelta(seconds=30))
        world.add_sends((11, 0), ago=HOUR)
        assert world.refusal(2) == Wait(Rule.DELAY, NOON + timedelta(seconds=50))

    def test_only_a_recent_one_counts_for_the_mailbox(self) -> None:
        world = taken_over("queued", "queued", "queued", "queued")
        limit = {"daily_limit": 1, "zone": "Europe/Warsaw", "identity_digest": digest(1), "actor": "anna"}
        world.save(mailboxes.change(world.mailbox, now=world.now, **limit))  # type: ignore[arg-type]
        assert kinds(world.add_sends((9, 0), ago=timedelta(days=2))) == ["EmailSent"]
        world.add_sends((10, 1), ago=timedelta(days=1))
        assert world.refusal(3) is None
        world.add_sends((11, 2), ago=HOUR)
        assert world.refusal(3) == Wait(Rule.MAILBOX_LIMIT, datetime(2025, 3, 4, 23, tzinfo=UTC), "1 a day")

    def test_it_forgives_no_mailbox(self) -> None:
        world = observed("queued")
        world.save(mailboxes.delay(world.mailbox, phase="mail", code=421, enhanced=None, now=world.now))
        world.add_sends((11, 0))
        assert world.mailbox.failures == 1

    def test_t1_the_second_mail_to_a_lead_is_an_alarm(self) -> None:
        world = observed("sent", "queued")
        first = world.add_sends((11, 0))
        second = world.add_sends((12, 0))
        assert kinds(first) == ["EmailSent", "MailboxSlotTaken"]
        assert kinds(second) == ["EmailSent", "DuplicateDetected", "MailboxSlotTaken"]
        assert [event.attempt for event in [*first, *second] if isinstance(event, e.EmailSent)] == [1, 2]

    def test_rows_of_one_batch_are_attempts_in_the_order_that_they_come(self) -> None:
        world = observed("sent", "sent")
        events = world.add_sends((12, 0), (21, 1), (11, 0), (13, 0))
        sent = [event for event in events if isinstance(event, e.EmailSent)]
        alarms = [event.token for event in events if isinstance(event, e.DuplicateDetected)]
        assert [(event.token, event.attempt) for event in sent] == [
            ("sendlog-12", 1),
            ("sendlog-21", 1),
            ("sendlog-11", 2),
            ("sendlog-13", 3),
        ]
        assert alarms == ["sendlog-11", "sendlog-13"]
        assert world.add_sends((13, 0), (12, 0), (11, 0), (21, 1)) == []

    @pytest.mark.parametrize("at_once", [True, False])
    def test_no_two_attempts_of_a_lead_bear_one_number(self, at_once: bool) -> None:
        """Under way there, not sent by a person's word, mailed by us: then three rows of the old SendLog come up."""
        world = taken_over("sending")
        world.resolve(0, "not sent")
        world.delivered(0)
        rows = [(row, 0) for row in (11, 12, 13)]
        batches = [rows] if at_once else [[row] for row in rows]
        sent = [event for batch in batches for event in world.add_sends(*batch) if isinstance(event, e.EmailSent)]
        assert [event.attempt for event in sent] == [1, 3, 4]
        assert kinds(world.history).count("DuplicateDetected") == 3

    def test_more_mails_to_one_lead_than_a_byte_counts_are_attempts_of_their_own(self) -> None:
        world = observed("sent")
        world.add_sends(*((row, 0) for row in range(300)))
        [sent, *_] = world.add_sends((300, 0))
        assert isinstance(sent, e.EmailSent)
        assert sent.attempt == 301

    def test_it_answers_what_was_under_way(self) -> None:
        world = observed("sending")
        [sent, _] = world.add_sends((11, 0))
        assert isinstance(sent, e.EmailSent)
        assert sent.attempt == 1
        assert (world.state(), world.campaign.open) == (SENT, {})

    @pytest.mark.parametrize("status", ["sent", "replied"])
    def test_a_status_that_came_first_and_its_row_are_one_mail(self, status: V1Status) -> None:
        world = observed("sending")
        world.follow_statuses({0: status})
        assert [held.state for held in world.campaign.open.values()] == [AttemptState.RESOLVED_SENT]
        assert kinds(world.add_sends((11, 0))) == ["EmailSent", "MailboxSlotTaken"]
        assert world.campaign.open == {}

    @pytest.mark.parametrize("outcome", ["sent", "not sent"])
    def test_a_row_that_comes_after_a_persons_word_is_the_same_mail(self, outcome: e.Resolution) -> None:
        world = taken_over("sending", "queued")
        world.resolve(0, outcome)
        assert kinds(world.add_sends((11, 0))) == ["EmailSent", "MailboxSlotTaken"]
        assert (world.state(), world.campaign.open) == (SENT, {})
        assert world.refusal(0) == Wait(Rule.LEAD, note="sent")

    def test_a_row_that_comes_after_we_mailed_on_a_persons_word_is_an_alarm(self) -> None:
        world = taken_over("sending", "queued")
        world.resolve(0, "not sent")
        world.delivered(0)
        assert kinds(world.add_sends((11, 0))) == ["EmailSent", "DuplicateDetected", "MailboxSlotTaken"]
        assert world.state() is SENT

    def test_a_row_for_whom_we_mailed_in_doubt_and_a_person_called_sent_is_an_alarm(self) -> None:
        world = taken_over("queued", "queued")
        world.in_doubt(world.lock(0))
        world.resolve(0, "sent")
        assert "DuplicateDetected" in kinds(world.add_sends((11, 0)))

    @pytest.mark.parametrize("outcome", ["sent", "failed", "in doubt"])
    def test_a_row_that_comes_while_our_own_lock_is_open_leaves_the_lock_its_outcome(self, outcome: str) -> None:
        world = taken_over("queued", "queued")
        token = world.lock(0)
        assert "DuplicateDetected" not in kinds(world.add_sends((11, 0)))
        assert world.state() is LOCKED
        how: dict[str, Callable[[str], list[e.Event]]] = {
            "sent": world.sent,
            "failed": world.failed,
            "in doubt": world.in_doubt,
        }
        events = how[outcome](token)
        assert ("DuplicateDetected" in kinds(events)) is (outcome == "sent")
        assert world.refusal(0) == Wait(Rule.LEAD, note="in doubt" if outcome == "in doubt" else "sent")
        if outcome == "in doubt":
            world.resolve(0, "not sent")
            assert world.state() is SENT

    @pytest.mark.parametrize("how", ["failed", "cancelled", "skipped"])
    def test_a_row_says_sent_of_one_that_nobody_was_to_mail_any_more(self, how: str) -> None:
        world = taken_over("queued", "queued")
        if how == "failed":
            world.failed(world.lock(0), PERMANENT)
        elif how == "cancelled":
            world.cancel()
        else:
            world.skip(0)
        world.add_sends((11, 0))
        assert world.state() is SENT

    def test_after_the_takeover_the_last_of_its_mails_completes_the_campaign(self) -> None:
        world = taken_over("queued", "queued")
        assert "CampaignCompleted" not in kinds(world.add_sends((11, 0)))
        assert kinds(world.add_sends((12, 1))) == ["EmailSent", "CampaignCompleted", "MailboxSlotTaken"]
        assert world.campaign.status is Status.COMPLETED

    def test_two_rows_of_the_last_lead_complete_it_once(self) -> None:
        world = taken_over("queued")
        assert kinds(world.add_sends((11, 0), (12, 0))).count("CampaignCompleted") == 1

    def test_while_it_is_observed_only_the_old_system_completes_it(self) -> None:
        world = observed("queued")
        world.add_sends((11, 0))
        assert world.campaign.status is Status.RUNNING

    def test_a_campaign_that_was_made_here_takes_none(self) -> None:
        world = running()
        with pytest.raises(CommandRefused, match="was made here and is none of the old system's"):
            world.add_sends((11, 0))


class TestBeginning:
    def test_it_is_observed_from_its_first_event_on(self) -> None:
        world = World(observed=True)
        assert kinds(world.history[-2:]) == ["CampaignCreated", "LegacyImported"]
        assert (world.campaign.observed, world.campaign.owner, world.campaign.epoch) == (True, "v1", 1)

    def test_the_same_settings_again_are_no_event(self) -> None:
        assert observed().begin(schedule=ALWAYS, limits=NO_DELAY) == []

    def test_what_changed_of_them_is_an_event_each_and_the_import_is_open_again(self) -> None:
        world = observed()
        monday = Schedule(weekdays=("MON",))
        events = world.begin(schedule=monday, limits=Limits(daily_limit=9), settings=4, content=5)
        assert kinds(events) == ["ContentChanged", "ScheduleChanged", "LimitsChanged", "LegacyImported"]
        assert (world.campaign.content_version, world.campaign.schedule, world.campaign.limits.daily_limit) == (
            2,
            monday,
            9,
        )
        with pytest.raises(
            CommandRefused, match=r"import of campaign-1 was broken off; run `sendledger legacy import`"
        ):
            world.take_over()
        assert world.begin(schedule=monday, limits=Limits(daily_limit=9), settings=4, content=5) == []

    def test_a_campaign_that_was_made_here_is_refused(self) -> None:
        with pytest.raises(
            CommandRefused, match="If that has one of the same number, import it into a ledger of its own"
        ):
            running().begin(schedule=ALWAYS, limits=NO_DELAY)

    def test_one_that_was_taken_over_has_its_own_settings(self) -> None:
        world = taken_over()
        assert world.begin(schedule=ALWAYS, limits=Limits(daily_limit=9), settings=4) == []

    def test_what_was_never_taken_in_names_the_command(self) -> None:
        world = World()
        world.campaign = refolded([], "campaign-7")
        with pytest.raises(CommandRefused, match=r"there is no campaign-7; `sendledger legacy import` brings it"):
            world.follow_statuses({})

    @pytest.mark.parametrize("made", [observed, taken_over])
    @pytest.mark.parametrize(
        ("there", "says"),
        [
            ({"source": "other.db", "elsewhere": True}, r"came from old\.db, and this is other\.db\. .* add --moved"),
            (
                {"changed_row": 11},
                "row 11 of the SendLog in old.db is another mail than the one",
            ),
            (
                {"elsewhere": True, "moved": True, "newest_row": 12, "newest_elsewhere": 13},
                "ends at row 12 of campaign-1, and there was a row 13 already: this is an older copy",
            ),
            ({"created_at": MADE_THERE + timedelta(seconds=1)}, r"made at 2025-01-07T09:00:01\+00:00: another one"),
            (
                {"elsewhere": True, "moved": True, "created_at": MADE_THERE - timedelta(days=1)},
                "another one. Name the database that it came from",
            ),
            (
                {"elsewhere": True, "moved": True, "newest_row": 10},
                "ends at row 10 of campaign-1, and there was a row 11 already: this is an older copy",
            ),
        ],
    )
    def test_another_old_database_is_refused_before_anything_of_it_is_taken_in(
        self, made: Callable[[], World], there: dict[str, Any], says: str
    ) -> None:
        world = made()
        world.add_sends((11, 0))
        with pytest.raises(CommandRefused, match=says):
            world.begin(schedule=Schedule(weekdays=("MON",)), limits=NO_DELAY, settings=4, **there)

    def test_the_same_one_in_another_place_is_followed_there_once_a_person_has_said_so(self) -> None:
        world = observed("queued")
        there: dict[str, Any] = {"source": "moved.db", "elsewhere": True, "moved": True}
        assert world.begin(schedule=ALWAYS, limits=NO_DELAY, **there) == []
        assert kinds(world.end(there=origin(**there))) == ["LegacyImported"]
        assert world.begin(schedule=ALWAYS, limits=NO_DELAY, source="moved.db") == []
        assert world.campaign.legacy is not None
        assert world.campaign.legacy.source == "moved.db"

    def test_when_it_was_made_there_is_learned_by_a_ledger_that_did_not_know(self) -> None:
        world = observed("queued")
        assert world.campaign.legacy is not None
        world.campaign.legacy.created_at = None  # as `LegacyImported/1` leaves it
        assert world.begin(schedule=ALWAYS, limits=NO_DELAY) == []
        assert kinds(world.end()) == ["LegacyImported"]
        assert world.campaign.legacy.created_at == MADE_THERE

    def test_the_end_says_the_same_once(self) -> None:
        world = observed()
        seen = e.Observation(rule=found.BLOCKED, leads=(100,))
        assert world.end() == []
        assert kinds(world.end(seen, send_log={"sent": 1})) == ["LegacyImported"]
        assert world.end(seen, send_log={"sent": 1}) == []
        assert kinds(world.end(seen, send_log={"sent": 2})) == ["LegacyImported"]
        assert kinds(world.end(send_log={"sent": 2})) == ["LegacyImported"]

    def test_leads_of_a_cancelled_campaign_are_skipped_where_they_wait(self) -> None:
        world = World(observed=True)
        world.follow_life(Status.CANCELLED)
        world.add_leads("queued", "planned", "sent", "sending")
        assert [world.state(position) for position in range(4)] == [SKIPPED, SKIPPED, SENT, LOCKED]


class TestLife:
    @pytest.mark.parametrize(
        ("before", "status", "events"),
        [
            (Status.DRAFT, Status.DRAFT, []),
            (Status.DRAFT, Status.RUNNING, ["CampaignStarted"]),
            (Status.DRAFT, Status.PAUSED, ["CampaignStarted", "CampaignPaused"]),
            (Status.DRAFT, Status.COMPLETED, ["CampaignStarted", "CampaignCompleted"]),
            (Status.DRAFT, Status.CANCELLED, ["CampaignCancelled"]),
            (Status.RUNNING, Status.DRAFT, ["CampaignPaused"]),
            (Status.RUNNING, Status.PAUSED, ["CampaignPaused"]),
            (Status.RUNNING, Status.COMPLETED, ["CampaignCompleted"]),
            (Status.RUNNING, Status.CANCELLED, ["CampaignCancelled"]),
            (Status.PAUSED, Status.DRAFT, []),
            (Status.PAUSED, Status.RUNNING, ["CampaignResumed"]),
            (Status.PAUSED, Status.COMPLETED, ["CampaignCompleted"]),
            (Status.COMPLETED, Status.RUNNING, ["CampaignResumed"]),
            (Status.COMPLETED, Status.PAUSED, ["CampaignPaused"]),
            (Status.COMPLETED, Status.DRAFT, ["CampaignPaused"]),
            (Status.CANCELLED, Status.RUNNING, []),
            (Status.CANCELLED, Status.COMPLETED, []),
        ],
    )
    def test_it_goes_where_the_old_system_went_and_says_so_once(
        self, before: Status, status: Status, events: list[str]
    ) -> None:
        world = World(observed=True)
        world.add_leads("queued")
        world.follow_life(before)
        assert kinds(world.follow_life(status)) == events
        assert world.follow_life(status) == []
        if status is not Status.DRAFT and before is not Status.CANCELLED:
            assert world.campaign.status is status

    def test_it_began_when_the_old_system_began(self) -> None:
        world = World(observed=True)
        world.follow_life(Status.RUNNING, since=NOON - HOUR)
        assert world.campaign.started_at == NOON - HOUR

    def test_leads_that_come_to_a_completed_one_do_not_reopen_it_here(self) -> None:
        world = observed("sent")
        world.follow_life(Status.COMPLETED)
        world.add_leads("queued")
        assert world.campaign.status is Status.COMPLETED


class TestTakeover:
    def test_it_is_ours_in_a_new_epoch_and_what_was_under_way_is_in_doubt(self) -> None:
        world = observed("queued", "sending", "sent", "sending")
        world.follow_statuses({3: "queued"})
        *doubts, taken = world.take_over()
        assert kinds(doubts) == ["EmailInDoubt", "EmailInDoubt"]
        assert isinstance(taken, e.TakenOver)
        assert (taken.epoch, taken.in_doubt, taken.settled_s, taken.actor) == (2, (101, 103), 120, "anna")
        assert [world.state(position) for position in range(4)] == [QUEUED, IN_DOUBT, SENT, IN_DOUBT]
        assert (world.campaign.observed, world.campaign.epoch) == (False, 2)

    def test_our_v1_goes_on(self) -> None:
        world = observed("queued")
        stale = world.campaign.epoch
        world.take_over()
        assert world.refusal(epoch=stale) == Wait(Rule.OWNER, note="v1 owns it in epoch 2")
        world.delivered(0)
        assert world.campaign.status is Status.COMPLETED

    def test_of_two_in_doubt_with_one_address_only_the_last_is_mailed_when_none_was(self) -> None:
        world = observed("sending", "sending")
        world.end(e.Observation(rule=found.ONE_ADDRESS, leads=(100, 101)))
        world.take_over()
        assert kinds(world.resolve(0, "not sent")) == ["InDoubtResolved", "EmailSkipped", "CampaignCompleted"]
        assert (world.state(0), world.campaign.status) == (SKIPPED, Status.COMPLETED)
        assert kinds(world.resolve(1, "not sent")) == ["InDoubtResolved"]
        assert (world.state(1), world.campaign.status) == (QUEUED, Status.RUNNING)

    def test_of_two_in_doubt_with_one_address_none_is_mailed_when_the_other_was(self) -> None:
        world = observed("sending", "sending", "queued")
        world.end(e.Observation(rule=found.ONE_ADDRESS, leads=(100, 101)))
        world.take_over()
        world.resolve(0, "sent")
        assert kinds(world.resolve(1, "not sent")) == ["InDoubtResolved", "EmailSkipped"]
        assert world.state(1) is SKIPPED

    def test_one_of_which_nobody_waits_is_completed_with_it(self) -> None:
        world = observed("sent", "sending")
        assert kinds(world.take_over()) == ["EmailInDoubt", "TakenOver", "CampaignCompleted"]

    @pytest.mark.parametrize(
        ("seen", "says"),
        [
            (e.Observation(rule=found.ONE_ADDRESS, leads=(100, 101)), "one-address-two-leads: has the address"),
            (e.Observation(rule=found.QUEUE_SENT, leads=(100,)), "queue-says-sent: waits, and its row"),
            (e.Observation(rule=found.QUEUE_SENDING, leads=(100,)), "queue-says-sending: waits, and its row"),
            (e.Observation(rule=found.NO_LEAD_ID_KNOWN, leads=(100,)), "sends-without-lead-to-a-lead: waits, and the"),
            (e.Observation(rule=found.GONE, leads=(100,)), "gone-from-the-old-database: waits, and the old"),
        ],
        ids=lambda value: value.rule if isinstance(value, e.Observation) else "",
    )
    def test_it_is_refused_while_somebody_waits_who_must_not_be_mailed_and_a_fix_mends_that(
        self, seen: e.Observation, says: str
    ) -> None:
        world = observed("queued", "queued")
        world.end(seen)
        with pytest.raises(CommandRefused) as refused:
            world.take_over()
        assert str(refused.value).startswith(f"somebody waits who must not be mailed: {says}")
        assert str(refused.value).endswith("`sendledger cutover fix 1` mends that.")
        world.fix()
        world.take_over()
        assert not world.campaign.observed

    def test_what_was_repaired_stays_so_whatever_the_old_system_says_of_it(self) -> None:
        world = observed("queued", "queued", "queued")
        world.end(
            e.Observation(rule=found.QUEUE_SENT, leads=(100,)),
            e.Observation(rule=found.NO_LEAD_ID_KNOWN, leads=(101,)),
            e.Observation(rule=found.BLOCKED, leads=(102,)),
        )
        world.fix()
        world.follow_statuses({0: "queued", 1: "queued", 2: "planned"})
        world.take_over()
        assert [world.state(position) for position in range(3)] == [IN_DOUBT, SENT, SKIPPED]

    def test_it_is_refused_twice(self) -> None:
        with pytest.raises(CommandRefused, match=r"taken over already; `sendledger cutover owners` shows since when"):
            taken_over().take_over()

    def test_it_is_refused_for_one_that_was_made_here(self) -> None:
        with pytest.raises(CommandRefused, match="was made here"):
            running().take_over()

    def test_it_is_refused_while_the_first_import_goes_on(self) -> None:
        with pytest.raises(CommandRefused, match="was broken off"):
            World(observed=True).take_over()


class TestGate:
    def test_nobody_may_lock_while_it_is_observed(self) -> None:
        world = observed("queued")
        assert world.refusal() == Wait(Rule.OBSERVED)
        assert world.refusal(sender="v2") == Wait(Rule.OBSERVED)
        assert world.next("v1") == world.next("v2") == Wait(Rule.OBSERVED)
        with pytest.raises(LockRefused, match="the old system mails it"):
            world.refused_before_lock(0)

    @pytest.mark.parametrize(
        "command",
        [
            World.start,
            World.pause,
            World.resume,
            World.cancel,
            lambda world: world.queue(5),
            lambda world: world.requeue(1),
            lambda world: world.edit(limits=Limits(daily_limit=7)),
        ],
        ids=["start", "pause", "resume", "cancel", "leads", "retry", "edit"],
    )
    def test_nor_may_a_person_decide_over_it_here(self, command: Callable[[World], object]) -> None:
        world = observed("queued", "failed")
        with pytest.raises(CommandRefused, match="is only observed"):
            command(world)


@given(st.lists(st.integers(0, 60)))
def test_row_numbers_are_a_set_in_whatever_order_they_come(numbers: list[int]) -> None:
    rows = RowNumbers()
    for number in numbers:
        rows.add(number)
    assert len(rows) == len(set(numbers))
    assert all(number in rows for number in numbers)
    assert 61 not in rows
    thawed = RowNumbers.of_steps(rows.steps())
    assert thawed.steps() == rows.steps()
    assert [number for number in range(61) if number in thawed] == sorted(set(numbers))
