"""A real ledger, with campaigns made by the domain's own commands, for the tests of lead files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.engine import URL

from domain import commands, gate, mailbox
from domain.calendar import WEEK, Schedule
from domain.commands import Failure
from domain.commitments import contact_commitment
from domain.events import ContactChanged, EmailQueued, EmailSkipped, Event
from domain.rules import Limits
from migrations.run import target_metadata
from projections.database import engine_for, is_sqlite, reading
from projections.kept import contacts_of
from runner.leads.importing import ImportReport, import_leads
from runner.store.ledger import Ledger, campaign_stream
from runner.suppression import Suppression, SuppressReport, import_suppressions, suppress, suppressions, unsuppress

SECRET = b"the key of the suppression list."
NOON = datetime(2025, 3, 4, 11, tzinfo=UTC)
ALWAYS = Schedule(zone="Europe/Warsaw", weekdays=WEEK, start="00:00", end="24:00")
LIMITS = Limits(daily_limit=1000, delay_s=0, max_attempts=4)
DIGEST = "0" * 64
REASON = "asked by phone"


def people(numbers: Iterable[int]) -> str:
    """A lead file with these people."""
    rows = (f"person{number}@example.com,Żaneta {number}\n" for number in numbers)
    return "".join(["email,first_name\n", *rows])


def noon() -> datetime:
    """The time in these tests."""
    return NOON


@dataclass
class World:
    """One ledger, and what is done to it."""

    url: URL
    folder: Path
    secret: bytes = SECRET

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.url)

    def close(self) -> None:
        self.ledger.close()

    # --- given, and when ---

    def campaign(self, number: int = 4) -> int:
        """A campaign that sends through the mailbox "sales", as a draft."""
        if not self.ledger.version("mailbox-sales"):
            self.ledger.on_mailbox(
                "sales",
                lambda state: mailbox.add(
                    state, daily_limit=1000, zone="Europe/Warsaw", identity_digest=DIGEST, actor="anna", now=NOON
                ),
            )
        self.ledger.on_campaign(
            number,
            lambda campaign: commands.create(
                campaign,
                name="Autumn",
                owner="v2",
                mailbox="sales",
                content_digest=DIGEST,
                schedule=ALWAYS,
                limits=LIMITS,
                message_id_domain="example.com",
                actor="anna",
                now=NOON,
            ),
        )
        return number

    def start(self, number: int = 4) -> None:
        self.ledger.on_campaign(number, lambda c: commands.start(c, actor="anna", reason=None, now=NOON))

    def file(self, text: str | bytes, name: str = "leads.csv") -> Path:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def load(self, text: str | bytes, number: int = 4, **options: Any) -> ImportReport:
        """Import this text as a file."""
        return self.load_file(self.file(text), number, **options)

    def load_file(self, path: Path, number: int = 4, **options: Any) -> ImportReport:
        return import_leads(self.ledger, number, path, secret=self.secret, now=noon, **options)

    def suppress(self, *addresses: str) -> SuppressReport:
        return suppress(self.ledger, self.secret, addresses, reason=REASON, actor="anna", now=noon)

    def suppress_file(self, text: str | bytes, **options: Any) -> SuppressReport:
        """Suppress everybody in this text as a file."""
        return self.suppress_from(self.file(text, "list.csv"), **options)

    def suppress_from(self, path: Path, *, reason: str = REASON, **options: Any) -> SuppressReport:
        return import_suppressions(self.ledger, self.secret, path, reason=reason, actor="anna", now=noon, **options)

    def unsuppress(self, *addresses: str) -> int:
        return unsuppress(self.ledger, self.secret, addresses)

    def lock(self, position: int, number: int = 4) -> str:
        """Lock a lead's mail, as a sender does; the token."""
        token = f"token-{number}-{position}"
        with self.ledger.campaign(number) as campaign:
            revision = campaign.revision(position)
        request = gate.LockRequest(
            position=position,
            sender="v2",
            epoch=1,
            runner="runner-1",
            token=token,
            due_at=NOON,
            mailbox="sales",
            message_id=f"<{position}@example.com>",
            date=NOON,
            content_version=1,
            revision=revision,
            commitment=DIGEST,
            digest=DIGEST,
        )
        self.ledger.on_both(number, "sales", lambda c, m: gate.lock(c, m, request, NOON))
        return token

    def send(self, position: int, number: int = 4) -> None:
        """Lock and deliver a lead's mail."""
        token = self.lock(position, number)
        self.ledger.on_campaign(
            number,
            lambda c: commands.record_sent(c, token, code=250, enhanced=None, queue_id=None, now=NOON),
        )

    def fails(self, token: str, *, permanent: bool, number: int = 4) -> None:
        """A definite failure of a locked mail."""
        failure = Failure(phase="dot", permanent=permanent, code=551 if permanent else 451)
        self.ledger.on_campaign(number, lambda c: commands.record_failed(c, token, failure, now=NOON))

    def loses(self, token: str, number: int = 4) -> None:
        """Nobody knows what became of a locked mail."""
        self.ledger.on_campaign(number, lambda c: commands.record_in_doubt(c, token, "cut", now=NOON))

    def skip(self, position: int, number: int = 4) -> None:
        self.ledger.on_campaign(number, lambda c: commands.skip(c, [position], "unrenderable", now=NOON))

    # --- what is then true, read anew ---

    def contacts(self, number: int = 4) -> list[dict[str, Any]]:
        """The campaign's contacts by position, with their merge fields as they were given."""
        with connected(self.url) as connection:
            rows = [dict(row) for row in contacts_of(connection, number)]
        return [{**row, "fields": json.loads(row["fields"])} for row in rows]

    def addresses(self, number: int = 4) -> list[str]:
        return [row["address"] for row in self.contacts(number)]

    def fields(self, number: int = 4) -> list[dict[str, str]]:
        return [row["fields"] for row in self.contacts(number)]

    def priorities(self, number: int = 4) -> list[int]:
        return [event.priority for event in self.events(number) if isinstance(event, EmailQueued)]

    def suppressions(self) -> list[Suppression]:
        with connected(self.url) as connection:
            return list(suppressions(connection))

    def events(self, number: int = 4) -> list[Event]:
        return list(self.ledger.stream(campaign_stream(number)))

    def kinds(self, number: int = 4) -> list[str]:
        """The kinds of the campaign's events so far."""
        return [type(event).__name__ for event in self.events(number)]

    def skipped(self, number: int = 4) -> list[tuple[int, str]]:
        """Who gets no mail, by position, and why."""
        return [(event.position, event.reason) for event in self.events(number) if isinstance(event, EmailSkipped)]

    def state(self, position: int, number: int = 4) -> str:
        self.ledger.refresh()
        with self.ledger.campaign(number) as campaign:
            return campaign.roll.state(position).label

    def octets(self) -> bytes:
        """All that is in the tables; on SQLite the very files, with what has not been moved into the first one yet."""
        if not is_sqlite(self.url):
            return str(self.rows()).encode()
        with connected(self.url):  # whoever closes a file last tidies up
            files = Path(self.url.database or "").parent.glob(f"{Path(self.url.database or '').name}*")
            return b"".join(path.read_bytes() for path in files if path.is_file())

    def everything(self) -> tuple[dict[str, list[tuple[Any, ...]]], list[str]]:
        """All rows of all tables, and all files there are: equal before and after what changes nothing."""
        return self.rows(), sorted(path.name for path in self.folder.iterdir())

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """The rows of all tables in the order of their keys."""
        with connected(self.url) as connection:
            return {
                table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
                for metadata in target_metadata(connection.dialect.name)
                for table in metadata.tables.values()
            }

    def unsound(self, number: int = 4) -> list[str]:
        """What does not hold of any campaign: one contact for each queued lead, tied to the latest of its events."""
        waits: dict[int, tuple[int, str, int]] = {}
        for event in self.events(number):
            if isinstance(event, EmailQueued):
                waits[event.position] = (event.lead_id, event.commitment, 0)
            elif isinstance(event, ContactChanged):
                waits[event.position] = (event.lead_id, event.commitment, event.revision)
        rows = self.contacts(number)
        kept = {row["position"]: (row["lead_id"], row["commitment"], row["revision"]) for row in rows}
        broken = [] if kept == waits else ["contacts and events differ"]
        if len({row["address"].casefold() for row in rows}) < len(rows):
            broken.append("somebody is there twice")
        if not all(_commits(row) for row in rows):
            broken.append("a commitment is not to the contact that is kept")
        return broken


@contextmanager
def connected(url: URL) -> Iterator[Connection]:
    """A connection of a test's own, past whatever the program still holds."""
    engine = engine_for(url)
    try:
        with reading(engine) as connection:
            yield connection
    finally:
        engine.dispose()


def _commits(row: dict[str, Any]) -> bool:
    return contact_commitment(row["salt"], row["address"], row["fields"]) == str(row["commitment"])
