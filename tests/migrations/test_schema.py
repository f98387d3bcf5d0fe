"""Given all revisions, when they are applied, then the tables are those of the code, and stay so after a rebuild."""

from __future__ import annotations

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, inspect

from migrations.run import _config, head, target_metadata
from projections import event_log, kept, views
from projections.database import reading
from projections.projector import Projector
from tests.projections.given import Log, projected, rows, story

OF_ALEMBIC = "alembic_version"


def test_the_sum_of_all_revisions_is_the_tables_of_the_code(engine: Engine) -> None:
    assert differences(engine) == []


def test_a_rebuild_makes_the_tables_that_the_revisions_made(engine: Engine) -> None:
    projected(engine, story()).rebuild()
    assert differences(engine) == []


def test_every_table_is_the_log_or_kept_or_a_view(engine: Engine) -> None:
    assert not kept.METADATA.tables.keys() & views.METADATA.tables.keys()
    log = event_log.METADATA[engine.dialect.name].tables.keys()
    known = log | kept.METADATA.tables.keys() | views.METADATA.tables.keys()
    assert set(inspect(engine).get_table_names()) == known | {OF_ALEMBIC}


def test_the_views_of_a_new_ledger_hold_for_none_of_its_events(engine: Engine) -> None:
    assert rows(engine, "progress") == [{"id": views.PROGRESS_ID, "position": 0}]
    assert Projector(engine, Log().read).check() == []


def test_revisions_are_one_line_in_files_that_bear_their_numbers() -> None:
    line = list(ScriptDirectory.from_config(_config()).walk_revisions())[::-1]
    assert line[-1].revision == head()
    assert [script.down_revision for script in line] == [None, *(script.revision for script in line[:-1])]
    assert sorted(script.revision for script in line) == [script.revision for script in line]
    for script in line:
        assert Path(script.path).name.startswith(f"r{script.revision}_")


def differences(engine: Engine) -> list[object]:
    """What Alembic would write into the next revision."""
    with reading(engine) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, everything(engine.dialect.name)))


def everything(dialect: str) -> MetaData:
    """All tables of the code in one."""
    together = MetaData()
    for metadata in target_metadata(dialect):
        for table in metadata.tables.values():
            table.to_metadata(together)
    return together
