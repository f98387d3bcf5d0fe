"""The recorder: connections that are durable and patient, and an append lock in which all or nothing is stored."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import pytest
from eventsourcing.persistence import IntegrityError, OperationalError, StoredEvent
from sqlalchemy import select
from sqlalchemy.engine import URL

import runner.store.postgres
import runner.store.sqlite
from domain.events import EmailSent
from projections import kept
from projections.bulk import COPY_FROM_ROWS
from runner.store.ledger import Ledger
from runner.store.recorder import LedgerRecorder
from runner.store.sqlite import SqliteRecorder
from tests.another_program import append_lock_held, append_lock_is_free
from tests.databases import on_sqlite
from tests.faults.processes import TIMEOUT_S
from tests.store.given import recorder_of

ENTRY = {"address_hmac": "0" * 64, "reason": "asked for it", "added_at": "2026-10-05", "actor": "anna"}
OTHER_ENTRY = ENTRY | {"address_hmac": "1" * 64}


def event(version: int, stream: str = "campaign-1") -> StoredEvent:
    return StoredEvent(stream, version, "CampaignCompleted/1", b"{}")


def events(count: int, stream: str = "campaign-1") -> list[StoredEvent]:
    return [event(version, stream) for version in range(1, count + 1)]


def stored(recorder: LedgerRecorder, after: int = 0) -> list[tuple[int, StoredEvent]]:
    """Everything in the log after a position, with positions."""
    rows = recorder.log(after, 1_000_000)
    return [(position, StoredEvent(stream, version, topic, state)) for position, stream, version, topic, state in rows]


def entries(ledger: Ledger) -> int:
    return len(ledger.fetch(select(kept.suppressed)))


@on_sqlite
@pytest.mark.parametrize(("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("recursive_triggers", 1)])
def test_every_connection_is_durable(ledger: Ledger, pragma: str, value: object) -> None:
    recorder = recorder_of(ledger)
    assert isinstance(recorder, SqliteRecorder)
    datastore = recorder.datastore
    with datastore.transaction(commit=False) as first, datastore.transaction(commit=False) as second:
        for cursor in (first, second):  # two at once: so the pool had to make another
            cursor.execute(f"PRAGMA {pragma}")
            assert cursor.fetchone()[0] == value


@pytest.mark.parametrize("count", [1, 2, COPY_FROM_ROWS - 1, COPY_FROM_ROWS, 3 * COPY_FROM_ROWS])
def test_an_append_tells_the_positions_of_its_events(ledger: Ledger, count: int) -> None:
    recorder = recorder_of(ledger)
    appends = [events(count), events(count, "campaign-2"), events(2, "campaign-3")]
    told = [
        (position, event)
        for append in appends
        for position, event in zip(insert(recorder, append), append, strict=True)
    ]
    assert told == stored(recorder)
    assert insert(recorder, []) == []


def insert(recorder: LedgerRecorder, append: list[StoredEvent]) -> Sequence[int]:
    return recorder.insert_events(append) or []


def test_an_append_of_forty_thousand_events_returns(ledger: Ledger) -> None:
    """As large as the migration of a campaign: in the library's own pipeline such a one hangs for ever."""
    append = events(40_000)
    recorder_of(ledger).append(append)
    assert [event for _, event in stored(recorder_of(ledger))] == append


def test_events_and_kept_rows_are_stored_together_or_not_at_all(ledger: Ledger) -> None:
    recorder = recorder_of(ledger)
    recorder.append([event(1)], [(kept.SUPPRESS, [ENTRY])])
    before = stored(recorder)
    with pytest.raises(IntegrityError):  # such an entry is there
        recorder.append([event(2)], [(kept.SUPPRESS, [OTHER_ENTRY, ENTRY])])
    with pytest.raises(IntegrityError):  # such an event is there
        recorder.append([event(2), event(1)], [(kept.SUPPRESS, [OTHER_ENTRY])])
    assert (stored(recorder), entries(ledger)) == (before, 1)
    recorder.append([event(2)], [(kept.SUPPRESS, [OTHER_ENTRY])])
    assert [event for _, event in stored(recorder)] == [event(1), event(2)]
    assert entries(ledger) == 2


def test_of_many_events_and_rows_too_all_or_none_are_stored(ledger: Ledger) -> None:
    recorder = recorder_of(ledger)
    rows = [ENTRY | {"address_hmac": f"{number:064x}"} for number in range(2 * COPY_FROM_ROWS)]
    recorder.append(events(2 * COPY_FROM_ROWS), [(kept.SUPPRESS, rows)])
    before = stored(recorder)
    fresh = [row | {"address_hmac": f"f{row['address_hmac'][1:]}"} for row in rows]
    with pytest.raises(IntegrityError):  # the last event is there
        recorder.append([*events(2 * COPY_FROM_ROWS, "campaign-2"), event(1)], [(kept.SUPPRESS, fresh)])
    with pytest.raises(IntegrityError):  # the last entry is there
        recorder.append(events(2 * COPY_FROM_ROWS, "campaign-2"), [(kept.SUPPRESS, [*fresh, rows[0]])])
    assert (stored(recorder), entries(ledger)) == (before, len(rows))


