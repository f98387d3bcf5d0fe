"""The work of a process that is to meet its faults: a runner as it ships, with simulated or real time."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import structlog
from psycopg.sql import SQL
from psycopg_pool.base import AttemptWithBackoff
from sqlalchemy.engine import URL

import runner.sending.liveness
import runner.sending.recording
import runner.store.postgres
from runner.clock import RealClock, SimulatedClock
from runner.daemon import CADENCE, Runner, run_real, run_simulated, stopped_by_signals
from runner.sending.guard import Guard
from runner.store.ledger import Ledger
from tests.faults.steps import Fault, struck

RETRY_EVERY_S = 0.01
RECONNECT_AFTER_S = 0.02
"""psycopg's pool waits a second before it tries again, and twice as long each time after that."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a runner does: from `start` to `until` in simulated time, or in real time until it is told to stop."""

    database: URL
    runners: Path
    faults: tuple[Fault, ...] = ()
    start: datetime | None = None
    until: datetime | None = None
    claims: bool = True  # False: it works on every campaign, whoever else does
    patience: Mapping[str, float] = field(
        default_factory=dict
    )  # other values for the time-outs of its PostgreSQL store


def run(plan: Plan) -> None:
    """Run to the end of the plan, or to its fault."""
    runner.sending.recording.RETRY_EVERY_S = RETRY_EVERY_S
    AttemptWithBackoff.INITIAL_DELAY = RECONNECT_AFTER_S
    vars(runner.store.postgres).update(plan.patience)
    if not plan.claims:
        vars(runner.sending.liveness)["CLAIM"] = SQL("SELECT true OR %s > 0")
    _log_to(plan.runners.parent / "log")
    with struck(*plan.faults):
        ledger = Ledger(plan.database)
        Guard(ledger, plan.runners).check()
        if plan.start is None or plan.until is None:
            _in_real_time(ledger, plan)
        else:
            clock = SimulatedClock(plan.start)
            with Runner(ledger, plan.runners, clock) as at_work, stopped_by_signals(at_work):
                run_simulated(at_work, clock, CADENCE, plan.until)
        ledger.close()


def _in_real_time(ledger: Ledger, plan: Plan) -> None:
    with Runner(ledger, plan.runners, RealClock()) as at_work, stopped_by_signals(at_work):
        run_real(at_work, CADENCE, plan.until)


def _log_to(path: Path) -> None:
    log = path.open("ab", buffering=0)

    def write(_logger: object, _method: str, entry: structlog.typing.EventDict) -> structlog.typing.EventDict:
        with suppress(OSError):  # its disk may be full
            log.write(f"{entry}\n".encode())
        raise structlog.DropEvent

    structlog.configure(processors=[structlog.processors.format_exc_info, write])
