"""A campaign of a million leads, a fifth of them mailed: the memory of a process that loads it.
Beside it the memory of a process that holds a dictionary of a million leads' states and attempts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from sqlalchemy.engine import URL

from runner.store.ledger import Ledger
from tests.benchmarks.core import Result, Size, Target, figure, peak_mb
from tests.benchmarks.given import empty_ledger
from tests.benchmarks.history import History

LEADS = {Size.FULL: 1_000_000, Size.QUICK: 50_000, Size.TINY: 1_000}
MAILED_ONE_IN = 5
PEAK_MB = Target("under", 200)
BARE = "a dict of the leads alone"


def run(size: Size, folder: Path) -> Iterator[Result]:
    """With one priority for all, and with five that alternate from lead to lead."""
    leads = LEADS[size]
    beside = figure([peak_mb(bare, leads)])
    for name, priorities in (("one priority", (999,)), ("five priorities", (1, 2, 3, 4, 5))):
        url = empty_ledger(folder)
        History(1, leads, mailed=leads // MAILED_ONE_IN, priorities=priorities).write(url)
        yield Result(f"{leads:,} leads, {name}", "MB", figure([peak_mb(load, url)]), PEAK_MB, BARE, beside)


def load(url: URL) -> None:
    """The state, from the first event to the last."""
    with closing(Ledger(url)) as ledger, ledger.campaign(1) as campaign:
        if not campaign.exists:
            raise RuntimeError("the campaign was not read")


def bare(leads: int) -> None:
    """What a lead takes when it is an entry of a dictionary."""
    states = {number: ["queued", 0] for number in range(leads)}
    if len(states) != leads:
        raise RuntimeError("not every lead is there")
