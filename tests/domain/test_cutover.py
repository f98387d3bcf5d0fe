"""Given a campaign, when it is repaired, migrated and rolled back, then nobody is mailed twice or forgotten, and nobody
waits for the sender before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import analysis as found
from domain import cutover, legacy
from domain import events as e
from domain.campaign import Status
from domain.cutover import PLAN_DIGITS
from domain.errors import CommandRefused
from domain.leads import LeadState
from domain.rules import Rule, Wait
from tests.domain.given import ALWAYS, GREYLISTED, NO_DELAY, NOON, World, kinds, observed, refolded, running, taken_over

QUEUED, LOCKED, SENT = LeadState.QUEUED, LeadState.LOCKED, LeadState.SENT
SKIPPED, IN_DOUBT = LeadState.SKIPPED, LeadState.IN_DOUBT
Change = Callable[[World], object]


def to_be_fixed() -> World:
    """Leads of every kind of repair, and two of none."""
    world = observed("sending", "queued", "queued", "queued", "queued", "queued", "sent")
    world.add_sends((11, 2))
    world.end(
        e.Observation(rule=found.QUEUE_SENT, leads=(101,)),
        e.Observation(rule=found.BLOCKED, leads=(103,)),
        e.Observation(rule=found.ONE_ADDRESS, leads=(105, 104)),
    )
    return world


class TestPlan:
    def test_each_lead_is_repaired_once_by_the_most_careful_rule(self) -> None:
        world = observed("queued", "queued")
        rules = (found.BLOCKED, found.NO_LEAD_ID_KNOWN, found.QUEUE_SENDING)
        world.end(*(e.Observation(rule=rule, leads=(100, 101)) for rule in rules))
        repairs = world.plan().repairs
        assert [(repair.lead_id, repair.rule, repair.kind) for repair in repairs] == [
            (100, found.QUEUE_SENDING, "in doubt"),
            (101, found.QUEUE_SENDING, "in doubt"),
        ]

    def test_what_was_reviewed_is_done_in_one_append(self) -> None:
        world = to_be_fixed()
        plan = world.plan()
        assert [(repair.lead_id, repair.kind, repair.to) for repair in plan.repairs] == [
            (100, "in doubt", legacy.NO_OUTCOME),
            (101, "in doubt", cutover.QUEUE_CAUSE),
            (102, "status", "sent"),
            (103, "skip", "suppressed"),
            (104, "skip", "duplicate address"),
        ]
        applied, *_ = events = world.fix(plan.id)
        assert isinstance(applied, e.FixApplied)
        assert applied.plan == plan.id
        assert sum(applied.repairs.values()) == len(plan.repairs)
        assert list(applied.repairs) == sorted(applied.repairs)
        assert {event.recorded_at for event in events} == {NOON}
        assert [world.state(at) for at in range(7)] == [IN_DOUBT, IN_DOUBT, SENT, SKIPPED, SKIPPED, QUEUED, SENT]

    def test_its_id_is_the_same_twice_and_in_another_process(self) -> None:
        world = to_be_fixed()
        assert len(world.plan().id) == PLAN_DIGITS
        assert world.plan() == world.plan() == to_be_fixed().plan()

    @pytest.mark.parametrize(
        "change",
        [
            lambda world: world.follow_statuses({6: "replied"}),
            lambda world: world.add_leads("sent", "queued"),
            lambda world: world.add_sends((12, 6), (13, 6)),
            lambda world: world.begin(schedule=ALWAYS, limits=NO_DELAY, settings=9, content=9),
        ],
        ids=["another's status", "more leads", "another's mails", "content"],
    )
    def test_what_is_no_lead_of_it_leaves_its_id(self, change: Change) -> None:
        world = to_be_fixed()
        plan = world.plan().id
        change(world)
        assert world.plan().id == plan
        world.fix(plan)

    @pytest.mark.parametrize(
        "change",
        [
            lambda world: world.follow_statuses({0: "queued"}),
            lambda world: world.follow_statuses({0: "failed"}),
            lambda world: (world.follow_statuses({0: "failed"}), world.follow_statuses({0: "sending"})),
            lambda world: world.follow_statuses({1: "planned"}),
            lambda world: world.add_sends((12, 0)),
            lambda world: world.skip(3, reason="erased"),
            lambda world: world.end(),
            lambda world: world.follow_life(Status.PAUSED),
            lambda world: world.add_sends((12, 5)),
            World.fix,
        ],
        ids=[
            "waits again",
            "failed",
            "another attempt",
            "planned",
            "sent",
            "erased",
            "seen no more",
            "paused",
            "its twin mailed",
            "fixed",
        ],
    )
    def test_when_a_lead_of_it_moved_it_is_stale_and_nothing_is_done(self, change: Change) -> None:
        world = to_be_fixed()
        plan = world.plan().id
        change(world)
        assert world.plan().id != plan
        version = world.campaign.version
        with pytest.raises(CommandRefused) as refused:
            world.fix(plan)
        assert str(refused.value) == (
            f"campaign-1 has moved on since plan {plan} was made, or it is none of its plans: the repairs are others "
            "now. `sendledger cutover fix 1` shows them."
        )
        assert world.campaign.version == version

    def test_a_mail_of_ours_to_another_lead_leaves_it_and_one_to_its_lead_does_not(self) -> None:
        world = taken_over("queued", "queued", "queued")
        world.end(e.Observation(rule=found.BLOCKED, leads=(100,)))
        plan = world.plan().id
        world.delivered(1)
        assert world.plan().id == plan
        world.delivered(0)
        assert world.plan().id != plan

    def test_a_change_of_owner_makes_it_stale(self) -> None:
        world = taken_over("queued", "queued")
        world.end(e.Observation(rule=found.BLOCKED, leads=(100,)))
        plan = world.plan().id
        world.migrate()
        world.roll_back()
        assert world.plan().id != plan

    def test_of_another_campaign_it_is_refused(self) -> None:
        world = to_be_fixed()
        with pytest.raises(CommandRefused, match="it is none of its plans"):
            world.fix("0" * PLAN_DIGITS)

    @pytest.mark.parametrize(
        ("rule", "repairs"),
        [
            (found.BLOCKED, ["EmailSkipped"]),
            (found.NO_LEAD_ID_KNOWN, ["StatusFixed"]),
            (found.QUEUE_SENT, ["StatusFixed", "EmailInDoubt"]),
        ],
    )
    def test_one_that_leaves_nobody_waiting_completes_a_campaign_of_ours(self, rule: str, repairs: list[str]) -> None:
        world = taken_over("queued")
        world.end(e.Observation(rule=rule, leads=(100,)))
        assert kinds(world.fix()) == ["FixApplied", *repairs, "CampaignCompleted"]

    def test_one_of_an_observed_campaign_completes_nothing(self) -> None:
        world = observed("sending")
        world.fix()
        assert world.campaign.status is Status.RUNNING

    def test_v1_sends_to_whom_it_passed_over(self) -> None:
        world = running(5)
        world.queue(5, v1_status="failed")
        world.delivered(0)
        assert world.next() == Wait(Rule.STUCK)
        world.fix()
        send = world.next()
        assert getattr(send, "position", None) == 1


class TestFlag:
    def test_it_stands_until_it_is_migrated(self) -> None:
        world = running(5)
        world.flag()
        assert world.campaign.flagged
        world.migrate()
        assert not world.campaign.flagged

    def test_it_is_refused_twice(self) -> None:
        world = running(5)
        world.flag()
        with pytest.raises(CommandRefused, match="campaign-1 is flagged for V2 already"):
            world.flag()

    def test_a_refused_migration_is_recorded_once_for_each_reason(self) -> None:
        world = running(5)
        first, second = CommandRefused("one thing"), CommandRefused("another")
        assert cutover.refuse_flagged(world.campaign, first, now=NOON) == []  # nobody asked for it
        world.flag()
        told = [world.save(cutover.refuse_flagged(world.campaign, why, now=NOON)) for why in (first, first, second)]
        assert [kinds(events) for events in told] == [["MigrationRefused"], [], ["MigrationRefused"]]
        assert world.campaign.migration_refused == "another"

    def test_after_a_refusal_it_can_be_set_again(self) -> None:
        world = running(5)
        world.flag()
        world.save(cutover.refuse_flagged(world.campaign, CommandRefused("one thing"), now=NOON))
        world.flag()
        assert (world.campaign.flagged, world.campaign.migration_refused) == (True, None)


class TestMigrate:
    def test_it_says_what_it_moved(self) -> None:
        world = moving()
        [moved] = world.migrate()
        assert isinstance(moved, e.MigratedToV2)
        assert moved.before == moved.after == cutover.states(world.campaign)
        assert moved.before == {"queued": 2, "locked": 1, "sent": 2, "failed": 0, "skipped": 1, "in doubt": 1}
        assert (moved.epoch, moved.locked, moved.in_doubt) == (2, (102,), (103,))
        assert moved.sent_digest == hashlib.sha256(b"100\n105\n").hexdigest()
        assert (world.campaign.owner, world.campaign.epoch) == ("v2", 2)

    def test_t19_v2_goes_on_and_a_lock_of_v1s_old_epoch_is_refused(self) -> None:
        world = running(5, 5)
        prepared = world.request()
        world.migrate()
        assert world.refusal(sender="v1", epoch=prepared.epoch) == Wait(Rule.OWNER, note="v2 owns it in epoch 2")
        assert world.refusal(sender="v1") == Wait(Rule.OWNER, note="v2 owns it in epoch 2")
        assert world.refusal(sender="v2", epoch=1) == Wait(Rule.OWNER, note="v2 owns it in epoch 2")
        assert world.next("v1") == Wait(Rule.OWNER, note="v2 owns it in epoch 2")
        world.delivered(0)

    @pytest.mark.parametrize("moved", [["migrate"], ["migrate", "roll_back"], ["migrate", "roll_back", "migrate"]])
    def test_f22_f24_what_the_sender_before_has_locked_it_ends_under_its_own_epoch(self, moved: list[str]) -> None:
        world = running(5, 5)
        token = world.lock(0)
        for how in moved:
            getattr(world, how)()
        held = world.campaign.open[token]
        assert (held.sender, held.epoch) == ("v1", 1)
        assert world.refusal(0) == Wait(Rule.LEAD, note="locked")
        assert kinds(world.sent(token)) == ["EmailSent"]
        assert (world.state(0), world.refusal(1)) == (SENT, None)

    def test_f22_what_failed_for_a_while_goes_on_with_the_new_owner(self) -> None:
        world = running(5)
        token = world.lock(0)
        world.migrate()
        [failed] = world.failed(token)
        assert isinstance(failed, e.EmailFailed)
        assert (failed.sender, failed.epoch, failed.next_attempt_at) == ("v1", 1, NOON)
        world.delivered(0)
        assert world.state(0) is SENT

    def test_f23_a_lock_whose_runner_is_gone_blocks_nothing(self) -> None:
        world = running(5, 5)
        world.in_doubt(world.lock(0))
        [moved] = world.migrate()
        assert isinstance(moved, e.MigratedToV2)
        assert (moved.locked, moved.in_doubt) == ((), (100,))
        assert world.refusal(0) == Wait(Rule.LEAD, note="in doubt")

    def test_f26_a_refusal_before_a_lock_of_an_old_epoch_is_dropped(self) -> None:
        world = running(5)
        world.migrate()
        with pytest.raises(CommandRefused, match="held back by: other owner"):
            world.refused_before_lock(0, sender="v1", epoch=1)

    def test_back_offs_and_revisions_go_with_it(self) -> None:
        world = running(5, 5)
        world.refused_before_lock(0, GREYLISTED)
        retries = dict(world.campaign.retry_of)
        world.migrate()
        assert world.campaign.retry_of == retries != {}

    def test_what_blocks_stands_in_the_way_until_a_person_has_decided(self) -> None:
        world = observed("queued", "sent")
        world.follow_life(Status.COMPLETED)
        world.take_over()
        with pytest.raises(CommandRefused) as refused:
            world.migrate()
        assert str(refused.value) == (
            "campaign-1 is not migrated: waits-though-completed (the campaign is completed, and leads wait: nobody "
            "will mail them; a person decides: `campaign resume` mails them, `campaign cancel` skips them)."
        )
        world.resume()
        world.migrate()

    def test_what_is_only_to_be_fixed_or_known_does_not(self) -> None:
        world = taken_over("queued", "sending", "replied")
        world.add_sends((11, 0))
        assert {finding.severity for finding in world.found()} == {"fixable", "note"}
        world.migrate()

    def test_while_it_is_observed_it_is_refused(self) -> None:
        world = observed()
        for refused in (world.migrate, world.flag):
            with pytest.raises(CommandRefused) as why:
                refused()
            assert str(why.value) == (
                "campaign-1 is only observed: the old system mails it. Stop it there, then `sendledger legacy "
                "takeover 1 --old-sender-stopped`."
            )

    @pytest.mark.parametrize("how", [World.migrate, World.flag])
    def test_one_that_is_there_is_cancelled_or_does_not_exist_is_refused(self, how: Change) -> None:
        world = running(5)
        world.migrate()
        with pytest.raises(CommandRefused, match="campaign-1 is on V2 already"):
            how(world)
        world = running(5)
        world.cancel()
        with pytest.raises(CommandRefused, match="is cancelled: it mails nobody, and needs no other sender"):
            how(world)

    def test_nothing_is_moved_that_is_not_there(self) -> None:
        nobody = refolded([], "campaign-7")
        for move in (cutover.roll_back, cutover.flag):
            with pytest.raises(CommandRefused, match=r"there is no campaign-7; `sendledger campaign list`"):
                move(nobody, actor="anna", reason="why", now=NOON)


class TestRollBack:
    @pytest.mark.parametrize(
        "life", [World.pause, World.cancel, lambda world: world.skip(0), lambda world: world.lock()]
    )
    def test_it_is_never_refused(self, life: Change) -> None:
        world = running(5)
        world.migrate()
        life(world)
        [moved] = world.roll_back()
        assert isinstance(moved, e.RolledBack)
        assert (world.campaign.owner, world.campaign.epoch) == ("v1", 3)

    def test_of_one_that_is_v1s_it_is_nothing(self) -> None:
        assert running(5).roll_back() == []
        assert observed().roll_back() == []

    def test_it_takes_a_flag_away(self) -> None:
        world = running(5)
        world.flag()
        assert kinds(world.roll_back()) == ["RolledBack"]
        assert (world.campaign.flagged, world.campaign.owner) == (False, "v1")
        world.flag()

    def test_it_goes_back_to_our_v1_never_to_the_old_system(self) -> None:
        world = taken_over("queued", "queued")
        world.migrate()
        world.delivered(0)
        world.roll_back()
        assert not world.campaign.observed
        assert world.campaign.owner == "v1"
        world.delivered(1)


@given(st.lists(st.sampled_from(["move", "deliver", "lock", "end", "doubt"]), min_size=1, max_size=30))
def test_moved_any_number_of_times_each_lead_is_mailed_once_and_counts_stay(steps: list[str]) -> None:
    world = taken_over("queued", "queued", "queued", "queued", "queued", "queued")
    locked: list[str] = []
    for step in steps:
        waits = next((at for at in range(6) if world.state(at) is QUEUED), None)
        if step == "move":
            counts, sent = cutover.states(world.campaign), cutover.sent_digest(world.campaign)
            epoch = world.campaign.epoch
            [moved] = world.migrate() if world.campaign.owner == "v1" else world.roll_back()
            assert isinstance(moved, e.MigratedToV2 | e.RolledBack)
            assert moved.before == moved.after == counts == cutover.states(world.campaign)
            assert moved.sent_digest == sent == cutover.sent_digest(world.campaign)
            assert world.campaign.epoch == epoch + 1
        elif step == "deliver" and waits is not None:
            world.delivered(waits)
        elif step == "lock" and waits is not None:
            locked.append(world.lock(waits))
        elif step == "end" and locked:
            world.sent(locked.pop())
        elif step == "doubt" and locked:
            world.in_doubt(locked.pop(0))
    locks = [event for event in world.history if isinstance(event, e.EmailLocked)]
    assert len({event.position for event in locks}) == len(locks)
    assert all(event.sender == ("v2" if event.epoch % 2 else "v1") for event in locks)
    assert "DuplicateDetected" not in kinds(world.history)
    assert sum(cutover.states(world.campaign).values()) == 6


def moving() -> World:
    """Sent two, skipped one, one under way, one in doubt, two wait."""
    world = running(5, 5, 5, 5, 5, 5, 5)
    world.delivered(0)
    world.skip(1)
    world.lock(2)
    world.in_doubt(world.lock(3))
    world.delivered(5)
    return world
