"""Databases for the tests of migrations: empty ones, made ones, and one that a newer program has made."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from alembic.config import Config
from sqlalchemy import Engine

import migrations.run
from projections.database import engine_for, writing
from tests.cli.desk import Desk
from tests.projections.conftest import desk_at
from tests.projections.databases import Databases

NEWER = "0002"
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


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Databases:
    """Makes databases, as often as it is asked."""
    return Databases(tmp_path_factory.mktemp("databases"))


@pytest.fixture
def empty(databases: Databases) -> str:
    """The URL of a database without any table."""
    return databases.empty()


@pytest.fixture
def database(databases: Databases) -> str:
    """The URL of a database with all tables."""
    return databases.made()


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    """An engine on it."""
    engine = engine_for(database)
    yield engine
    engine.dispose()


@pytest.fixture
def desk(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
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
def made_by_a_newer_program(engine: Engine) -> None:
    """The database bears a revision that this program does not have."""
    with writing(engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
