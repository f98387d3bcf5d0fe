"""Given events on PostgreSQL, when anybody tries to change, remove, replace or back-date one, then the server refuses:
whoever may do everything by triggers that no setting passes by, and whoever sends by the rights it was given.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.errors import GeneratedAlways, InsufficientPrivilege
from sqlalchemy.engine import URL

from runner.store.ledger import Ledger
from runner.store.postgres import connection_string
from tests.databases import on_postgresql
from tests.domain.given import running
from tests.faults.processes import TIMEOUT_S, wait_until
from tests.migrations.conftest import NewRole, granted

pytestmark = on_postgresql

EVENTS = running(5).history
"""In the ledger: one of the mailbox, then three of the campaign."""

INTO = "INSERT INTO stored_events (originator_id, originator_version, topic, state)"
INTO_PLACE = "INSERT INTO stored_events (originator_id, originator_version, topic, state, notification_id)"
FORGED = "('campaign-1', 2, 'Forged/1', '{}')"
NEW = "('campaign-9', 1, 'Forged/1', '{}')"
AT_THE_BEGINNING = "('campaign-9', 1, 'Forged/1', '{}', -7)"
ON_CONFLICT = "ON CONFLICT (originator_id, originator_version)"
MERGE = (
    "MERGE INTO stored_events AS event USING (VALUES ('campaign-1', 2)) AS forged (id, version)"
    " ON event.originator_id = forged.id AND event.originator_version = forged.version WHEN MATCHED THEN"
)

CHANGES = {
    "update": "UPDATE stored_events SET state = '{}' WHERE notification_id = 2",
    "update of nothing": "UPDATE stored_events SET state = '{}' WHERE false",
    "update by a cursor": "DO $$ DECLARE c CURSOR FOR SELECT * FROM stored_events; r record; BEGIN OPEN c;"
    " FETCH c INTO r; UPDATE stored_events SET topic = '' WHERE CURRENT OF c; END $$",
    "delete": "DELETE FROM stored_events WHERE notification_id = 2",
    "delete all": "DELETE FROM stored_events",
    "truncate": "TRUNCATE stored_events",
    "truncate and begin again": "TRUNCATE stored_events RESTART IDENTITY CASCADE",
    "upsert": f"{INTO} VALUES {FORGED} {ON_CONFLICT} DO UPDATE SET state = '{{}}'",
    "upsert of what is not there": f"{INTO} VALUES {NEW} {ON_CONFLICT} DO UPDATE SET state = excluded.state",
    "merge that updates": f"{MERGE} UPDATE SET state = '{{}}'",
    "merge that deletes": f"{MERGE} DELETE",
    "update as a replica": "SET session_replication_role = replica; UPDATE stored_events SET state = '{}'",
    "delete as a replica": "SET session_replication_role = replica; DELETE FROM stored_events",
    "truncate as a replica": "SET session_replication_role = replica; TRUNCATE stored_events",
}
"""Refused to everybody, the owner and even a superuser."""

BACK_DATED = {
    "a place that is chosen": f"{INTO_PLACE} VALUES {AT_THE_BEGINNING}",
    "a place that is chosen, overriding": f"{INTO_PLACE} OVERRIDING SYSTEM VALUE VALUES {AT_THE_BEGINNING}",
    "the server's own counter": "SELECT setval('stored_events_notification_id_seq', 1, false)",
    "a number drawn for nothing": "SELECT nextval('stored_events_notification_id_seq')",
    "a counter that begins again": "ALTER TABLE stored_events ALTER notification_id RESTART WITH 1",
}
COPY_TO_PLACE = "COPY stored_events (originator_id, originator_version, topic, state, notification_id) FROM STDIN"
LET_THROUGH = "let through"

BROKEN_UP = {
    "disable triggers": "ALTER TABLE stored_events DISABLE TRIGGER ALL",
    "disable the trigger": "ALTER TABLE stored_events DISABLE TRIGGER stored_events_no_change",
    "drop the trigger": "DROP TRIGGER stored_events_no_change ON stored_events",
    "a trigger of its own": "CREATE TRIGGER mine BEFORE INSERT ON stored_events EXECUTE FUNCTION sendledger_refuse()",
    "another body of the function": "CREATE OR REPLACE FUNCTION sendledger_refuse() RETURNS trigger LANGUAGE plpgsql"
    " AS $$ BEGIN RETURN NEW; END $$",
    "drop the function": "DROP FUNCTION sendledger_refuse() CASCADE",
    "drop": "DROP TABLE stored_events",
    "alter": "ALTER TABLE stored_events ADD note text",
    "rename": "ALTER TABLE stored_events RENAME TO stored",
    "take it over": "ALTER TABLE stored_events OWNER TO CURRENT_USER",
    "a rule": "CREATE RULE mine AS ON INSERT TO stored_events DO INSTEAD NOTHING",
    "lock all others out": "BEGIN; LOCK TABLE stored_events IN SHARE MODE",
    "a table beside it": "CREATE TABLE mine (n int)",
    "the rights of the owner": "SET ROLE postgres",
    "play a replica": "SET session_replication_role = replica",
}


@pytest.fixture
def ledger(ledger: Ledger) -> Ledger:
    """It holds the events."""
    ledger.append(EVENTS)
    return ledger


@pytest.fixture
def daemon(database: URL, new_role: NewRole) -> URL:
    """The same database for a role that sends."""
    return granted(database, daemon=new_role())


@contextmanager
def connected(url: URL) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """As any other program opens the database."""
    with psycopg.connect(connection_string(url), autocommit=True) as connection:
        yield connection


def stored(url: URL) -> list[tuple[object, ...]]:
    """The events with their positions, as the table has them."""
    with connected(url) as connection:
        return connection.execute("SELECT * FROM stored_events ORDER BY notification_id").fetchall()


def answer(url: URL, attack: str) -> str:
    """What the server says to it."""
    with connected(url) as connection:
        try:
            connection.execute(attack)
        except (InsufficientPrivilege, GeneratedAlways) as refused:
            return str(refused)
    return LET_THROUGH


@pytest.mark.usefixtures("ledger")
def test_nobody_changes_removes_or_replaces_an_event(database: URL) -> None:
    before = stored(database)
    answers = {name: answer(database, attack) for name, attack in CHANGES.items()}
    assert {name: said for name, said in answers.items() if not said.startswith("events are append-only")} == {}
    assert stored(database) == before


@pytest.mark.usefixtures("ledger")
def test_whoever_sends_cannot_even_try_nor_back_date_nor_break_the_guard_up(database: URL, daemon: URL) -> None:
    before = stored(database)
    attacks = {**CHANGES, **BACK_DATED, **BROKEN_UP}
    assert [name for name, attack in attacks.items() if answer(daemon, attack) == LET_THROUGH] == []
    assert stored(database) == before


@pytest.mark.usefixtures("ledger")
def test_whoever_sends_cannot_copy_to_a_place_that_it_chose(database: URL, daemon: URL) -> None:
    """COPY takes a position that is given even where INSERT refuses it: only rights on columns hold it back."""
    before = stored(database)
    with (
        connected(daemon) as connection,
        pytest.raises(InsufficientPrivilege),
        connection.cursor().copy(COPY_TO_PLACE) as copy,
    ):
        copy.write_row(("campaign-9", 1, "Forged/1", b"{}", -7))
    assert stored(database) == before


@pytest.mark.usefixtures("ledger")
def test_the_owner_does_not_choose_a_place_by_accident(database: URL) -> None:
    before = stored(database)
    assert answer(database, BACK_DATED["a place that is chosen"]).startswith("cannot insert a non-DEFAULT value")
    assert stored(database) == before


def test_what_follows_refused_attacks_stands_where_it_would_have(database: URL, daemon: URL, ledger: Ledger) -> None:
    for attack in (*CHANGES.values(), *BACK_DATED.values()):
        assert answer(daemon, attack) != LET_THROUGH
    ledger.append(running(5, number=2).history[1:])
    assert [row[-1] for row in stored(database)] == list(range(1, len(EVENTS) + 4))
    assert [event for _, event in ledger.read(0, len(EVENTS))] == EVENTS


APPENDS = {
    "insert": f"{INTO} VALUES (%s, 1, 'Forged/1', '{{}}')",
    "insert of a query": f"{INTO} SELECT %s, 1, 'Forged/1', '{{}}'",
    "merge": "MERGE INTO stored_events USING (VALUES (%s::text)) AS new (id) ON originator_id = new.id WHEN NOT MATCHED"
    " THEN INSERT (originator_id, originator_version, topic, state) VALUES (new.id, 1, 'Forged/1', '{}')",
}


@pytest.mark.parametrize("how", APPENDS)
def test_whoever_appends_by_whatever_program_waits_for_whoever_appended_before(
    database: URL, daemon: URL, how: str
) -> None:
    """So positions are committed in their order: a reader that follows the log passes none by."""
    with ThreadPoolExecutor(1) as pool, connected(database) as first, connected(daemon) as second:
        with first.transaction():
            first.execute(APPENDS["insert"], ("campaign-8",))
            waiting = pool.submit(second.execute, APPENDS[how], ("campaign-9",))
            wait_until(lambda: waits(database))
            assert stored(database) == []
        waiting.result(TIMEOUT_S)
    assert [(row[0], row[-1]) for row in stored(database)] == [("campaign-8", 1), ("campaign-9", 2)]


def test_a_reader_that_follows_the_log_of_many_writers_misses_no_event(database: URL, daemon: URL) -> None:
    writers, each = 4, 25
    with ThreadPoolExecutor(writers) as pool, connected(database) as reader:
        writing = [pool.submit(append_one_by_one, daemon, f"campaign-{writer}", each) for writer in range(writers)]
        seen: list[int] = []
        while not all(writer.done() for writer in writing) or len(seen) < len(stored(database)):
            query = "SELECT notification_id FROM stored_events WHERE notification_id > %s ORDER BY 1"
            seen += [row[0] for row in reader.execute(query, (seen[-1] if seen else 0,))]  # type: ignore[misc]
        for writer in writing:
            writer.result()
    assert seen == list(range(1, writers * each + 1))


def append_one_by_one(url: URL, stream: str, events: int) -> None:
    with connected(url) as connection:
        for version in range(1, events + 1):
            connection.execute(f"{INTO} VALUES (%s, %s, 'Forged/1', '{{}}')", (stream, version))


def waits(url: URL) -> bool:
    """Does somebody wait for the append lock of this database?"""
    query = (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    with connected(url) as connection:
        [[number]] = connection.execute(query)
    return bool(number)
