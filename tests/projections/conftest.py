"""Ledgers and engines for the tests of the views, on databases of each kind."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from projections.database import engine_for
from runner.settings import FILE_NAME, PREFIX, WHERE
from runner.store.ledger import Ledger
from tests.cli.desk import Desk
from tests.databases import Databases
from tests.projections.given import emptied


@pytest.fixture(scope="module")
def shared_engine(all_databases: Databases) -> Iterator[Engine]:
    """An engine on a ledger without events, whose views many tests fill."""
    with all_databases.within() as databases:
        engine = engine_for(databases.made())
        yield engine
        engine.dispose()


@pytest.fixture
def engine(shared_engine: Engine) -> Engine:
    """Empty views. A database of its own for each test would cost more than most tests."""
    return emptied(shared_engine)


@pytest.fixture
def own_engine(database: URL) -> Iterator[Engine]:
    """An engine on the ledger of `ledger`."""
    engine = engine_for(database)
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(database: URL) -> Iterator[Ledger]:
    """The real event store of that database."""
    ledger = Ledger(database)
    yield ledger
    ledger.close()


@pytest.fixture
def desk(tmp_path: Path, database: URL, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A command line on that database."""
    return desk_at(tmp_path, database, monkeypatch)


def desk_at(folder: Path, url: URL, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A command line with settings in this folder that name this database, and none from this machine."""
    for name in os.environ:
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)
    settings = folder / FILE_NAME
    settings.write_text(f"database_url = {json.dumps(url.render_as_string(hide_password=False))}\n")
    monkeypatch.setenv(WHERE, str(settings))
    return Desk(folder)
