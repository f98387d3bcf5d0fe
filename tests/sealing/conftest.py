"""A sealed ledger for each test, on a database of each kind, and somebody who changes it below its triggers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from runner.store.ledger import Ledger
from tests.sealing.given import SealedLedger


@pytest.fixture
def ledger(database: URL) -> Iterator[Ledger]:
    """The event store, empty."""
    ledger = Ledger(database)
    yield ledger
    ledger.close()


@pytest.fixture
def sealed(ledger: Ledger, tmp_path: Path) -> SealedLedger:
    """Eighteen events, sealed at 6, 12 and 16 of them."""
    return SealedLedger(ledger, tmp_path)
