"""A ledger, a mail server and campaigns for the faults to strike, and everything that is true of them afterwards."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, bindparam, delete, select
from sqlalchemy.engine import URL

from domain import commands
from domain import events as e
from domain import mailbox as mailboxes
from domain.calendar import WEEK, Schedule
from domain.commitments import SALT_BYTES, contact_commitment, message_id
from domain.rules import Limits
from projections import kept
from projections.database import engine_for, is_sqlite, reading
from projections.projector import Projector
from runner.clock import SimulatedClock
from runner.daemon import CADENCE, Runner, run_simulated
from runner.mail.templates import Content
from runner.sending.guard import Guard
from runner.store.ledger import Ledger, campaign_stream, mailbox_stream
from tests.another_program import give_back, take_away
from tests.faults import victim
from tests.faults.processes import put_away, started
from tests.faults.server import Server
from tests.faults.steps import Fault, Strike, empty_disk, fill_disk

START = datetime(2026, 10, 5, 6, tzinfo=UTC)
"""A Monday, 08:00 in Warsaw."""

LATER = START + timedelta(minutes=10)
END = START + timedelta(hours=2)
"""By then every first back-off is over."""

ALWAYS = Schedule(zone="Europe/Warsaw", weekdays=WEEK, start="00:00", end="24:00")
NO_DELAY = Limits(daily_limit=1000, delay_s=0, max_attempts=4)
MAILBOX = "sales"
DOMAIN = "example.com"
DIGEST = "0" * 64

ERASE_CONTACT = delete(kept.contacts).where(
    kept.contacts.c.campaign_id == bindparam("b_campaign_id"), kept.contacts.c.lead_id == bindparam("b_lead_id")
)

Person = tuple[int, int]
"""Campaign and lead."""


@dataclass
class World:
    """A ledger, and in one folder the runners' own files and what the server has accepted."""

    folder: Path
    server: Server
    database: URL
    port: int = 0  # of another server than this one, if a test has its own
    _people: dict[str, Person] = field(default_factory=dict)
    _victims: list[BaseProcess] = field(default_factory=list)

    def __post_init__(self) -> None:
        Guard(self.ledger, self.runners).mark()

    @property
    def runners(self) -> Path:
        return self.folder / "runners"

    @property
    def accepted_file(self) -> Path:
        return self.folder / "accepted"

    @cached_property
    def ledger(self) -> Ledger:
        """The operators' own view of the ledger; runners open theirs."""
        return Ledger(self.database)

    @cached_property
    def engine(self) -> Engine:
        """For the views."""
        return engine_for(self.database)

    def leave(self) -> None:
        """Give back every connection of our own; what is asked for next is opened anew."""
        for held in (self.__dict__.pop("ledger", None), self.__dict__.pop("engine", None)):
            if isinstance(held, Ledger):
                held.close()
            elif isinstance(held, Engine):
                held.dispose()

    def close(self) -> None:
        for process in self._victims:
            put_away(process)
        self.leave()
        self.server.close()

    # --- given ---

    def mailbox(self, name: str = MAILBOX, daily_limit: int = 1000, connections: int = 1) -> None:
        identity = {
            "name": name,
            "digest": DIGEST,
            "from_name": "Anna Łęcka",
            "from_address": "anna@example.com",
            "host": "127.0.0.1",
            "port": self.port or self.server.port,
            "tls": "none",
            "user": None,
            "password_ref": None,
            "allow_plaintext": 0,
            "connections": connections,
        }
        self.ledger.on_mailbox(
            name,
            lambda mailbox: mailboxes.add(
                mailbox, daily_limit=daily_limit, zone="Europe/Warsaw", identity_digest=DIGEST, actor="anna", now=START
            ),
            lambda _: [(kept.ADD_IDENTITY, [identity])],
        )

    def campaign(
        self,
        number: int,
        owner: e.Sender,
        leads: Sequence[str],
        limits: Limits = NO_DELAY,
        schedule: Schedule = ALWAYS,
        mailbox: str = MAILBOX,
        started_at: datetime = START,
        priorities: Sequence[int] = (),
        v1_status: e.V1Status = "queued",
    ) -> None:
        """A started campaign. A lead is the name in its address, which tells the server how to treat it; one with a
        number of its own begins with that name."""
        if not self.ledger.version(mailbox_stream(mailbox)):
            self.mailbox(mailbox)
        content = Content("Cześć {{ name }}", "Zażółć gęślą jaźń, {{ name }}.\n")
        row = {"campaign_id": number, "version": 1, "digest": DIGEST, **content.row}
        self.ledger.on_campaign(
            number,
            lambda campaign: commands.create(
                campaign,
                name="Autumn",
                owner=owner,
                mailbox=mailbox,
                content_digest=DIGEST,
                schedule=schedule,
                limits=limits,
                message_id_domain=DOMAIN,
                actor="anna",
                now=started_at,
            ),
            lambda _: [(kept.ADD_CONTENT, [row])],
        )
        self._queue(number, leads, started_at, priorities, v1_status)
        self.ledger.on_campaign(number, lambda c: commands.start(c, actor="anna", reason=None, now=started_at))

    def _queue(
        self,
        number: int,
        leads: Sequence[str],
        now: datetime,
        priorities: Sequence[int],
        v1_status: e.V1Status,
    ) -> None:
        rows: list[dict[str, Any]] = []
        for position, lead in enumerate(leads):
            salt, lead_id = os.urandom(SALT_BYTES), position + 1
            address = f"{lead}{lead_id}@example.com"
            fields = {} if lead == "nameless" else {"name": "Żaneta"}
            rows.append(
                {
                    "campaign_id": number,
                    "lead_id": lead_id,
                    "position": position,
                    "address": address,
                    "address_key": address,
                    "address_hmac": f"hmac of {address}",
                    "salt": salt,
                    "fields": json.dumps(fields),
                    "revision": 0,
                    "commitment": contact_commitment(salt, address, fields),
                    "twin_of": None,
                }
            )
            self._people[message_id(salt, campaign_stream(number), lead_id, DOMAIN)] = (number, lead_id)
        queued = [
            commands.NewLead(row["lead_id"], row["commitment"], priority, v1_status)
            for row, priority in zip(rows, priorities or [999] * len(rows), strict=True)
        ]
        self.ledger.on_campaign(
            number, lambda c: commands.queue(c, queued, now=now), lambda _: [(kept.ADD_CONTACT, rows)]
        )

    # --- when ---

    def victim(self, *faults: Fault, start: datetime = START, until: datetime = END, **other: Any) -> BaseProcess:
        """A runner in a process of its own, in simulated time, with these faults."""
        return self.started(victim.run, victim.Plan(self.database, self.runners, faults, start, until, **other))

    def victim_in_real_time(self, *faults: Fault) -> BaseProcess:
        """The same on the machine's clock, until it is told to stop."""
        return self.started(victim.run, victim.Plan(self.database, self.runners, faults))

    def started(self, work: Callable[..., None], *said: object) -> BaseProcess:
        """A process that does this work, and does not outlive this world."""
        self._victims.append(started(work, *said))
        return self._victims[-1]

    def run(self, start: datetime = LATER, until: datetime = END, clock: SimulatedClock | None = None) -> None:
        """A whole run, in this process. The views follow before and after, as they would in life."""
        clock = clock or SimulatedClock(start)
        self.follow()
        with closing(Ledger(self.database)) as ledger:
            Guard(ledger, self.runners).check()  # whatever has struck, it is no reason to take it for another ledger
            with Runner(ledger, self.runners, clock) as runner:
                run_simulated(runner, clock, CADENCE, until)
        self.follow()

    def follow(self) -> None:
        """The views take in what was appended."""
        Projector(self.engine, self.ledger.read).catch_up()

    @property
    def take_away(self) -> Strike:
        """The database takes nothing more: SQLite meets a full disk in the process that is struck, a server is gone."""
        return fill_disk if is_sqlite(self.database) else partial(take_away, self.database)

    @property
    def give_back(self) -> Strike:
        """It takes everything again."""
        return empty_disk if is_sqlite(self.database) else partial(give_back, self.database)

    # --- then ---

    def accepted(self) -> Counter[Person]:
        """How often the server accepted whose mail."""
        self.server.settle()
        if not self.accepted_file.exists():
            return Counter()
        return Counter(self._people[line] for line in self.accepted_file.read_text().splitlines())

    def events(self, number: int) -> list[e.Event]:
        return list(self.ledger.stream(campaign_stream(number)))

    def told(self, *kinds: type[e.Event]) -> list[e.Event]:
        """All events of these kinds in the whole ledger."""
        return [event for _, event in self.ledger.read(0, 1_000_000) if isinstance(event, kinds)]

    def campaigns(self) -> list[int]:
        return self.ledger.campaigns()

    def states(self, number: int) -> list[str]:
        """Where the leads are, in their order, by a state that was read anew."""
        with closing(Ledger(self.database)) as ledger, ledger.campaign(number) as campaign:
            return [campaign.roll.state(position).label for position in range(len(campaign.roll))]

    def kept_leads(self) -> set[Person]:
        with reading(self.engine) as connection:
            rows = connection.execute(select(kept.contacts.c.campaign_id, kept.contacts.c.lead_id)).all()
        return {(row[0], row[1]) for row in rows}
