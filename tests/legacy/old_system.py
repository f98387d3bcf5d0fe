"""Builds the old application's database: the sample with everything that goes wrong, or many rows to measure with.

python -m tests.legacy.old_system old.db
python -m tests.legacy.old_system postgresql://USER@HOST/DATABASE --leads 100000
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy.engine import URL

from projections.database import database_url, is_sqlite, sqlite_url
from tests.legacy.old_sample import Sample, sample
from tests.legacy.old_schema import Times, count_on, insert, old_engine, old_schema

NOW = datetime(2025, 11, 25, 12, 0, tzinfo=UTC)
"""A Tuesday, one o'clock in Warsaw."""


def build(
    url: URL,
    *,
    now: datetime = NOW,
    without: Collection[str] = (),
    times: Times = "timestamp",
    loose: bool = False,
    wal: bool = False,
) -> Sample:
    """The sample in an empty database; what is in it, and where."""
    made = sample(now)
    fill(url, made, without=without, times=times, loose=loose, wal=wal)
    return made


def fill(
    url: URL,
    data: Sample,
    *,
    without: Collection[str] = (),
    times: Times = "timestamp",
    loose: bool = False,
    wal: bool = False,
) -> None:
    """Make the tables, and put these rows in. `without` leaves out tables and columns, such as "Campaign.useV2"."""
    metadata = old_schema(without=without, times=times, loose=loose)
    engine = old_engine(url, wal=wal)
    metadata.create_all(engine)
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            insert(connection, table, data.rows[table.name])
        count_on(connection, metadata.sorted_tables)
    engine.dispose()


def build_large(url: URL, leads: int, *, waiting: int = 0, now: datetime = NOW) -> int:
    """One running campaign in an empty database, all of whose leads were sent their mail, but for those that wait.
    Its number."""
    data = Sample(now)
    campaign = data.campaign("Duża", "IN_PROGRESS", sendingStartedAt=data.ago(29))
    begin = data.ago(29)
    for number in range(leads):
        at = begin + timedelta(seconds=20 * number)
        if number < leads - waiting:
            data.sent(campaign, at, created_at=at)
        else:
            data.lead(campaign, "queued", created_at=at)
    fill(url, data)
    return campaign


def main() -> None:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(description="Build the old application's database with invented people.")
    parser.add_argument("place", metavar="PATH-OR-URL")
    parser.add_argument("--leads", type=int, metavar="N", help="one campaign of N leads instead of the sample")
    asked = parser.parse_args()
    url = database_url(asked.place) if "://" in asked.place else sqlite_url(Path(asked.place))
    if is_sqlite(url) and Path(str(url.database)).exists():
        parser.error(f"{url.database} is there already")
    now = datetime.now(UTC)
    if asked.leads is None:
        made = build(url, now=now)
        for name, number in made.campaigns.items():
            sys.stdout.write(f"{number}  {name}: {sum(map(len, made.leads[number].values()))} leads and rows\n")
    else:
        sys.stdout.write(f"{build_large(url, asked.leads, now=now)}  {asked.leads} leads\n")


if __name__ == "__main__":
    main()
