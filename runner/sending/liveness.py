"""Which runners live: each process start holds locks of its own, which no crash can leave behind.

On its own machine it is a kernel lock on a file. A stopped process (SIGSTOP) keeps it, and so its mails: it may wake
and record what it did. Where many machines share a PostgreSQL server, it is an advisory lock there too, on a
connection of its own. That one a broken network sets free although the runner lives and waits for an answer to its
dot: so a runner on another machine counts as gone only when the longest wait for a mail server is over too.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Collection
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Protocol, Self

import psycopg
import structlog
from psycopg.sql import SQL
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL

from domain.rules import LONGEST_HOLD
from projections.database import POSTGRESQL, is_sqlite
from runner.smtp.server import DOT_TIMEOUT_S
from runner.store.postgres import connect

RUNNER_ID_BYTES = 6
"""Short enough for the key of an advisory lock, which has 8."""
SUFFIX = ".lock"
LONGEST_WAIT = LONGEST_HOLD + timedelta(seconds=DOT_TIMEOUT_S) + timedelta(minutes=1)
"""From a lock to the end of the last wait for the server's answer, with a minute for two clocks that differ."""

HOLD = SQL("SELECT pg_try_advisory_lock(%s)")
IS_FREE = SQL("SELECT pg_try_advisory_xact_lock(%s)")
CLAIM = SQL("SELECT pg_try_advisory_lock(1397507397, %s)")
RELEASE = SQL("SELECT pg_advisory_unlock(1397507397, %s)")
BEAT = SQL("SELECT 1")
HELD_ON_SERVER = text(
    "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks"
    " WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
"""The keys of all advisory locks of one bigint, as runners take them."""

log = structlog.get_logger()


class Liveness:
    """One process start, and what it can tell of others. `with Liveness(…) as alive:` it counts as living."""

    def __init__(self, folder: Path, url: URL) -> None:
        self.runner = secrets.token_hex(RUNNER_ID_BYTES)
        self._folder = folder
        self._server: _Server = _NoServer() if is_sqlite(url) else _ServerLocks(url, self.runner)
        self._held = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(_FileLock(self._folder / f"{self.runner}{SUFFIX}"))
            stack.callback(self._server.close)
            self._server.hold()
            self._held = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def beat(self) -> None:
        """Take the server's lock again, if the connection was lost."""
        self._server.hold()

    def claim(self, campaign: int) -> bool:
        """Say that we work on a campaign; False when another runner does. A courtesy: the append decides."""
        return self._server.claim(campaign)

    def release(self, campaign: int) -> None:
        """We do not work on it any more."""
        self._server.release(campaign)

    def is_gone_here(self, runner: str) -> bool:
        """Is that process of this machine over? True for one whose lock is free or whose file is gone."""
        return not (self._folder / f"{runner}{SUFFIX}").exists() or _is_free(self._folder / f"{runner}{SUFFIX}")

    def is_gone(self, runner: str, locked_at: datetime, now: datetime) -> bool:
        """Can what that runner locked then have no outcome any more but from its journal?"""
        file = self._folder / f"{runner}{SUFFIX}"
        if file.exists():
            return _is_free(file)
        return self._server.is_gone(runner, now - locked_at)


def living(folder: Path, connection: Connection, runners: Collection[str]) -> set[str]:
    """Which of these live: they hold their lock here, or on the server that many machines share. Takes no lock."""
    here = {runner for runner in runners if not _is_free(folder / f"{runner}{SUFFIX}")}
    if connection.dialect.name != POSTGRESQL:
        return here
    held = set(connection.execute(HELD_ON_SERVER).scalars())
    return here | {runner for runner in runners if _key(runner) in held}


def all_living(folder: Path, connection: Connection) -> set[str]:
    """Every runner that holds its lock, here or on the server. Takes no lock."""
    here = {path.stem for path in folder.glob(f"*{SUFFIX}") if not _is_free(path)}
    if connection.dialect.name != POSTGRESQL:
        return here
    return here | {_runner(key) for key in connection.execute(HELD_ON_SERVER).scalars()}


class _Server(Protocol):
    def hold(self) -> None: ...
    def claim(self, campaign: int) -> bool: ...
    def release(self, campaign: int) -> None: ...
    def is_gone(self, runner: str, since: timedelta) -> bool: ...
    def close(self) -> None: ...


class _NoServer:
    """An SQLite file belongs to one machine: the kernel's locks tell everything."""

    def hold(self) -> None:
        pass

    def claim(self, _campaign: int) -> bool:
        return True

    def release(self, _campaign: int) -> None:
        pass

    def is_gone(self, _runner: str, _since: timedelta) -> bool:
        return True

    def close(self) -> None:
        pass


class _ServerLocks:
    """Advisory locks on a connection that does nothing else."""

    def __init__(self, url: URL, runner: str) -> None:
        self._url = url
        self._runner = runner
        self._connection: psycopg.Connection | None = None
        self._is_held = False
        self._lock = Lock()

    def hold(self) -> None:
        with self._lock:
            if self._connection is None or not self._answers():
                self.close()
                self._connection = connect(self._url)
            if not self._is_held:
                self._is_held = self._ask(HOLD, _key(self._runner), otherwise=False)
                if not self._is_held:
                    log.warning("the server still holds the lock of a lost connection", runner=self._runner)

    def claim(self, campaign: int) -> bool:
        with self._lock:
            return self._ask(CLAIM, campaign, otherwise=True)

    def release(self, campaign: int) -> None:
        with self._lock:
            self._ask(RELEASE, campaign, otherwise=True)

    def is_gone(self, runner: str, since: timedelta) -> bool:
        with self._lock:
            return since > LONGEST_WAIT and self._ask(IS_FREE, _key(runner), otherwise=False)

    def close(self) -> None:
        self._is_held = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, question: SQL, value: int, *, otherwise: bool) -> bool:
        """`otherwise`: what to believe while the connection is lost; the next beat mends it."""
        if self._connection is None:
            return otherwise
        try:
            row = self._connection.execute(question, (value,)).fetchone()
        except psycopg.OperationalError:
            return otherwise
        return bool(row and row[0])

    def _answers(self) -> bool:
        try:
            assert self._connection is not None  # noqa: S101 — for the type checker; the caller has looked
            self._connection.execute(BEAT)
        except psycopg.OperationalError:
            return False
        return True


class _FileLock:
    """A kernel lock on a file of its own, from `__enter__` to the end of the process or `__exit__`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def __enter__(self) -> Self:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def _is_free(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _key(runner: str) -> int:
    return int(runner, 16)


def _runner(key: int) -> str:
    return f"{key:0{2 * RUNNER_ID_BYTES}x}"