def test_an_error_inside_the_append_lock_stores_nothing_and_gives_it_back(ledger: Ledger, other: Ledger) -> None:
    with suppress(ZeroDivisionError), recorder_of(ledger).append_lock() as appending:
        appending.insert([event(1)])
        raise ZeroDivisionError
    recorder_of(other).append([event(1)])
    assert [event for _, event in stored(recorder_of(ledger))] == [event(1)]


def test_who_holds_the_append_lock_is_alone_and_readers_are_not_held_up(ledger: Ledger, other: Ledger) -> None:
    recorder_of(ledger).append([event(1)])
    with recorder_of(ledger).append_lock() as appending:
        appending.insert([event(2)])
        assert not append_lock_is_free(ledger.url)
        assert len(stored(recorder_of(other))) == 1
    assert append_lock_is_free(ledger.url)
    assert len(stored(recorder_of(other))) == 2


WRITERS, APPENDS = 4, 25


def test_a_reader_that_follows_the_log_beside_four_writers_misses_no_event(database: URL) -> None:
    with closing(Ledger(database)) as ledger, ThreadPoolExecutor(WRITERS) as pool:
        writing = [pool.submit(append_often, database, f"campaign-{number}") for number in range(WRITERS)]
        seen: list[tuple[int, StoredEvent]] = []
        over = False
        while not over:
            over = all(writer.done() for writer in writing)  # asked first: what comes after has all been stored
            seen += stored(recorder_of(ledger), seen[-1][0] if seen else 0)
        assert seen == stored(recorder_of(ledger))
        assert len(seen) == sum(writer.result() for writer in writing)


def append_often(database: URL, stream: str) -> int:
    """The work of a writer: appends of a few events and of many; how many events."""
    version = 0
    with closing(Ledger(database)) as ledger:
        for nth in range(APPENDS):
            count = COPY_FROM_ROWS + 10 if nth % 2 else 3
            recorder_of(ledger).append([event(version + 1 + number, stream) for number in range(count)])
            version += count
    return version


def test_reading_the_log_beside_a_transaction_that_has_drawn_a_position_passes_none_by(
    ledger: Ledger, other: Ledger
) -> None:
    """A second append waits for the first, else the second's events would be seen, and the first's passed by."""
    with ThreadPoolExecutor(1) as pool:
        with recorder_of(ledger).append_lock() as appending:
            appending.insert([event(1)])
            second = pool.submit(recorder_of(other).append, [event(1, "campaign-2")])
            with pytest.raises(TimeoutError):
                second.result(timeout=0.1)
        second.result(timeout=TIMEOUT_S)
    assert [event for _, event in stored(recorder_of(ledger))] == [event(1), event(1, "campaign-2")]


def test_the_tail_inside_the_lock_holds_what_others_appended_meanwhile(ledger: Ledger, other: Ledger) -> None:
    recorder_of(ledger).append([event(1)])
    recorder_of(other).append([event(2), event(1, "campaign-2"), event(3)])
    with recorder_of(ledger).append_lock() as appending:
        assert [stored.originator_version for stored in appending.tail("campaign-1", 1)] == [2, 3]


def test_events_of_a_kind_are_those_of_all_its_versions(ledger: Ledger) -> None:
    sent = (
        b'{"recorded_at":"2025-03-04T11:00:00Z","position":0,"lead_id":100,"attempt":1,"token":"token-01","code":250}'
    )
    versions = [StoredEvent("campaign-1", number, f"EmailSent/{number}", sent) for number in (1, 2)]
    recorder_of(ledger).append([*versions, event(3)])

    assert [one.originator_version for _, one in ledger.histories.of_kinds("campaign-1", EmailSent)] == [1, 2]


def test_a_database_that_stays_locked_is_an_error_of_the_library_and_waiting_ends(
    database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner.store.sqlite, "BUSY_TIMEOUT_S", 0.05)
    monkeypatch.setattr(runner.store.postgres, "LOCK_TIMEOUT_S", 0.05)
    with closing(Ledger(database)) as ledger:
        with append_lock_held(database), pytest.raises(OperationalError, match=r"locked|lock timeout"):
            recorder_of(ledger).append([event(1)])
        recorder_of(ledger).append([event(1)])
        assert ledger.position() == 1
