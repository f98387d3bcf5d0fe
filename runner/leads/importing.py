"""Importing leads: the whole file is checked first, then imported in appends of a thousand.

Each append stands or falls as one: the events and the contacts they commit to. So an import that was cut off is
finished by running it again: whom the campaign has already is recognised by address. Who is suppressed, and who is
there already, is looked up inside the append lock: a suppression that commits in between is not missed.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import RowMapping

from domain import commands
from domain.campaign import Campaign
from domain.commands import NewLead
from domain.commitments import SALT_BYTES, address_key, contact_commitment, suppression_key
from domain.errors import InvalidInput
from domain.events import ContactChanged, EmailQueued, Event
from domain.leads import LeadState
from projections.kept import ADD_CONTACT, CHANGE_CONTACT
from runner.leads.lookups import Lookups, lookups
from runner.leads.problems import BadRows, Problems, RowProblem
from runner.leads.reading import Lead, Records, lead_columns, open_records
from runner.leads.spool import BATCH, Repeated, Spool, Spooled, spool
from runner.store.ledger import Ledger
from runner.store.recorder import Kept

Phase = Literal["reading", "importing"]
Progress = Callable[[Phase, int, int], None]
"""Told what is under way, how much of it is done, and how much there is: octets while reading, then rows."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of the rows of a file: each is counted once. In a dry run: what would have become of them."""

    rows: int
    imported: int
    changed: int
    unchanged: int
    duplicates: int  # the address stood earlier in the file
    suppressed: int
    left_alone: int  # other data for a lead that no longer waits: its mail is history
    bad: int
    problems: tuple[RowProblem, ...]  # the first
    repeated: tuple[Repeated, ...]  # the first
    dry_run: bool


