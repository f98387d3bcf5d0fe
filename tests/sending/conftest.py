"""Ledgers for the parts that send: an empty one, and a whole world with a mail server where mails must leave."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from migrations.run import upgrade
from runner.store.ledger import Ledger
from tests.faults.server import Server
from tests.faults.world import World


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
    """The ledger as another process would hold it."""
    ledger = Ledger(database)
    yield ledger
    ledger.close()


@pytest.fixture
def runners(tmp_path: Path) -> Path:
    """Where runners keep their own files."""
    folder = tmp_path / "runners"
    folder.mkdir()
    return folder


@pytest.fixture
def world(tmp_path: Path, template: Path) -> Iterator[World]:
    """A ledger and a mail server."""
    world = World(tmp_path, Server(tmp_path / "accepted"), template)
    yield world
    world.close()


@pytest.fixture
def log() -> Iterator[list[MutableMapping[str, Any]]]:
    """What this process logs meanwhile."""
    with capture_logs() as entries:
        yield entries
