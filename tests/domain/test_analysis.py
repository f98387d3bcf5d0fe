"""Given a campaign with one thing that does not fit, when it is analysed, then exactly that is found; and what can be
repaired is not found again after its repair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import analysis as found
from domain import events as e
from domain import mailbox as mailboxes
from domain.analysis import Severity
from domain.campaign import Status
from domain.errors import CommandRefused
from domain.leads import LeadState
from domain.legacy import OLD_SYSTEM
from domain.rules import Limits
from tests.domain.crossing import origin
from tests.domain.given import NOON, World, digest, kinds, observed, running, taken_over

QUEUED, SENT = LeadState.QUEUED, LeadState.SENT
SKIPPED, IN_DOUBT = LeadState.SKIPPED, LeadState.IN_DOUBT
SOUND: tuple[e.V1Status, ...] = ("queued", "planned", "sent")
"""Nothing is wrong with these, when the third has its row in the SendLog."""


def sound(*more: e.V1Status) -> World:
    """Nothing is found in it; leads of another status come after those of `SOUND`."""
    world = observed(*SOUND, *more)
    world.add_sends((1, 2), ago=timedelta(days=9))
    return world


def scheduled() -> World:
    """It is to begin there by itself."""
    world = World(observed=True)
    world.add_leads("queued")
    world.end(there=origin(scheduled_at=datetime(2025, 3, 5, 8, tzinfo=UTC)))
    return world


def seeing(rule: str, *leads: int, rows: tuple[int, ...] = ()) -> Callable[[], World]:
    """The last import wrote down an observation of this rule."""

    def world() -> World:
        made = sound()
        made.end(e.Observation(rule=rule, leads=leads, rows=rows))
        return made

    return world


def broken_off() -> World:
    world = sound()
    world.begin(schedule=world.campaign.schedule, limits=world.campaign.limits, settings=9)
    return world


def completed() -> World:
    world = sound()
    world.follow_life(Status.COMPLETED)
    return world


def queued_again() -> World:
    world = sound("sending")
    world.follow_statuses({3: "queued"})
    return world


def mailed_but_queued() -> World:
    world = sound()
    world.add_sends((11, 1), ago=timedelta(days=9))
    return world


def mailed_twice() -> World:
    world = sound()
    world.add_sends((11, 2), ago=timedelta(days=8))
    return world


def in_a_status_that_v1_passes_over() -> World:
    world = running(5, 5)
    world.queue(5, v1_status="failed")
    return world


def in_doubt() -> World:
    world = sound("sending")
    world.fix()
    return world


def over_the_campaigns_limit() -> World:
    world = observed("sent", "sent", limits=Limits(daily_limit=1))
    world.add_sends((11, 0), (12, 1))
    return world


def over_the_mailboxs_limit() -> World:
    world = observed("sent", "sent")
    limit = mailboxes.change(
        world.mailbox, daily_limit=1, zone="UTC", identity_digest=digest(1), actor="anna", now=NOON
    )
    world.save(limit)
    world.add_sends((11, 0), (12, 1))
    return world


@dataclass(frozen=True)
class Case:
    """What is found, and where these leads are after the repair."""

    rule: str
    severity: Severity
    given: Callable[[], World]
    says: str
    positions: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()
    repaired: tuple[LeadState, e.V1Status] | None = None
    events: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return self.rule


CASES = [
    Case(found.INCOMPLETE, "blocks", broken_off, "the last import was broken off"),
    Case(found.WAITS_WHEN_OVER, "blocks", completed, "the campaign is completed, and leads wait", (0, 1)),
    Case(
        found.SENDING,
        "fixable",
        lambda: sound("sending"),
        "`sending`, without an outcome",
        (3,),
        repaired=(IN_DOUBT, "sending"),
        events=["EmailInDoubt"],
    ),
    Case(
        found.BACK_IN_QUEUE,
        "fixable",
        queued_again,
        "was `sending`, and waits again without an outcome",
        (3,),
        repaired=(IN_DOUBT, "sending"),
        events=["EmailInDoubt"],
    ),
    Case(
        found.QUEUE_SENT,
        "fixable",
        seeing(found.QUEUE_SENT, 100, 102),
        "waits, and its row in the old queue is `sent`, or has a time of sending: it may have been sent",
        (0,),
        repaired=(IN_DOUBT, "sending"),
        events=["StatusFixed", "EmailInDoubt"],
    ),
    Case(
        found.QUEUE_SENDING,
        "fixable",
        seeing(found.QUEUE_SENDING, 101, 999),
        "waits, and its row in the old queue is, or was, `sending`: it may have been sent",
        (1,),
        repaired=(IN_DOUBT, "sending"),
        events=["StatusFixed", "EmailInDoubt"],
    ),
    Case(
        found.TRACES,
        "fixable",
        seeing(found.TRACES, 101, 999),
        "waits, and it has a time of sending there, or its newest SendLog row is `queued`: it may have been sent",
        (1,),
        repaired=(IN_DOUBT, "sending"),
        events=["StatusFixed", "EmailInDoubt"],
    ),
    Case(
        found.NO_LEAD_ID_KNOWN,
        "fixable",
        seeing(found.NO_LEAD_ID_KNOWN, 101, 102),
        "waits, and the SendLog has a mail of this campaign to its address, of another lead or of none",
        (1,),
        repaired=(SENT, "sent"),
        events=["StatusFixed"],
    ),
    Case(
        found.ONE_ADDRESS,
        "fixable",
        seeing(found.ONE_ADDRESS, 100, 101),
        "has the address of another lead: one person, one mail",
        (1,),
        repaired=(SKIPPED, "planned"),
        events=["EmailSkipped"],
    ),
    Case(
        found.BLOCKED,
        "fixable",
        seeing(found.BLOCKED, 100, 102),
        "is blocked, and waits",
        (0,),
        repaired=(SKIPPED, "queued"),
        events=["EmailSkipped"],
    ),
    Case(
        found.UNUSABLE,
        "fixable",
        seeing(found.UNUSABLE, 101, 102),
        "waits, and no mail can be made for its address or fields",
        (1,),
        repaired=(SKIPPED, "planned"),
        events=["EmailSkipped"],
    ),
    Case(
        found.GONE,
        "fixable",
        seeing(found.GONE, 101, 102),
        "waits, and the old database has it no more in this campaign",
        (1,),
        repaired=(SKIPPED, "planned"),
        events=["EmailSkipped"],
    ),
    Case(
        found.SENT_NOT_MARKED,
        "fixable",
        mailed_but_queued,
        "was mailed, and its V1 status says otherwise",
        (1,),
        repaired=(SENT, "sent"),
        events=["StatusFixed"],
    ),
    Case(
        found.NOT_PICKED,
        "fixable",
        in_a_status_that_v1_passes_over,
        "waits, in a V1 status that V1 never picks",
        (2,),
        repaired=(QUEUED, "queued"),
        events=["StatusFixed"],
    ),
    Case(found.SEVERAL, "note", mailed_twice, "was mailed more than once", (2,)),
    Case(found.MARKED_NO_ROW, "note", lambda: sound("replied"), "is `sent` without a row in the SendLog", (3,)),
    Case(found.DOUBTFUL, "note", in_doubt, "is in doubt", (3,)),
    Case(found.QUEUE_OTHER, "note", seeing(found.QUEUE_OTHER, 100, 999), "is in another state in the old queue", (0,)),
    Case(
        found.UNKNOWN_QUEUE_ROWS,
        "note",
        seeing(found.UNKNOWN_QUEUE_ROWS, rows=(7, 8)),
        "rows of the old queue are about leads that the campaign does not have",
        rows=(7, 8),
    ),
    Case(
        found.MOVED_SINCE,
        "note",
        seeing(found.MOVED_SINCE, 100, 999),
        "the old system has mailed it, or begun to, since it was taken over",
        (0,),
    ),
    Case(
        found.UNKNOWN_SENDS,
        "note",
        seeing(found.UNKNOWN_SENDS, rows=(7,)),
        "SendLog rows are about leads that the campaign does not have",
        rows=(7,),
    ),
    Case(
        found.NO_LEAD_ID,
        "note",
        seeing(found.NO_LEAD_ID, rows=(3, 4)),
        "SendLog rows without a lead, as test mails are",
        rows=(3, 4),
    ),
    Case(
        found.CANCELLED_HERE,
        "blocks",
        seeing(found.CANCELLED_HERE),
        "was cancelled in the old system when it was looked at, and goes on there: here everybody is skipped",
    ),
    Case(
        found.SCHEDULED,
        "note",
        scheduled,
        "was to begin by itself in the old system at 2025-03-05T08:00:00+00:00: here nothing does",
    ),
    Case(
        found.ROWS_GONE,
        "note",
        seeing(found.ROWS_GONE, rows=(7,)),
        "the newest SendLog row that was taken in is no longer there: was a backup restored?",
        rows=(7,),
    ),
    Case(found.LIMIT_TODAY, "note", over_the_campaigns_limit, "2 mails today, the limit is 1"),
    Case(found.LIMIT_TODAY, "note", over_the_mailboxs_limit, "2 mails today through mailbox-sales, its limit is 1"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_thing_that_does_not_fit_is_found_and_nothing_else(case: Case) -> None:
    world = case.given()
    [finding] = world.found()
    assert (finding.rule, finding.severity) == (case.rule, case.severity)
    assert finding.says.startswith(case.says)
    assert finding.fix
    assert (finding.positions, finding.rows) == (case.positions, case.rows)
    assert finding.leads == tuple(position + 100 for position in case.positions)


@pytest.mark.parametrize("case", [case for case in CASES if case.severity == "fixable"], ids=str)
def test_what_can_be_repaired_is_not_found_after_its_repair(case: Case) -> None:
    world = case.given()
    before = [world.state(position) for position in range(len(world.campaign.roll))]

    applied, *repairs = world.fix()

    assert isinstance(applied, e.FixApplied)
    assert (applied.repairs, applied.actor, applied.reason) == ({case.rule: 1}, "anna", "reviewed")
    assert kinds(repairs) == case.events
    assert case.rule not in {finding.rule for finding in world.found()}
    assert not [finding for finding in world.found() if finding.severity == "fixable"]
    [position] = case.positions
    assert (world.state(position), world.campaign.roll.v1_status(position)) == case.repaired
    others = [at for at in range(len(before)) if at != position]
    assert [world.state(at) for at in others] == [before[at] for at in others]


@pytest.mark.parametrize("case", [case for case in CASES if case.severity != "fixable"], ids=str)
def test_what_is_no_matter_of_a_repair_plans_none(case: Case) -> None:
    world = case.given()
    assert world.plan().repairs == ()
    with pytest.raises(CommandRefused, match="campaign-1 has nothing to fix"):
        world.fix()


def test_there_is_a_case_for_every_rule() -> None:
    rules = {value for name, value in vars(found).items() if name.isupper() and isinstance(value, str)}
    assert {case.rule for case in CASES} == rules - {OLD_SYSTEM}


def test_the_gravest_comes_first() -> None:
    world = sound("sending", "replied")
    world.follow_life(Status.COMPLETED)
    assert [finding.severity for finding in world.found()] == ["blocks", "fixable", "note"]


def test_a_campaign_that_was_made_here_and_fits_has_no_findings() -> None:
    world = running(5, 5, 5, 5)
    world.lock(0)
    world.delivered(1)
    world.refused_before_lock(2)
    world.skip(3)
    assert world.found() == []


def test_a_limit_that_is_reached_and_kept_is_no_finding() -> None:
    world = observed("sent", "sent", limits=Limits(daily_limit=2))
    world.add_sends((11, 0), (12, 1))
    assert world.found() == []


@pytest.mark.parametrize("owner", ["v1", "v2"])
def test_our_own_lock_is_no_finding(owner: e.Sender) -> None:
    """Its runner ends it, or is gone: either is known without a plan."""
    world = taken_over("queued", "queued")
    if owner == "v2":
        world.migrate()
    world.lock(0)
    assert world.found() == []


class TestOneAddress:
    @pytest.mark.parametrize(
        ("first", "skipped"),
        [("queued", (1, 2)), ("failed", (2,)), ("sent", (1, 2)), ("sending", (1, 2))],
    )
    def test_one_of_them_is_mailed_and_none_if_one_may_have_been(
        self, first: e.V1Status, skipped: tuple[int, ...]
    ) -> None:
        world = observed(first, "queued", "planned")
        world.end(e.Observation(rule=found.ONE_ADDRESS, leads=(100, 101, 102)))
        [finding] = [finding for finding in world.found() if finding.rule == found.ONE_ADDRESS]
        assert finding.positions == skipped

    def test_one_that_is_in_doubt_may_have_been_mailed(self) -> None:
        world = observed("sending", "queued")
        world.fix()
        world.end(e.Observation(rule=found.ONE_ADDRESS, leads=(100, 101)))
        world.fix()
        assert (world.state(0), world.state(1)) == (IN_DOUBT, SKIPPED)

    def test_each_group_keeps_its_first(self) -> None:
        world = observed("queued", "queued", "queued", "queued")
        groups = ((103, 100), (101, 102))
        world.end(*(e.Observation(rule=found.ONE_ADDRESS, leads=group) for group in groups))
        assert world.found()[0].leads == (100, 102)


class TestAPersonsWord:
    @pytest.mark.parametrize("rule", [found.QUEUE_SENT, found.QUEUE_SENDING])
    def test_since_the_takeover_it_counts_more_than_the_old_queue(self, rule: str) -> None:
        world = seeing(rule, 100)()
        world.fix()
        world.take_over()
        world.resolve(0, "not sent")
        assert world.found() == []
        world.delivered(0)

    @pytest.mark.parametrize("statuses", [("queued",), ("sending",)])
    def test_while_the_old_system_runs_nobody_waits_again_by_it(self, statuses: tuple[e.V1Status, ...]) -> None:
        world = observed(*statuses)
        world.end(e.Observation(rule=found.QUEUE_SENDING, leads=(100,)))
        world.fix()
        with pytest.raises(CommandRefused, match="Say `--not-sent` after the take-over"):
            world.resolve(0, "not sent")
        assert world.state(0) is IN_DOUBT
        world.take_over()
        world.resolve(0, "not sent")
        world.delivered(0)

    def test_that_it_was_sent_can_be_said_at_any_time(self) -> None:
        world = sound("sending")
        world.fix()
        world.resolve(3, "sent")
        assert world.state(3) is SENT


class TestCompletedTooSoon:
    """What the finding says a person may decide, a person can."""

    def test_resumed_it_mails_them(self) -> None:
        world = completed()
        world.take_over()
        world.resume()
        assert world.found() == []
        world.delivered(0)
        world.delivered(1)
        assert world.campaign.status is Status.COMPLETED

    def test_cancelled_it_skips_them(self) -> None:
        world = completed()
        world.take_over()
        world.cancel()
        assert (world.found(), world.state(0), world.state(1)) == ([], SKIPPED, SKIPPED)

    @pytest.mark.parametrize("how", [World.resume, World.cancel])
    def test_one_that_is_completed_as_it_should_is_neither(self, how: Callable[[World], None]) -> None:
        world = running(5)
        world.delivered(0)
        with pytest.raises(CommandRefused, match="campaign-1 is completed: only one that is"):
            how(world)


RULES = st.sampled_from([*found.DANGERS, found.BLOCKED, found.UNUSABLE])
STATUSES = st.sampled_from(["planned", "queued", "queued", "sending", "sent", "failed", "replied"])


@given(
    statuses=st.lists(STATUSES, min_size=1, max_size=6),
    then=st.dictionaries(st.integers(0, 5), STATUSES),
    seen=st.lists(st.tuples(RULES, st.lists(st.integers(100, 106), min_size=1, max_size=3, unique=True))),
    sends=st.lists(st.integers(0, 5), max_size=6),
)
def test_whatever_is_wrong_a_few_repairs_mend_it_and_then_nobody_is_mailed_twice(
    statuses: list[e.V1Status],
    then: dict[int, e.V1Status],
    seen: list[tuple[str, list[int]]],
    sends: list[int],
) -> None:
    world, leads = observed(*statuses), len(statuses)
    world.add_sends(*((row, position % leads) for row, position in enumerate(sends)))
    world.follow_statuses({position % leads: status for position, status in then.items()})
    world.end(*(e.Observation(rule=rule, leads=tuple(numbers)) for rule, numbers in seen))
    rounds = 0
    while world.plan().repairs:
        rounds += 1
        assert rounds <= len(statuses)
        world.fix()
    assert {finding.severity for finding in world.found()} <= {"note"}
    world.take_over()
    world.migrate()
    touched = {lead for rule, numbers in seen for lead in numbers if rule != found.ONE_ADDRESS}
    waiting = {lead for lead in touched if lead - 100 < leads and world.state(lead - 100) is QUEUED}
    assert not waiting
    for rule, numbers in seen:
        if rule == found.ONE_ADDRESS:
            states = [world.state(lead - 100) for lead in numbers if lead - 100 < leads]
            mailed = [state for state in states if state in (SENT, IN_DOUBT)]
            assert states.count(QUEUED) <= (0 if mailed else 1)
