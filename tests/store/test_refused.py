"""Refused at start, with the reason: a database that may forget what it has reported stored."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from eventsourcing.persistence import PersistenceError
from sqlalchemy.engine import URL

import runner.store.sqlite
from projections.database import sqlite_url
from runner.store.ledger import Ledger
from runner.store.postgres import (
    DB_FUNCTIONS,
    IDLE_TIMEOUT_S,
    LOCK_TIMEOUT_S,
    OLDEST_VERSION,
    _require_durable,
    connect,
)
from runner.store.recorder import UnsafeDatabase
from runner.store.sqlite import NETWORK_FILE_SYSTEMS, require_local
from tests.another_program import end_connections, run
from tests.databases import on_postgresql, on_sqlite

SOUND = {"version": OLDEST_VERSION, "fsync": "on", "synchronous_commit": "on"}


def opened(url: URL) -> None:
    Ledger(url).close()


# --- PostgreSQL ---


@on_postgresql
def test_a_database_that_does_not_wait_for_its_disk_is_refused(database: URL) -> None:
    run(database, f'ALTER DATABASE "{database.database}" SET synchronous_commit = off')
    with pytest.raises(UnsafeDatabase, match=r"synchronous_commit is off: .* Set it to on"):
        opened(database)


@pytest.fixture
def hasty(database: URL) -> Iterator[URL]:
    """The same database, by a role that does not wait."""
    role = f"hasty_{uuid4().hex[:8]}"
    run(database, f"CREATE ROLE {role} LOGIN SUPERUSER")
    try:
        run(database, f"ALTER ROLE {role} SET synchronous_commit = off")
        yield database.set(username=role)
    finally:
        run(database, f"DROP ROLE {role}")


@on_postgresql
def test_so_is_one_in_which_this_role_does_not_wait(hasty: URL, database: URL) -> None:
    with pytest.raises(UnsafeDatabase, match="for this role or database"):
        opened(hasty)
    opened(database)


@on_postgresql
@pytest.mark.parametrize("level", ["on", "local", "remote_write", "remote_apply"])
def test_one_that_waits_for_its_own_disk_at_least_is_taken(database: URL, level: str) -> None:
    run(database, f'ALTER DATABASE "{database.database}" SET synchronous_commit = {level}')
    opened(database)


@on_postgresql
@pytest.mark.parametrize("value", ["y", "true", "1", "ON"])
def test_appends_by_the_librarys_functions_are_refused(
    database: URL, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DB_FUNCTIONS, value)
    with pytest.raises(UnsafeDatabase, match=f"{DB_FUNCTIONS} is set .* Unset it"):
        opened(database)


@on_postgresql
@pytest.mark.parametrize("value", ["", "no", "0"])
def test_a_variable_that_says_no_is_none(database: URL, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DB_FUNCTIONS, value)
    opened(database)


@pytest.mark.parametrize(
    ("unsound", "told"),
    [
        ({"version": 140_012}, "this is PostgreSQL 14; 15 and newer are supported"),
        ({"version": 90_624}, "this is PostgreSQL 9;"),
        ({"fsync": "off"}, "fsync is off: .* Set it to on"),
        ({"synchronous_commit": "off"}, "synchronous_commit is off"),
    ],
)
def test_a_server_that_is_too_old_or_forgets_is_refused(unsound: dict[str, Any], told: str) -> None:
    _require_durable(SOUND)
    with pytest.raises(UnsafeDatabase, match=told):
        _require_durable(SOUND | unsound)


@on_postgresql
def test_every_connection_is_patient_but_not_for_ever_and_notices_a_peer_that_is_gone(ledger: Ledger) -> None:
    with ledger.factory.datastore.get_connection() as connection:  # type: ignore[attr-defined]
        for setting, seconds in (
            ("lock_timeout", LOCK_TIMEOUT_S),
            ("idle_in_transaction_session_timeout", IDLE_TIMEOUT_S),
        ):
            assert connection.execute(f"SHOW {setting}").fetchone() == {setting: f"{seconds}s"}
    with closing(connect(ledger.url)) as lock_holder:
        for one in (connection, lock_holder):
            assert int(one.info.get_parameters()["keepalives_idle"]) <= 30
            assert "tcp_keepalives_idle" in one.info.get_parameters()["options"]


@on_postgresql
def test_the_loggers_of_psycopg_are_not_silenced(
    ledger: Ledger, database: URL, caplog: pytest.LogCaptureFixture
) -> None:
    """The library silences them when it is imported; a connection that is lost is worth a word."""
    end_connections(database)
    with caplog.at_level(logging.NOTSET, "nobody"), pytest.raises(PersistenceError):
        ledger.refresh()
    assert [record.levelname for record in caplog.records if record.name == "psycopg.pool"][:1] == ["WARNING"]


# --- SQLite ---

MOUNTS = """\
overlay / overlay rw 0 0
/dev/sda1 /data ext4 rw 0 0
server:/export /data/shared nfs4 rw 0 0
/dev/sdb1 /data/shared/local xfs rw 0 0
//server/share /mnt/two\\040words cifs rw 0 0
sshfs#host:/ /mnt/ssh fuse.sshfs rw 0 0
/dev/sdc1 /mnt/covered ext4 rw 0 0
server:/export /mnt/covered nfs rw 0 0
"""


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("/ledger.db", None),
        ("/data/ledger.db", None),
        ("/data/sharedness/ledger.db", None),
        ("/data/shared/ledger.db", "nfs4"),
        ("/data/shared/deep/er/ledger.db", "nfs4"),
        ("/data/shared/../ledger.db", None),
        ("/data/shared/local/ledger.db", None),
        ("/mnt/two words/ledger.db", "cifs"),
        ("/mnt/ssh/ledger.db", "fuse.sshfs"),
        ("/mnt/covered/ledger.db", "nfs"),
    ],
)
def test_a_file_on_a_network_file_system_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, kind: str | None
) -> None:
    (tmp_path / "mounts").write_text(MOUNTS)
    monkeypatch.setattr(runner.store.sqlite, "MOUNTS", tmp_path / "mounts")
    if kind is None:
        require_local(Path(file))
        return
    assert kind in NETWORK_FILE_SYSTEMS
    with pytest.raises(UnsafeDatabase, match=rf"network file system \({kind}\)\. Move it to a local disk"):
        require_local(Path(file))


@on_sqlite
def test_a_ledger_on_a_network_file_system_does_not_open(
    database: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mounts").write_text("server:/export / nfs rw 0 0\n")
    monkeypatch.setattr(runner.store.sqlite, "MOUNTS", tmp_path / "mounts")
    with pytest.raises(UnsafeDatabase):
        opened(database)


def test_where_nothing_tells_of_mounts_a_file_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner.store.sqlite, "MOUNTS", tmp_path / "none")
    require_local(tmp_path / "ledger.db")


def test_a_database_that_can_keep_no_write_ahead_log_is_refused() -> None:
    with pytest.raises(UnsafeDatabase, match="write-ahead log"):
        opened(sqlite_url(Path(":memory:")))
