"""The plan of a campaign of 40,000 leads that takes months: every tick that can send, rehearsed on a copy of the state.
Beside it the same campaign without delay, whose limit lets a day's mails out in one tick.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

from domain.calendar import Schedule
from domain.campaign import Campaign, evolve
from domain.mailbox import Mailbox
from domain.mailbox import evolve as evolve_mailbox
from domain.planning import make_plan
from domain.rehearsal import copy_of
from domain.rules import Limits
from runner.daemon import CADENCE
from tests.benchmarks.core import Result, Size, Target, aside, figure, in_turn
from tests.benchmarks.given import ZONE
from tests.benchmarks.history import START, History

LEADS = {Size.FULL: 40_000, Size.QUICK: 10_000, Size.TINY: 50}
OFFICE_HOURS = Schedule(zone=ZONE, holidays_of=("PL",))
SECONDS = Target("under", 5)


def run(size: Size, _folder: Path) -> Iterator[Result]:
    """With a delay that binds each day, and with a limit that does."""
    leads = LEADS[size]
    paced, limited = in_turn(size, lambda: aside(seconds, leads, 90), lambda: aside(seconds, leads, 0))
    yield Result(f"{leads:,} leads, 90 s apart", "s", figure(paced), SECONDS, "without delay", figure(limited))


def seconds(leads: int, delay_s: int) -> float:
    """From the state to the plan."""
    limits = Limits(daily_limit=500, delay_s=delay_s)
    mailbox, *beginning = History(1, leads, schedule=OFFICE_HOURS, limits=limits).events()
    sender, campaign = Mailbox(mailbox.originator_id), Campaign(beginning[0].originator_id)
    evolve_mailbox(sender, mailbox)
    for event in beginning:
        evolve(campaign, event)
    begun = perf_counter()
    tried = copy_of(campaign)
    plan = make_plan(tried, [tried], sender, CADENCE, START)
    passed = perf_counter() - begun
    if plan.mails != leads:
        raise RuntimeError("not every mail was planned")
    return passed
