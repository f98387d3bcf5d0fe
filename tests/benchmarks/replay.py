"""Replays: folding a history, comparing decisions, a million events with the usual proof, and two workers.
Beside the fold a bare loop that reads the rows and parses their JSON.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import perf_counter

from sqlalchemy.engine import URL

from domain import events as e
from domain.campaign import Campaign, evolve
from domain.replay.past import Setup
from runner.replaying.comparing import Request, compare_many, compare_share
from runner.replaying.comparing import run as pass_over
from runner.replaying.history import History as Read
from runner.replaying.isolation import without_search_for_garbage
from runner.store.ledger import Ledger, campaign_stream
from tests.benchmarks.core import ROUNDS, Result, Size, Target, aside, figure, in_turn, peak_mb
from tests.benchmarks.given import empty_ledger
from tests.benchmarks.history import START, History

ONE = {Size.FULL: 300_000, Size.QUICK: 20_000, Size.TINY: 60}
MANY = {Size.FULL: (1_000, 300), Size.QUICK: (60, 300), Size.TINY: (4, 6)}
"""Leads of one campaign; and how many campaigns of how many leads. Each lead leaves about 3.4 events."""

MAILS_A_TICK = 30
RUNNER = "0123456789ab"
PROVED = 20_000


@dataclass
class Ticked(History):
    """A history with its ticks: one of V2 for so many mails."""

    _ticked_at: datetime = START

    def events(self) -> Iterator[e.Event]:
        """As before, with a tick around each thirty mails."""
        mails = 0
        for event in super().events():
            if isinstance(event, e.EmailLocked) and mails % (MAILS_A_TICK * self.campaigns) == 0:
                if mails:
                    yield self._tick(e.TickFinished, considered=1, sent=MAILS_A_TICK, failed=0, in_doubt=0, deferred={})
                self._ticked_at = self._now
                yield self._tick(e.TickStarted, due=1)
            mails += isinstance(event, e.EmailLocked)
            yield event

    def _tick(self, kind: type[e.Event], **said: object) -> e.Event:
        return self._event(kind, "ticks-bench", runner=RUNNER, sender="v2", tick_at=self._ticked_at, **said)


def run(size: Size, folder: Path) -> Iterator[Result]:
    """One large campaign, then many small ones."""
    one = empty_ledger(folder, "one.db")
    leads = ONE[size]
    events = Ticked(1, leads, mailed=leads).write(one)
    seconds, beside = in_turn(size, lambda: aside(fold, one), lambda: aside(parse, one))
    rates, bare = [events / each for each in seconds], [events / each for each in beside]
    name, target = f"fold {events:,} events, events/s", Target("at least", 100_000)
    yield Result(name, "/s", figure(rates), target, "sqlite3 + json", figure(bare))
    decided = [aside(decisions, one) for _ in range(ROUNDS[size])]
    yield Result("decisions compared, decisions/s", "/s", figure(decided), Target("at least", 100_000))
    whole = [aside(compare, one, 1) for _ in range(ROUNDS[size] // 2 + 1)]
    yield Result(f"{events:,} events, one campaign, s", "s", figure(whole), Target("under", 40))
    yield Result("peak memory, MB", "MB", figure([peak_mb(compare, one, 1)]))
    yield from _many(size, folder)


def _many(size: Size, folder: Path) -> Iterator[Result]:
    campaigns, leads = MANY[size]
    many = empty_ledger(folder, "many.db")
    events = Ticked(campaigns, leads, mailed=leads).write(many)
    alone, together = in_turn(size, lambda: aside(compare, many, 1), lambda: aside(compare, many, 2))
    name = f"{events:,} events, {campaigns:,} campaigns, s"
    yield Result(name, "s", figure(alone), Target("under", 40), "with two workers", figure(together))
    gain = [one / two for one, two in zip(alone, together, strict=True)]
    yield Result("two workers against one", "x", figure(gain), Target("at least", 1.7))
    yield Result("peak memory, MB", "MB", figure([peak_mb(compare, many, 1)]))


def fold(url: URL) -> float:
    """Every event of the campaign and its mailbox decoded, and the campaign's folded; how long it took."""
    with closing(Ledger(url)) as ledger:
        campaign = Campaign(campaign_stream(1))
        begun = perf_counter()
        with without_search_for_garbage():
            for _, event in Read(ledger, [1]).rows():
                if event.originator_id == campaign.stream:
                    evolve(campaign, event)
        return perf_counter() - begun


def parse(url: URL) -> float:
    """The same rows, parsed and dropped."""
    begun = perf_counter()
    with closing(sqlite3.connect(url.database or "")) as connection:
        for (state,) in connection.execute("SELECT state FROM stored_events ORDER BY rowid"):
            json.loads(state)
    return perf_counter() - begun


def decisions(url: URL) -> float:
    """Decisions a second of all three columns, reading and folding included."""
    with closing(Ledger(url)) as ledger:
        history = Read(ledger, [1])
        begun = perf_counter()
        with without_search_for_garbage():
            cases, _ = pass_over(history, Setup())
        mails = sum(tally.mails for tally in cases[campaign_stream(1)].findings.tallies)
        return mails / (perf_counter() - begun)


def compare(url: URL, workers: int) -> float:
    """Everything, with the proof over a slice; how long it took."""
    begun = perf_counter()
    with closing(Ledger(url)) as ledger:
        numbers = ledger.campaigns()
    if workers == 1:
        compare_share(Request(url, tuple(numbers), Setup(), PROVED))
    else:
        compare_many(url, numbers, Setup(), workers=workers, prove_all=False)
    return perf_counter() - begun
