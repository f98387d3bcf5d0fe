"""The send path with a thousand leads beside a hundred thousand: no step of a mail may grow with their number.
All of it but the network: decide, contact, render, build, verify, lock, record. The server takes every mail at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event as Flag
from time import perf_counter, process_time
from typing import cast

from sqlalchemy.engine import URL

from runner.clock import RealClock
from runner.sending.delivery import Delivery, Done
from runner.sending.journal import Journal
from runner.sending.recording import Recording
from runner.smtp.reply import Reply
from runner.smtp.session import Envelope, SmtpSession
from runner.store.ledger import Ledger
from tests.benchmarks.core import Result, Size, Target, aside, figure, in_turn
from tests.benchmarks.given import empty_ledger, start_campaign

LEADS = {Size.FULL: (1_000, 100_000), Size.QUICK: (1_000, 20_000), Size.TINY: (60, 300)}
MAILS = {Size.FULL: 150, Size.QUICK: 150, Size.TINY: 20}
FIRST_MAILS = 20
"""Not counted: they read the content and compile it."""
NO_GROWTH = Target("under", 1.2)
NUMBER = 1

Times = tuple[float, float, float]
"""Milliseconds: of a mail on the clock, of a mail in this process, and of a snapshot."""


def run(size: Size, folder: Path) -> Iterator[Result]:
    """A mail at both sizes in turn, and the snapshot that is taken every 5,000 events."""
    few, many = LEADS[size]
    small, large = (start_campaign(empty_ledger(folder, f"{leads}.db"), folder, leads) for leads in LEADS[size])
    mails = MAILS[size]
    of_few, of_many = in_turn(
        size, lambda: aside(times, small, folder, mails), lambda: aside(times, large, folder, mails)
    )
    beside = f"the same with {few:,} leads"
    for at, name in enumerate(("a mail, on the clock", "a mail, in the process", "a snapshot")):
        mine, theirs = ([rounds[at] for rounds in of] for of in (of_many, of_few))
        yield Result(f"{many:,} leads: {name}", "ms", figure(mine), None, beside, figure(theirs))
    ratios = [mine[1] / theirs[1] for mine, theirs in zip(of_many, of_few, strict=True)]
    yield Result("growth of a mail, in the process", "", figure(ratios), NO_GROWTH)


def times(url: URL, folder: Path, mails: int) -> Times:
    """Send some mails, then take a snapshot."""
    with closing(Ledger(url)) as ledger:
        recording = Recording(ledger, Journal(folder, "benchmark"), RealClock(), Flag())
        delivery = Delivery(ledger, "benchmark", RealClock(), recording)
        _send(delivery, FIRST_MAILS)
        begun, spent = perf_counter(), process_time()
        _send(delivery, mails)
        clock, process = perf_counter() - begun, process_time() - spent
        begun = perf_counter()
        ledger.snapshot(NUMBER)
        return clock / mails * 1000, process / mails * 1000, (perf_counter() - begun) * 1000


def _send(delivery: Delivery, mails: int) -> None:
    session = cast(SmtpSession, _AllTaken())
    for _ in range(mails):
        if delivery.step(NUMBER, "v2", lambda _mailbox: session) != Done("sent"):
            raise RuntimeError("a mail was not sent")


class _AllTaken:
    """The dialogue with a server that takes no time."""

    def hold(self, _envelope: Envelope, _message: bytes) -> None:
        pass

    def dot(self) -> Reply:
        return Reply(250, "2.0.0", "2.0.0 Ok: queued as 4F1B2C3D5E")
