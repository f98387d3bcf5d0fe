"""Errors of the database name no person: PostgreSQL tells the values of a row in DETAIL and CONTEXT, and logs and
terminals keep what they are told.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import psycopg
import pytest
import structlog
from eventsourcing.persistence import PersistenceError
from psycopg.sql import SQL, Identifier, Placeholder
from sqlalchemy import insert
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from projections import kept
from projections.bulk import COPY_FROM_ROWS
from projections.database import engine_for, writing
from runner.cli.context import ACTOR
from runner.logs import configure
from runner.settings import WHERE, new_settings
from runner.store.ledger import Ledger
from runner.store.postgres import connection_string
from tests.another_program import run
from tests.cli.desk import FAILED, Desk
from tests.databases import SECRET, on_postgresql
from tests.domain.given import digest, running

PERSON = "anna.kowalska@example.com"


@pytest.fixture
def contacts(ledger: Ledger) -> list[dict[str, Any]]:
    """Rows of contacts of which the last cannot be added: its address is in the campaign."""
    ledger.append(running(5).history)
    ledger.keep((kept.ADD_CONTACT, [contact(0, PERSON)]))
    others = [contact(number, f"other{number}@example.com") for number in range(1, COPY_FROM_ROWS)]
    return [*others, contact(COPY_FROM_ROWS, PERSON)]


def contact(number: int, address: str) -> dict[str, Any]:
    person = {"address": address, "address_key": address, "address_hmac": digest(number), "fields": "{}"}
    place = {"campaign_id": 1, "lead_id": number + 1, "position": number}
    return person | place | {"salt": b"salt", "revision": 0, "commitment": digest(number), "twin_of": None}


@pytest.fixture
def _other_logs() -> Iterator[None]:
    """What this process sets for its logs is forgotten."""
    yield
    structlog.reset_defaults()


def one_at_a_time(ledger: Ledger, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        ledger.keep((kept.ADD_CONTACT, [row]))


def all_at_once(ledger: Ledger, rows: list[dict[str, Any]]) -> None:
    ledger.keep((kept.ADD_CONTACT, rows))


def a_few_at_once(ledger: Ledger, rows: list[dict[str, Any]]) -> None:
    ledger.keep((kept.ADD_CONTACT, rows[-3:]))


def by_an_engine(ledger: Ledger, rows: list[dict[str, Any]]) -> None:
    engine = engine_for(ledger.url)
    try:
        with writing(engine) as connection:
            connection.execute(insert(kept.contacts), rows)
    finally:
        engine.dispose()


@on_postgresql
def test_the_database_itself_would_tell(contacts: list[dict[str, Any]], database: URL) -> None:
    """Else what follows would prove nothing."""
    names = SQL(", ").join(map(Identifier, contacts[-1]))
    marks = SQL(", ").join(map(Placeholder, contacts[-1]))
    statement = SQL("INSERT INTO contacts ({}) VALUES ({})").format(names, marks)
    with psycopg.connect(connection_string(database)) as connection, pytest.raises(psycopg.Error, match=PERSON):
        connection.execute(statement, contacts[-1])


@pytest.mark.usefixtures("_other_logs")
@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("add", [one_at_a_time, a_few_at_once, all_at_once, by_an_engine])
def test_neither_error_nor_traceback_nor_log_names_a_person(
    ledger: Ledger,
    contacts: list[dict[str, Any]],
    add: Callable[[Ledger, list[dict[str, Any]]], None],
    form: Literal["text", "json"],
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(form)
    try:
        add(ledger, contacts)
    except (PersistenceError, SQLAlchemyError) as error:
        structlog.get_logger().exception("a job failed")
        told = [str(error), repr(error), *traceback.format_exception(error), capsys.readouterr().err]
    assert re.search("contacts_one_per_address|contacts.address_key", told[0])  # what is wrong is told
    assert "a job failed" in told[-1]
    assert [text for text in told if PERSON in text or "Failing row" in text] == []


@pytest.mark.usefixtures("_other_logs")
def test_no_command_shows_a_person_when_the_database_refuses_a_row(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.append(running(5).history)
    ledger.keep((kept.ADD_CONTACT, [contact(0, PERSON) | {"campaign_id": 2}]))
    run(ledger.url, "CREATE UNIQUE INDEX in_one_campaign_only ON contacts (address)")
    (tmp_path / "sendledger.key").write_bytes(SECRET)
    (tmp_path / "sendledger.toml").write_text(new_settings(ledger.url.render_as_string(hide_password=False)))
    (tmp_path / "leads.csv").write_text(f"email\n{PERSON}\n")
    monkeypatch.setenv(WHERE, str(tmp_path / "sendledger.toml"))
    monkeypatch.setenv(ACTOR, "anna")
    said = Desk(tmp_path).says("leads", "import", "1", str(tmp_path / "leads.csv"))
    assert (said.code, said.out) == (FAILED, "")
    assert "the database failed: IntegrityError" in said.err
    assert PERSON not in said.err
