"""What tests of commands that must change nothing are given: a ledger of any kind, and all that is in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, select
from sqlalchemy.engine import URL

from projections.database import engine_for, reading
from tests.cli.desk import WEEK, WEEKDAYS, Desk
from tests.databases import SECRET
from tests.projections.conftest import desk_at


def open_desk(folder: Path, database: URL, monkeypatch: pytest.MonkeyPatch, port: int) -> Desk:
    """In real time, on this database: a V2 campaign without delay that may send at any hour."""
    desk = desk_at(folder, database, monkeypatch)
    monkeypatch.chdir(folder)
    (folder / "sendledger.key").write_bytes(SECRET)
    desk.mailbox(port)
    window = (('start = "09:00"', 'start = "00:00"'), ('end = "15:00"', 'end = "24:00"'), (WEEKDAYS, WEEK))
    desk.done("runner", "register", "--reason", "made from a template")
    desk.campaign(*window, ("delay_s = 90", "delay_s = 0"), ('owner = "v1"', 'owner = "v2"'))
    return desk


def every_row(database: URL) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables there are: events, views, kept tables and snapshots."""
    engine, tables = engine_for(database), MetaData()
    try:
        tables.reflect(engine)
        with reading(engine) as connection:
            return {
                name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
                for name, table in tables.tables.items()
            }
    finally:
        engine.dispose()
