"""Given any lives of two campaigns, when they are projected in batches of any size, then the views say what the
aggregates say, and batches cut anywhere make the same rows.
"""

from __future__ import annotations

from itertools import cycle

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from domain import events as e
from domain.campaign import Campaign
from domain.leads import LeadState
from domain.mailbox import Mailbox
from projections.projector import Projector
from projections.times import time_text
from tests.projections.given import Log, Rows, all_rows, emptied, only, projected, rows
from tests.projections.lives import (
    ACCEPTED_WHILE_LOCKED,
    CANCELLED_ON_THE_WAY,
    CLOCK_BEHIND,
    CROSSED_AND_BACK,
    LATE_TRUTH,
    MAILED_TWICE,
    OLD_ATTEMPT_AFTER_DOUBT,
    OLD_ATTEMPTS,
    OLD_MAIL_AFTER_A_PERSONS_WORD,
    OLD_MAIL_WHILE_LOCKED,
    ONE_LEAD_AFTER_ANOTHER,
    REFUSED_TWICE,
    SKIPPED_AFTER_DOUBT,
    SOME_OLD_STEPS,
    SOME_STEPS,
    Life,
    Step,
)

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
SHARED = HealthCheck.function_scoped_fixture  # by all examples of a test: each begins with empty views
STEPS = {
    e.LegacyImported: "imported",
    e.TakenOver: "taken over",
    e.FixApplied: "fixed",
    e.FlaggedForV2: "flagged",
    e.MigrationRefused: "migration refused",
    e.MigratedToV2: "migrated",
    e.RolledBack: "rolled back",
}
"""As the view names them."""


@settings(max_examples=50, deadline=None, suppress_health_check=[*SLOW, SHARED])
@given(steps=SOME_STEPS, batch=st.integers(1, 40))
@example(steps=LATE_TRUTH, batch=3)
@example(steps=LATE_TRUTH, batch=100)
@example(steps=ACCEPTED_WHILE_LOCKED, batch=1)
@example(steps=ACCEPTED_WHILE_LOCKED, batch=100)
@example(steps=SKIPPED_AFTER_DOUBT, batch=3)
@example(steps=CLOCK_BEHIND, batch=2)
@example(steps=REFUSED_TWICE, batch=100)
@example(steps=MAILED_TWICE, batch=2)
@example(steps=CANCELLED_ON_THE_WAY, batch=2)
@example(steps=CANCELLED_ON_THE_WAY, batch=100)
def test_the_views_say_what_the_aggregates_say(engine: Engine, steps: list[Step], batch: int) -> None:
    assert_views_follow(engine, Life().live(steps), batch)


@settings(max_examples=35, deadline=None, suppress_health_check=[*SLOW, SHARED])
@given(steps=SOME_OLD_STEPS, batch=st.integers(1, 40))
@example(steps=OLD_MAIL_AFTER_A_PERSONS_WORD, batch=1)
@example(steps=OLD_MAIL_AFTER_A_PERSONS_WORD, batch=100)
@example(steps=OLD_MAIL_WHILE_LOCKED, batch=2)
@example(steps=OLD_ATTEMPTS, batch=1)
@example(steps=OLD_ATTEMPTS, batch=100)
@example(steps=OLD_ATTEMPT_AFTER_DOUBT, batch=1)
@example(steps=CROSSED_AND_BACK, batch=3)
def test_the_views_follow_an_old_system_and_the_way_from_there(engine: Engine, steps: list[Step], batch: int) -> None:
    assert_views_follow(engine, Life(observed=True).live(steps), batch)


@settings(max_examples=30, deadline=None, suppress_health_check=[*SLOW, SHARED])
@given(steps=SOME_STEPS, cuts=st.lists(st.integers(0, 150), max_size=12), batch=st.integers(1, 40))
@example(steps=LATE_TRUTH, cuts=list(range(40)), batch=1)
@example(steps=ONE_LEAD_AFTER_ANOTHER, cuts=list(range(40)), batch=1)
@example(steps=MAILED_TWICE, cuts=[12, 19], batch=40)
@example(steps=CANCELLED_ON_THE_WAY, cuts=[21], batch=40)
def test_i5_views_that_two_projectors_followed_in_turn_equal_those_of_one_batch(
    engine: Engine, steps: list[Step], cuts: list[int], batch: int
) -> None:
    assert_followed_in_turn(engine, Life().live(steps).history, cuts, batch)


@settings(max_examples=15, deadline=None, suppress_health_check=[*SLOW, SHARED])
@given(steps=SOME_OLD_STEPS, cuts=st.lists(st.integers(0, 150), max_size=12), batch=st.integers(1, 40))
@example(steps=OLD_ATTEMPTS, cuts=list(range(40)), batch=1)
@example(steps=OLD_MAIL_WHILE_LOCKED, cuts=list(range(40)), batch=2)
def test_i5_the_same_where_an_old_system_mails(engine: Engine, steps: list[Step], cuts: list[int], batch: int) -> None:
    assert_followed_in_turn(engine, Life(observed=True).live(steps).history, cuts, batch)


