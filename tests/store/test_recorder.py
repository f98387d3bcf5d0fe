"""The recorder: connections that are durable and patient, and an append lock in which all or nothing is stored."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest
from eventsourcing.persistence import IntegrityError, OperationalError, StoredEvent
from sqlalchemy import select

import runner.store.recorder
from projections import kept
from runner.store.ledger import Ledger
from runner.store.recorder import SqliteRecorder

REPLY = {"campaign_id": 1, "lead_id": 1, "attempt": 1, "text": "Ok"}


def recorder_of(ledger: Ledger) -> SqliteRecorder:
    assert isinstance(ledger.recorder, SqliteRecorder)
    return ledger.recorder


def event(version: int, stream: str = "campaign-1") -> StoredEvent:
    return StoredEvent(stream, version, "CampaignCompleted/1", b"{}")


def replies(ledger: Ledger) -> int:
    return len(ledger.fetch(select(kept.replies)))


@pytest.mark.parametrize(("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("recursive_triggers", 1)])
def test_every_connection_is_durable(ledger: Ledger, pragma: str, value: object) -> None:
    datastore = recorder_of(ledger).datastore
    with datastore.transaction(commit=False) as first, datastore.transaction(commit=False) as second:
        for cursor in (first, second):  # two at once: so the pool had to make another
            cursor.execute(f"PRAGMA {pragma}")
            assert cursor.fetchone()[0] == value


def test_an_append_tells_the_positions_of_its_events(ledger: Ledger) -> None:
    recorder = recorder_of(ledger)
    assert recorder.insert_events([event(1), event(2)]) == [1, 2]
    assert recorder.insert_events([event(1, "campaign-2")]) == [3]
    assert recorder.insert_events([]) == []
    assert ledger.position() == 3


def test_events_and_kept_rows_are_stored_together_or_not_at_all(ledger: Ledger) -> None:
    recorder = recorder_of(ledger)
    recorder.insert_events([event(1)], kept=[(kept.KEEP_REPLY, [REPLY])])
    assert (ledger.position(), replies(ledger)) == (1, 1)
    with pytest.raises(IntegrityError):  # such a reply is there
        recorder.insert_events([event(2)], kept=[(kept.KEEP_REPLY, [REPLY | {"attempt": 2}, REPLY])])
    with pytest.raises(IntegrityError):  # such an event is there
        recorder.insert_events([event(2), event(1)], kept=[(kept.KEEP_REPLY, [REPLY | {"attempt": 2}])])
    assert (ledger.position(), replies(ledger)) == (1, 1)
    recorder.insert_events([event(2)], kept=[(kept.KEEP_REPLY, [REPLY | {"attempt": 2}])])
    assert (ledger.position(), replies(ledger)) == (2, 2)


def test_an_error_inside_the_append_lock_stores_nothing_and_gives_it_back(ledger: Ledger, other: Ledger) -> None:
    with suppress(ZeroDivisionError), recorder_of(ledger).append_lock() as appending:
        appending.insert([event(1)])
        raise ZeroDivisionError
    assert recorder_of(other).insert_events([event(1)]) == [1]


def test_who_holds_the_append_lock_is_alone_and_readers_are_not_held_up(ledger: Ledger, other: Ledger) -> None:
    recorder_of(ledger).insert_events([event(1)])
    with recorder_of(ledger).append_lock() as appending:
        appending.insert([event(2)])
        with closing(sqlite3.connect(ledger.path, timeout=0)) as writer, pytest.raises(sqlite3.OperationalError):
            writer.execute("BEGIN IMMEDIATE")
        assert other.position() == 1
    assert other.position() == 2


def test_the_tail_inside_the_lock_holds_what_others_appended_meanwhile(ledger: Ledger, other: Ledger) -> None:
    recorder_of(ledger).insert_events([event(1)])
    recorder_of(other).insert_events([event(2), event(1, "campaign-2"), event(3)])
    with recorder_of(ledger).append_lock() as appending:
        assert [stored.originator_version for stored in appending.tail("campaign-1", 1)] == [2, 3]


def test_a_database_that_stays_locked_is_an_error_of_the_library_and_waiting_ends(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner.store.recorder, "BUSY_TIMEOUT_S", 0.05)
    with closing(Ledger(database)) as ledger, closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError, match="locked"):
            recorder_of(ledger).insert_events([event(1)])
        other.rollback()
        assert recorder_of(ledger).insert_events([event(1)]) == [1]
