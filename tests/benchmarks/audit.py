"""Audits of a long history: a log verified and sealed, every send exported, one person and one mail found among all.
Beside the verification a bare loop that reads the log and hashes each event, and builds no tree.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.engine import URL

from domain import events as e
from domain.commitments import message_digest
from projections import audit
from projections.audit import COLUMNS, NAMES, Wanted
from projections.database import engine_for, writing
from projections.kept import ADD_CONTACT, KEEP_MAIL
from projections.projector import Projector
from runner.auditing.exporting import Export
from runner.auditing.mails import proved_mail
from runner.auditing.parquet import write_parquet
from runner.cli.output import write_csv
from runner.sealing.file import CheckpointFile
from runner.sealing.keys import Signer, new_key, public_keys
from runner.sealing.sealer import Sealer
from runner.sealing.verifying import Verification
from runner.store.ledger import Ledger, campaign_stream
from tests.benchmarks.core import Result, Size, Target, aside, figure, in_turn, peak_mb
from tests.benchmarks.given import empty_ledger
from tests.benchmarks.history import DIGEST, START, History

MAILS = {Size.FULL: 1_000_000, Size.QUICK: 50_000, Size.TINY: 300}
EVENTS_VERIFIED = {Size.FULL: 1_000_000, Size.QUICK: 200_000, Size.TINY: 1_200}
EVENTS_A_MAIL = 3
MILLION = 1_000_000

VERIFY_S = Target("under", 5)
SEAL_US = Target("under", 30)
EXPORT_S = Target("under", 20)
EXPORT_MB = Target("under", 300)
FIND_MS = Target("under", 100)

BARE = "SELECT + SHA-256, no tree"
SALT, MESSAGE, TOKEN = b"s" * 32, b"Subject: a mail\r\n\r\nof some length\r\n" * 20, "f" * 24
SOMEBODY = "somebody@firma.example"
THEIRS = 2
"""The campaign in which one real mail lies."""


def run(size: Size, folder: Path) -> Iterator[Result]:
    """The seal on a log of its own; then all that asks the views."""
    yield from _of_the_seal(size, folder)
    yield from _of_the_views(size, folder)


def _of_the_seal(size: Size, folder: Path) -> Iterator[Result]:
    mails = EVENTS_VERIFIED[size] // (EVENTS_A_MAIL + 1)
    url = empty_ledger(folder, "sealed.db")
    events = History(1, mails, mailed=mails).write(url)
    spent = aside(seal, url, folder)
    name = f"sealing of {events:,} events"
    yield Result(f"{name}, CPU a mail", "µs", figure([spent / events * EVENTS_A_MAIL], 1e6), SEAL_US)
    ours, bare = in_turn(size, lambda: aside(verify, url, folder), lambda: aside(bare_verify, url))
    share = MILLION / events
    for_million = figure(ours, share)
    yield Result(f"verification of {events:,}, for a million", "s", for_million, VERIFY_S, BARE, figure(bare, share))


def _of_the_views(size: Size, folder: Path) -> Iterator[Result]:
    mails = MAILS[size]
    url = empty_ledger(folder, "mailed.db")
    History(1, mails, mailed=mails).write(url)
    one_real_mail(url)
    for name, export in (("CSV", to_csv), ("Parquet", to_parquet)):
        [took] = in_turn(size, lambda export=export: aside(timed, export, url, folder))  # type: ignore[misc]
        yield Result(f"{mails:,} sends to {name}", "s", figure(took), EXPORT_S)
        yield Result(f"peak memory, {name}", "MB", figure([peak_mb(export, url, folder)]), EXPORT_MB)
    for name, find in (("a person", person), ("a mail, proved", mail)):
        [took] = in_turn(size, lambda find=find: aside(find, url))  # type: ignore[misc]
        yield Result(f"{name} among {mails:,} sends", "ms", figure(took, 1e3), FIND_MS)


def one_real_mail(url: URL) -> None:
    """A contact for everybody, and one whose mail was kept; then the views."""
    stream = campaign_stream(THEIRS)
    said: dict[str, Any] = {"position": 0, "lead_id": 1}
    with closing(Ledger(url)) as ledger, views_of(ledger, catch_up=False) as (engine, projector):
        [(_, created)] = ledger.settings_of(1)
        at = START + timedelta(days=30)
        stamp: dict[str, Any] = {"originator_id": stream, "recorded_at": at}
        ledger.append(
            [
                created.model_copy(update={"originator_id": stream}),
                e.EmailQueued(**stamp, originator_version=2, **said, priority=1, commitment=DIGEST),
                e.CampaignStarted(**stamp, originator_version=3, actor="benchmark"),
                e.EmailLocked(
                    **stamp,
                    originator_version=4,
                    **said,
                    attempt=1,
                    sender="v2",
                    epoch=1,
                    runner="0123456789ab",
                    token=TOKEN,
                    due_at=at,
                    mailbox="sales",
                    message_id="<one@nadawca.example>",
                    date=at,
                    content_version=1,
                    revision=0,
                    commitment=DIGEST,
                    digest=message_digest(SALT, MESSAGE),
                ),
                e.EmailSent(**stamp, originator_version=5, **said, attempt=1, token=TOKEN, code=250),
            ]
        )
        projector.catch_up()
        contact = {"address": SOMEBODY, "address_key": SOMEBODY, "address_hmac": DIGEST, "salt": SALT, "fields": "{}"}
        kept = {"token": TOKEN, "campaign_id": THEIRS, "lead_id": 1, "message": zlib.compress(MESSAGE, 1)}
        with writing(engine) as connection:
            connection.execute(text(EVERYBODY))
            row = {"campaign_id": THEIRS, **said, **contact, "revision": 0, "commitment": DIGEST}
            connection.execute(ADD_CONTACT, [row])
            connection.execute(KEEP_MAIL, [kept])


EVERYBODY = """
INSERT INTO contacts SELECT campaign_id, lead_id, position, 'p' || lead_id || '@firma.example',
    'p' || lead_id || '@firma.example', 'h' || lead_id, zeroblob(32), '{}', 0, 'c', NULL
