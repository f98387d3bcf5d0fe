"""A desk for each test, and a mail server that files what it is given."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from runner.sink import RefuseRule, Sink
from tests.cli.desk import Desk

REFUSED = (RefuseRule("gone@customer.example"), RefuseRule("shy@customer.example", 1))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """An empty folder to work in."""
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return Desk(folder)


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
