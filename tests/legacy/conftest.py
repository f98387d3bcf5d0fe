"""The old application's database, new for each test."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import URL

from tests.databases import Databases


@pytest.fixture
def old_url(databases: Databases) -> URL:
    """An empty database for the old application."""
    return databases.empty()
