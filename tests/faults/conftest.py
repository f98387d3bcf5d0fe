"""A fresh world for each test."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

import runner.sending.recording
from migrations.run import upgrade
from tests.faults.server import Server
from tests.faults.victim import RETRY_EVERY_S
from tests.faults.world import World

SIZE = "--fault-size"
DEFAULT_SIZE = 1


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        SIZE, type=int, default=DEFAULT_SIZE, help="So many times each test of random faults runs, each time otherwise."
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        # The default stands here too: when pytest meets this file only while it collects, there is no such option.
        metafunc.parametrize("seed", range(metafunc.config.getoption(SIZE, DEFAULT_SIZE)))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty ledger with all tables and triggers, made once."""
    path = tmp_path_factory.mktemp("template") / "ledger.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def world(tmp_path: Path, template: Path) -> Iterator[World]:
    """A ledger and a mail server."""
    world = World(tmp_path, Server(tmp_path / "accepted"), template)
    yield world
    world.close()


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[MutableMapping[str, Any]]]:
    """What this process logs meanwhile."""
    monkeypatch.setattr(runner.sending.recording, "RETRY_EVERY_S", RETRY_EVERY_S)
    with capture_logs() as entries:
        yield entries
