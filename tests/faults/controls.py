"""Controls: two senders that are weak on purpose, as many senders are. A harness that does not catch their duplicates
proves nothing of a strong one. Both mail the very messages of campaign 1, by the same SMTP, over a table of their own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy.engine import URL

from domain.policies import Send
from runner.sending.preparing import Order, Preparer
from runner.sending.servers import Servers
from runner.store.ledger import Ledger
from tests.faults.steps import Fault, struck

LEASE = timedelta(minutes=5)
"""How long a lock of the second control is respected."""


@dataclass(frozen=True, slots=True)
class WeakPlan:
    """What a weak sender does: everything that is to do in its table, at this instant."""

    database: URL
    table: Path
    now: datetime
    faults: tuple[Fault, ...] = ()


def make_table(path: Path, leads: int) -> None:
    """Everybody waits."""
    with closing(sqlite3.connect(path, isolation_level=None)) as table:
        table.execute("CREATE TABLE leads (position INTEGER PRIMARY KEY, sent INTEGER, locked_until TEXT)")
        table.executemany("INSERT INTO leads VALUES (?, 0, '')", [(position,) for position in range(leads)])


def select_send_mark(plan: WeakPlan) -> None:
    """Select who waits; send; then mark as sent."""
    with _at_work(plan) as (table, send):
        for (position,) in table.execute("SELECT position FROM leads WHERE NOT sent").fetchall():
            send(position)
            table.execute("UPDATE leads SET sent = 1 WHERE position = ?", (position,))


def lock_that_expires(plan: WeakPlan) -> None:
    """Lock one who waits, atomically; send; then mark as sent. A lock that has expired may be taken by anybody."""
    with _at_work(plan) as (table, send):
        while (position := _lock_next(table, plan.now)) is not None:
            send(position)
            table.execute("UPDATE leads SET sent = 1 WHERE position = ?", (position,))


def _lock_next(table: sqlite3.Connection, now: datetime) -> int | None:
    locked = table.execute(
        "UPDATE leads SET locked_until = ? WHERE position ="
        " (SELECT min(position) FROM leads WHERE NOT sent AND locked_until <= ?) RETURNING position",
        ((now + LEASE).isoformat(), now.isoformat()),
    ).fetchall()
    return locked[0][0] if locked else None


@contextmanager
def _at_work(plan: WeakPlan) -> Iterator[tuple[sqlite3.Connection, Callable[[int], None]]]:
    with (
        struck(*plan.faults),
        closing(Ledger(plan.database)) as ledger,
        closing(sqlite3.connect(plan.table, isolation_level=None)) as table,
    ):
        preparer, servers = Preparer(ledger), Servers(ledger, loopback_only=True)

        def send(position: int) -> None:
            with ledger.campaign_and_mailbox(1) as (campaign, mailbox):
                whom = Send(position, campaign.numbers.lead_id(position), plan.now)
                prepared = preparer.prepare(Order.of(campaign, mailbox, whom, plan.now))
            session = servers.open(campaign.mailbox)
            session.hold(prepared.envelope, prepared.message)
            session.dot()
            session.quit()

        yield table, send
