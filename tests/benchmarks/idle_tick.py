"""A tick that finds nothing to do, with a thousand running campaigns outside their window.
Beside it a bare loop that asks the table of leads once a campaign whether somebody is due.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import perf_counter

from sqlalchemy.engine import URL

from domain.calendar import Schedule
from projections.database import engine_for
from projections.projector import Projector
from runner.clock import SimulatedClock
from runner.daemon import CADENCE, Runner
from runner.store.ledger import Ledger
from tests.benchmarks.core import Result, Size, Target, aside, figure, in_turn
from tests.benchmarks.given import ZONE, empty_ledger
from tests.benchmarks.history import START, History

CAMPAIGNS = {Size.FULL: (10, 1_000), Size.QUICK: (10, 1_000), Size.TINY: (2, 20)}
LEADS_A_CAMPAIGN = 20
TICKS = 50
AFTERNOONS = Schedule(zone=ZONE, start="14:00", end="15:00")
"""Hours away at the start of the history."""
MILLISECONDS = Target("under", 5)
BARE = "a SELECT a campaign"


def run(size: Size, folder: Path) -> Iterator[Result]:
    """The time of a tick, and its statements with few and with many campaigns."""
    few, many = CAMPAIGNS[size]
    small, large = (written(empty_ledger(folder, f"{campaigns}.db"), campaigns) for campaigns in CAMPAIGNS[size])
    ours, bare = in_turn(
        size, lambda: aside(milliseconds, large, folder), lambda: aside(bare_milliseconds, large, many)
    )
    yield Result(f"{many:,} campaigns, nothing due", "ms", figure(ours), MILLISECONDS, BARE, figure(bare))
    of_few, of_many = aside(statements, small, folder), aside(statements, large, folder)
    constant = Target("under", of_few + 1)
    yield Result("its statements", "", figure([of_many]), constant, f"with {few} campaigns", figure([of_few]))


def milliseconds(url: URL, folder: Path) -> float:
    """The time of an idle tick, the mean of many."""
    with closing(Ledger(url)) as ledger, _idle_runner(ledger, folder) as tick:
        begun = perf_counter()
        for _ in range(TICKS):
            tick()
        return (perf_counter() - begun) / TICKS * 1000


def statements(url: URL, folder: Path) -> float:
    """How many statements SQLite runs in an idle tick, BEGIN and ROLLBACK among them."""
    opened: list[sqlite3.Connection] = []
    ran: list[str] = []
    sys.addaudithook(lambda event, said: opened.append(said[0]) if event == "sqlite3.connect/handle" else None)
    with closing(Ledger(url)) as ledger, _idle_runner(ledger, folder) as tick:
        for connection in opened:
            connection.set_trace_callback(ran.append)
        tick()
        return len(ran)


@contextmanager
def _idle_runner(ledger: Ledger, folder: Path) -> Iterator[Callable[[], None]]:
    """What lets a runner tick that has looked at all campaigns once."""
    clock = SimulatedClock(START)
    with Runner(ledger, folder / "runners", clock) as runner:

        def tick() -> None:
            clock.move_to(clock.now() + CADENCE["v2"])
            if runner.tick("v2") is not None:
                raise RuntimeError("something was due")

        tick()
        yield tick


def bare_milliseconds(url: URL, campaigns: int) -> float:
    """The same question to the views, a campaign at a time."""
    with closing(sqlite3.connect(url.database or "")) as connection:
        begun = perf_counter()
        for _ in range(TICKS):
            for number in range(1, campaigns + 1):
                connection.execute(_NEXT, (number, START.isoformat())).fetchone()
        return (perf_counter() - begun) / TICKS * 1000


def written(url: URL, campaigns: int) -> URL:
    """So many campaigns in an empty ledger, whose views know them; that ledger."""
    History(campaigns, LEADS_A_CAMPAIGN, schedule=AFTERNOONS).write(url)
    engine = engine_for(url)
    with closing(Ledger(url)) as ledger:
        Projector(engine, ledger.read).catch_up()
    engine.dispose()
    return url


_NEXT = """
SELECT lead_id FROM leads
WHERE campaign_id = ? AND state = 'queued' AND coalesce(next_attempt_at, '') <= ?
ORDER BY priority, position LIMIT 1
"""
