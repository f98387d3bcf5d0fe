"""The work of a process that is killed in the middle of it: an import of leads, or of the suppression list."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import URL

import runner.leads.importing
from projections.database import is_sqlite
from runner.leads.spool import Spool
from runner.store.ledger import Ledger
from runner.store.postgres import PostgresAppending
from runner.store.sqlite import SqliteAppending
from tests.faults.steps import STEPS, Fault, Step, struck
from tests.leads.world import World


def steps_on(appending: type) -> dict[str, Step]:
    """The steps of an import, on a database that appends by this class."""
    return {
        "before the file is read": Step(runner.leads.importing, "_read"),
        "while the file is read": Step(Spool, "add", after=True),
        "before the append": Step(appending, "insert"),
        "after the events, before the contacts": Step(appending, "insert", after=True),
        "after the contacts, before the commit": Step(appending, "keep", after=True),
        "after the commit": Step(Ledger, "_keep_snapshots"),
        "before the report": Step(runner.leads.importing, "_report"),
    }


@dataclass(frozen=True, slots=True)
class Plan:
    """Which file goes into campaign 4 of which ledger, or into its suppression list, and what strikes meanwhile."""

    database: URL
    file: Path
    faults: tuple[Fault, ...] = ()
    suppresses: bool = False


def run(plan: Plan) -> None:
    """Import the file, to its end or to the fault."""
    STEPS.update(steps_on(SqliteAppending if is_sqlite(plan.database) else PostgresAppending))
    with struck(*plan.faults):
        world = World(plan.database, plan.file.parent)
        if plan.suppresses:
            world.suppress_from(plan.file)
        else:
            world.load_file(plan.file)
        world.close()
