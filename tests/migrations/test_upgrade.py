"""Given a database, when it is brought to the schema of this program, then all of that is done or none of it."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
from sqlalchemy import Engine, inspect
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError

from migrations.run import SchemaMismatch, current, head, require_head, upgrade
from projections.database import engine_for, reading, writing
from projections.kept import SUPPRESS, suppressed
from runner.store.ledger import Ledger
from tests.faults.processes import ended, started
from tests.migrations.conftest import ADDS_A_COLUMN, NEWER, OURS, NewerProgram, of_a_newer_program
from tests.projections import victims
from tests.projections.given import all_rows, projected, story, tables_of
from tests.projections.victims import Moment

STORY = story()
SOMEBODY = {"address_hmac": "f" * 64, "reason": "asked for it", "added_at": "2025-03-04", "actor": "anna"}


def test_an_empty_database_gets_all_tables(empty: URL, database: URL) -> None:
    assert current(empty) is None
    upgrade(empty)
    assert current(empty) == head()
    require_head(empty)
    assert tables_at(empty) == tables_at(database)


def test_an_upgrade_of_what_is_up_to_date_changes_nothing(database: URL, engine: Engine) -> None:
    fill(database, engine)
    rows, tables, kept = all_rows(engine), tables_of(engine), people(engine)

    upgrade(database)
    upgrade(database)

    assert current(database) == head()
    assert (all_rows(engine), tables_of(engine), people(engine)) == (rows, tables, kept)
    assert stored(database) == STORY


@pytest.mark.parametrize("statement", ["CREATE TABLE ticks", "CREATE TRIGGER", "INSERT INTO alembic_version", "COMMIT"])
def test_an_upgrade_that_is_killed_leaves_nothing_and_the_next_one_is_whole(
    empty: URL, database: URL, statement: str
) -> None:
    assert ended(started(victims.killed_at, Moment(statement), upgrade, empty)) == -signal.SIGKILL
    assert tables_at(empty) == {}

    upgrade(empty)

    assert tables_at(empty) == tables_at(database)


def test_two_upgrades_at_once_are_harmless(empty: URL, database: URL) -> None:
    both = [started(upgrade, empty) for _ in range(2)]
    assert [ended(process) for process in both] == [0, 0]
    assert tables_at(empty) == tables_at(database)


def test_an_upgrade_that_meets_a_strange_table_leaves_all_as_it_was(empty: URL) -> None:
    engine = engine_for(empty)
    with writing(engine) as connection:
        connection.exec_driver_sql("CREATE TABLE ticks (nonsense INTEGER)")
    before = tables_of(engine)

    with pytest.raises(DatabaseError, match="ticks"):
        upgrade(empty)

    assert tables_of(engine) == before
    assert current(empty) is None
    engine.dispose()


def test_an_older_database_gets_only_what_is_missing(
    database: URL, engine: Engine, newer_program: NewerProgram
) -> None:
    fill(database, engine)
    rows, kept = all_rows(engine), people(engine)
    newer_program(ADDS_A_COLUMN)

    with pytest.raises(SchemaMismatch, match="sendledger db upgrade"):
        require_head(database)
    upgrade(database)

    require_head(database)
    assert "note" in {column["name"] for column in inspect(engine).get_columns("suppressed")}
    assert (all_rows(engine), people(engine)) == (rows, kept)
    assert stored(database) == STORY


def test_a_revision_that_fails_leaves_the_older_schema_and_its_rows(
    database: URL, engine: Engine, newer_program: NewerProgram
) -> None:
    fill(database, engine)
    rows, tables = all_rows(engine), tables_of(engine)
    newer_program(f"{ADDS_A_COLUMN}; op.drop_table('replies'); op.drop_table('nobody')")

    with pytest.raises(DatabaseError, match="nobody"):
        upgrade(database)

    assert current(database) == OURS
    assert (all_rows(engine), tables_of(engine)) == (rows, tables)


def test_an_older_schema_is_refused_with_the_command_that_mends_it(
    empty: URL, database: URL, newer_program: NewerProgram
) -> None:
    with pytest.raises(SchemaMismatch) as refused:
        require_head(empty)
    assert (refused.value.found, refused.value.wanted) == (None, head())
    assert str(refused.value) == (
        f"the database has schema none, this program needs {head()}. Bring it up to date with `sendledger db upgrade`."
    )

    found = head()
    newer_program(ADDS_A_COLUMN)
    with pytest.raises(SchemaMismatch) as refused:
        require_head(database)
    assert (refused.value.found, refused.value.wanted) == (found, NEWER)


@pytest.mark.parametrize("ask", [require_head, upgrade])
def test_a_newer_schema_is_refused_and_stays_as_it_is(
    database: URL, engine: Engine, ask: Callable[[URL], None]
) -> None:
    of_a_newer_program(database)
    tables = tables_of(engine)

    with pytest.raises(
        SchemaMismatch, match=r"has schema 9999, .* A newer Sendledger made it: use that one"
    ) as refused:
        ask(database)

    assert "db upgrade" not in str(refused.value)
    assert current(database) == "9999"
    assert tables_of(engine) == tables


def fill(url: URL, engine: Engine) -> None:
    """A ledger with its story, views that have followed, and somebody whom only a kept table knows."""
    ledger = Ledger(url)
    ledger.append(STORY)
    ledger.close()
    projected(engine, STORY)
    with writing(engine) as connection:
        connection.execute(SUPPRESS, [SOMEBODY])


def stored(url: URL) -> list[object]:
    ledger = Ledger(url)
    found: list[object] = [event for _, event in ledger.read(0, len(STORY) + 1)]
    ledger.close()
    return found


def people(engine: Engine) -> list[tuple[object, ...]]:
    with reading(engine) as connection:
        return [tuple(row) for row in connection.execute(suppressed.select())]


def tables_at(url: URL) -> dict[str, object]:
    engine = engine_for(url)
    found = tables_of(engine)
    engine.dispose()
    return found
