"""What the tests of the views share: worlds whose events they are given, ledgers to read, and looks into tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from sqlalchemy import Engine, delete, insert, inspect, select, update

from domain import events as e
from domain.emitting import Draft
from projections import views
from projections.database import reading, writing
from projections.projector import Projector
from tests.domain.given import GREYLISTED, NO_DELAY, NOON, PERMANENT, World

Rows = list[dict[str, Any]]
T = TypeVar("T")

LEADS = 8
"""Leads of each campaign of the story."""


class Log:
    """The ledger as the projector reads it: events and their positions, from 1."""

    def __init__(self, events: Iterable[e.Event] = ()) -> None:
        self.events = list(events)
        self.reads = 0

    def read(self, after: int, limit: int) -> list[tuple[int, e.Event]]:
        self.reads += 1
        return list(enumerate(self.events[after : after + limit], start=after + 1))


class Runner:
    """Events of a runner's stream, as a daemon appends them: one a second."""

    def __init__(self, name: str = "runner-1") -> None:
        self.name = name
        self.history: list[e.Event] = []

    def says(self, kind: type[e.Event], **said: Any) -> None:
        number = len(self.history)
        draft = Draft(self.name, number, NOON + timedelta(seconds=number + 1))
        self.history.append(draft.add(kind, runner=self.name, **said))


# --- given ---


def eventful() -> World:
    """A campaign of six leads: one is being mailed, the others are each in another state."""
    world = World()
    world.queue(5, 5, 5, 5, 5, 5)
    world.start()
    world.delivered(0)
    world.refused_before_lock(1)
    world.skip(2)
    world.in_doubt(world.lock(3))
    world.failed(world.lock(4))
    world.lock(5)
    return world


def two_campaigns(*, observed: bool = False, **settings: Any) -> tuple[World, World]:
    """On one mailbox, one on each sender, with one history. `observed`: the first is an old system's."""
    first = World(observed=observed, **settings)
    second = World(number=2, owner="v2", mailbox=first.mailbox, **settings)
    first.history += second.history
    second.history = first.history
    return first, second


def story() -> list[e.Event]:
    """Two campaigns take turns; leads come and leave by every way there is, until one of them is cancelled."""
    first, second = worlds = two_campaigns(limits=NO_DELAY)
    for world in worlds:
        world.queue(*[5] * LEADS)
        world.start()
    for position in range(LEADS):
        for world in worlds:
            world.now += timedelta(minutes=1)
            _one_lead(world, position)
    for world in worlds:
        world.queue(9, 1)
    first.skip(LEADS)
    second.cancel()
    return first.history


def _one_lead(world: World, position: int) -> None:
    match position % 4:
        case 0:
            world.delivered(position)
        case 1:
            world.in_doubt(world.lock(position))
            world.resolve(position, "not sent")
            world.failed(world.lock(position), PERMANENT)
        case 2:
            world.refused_before_lock(position, GREYLISTED)
        case _:
            world.lock(position)


def projected(engine: Engine, events: Iterable[e.Event], *, batch: int = 4000) -> Projector:
    """The views of these events."""
    projector = Projector(engine, Log(events).read, batch_events=batch)
    projector.catch_up()
    return projector


def emptied(engine: Engine) -> Engine:
    """Views of an empty ledger again."""
    with writing(engine) as connection:
        for table in views.METADATA.tables.values():
            connection.execute(delete(table))
        connection.execute(insert(views.progress), {"id": views.PROGRESS_ID, "position": 0})
    return engine


def damage(engine: Engine) -> None:
    """One row changed, one removed, one added."""
    with writing(engine) as connection:
        connection.execute(update(views.campaigns).where(views.campaigns.c.id == 1).values(name="Spring"))
        connection.execute(delete(views.leads).where(views.leads.c.campaign_id == 1, views.leads.c.position == 2))
        connection.execute(insert(views.mailbox_days), {"mailbox": "sales", "date": "1999-01-01", "mails": 1})


# --- then ---


def rows(engine: Engine, name: str) -> Rows:
    """All rows of a view table, in the order of its key."""
    table = views.METADATA.tables[name]
    with reading(engine) as connection:
        found = connection.execute(select(table).order_by(*table.primary_key)).mappings()
        return [dict(row) for row in found]


def all_rows(engine: Engine) -> dict[str, Rows]:
    """Every view table, whole."""
    return {name: rows(engine, name) for name in views.METADATA.tables}


def only(found: Sequence[T]) -> T:
    """The one there is."""
    assert len(found) == 1
    return found[0]


def tables_of(engine: Engine) -> dict[str, Any]:
    """All tables there are, with columns, keys and indexes."""
    inspector = inspect(engine)
    return {
        name: (
            [(column["name"], str(column["type"]), column["nullable"]) for column in inspector.get_columns(name)],
            inspector.get_pk_constraint(name)["constrained_columns"],
            [(index["name"], index["column_names"], index["unique"]) for index in inspector.get_indexes(name)],
        )
        for name in inspector.get_table_names()
    }
