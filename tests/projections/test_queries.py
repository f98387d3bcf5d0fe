"""Given views, when people ask, then these rows in this order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, Executable, delete, insert, update

from domain import events as e
from projections import queries, views
from projections.database import reading, writing
from projections.kept import ADD_CONTACT
from projections.queries import Row
from projections.rows import State
from projections.times import time_text
from tests.domain.given import NOON, World, running
from tests.projections.given import Runner, eventful, projected
from tests.projections.happenings import START_SHADOW, STOP_SHADOW, decides
from tests.projections.lives import MAILED_TWICE, Life

HOUR = timedelta(hours=1)


@pytest.fixture
def ask(engine: Engine) -> Iterator[Connection]:
    """Views of one eventful campaign, and one with a lead that waits."""
    world = eventful()
    other = running(7, owner="v2", number=2, mailbox=world.mailbox)
    projected(engine, [*world.history, *other.history])
    with reading(engine) as connection:
        yield connection


def shown(found: Iterable[Row], *columns: str) -> list[tuple[Any, ...]]:
    """These columns of what was found."""
    return [tuple(row[name] for name in columns) for row in found]


def test_campaigns_by_number(ask: Connection) -> None:
    assert shown(queries.campaigns(ask), "id", "owner", "leads") == [(1, "v1", 6), (2, "v2", 1)]
    one = queries.campaign(ask, 2)
    assert one is not None
    assert (one["id"], one["owner"]) == (2, "v2")
    assert queries.campaign(ask, 3) is None


def test_the_queue_is_whoever_waits_or_may_have_been_mailed(ask: Connection) -> None:
    assert shown(queries.queue(ask, 1), "lead_id", "state") == [(103, "in doubt"), (104, "queued"), (105, "locked")]
    assert shown(queries.queue(ask, 1, limit=1, offset=1), "lead_id") == [(104,)]


def test_the_queue_goes_by_priority_then_position(engine: Engine) -> None:
    projected(engine, running(7, 3, 7, 3).history)
    with reading(engine) as connection:
        assert shown(queries.queue(connection, 1), "position") == [(1,), (3,), (0,), (2,)]


def test_leads_by_position_each_with_the_address_that_is_kept(engine: Engine) -> None:
    world = eventful()
    projected(engine, world.history)
    with writing(engine) as connection:
        connection.execute(ADD_CONTACT, [contact(101, "refused@example.com"), contact(104, "waits@example.com")])
    with reading(engine) as connection:
        assert shown(queries.leads(connection, 1), "lead_id", "state", "address") == [
            (100, "sent", None),
            (101, "failed", "refused@example.com"),
            (102, "skipped", None),
            (103, "in doubt", None),
            (104, "queued", "waits@example.com"),
            (105, "locked", None),
        ]
        assert shown(queries.leads(connection, 1, state=State.IN_DOUBT), "lead_id") == [(103,)]
        assert shown(queries.leads(connection, 1, limit=2), "lead_id") == [(100,), (101,)]
        assert shown(queries.leads(connection, 2), "lead_id") == []


def contact(lead: int, address: str) -> dict[str, Any]:
    row = {"campaign_id": 1, "lead_id": lead, "position": lead - 100, "address": address, "address_key": address}
    rest = {"address_hmac": address, "salt": b"salt", "fields": "{}", "revision": 0, "commitment": "0" * 64}
    return row | rest | {"twin_of": None}


def test_a_lead_by_its_number(ask: Connection) -> None:
    one = queries.lead(ask, 1, 104)
    assert one is not None
    assert (one["position"], one["state"], one["last_code"]) == (4, "queued", 451)
    assert queries.lead(ask, 2, 104) is None


def test_failed_leads_by_their_last_code(ask: Connection) -> None:
    assert shown(queries.failed_leads(ask, 1), "lead_id") == [(101,)]
    assert shown(queries.failed_leads(ask, 1, 550), "lead_id") == [(101,)]
    assert queries.failed_leads(ask, 1, 451) == []
    assert queries.failed_leads(ask, 2) == []


def test_the_send_log_is_newest_first_with_or_without_a_lock(ask: Connection) -> None:
    assert shown(queries.send_log(ask), "lead_id") == [(105,), (104,), (103,), (101,), (100,)]
    assert shown(queries.send_log(ask, campaign=1, sender="v1", lead=103), "outcome") == [("in doubt",)]
    assert shown(queries.send_log(ask, limit=2), "lead_id") == [(105,), (104,)]
    assert shown(queries.send_log(ask, sender="v2"), "lead_id") == []
    assert shown(queries.send_log(ask, campaign=2), "lead_id") == []


def test_attempts_are_added_up_by_campaign_sender_and_outcome(ask: Connection) -> None:
    assert shown(queries.send_totals(ask), "campaign_id", "sender", "outcome", "attempts") == [
        (1, "v1", "failed", 2),
        (1, "v1", "in doubt", 1),
        (1, "v1", "locked", 1),
        (1, "v1", "sent", 1),
    ]


def test_what_is_in_doubt_is_oldest_first(engine: Engine) -> None:
    world = running(5, 5, 5)
    for position in (2, 0, 1):
        world.in_doubt(world.lock(position))
    world.resolve(0, "sent")
    projected(engine, world.history)
    with reading(engine) as connection:
        assert shown(queries.in_doubt(connection), "position") == [(2,), (1,)]


def test_mailboxes_and_days(ask: Connection) -> None:
    assert shown(queries.mailboxes(ask), "name", "daily_limit") == [("sales", 1000)]
    assert shown(queries.mailbox_days(ask, "sales"), "date", "mails") == [("2025-03-04", 4)]
    assert queries.mailbox_days(ask, "office") == []


def test_days_are_newest_first(engine: Engine) -> None:
    world = running(5, 5)
    world.delivered(0)
    world.now += timedelta(days=1)
    world.delivered(1)
    projected(engine, world.history)
    with reading(engine) as connection:
        assert shown(queries.mailbox_days(connection, "sales"), "date") == [("2025-03-05",), ("2025-03-04",)]
        assert shown(queries.mailbox_days(connection, "sales", limit=1), "date") == [("2025-03-05",)]


def test_ticks_are_newest_first(engine: Engine) -> None:
    projected(engine, ticked())
    with reading(engine) as connection:
        assert shown(queries.ticks(connection), "sender", "kind") == [
            ("v2", "missed"),
            ("v2", "idle"),
            ("v1", "tick"),
            ("v2", "tick"),
        ]
        assert shown(queries.ticks(connection, sender="v1"), "kind") == [("tick",)]
        assert shown(queries.ticks(connection, sender="v2", limit=2), "kind") == [("missed",), ("idle",)]


def test_the_last_tick_of_each_sender_is_none_that_was_missed(engine: Engine) -> None:
    projected(engine, ticked())
    with reading(engine) as connection:
        assert queries.last_ticks(connection) == {"v1": time_text(NOON), "v2": time_text(NOON + HOUR)}


def test_a_cadence_is_the_shortest_gap_between_the_ticks_of_the_last_runner(engine: Engine) -> None:
    first, last = Runner("runner-1"), Runner("runner-2")
    first.says(e.TicksIdle, sender="v1", count=61, first_at=NOON, last_at=NOON + HOUR)
    last.says(e.TicksIdle, sender="v1", count=3, first_at=NOON + 2 * HOUR, last_at=NOON + 3 * HOUR)
    last.says(e.TickStarted, sender="v1", tick_at=NOON + 5 * HOUR, due=1)
    last.says(e.TickStarted, sender="v1", tick_at=NOON + 6 * HOUR, due=1)
    last.says(e.TicksMissed, sender="v1", count=4, after=NOON + 6 * HOUR, before=NOON + 7 * HOUR)
    last.says(e.TickStarted, sender="v2", tick_at=NOON, due=1)
    projected(engine, [*first.history, *last.history])
    with reading(engine) as connection:
        assert queries.cadences(connection) == {"v1": HOUR / 2}


def test_single_ticks_in_a_row_tell_a_cadence_too(engine: Engine) -> None:
    runner = Runner()
    for hours in (0, 2, 5):
        runner.says(e.TickStarted, sender="v2", tick_at=NOON + hours * HOUR, due=1)
    projected(engine, runner.history)
    with reading(engine) as connection:
        assert queries.cadences(connection) == {"v2": 2 * HOUR}


def ticked() -> list[e.Event]:
    runner = Runner()
    runner.says(e.TickStarted, sender="v2", tick_at=NOON, due=2)
    runner.says(e.TickStarted, sender="v1", tick_at=NOON, due=1)
    runner.says(e.TicksIdle, sender="v2", count=9, first_at=NOON, last_at=NOON + HOUR)
    runner.says(e.TicksMissed, sender="v2", count=4, after=NOON + HOUR, before=NOON + 2 * HOUR)
    return runner.history


def test_ticks_between_two_times_are_those_that_were_made(engine: Engine) -> None:
    projected(engine, ticked())
    with reading(engine) as connection:
        assert queries.ticks_between(connection, "v2", NOON, NOON + HOUR) == 10
        assert queries.ticks_between(connection, "v1", NOON + HOUR, NOON + 2 * HOUR) == 0


def test_a_shadow_counts_what_is_due_and_what_was_tried_since_it_began_or_the_owner_changed(engine: Engine) -> None:
    world = running(5, 5, 5)
    world.delivered(0)
    START_SHADOW(world)
    decides("v2")(world)
    world.refused_before_lock(1)
    world.delivered(2)
    assert shadows(engine, world) == [(1, 1, 2, 0)]
    world.now += HOUR
    world.queue(5)
    world.migrate()
    decides("v2")(world)
    decides("v1")(world)
    assert shadows(engine, world) == [(1, 1, 0, 1)]
    STOP_SHADOW(world)
    world.delivered(3)
    assert shadows(engine, world) == []


def shadows(engine: Engine, world: World) -> list[tuple[Any, ...]]:
    projected(engine, world.history)
    with reading(engine) as connection:
        return shown(queries.shadows(connection), "campaign_id", "due", "tried", "queued")


def test_nobody_was_mailed_twice(ask: Connection) -> None:
    assert queries.duplicates(ask) == []


def test_whoever_was_mailed_twice_is_named(engine: Engine) -> None:
    projected(engine, Life().live(MAILED_TWICE).history)
    with reading(engine) as connection:
        assert queries.duplicates(connection) == [{"campaign_id": 2, "lead_id": 100, "accepted": 2, "alarms": 1}]


def test_an_acceptance_that_a_person_reports_counts_as_one(engine: Engine) -> None:
    world = running(5)
    world.not_sent_after_doubt()
    world.in_doubt(world.lock())
    world.resolve(0, "sent")
    projected(engine, world.history)
    with reading(engine) as connection:
        assert queries.duplicates(connection) == []
    world.sent("campaign-1-token-1")
    projected(engine, world.history)
    with reading(engine) as connection:
        assert queries.duplicates(connection) == [{"campaign_id": 1, "lead_id": 100, "accepted": 2, "alarms": 1}]


def test_two_acceptances_are_seen_without_an_alarm_and_an_alarm_without_them(engine: Engine) -> None:
    projected(engine, Life().live(MAILED_TWICE).history)
    log = views.send_log
    with writing(engine) as connection:
        connection.execute(update(log).values(duplicate=0))
        assert queries.duplicates(connection) == [{"campaign_id": 2, "lead_id": 100, "accepted": 2, "alarms": 0}]
        connection.execute(update(log).where(log.c.attempt == 2).values(outcome="failed", duplicate=1))
        assert queries.duplicates(connection) == [{"campaign_id": 2, "lead_id": 100, "accepted": 1, "alarms": 1}]


def test_every_lead_is_accounted_for(ask: Connection) -> None:
    assert queries.unaccounted(ask) == []


def test_a_campaign_without_leads_is_accounted_for(engine: Engine) -> None:
    projected(engine, World().history)
    with reading(engine) as connection:
        assert queries.unaccounted(connection) == []


FIRST = views.campaigns.c.id == 1
THIRD = views.leads.c.position == 2  # it was skipped
LOST: dict[str, list[Executable]] = {
    "a lead is gone": [delete(views.leads).where(THIRD)],
    "all leads are gone": [delete(views.leads).where(views.leads.c.campaign_id == 1)],
    "a lead is in another state": [update(views.leads).where(THIRD).values(state="sent")],
    "a lead is in no state": [update(views.leads).where(THIRD).values(state="lost")],
    "a lead is in no state and not counted": [
        update(views.leads).where(THIRD).values(state="lost"),
        update(views.campaigns).where(FIRST).values(skipped=0),
    ],
    "a count is too high": [update(views.campaigns).where(FIRST).values(sent=2)],
    "the number of leads is too high": [update(views.campaigns).where(FIRST).values(leads=7)],
}


@pytest.mark.parametrize("how", LOST)
def test_a_campaign_whose_leads_do_not_add_up_is_named(engine: Engine, how: str) -> None:
    world = eventful()
    projected(engine, [*world.history, *running(7, number=2, mailbox=world.mailbox).history])
    with writing(engine) as connection:
        for statement in LOST[how]:
            connection.execute(statement)
    with reading(engine) as connection:
        assert shown(queries.unaccounted(connection), "id") == [(1,)]


def test_topics_of_a_newer_program_are_named(engine: Engine) -> None:
    """It followed this ledger with its own views, and so counted them."""
    history = eventful().history
    projected(engine, history)
    with reading(engine) as connection:
        assert queries.unknown_topics(connection) == []
        assert queries.events_folded(connection) == len(history)
    with writing(engine) as connection:
        connection.execute(insert(views.event_counts), {"topic": "EmailBounced/1", "events": 2})
    with reading(engine) as connection:
        assert queries.unknown_topics(connection) == ["EmailBounced/1"]
