"""Ledgers for the parts that send: an empty one, and a whole world with a mail server where mails must leave."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL
from structlog.testing import capture_logs

from runner.store.ledger import Ledger
from tests.faults.server import Server
from tests.faults.world import World


@pytest.fixture
def ledger(database: URL) -> Iterator[Ledger]:
    """The ledger of this process."""
    ledger = Ledger(database)
    yield ledger
    ledger.close()


@pytest.fixture
def other(database: URL) -> Iterator[Ledger]:
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
def world(tmp_path: Path, database: URL) -> Iterator[World]:
    """A ledger and a mail server."""
    world = World(tmp_path, Server(tmp_path / "accepted"), database)
    yield world
    world.close()


@pytest.fixture
def log() -> Iterator[list[MutableMapping[str, Any]]]:
    """What this process logs meanwhile."""
    with capture_logs() as entries:
        yield entries
