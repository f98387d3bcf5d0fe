"""Given a place where no old database is to be found, when it is opened, then the error says where and what to do."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError

from domain.errors import InvalidInput
from runner.legacy.old_database import open_old_database
from runner.legacy.opening import is_same_place
from tests.databases import on_sqlite
from tests.legacy.old_system import build


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.db", "there is no such file"),
        ("", "there is no such file"),
        ("text.db", "file is not a database"),
        ("empty.db", "there is no table Campaign, no table Lead, no table CampaignLead, no table SendLog"),
        ("crashed.db", "A program ended in the middle of a write"),
    ],
)
def test_a_file_that_is_no_old_database_is_named(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "text.db").write_text("to nie jest baza danych\n" * 100, encoding="utf-8")
    (tmp_path / "empty.db").touch()
    in_the_middle_of_a_write(tmp_path / "crashed.db")
    with pytest.raises(InvalidInput, match=words) as told, open_old_database(f"sqlite:///{tmp_path / name}"):
        pytest.fail("it cannot be opened")
    assert str(tmp_path) in str(told.value)
    assert told.value.mend


def in_the_middle_of_a_write(file: Path) -> None:
    """The file and its journal as a crash leaves them: whoever reads must first roll back, which is a write."""
    running = file.with_name("running.db")
    with closing(sqlite3.connect(running, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE filler AS SELECT zeroblob(100000) AS content")
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN")
        connection.execute("UPDATE filler SET content = randomblob(100000)")
        file.write_bytes(running.read_bytes())
        file.with_name(f"{file.name}-journal").write_bytes(running.with_name("running.db-journal").read_bytes())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "names no file"),
        ("file:./dev.db", "the database URL cannot be read. Write sqlite:///PATH"),
        ("mysql://anna@baza.example/crm", "mysql is no database that this program knows"),
        ("postgresql://anna:tajne@127.0.0.1:9/crm?schema=crm", "port 9 failed: Connection refused. Look whether"),
        ("postgresql://anna@127.0.0.1:9/crm?password=tajne", "port 9 failed: Connection refused. Look whether"),
    ],
)
def test_a_url_that_leads_nowhere_says_so_without_its_password(url: str, words: str) -> None:
    with pytest.raises(InvalidInput) as told, open_old_database(url):
        pytest.fail("it cannot be opened")
    assert words in str(told.value)
    assert "tajne" not in str(told.value)


@on_sqlite
def test_the_name_may_be_shown(old_url: URL) -> None:
    build(old_url)
    with open_old_database(old_url) as old:
        assert old.name == f"sqlite:///{old_url.database}"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("sqlite:///old.db", f"sqlite:///{Path.cwd() / 'old.db'}", True),
        ("sqlite:////srv/crm/../old.db", "sqlite:////srv/old.db", True),
        ("sqlite:////srv/old.db", "sqlite:////srv/crm/old.db", False),
        ("postgresql://anna@baza.example/crm", "postgresql://reader@baza.example:5432/crm?schema=public", True),
        ("postgresql://anna@baza.example/crm", "postgresql://anna@baza.example/crm?sslmode=require", True),
        ("postgresql://anna@baza.example/crm", "postgresql://anna@inna.example/crm", False),
        ("postgresql://anna@baza.example/crm", "postgresql://anna@baza.example:5433/crm", False),
        ("postgresql://anna@baza.example/crm", "postgresql://anna@baza.example/crm?schema=other", False),
        ("postgresql://anna@baza.example/crm", "postgresql://anna@baza.example/old", False),
        ("postgresql:///crm?host=/run/a", "postgresql:///crm?host=/run/b", False),
        ("postgresql://anna@baza.example/crm", "sqlite:///crm", False),
    ],
)
def test_a_place_is_the_same_whoever_reads_it_and_however_it_is_typed(one: str, other: str, same: bool) -> None:
    assert is_same_place(one, other) == same


def test_errors_of_the_reader_stay_what_they_are(old_url: URL) -> None:
    build(old_url)
    ours = OperationalError("ours", None, RuntimeError("our own"))
    with pytest.raises(OperationalError, match="our own"), open_old_database(old_url):
        raise ours
