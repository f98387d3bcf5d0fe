"""An office that moves from the old application: a desk, the old database, and a mail server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

import runner.sending.recording
from projections.database import sqlite_url
from runner.sink import Sink
from tests.cli.conftest import desk_on_each, environment, folder, fresh_logs  # noqa: F401 - fixtures of those who use a desk
from tests.cli.desk import Desk
from tests.cutover.office import Office
from tests.databases import Databases
from tests.faults.server import Server
from tests.faults.victim import RETRY_EVERY_S
from tests.faults.world import World


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Sink]:
    """A mail server that takes everything."""
    with Sink(tmp_path / "mails") as sink:
        yield sink


@pytest.fixture
def office(desk_on_each: Desk, sink: Sink) -> Office:  # noqa: F811
    """With the sample in the old database, a file; nothing is taken in yet."""
    return Office.opened(desk_on_each, sqlite_url(desk_on_each.folder.parent / "old.db"), sink)


@pytest.fixture
def mended(office: Office) -> Office:
    """The campaign Zima is taken in and mended."""
    office.imports("Zima")
    office.fixes("Zima")
    return office


@pytest.fixture
def office_on_servers(desk_on_each: Desk, sink: Sink, databases: Databases) -> Office:  # noqa: F811
    """The old database is of the same kind as the ledger."""
    return Office.opened(desk_on_each, databases.empty(), sink)


@pytest.fixture
def world(tmp_path: Path, database: URL, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A ledger and a mail server for faults to strike."""
    monkeypatch.setattr(runner.sending.recording, "RETRY_EVERY_S", RETRY_EVERY_S)
    world = World(tmp_path, Server(tmp_path / "accepted"), database)
    yield world
    world.close()
