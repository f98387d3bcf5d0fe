"""The roster: who is due, who waits and until when, at the price of one question to the database a tick."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from eventsourcing.sqlite import SQLiteConnection

import runner.sending.roster
from domain import commands
from domain import mailbox as mailboxes
from domain.calendar import WEEK, Schedule
from domain.commands import Failure
from domain.events import Sender
from domain.policies import next_send
from domain.rules import Limits, Rule
from runner.clock import SimulatedClock
from runner.daemon import Runner
from runner.sending.roster import Roster
from runner.store.ledger import Ledger
from runner.store.sqlite import _DurablePool
from tests.domain.given import GREYLISTED, NOON, running

NIGHTS = Schedule(zone="Europe/Warsaw", weekdays=WEEK, start="22:00", end="24:00")
TONIGHT = NOON.replace(hour=21)
"""22:00 in Warsaw."""

SLOW = Limits(daily_limit=1000, delay_s=600)

senders = pytest.mark.parametrize("sender", ["v1", "v2"])


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the database is told, over every connection of a ledger that is opened from here on."""
    told: list[str] = []
    make, execute = _DurablePool._create_connection, psycopg.Cursor.execute

    def traced(pool: _DurablePool) -> SQLiteConnection:
        connection = make(pool)
        connection._sqlite_conn.set_trace_callback(told.append)
        return connection

    def heard(cursor: Any, query: Any, *said: Any, **other: Any) -> Any:
        told.append(str(query))
        return execute(cursor, query, *said, **other)

    monkeypatch.setattr(_DurablePool, "_create_connection", traced)
    monkeypatch.setattr(psycopg.Cursor, "execute", heard)
    return told


