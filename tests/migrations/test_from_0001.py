"""Given a ledger of revision 0001 with rows in every table, when it is brought to this program's schema, then what no
rebuild can bring back is there row for row, and the views follow the events anew.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, Engine, MetaData, Row, Table, insert, inspect, select, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import IntegrityError

from domain import events as e
from domain.snapshot import freeze
from migrations import run
from migrations.grants import grants
from projections import kept
from projections.database import engine_for, reading, writing
from projections.projector import Projector
from runner.store.ledger import Ledger
from runner.store.mapper import EventMapper
from tests.databases import on_postgresql
from tests.domain.given import NOON, refolded
from tests.faults.processes import ended, started
from tests.migrations.conftest import NewRole
from tests.projections import victims
from tests.projections.given import Runner, all_rows, projected, story, tables_of
from tests.projections.victims import Moment

FIRST = "0001"
EMAIL_SENT_THEN = "EmailSent/1"
NEW_COLUMNS = {"contacts": ("twin_of",)}


def history() -> list[e.Event]:
    """Of two campaigns and of a runner, without anything that the first program did not know."""
    runner = Runner()
    runner.says(e.RunnerStarted, host="one", pid=7, version="0.1.0")
    runner.says(e.TickStarted, sender="v2", tick_at=NOON, due=2)
    return [*story(), *runner.history]


HISTORY = history()
CONTACT: dict[str, Any] = {
    "campaign_id": 1,
    "lead_id": 100,
    "position": 0,
    "address": "Zoë@example.com",
    "address_key": "zoë@example.com",
    "address_hmac": "a" * 64,
    "salt": b"\x00\xff salt",
    "fields": '{"first_name": "Zoë"}',
    "revision": 1,
    "commitment": "c" * 64,
}
KEPT: dict[str, list[dict[str, Any]]] = {
    "ledger_info": [{"key": "id", "value": "a ledger of the first program"}],
    "contacts": [
        CONTACT,
        CONTACT | {"lead_id": 101, "position": 1, "address": "b@example.com", "address_key": "b@example.com"},
        CONTACT | {"campaign_id": 2},
    ],
    "contents": [
        {"campaign_id": 1, "version": 1, "digest": "d" * 64, "subject": "Hallo", "text": "Text", "html": None},
    ],
    "mailbox_identities": [
        {
            "name": "sales",
            "digest": "e" * 64,
            "from_name": "Anna",
            "from_address": "anna@example.com",
            "host": "mail.example.com",
            "port": 587,
            "tls": "starttls",
            "user": "anna",
            "password_ref": "env:PASSWORD",
            "allow_plaintext": 0,
            "connections": 1,
        }
    ],
    "kept_mails": [{"token": "token-0001", "campaign_id": 1, "lead_id": 100, "message": bytes(range(256))}],
    "replies": [{"campaign_id": 1, "lead_id": 100, "attempt": 1, "text": "250 2.0.0 OK\nżółw"}],
    "suppressed": [{"address_hmac": "f" * 64, "reason": "asked", "added_at": "2025-03-04", "actor": "anna"}],
    "snapshots": [
        {
            "stream": "campaign-1",
            "version": 3,
            "position": 4,
            "shape": "0" * 64,
            "state": freeze(refolded(HISTORY, "campaign-1")),
        }
    ],
}


@pytest.fixture
def first(empty: URL, engine: Engine) -> Iterator[Engine]:
    """A database as the first program left it. Its views stand where those of today stand after the same events."""
    old = engine_for(empty)
    projected(engine, HISTORY)
    with writing(old) as connection:
        bring_to(FIRST, connection)
    with writing(old) as connection:
        fill(connection, all_rows(engine))
    yield old
    old.dispose()


def test_every_table_of_the_first_program_has_rows(first: Engine) -> None:
    assert run.current(first.url) == FIRST
    with reading(first) as connection:
        empty = [name for name in inspect(connection).get_table_names() if not contents(connection, name)]
    assert empty == []


def test_what_no_rebuild_can_bring_back_is_there_row_for_row(first: Engine, engine: Engine) -> None:
    before = kept_rows(first)

    run.upgrade(first.url)

    run.require_head(first.url)
    assert tables_of(first) == tables_of(engine)
    assert kept_rows(first) == {
        name: [row + (None,) * len(NEW_COLUMNS.get(name, ())) for row in found] for name, found in before.items()
    }
    ledger = Ledger(first.url)
    assert [event for _, event in ledger.read(0, len(HISTORY) + 1)] == HISTORY
    ledger.close()


def test_the_views_are_made_anew_by_whoever_asks_next(first: Engine, engine: Engine) -> None:
    run.upgrade(first.url)
    ledger = Ledger(first.url)
    projector = Projector(first, ledger.read)
    assert projector.position == 0

    assert projector.catch_up() == len(HISTORY)

    assert projector.check() == []
    assert all_rows(first) == all_rows(engine)
    ledger.close()


def test_one_address_is_one_contact_still_and_only_a_twin_may_share_it(first: Engine) -> None:
    run.upgrade(first.url)
    another = CONTACT | {"lead_id": 107, "position": 7, "twin_of": None}

    with pytest.raises(IntegrityError), writing(first) as connection:
        connection.execute(kept.ADD_CONTACT, [another])
    with writing(first) as connection:
        connection.execute(kept.ADD_CONTACT, [another | {"twin_of": 100}])
        connection.execute(kept.ADD_CONTACT, [another | {"campaign_id": 3}])

    with reading(first) as connection:
        found = kept.contacts_by_address(connection, 1, ["zoë@example.com"])
    assert [row["lead_id"] for row in found.values()] == [100]


@pytest.mark.parametrize(
    "statement", ["ALTER TABLE send_log", "CREATE UNIQUE INDEX", "UPDATE alembic_version", "COMMIT"]
)
def test_an_upgrade_that_is_killed_leaves_the_first_schema_with_all_its_rows(first: Engine, statement: str) -> None:
    before, tables = whole(first), tables_of(first)
    first.dispose()

    assert ended(started(victims.killed_at, Moment(statement), run.upgrade, first.url)) == -signal.SIGKILL

    assert (whole(first), tables_of(first)) == (before, tables)
    run.upgrade(first.url)
    run.require_head(first.url)


@on_postgresql
def test_whoever_had_rights_has_them_on_what_is_new(first: Engine, new_role: NewRole) -> None:
    daemon, reader = new_role(), new_role()
    with writing(first) as connection:
        there = inspect(connection).get_table_names()
        for statement in list(grants(connection, daemon, reader)):
            on = re.match(r"GRANT .* ON (\w+) TO ", statement)
            if on is None or on[1] in there:  # the first program had no other
                connection.execute(text(statement))

    run.upgrade(first.url)

    with reading(first) as connection:
        for table in ("contacts", "campaigns", "cutovers"):
            for role, right, may in ((reader, "SELECT", True), (reader, "INSERT", False), (daemon, "UPDATE", True)):
                has = text("SELECT has_table_privilege(:role, :table, :right)")
                said = {"role": role, "table": table, "right": right}
                assert connection.execute(has, said).scalar_one() is may, said


def bring_to(revision: str, connection: Connection) -> None:
    config = run._config()
    config.attributes[run.CONNECTION] = connection
    command.upgrade(config, revision)


def fill(connection: Connection, seen: dict[str, list[dict[str, Any]]]) -> None:
    """Every table, with the columns that it had."""
    tables = MetaData()
    tables.reflect(connection)
    mapper = EventMapper()
    stored = [mapper.to_stored_event(event) for event in HISTORY]
    events = [
        {
            "originator_id": event.originator_id,
            "originator_version": event.originator_version,
            "topic": EMAIL_SENT_THEN if event.topic.startswith("EmailSent/") else event.topic,
            "state": event.state,
        }
        for event in stored
    ]
    for event in events:  # one by one: their positions are the order in which they came
        connection.execute(insert(tables.tables["stored_events"]), event)
    for name, rows in {**seen, **KEPT}.items():
        if name in tables.tables and name != "progress":
            add(connection, tables.tables[name], rows)
    connection.execute(text("UPDATE progress SET position = :position"), {"position": len(HISTORY)})


def add(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        connection.execute(insert(table), {name: value for name, value in row.items() if name in table.c})


def contents(connection: Connection, name: str) -> list[Row[Any]]:
    table = Table(name, MetaData(), autoload_with=connection)
    return list(connection.execute(select(table).order_by(*table.primary_key)))


def kept_rows(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    with reading(engine) as connection:
        return {name: [tuple(row) for row in contents(connection, name)] for name in KEPT}


def whole(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    with reading(engine) as connection:
        names = inspect(connection).get_table_names()
        return {name: [tuple(row) for row in contents(connection, name)] for name in names}