def assert_views_follow(engine: Engine, life: Life, batch: int) -> None:
    projected(emptied(engine), life.history, batch=batch)
    for number, world in enumerate(life.worlds, start=1):
        history = [event for event in life.history if event.originator_id == world.campaign.stream]
        assert_leads_equal(world.campaign, of_campaign(engine, "leads", number))
        assert_campaign_equal(world.campaign, rows(engine, "campaigns")[number - 1])
        assert_attempts_equal(world.campaign, of_campaign(engine, "send_log", number))
        assert sum(day["mails"] for day in of_campaign(engine, "campaign_days", number)) == mails(history)
        assert_crossing_equal(world.campaign, history, engine, number)
    assert_mailbox_equal(life.world.mailbox, life.history, engine)


def assert_followed_in_turn(engine: Engine, history: list[e.Event], cuts: list[int], batch: int) -> None:
    log = Log()
    emptied(engine)
    projectors = cycle(Projector(engine, log.read, batch_events=batch) for _ in range(2))
    for cut in [*sorted(cuts), len(history)]:
        log.events = history[:cut]
        next(projectors).catch_up()
    followed = all_rows(engine)
    projected(emptied(engine), history, batch=len(history))

    assert all_rows(engine) == followed


def mails(history: list[e.Event]) -> int:
    """Locks of ours, and what an old system sent."""
    return sum(
        isinstance(event, e.EmailLocked) or (isinstance(event, e.EmailSent) and event.imported is not None)
        for event in history
    )


def of_campaign(engine: Engine, table: str, number: int) -> Rows:
    return [row for row in rows(engine, table) if row["campaign_id"] == number]


def assert_leads_equal(campaign: Campaign, found: Rows) -> None:
    assert [row["position"] for row in found] == list(range(len(campaign.roll)))
    for row in found:
        position = row["position"]
        retry = campaign.retry_of.get(position)
        assert row["state"] == campaign.roll.state(position).label
        assert row["v1_status"] == campaign.roll.v1_status(position)
        assert row["next_attempt_at"] == (time_text(retry.due_at) if retry else None)
        assert row["awaited_attempt"] == campaign.attempts.get(position)
        assert bool(row["accepted_late"]) == (position in campaign.accepted_late)
        assert row["lead_id"] == campaign.numbers.lead_id(position)
        assert row["revision"] == campaign.revision(position)
        assert row["priority"] == campaign.priority(position)
        if campaign.legacy is not None:
            assert row["attempts"] == campaign.next_attempt(position) - 1


def assert_campaign_equal(campaign: Campaign, row: dict[str, object]) -> None:
    assert row["status"] == campaign.status
    assert (row["owner"], row["epoch"], row["mailbox"]) == (campaign.owner, campaign.epoch, campaign.mailbox)
    assert (row["content_version"], row["content_digest"]) == (campaign.content_version, campaign.content_digest)
    assert (row["schedule"], row["zone"]) == (campaign.schedule.model_dump_json(), campaign.schedule.zone)
    assert row["limits"] == campaign.limits.model_dump_json()
    assert row["last_mail_at"] == (time_text(campaign.last_mail_at) if campaign.last_mail_at else None)
    assert row["started_at"] == (time_text(campaign.started_at) if campaign.started_at else None)
    for state in LeadState:
        assert row[state.label.replace(" ", "_")] == campaign.roll.counts[state]
    assert row["leads"] == len(campaign.roll)
    assert bool(row["imported"]) == (campaign.legacy is not None)
    assert (bool(row["observed"]), bool(row["flagged"])) == (campaign.observed, campaign.flagged)
    assert row["migration_refused"] == campaign.migration_refused


def assert_attempts_equal(campaign: Campaign, found: Rows) -> None:
    """What the aggregate holds open is so in the log; everything else has its definite outcome."""
    for row in found:
        held = campaign.open.get(row["token"])
        if held is None:
            assert row["outcome"] in ("sent", "failed")
        else:
            assert (row["outcome"], row["attempt"], row["position"]) == (held.state, held.attempt, held.position)
    assert set(campaign.open) <= {row["token"] for row in found}


def assert_crossing_equal(campaign: Campaign, history: list[e.Event], engine: Engine, number: int) -> None:
    """Every row of the old SendLog is an attempt of its own; every step is a row, and the last move says since when."""
    imported = [row["imported"] for row in of_campaign(engine, "send_log", number) if row["imported"] is not None]
    assert len(imported) == (len(campaign.legacy.rows) if campaign.legacy is not None else 0)
    assert len(set(imported)) == len(imported)
    steps = [STEPS[type(event)] for event in history if type(event) in STEPS]
    assert [row["step"].replace("import begun", "imported") for row in of_campaign(engine, "cutovers", number)] == steps
    owners = e.CampaignCreated | e.TakenOver | e.MigratedToV2 | e.RolledBack
    moves = [event for event in history if isinstance(event, owners)]
    assert rows(engine, "campaigns")[number - 1]["owner_since"] == time_text(moves[-1].recorded_at)


def assert_mailbox_equal(mailbox: Mailbox, history: list[e.Event], engine: Engine) -> None:
    row = only(rows(engine, "mailboxes"))
    slots = sum(isinstance(event, e.MailboxSlotTaken) for event in history)
    assert (row["paused_reason"], row["failures"]) == (mailbox.paused, mailbox.failures)
    assert row["delayed_until"] == (time_text(mailbox.delayed_until) if mailbox.delayed_until else None)
    assert sum(day["mails"] for day in rows(engine, "mailbox_days")) == slots
