"""Databases for the tests of migrations: empty ones, made ones, and one that a newer program has made."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from alembic.config import Config
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL

import migrations.run
from migrations.grants import grants
from projections.database import engine_for, writing
from runner.store.ledger import Ledger
from tests.cli.desk import Desk
from tests.databases import Databases, PostgresDatabases
from tests.projections.conftest import desk_at

OURS, NEWER = migrations.run.head(), "9000"
ADDS_A_COLUMN = "op.add_column('suppressed', sa.Column('note', sa.Text))"
REVISION = """
import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"


def upgrade() -> None:
    {does}
"""

NewerProgram = Callable[[str], None]
NewRole = Callable[[], str]


@pytest.fixture
def empty(databases: Databases) -> URL:
    """A database without any table."""
    return databases.empty()


@pytest.fixture
def engine(database: URL) -> Iterator[Engine]:
    """An engine on an empty ledger."""
    engine = engine_for(database)
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(database: URL) -> Iterator[Ledger]:
    """The event store on it."""
    ledger = Ledger(database)
    yield ledger
    ledger.close()


@pytest.fixture
def desk(tmp_path: Path, database: URL, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A command line on it."""
    yield desk_at(tmp_path, database, monkeypatch)
    structlog.reset_defaults()


@pytest.fixture
def newer_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NewerProgram:
    """From its call on, this program is one with one revision more, which does what is said."""
    folder = tmp_path / "migrations"
    shutil.copytree(Path(migrations.run.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))

    def config() -> Config:
        config = Config()
        config.set_main_option("script_location", str(folder))
        return config

    def make(does: str) -> None:
        text = REVISION.format(revision=NEWER, before=migrations.run.head(), does=does)
        (folder / "versions" / f"r{NEWER}_more.py").write_text(text)
        monkeypatch.setattr(migrations.run, "_config", config)

    return make


@pytest.fixture
def new_role(databases: Databases) -> NewRole:
    """Makes roles of a server, which may log in and nothing else."""
    assert isinstance(databases, PostgresDatabases)
    return databases.role


def granted(database: URL, *, daemon: str | None = None, reader: str | None = None) -> URL:
    """The database for one of these roles, which has its rights now."""
    engine = engine_for(database)
    with writing(engine) as connection:
        for statement in list(grants(connection, daemon, reader)):
            connection.execute(text(statement))
    engine.dispose()
    return database.set(username=daemon or reader)


def of_a_newer_program(database: URL) -> URL:
    """The database, which bears a revision from now on that this program does not have."""
    engine = engine_for(database)
    with writing(engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    return database
