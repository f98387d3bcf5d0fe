"""Given SQLite, when the revisions are applied, then each table and index is word for word the one of the code:
primary keys, tables without rowid and partial indexes too, which a comparison by columns does not see.
"""

from __future__ import annotations

import re

from sqlalchemy import Engine
from sqlalchemy.engine import URL

from migrations.run import target_metadata
from migrations.versions import r0001_first_ledger, r0003_seal
from projections.database import engine_for, reading, writing
from tests.databases import on_sqlite
from tests.projections.given import projected, story

pytestmark = on_sqlite


def test_tables_and_indexes_are_those_of_the_code(empty: URL, engine: Engine) -> None:
    assert statements(engine) == statements_of_the_code(empty)


def test_tables_and_indexes_are_those_of_the_code_after_a_rebuild(empty: URL, engine: Engine) -> None:
    projected(engine, story()).rebuild()
    assert statements(engine) == statements_of_the_code(empty)


def test_the_triggers_that_guard_the_events_are_there_before_and_after_a_rebuild(engine: Engine) -> None:
    guards = {normal(trigger) for of in (r0001_first_ledger, r0003_seal) for trigger in of.TRIGGERS["sqlite"]}
    assert triggers(engine) == guards
    projected(engine, story()).rebuild()
    assert triggers(engine) == guards


def statements(engine: Engine) -> set[str]:
    """How all tables and indexes were made."""
    query = "SELECT sql FROM sqlite_master WHERE type IN ('table', 'index') AND sql IS NOT NULL"
    with reading(engine) as connection:
        found = connection.exec_driver_sql(f"{query} AND name <> 'alembic_version'").scalars()
        return set(map(normal, found))


def statements_of_the_code(url: URL) -> set[str]:
    engine = engine_for(url)
    with writing(engine) as connection:
        for metadata in target_metadata("sqlite"):
            metadata.create_all(connection)
    found = statements(engine)
    engine.dispose()
    return found


def triggers(engine: Engine) -> set[str]:
    return {sql for _, sql in made(engine, "trigger")}


def made(engine: Engine, kind: str) -> set[tuple[str, str]]:
    """Names and statements of one kind."""
    query = "SELECT name, sql FROM sqlite_master WHERE type = ? AND sql IS NOT NULL"
    with reading(engine) as connection:
        return {(name, normal(sql)) for name, sql in connection.exec_driver_sql(query, (kind,))}


def normal(sql: str) -> str:
    """But for white space, and the quotes that a renamed table gets."""
    return re.sub(r"\s+", " ", sql.replace('"', "")).strip()
