"""What all tests share: a database of each kind, as often as it is asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.engine import URL

from tests.databases import KINDS, Databases, Kind, PostgresDatabases, SqliteDatabases, postgres_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> URL:
    """A real PostgreSQL."""
    base = tmp_path_factory.getbasetemp()
    return postgres_server(base.parent if base.name.startswith("popen-") else base)


@pytest.fixture(scope="session", params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """The engine that a test runs on: it runs on each."""
    found: Kind = request.param
    return found


@pytest.fixture(scope="session")
def all_databases(
    kind: Kind, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Databases]:
    """Databases that stay until the tests on this engine are over."""
    if kind == "sqlite":
        databases: Databases = SqliteDatabases(tmp_path_factory.mktemp("databases"))
    else:
        databases = PostgresDatabases(request.getfixturevalue("server"))
    with databases.within():
        yield databases


@pytest.fixture
def databases(all_databases: Databases) -> Iterator[Databases]:
    """Databases that are gone when the test is over."""
    with all_databases.within():
        yield all_databases


@pytest.fixture
def database(databases: Databases) -> URL:
    """An empty ledger with all tables."""
    return databases.made()