@pytest.fixture
def decisions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The campaigns that a policy was asked about, each time."""
    asked: list[str] = []

    def counted(campaign: Any, *said: Any) -> Any:
        asked.append(campaign.stream)
        return next_send(campaign, *said)

    monkeypatch.setattr(runner.sending.roster, "next_send", counted)
    return asked


def due(roster: Roster, sender: Sender, minutes: float = 0) -> set[int]:
    return set(roster.due(sender, NOON + timedelta(minutes=minutes))[0])


# --- the price ---


def many_campaigns(ledger: Ledger, count: int) -> None:
    """None of them due: they wait for their window, their pace or a person, or have nobody left."""
    first = running(5, schedule=NIGHTS)
    ledger.append(first.history)
    for number in range(2, count + 1):
        said: dict[str, Any] = {"number": number, "mailbox": first.mailbox, "owner": ("v1", "v2")[number % 2]}
        match number % 4:
            case 0:
                world = running(5, schedule=NIGHTS, **said)
            case 1:
                world = running(5, 5, limits=SLOW, **said)
                world.delivered(0)
            case 2:
                world = running(5, **said)
                world.pause()
            case _:
                world = running(5, **said)
                world.delivered(0)
        ledger.append(world.history)


@pytest.fixture(params=[10, 300])
def idle_runner(
    request: pytest.FixtureRequest, ledger: Ledger, runners: Path, statements: list[str]
) -> Iterator[tuple[Runner, list[str]]]:
    many_campaigns(ledger, request.param)
    with (
        closing(Ledger(ledger.url)) as traced,
        Runner(traced, runners, SimulatedClock(NOON)) as runner,
    ):
        for sender in ("v1", "v2"):
            assert runner.tick(sender) is None
        statements.clear()
        yield runner, statements


def test_an_idle_tick_asks_the_database_once_however_many_campaigns_there_are(
    idle_runner: tuple[Runner, list[str]], decisions: list[str]
) -> None:
    runner, statements = idle_runner
    for sender in ("v1", "v2"):
        assert runner.tick(sender) is None
    asked = [statement for statement in statements if statement not in ("BEGIN", "ROLLBACK")]
    assert len(asked) == 2  # one a tick
    assert decisions == []


# --- who is due ---


@senders
def test_a_campaign_is_due_for_its_owner_alone(ledger: Ledger, sender: Sender) -> None:
    ledger.append(running(5, owner=sender).history)
    roster = Roster(ledger)
    assert roster.due(sender, NOON) == ({1: "sales"}, {})
    other: Sender = "v2" if sender == "v1" else "v1"
    assert roster.due(other, NOON) == ({}, {Rule.OWNER: 1})


def test_what_is_due_stays_due_until_it_is_mailed(ledger: Ledger) -> None:
    ledger.append(running(5).history)
    roster = Roster(ledger)
    for minutes in (0, 1, 2):
        assert due(roster, "v1", minutes) == {1}


def test_a_campaign_that_waits_for_its_window_is_not_asked_again_before_it_opens(
    ledger: Ledger, decisions: list[str]
) -> None:
    ledger.append(running(5, schedule=NIGHTS).history)
    roster = Roster(ledger)
    opening = (TONIGHT - NOON) / timedelta(minutes=1)
    for minutes in (0, 1, opening - 0.01):
        assert due(roster, "v1", minutes) == set()
    assert len(decisions) == 1
    assert due(roster, "v1", opening) == {1}


@pytest.mark.parametrize(("nth", "back_off"), [(1, 15), (2, 30), (3, 60)])
def test_a_retry_of_v2_is_due_when_its_back_off_is_over_and_not_asked_for_before(
    ledger: Ledger, decisions: list[str], nth: int, back_off: int
) -> None:
    world = running(5, owner="v2")
    for _ in range(nth):
        world.now = max(retry.due_at for retry in world.campaign.retry_of.values()) if world.campaign.retry_of else NOON
        world.refused_before_lock(0, GREYLISTED)
    ledger.append(world.history)
    roster = Roster(ledger)
    since = (world.now - NOON) / timedelta(minutes=1)
    assert roster.due("v2", world.now)[1] == {Rule.BACK_OFF: 1}
    assert due(roster, "v2", since + back_off - 0.01) == set()
    assert len(decisions) == 1
    assert due(roster, "v2", since + back_off) == {1}


def test_a_retry_of_v1_is_at_the_end_of_the_line_at_once(ledger: Ledger) -> None:
    world = running(5, 5, limits=Limits(daily_limit=1000, delay_s=0))
    world.refused_before_lock(0, GREYLISTED)
    ledger.append(world.history)
    assert due(Roster(ledger), "v1") == {1}


def test_of_several_retries_the_earliest_decides(ledger: Ledger) -> None:
    world = running(5, 5, owner="v2")
    world.refused_before_lock(0, GREYLISTED)
    world.now += timedelta(minutes=10)
    world.refused_before_lock(1, GREYLISTED)
    ledger.append(world.history)
    roster = Roster(ledger)
    assert due(roster, "v2", 14.9) == set()
    assert due(roster, "v2", 15) == {1}


@senders
def test_a_mail_of_this_process_changes_what_was_said(ledger: Ledger, sender: Sender) -> None:
    world = running(5, 5, owner=sender, limits=SLOW)
    ledger.append(world.history)
    roster = Roster(ledger)
    assert due(roster, sender) == {1}
    refused = Failure("rcpt", permanent=True, code=550)
    said: dict[str, Any] = {"runner": "r", "mailbox": "sales", "content_version": 1, "revision": 0, "now": NOON}
    ledger.on_campaign(1, lambda c: commands.fail_before_lock(c, 0, refused, sender=sender, epoch=1, **said))
    assert roster.due(sender, NOON)[1] == {Rule.DELAY: 1}
    assert due(roster, sender, 12) == {1}


# --- what others do ---


def test_an_event_of_another_process_changes_the_ground(ledger: Ledger, other: Ledger, decisions: list[str]) -> None:
    world = running(5)
    world.pause()
    ledger.append(world.history)
    roster = Roster(ledger)
    for minutes in (0, 1e6):
        assert roster.due("v1", NOON + timedelta(minutes=minutes))[1] == {Rule.PAUSED: 1}
    assert len(decisions) == 1  # only an event can change it
    other.on_campaign(1, lambda c: commands.resume(c, actor="anna", reason=None, now=NOON))
    assert due(roster, "v1") == set()
    roster.refresh()
    assert due(roster, "v1") == {1}


def test_an_event_of_the_mailbox_changes_the_ground_of_all_its_campaigns(ledger: Ledger, other: Ledger) -> None:
    first = running(5)
    ledger.append(first.history)
    ledger.append(running(5, number=2, mailbox=first.mailbox, owner="v2").history)
    roster = Roster(ledger)
    assert (due(roster, "v1"), due(roster, "v2")) == ({1}, {2})
    other.on_mailbox("sales", lambda m: mailboxes.pause(m, actor="anna", reason="holiday", now=NOON))
    roster.refresh()
    assert (due(roster, "v1"), due(roster, "v2")) == (set(), set())
    other.on_mailbox("sales", lambda m: mailboxes.resume(m, actor="anna", reason=None, now=NOON))
    roster.refresh()
    assert (due(roster, "v1"), due(roster, "v2")) == ({1}, {2})


def test_a_delayed_mailbox_is_looked_at_again_when_its_delay_is_over(ledger: Ledger, decisions: list[str]) -> None:
    ledger.append(running(5).history)
    ledger.on_mailbox("sales", lambda m: mailboxes.delay(m, phase="mail", code=421, enhanced=None, now=NOON))
    roster = Roster(ledger)
    assert roster.due("v1", NOON)[1] == {Rule.MAILBOX_DELAYED: 1}
    assert due(roster, "v1", 0.99) == set()
    assert len(decisions) == 1
    assert due(roster, "v1", 1) == {1}


def test_a_campaign_that_another_process_made_is_taken_in(ledger: Ledger, other: Ledger) -> None:
    first = running(5)
    ledger.append(first.history)
    roster = Roster(ledger)
    other.append(running(5, number=2, mailbox=first.mailbox).history)
    assert due(roster, "v1") == {1}
    roster.refresh()
    assert due(roster, "v1") == {1, 2}
    assert roster.campaigns == [1, 2]


def test_a_campaign_that_moves_to_another_mailbox_is_handed_to_that_one(ledger: Ledger) -> None:
    ledger.append(running(5).history)
    mailbox: dict[str, Any] = {"daily_limit": 5, "zone": "Europe/Warsaw", "identity_digest": "0" * 64}
    ledger.on_mailbox("second", lambda m: mailboxes.add(m, **mailbox, actor="anna", now=NOON))
    roster = Roster(ledger)
    assert roster.due("v1", NOON)[0] == {1: "sales"}
    ledger.on_campaign(1, lambda c: commands.edit(c, actor="anna", now=NOON, mailbox="second"))
    assert roster.due("v1", NOON)[0] == {1: "second"}
