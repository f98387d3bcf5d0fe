"""Given events on SQLite, when anybody tries to change, remove, replace or back-date one, then the table refuses,
on every connection there can be: the triggers must not depend on what a program has set up.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from projections.database import engine_for
from runner.store.ledger import Ledger
from tests.databases import on_sqlite
from tests.domain.given import running

pytestmark = on_sqlite

EVENTS = running(5).history
"""In the ledger: one of the mailbox, then three of the campaign."""

NEXT = len(EVENTS) + 1
LOWEST, HIGHEST = -(2**63), 2**63 - 1
FORGED = "('campaign-1', 2, 'Forged/1', x'7b7d')"
NEW = "('campaign-9', 1, 'Forged/1', x'7b7d')"
COLUMNS = "originator_id, originator_version, topic, state"


def insert(*rows: str, verb: str = "INSERT", columns: str = "", tail: str = "") -> str:
    return f"{verb} INTO stored_events {columns} VALUES {', '.join(rows)} {tail}"


def at(*places: int | str, verb: str = "INSERT", name: str = "rowid", tail: str = "") -> str:
    """New events of one stream at places that somebody has chosen."""
    rows = (f"({place}, 'campaign-9', {version}, 'Forged/1', x'7b7d')" for version, place in enumerate(places, start=1))
    return insert(*rows, verb=verb, columns=f"({name}, {COLUMNS})", tail=tail)


ATTACKS = {
    "update": "UPDATE stored_events SET state = x'7b7d' WHERE rowid = 2",
    "update to the same": "UPDATE stored_events SET topic = topic",
    "update or replace": "UPDATE OR REPLACE stored_events SET originator_version = 1 WHERE originator_version = 2",
    "update or ignore": "UPDATE OR IGNORE stored_events SET state = x'7b7d' WHERE rowid = 2",
    "move to another position": "UPDATE stored_events SET rowid = 99 WHERE rowid = 2",
    "delete": "DELETE FROM stored_events WHERE rowid = 2",
    "delete all": "DELETE FROM stored_events",
    "replace by key": insert(FORGED, verb="INSERT OR REPLACE"),
    "replace by key, in short": insert(FORGED, verb="REPLACE"),
    "replace all by themselves": "REPLACE INTO stored_events SELECT * FROM stored_events",
    "replace by rowid": at(2, verb="INSERT OR REPLACE"),
    "replace by rowid, by another name": at(2, verb="REPLACE", name="oid"),
    "replace by rowid in text": at("'2'", verb="REPLACE", name="_rowid_"),
    "replace the last by rowid": at(len(EVENTS), verb="REPLACE"),
    "upsert by key": insert(
        FORGED, tail="ON CONFLICT (originator_id, originator_version) DO UPDATE SET state = excluded.state"
    ),
    "upsert by rowid": at(2, tail="ON CONFLICT DO UPDATE SET state = excluded.state"),
    "insert or ignore by key": insert(FORGED, verb="INSERT OR IGNORE"),
    "insert or ignore by rowid": at(2, verb="INSERT OR IGNORE"),
    "insert or fail behind a good one": insert(NEW, FORGED, verb="INSERT OR FAIL"),
    "take a place that is taken": at(2),
    "back-dated before all": at(0),
    "negative": at(-7),
    "minus one, which triggers read as none": at(-1),
    "the lowest": at(LOWEST),
    "the highest": at(HIGHEST),
    "the highest, or ignore": at(HIGHEST, verb="INSERT OR IGNORE"),
    "the highest, or replace": at(HIGHEST, verb="REPLACE"),
    "leaving a gap": at(NEXT + 1),
    "leaving a gap behind a good one": at(NEXT, NEXT + 2),
}

Connect = Callable[[URL], AbstractContextManager[sqlite3.Connection]]


@contextmanager
def plain(url: URL) -> Iterator[sqlite3.Connection]:
    """As any other program opens the file."""
    with closing(sqlite3.connect(Path(url.database or ""))) as connection:
        yield connection


@contextmanager
def with_recursive_triggers(url: URL) -> Iterator[sqlite3.Connection]:
    """As the event store does: there REPLACE fires triggers against DELETE too."""
    with plain(url) as connection:
        connection.execute("PRAGMA recursive_triggers = ON")
        yield connection


@contextmanager
def of_the_views(url: URL) -> Iterator[sqlite3.Connection]:
    """As the projector does."""
    engine = engine_for(url)
    with closing(engine.raw_connection()) as connection:
        assert isinstance(connection.driver_connection, sqlite3.Connection)
        yield connection.driver_connection
    engine.dispose()


@pytest.fixture
def ledger(ledger: Ledger) -> Ledger:
    """It holds the events."""
    ledger.append(EVENTS)
    return ledger


def stored(url: URL) -> list[tuple[object, ...]]:
    """The events with their positions, as the file has them."""
    with plain(url) as connection:
        return connection.execute("SELECT rowid, * FROM stored_events ORDER BY rowid").fetchall()


@pytest.mark.parametrize("connect", [plain, with_recursive_triggers, of_the_views])
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_events_cannot_be_changed_removed_replaced_or_back_dated(
    database: URL, ledger: Ledger, attack: str, connect: Connect
) -> None:
    before = stored(database)

    with connect(database) as connection:
        with pytest.raises(sqlite3.IntegrityError, match="events are append-only"):
            connection.execute(attack)
        connection.commit()

    assert stored(database) == before
    assert [event for _, event in ledger.read(0, 99)] == EVENTS


def test_what_follows_a_refused_attack_stands_where_it_would_have(database: URL, ledger: Ledger) -> None:
    with plain(database) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute(ATTACKS["the highest"])
    ledger.append(running(5, number=2).history[1:])
    assert [row[0] for row in stored(database)] == list(range(1, NEXT + 3))


def test_an_attack_within_a_transaction_does_not_spoil_the_rest_of_it(database: URL, ledger: Ledger) -> None:
    with plain(database) as connection, connection:
        connection.execute(insert(NEW))
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(ATTACKS["replace by key"])
    assert ledger.position() == NEXT


@pytest.mark.usefixtures("ledger")
def test_positions_outlive_a_vacuum(database: URL) -> None:
    """It may renumber rows of a table without an integer key; a sequence without gaps from 1 it leaves as it is."""
    before = stored(database)
    with plain(database) as connection:
        connection.execute("VACUUM")
    assert stored(database) == before


@pytest.mark.usefixtures("ledger")
def test_positions_and_triggers_outlive_a_dump(database: URL, empty: URL) -> None:
    with plain(database) as old, plain(empty) as new:
        new.executescript("\n".join(old.iterdump()))
        with pytest.raises(sqlite3.IntegrityError, match="events are append-only"):
            new.execute(ATTACKS["replace by key"])
    assert stored(empty) == stored(database)
