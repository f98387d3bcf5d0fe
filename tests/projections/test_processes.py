"""Given a ledger in a real database, when processes die at its views or work on them at once, then they are whole."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import ceil

import pytest
from sqlalchemy import Connection, Engine, select
from sqlalchemy.engine import URL

from domain.events import Event
from projections import views
from projections.database import engine_for
from projections.projector import Projector
from runner.store.ledger import Ledger
from tests.databases import Databases
from tests.faults.processes import TIMEOUT_S, ended, started, wait_until
from tests.projections import victims
from tests.projections.given import LEADS, Rows, all_rows, damage, projected, story, tables_of
from tests.projections.victims import SMALL_BATCH, Moment

STORY = story()
HALF = len(STORY) // 2
"""So much of it stands in the views, or in the ledger, when a process takes over."""

IN_A_BATCH = [
    *("INSERT INTO leads", "UPDATE leads", "INSERT INTO send_log", "UPDATE send_log", "UPDATE campaigns"),
    *("INSERT INTO event_counts", "UPDATE event_counts", "UPDATE progress", "COMMIT"),
]
IN_A_REBUILD = [
    *(Moment("CREATE TABLE rebuilt_ticks"), Moment("COMMIT"), Moment("UPDATE rebuilt_progress", 3)),
    *(Moment("COMMIT", 3), Moment("DROP TABLE campaigns"), Moment("ALTER TABLE rebuilt_leads")),
    *(Moment("CREATE INDEX ticks_by_position"), Moment("COMMIT", 2 + ceil(len(STORY) / SMALL_BATCH))),
]
"""The first commit makes the tables, the last one puts them in place of the live ones."""


@pytest.fixture
def engine(own_engine: Engine) -> Engine:
    """Here a real ledger is behind the views."""
    return own_engine


@pytest.fixture(scope="module")
def sound(all_databases: Databases) -> dict[str, Rows]:
    """What the views of the whole story must be."""
    with all_databases.within() as databases:
        engine = engine_for(databases.made())
        projected(engine, STORY, batch=len(STORY))
        found = all_rows(engine)
        engine.dispose()
    return found


@pytest.mark.parametrize("statement", IN_A_BATCH)
def test_i5_killed_anywhere_in_a_batch_leaves_rows_and_position_as_they_were(
    database: URL, engine: Engine, ledger: Ledger, sound: dict[str, Rows], statement: str
) -> None:
    ledger.append(STORY)
    projected(engine, STORY[:HALF])
    before = all_rows(engine)

    assert killed(Moment(statement), victims.follow, database)
    assert all_rows(engine) == before

    Projector(engine, ledger.read).catch_up()
    assert all_rows(engine) == sound


@pytest.mark.parametrize("moment", IN_A_REBUILD, ids=str)
def test_a_rebuild_that_is_killed_changes_nothing_and_the_next_one_is_whole(
    database: URL, engine: Engine, ledger: Ledger, sound: dict[str, Rows], moment: Moment
) -> None:
    ledger.append(STORY)
    projected(engine, STORY)
    tables = tables_of(engine)
    damage(engine)
    damaged = all_rows(engine)

    assert killed(moment, victims.rebuild, database)
    assert all_rows(engine) == damaged

    Projector(engine, ledger.read).rebuild()
    assert all_rows(engine) == sound
    assert tables_of(engine) == tables


def test_what_a_killed_rebuild_leaves_behind_is_no_view(
    database: URL, engine: Engine, ledger: Ledger, sound: dict[str, Rows]
) -> None:
    """The live views go on from where they stood."""
    ledger.append(STORY[:HALF])
    projected(engine, STORY[:HALF])
    assert killed(Moment("UPDATE rebuilt_progress", 2), victims.rebuild, database)
    assert "rebuilt_leads" in tables_of(engine)

    ledger.append(STORY[HALF:])
    projector = Projector(engine, ledger.read)
    projector.catch_up()

    assert all_rows(engine) == sound
    assert projector.check() == []


def test_projectors_of_several_processes_fold_every_event_once(
    database: URL, engine: Engine, ledger: Ledger, sound: dict[str, Rows]
) -> None:
    ledger.append(STORY[:HALF])
    followers = [started(victims.follow_to, database, len(STORY)) for _ in range(3)]
    projector = Projector(engine, ledger.read)
    wait_until(lambda: projector.position > 0)
    for event in STORY[HALF:]:
        ledger.append([event])

    assert [ended(follower) for follower in followers] == [0, 0, 0]

    assert all_rows(engine) == sound


def test_views_are_rebuilt_while_another_process_appends(
    database: URL, engine: Engine, ledger: Ledger, sound: dict[str, Rows]
) -> None:
    ledger.append(STORY[:HALF])
    projected(engine, STORY[:HALF])
    teller = started(victims.tell_the_rest, database, HALF)

    def read_when_more_was_told(after: int, limit: int) -> Sequence[tuple[int, Event]]:
        if after == 0:  # not later: the swap reads inside the lock that the other process needs
            wait_until(lambda: ledger.position() > position or ledger.position() == len(STORY))
        return ledger.read(after, limit)

    projector = Projector(engine, read_when_more_was_told, batch_events=SMALL_BATCH)
    tables, rebuilt = tables_of(engine), 0
    while (position := ledger.position()) < len(STORY):
        rebuilt += projector.rebuild() > position
    assert ended(teller) == 0

    projector.catch_up()
    assert rebuilt > 0
    assert all_rows(engine) == sound
    assert tables_of(engine) == tables


def test_a_snapshot_holds_while_views_are_rebuilt(database: URL, engine: Engine, ledger: Ledger) -> None:
    """One reader has read a table when the rebuild is done but for the swap; another one comes only then."""
    ledger.append(STORY)
    projector, another = (Projector(engine, ledger.read) for _ in range(2))
    with ThreadPoolExecutor(1) as pool:
        with projector.views() as connection:
            connection.execute(select(views.event_counts))
            rebuilding = started(victims.rebuild, database)
            wait_until(lambda: held_up(engine) == 1 or not rebuilding.is_alive())
            later = pool.submit(seen_by, another)
            wait_until(lambda: held_up(engine) == 2 or later.done())
            seen = shapes(connection)
        assert seen == later.result(TIMEOUT_S) == (2, 2 * (LEADS + 2))
    assert ended(rebuilding) == 0


def seen_by(projector: Projector) -> tuple[int, ...]:
    with projector.views() as connection:
        return shapes(connection)


def shapes(connection: Connection) -> tuple[int, ...]:
    """How many campaigns and leads there are."""
    return tuple(len(connection.execute(select(table)).all()) for table in (views.campaigns, views.leads))


def held_up(engine: Engine) -> int:
    """How many wait for a table. SQLite's readers and a rebuild never wait for each other."""
    if engine.dialect.name == "sqlite":
        return 0
    with engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted").scalar_one())


def killed(moment: Moment, work: Callable[[URL], object], url: URL) -> bool:
    return ended(started(victims.killed_at, moment, work, url)) == -signal.SIGKILL
