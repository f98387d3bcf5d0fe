"""Given a ledger in a real database, when processes die at its views or work on them at once, then they are whole."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from math import ceil

import pytest
from sqlalchemy import Engine

from domain.events import Event
from projections.database import engine_for
from projections.projector import Projector
from runner.store.ledger import Ledger
from tests.faults.processes import ended, started, wait_until
from tests.projections import victims
from tests.projections.databases import Databases
from tests.projections.given import Rows, all_rows, damage, projected, story, tables_of
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


@pytest.fixture(scope="module")
def sound(databases: Databases) -> dict[str, Rows]:
    """What the views of the whole story must be."""
    engine = engine_for(databases.made())
    projected(engine, STORY, batch=len(STORY))
    found = all_rows(engine)
    engine.dispose()
    return found


@pytest.mark.parametrize("statement", IN_A_BATCH)
def test_i5_killed_anywhere_in_a_batch_leaves_rows_and_position_as_they_were(
    database: str, engine: Engine, ledger: Ledger, sound: dict[str, Rows], statement: str
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
    database: str, engine: Engine, ledger: Ledger, sound: dict[str, Rows], moment: Moment
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
    database: str, engine: Engine, ledger: Ledger, sound: dict[str, Rows]
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
    database: str, engine: Engine, ledger: Ledger, sound: dict[str, Rows]
) -> None:
    ledger.append(STORY[:HALF])
    followers = [started(victims.follow_to, database, len(STORY)) for _ in range(3)]
    views = Projector(engine, ledger.read)
    wait_until(lambda: views.position > 0)
    for event in STORY[HALF:]:
        ledger.append([event])

    assert [ended(follower) for follower in followers] == [0, 0, 0]

    assert all_rows(engine) == sound


def test_views_are_rebuilt_while_another_process_appends(
    database: str, engine: Engine, ledger: Ledger, sound: dict[str, Rows]
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


def killed(moment: Moment, work: Callable[[str], object], url: str) -> bool:
    return ended(started(victims.killed_at, moment, work, url)) == -signal.SIGKILL
