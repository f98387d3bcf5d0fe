"""Given a ledger of revision 0003, when it is brought to this program's schema, then its views are made anew where a
shadow was ever started, for they lack what that says was due; and only there.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from sqlalchemy import Engine, insert, update
from sqlalchemy.engine import URL

from domain import events as e
from migrations import run
from projections import views
from projections.database import engine_for, writing
from projections.projector import Projector
from runner.store.ledger import Ledger
from tests.domain.given import running
from tests.migrations.test_from_0001 import bring_to
from tests.projections.given import all_rows, projected
from tests.projections.happenings import START_SHADOW, Happening, decides


@pytest.mark.parametrize("beside", [(START_SHADOW, decides("v2")), ()], ids=["a shadow", "none"])
def test_the_views_are_made_anew_where_there_was_a_shadow(
    empty: URL, engine: Engine, beside: Sequence[Happening]
) -> None:
    world = running(5, 5)
    for happen in beside:
        happen(world)
    projected(engine, world.history)
    third = third_ledger(empty, engine, world.history)

    run.upgrade(empty)

    ledger = Ledger(empty)
    projector = Projector(third, ledger.read)
    assert projector.position == (0 if beside else len(world.history))
    projector.catch_up()
    assert all_rows(third) == all_rows(engine)
    assert len(all_rows(third)["shadows"]) == (1 if beside else 0)
    ledger.close()
    third.dispose()


def third_ledger(empty: URL, today: Engine, history: list[e.Event]) -> Engine:
    """As revision 0003 left it, with the views that there were."""
    third = engine_for(empty)
    with writing(third) as connection:
        bring_to("0003", connection)
    ledger = Ledger(empty)
    for event in history:
        ledger.append([event])
    ledger.close()
    with writing(third) as connection:
        for name, rows in all_rows(today).items():
            if name == views.progress.name:
                connection.execute(update(views.progress).values(rows[0]))
            elif name != views.shadows.name and rows:
                connection.execute(insert(views.METADATA.tables[name]), rows)
    return third
