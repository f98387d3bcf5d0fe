"""The work of processes of their own: they follow or rebuild the views of a ledger, append to it, or die at that."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, event

from projections.database import engine_for
from projections.projector import BATCH_EVENTS, Projector
from tests.projections.databases import ledger_at
from tests.projections.given import story

SMALL_BATCH = 13
"""The story takes several of these."""

WRITES = ("INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER")


@dataclass(frozen=True, slots=True)
class Moment:
    """Before the `nth` statement (1-based) that begins so; `COMMIT` ends a transaction that has written."""

    statement: str
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.statement} {self.nth}"


def killed_at(moment: Moment, work: Callable[[str], object], url: str) -> None:
    """Do this work, and at that moment be killed by the kernel."""
    met = 0

    def meet(statement: str) -> None:
        nonlocal met
        met += statement.startswith(moment.statement)
        if met == moment.nth:
            os.kill(os.getpid(), signal.SIGKILL)

    @event.listens_for(Engine, "before_cursor_execute")
    def before_statement(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip().startswith(WRITES):
            connection.info["has written"] = True
        meet(statement.lstrip())

    @event.listens_for(Engine, "commit")
    def before_commit(connection: Connection) -> None:
        if connection.info.pop("has written", False):
            meet("COMMIT")

    work(url)


def follow(url: str) -> None:
    """Bring the views up to the end of the ledger, in one batch."""
    _projector(url, BATCH_EVENTS).catch_up()


def follow_to(url: str, position: int) -> None:
    """Follow a ledger that others append to, in small batches, up to this position."""
    projector = _projector(url)
    while projector.catch_up() < position:
        pass


def rebuild(url: str) -> None:
    """Make the views anew."""
    _projector(url).rebuild()


def tell_the_rest(url: str, told: int) -> None:
    """Append the rest of the story, one event at a time, and let the views follow each."""
    ledger, projector = ledger_at(url), _projector(url)
    for said in story()[told:]:
        ledger.append([said])
        projector.catch_up()


def _projector(url: str, batch: int = SMALL_BATCH) -> Projector:
    return Projector(engine_for(url), ledger_at(url).read, batch_events=batch)
