"""A fresh world for each test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL
from structlog.testing import capture_logs

import runner.sending.recording
from tests.faults.server import Server
from tests.faults.victim import RETRY_EVERY_S
from tests.faults.world import World

SIZE = "--fault-size"
DEFAULT_SIZE = 1


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        SIZE, type=int, default=DEFAULT_SIZE, help="So many times each test of random faults runs, each time otherwise."
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", f"sampled(every): on PostgreSQL only each so manieth case, unless {SIZE} is given"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The way of a mail is the same on both databases: by default one walks all of it, and the other takes samples."""
    if config.getoption(SIZE, DEFAULT_SIZE) > DEFAULT_SIZE or any("::" in asked for asked in config.args):
        return
    met: Counter[str] = Counter()
    for item in list(items):
        mark = item.get_closest_marker("sampled")
        if mark and isinstance(item, pytest.Function) and item.callspec.params["kind"] == "postgresql":
            met[item.originalname] += 1
            if met[item.originalname] % mark.args[0]:
                items.remove(item)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        # The default stands here too: when pytest meets this file only while it collects, there is no such option.
        metafunc.parametrize("seed", range(metafunc.config.getoption(SIZE, DEFAULT_SIZE)))


@pytest.fixture
def world(tmp_path: Path, database: URL) -> Iterator[World]:
    """A ledger and a mail server."""
    world = World(tmp_path, Server(tmp_path / "accepted"), database)
    yield world
    world.close()


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[MutableMapping[str, Any]]]:
    """What this process logs meanwhile."""
    monkeypatch.setattr(runner.sending.recording, "RETRY_EVERY_S", RETRY_EVERY_S)
    with capture_logs() as entries:
        yield entries
