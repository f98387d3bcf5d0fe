"""Histories for replays: a ledger and a mail server, on which the daemon itself writes them in simulated time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.faults.server import Server
from tests.faults.world import World


@pytest.fixture
def world(tmp_path: Path, database: URL) -> Iterator[World]:
    """A ledger and a mail server."""
    world = World(tmp_path, Server(tmp_path / "accepted"), database)
    yield world
    world.close()
