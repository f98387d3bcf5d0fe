"""Given a ledger, when it is projected, rebuilt or checked, then the views are whole, whatever breaks off meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import Engine, delete, select, update
from sqlalchemy.exc import IntegrityError

from domain.events import EmailQueued, Event, RunnerStarted, TickStarted
from projections import views
from projections.batch import BrokenStream
from projections.database import engine_for, reading, writing
from projections.projector import Projector, RebuildDisturbed
from tests.domain.given import NOON
from tests.projections.given import (
    Log,
    Runner,
    all_rows,
    damage,
    emptied,
    eventful,
    only,
    projected,
    rows,
    tables_of,
)
from tests.projections.happenings import START_SHADOW


class PlugPulled(BaseException):
    """The process ends here."""


class LogThatBreaks(Log):
    """A ledger that is lost after so many reads."""

    good_reads = 2

    def read(self, after: int, limit: int) -> list[tuple[int, Event]]:
        if self.reads == self.good_reads:
            raise PlugPulled
        return super().read(after, limit)


def test_catching_up_goes_on_where_it_stopped(engine: Engine) -> None:
    world = eventful()
    log = Log(world.history[:7])
    projector = Projector(engine, log.read)
    assert projector.catch_up() == 7

    log.events = world.history
    told: list[int] = []
    assert projector.catch_up(told.append) == len(world.history) == projector.position
    assert told == [len(world.history)]
    assert projector.check() == []


def test_an_empty_ledger_has_empty_views(engine: Engine) -> None:
    projector = Projector(engine, Log().read)
    assert (projector.catch_up(), projector.rebuild(), projector.check()) == (0, 0, [])


def test_progress_names_the_position_after_every_batch(engine: Engine) -> None:
    world = eventful()
    told: list[int] = []
    Projector(engine, Log(world.history).read, batch_events=10).catch_up(told.append)
    assert told == [10, 20, len(world.history)]


def test_i5_batches_of_any_size_make_the_same_rows(engine: Engine) -> None:
    world = eventful()
    projected(engine, world.history)
    whole = all_rows(engine)
    projected(emptied(engine), world.history, batch=1)
    assert all_rows(engine) == whole


def test_what_breaks_off_keeps_rows_and_position_together(engine: Engine) -> None:
    world = eventful()
    with pytest.raises(PlugPulled):
        Projector(engine, LogThatBreaks(world.history).read, batch_events=6).catch_up()

    projector = Projector(engine, Log(world.history).read)
    assert projector.position == 12
    projector.catch_up()
    assert projector.check() == []


def test_a_batch_that_the_database_refuses_leaves_rows_and_position_and_the_projector_goes_on(engine: Engine) -> None:
    """The last of its leads has a number that another one has: the database says so when some rows are written."""
    world = eventful()
    projector = projected(engine, world.history)
    before = all_rows(engine)
    world.queue(5, 5)
    world.delivered(6)
    log = Log(world.history)
    twice = [event for event in log.events if isinstance(event, EmailQueued)][-1]
    log.events[log.events.index(twice)] = twice.model_copy(update={"lead_id": 100})

    projector = Projector(engine, log.read)
    with pytest.raises(IntegrityError):
        projector.catch_up()
    assert all_rows(engine) == before

    log.events = world.history
    assert projector.catch_up() == len(world.history)
    assert projector.check() == []


def test_two_projectors_at_once_fold_every_event_once(engine: Engine) -> None:
    """The second one overtakes the first between its reading and its writing, every time."""
    world = eventful()
    log = Log(world.history)
    other = Projector(engine, log.read, batch_events=3)

    def read_and_be_overtaken(after: int, limit: int) -> Sequence[tuple[int, Event]]:
        events = log.read(after, limit)
        other.catch_up()
        return events

    projector = Projector(engine, read_and_be_overtaken, batch_events=5)
    assert projector.catch_up() == len(world.history)
    assert projector.check() == []


def test_nothing_new_takes_no_lock(engine: Engine) -> None:
    projector, other = projected(engine, eventful().history), engine_for(engine.url)
    with writing(other) as connection:
        connection.execute(update(views.progress).values(position=views.progress.c.position))
        assert projector.catch_up() == projector.position
    other.dispose()


def test_a_rebuild_mends_what_was_damaged(engine: Engine) -> None:
    projector = projected(engine, eventful().history, batch=6)
    sound = all_rows(engine)
    damage(engine)
    assert all_rows(engine) != sound

    told: list[int] = []
    assert projector.rebuild(told.append) == projector.position
    assert told[0] == 6
    assert all_rows(engine) == sound


def test_views_too_damaged_to_follow_name_the_command_that_mends_them(engine: Engine) -> None:
    world = eventful()
    projected(engine, world.history)
    with writing(engine) as connection:
        connection.execute(delete(views.leads))
    world.failed(next(iter(world.campaign.open)))
    projector = Projector(engine, Log(world.history).read)

    with pytest.raises(BrokenStream, match=r"that was never queued\. If the views were damaged, `sendledger rebuild`"):
        projector.catch_up()

    projector.rebuild()
    assert projector.check() == []


def test_a_rebuild_leaves_the_schema_as_it_was(engine: Engine) -> None:
    before = tables_of(engine)
    projector = projected(engine, eventful().history)
    projector.rebuild()
    projector.rebuild()
    assert tables_of(engine) == before


def test_a_rebuild_that_breaks_off_leaves_the_live_views(engine: Engine) -> None:
    world = eventful()
    projected(engine, world.history)
    sound, tables = all_rows(engine), tables_of(engine)

    with pytest.raises(PlugPulled):
        Projector(engine, LogThatBreaks(world.history).read, batch_events=6).rebuild()

    assert all_rows(engine) == sound
    assert tables_of(engine) == tables


def test_a_rebuild_clears_up_after_one_that_was_killed(engine: Engine) -> None:
    projector = projected(engine, eventful().history)
    tables = tables_of(engine)
    with writing(engine) as connection:
        connection.exec_driver_sql("CREATE TABLE rebuilt_leads (nonsense INTEGER)")

    projector.rebuild()

    assert tables_of(engine) == tables
    assert projector.check() == []


def test_readers_see_the_old_views_until_a_rebuild_is_done(engine: Engine) -> None:
    world = eventful()
    projected(engine, world.history)
    damage(engine)
    log, seen = Log(world.history), []

    def read_and_look(after: int, limit: int) -> Sequence[tuple[int, Event]]:
        seen.append(len(rows(engine, "leads")))
        return log.read(after, limit)

    Projector(engine, read_and_look, batch_events=4).rebuild()

    assert set(seen) == {5}  # one row is missing from the damaged views
    assert len(rows(engine, "leads")) == 6


def test_events_appended_while_a_rebuild_runs_are_in_it(engine: Engine) -> None:
    world = eventful()
    log = Log(world.history[:12])

    def read_while_others_append(after: int, limit: int) -> Sequence[tuple[int, Event]]:
        events = log.read(after, limit)
        log.events = world.history[: len(log.events) + 1]
        return events

    projector = Projector(engine, read_while_others_append, batch_events=5)
    assert projector.rebuild() == len(world.history)
    assert projector.check() == []


def test_a_rebuild_never_takes_the_views_back(engine: Engine) -> None:
    """More is appended, and folded into the live views, when the rebuild believes that it has read all."""
    world = eventful()
    log = Log(world.history[:12])
    live = projected(engine, log.events)

    def read_too_early(after: int, limit: int) -> Sequence[tuple[int, Event]]:
        events = log.read(after, limit)
        if not events and len(log.events) == 12:
            log.events = world.history
            Projector(engine, log.read).catch_up()
        return events

    assert Projector(engine, read_too_early).rebuild() == len(world.history) == live.position


def test_a_rebuild_whose_fresh_tables_were_taken_says_so(engine: Engine) -> None:
    """A second rebuild begins and ends while the first one reads."""
    world = eventful()
    log = Log(world.history)
    other = Projector(engine, log.read)
    log.reads = -1

    def read_while_another_rebuilds(after: int, limit: int) -> Sequence[tuple[int, Event]]:
        events = log.read(after, limit)
        if log.reads == 0:
            other.rebuild()
        return events

    with pytest.raises(RebuildDisturbed, match="by another process at the same time"):
        Projector(engine, read_while_another_rebuilds, batch_events=5).rebuild()

    assert other.check() == []


def test_check_names_table_key_and_both_rows(engine: Engine) -> None:
    projector = projected(engine, eventful().history)
    sound = rows(engine, "leads")
    damage(engine)

    changed, missing, added = projector.check()

    assert (changed.table, changed.key) == ("campaigns", {"id": 1})
    assert changed.live is not None
    assert changed.rebuilt is not None
    assert (changed.live["name"], changed.rebuilt["name"]) == ("Spring", "Autumn")
    assert (missing.table, missing.key) == ("leads", {"campaign_id": 1, "position": 2})
    assert (missing.live, missing.rebuilt) == (None, sound[2])
    assert (added.table, added.key, added.rebuilt) == ("mailbox_days", {"mailbox": "sales", "date": "1999-01-01"}, None)


@pytest.mark.parametrize("name", views.METADATA.tables)
def test_check_finds_one_cell_that_was_tampered_with_in_any_table(engine: Engine, name: str) -> None:
    runner = Runner()
    runner.says(RunnerStarted, host="one", pid=7, version="0.1.0")
    runner.says(TickStarted, sender="v2", tick_at=NOON, due=2)
    world = eventful()
    world.flag()
    START_SHADOW(world)
    projector = projected(engine, [*world.history, *runner.history])
    table, row = views.METADATA.tables[name], rows(engine, name)[0]
    key = {column.name: row[column.name] for column in table.primary_key}
    cell = list(table.columns)[-1]
    value = (row[cell.name] or 0) + 1 if cell.type.python_type is int else "forged"

    with writing(engine) as connection:
        connection.execute(update(table).where(*(table.c[name] == key[name] for name in key)).values({cell: value}))

    found = only(projector.check())
    assert (found.table, found.key) == (name, key)
    assert found.live == {**row, cell.name: value}
    assert found.rebuilt == row


def test_check_changes_nothing(engine: Engine) -> None:
    projector = projected(engine, eventful().history)
    damage(engine)
    before, tables = all_rows(engine), tables_of(engine)
    projector.check()
    assert (all_rows(engine), tables_of(engine)) == (before, tables)


def test_check_follows_views_that_move_on(engine: Engine) -> None:
    """Events are appended, and folded by another projector, while the check fills its own tables."""
    world = eventful()
    log = Log(world.history[:12])
    live = Projector(engine, log.read)

    def read_while_the_views_move(after: int, limit: int) -> Sequence[tuple[int, Event]]:
        events = log.read(after, limit)
        log.events = world.history[: len(log.events) + 2]
        live.catch_up()
        return events

    assert Projector(engine, read_while_the_views_move, batch_events=5).check() == []
    assert live.position > 12


def test_views_never_lag_behind_their_position_in_one_snapshot(engine: Engine) -> None:
    world = eventful()
    projected(engine, world.history[:8])
    with reading(engine) as connection:
        seen = connection.execute(select(views.progress.c.position)).scalar_one()
        projected(engine, world.history)
        leads = connection.execute(select(views.leads)).all()
    assert (seen, len(leads)) == (8, 6)


def test_time_goes_on_for_leads_of_a_later_batch(engine: Engine) -> None:
    world = eventful()
    projector = projected(engine, world.history, batch=4)
    world.now += timedelta(days=1)
    world.delivered(4)
    follower = projected(engine, world.history, batch=4)
    assert follower.position == projector.position
    assert [row["state"] for row in rows(engine, "leads")][4] == "sent"
