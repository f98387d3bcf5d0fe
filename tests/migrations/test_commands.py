"""Given a database of another schema, when a user gives any command, then it says what mends that; and `db …` does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy.engine import URL
from typer.main import get_command

from migrations.run import current, head
from projections.database import engine_for
from runner.cli.app import app
from tests.cli.desk import BAD_INPUT, CAMPAIGN, DONE, FAILED, PEOPLE, Desk, Said
from tests.databases import Databases, on_sqlite
from tests.migrations.conftest import ADDS_A_COLUMN, NEWER, PRESENT, NewerProgram, of_a_newer_program
from tests.projections.conftest import desk_at
from tests.projections.given import all_rows, tables_of

NEEDS_NO_SCHEMA = {"audit check-proof", "audit schemas", "init", "sink", "db current", "db upgrade", "doctor"}
"""They make a ledger, use none, or are there for another schema."""

COMMANDS = {
    "audit key": "--make",
    "audit mail": "1 1",
    "audit person": "anna@customer.example",
    "audit prove": "1 1",
    "audit rules": "",
    "audit seal": "",
    "audit sends": "",
    "audit systems": "",
    "audit verify": "",
    "campaign cancel": "1",
    "campaign create": "autumn.toml",
    "campaign edit": "1 autumn.toml",
    "campaign list": "",
    "campaign pause": "1",
    "campaign preview": "1",
    "campaign resume": "1",
    "campaign retry": "1 --failed --reason mended",
    "campaign show": "1",
    "campaign start": "1",
    "campaign test": "1 --to anna@sender.example",
    "check": "",
    "compare accept": "1 --class SHIFT --where why=delay --reason tried --expires 2030-01-01 --at-most 1",
    "compare explain": "1 --lead 1",
    "compare run": "1",
    "cutover analyze": "1",
    "cutover fix": "1",
    "cutover history": "1",
    "cutover migrate": "1 --reason tried",
    "cutover owners": "",
    "cutover retire-v1": "",
    "cutover rollback": "1 --reason tried",
    "cutover use-v2": "1",
    "cutover verify": "1",
    "db check": "",
    "db copy": "--to postgresql://127.0.0.1/elsewhere",
    "db grant": "--reader anybody",
    "demo": "--folder .",
    "erase": "anna@customer.example --reason asked",
    "in-doubt list": "",
    "in-doubt resolve": "1 1 --sent --evidence log",
    "leads import": "1 leads.csv",
    "leads list": "1",
    "legacy follow": "sqlite:///old.db",
    "legacy import": "sqlite:///old.db --mailbox sales",
    "legacy takeover": "1 --old-sender-stopped --settle 0",
    "mailbox add": "sales --from anna@sender.example --smtp-host 127.0.0.1 --smtp-tls none",
    "mailbox days": "sales",
    "mailbox list": "",
    "mailbox pause": "sales",
    "mailbox resume": "sales",
    "mailbox set": "sales --daily-limit 7",
    "queue": "1",
    "rebuild": "",
    "replay at": "1 2026-11-18T10:15",
    "replay check": "1",
    "run": "",
    "runner register": "--reason moved",
    "sendlog": "",
    "shadow report": "1",
    "shadow start": "1",
    "shadow stop": "1",
    "status": "",
    "suppress add": "anna@customer.example",
    "suppress import": "leads.csv",
    "suppress list": "",
    "suppress remove": "anna@customer.example",
    "suppress token": "test",
    "tick": "v1",
    "ticks": "",
    "why": "1",
}
"""Each with what it needs to get as far as the database."""


@pytest.fixture(scope="module")
def untouched(all_databases: Databases) -> Iterator[dict[str, URL]]:
    """A ledger of this program and one of a newer one. Many tests share them: nothing ever changes in them."""
    with all_databases.within() as databases:
        yield {"this": databases.made(), "newer": of_a_newer_program(databases.made())}


@pytest.fixture
def office(tmp_path: Path, untouched: dict[str, URL], program: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A desk with a campaign's file, leads and a key, at one of these ledgers."""
    desk = desk_at(tmp_path, untouched[program], monkeypatch)
    monkeypatch.chdir(desk.folder)
    desk.write("autumn.toml", CAMPAIGN)
    desk.write("leads.csv", PEOPLE)
    desk.write("sendledger.key", "0123456789abcdef" * 4)
    yield desk
    structlog.reset_defaults()


@pytest.fixture
def looked(untouched: dict[str, URL], program: str) -> Iterator[Callable[[], object]]:
    """Looks at all that is in it."""
    engine = engine_for(untouched[program])
    yield lambda: (all_rows(engine), tables_of(engine))
    engine.dispose()


