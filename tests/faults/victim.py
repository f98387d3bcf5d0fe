"""The work of a process that is to meet its faults: a runner as it ships, with simulated or real time."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog

import runner.sending.recording
from runner.clock import RealClock, SimulatedClock
from runner.daemon import CADENCE, Runner, run_real, run_simulated, stopped_by_signals
from runner.sending.guard import Guard
from runner.store.ledger import Ledger
from tests.faults.steps import Fault, struck

RETRY_EVERY_S = 0.01


@dataclass(frozen=True, slots=True)
class Plan:
    """What a runner does: from `start` to `until` in simulated time, or in real time until it is told to stop."""

    database: Path
    runners: Path
    faults: tuple[Fault, ...] = ()
    start: datetime | None = None
    until: datetime | None = None


def run(plan: Plan) -> None:
    """Run to the end of the plan, or to its fault."""
    runner.sending.recording.RETRY_EVERY_S = RETRY_EVERY_S
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
