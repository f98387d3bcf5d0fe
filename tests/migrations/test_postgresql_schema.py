"""Given PostgreSQL, when the revisions are applied, then columns, constraints and indexes are those of the code to the
letter, as the server's own catalogue has them: collations and identities too, which a comparison by columns does not
see. The same after a rebuild.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from migrations.run import target_metadata
from projections.database import engine_for, reading, writing
from tests.databases import on_postgresql
from tests.projections.given import projected, story

pytestmark = on_postgresql

COLUMNS = """
SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attcollation::regcollation::text,
    attnotnull, attidentity, pg_get_expr(adbin, adrelid)
FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE attrelid IN (SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace)
    AND attnum > 0 AND NOT attisdropped
"""
CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
"""
INDEXES = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
TRIGGERS = """
SELECT tgname, tgenabled, pg_get_triggerdef(pg_trigger.oid), prosrc FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid
WHERE NOT tgisinternal
"""
ALWAYS = "A"


@pytest.fixture
def of_the_code(empty: URL) -> Iterator[Engine]:
    """A database whose tables were made by what stands in the code."""
    engine = engine_for(empty)
    with writing(engine) as connection:
        for metadata in target_metadata("postgresql"):
            metadata.create_all(connection)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("query", [COLUMNS, CONSTRAINTS, INDEXES], ids=["columns", "constraints", "indexes"])
def test_the_catalogue_is_that_of_the_code_before_and_after_rebuilds(
    engine: Engine, of_the_code: Engine, query: str
) -> None:
    assert told(engine, query) == told(of_the_code, query)
    projector = projected(engine, story())
    for _ in range(2):
        projector.rebuild()
        assert told(engine, query) == told(of_the_code, query)


def test_the_triggers_that_guard_the_events_fire_always_and_outlive_a_rebuild(engine: Engine) -> None:
    guards = told(engine, TRIGGERS)
    assert {(name, enabled) for name, enabled, *_ in guards} == {
        ("stored_events_no_change", ALWAYS),
        ("stored_events_append_lock", ALWAYS),
        ("checkpoints_no_change", ALWAYS),
    }
    projected(engine, story()).rebuild()
    assert told(engine, TRIGGERS) == guards


def told(engine: Engine, query: str) -> set[tuple[object, ...]]:
    """But for the table that belongs to Alembic."""
    with reading(engine) as connection:
        return {tuple(row) for row in connection.exec_driver_sql(query) if row[0] != "alembic_version"}
