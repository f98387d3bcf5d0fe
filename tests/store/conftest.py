"""A fresh database for each test, with the tables and triggers that ship."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrations.run import upgrade
from runner.store.ledger import Ledger


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty ledger, made once."""
    path = tmp_path_factory.mktemp("template") / "ledger.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def database(tmp_path: Path, template: Path) -> Path:
    """An empty ledger."""
    return Path(shutil.copy(template, tmp_path / "ledger.db"))


@pytest.fixture
def ledger(database: Path) -> Iterator[Ledger]:
    """The ledger of this process."""
    ledger = Ledger(database)
    yield ledger
    ledger.close()


@pytest.fixture
def other(database: Path) -> Iterator[Ledger]:
    """The ledger as another process would hold it: the same file, states of its own."""
    ledger = Ledger(database)
    yield ledger
    ledger.close()
