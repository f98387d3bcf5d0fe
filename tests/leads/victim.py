"""The work of a process that is killed in the middle of it: an import of leads, or of the suppression list."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import runner.leads.importing
from runner.leads.spool import Spool
from runner.store.ledger import Ledger
from runner.store.recorder import Appending
from tests.faults.steps import STEPS, Fault, Step, struck
from tests.leads.world import World

IMPORT_STEPS = {
    "before the file is read": Step(runner.leads.importing, "_read"),
    "while the file is read": Step(Spool, "add", after=True),
    "before the append": Step(Appending, "insert"),
    "after the events, before the contacts": Step(Appending, "insert", after=True),
    "after the contacts, before the commit": Step(Appending, "keep", after=True),
    "after the commit": Step(Ledger, "_evolve"),
    "before the report": Step(runner.leads.importing, "_report"),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """Which file goes into campaign 4 of which ledger, or into its suppression list, and what strikes meanwhile."""

    database: Path
    file: Path
    faults: tuple[Fault, ...] = ()
    suppresses: bool = False


def run(plan: Plan) -> None:
    """Import the file, to its end or to the fault."""
    STEPS.update(IMPORT_STEPS)
    with struck(*plan.faults):
        world = World(plan.database)
        if plan.suppresses:
            world.suppress_from(plan.file)
        else:
            world.load_file(plan.file)
        world.close()
