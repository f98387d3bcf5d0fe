"""What the benchmarks are given: empty ledgers, files of invented leads, and campaigns made as a person makes them."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.engine import URL

from domain import commands
from domain.calendar import WEEK, Schedule
from domain.rules import MAX_DAILY_LIMIT, Limits
from migrations.run import upgrade
from projections.database import sqlite_url
from runner import campaigns, mailbox_identity
from runner.leads.importing import ImportReport, import_leads
from runner.mailbox_identity import Identity, Tls
from runner.store.ledger import Ledger

ACTOR = "benchmark"
MAILBOX = "sales"
ZONE = "Europe/Warsaw"
SECRET = b"the key of the suppression list."
ALWAYS = Schedule(zone=ZONE, weekdays=WEEK, start="00:00", end="24:00")
NO_DELAY = Limits(daily_limit=MAX_DAILY_LIMIT, delay_s=0)

COLUMNS = ("email", "imie", "nazwisko", "firma")
FIRST_NAMES = ("Bożena", "Kazimierz", "Przemysław", "Agnieszka", "Łucja", "Świętosław", "Żaneta", "Józef")
LAST_NAMES = ("Żuraw", "Źrebiec", "Wróbel", "Łęcka", "Ćwikła", "Gżegżółka", "Nowak")
LOCAL_PARTS = ("bozena", "kazimierz", "przemyslaw", "agnieszka", "lucja", "swietoslaw", "zaneta", "jozef")
PROVIDERS = ("poczta.example", "skrzynka.example", "mail.example")

SUBJECT = "Jesienne nowości dla firmy {{ firma }}"
TEXT = """\
Dzień dobry, {{ imie }} {{ nazwisko }},

jesień przyniosła nam świeże pomysły: cieńsze ścianki, żwawsze łożyska i źródło światła,
które nie męczy oczu. Chętnie opowiemy, co z tego przyda się firmie {{ firma }}.

Z życzliwym pozdrowieniem
Anna Łęcka
"""
HTML = """\
<p>Dzień dobry, <b>{{ imie }} {{ nazwisko }}</b>,</p>
<p>jesień przyniosła nam świeże pomysły: cieńsze ścianki, żwawsze łożyska i źródło światła,
które nie męczy oczu. Chętnie opowiemy, co z tego przyda się firmie {{ firma }}.</p>
<p>Z życzliwym pozdrowieniem<br>Anna Łęcka</p>
"""

CAMPAIGN_FILE = """\
name = "Jesień"
mailbox = "{mailbox}"
owner = "v2"
[content]
subject = '{subject}'
text = '''
{text}'''
html = '''
{html}'''
[schedule]
zone = "{zone}"
weekdays = {week}
start = "00:00"
end = "24:00"
[limits]
daily_limit = {limit}
delay_s = 0
"""


def empty_ledger(folder: Path, name: str = "ledger.db") -> URL:
    """An SQLite file with all tables and triggers. The schema is made once; the others are copies of it."""
    template, path = folder / "template.db", folder / name
    if not template.exists():
        upgrade(sqlite_url(template))
    return sqlite_url(Path(shutil.copy(template, path)))


def lead_rows(count: int) -> Iterator[tuple[str, str, str, str]]:
    """Invented people: three in ten with one of a few providers, all others two a company with a domain of its own."""
    for number in range(count):
        person = number % len(FIRST_NAMES)
        own = number % 10 >= 3
        domain = f"firma{number // 2}.example" if own else PROVIDERS[number % len(PROVIDERS)]
        address = f"{LOCAL_PARTS[person]}.{number}@{domain}"
        yield address, FIRST_NAMES[person], LAST_NAMES[number % len(LAST_NAMES)], f"Młyn nad Wartą {number // 2}"


def lead_file(folder: Path, count: int) -> Path:
    """A CSV file of so many leads."""
    path = folder / f"leads-{count}.csv"
    if not path.exists():
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=";")
            writer.writerow(COLUMNS)
            writer.writerows(lead_rows(count))
    return path


def real_time() -> datetime:
    """Now."""
    return datetime.now(UTC)


def draft_mailbox(ledger: Ledger, port: int = 25, connections: int = 1) -> None:
    """A mailbox without a limit that matters."""
    author, address = "Anna Łęcka", "anna@nadawca.example"
    identity = Identity(author, address, "127.0.0.1", port, Tls.NONE, connections=connections).checked()
    mailbox_identity.add(
        ledger, MAILBOX, identity, daily_limit=MAX_DAILY_LIMIT, zone=ZONE, actor=ACTOR, now=real_time()
    )


def draft_campaign(ledger: Ledger, folder: Path, port: int = 25, connections: int = 1) -> int:
    """A campaign without delay, and its mailbox: its number."""
    draft_mailbox(ledger, port, connections)
    file = folder / "campaign.toml"
    week = [str(day) for day in WEEK]
    file.write_text(
        CAMPAIGN_FILE.format(
            mailbox=MAILBOX, subject=SUBJECT, text=TEXT, html=HTML, zone=ZONE, week=week, limit=MAX_DAILY_LIMIT
        ),
        encoding="utf-8",
    )
    return campaigns.create(ledger, file, actor=ACTOR, now=real_time())


def imported(ledger: Ledger, number: int, path: Path) -> ImportReport:
    """Import this file."""
    return import_leads(ledger, number, path, secret=SECRET, now=real_time)


def start_campaign(url: URL, folder: Path, leads: int, *, port: int = 25, connections: int = 1) -> URL:
    """One campaign of so many leads that waits for its first tick, in an empty ledger; that ledger."""
    with closing(Ledger(url)) as ledger:
        number = draft_campaign(ledger, folder, port, connections)
        imported(ledger, number, lead_file(folder, leads))
        ledger.on_campaign(number, lambda c: commands.start(c, actor=ACTOR, reason=None, now=real_time()))
    return url
