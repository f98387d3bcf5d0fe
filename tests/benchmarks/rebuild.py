"""Rebuilding all views from the whole log: ten campaigns that were mailed from in turn, through one mailbox.
Beside it a bare loop that reads the log and decodes its JSON, and does nothing with it.
The library's own way cannot run here: its `ProjectionRunner` subscribes, which its SQLite recorder does not offer.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from time import perf_counter

from sqlalchemy.engine import URL

from projections.database import engine_for
from projections.projector import Projector
from runner.store.ledger import Ledger
from tests.benchmarks.core import Result, Size, Target, aside, figure, in_turn
from tests.benchmarks.given import empty_ledger
from tests.benchmarks.history import History

CAMPAIGNS = 10
LEADS_A_CAMPAIGN = {Size.FULL: 10_000, Size.QUICK: 2_000, Size.TINY: 20}
EVENTS_A_SECOND = Target("at least", 80_000)
BARE = "SELECT + json.loads, no views"


def run(size: Size, folder: Path) -> Iterator[Result]:
    """Events a second, from the first read to the views in their place."""
    url, leads = empty_ledger(folder), LEADS_A_CAMPAIGN[size]
    events = History(CAMPAIGNS, leads, mailed=leads).write(url)
    ours, bare = in_turn(size, lambda: aside(seconds, url), lambda: aside(bare_seconds, url))
    rates, bare_rates = (figure([events / passed for passed in rounds]) for rounds in (ours, bare))
    yield Result(f"{events:,} events", "events/s", rates, EVENTS_A_SECOND, BARE, bare_rates)


def seconds(url: URL) -> float:
    """One rebuild."""
    engine = engine_for(url)
    with closing(Ledger(url)) as ledger:
        begun = perf_counter()
        Projector(engine, ledger.read).rebuild()
        return perf_counter() - begun


def bare_seconds(url: URL) -> float:
    """One pass over the log."""
    with closing(sqlite3.connect(url.database or "")) as connection:
        begun = perf_counter()
        for (state,) in connection.execute("SELECT state FROM stored_events ORDER BY rowid"):
            json.loads(state)
        return perf_counter() - begun
