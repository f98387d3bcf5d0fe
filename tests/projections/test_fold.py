"""Given events, when they are folded, then these rows: what takes more than one event to see."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine

from domain import commands
from domain import events as e
from domain.calendar import Schedule
from domain.errors import UnknownEvent
from projections.batch import BrokenStream
from projections.times import time_text
from tests.domain.given import NOON, World, running
from tests.projections.given import Runner, eventful, only, projected, rows


def test_an_outcome_recorded_late_finished_when_it_happened(engine: Engine) -> None:
    world = running(5)
    token, happened = world.lock(), world.now + timedelta(seconds=1)
    world.now += timedelta(hours=1)
    late = commands.record_sent(
        world.campaign, token, code=250, enhanced=None, queue_id=None, now=world.now, occurred_at=happened
    )
    world.save(late)

    projected(engine, world.history)

    assert only(rows(engine, "send_log"))["finished_at"] == time_text(happened)


def test_a_second_acceptance_marks_the_attempt(engine: Engine) -> None:
    world = running(5)
    first = world.not_sent_after_doubt()
    world.now += timedelta(minutes=1)
    world.delivered(0)
    world.sent(first)

    projected(engine, world.history, batch=3)

    assert [(row["attempt"], row["outcome"], row["duplicate"]) for row in rows(engine, "send_log")] == [
        (1, "sent", 1),
        (2, "sent", 0),
    ]


@pytest.mark.parametrize("batch", [1, 8, 1000])
def test_a_cancelled_campaign_skips_all_that_wait_and_no_other(engine: Engine, batch: int) -> None:
    world = eventful()
    world.queue(5, 5)
    world.cancel()

    projected(engine, world.history, batch=batch)

    states = [(row["state"], row["reason"], row["next_attempt_at"]) for row in rows(engine, "leads")]
    assert states == [
        ("sent", None, None),
        ("failed", "rcpt", None),
        ("skipped", "suppressed", None),
        ("in doubt", "runner gone", None),
        ("skipped", "cancelled", None),  # it waited for another attempt
        ("locked", None, None),
        ("skipped", "cancelled", None),
        ("skipped", "cancelled", None),
    ]
    campaign = only(rows(engine, "campaigns"))
    assert (campaign["status"], campaign["queued"], campaign["skipped"]) == ("cancelled", 0, 4)


def test_a_lead_in_doubt_when_its_campaign_is_cancelled_is_not_queued_again(engine: Engine) -> None:
    world = running(5, 5)
    world.in_doubt(world.lock())
    world.cancel()
    world.resolve(0, "not sent")

    projected(engine, world.history)

    lead = rows(engine, "leads")[0]
    assert (lead["state"], lead["reason"], lead["v1_status"]) == ("skipped", "cancelled", "failed")


def test_mails_count_on_the_local_date_of_campaign_and_mailbox(engine: Engine) -> None:
    before_midnight = datetime.fromisoformat("2025-03-04T22:59:30+00:00")  # 23:59:30 in Warsaw
    world = running(5, 5, 5, now=before_midnight)
    world.edit(schedule=Schedule(zone="UTC", weekdays=world.campaign.schedule.weekdays, start="00:00", end="24:00"))
    world.delivered(0)
    world.now += timedelta(minutes=1)
    world.delivered(1)
    world.delivered(2)

    projected(engine, world.history, batch=4)

    assert rows(engine, "mailbox_days") == [
        {"mailbox": "sales", "date": "2025-03-04", "mails": 1},
        {"mailbox": "sales", "date": "2025-03-05", "mails": 2},
    ]
    assert rows(engine, "campaign_days") == [{"campaign_id": 1, "date": "2025-03-04", "mails": 3}]


def test_a_run_of_idle_ticks_that_is_told_again_replaces_what_was_told_before(engine: Engine) -> None:
    runner = Runner()
    for minutes in (1, 4):
        last_at = NOON + timedelta(minutes=minutes)
        runner.says(e.TicksIdle, sender="v2", count=2 * minutes, first_at=NOON, last_at=last_at)

    projected(engine, runner.history, batch=1)

    row = only(rows(engine, "ticks"))
    assert (row["count"], row["until"], row["log_position"]) == (8, time_text(last_at), 2)


class FromTheFuture(e.Event):
    """An event of a newer program."""


def test_an_unknown_event_is_refused_with_its_position(engine: Engine) -> None:
    world = running(5)
    known = len(world.history)
    stranger = FromTheFuture(originator_id="campaign-1", originator_version=99, recorded_at=NOON)

    with pytest.raises(UnknownEvent, match=rf"position {known + 1} .* FromTheFuture"):
        projected(engine, [*world.history, stranger])

    assert rows(engine, "leads") == []


def test_an_event_of_a_lead_that_was_never_queued_is_refused(engine: Engine) -> None:
    world = World()
    world.queue(5)
    skipped = world.skip(0)[0].model_copy(update={"position": 3})

    with pytest.raises(BrokenStream, match=r"EmailSkipped 3 of campaign-1 .* at 3"):
        projected(engine, [*world.history[:-1], skipped])


def test_an_outcome_of_an_attempt_that_was_never_made_is_refused(engine: Engine) -> None:
    world = running(5)
    world.delivered(0)

    with pytest.raises(BrokenStream, match="answers attempt 1"):
        projected(engine, [event for event in world.history if not isinstance(event, e.EmailLocked)])


def test_a_campaign_that_was_never_created_is_refused(engine: Engine) -> None:
    world = running(5)

    with pytest.raises(BrokenStream, match="campaign-1 has events, but none that created it"):
        projected(engine, world.history[2:])


def test_a_stream_of_another_name_is_no_campaign(engine: Engine) -> None:
    world = running(5)
    odd = [event.model_copy(update={"originator_id": "campaign-x"}) for event in world.history[1:2]]

    with pytest.raises(BrokenStream, match="'campaign-x' is no stream of a campaign"):
        projected(engine, odd)
