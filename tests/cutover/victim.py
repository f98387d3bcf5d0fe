"""The work of a process that is killed in the middle of an import from the old application."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import runner.legacy.importing
from runner.legacy.appending import InLedger
from tests.cli.desk import Desk
from tests.faults.steps import STEPS, Fault, Step, struck

BATCH = 4
"""So few leads, or sends, of one append, that a small campaign takes many."""

STEPS["before an append of an import"] = Step(InLedger, "append")
STEPS["after an append of an import"] = Step(InLedger, "append", after=True)


@dataclass(frozen=True, slots=True)
class Plan:
    """In which folder which command is given, with which environment, and what strikes meanwhile."""

    folder: Path
    words: tuple[str, ...]
    environment: dict[str, str]
    fault: Fault


def run(plan: Plan) -> None:
    """Give the command, to its end or to the fault."""
    os.chdir(plan.folder)
    os.environ.update(plan.environment)
    vars(runner.legacy.importing)["AT_ONCE"] = BATCH
    with struck(plan.fault):
        Desk(plan.folder).done(*plan.words)
