"""Decide, append, evolve: a lost race is decided again on the newest state, and what was not stored changed nothing."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from eventsourcing.persistence import IntegrityError, OperationalError, PersistenceError
from sqlalchemy.engine import URL

import runner.store.postgres
import runner.store.sqlite
from domain import mailbox as mailboxes
from domain.campaign import Campaign
from domain.errors import CommandRefused, UnknownEvent
from domain.events import Event, LimitsChanged
from domain.gate import lock
from domain.mailbox import Mailbox
from projections import kept
from runner.store.ledger import Ledger
from tests.another_program import append_lock_held, append_lock_is_free, run
from tests.domain.given import NOON, digest, running
from tests.faults.processes import ended, started
from tests.store.given import (
    CAMPAIGN,
    Decision,
    folded,
    given,
    held,
    one_more_a_day,
    pause,
    raise_often,
    recorder_of,
    refuse,
)

IDENTITY = {
    "name": "sales",
    "digest": digest(1),
    "from_name": "Anna",
    "from_address": "anna@example.com",
    "host": "127.0.0.1",
    "port": 25,
    "tls": "none",
    "user": None,
    "password_ref": None,
    "allow_plaintext": 0,
    "connections": 1,
}


def watched(decision: Decision, look: Callable[[Campaign], object]) -> tuple[Decision, list[Any]]:
    """The decision, and what was to be seen each time it was made."""
    seen: list[Any] = []

    def decide(campaign: Campaign) -> list[Event]:
        seen.append(look(campaign))
        return decision(campaign)

    return decide, seen


# --- a lost race ---


def test_a_decision_that_lost_a_race_is_made_again_inside_the_append_lock(ledger: Ledger, other: Ledger) -> None:
    given(ledger)
    held(ledger)
    other.on_campaign(1, one_more_a_day)
    decide, seen = watched(
        one_more_a_day, lambda campaign: (campaign.limits.daily_limit, append_lock_is_free(ledger.url))
    )
    events = ledger.on_campaign(1, decide)
    assert seen == [(1000, True), (1001, False)]
    assert [event.limits.daily_limit for event in events if isinstance(event, LimitsChanged)] == [1002]
    assert held(ledger) == folded(ledger)


def test_a_decision_that_met_no_race_is_made_once(ledger: Ledger) -> None:
    given(ledger)
    decide, seen = watched(one_more_a_day, lambda campaign: campaign.version)
    ledger.on_campaign(1, decide)
    assert len(seen) == 1


def test_an_operators_decision_is_made_once_inside_the_append_lock(ledger: Ledger, other: Ledger) -> None:
    given(ledger)
    held(ledger)
    other.on_campaign(1, one_more_a_day)
    decide, seen = watched(
        one_more_a_day, lambda campaign: (campaign.limits.daily_limit, append_lock_is_free(ledger.url))
    )
    ledger.on_campaign(1, decide, first_in_line=True)
    assert seen == [(1001, False)]
    assert held(ledger) == folded(ledger)


def test_what_lost_the_race_may_be_refused_on_what_is_true_now(ledger: Ledger, other: Ledger) -> None:
    given(ledger)
    held(ledger)
    other.on_campaign(1, pause)
    with pytest.raises(CommandRefused, match="is paused"):
        ledger.on_campaign(1, pause)
    assert held(ledger) == folded(other) == held(other)


def test_what_lost_the_race_may_find_nothing_left_to_do(ledger: Ledger, other: Ledger) -> None:
    given(ledger)
    held(ledger)
    other.on_campaign(1, one_more_a_day)
    position = ledger.position()

    def up_to_1001(campaign: Campaign) -> list[Event]:
        return one_more_a_day(campaign) if campaign.limits.daily_limit < 1001 else []

    assert ledger.on_campaign(1, up_to_1001) == []
    assert ledger.position() == position
    assert held(ledger) == folded(ledger)


def test_a_lock_of_two_streams_that_lost_the_race_for_the_mailbox_alone_is_decided_again(
    ledger: Ledger, other: Ledger
) -> None:
    world = given(ledger)
    with ledger.campaign_and_mailbox(1):
        pass
    other.on_mailbox("sales", lambda m: mailboxes.pause(m, actor="anna", reason="holiday", now=NOON))
    request = world.request(0)

    def decide(campaign: Campaign, mailbox: Mailbox) -> list[Event]:
        return lock(campaign, mailbox, request, NOON)

    with pytest.raises(CommandRefused, match="mailbox paused"):
        ledger.on_both(1, "sales", decide)
    assert held(ledger) == folded(ledger)
    assert other.version(CAMPAIGN) == len([event for event in world.history if event.originator_id == CAMPAIGN])


WRITERS, TIMES = 4, 20


def test_threads_with_ledgers_of_their_own_lose_no_decision(ledger: Ledger, database: URL) -> None:
    given(ledger)
    with ThreadPoolExecutor(WRITERS) as pool:
        for done in [pool.submit(raise_often, database, TIMES) for _ in range(WRITERS)]:
            done.result()
    assert_none_is_lost(ledger)


def test_threads_that_share_one_ledger_lose_no_decision(ledger: Ledger) -> None:
    given(ledger)
    with ThreadPoolExecutor(WRITERS) as pool:
        for done in [pool.submit(ledger.on_campaign, 1, one_more_a_day) for _ in range(WRITERS * TIMES)]:
            done.result()
    assert_none_is_lost(ledger)


def test_processes_lose_no_decision(ledger: Ledger, database: URL) -> None:
    given(ledger)
    processes = [started(raise_often, database, TIMES) for _ in range(WRITERS)]
    assert [ended(process) for process in processes] == [0] * WRITERS
    assert_none_is_lost(ledger)


def assert_none_is_lost(ledger: Ledger) -> None:
    ledger.refresh()
    with ledger.campaign(1) as campaign:
        assert campaign.limits.daily_limit == 1000 + WRITERS * TIMES
    assert held(ledger) == folded(ledger)


# --- what was not stored ---


def test_a_refused_decision_leaves_state_and_ledger_as_they_were(ledger: Ledger) -> None:
    given(ledger)
    before, position = held(ledger), ledger.position()
    for first_in_line in (False, True):
        with pytest.raises(CommandRefused):
            ledger.on_campaign(1, refuse, first_in_line=first_in_line)
    assert held(ledger) == before
    assert ledger.position() == position
    assert append_lock_is_free(ledger.url)


def test_an_append_that_the_database_did_not_take_leaves_the_state_as_it_was(
    database: URL, other: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(other)
    monkeypatch.setattr(runner.store.sqlite, "BUSY_TIMEOUT_S", 0.02)
    monkeypatch.setattr(runner.store.postgres, "LOCK_TIMEOUT_S", 0.02)
    with closing(Ledger(database)) as ledger:
        before = held(ledger)
        with append_lock_held(database):
            for first_in_line in (False, True):
                with pytest.raises(OperationalError, match=r"locked|lock timeout"):
                    ledger.on_campaign(1, one_more_a_day, first_in_line=first_in_line)
            assert held(ledger) == before
        ledger.on_campaign(1, one_more_a_day)
        assert held(ledger) == folded(ledger) != before


def test_an_append_whose_kept_rows_do_not_fit_leaves_state_and_ledger_as_they_were(ledger: Ledger) -> None:
    given(ledger)
    ledger.keep((kept.ADD_IDENTITY, [IDENTITY]))
    before, position = held(ledger), ledger.position()
    for first_in_line in (False, True):
        with pytest.raises(IntegrityError):
            ledger.on_campaign(
                1, one_more_a_day, lambda _: [(kept.ADD_IDENTITY, [IDENTITY])], first_in_line=first_in_line
            )
    assert held(ledger) == before
    assert ledger.position() == position


def test_the_answer_to_an_append_is_lost_so_the_state_stays_until_the_ledger_is_asked(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(ledger)
    before = held(ledger)
    recorder = type(recorder_of(ledger))
    append = recorder.append

    def stored_but_not_answered(*said: Any) -> None:
        append(*said)
        raise OperationalError("disk I/O error")

    ledger.refresh()
    monkeypatch.setattr(recorder, "append", stored_but_not_answered)
    with pytest.raises(PersistenceError):
        ledger.on_campaign(1, one_more_a_day)
    assert held(ledger) == before
    assert ledger.refresh() == {CAMPAIGN}
    assert held(ledger) == folded(ledger) != before


# --- what others stored ---


def test_catching_up_brings_every_state_to_where_its_events_are(ledger: Ledger, other: Ledger) -> None:
    world = given(ledger)
    given(ledger, running(5, number=2, mailbox=world.mailbox))
    for number in (1, 2):
        held(ledger, number)
    ledger.refresh()
    other.on_campaign(1, one_more_a_day)
    ledger.on_campaign(2, one_more_a_day)
    other.on_campaign(1, pause)
    given(other, running(5, number=3, mailbox=world.mailbox))
    assert ledger.refresh() == {CAMPAIGN, "campaign-3"}  # and not what this ledger knows, being its own
    for number in (1, 2, 3):
        assert held(ledger, number) == folded(ledger, number)
    assert ledger.refresh() == set()


def test_catching_up_after_a_decision_that_caught_up_by_itself_applies_nothing_twice(
    ledger: Ledger, other: Ledger
) -> None:
    given(ledger)
    held(ledger)
    other.on_campaign(1, one_more_a_day)
    ledger.on_campaign(1, one_more_a_day)
    ledger.refresh()
    assert held(ledger) == folded(ledger)


def test_an_event_of_a_newer_program_stops_its_own_stream_alone(ledger: Ledger, other: Ledger) -> None:
    world = given(ledger)
    given(ledger, running(5, number=2, mailbox=world.mailbox))
    for number in (1, 2):
        held(ledger, number)
    ledger.refresh()
    version = other.version(CAMPAIGN) + 1
    row = {"stream": CAMPAIGN, "version": version}
    run(ledger.url, "INSERT INTO stored_events VALUES (:stream, :version, 'EmailTeleported/1', '{}')", **row)
    other.on_campaign(2, one_more_a_day)
    assert ledger.refresh() == {CAMPAIGN, "campaign-2"}
    assert held(ledger, 2) == folded(ledger, 2)
    for _ in range(2):
        with pytest.raises(UnknownEvent, match="EmailTeleported"):
            held(ledger, 1)
    ledger.on_campaign(2, one_more_a_day)
