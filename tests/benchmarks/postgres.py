"""PostgreSQL beside SQLite, each figure in the same rounds; and a mailbox with ten connections on both.
Beside the rebuild stands the library's own `ProjectionRunner`, which folds one event a transaction and makes one row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest.mock import patch
from uuid import UUID

import psycopg
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg import Connection
from psycopg.sql import SQL
from sqlalchemy.engine import URL

from runner.store.postgres import connection_string
from tests.benchmarks import cold_load, drain, idle_tick, lead_import, rebuild
from tests.benchmarks.core import Result, Size, Target, aside, figure, in_turn
from tests.benchmarks.given import empty_ledger, lead_file, start_campaign
from tests.benchmarks.history import History
from tests.benchmarks.server import discarding_server
from tests.databases import PostgresDatabases, postgres_server

LEADS = {Size.FULL: 100_000, Size.QUICK: 20_000, Size.TINY: 500}
MAILS = {Size.FULL: 5_000, Size.QUICK: 1_500, Size.TINY: 40}
CAMPAIGNS = {Size.FULL: 1_000, Size.QUICK: 1_000, Size.TINY: 20}
LIBRARY_EVENTS = {Size.FULL: 3_000, Size.QUICK: 1_000, Size.TINY: 20}
LIBRARY_TIMEOUT_S = 60
CONNECTIONS = 10
ANSWERS_AFTER_S = 0.02
BESIDE = "on SQLite"


def run(size: Size, folder: Path) -> Iterator[Result]:
    """All figures; the databases of each are gone when it is done."""
    databases = PostgresDatabases(postgres_server(folder))
    for measure in (_imports, _cold_loads, _drains, _rebuilds, _idle_ticks, _ten_connections):
        with databases.within():
            yield from measure(size, folder, databases)


def _imports(size: Size, folder: Path, databases: PostgresDatabases) -> Iterator[Result]:
    file = lead_file(folder, LEADS[size])
    ours, beside = in_turn(
        size,
        lambda: aside(lead_import.seconds_into, databases.made(), folder, file),
        lambda: aside(lead_import.seconds, folder, file),
    )
    rates, beside_rates = (figure([LEADS[size] / passed for passed in rounds]) for rounds in (ours, beside))
    yield Result(f"import of {LEADS[size]:,}", "leads/s", rates, lead_import.LEADS_A_SECOND, BESIDE, beside_rates)


def _cold_loads(size: Size, folder: Path, databases: PostgresDatabases) -> Iterator[Result]:
    urls = databases.made(), empty_ledger(folder, "cold.db")
    for url in urls:
        History(1, LEADS[size], mailed=LEADS[size] - 1).write(url)
    ours, beside = in_turn(size, *(partial(aside, cold_load.cold_s, url) for url in urls))
    ratio = [mine / other for mine, other in zip(ours, beside, strict=True)]
    yield Result(f"cold load, {3 * LEADS[size]:,} events", "s", figure(ours), None, BESIDE, figure(beside))
    yield Result("its share of the time on SQLite", "", figure(ratio), Target("under", 1.25))


def _drains(size: Size, folder: Path, databases: PostgresDatabases) -> Iterator[Result]:
    mails = MAILS[size]
    file = lead_file(folder, mails)
    with discarding_server() as port:

        def ours() -> float:
            return aside(drain.rate, start_campaign(databases.made(), folder, mails, port=port), folder, mails)

        mine, bare = in_turn(size, ours, lambda: aside(drain.bare_rate, file, port))
        yield Result(f"drain of {mails:,}", "mails/s", figure(mine), None, drain.BARE, figure(bare))
        shares = [one / other for one, other in zip(mine, bare, strict=True)]
        yield Result("share of the bare loop's rate", "", figure(shares), Target("at least", 0.45))
        asked = aside(statements, start_campaign(databases.made(), folder, mails, port=port), folder, mails)
    yield Result("statements a mail", "", figure([asked[0]]), Target("under", 6.5))
    yield Result("commits a mail", "", figure([asked[1]]), Target("under", 2.5))


def statements(url: URL, folder: Path, mails: int) -> tuple[float, float]:
    """Statements and transactions a mail, BEGIN and COMMIT aside: those of a whole tick, its own few included."""
    with (
        _counted(psycopg.Cursor, "execute", "executemany", "copy") as ran,
        _counted(Connection, "transaction") as begun,
    ):
        drain.rate(url, folder, mails)
        return len(ran) / mails, len(begun) / mails


@contextmanager
def _counted(owner: Any, *names: str) -> Iterator[list[str]]:
    """The calls of these methods while the block runs."""
    called: list[str] = []
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(patch.object(owner, name, _counting(getattr(owner, name), called)))
        yield called


def _counting(method: Callable[..., Any], called: list[str]) -> Callable[..., Any]:
    def counting(*args: Any, **kwargs: Any) -> Any:
        called.append(method.__name__)
        return method(*args, **kwargs)

    return counting


def _rebuilds(size: Size, _folder: Path, databases: PostgresDatabases) -> Iterator[Result]:
    url, leads = databases.made(), rebuild.LEADS_A_CAMPAIGN[size]
    events = History(rebuild.CAMPAIGNS, leads, mailed=leads).write(url)
    theirs = databases.empty()
    told = LIBRARY_EVENTS[size]
    aside(write_for_the_library, theirs, told)
    ours, library = in_turn(
        size, lambda: events / aside(rebuild.seconds, url), lambda: told / aside(library_seconds, theirs, told)
    )
    name = "the library's ProjectionRunner"
    yield Result(f"rebuild of {events:,}", "events/s", figure(ours), Target("at least", 40_000), name, figure(library))
    ratio = [mine / other for mine, other in zip(ours, library, strict=True)]
    yield Result("times the library's", "", figure(ratio), Target("at least", 10))


def _idle_ticks(size: Size, folder: Path, databases: PostgresDatabases) -> Iterator[Result]:
    campaigns = CAMPAIGNS[size]
    urls = [idle_tick.written(url, campaigns) for url in (databases.made(), empty_ledger(folder, "idle.db"))]
    ours, beside = in_turn(size, *(partial(aside, idle_tick.milliseconds, url, folder) for url in urls))
    yield Result(f"idle tick, {campaigns:,} campaigns", "ms", figure(ours), Target("under", 5), BESIDE, figure(beside))


def _ten_connections(size: Size, folder: Path, databases: PostgresDatabases) -> Iterator[Result]:
    mails, names = MAILS[size], iter(range(100))
    with discarding_server(ANSWERS_AFTER_S) as port:

        def rate(new: Callable[[], URL]) -> float:
            url = start_campaign(new(), folder, mails, port=port, connections=CONNECTIONS)
            return aside(drain.rate, url, folder, mails)

        ours, beside = in_turn(
            size, lambda: rate(databases.made), lambda: rate(lambda: empty_ledger(folder, f"ten-{next(names)}.db"))
        )
    target = Target("at least", 0.8 * CONNECTIONS / ANSWERS_AFTER_S)
    name = f"{CONNECTIONS} connections, answer after {ANSWERS_AFTER_S * 1000:.0f} ms"
    yield Result(name, "mails/s", figure(ours), target, BESIDE, figure(beside))


class Counted(Aggregate):
    """An aggregate of the library."""

    class Happened(Aggregate.Event):
        """Any event."""

        number: int


class CountedView(PostgresTrackingRecorder):
    """A table with a row for each event, as the library's documentation makes a view."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sql_create_statements.append(
            SQL("CREATE TABLE IF NOT EXISTS happened (number bigint PRIMARY KEY)").format()
        )

    def take(self, number: int, tracking: Tracking) -> None:
        """The row and the position, in one transaction."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute("INSERT INTO happened VALUES (%s) ON CONFLICT DO NOTHING", (number,))


class CountedProjection(Projection[CountedView]):
    """Folds one event at a time."""

    def process_event(self, _domain_event: Any, tracking: Tracking) -> None:
        """A row for it."""
        self.view.take(tracking.notification_id, tracking)


def write_for_the_library(url: URL, events: int) -> None:
    """So many events by the library's own recorder."""
    application: Application[UUID] = Application(_environment(url))
    with closing(application):
        aggregate = Counted()
        for number in range(1, events):
            aggregate.trigger_event(Counted.Happened, number=number)
        application.save(aggregate)


def library_seconds(url: URL, events: int) -> float:
    """The library's projection from the first event to the last, into a view that knows none."""
    with psycopg.connect(connection_string(url), autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS happened, countedprojection_tracking")
    begun = perf_counter()
    with ProjectionRunner(
        application_class=Application,
        projection_class=CountedProjection,
        view_class=CountedView,
        env=_environment(url),
    ) as runner:
        runner.wait(events, timeout=LIBRARY_TIMEOUT_S)
        return perf_counter() - begun


def _environment(url: URL) -> dict[str, str]:
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": url.database or "",
        "POSTGRES_HOST": str(url.host or url.query.get("host", "")),
        "POSTGRES_PORT": str(url.port or 5432),
        "POSTGRES_USER": url.username or "",
        "POSTGRES_PASSWORD": url.password or "unused",
    }
