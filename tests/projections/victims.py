"""The work of processes of their own: they follow or rebuild the views of a ledger, append to it, or die at that."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.sql import Composable
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL

from projections.database import engine_for, is_sqlite
from projections.projector import BATCH_EVENTS, Projector
from runner.store.ledger import Ledger
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


def killed_at(moment: Moment, work: Callable[[URL], object], url: URL) -> None:
    """Do this work, and at that moment be killed by the kernel."""
    struck_at(moment, _killed, work, url)


def struck_at(moment: Moment, strike: Callable[[], object], work: Callable[[URL], object], url: URL) -> None:
    """Do this work, and let something happen at that moment, after which the work goes on."""
    met, has_written = 0, False

    def meet(statement: str) -> None:
        nonlocal met, has_written
        if statement.startswith(moment.statement):
            met += 1
            if met == moment.nth:
                strike()
        has_written |= statement.startswith(WRITES)

    @event.listens_for(Engine, "commit")
    def before_commit(_connection: Connection) -> None:
        nonlocal has_written
        if has_written:
            has_written = False
            meet("COMMIT")

    (_tell_sqlite if is_sqlite(url) else _tell_postgres)(meet)
    work(url)


def _killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _tell_sqlite(meet: Callable[[str], object]) -> None:
    """Of each statement before it runs."""

    @event.listens_for(Engine, "before_cursor_execute")
    def before_statement(_connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        meet(statement.lstrip())


def _tell_postgres(meet: Callable[[str], object]) -> None:
    """The same, by the driver: rows in bulk go past SQLAlchemy. COPY is told as the INSERT that it stands for."""
    plain = [(psycopg.Cursor, name) for name in ("execute", "executemany", "copy")]
    for kind, name in (*plain, (psycopg.ServerCursor, "execute")):
        method = getattr(kind, name)

        def telling(cursor: Any, query: Any, *said: Any, _method: Any = method, **named: Any) -> Any:
            statement = query.as_string(cursor) if isinstance(query, Composable) else str(query)
            meet(re.sub(r"^COPY ", "INSERT INTO ", statement.replace('"', "").lstrip()))
            return _method(cursor, query, *said, **named)

        setattr(kind, name, telling)


def follow(url: URL) -> None:
    """Bring the views up to the end of the ledger, in one batch."""
    _projector(url, BATCH_EVENTS).catch_up()


def follow_to(url: URL, position: int) -> None:
    """Follow a ledger that others append to, in small batches, up to this position."""
    projector = _projector(url)
    while projector.catch_up() < position:
        pass


def rebuild(url: URL) -> None:
    """Make the views anew."""
    _projector(url).rebuild()


def tell_the_rest(url: URL, told: int) -> None:
    """Append the rest of the story, one event at a time, and let the views follow each."""
    ledger, projector = Ledger(url), _projector(url)
    for said in story()[told:]:
        ledger.append([said])
        projector.catch_up()


def _projector(url: URL, batch: int = SMALL_BATCH) -> Projector:
    return Projector(engine_for(url), Ledger(url).read, batch_events=batch)