@pytest.mark.parametrize("program", ["this"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_database_of_an_older_program_is_refused_with_the_command_that_mends_it(
    office: Desk, looked: Callable[[], object], newer_program: NewerProgram, command: str
) -> None:
    newer_program(ADDS_A_COLUMN)
    before = looked()

    said = office.says(*f"{command} {COMMANDS[command]}".split())

    assert said == Said(
        BAD_INPUT,
        "",
        f"sendledger: the database has schema {PRESENT}, this program needs {NEWER}. "
        "Bring it up to date with `sendledger db upgrade`.\n",
    )
    assert looked() == before


@pytest.mark.parametrize("program", ["newer"])
@pytest.mark.parametrize("command", [*COMMANDS, "db upgrade"])
def test_a_database_of_a_newer_program_is_refused_for_good(
    office: Desk, looked: Callable[[], object], command: str
) -> None:
    before = looked()

    said = office.says(*f"{command} {COMMANDS.get(command, '')}".split())

    assert said == Said(
        BAD_INPUT,
        "",
        f"sendledger: the database has schema 9999, this program needs {head()}. "
        "A newer Sendledger made it: use that one, or a backup from before.\n",
    )
    assert looked() == before


@pytest.mark.parametrize("program", ["newer"])
def test_the_doctor_says_which_schema_there_is_and_leaves_the_rest(office: Desk, looked: Callable[[], object]) -> None:
    before = looked()
    said = office.says("doctor", "--format", "json")
    found = {row["check"]: row for row in json.loads(said.out)}
    assert (said.code, said.err) == (FAILED, "")
    assert found["schema"] == {
        "check": "schema",
        "verdict": "FAIL",
        "found": f"the database has schema 9999, this program needs {head()}.",
        "mend": "A newer Sendledger made it: use that one, or a backup from before.",
    }
    assert found["append-only"]["verdict"] == "OK"
    assert list(found)[-1] == "all else"
    assert looked() == before


def test_every_command_is_tried_on_another_schema() -> None:
    assert {*COMMANDS, *NEEDS_NO_SCHEMA} == set(names_of(get_command(app)))


def test_an_older_database_works_again_after_the_command_that_was_named(
    desk: Desk, newer_program: NewerProgram
) -> None:
    newer_program(ADDS_A_COLUMN)
    assert desk.done("db", "current") == f"database {PRESENT}, program {NEWER}\n"
    assert desk.says("status").code == BAD_INPUT

    assert desk.done("db", "upgrade") == f"The schema is {NEWER} now; it was {PRESENT}.\n"

    assert desk.done("db", "check") == f"The schema is {NEWER}, as this program needs it.\n"
    assert desk.says("status").code == DONE


def test_an_upgrade_can_be_tried_first(desk: Desk, database: URL, newer_program: NewerProgram) -> None:
    newer_program(ADDS_A_COLUMN)
    told = desk.done("db", "upgrade", "--dry-run")
    assert told == f"Would bring the schema from {PRESENT} to {NEWER}. Nothing was changed.\n"
    assert current(database) == PRESENT


def test_an_upgrade_twice_says_that_there_is_nothing_to_do(desk: Desk) -> None:
    for _ in range(2):
        assert desk.done("db", "upgrade") == f"The schema is {head()}: nothing to do.\n"
        assert desk.done("db", "upgrade", "--dry-run") == f"The schema is {head()}: nothing to do.\n"


@on_sqlite  # on a server, a database without any table is nobody's ledger yet
def test_an_empty_database_is_refused_until_it_is_upgraded(
    tmp_path: Path, empty: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = desk_at(tmp_path, empty, monkeypatch)
    current(empty)  # whoever looks makes the file
    assert desk.done("db", "current") == f"database none, program {head()}\n"
    assert "has schema none" in desk.says("status").err
    assert "`sendledger db upgrade`" in desk.says("db", "check").err

    assert desk.done("db", "upgrade") == f"The schema is {head()} now; it was none.\n"

    assert desk.says("status").code == DONE


@pytest.mark.parametrize("command", ["current", "check", "upgrade"])
def test_where_there_is_no_database_none_is_made(
    tmp_path: Path, empty: URL, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    desk = desk_at(tmp_path, empty, monkeypatch)
    for _ in range(2):
        said = desk.says("db", command)
        assert said.code == BAD_INPUT
        assert "there is no ledger at" in said.err
        assert "Make it with `sendledger init`." in said.err


def names_of(group: Any, *path: str) -> Iterator[str]:
    """All commands there are, with their groups."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from names_of(command, *path, name)
        else:
            yield " ".join((*path, name))
