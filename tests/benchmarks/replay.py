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
from typing import NamedTuple

from sqlalchemy.engine import URL

from domain import events as e
from domain.campaign import Campaign, evolve
from domain.mailbox import Mailbox
from domain.policies import Send, pace
from domain.replay.past import Setup
from domain.replay.sides import CADENCE, Side, as_owner
from domain.rules import MAX_DAILY_LIMIT, Limits, Wait
from runner.replaying.comparing import compare as compare_one
from runner.replaying.comparing import compare_many
from runner.replaying.comparing import run as pass_over
from runner.replaying.history import History as Read
from runner.replaying.isolation import without_search_for_garbage
from runner.store.ledger import Ledger, campaign_stream
from tests.benchmarks.core import ROUNDS, Result, Size, Target, aside, figure, in_turn, peak_mb
from tests.benchmarks.given import empty_ledger
from tests.benchmarks.history import MAIL_EVERY, START, History

ONE = {Size.FULL: 300_000, Size.QUICK: 20_000, Size.TINY: 60}
MANY = {Size.FULL: (1_000, 300), Size.QUICK: (60, 300), Size.TINY: (4, 6)}
"""Leads of one campaign; and how many campaigns of how many leads. Each lead leaves about 3.4 events."""

PACED = {Size.FULL: 100_000, Size.QUICK: 10_000, Size.TINY: 60}
"""Leads of the one with a delay."""

MAILS_A_TICK = 30
TICK_EVERY = CADENCE["v2"]
WITH_DELAY = Limits(daily_limit=MAX_DAILY_LIMIT, delay_s=90)
RUNNER = "0123456789ab"
TICKS = "ticks-bench"


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
        return self._event(kind, TICKS, runner=RUNNER, sender="v2", tick_at=self._ticked_at, **said)


@dataclass
class Paced(History):
    """A campaign with a delay, mailed by V2's own pace: a tick each half minute, of which every third finds a mail."""

    limits: Limits = WITH_DELAY
    _ticked_at: datetime = START

    def _mail(self, stream: str, position: int) -> Iterator[e.Event]:
        campaign = Campaign(stream)
        campaign.limits = self.limits
        campaign.numbers.append(position + 1)
        wait = self._last_mail.get(stream, START) + pace(campaign, 0) - self._ticked_at
        idle = -(-wait // TICK_EVERY) - 1
        first_at, self._ticked_at = self._ticked_at + TICK_EVERY, self._ticked_at + TICK_EVERY * (idle + 1)
        self._now = self._ticked_at - MAIL_EVERY
        if idle:
            ticks = {"count": idle, "first_at": first_at, "last_at": self._ticked_at - TICK_EVERY, "over_us": ()}
            yield self._event(e.TicksIdle, TICKS, runner=RUNNER, sender="v2", **ticks)
        tick = {"runner": RUNNER, "sender": "v2", "tick_at": self._ticked_at}
        yield self._event(e.TickStarted, TICKS, **tick, due=1)
        yield from super()._mail(stream, position)
        yield self._event(e.TickFinished, TICKS, **tick, considered=1, sent=1, failed=0, in_doubt=0, deferred={})


@dataclass
class Asked:
    """The policy that runs live, and how often it was asked."""

    times: int = 0

    def __call__(self, campaign: Campaign, mailbox: Mailbox, sender: e.Sender, now: datetime) -> Send | Wait:
        """What it says."""
        self.times += 1
        return as_owner(campaign, mailbox, sender, now)


class Rates(NamedTuple):
    """Of a comparison, a second: mails of the three columns, decisions, and ticks."""

    mails: float
    decisions: float
    ticks: float


def run(size: Size, folder: Path) -> Iterator[Result]:
    """One large campaign, then many small ones."""
    one = empty_ledger(folder, "one.db")
    leads = ONE[size]
    events = Ticked(1, leads, mailed=leads).write(one)
    seconds, beside = in_turn(size, lambda: aside(fold, one), lambda: aside(parse, one))
    folded, bare = [events / each for each in seconds], [events / each for each in beside]
    name, target = f"fold {events:,} events, events/s", Target("at least", 100_000)
    yield Result(name, "/s", figure(folded), target, "sqlite3 + json", figure(bare))
    yield from _decided(size, one, "no delay")
    paced = empty_ledger(folder, "paced.db")
    Paced(1, PACED[size], mailed=PACED[size]).write(paced)
    yield from _decided(size, paced, "a delay")
    whole = [aside(compare, one, 1) for _ in range(ROUNDS[size] // 2 + 1)]
    yield Result(f"{events:,} events, one campaign, s", "s", figure(whole), Target("under", 40))
    yield Result("peak memory, MB", "MB", figure([peak_mb(compare, one, 1)]))
    yield from _many(size, folder)


def _decided(size: Size, url: URL, which: str) -> Iterator[Result]:
    found = [aside(rates, url) for _ in range(ROUNDS[size])]
    yield Result(f"{which}: decisions", "/s", figure([one.decisions for one in found]), Target("at least", 100_000))
    yield Result(f"{which}: mails of three columns", "/s", figure([one.mails for one in found]))
    yield Result(f"{which}: ticks", "/s", figure([one.ticks for one in found]))


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
            for _, event in Read(ledger.histories, [1]).rows():
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


def rates(url: URL) -> Rates:
    """A comparison without its proof, reading and folding included. A decision is a recorded mail, or an answer for
    which a policy was really asked: at a tick at which what it said still holds none is counted."""
    asked = Asked()
    with closing(Ledger(url)) as ledger:
        history = Read(ledger.histories, [1])
        begun = perf_counter()
        with without_search_for_garbage():
            cases = pass_over(history, Setup(Side("v1", policy=asked), Side("v2", policy=asked)))
        seconds = perf_counter() - begun
    case = cases[campaign_stream(1)]
    tallies = case.findings.tallies
    mails, ticks = sum(tally.mails for tally in tallies), case.our_ticks.numbers.total()
    return Rates(mails / seconds, (tallies[0].mails + asked.times) / seconds, ticks / seconds)


def compare(url: URL, workers: int) -> float:
    """Everything, with the proof over a slice, as the command does it; how long it took."""
    begun = perf_counter()
    with closing(Ledger(url)) as ledger:
        numbers = ledger.campaigns()
        if len(numbers) == 1:
            compare_one(ledger, numbers[0], Setup())
    if len(numbers) > 1:
        compare_many(url, numbers, Setup(), workers=workers, prove_all=False)
    return perf_counter() - begun
