"""A cold start: the state of 100,000 leads from the log, and from a snapshot, in a process that has read nothing yet.
Beside it the library as it comes, at a tenth of the size, its time scaled up in proportion.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from uuid import UUID

from sqlalchemy.engine import URL

from domain.policies import Send, next_send
from projections.kept import DROP_SNAPSHOT
from runner.store.ledger import Ledger, campaign_stream, mailbox_stream
from tests.benchmarks import library
from tests.benchmarks.core import Result, Size, Target, aside, figure, in_turn
from tests.benchmarks.given import MAILBOX, empty_ledger
from tests.benchmarks.history import START, History

LEADS = {Size.FULL: 100_000, Size.QUICK: 20_000, Size.TINY: 2_000}
SCALE = 10
MS_A_SECOND = 1000
COLD_S = Target("under", 3)
FROM_A_SNAPSHOT_MS = Target("under", 20)
NUMBER = 1
LATER = START + timedelta(days=30)


def run(size: Size, folder: Path) -> Iterator[Result]:
    """From the log, then from the snapshots that this took. All leads but the last one were mailed."""
    leads = LEADS[size]
    url, theirs = empty_ledger(folder), folder / "library.db"
    History(1, leads, mailed=leads - 1).write(url)
    aggregate = library.write(theirs, History(1, leads // SCALE, mailed=leads // SCALE))
    beside = f"the library as it comes, {leads // SCALE:,} leads x {SCALE}"

    cold, library_cold = in_turn(size, lambda: aside(cold_s, url), lambda: aside(library_s, theirs, aggregate))
    name = f"{leads:,} leads, {3 * leads:,} events"
    yield Result(name, "s", figure(cold), COLD_S, beside, figure(library_cold, SCALE))

    library.snapshot(theirs, aggregate)
    warm, library_warm = in_turn(size, lambda: aside(campaign_s, url), lambda: aside(library_s, theirs, aggregate))
    scaled = figure(library_warm, SCALE * MS_A_SECOND)
    yield Result("from a snapshot", "ms", figure(warm, MS_A_SECOND), FROM_A_SNAPSHOT_MS, beside, scaled)

    mailbox, decision = in_turn(size, lambda: aside(cold_mailbox_s, url), lambda: aside(decision_s, url))
    yield Result(f"its mailbox, {leads:,} events", "ms", figure(mailbox, MS_A_SECOND))
    yield Result("both from snapshots, first decision", "ms", figure(decision, MS_A_SECOND))


def cold_s(url: URL) -> float:
    """Open the ledger and read the campaign's whole stream; a snapshot is taken at its end."""
    _forget(url, campaign_stream(NUMBER))
    return campaign_s(url)


def campaign_s(url: URL) -> float:
    """Open the ledger and ask for the campaign."""
    begun = perf_counter()
    with closing(Ledger(url)) as ledger, ledger.campaign(NUMBER):
        return perf_counter() - begun


def cold_mailbox_s(url: URL) -> float:
    """Open the ledger and read the mailbox's whole stream."""
    _forget(url, mailbox_stream(MAILBOX))
    begun = perf_counter()
    with closing(Ledger(url)) as ledger, ledger.mailbox(MAILBOX):
        return perf_counter() - begun


def decision_s(url: URL) -> float:
    """Open the ledger and find whom to mail next."""
    begun = perf_counter()
    with closing(Ledger(url)) as ledger, ledger.campaign_and_mailbox(NUMBER) as (campaign, mailbox):
        if not isinstance(next_send(campaign, mailbox, "v2", LATER), Send):
            raise RuntimeError("nobody is due")
        return perf_counter() - begun


def library_s(path: Path, campaign: UUID) -> float:
    """Open the library's application and ask for the aggregate."""
    begun = perf_counter()
    library.load(path, campaign)
    return perf_counter() - begun


def _forget(url: URL, stream: str) -> None:
    with closing(Ledger(url)) as ledger:
        ledger.keep((DROP_SNAPSHOT, [{"b_stream": stream}]))
