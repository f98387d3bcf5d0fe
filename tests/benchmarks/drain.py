"""Sending ten thousand mails without delay: one runner, one connection, the whole protocol with its two commits a mail.
Beside it a bare loop of `smtplib` and `email.mime` that records nothing, against the same discarding server.
"""

from __future__ import annotations

import csv
import smtplib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from email.header import Header
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import formataddr, formatdate, make_msgid
from pathlib import Path
from time import perf_counter

from sqlalchemy.engine import URL

from domain.leads import LeadState
from runner.clock import RealClock
from runner.daemon import Runner
from runner.store.ledger import Ledger
from tests.benchmarks.core import Result, Size, Target, aside, figure, in_turn
from tests.benchmarks.given import HTML, SUBJECT, TEXT, empty_ledger, lead_file, start_campaign
from tests.benchmarks.server import discarding_server

MAILS = {Size.FULL: 10_000, Size.QUICK: 2_000, Size.TINY: 30}
SHARE = Target("at least", 0.6)
COMMITS = 200
BARE = "smtplib + email.mime, no record"


def run(size: Size, folder: Path) -> Iterator[Result]:
    """The rate, its share of the bare loop's round by round, and the disk it was measured on."""
    mails = MAILS[size]
    file = lead_file(folder, mails)
    with discarding_server() as port:
        ours, bare, commits = in_turn(
            size,
            lambda: _rate(folder, mails, port),
            lambda: aside(bare_rate, file, port),
            lambda: aside(commit_ms, folder),
        )
    yield Result(f"{mails:,} mails", "mails/s", figure(ours), beside=BARE, beside_figure=figure(bare))
    shares = [mine / theirs for mine, theirs in zip(ours, bare, strict=True)]
    yield Result("share of the bare loop's rate", "", figure(shares), SHARE)
    yield Result("a synced commit of one row here", "ms", figure(commits))


def _rate(folder: Path, mails: int, port: int) -> float:
    url = start_campaign(empty_ledger(folder), folder, mails, port=port)
    return aside(rate, url, folder, mails)


def rate(url: URL, folder: Path, mails: int) -> float:
    """Mails a second of one V2 tick, from its first decision to the last outcome recorded."""
    with closing(Ledger(url)) as ledger, Runner(ledger, folder / "runners", RealClock()) as runner:
        begun = perf_counter()
        tick = runner.tick("v2")
        if tick is not None:
            tick.wait()
        passed = perf_counter() - begun
        with ledger.campaign(1) as campaign:
            if campaign.roll.counts[LeadState.SENT] != mails:
                raise RuntimeError("not every mail was sent")
    return mails / passed


def bare_rate(file: Path, port: int) -> float:
    """The same mails from the same file, one connection, nothing kept."""
    with file.open(encoding="utf-8", newline="") as opened:
        leads = list(csv.DictReader(opened, delimiter=";"))
    subject, text, html = (part.replace("{{ ", "{").replace(" }}", "}") for part in (SUBJECT, TEXT, HTML))
    with smtplib.SMTP("127.0.0.1", port, local_hostname="localhost") as server:
        begun = perf_counter()
        for lead in leads:
            mail = MIMEMultipart("alternative")
            mail["From"] = formataddr(("Anna Łęcka", "anna@nadawca.example"))
            mail["To"] = lead["email"]
            mail["Subject"] = Header(subject.format(**lead), "utf-8").encode()
            mail["Date"] = formatdate()
            mail["Message-ID"] = make_msgid(domain="nadawca.example")
            mail.attach(MIMEText(text.format(**lead), "plain", "utf-8"))
            mail.attach(MIMEText(html.format(**lead), "html", "utf-8"))
            server.sendmail("anna@nadawca.example", [lead["email"]], mail.as_bytes())
        return len(leads) / (perf_counter() - begun)


def commit_ms(folder: Path) -> float:
    """What this disk asks for a commit that survives a power cut: each of our mails needs two, the bare loop none."""
    database = folder / "commits.db"
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE IF NOT EXISTS t (a)"
        )
        begun = perf_counter()
        for number in range(COMMITS):
            connection.execute("INSERT INTO t VALUES (?)", (number,))
        return (perf_counter() - begun) / COMMITS * 1000
