"""A cold start: the state of 100,000 leads from the log, and from a snapshot, in a process that has read nothing yet.
Beside it the library as it comes, at a tenth of the size, its time scaled up in proportion.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from time import perf_counter
from uuid import UUID

from projections.kept import DROP_SNAPSHOT
from runner.store.ledger import Ledger, campaign_stream
from tests.benchmarks import library
from tests.benchmarks.core import Result, Size, Target, aside, figure, in_turn
from tests.benchmarks.given import MAILBOX, empty_ledger
from tests.benchmarks.history import History

LEADS = {Size.FULL: 100_000, Size.QUICK: 20_000, Size.TINY: 2_000}
SCALE = 10
MS_A_SECOND = 1000
FROM_THE_LOG_S = Target("under", 3)
FROM_A_SNAPSHOT_MS = Target("under", 20)
NUMBER = 1


def run(size: Size, folder: Path) -> Iterator[Result]:
    """From the log, then from the snapshot that this took."""
    leads = LEADS[size]
    path, theirs = empty_ledger(folder), folder / "library.db"
    History(1, leads, mailed=leads).write(path)
    campaign = library.write(theirs, History(1, leads // SCALE, mailed=leads // SCALE))
    cold, library_cold = in_turn(size, lambda: aside(cold_s, path), lambda: aside(library_s, theirs, campaign))
    library.snapshot(theirs, campaign)
    warm, mailbox, library_warm = in_turn(
        size,
        lambda: aside(snapshot_s, path),
        lambda: aside(mailbox_s, path),
        lambda: aside(library_s, theirs, campaign),
    )
    beside = f"the library as it comes, {leads // SCALE:,} leads x {SCALE}"
    name = f"{leads:,} leads, {3 * leads:,} events"
    yield Result(name, "s", figure(cold), FROM_THE_LOG_S, beside, figure(library_cold, SCALE))
    snapshot = figure(warm, MS_A_SECOND)
    yield Result(
        "from a snapshot", "ms", snapshot, FROM_A_SNAPSHOT_MS, beside, figure(library_warm, SCALE * MS_A_SECOND)
    )
    yield Result(f"its mailbox, {leads:,} mails", "ms", figure(mailbox, MS_A_SECOND))


def cold_s(path: Path) -> float:
    """Open the ledger and read the whole stream."""
    with closing(Ledger(path)) as ledger:
        ledger.keep((DROP_SNAPSHOT, [{"b_stream": campaign_stream(NUMBER)}]))
    return snapshot_s(path)


def snapshot_s(path: Path) -> float:
    """Open the ledger and ask for the campaign."""
    begun = perf_counter()
    with closing(Ledger(path)) as ledger, ledger.campaign(NUMBER) as campaign:
        passed = perf_counter() - begun
        if not campaign.exists:
            raise RuntimeError("the campaign was not read")
    return passed


def mailbox_s(path: Path) -> float:
    """Open the ledger and ask for the mailbox: it has no snapshots."""
    begun = perf_counter()
    with closing(Ledger(path)) as ledger, ledger.mailbox(MAILBOX):
        return perf_counter() - begun


def library_s(path: Path, campaign: UUID) -> float:
    """Open the library's application and ask for the aggregate."""
    begun = perf_counter()
    library.load(path, campaign)
    return perf_counter() - begun
