"""A desk for each test, and a mail server that files what it is given."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import structlog
from psycopg.sql import SQL, Identifier

from runner.settings import load_settings
from runner.sink import RefuseRule, Sink
from runner.store.postgres import connection_string
from tests.cli.desk import MONDAY, Desk
from tests.databases import Databases, Kind

REFUSED = (RefuseRule("gone@customer.example"), RefuseRule("shy@customer.example", 1))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def desk(folder: Path) -> Desk:
    """With a ledger in a file there."""
    return Desk(folder)


@pytest.fixture
def desk_on_each(folder: Path, kind: Kind, databases: Databases, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """With a ledger in a file there, and with one on a server."""
    if kind == "sqlite":
        return Desk(folder)
    server = databases.empty()
    monkeypatch.setenv("SENDLEDGER_DATABASE_URL", server.render_as_string(hide_password=False))
    return Desk(folder, server)


@pytest.fixture(autouse=True, scope="module")
def environment() -> Iterator[None]:
    """No settings from this machine's environment, and always the same actor."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.upper().startswith("SENDLEDGER_"):
                patch.delenv(name)
        patch.setenv("SENDLEDGER_ACTOR", "anna")
        yield


@pytest.fixture(autouse=True, scope="module")
def fresh_logs() -> Iterator[None]:
    """Each command logs to its own standard error: here many of them share the process that a user has for one."""
    configure = structlog.configure

    def configure_anew(**said: Any) -> None:
        configure(**{**said, "cache_logger_on_first_use": False})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "configure", configure_anew)
        yield
    structlog.reset_defaults()


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Sink]:
    """A mail server that refuses one address for good and one at first."""
    with Sink(tmp_path / "mails", refuse=REFUSED) as sink:
        yield sink


@pytest.fixture
def office(desk: Desk, databases: Databases) -> Desk:
    """A desk with a ledger in a database of each kind, made as a user makes it; simulated time, a Monday morning."""
    url = databases.empty().render_as_string(hide_password=False)
    desk.done("init", "--simulated", "--start", f"{MONDAY}T10:00+02:00", "--database-url", url)
    return desk


@pytest.fixture
def new_role(office: Desk) -> Iterator[str]:  # noqa: ARG001 - in whose database it is given rights
    """A role that may log in and nothing else; gone when the test is over, with all that it was given."""
    name = Identifier(role := f"role_{uuid4().hex[:16]}")
    with psycopg.connect(connection_string(load_settings().url), autocommit=True) as connection:
        connection.execute(SQL("CREATE ROLE {} LOGIN").format(name))
        yield role
        for statement in ("REASSIGN OWNED BY {} TO CURRENT_USER", "DROP OWNED BY {}", "DROP ROLE {}"):
            connection.execute(SQL(statement).format(name))
