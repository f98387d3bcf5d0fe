"""Databases for the tests of the views, by URL and as engines."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from projections.database import engine_for
from runner.settings import FILE_NAME, PREFIX, WHERE
from runner.store.ledger import Ledger
from tests.cli.desk import Desk
from tests.projections.databases import Databases, ledger_at

NewDatabase = Callable[[], Engine]


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Databases:
    """Makes databases, as often as it is asked."""
    return Databases(tmp_path_factory.mktemp("databases"))


@pytest.fixture(scope="session")
def new_database(databases: Databases) -> NewDatabase:
    """Makes an engine on an empty ledger of its own, as often as it is called; whoever calls it disposes of it."""
    return lambda: engine_for(databases.made())


@pytest.fixture
def database(databases: Databases) -> str:
    """The URL of an empty ledger with all tables."""
    return databases.made()


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    """An engine on it."""
    engine = engine_for(database)
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    """The real event store of that database."""
    ledger = ledger_at(database)
    yield ledger
    ledger.close()


@pytest.fixture
def desk(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A command line on that database."""
    return desk_at(tmp_path, database, monkeypatch)


def desk_at(folder: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A command line with settings in this folder that name the database at this URL, and none from this machine."""
    for name in os.environ:
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)
    settings = folder / FILE_NAME
    settings.write_text(f'database_url = "{url}"\n')
    monkeypatch.setenv(WHERE, str(settings))
    return Desk(folder)
