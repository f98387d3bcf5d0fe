"""Given the old application's database, when its flag is set, then nothing else changes there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from domain.errors import InvalidInput
from runner.legacy.old_database import open_old_database, set_use_v2
from runner.store.postgres import connection_string
from tests.databases import on_postgresql, on_sqlite
from tests.legacy.old_schema import old_connection, old_schema
from tests.legacy.old_system import build


def rows(url: URL) -> dict[str, list[Any]]:
    with old_connection(url) as connection:
        tables = old_schema().sorted_tables
        return {
            each.name: list(map(dict, connection.execute(text(f'SELECT * FROM "{each.name}" ORDER BY id')).mappings()))  # noqa: S608
            for each in tables
        }


def test_it_sets_the_flag_of_one_campaign_and_nothing_else(old_url: URL) -> None:
    build(old_url)
    before = rows(old_url)
    set_use_v2(old_url, 2, True)
    after = rows(old_url)
    assert after["Campaign"][1].pop("useV2") == True  # noqa: E712 — 1 on SQLite
    assert before["Campaign"][1].pop("useV2") == False  # noqa: E712
    assert after == before
    set_use_v2(old_url, 2, False)
    with open_old_database(old_url) as old:
        assert [each.use_v2 for each in old.campaigns()] == [False, False, False, True, False, False, False]


@on_postgresql
def test_the_flag_may_be_a_number(old_url: URL) -> None:
    build(old_url)
    with psycopg.connect(connection_string(old_url)) as server:
        server.execute('ALTER TABLE "Campaign" ALTER "useV2" TYPE int USING "useV2"::int')
    set_use_v2(old_url, 2, True)
    with open_old_database(old_url) as old:
        assert old.campaigns(2)[0].use_v2


@on_sqlite
def test_the_file_keeps_its_journal_mode(old_url: URL) -> None:
    build(old_url)
    set_use_v2(old_url, 2, True)
    with closing(sqlite3.connect(str(old_url.database))) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_an_old_application_without_the_flag_is_told_so(old_url: URL) -> None:
    build(old_url, without={"Campaign.useV2"})
    with pytest.raises(InvalidInput, match="there is no column useV2 in the table Campaign"):
        set_use_v2(old_url, 2, True)


def test_a_campaign_that_is_not_there_is_named(old_url: URL) -> None:
    build(old_url)
    with pytest.raises(InvalidInput, match="there is no Campaign 77"):
        set_use_v2(old_url, 77, True)


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="there is no such file"):
        set_use_v2(f"sqlite:///{tmp_path / 'old.db'}", 2, True)
    assert not list(tmp_path.iterdir())
