"""Importing leads, end to end: a real CSV file, checked, spooled, queued and kept, and the memory that it takes.
Beside it a bare loop: `csv`, `email-validator`, and an INSERT into one table, a thousand rows a synced commit.
"""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from time import perf_counter

from email_validator import validate_email
from sqlalchemy.engine import URL

from runner.leads.spool import BATCH
from runner.store.ledger import Ledger
from tests.benchmarks.core import Result, Size, Target, aside, figure, in_turn, peak_mb
from tests.benchmarks.given import draft_campaign, empty_ledger, imported, lead_file

ROWS = {Size.FULL: (10_000, 100_000), Size.QUICK: (2_000, 20_000), Size.TINY: (50, 100)}
LEADS_A_SECOND = Target("at least", 10_000)
PEAK_MB = Target("under", 150)
PREPARE = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE leads (a, b, c, d)"
BARE = "csv + email-validator + INSERT"


def run(size: Size, folder: Path) -> Iterator[Result]:
    """Speed at the larger size, memory at both."""
    _, many = ROWS[size]
    file = lead_file(folder, many)
    ours, bare = in_turn(size, lambda: aside(seconds, folder, file), lambda: aside(bare_seconds, folder, file))
    rates, bare_rates = [figure([many / seconds for seconds in rounds]) for rounds in (ours, bare)]
    yield Result(f"{many:,} leads, end to end", "leads/s", rates, LEADS_A_SECOND, BARE, bare_rates)
    for rows in ROWS[size]:
        peak = peak_mb(seconds, folder, lead_file(folder, rows))
        yield Result(f"peak memory, {rows:,} leads", "MB", figure([peak]), PEAK_MB)


def seconds(folder: Path, file: Path) -> float:
    """Into a fresh ledger."""
    return seconds_into(empty_ledger(folder), folder, file)


def seconds_into(url: URL, folder: Path, file: Path) -> float:
    """Into this one."""
    with closing(Ledger(url)) as ledger:
        number = draft_campaign(ledger, folder)
        begun = perf_counter()
        imported(ledger, number, file)
        return perf_counter() - begun


def bare_seconds(folder: Path, file: Path) -> float:
    """Into a fresh table."""
    database = folder / "bare.db"
    database.unlink(missing_ok=True)
    with closing(sqlite3.connect(database)) as connection, file.open(encoding="utf-8", newline="") as opened:
        connection.executescript(PREPARE)
        begun = perf_counter()
        rows = csv.reader(opened, delimiter=";")
        next(rows)
        checked = ((validate_email(row[0], check_deliverability=False).normalized, *row[1:]) for row in rows)
        while some := list(islice(checked, BATCH)):
            with connection:
                connection.executemany("INSERT INTO leads VALUES (?, ?, ?, ?)", some)
        return perf_counter() - begun
