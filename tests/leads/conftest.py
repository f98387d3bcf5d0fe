"""A fresh world for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrations.run import upgrade
from tests.leads.world import World


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty ledger with all tables and triggers, made once."""
    path = tmp_path_factory.mktemp("template") / "ledger.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def world(tmp_path: Path, template: Path) -> Iterator[World]:
    """A ledger with campaign 4, a draft without leads."""
    world = World(Path(shutil.copy(template, tmp_path / "ledger.db")))
    world.campaign()
    yield world
    world.close()
