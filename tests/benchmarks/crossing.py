"""A campaign's way from the old application to V2: its import, end to end, and what is asked and done on the way.
Beside the import a bare loop: the rows of the old SendLog, read and written into one table.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from time import perf_counter

from sqlalchemy import Connection
from sqlalchemy.engine import URL

from domain.events import RolledBack
from projections.database import engine_for, sqlite_url
from projections.kept import DROP_SNAPSHOT
from projections.projector import Projector
from runner import cutover
from runner.cutover import Kept
from runner.legacy import taking_over
from runner.legacy.importing import Source, import_campaign
from runner.legacy.old_database import open_old_database
from runner.store.ledger import Ledger, campaign_stream
from tests.benchmarks.core import Result, Size, Target, aside, figure, in_turn
from tests.benchmarks.given import ACTOR, MAILBOX, SECRET, ZONE, draft_mailbox, empty_ledger, real_time
from tests.legacy.old_system import build_large

LEADS = {Size.FULL: 100_000, Size.QUICK: 20_000, Size.TINY: 100}
WAITING = {Size.FULL: 1_000, Size.QUICK: 200, Size.TINY: 10}
NUMBER = 1
IMPORT_S, COLD_S, WARM_S = Target("under", 20), Target("under", 5), Target("under", 1)
BARE = "SELECT + INSERT"
PREPARE = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE rows (a, b, c, d)"
AT_ONCE = 1_000


def run(size: Size, folder: Path) -> Iterator[Result]:
    """The import into fresh ledgers; the rest in the last of them."""
    sent, old = LEADS[size], sqlite_url(folder / "old.db")
    leads = sent + WAITING[size]
    build_large(old, leads, waiting=WAITING[size])
    ours, bare = in_turn(size, lambda: aside(import_s, folder, old), lambda: aside(bare_s, folder, old))
    yield Result(f"import, {sent:,} SendLog rows", "s", figure(ours), IMPORT_S, BARE, figure(bare))
    url = sqlite_url(folder / "ledger.db")
    aside(take_over, url, old)
    migrate, back = zip(*(aside(moves_s, url, True) for _ in ours), strict=True)
    yield Result(f"migrate, {leads:,} leads, cold", "s", figure(list(migrate)), COLD_S)
    yield Result("roll back at once", "s", figure(list(back)), WARM_S)
    migrate, back = zip(*(aside(moves_s, url, False) for _ in ours), strict=True)
    yield Result("migrate, from a snapshot", "s", figure(list(migrate)), WARM_S)
    analysed, verified = zip(*(aside(answers_s, url) for _ in ours), strict=True)
    yield Result("analyse, from a snapshot", "s", figure(list(analysed)))
    yield Result("verify, from the whole log", "s", figure(list(verified)))


def import_s(folder: Path, old: URL) -> float:
    """Everything into a fresh ledger."""
    with closing(Ledger(empty_ledger(folder))) as ledger:
        draft_mailbox(ledger)
        return _seconds(lambda: _import(ledger, old))


def bare_s(folder: Path, old: URL) -> float:
    """The old rows alone, a thousand a synced commit."""
    place = folder / "bare.db"
    place.unlink(missing_ok=True)
    with closing(sqlite3.connect(place)) as ours, closing(sqlite3.connect(old.database or "")) as theirs:
        ours.executescript(PREPARE)
        begun = perf_counter()
        rows = theirs.execute('SELECT "id", "leadId", "messageId", "createdAt" FROM "SendLog" ORDER BY "createdAt"')
        while some := list(islice(rows, AT_ONCE)):
            with ours:
                ours.executemany("INSERT INTO rows VALUES (?, ?, ?, ?)", some)
        return perf_counter() - begun


def take_over(url: URL, old: URL) -> None:
    """Our V1's, with views that are up to date."""
    with closing(Ledger(url)) as ledger:
        source, settle = _source(), taking_over.SETTLE * 0
        old_name = old.render_as_string()
        said = taking_over.word(ledger, NUMBER, old_name, source, _quiet)
        told = {"said": said, "settled": settle, "reason": None, "renders": lambda: None}
        taking_over.take_over(ledger, NUMBER, old_name, source, _quiet, **told)  # type: ignore[arg-type]
        with _views(ledger, url):
            pass


def moves_s(url: URL, cold: bool) -> tuple[float, float]:
    """To V2 and back, each read back from the views; `cold`: from the first event on."""
    with closing(Ledger(url)) as ledger:
        if cold:
            ledger.keep((DROP_SNAPSHOT, [{"b_stream": campaign_stream(NUMBER)}]))
        return _seconds(lambda: _migrate(ledger, url)), _seconds(lambda: _roll_back(ledger, url))


def answers_s(url: URL) -> tuple[float, float]:
    """An analysis and a verification."""
    with closing(Ledger(url)) as ledger:
        analysed = _seconds(lambda: cutover.examine(ledger, NUMBER, real_time()))
        with _views(ledger, url) as views:
            return analysed, _seconds(lambda: cutover.verified(ledger, views, NUMBER, since=None, now=real_time()))


def _import(ledger: Ledger, url: URL) -> None:
    with open_old_database(url) as old:
        [campaign] = old.campaigns(NUMBER)
        import_campaign(ledger, old, campaign, _source(), _quiet)


def _migrate(ledger: Ledger, url: URL) -> None:
    moved = cutover.migrate(ledger, NUMBER, actor=ACTOR, reason="measured", now=real_time())
    with _views(ledger, url) as views:
        _must_hold(cutover.read_back(ledger, views, moved, NUMBER))


def _roll_back(ledger: Ledger, url: URL) -> None:
    events = cutover.roll_back(ledger, NUMBER, actor=ACTOR, reason="measured", now=real_time())
    [moved] = [event for event in events if isinstance(event, RolledBack)]
    with _views(ledger, url) as views:
        _must_hold(cutover.read_back(ledger, views, moved, NUMBER))


def _must_hold(kept: list[Kept]) -> None:
    if not all(one.holds for one in kept):
        raise RuntimeError(f"not as before: {kept}")


@contextmanager
def _views(ledger: Ledger, url: URL) -> Iterator[Connection]:
    engine = engine_for(url)
    try:
        with Projector(engine, ledger.read).views() as views:
            yield views
    finally:
        engine.dispose()


def _source() -> Source:
    return Source(MAILBOX, ZONE, SECRET, ACTOR, real_time)


def _quiet(_step: str, _done: int, _total: int) -> None:
    """Nobody watches."""


def _seconds(work: Callable[[], object]) -> float:
    begun = perf_counter()
    work()
    return perf_counter() - begun
