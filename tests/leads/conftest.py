"""A fresh world for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.leads.world import World


@pytest.fixture
def world(tmp_path: Path, database: URL) -> Iterator[World]:
    """A ledger with campaign 4, a draft without leads."""
    world = World(database, tmp_path)
    world.campaign()
    yield world
    world.close()
