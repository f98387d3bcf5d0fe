"""Two ledgers on one fresh database: as this process holds it, and as another would."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from sqlalchemy.engine import URL
from structlog.testing import capture_logs

from runner.store.ledger import Ledger


@pytest.fixture
def ledger(database: URL) -> Iterator[Ledger]:
    """The ledger of this process."""
    ledger = Ledger(database)
    yield ledger
    ledger.close()


@pytest.fixture
def other(database: URL) -> Iterator[Ledger]:
    """The ledger as another process would hold it: the same database, states of its own."""
    ledger = Ledger(database)
    yield ledger
    ledger.close()


@pytest.fixture
def log() -> Iterator[list[MutableMapping[str, Any]]]:
    """What this process logs meanwhile."""
    with capture_logs() as entries:
        yield entries