def import_leads(
    ledger: Ledger,
    number: int,
    path: Path,
    *,
    secret: bytes,
    now: Callable[[], datetime],
    dry_run: bool = False,
    skip_bad_rows: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Queue the leads of a file in a campaign. `secret` is the key of the suppression list.

    Raises `InvalidInput` (`BadRows` for bad rows that are not to be skipped) before anything is imported, and
    `CommandRefused` for a campaign that takes no leads.
    """
    tell = progress or _untold
    ledger.refresh()
    with ledger.campaign(number) as campaign:
        commands.queue(campaign, (), now=now())  # refused here, before a long file is read
    with spool() as checked, lookups(ledger) as lookup:
        rows, problems = _read(path, checked, tell)
        if problems.rows and not skip_bad_rows:
            raise BadRows(str(path), problems, rows)
        append = _would_append if dry_run else _append
        counts: Counter[str] = Counter()
        for batch in checked.batches():
            leads = [_prepared(spooled, secret) for spooled in batch]
            counts += append(ledger, _Batch(number, leads, lookup, now))
            tell("importing", counts.total(), checked.rows)
        return _report(rows, counts, checked, problems, dry_run=dry_run)


def _report(rows: int, counts: Counter[str], checked: Spool, problems: Problems, *, dry_run: bool) -> ImportReport:
    return ImportReport(
        rows=rows,
        imported=counts["imported"],
        changed=counts["changed"],
        unchanged=counts["unchanged"],
        duplicates=checked.duplicates,
        suppressed=counts["suppressed"],
        left_alone=counts["left alone"],
        bad=problems.rows,
        problems=problems.first,
        repeated=checked.repeated,
        dry_run=dry_run,
    )


# --- first: read and check ---


def _read(path: Path, checked: Spool, tell: Progress) -> tuple[int, Problems]:
    """Everything usable into the spool. Returns the number of rows, and what was wrong."""
    problems = Problems()
    with open_records(path) as records:
        rows = 0
        batch: list[Spooled] = []
        for lead in _leads(records, problems):
            rows += 1
            batch.append(Spooled(lead.row, lead.address, lead.priority, _json(lead.fields)))
            if len(batch) == BATCH:
                checked.add(batch)
                batch.clear()
                tell("reading", records.octets_read, records.octets)
        checked.add(batch)
    return rows + problems.rows, problems


def _leads(records: Records, problems: Problems) -> Iterator[Lead]:
    numbered = iter(records)
    row, header = next(numbered, (1, []))
    columns = lead_columns(header, records.source, row)
    for row, cells in numbered:
        try:
            yield columns.lead(row, cells)
        except InvalidInput as error:
            problems.add(row, error)


def _json(fields: dict[str, str]) -> str:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


# --- then: import ---


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A lead with all that can be computed before the append lock is taken. The salt is for a new contact."""

    address: str
    key: str
    priority: int
    fields: dict[str, str]
    json: str
    salt: bytes
    commitment: str
    suppression: str


def _prepared(spooled: Spooled, secret: bytes) -> _Prepared:
    fields: dict[str, str] = json.loads(spooled.fields)
    salt = os.urandom(SALT_BYTES)
    return _Prepared(
        spooled.address,
        address_key(spooled.address),
        spooled.priority,
        fields,
        spooled.fields,
        salt,
        contact_commitment(salt, spooled.address, fields),
        suppression_key(secret, spooled.address),
    )


class _Batch:
    """One append: decided on what is true inside the append lock, and the rows that go with its events."""

    def __init__(self, number: int, leads: Sequence[_Prepared], lookup: Lookups, now: Callable[[], datetime]) -> None:
        self.counts: Counter[str] = Counter()
        self.number = number
        self._leads = leads
        self._lookup = lookup
        self._now = now
        self._new: list[_Prepared] = []
        self._changed: dict[int, _Prepared] = {}

    def decide(self, campaign: Campaign) -> list[Event]:
        """Who is new waits, and whose data changed is changed, in one sequence of events."""
        self._sort(campaign)
        now = self._now()
        commitments = {position: lead.commitment for position, lead in self._changed.items()}
        changed = commands.change_contacts(campaign, commitments, now=now)
        first = campaign.numbers.unused
        new = [NewLead(first + nth, lead.commitment, lead.priority) for nth, lead in enumerate(self._new)]
        return [*changed, *_after(len(changed), commands.queue(campaign, new, now=now))]

    def keep(self, events: Sequence[Event]) -> list[Kept]:
        """The contacts that these events commit to."""
        queued = (event for event in events if isinstance(event, EmailQueued))
        changed = (event for event in events if isinstance(event, ContactChanged))
        return [
            (CHANGE_CONTACT, [self._change(event, self._changed[event.position]) for event in changed]),
            (ADD_CONTACT, [self._add(event, lead) for event, lead in zip(queued, self._new, strict=True)]),
        ]

    def _sort(self, campaign: Campaign) -> None:
        self.counts, self._new, self._changed = Counter(), [], {}
        suppressed = self._lookup.suppressed({lead.suppression for lead in self._leads})
        known = self._lookup.contacts(self.number, {lead.key for lead in self._leads})
        for lead in self._leads:
            if lead.suppression in suppressed:
                self.counts["suppressed"] += 1
            elif (contact := known.get(lead.key)) is None:
                self.counts["imported"] += 1
                self._new.append(lead)
            else:
                self.counts[self._sort_known(campaign, lead, contact)] += 1

    def _sort_known(self, campaign: Campaign, lead: _Prepared, contact: RowMapping) -> str:
        commitment = contact_commitment(contact["salt"], lead.address, lead.fields)
        if commitment == contact["commitment"]:
            return "unchanged"
        if campaign.roll.state(contact["position"]) is not LeadState.QUEUED:
            return "left alone"
        self._changed[contact["position"]] = replace(lead, salt=contact["salt"], commitment=commitment)
        return "changed"

    def _add(self, event: EmailQueued, lead: _Prepared) -> dict[str, Any]:
        return {
            "campaign_id": self.number,
            "lead_id": event.lead_id,
            "position": event.position,
            "address": lead.address,
            "address_key": lead.key,
            "address_hmac": lead.suppression,
            "salt": lead.salt,
            "fields": lead.json,
            "revision": 0,
            "commitment": event.commitment,
            "twin_of": None,
        }

    def _change(self, event: ContactChanged, lead: _Prepared) -> dict[str, Any]:
        return {
            "b_campaign_id": self.number,
            "b_lead_id": event.lead_id,
            "address": lead.address,
            "address_key": lead.key,
            "fields": lead.json,
            "revision": event.revision,
            "commitment": event.commitment,
        }


def _append(ledger: Ledger, batch: _Batch) -> Counter[str]:
    ledger.on_campaign(batch.number, batch.decide, batch.keep, first_in_line=True)
    return batch.counts


def _would_append(ledger: Ledger, batch: _Batch) -> Counter[str]:
    with ledger.campaign(batch.number) as campaign:
        batch.decide(campaign)
    return batch.counts


def _after(versions: int, events: Iterable[Event]) -> Iterable[Event]:
    """Events that were decided on the same state as others, numbered on from those."""
    if not versions:
        return events
    return [event.model_copy(update={"originator_version": event.originator_version + versions}) for event in events]


def _untold(_phase: Phase, _done: int, _total: int) -> None:
    """Nobody wants to know."""