FROM leads WHERE campaign_id = 1
"""


def seal(url: URL, folder: Path) -> float:
    """Seconds of CPU for all of it."""
    with closing(Ledger(url)) as ledger:
        signer = Signer(new_key("benchmark"))
        (folder / "key").write_text(str(signer.public))
        begun = process_time()
        Sealer(ledger, signer, CheckpointFile(folder / "checkpoints")).seal()
        return process_time() - begun


def verify(url: URL, folder: Path) -> float:
    """Seconds for all of it."""
    with closing(Ledger(url)) as ledger:
        keys = public_keys(folder / "key")
        begun = perf_counter()
        look = Verification(ledger, keys, CheckpointFile(folder / "checkpoints"))
        look.read(ledger.position(), lambda _done, _total: None)
        report = look.finish()
        if report.faults or report.sealed != report.events:
            raise RuntimeError(f"it did not verify: {report.faults}")
        return perf_counter() - begun


def bare_verify(url: URL) -> float:
    """One pass over the log."""
    with closing(sqlite3.connect(url.database or "")) as connection:
        begun = perf_counter()
        for position, stream, version, topic, state in connection.execute("SELECT rowid, * FROM stored_events"):
            sha256(f"{position}{stream}{version}{topic}".encode() + state).digest()
        return perf_counter() - begun


def timed(work: Callable[[URL, Path], None], url: URL, folder: Path) -> float:
    """Seconds that a work takes."""
    begun = perf_counter()
    work(url, folder)
    return perf_counter() - begun


def to_csv(url: URL, folder: Path) -> None:
    """Every attempt."""
    with exporting(url) as export, (folder / "sends.csv").open("w", encoding="utf-8", newline="") as file:
        write_csv(file, NAMES, export.rows(lambda _done, _total: None))
    if export.told.total() != export.attempts:
        raise RuntimeError("not every row was written")


def to_parquet(url: URL, folder: Path) -> None:
    """The same."""
    with exporting(url) as export:
        write_parquet(folder / "sends.parquet", COLUMNS, export.rows(lambda _done, _total: None))


def person(url: URL) -> float:
    """Seconds to find somebody and all attempts, with the settings of each."""
    with closing(Ledger(url)) as ledger, views_of(ledger) as (_, projector):
        begun = perf_counter()
        with projector.views() as views:
            [place] = audit.places(views, SOMEBODY)
            if not audit.attempts(views, place["campaign_id"], place["lead_id"]) or not ledger.settings_of(THEIRS):
                raise RuntimeError("nobody was found")
        return perf_counter() - begun


def mail(url: URL) -> float:
    """Seconds to find the bytes of a mail and to prove them."""
    with closing(Ledger(url)) as ledger, views_of(ledger) as (_, projector):
        begun = perf_counter()
        with projector.views() as views:
            if proved_mail(ledger, views, THEIRS, 1, None).message != MESSAGE:
                raise RuntimeError("another mail was found")
        return perf_counter() - begun


@contextmanager
def exporting(url: URL) -> Iterator[Export]:
    """An export of everything, which has added up."""
    with closing(Ledger(url)) as ledger, views_of(ledger) as (_, projector), projector.views() as views:
        yield Export(views, Wanted())


@contextmanager
def views_of(ledger: Ledger, *, catch_up: bool = True) -> Iterator[tuple[Engine, Projector]]:
    """The views of this ledger, with everything in them."""
    engine = engine_for(ledger.url)
    projector = Projector(engine, ledger.read)
    if catch_up:
        projector.catch_up()
    try:
        yield engine, projector
    finally:
        engine.dispose()
