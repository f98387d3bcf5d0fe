"""Who must never be mailed, known only by a keyed HMAC of the address. The key is not in the database.

Suppressing skips the person wherever they wait, in the transaction that adds them to the list. An import looks at the
list inside the append lock too: whichever of the two comes second sees the first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from domain import commands
from domain.campaign import Campaign
from domain.commitments import address_key, is_unsubscribe_token, suppression_key, unsubscribe_place
from domain.errors import InvalidInput
from domain.events import EmailSkipped, Event
from domain.leads import LeadState
from projections import kept
from projections.kept import SUPPRESS, UNSUPPRESS
from projections.times import text_time, time_text
from runner.free_text import check_free_text
from runner.leads.addresses import canonical
from runner.leads.everywhere import Places, append_everywhere
from runner.leads.lookups import Lookups, lookups
from runner.leads.problems import BadRows, Problems, RowProblem
from runner.leads.reading import Records, column_names, email_column, given, open_records
from runner.leads.spool import Spool, Spooled, spool
from runner.mail.unsubscribe import TEST_TOKEN
from runner.store.ledger import Ledger, campaign_number
from runner.store.recorder import Kept

AT_ONCE = 1_000
"""Addresses of one transaction."""
PREFIX = 12
"""Hex digits of an address's HMAC that a list shows: enough to tell apart, useless to anybody without the key."""


@dataclass(frozen=True, slots=True)
class Place:
    """A lead of a campaign."""

    campaign: int
    lead_id: int


@dataclass(frozen=True, slots=True)
class SuppressReport:
    """What a suppression did. `skipped`: leads that waited and now get no mail. `locked`: mails under way at that
    moment, which nobody can call back; if one fails and waits anew, it is skipped before its next attempt."""

    added: int
    already: int
    skipped: int
    locked: tuple[Place, ...]
    bad: int = 0
    problems: tuple[RowProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class Suppression:
    """An entry of the list, as people may see it."""

    prefix: str
    reason: str
    added_at: datetime
    actor: str


def suppress(
    ledger: Ledger,
    secret: bytes,
    addresses: Iterable[str],
    *,
    reason: str,
    actor: str,
    now: Callable[[], datetime],
) -> SuppressReport:
    """Never mail these addresses again. One transaction for each thousand of them.

    Raises `InvalidInput` before anything is done, for an address that is none or a reason that holds one.
    """
    reason = check_free_text(reason, field="reason")
    asked = {address_key(address): address for address in map(_checked, addresses)}
    return _suppress_all(ledger, secret, iter(asked.values()), reason, actor, now)


def suppress_tokens(
    ledger: Ledger,
    secret: bytes,
    tokens: Iterable[str],
    *,
    reason: str,
    actor: str,
    now: Callable[[], datetime],
) -> SuppressReport:
    """Never mail those again whose unsubscribe tokens these are. Raises `InvalidInput` before anything is done."""
    reason = check_free_text(reason, field="reason")
    with lookups(ledger) as lookup:
        addresses = [_of_token(lookup, token.strip(), row) for row, token in enumerate(tokens, start=1)]
    return suppress(ledger, secret, addresses, reason=reason, actor=actor, now=now)


def import_suppressions(
    ledger: Ledger,
    secret: bytes,
    path: Path,
    *,
    reason: str,
    actor: str,
    now: Callable[[], datetime],
    skip_bad_rows: bool = False,
) -> SuppressReport:
    """Suppress every address of a file: a CSV file with the column `email`, or one address a line.

    The whole file is checked first. Raises `InvalidInput`, and `BadRows` for bad rows that are not to be skipped.
    """
    reason = check_free_text(reason, field="reason")
    with spool() as checked:
        problems = _read(path, checked)
        if problems.rows and not skip_bad_rows:
            raise BadRows(str(path), problems, checked.rows + checked.duplicates + problems.rows)
        addresses = (spooled.address for batch in checked.batches() for spooled in batch)
        report = _suppress_all(ledger, secret, addresses, reason, actor, now)
    return SuppressReport(
        report.added, report.already, report.skipped, report.locked, bad=problems.rows, problems=problems.first
    )


def unsuppress(ledger: Ledger, secret: bytes, addresses: Iterable[str]) -> int:
    """Take addresses off the list; how many were on it. Leads that were skipped stay skipped."""
    hmacs = {suppression_key(secret, _checked(address)) for address in addresses}
    listed: set[str] = set()
    with lookups(ledger) as lookup:

        def decide(_states: Sequence[Campaign]) -> list[Event]:
            listed.update(lookup.suppressed(hmacs))
            return []

        ledger.on_campaigns((), decide, lambda _: [(UNSUPPRESS, [{"b_address_hmac": hmac} for hmac in listed])])
    return len(listed)


def is_suppressed(ledger: Ledger, secret: bytes, address: str) -> bool:
    """Must this address never be mailed?"""
    with lookups(ledger) as lookup:
        return bool(lookup.suppressed({suppression_key(secret, _checked(address))}))


def suppressions(connection: Connection) -> Iterator[Suppression]:
    """The list, oldest first, read as it is used."""
    for row in kept.suppressions(connection):
        yield Suppression(row["address_hmac"][:PREFIX], row["reason"], text_time(row["added_at"]), row["actor"])


def _of_token(lookup: Lookups, token: str, row: int) -> str:
    """The address that this token stands for, found by the lead it names and proved by that lead's salt."""
    if token.lower() == TEST_TOKEN:
        raise InvalidInput(f"token {row} is of a test mail: it stands for nobody.", field="TOKEN")
    place = unsubscribe_place(token)
    contact = None if place is None else lookup.contact(*place)
    if place is None or contact is None or not is_unsubscribe_token(token, contact["salt"], *place):
        mend = "Copy all of it; a lead that was erased has none any more, and is mailed no more."
        raise InvalidInput(f"token {row} is none of this ledger's.", mend=mend, field="TOKEN")
    return str(contact["address"])


# --- suppressing ---


def _suppress_all(
    ledger: Ledger, secret: bytes, addresses: Iterator[str], reason: str, actor: str, now: Callable[[], datetime]
) -> SuppressReport:
    added = already = skipped = 0
    locked: list[Place] = []
    with lookups(ledger) as lookup:
        while some := list(islice(addresses, AT_ONCE)):
            one = _Suppressing(ledger, lookup, secret, some, reason, actor, now)
            events = one.append()
            added += len(one.new)
            already += len(some) - len(one.new)
            skipped += sum(isinstance(event, EmailSkipped) for event in events)
            locked += one.locked
    return SuppressReport(added, already, skipped, tuple(locked))


class _Suppressing:
    """One transaction: the skips, and the entries of the list."""

    def __init__(
        self,
        ledger: Ledger,
        lookup: Lookups,
        secret: bytes,
        addresses: Collection[str],
        reason: str,
        actor: str,
        now: Callable[[], datetime],
    ) -> None:
        self.new: list[str] = []
        self.locked: list[Place] = []
        self._ledger = ledger
        self._lookup = lookup
        self._keys = {address_key(address) for address in addresses}
        self._hmacs = [suppression_key(secret, address) for address in addresses]
        self._entry = {"reason": reason, "actor": actor}
        self._now = now

    def append(self) -> list[Event]:
        """All of it."""
        return append_everywhere(self._ledger, self._lookup, self._keys, self._decide, self._keep)

    def _decide(self, campaigns: Sequence[Campaign], places: Places) -> list[Event]:
        listed = self._lookup.suppressed(self._hmacs)
        self.new = [hmac for hmac in self._hmacs if hmac not in listed]
        self.locked = []
        now = self._now()
        self._entry["added_at"] = time_text(now)
        events: list[Event] = []
        for campaign in campaigns:
            rows = places.get(campaign_number(campaign.stream), ())
            self.locked += (
                Place(row["campaign_id"], row["lead_id"])
                for row in rows
                if campaign.roll.state(row["position"]) is LeadState.LOCKED
            )
            events += commands.skip(campaign, [row["position"] for row in rows], "suppressed", now=now)
        return events

    def _keep(self, _events: Sequence[Event]) -> list[Kept]:
        entries: list[dict[str, Any]] = [{"address_hmac": hmac, **self._entry} for hmac in self.new]
        return [(SUPPRESS, entries)]


# --- reading a file ---


def _read(path: Path, checked: Spool) -> Problems:
    problems = Problems()
    with open_records(path) as records:
        addresses = _addresses(records, problems)
        while batch := [Spooled(row, address, 0, "") for row, address in islice(addresses, AT_ONCE)]:
            checked.add(batch)
    return problems


def _addresses(records: Records, problems: Problems) -> Iterator[tuple[int, str]]:
    numbered = iter(records)
    row, first = next(numbered, (1, []))
    if any("@" in cell for cell in first):  # no header: one address a line
        width, at = 1, 0
        numbered = chain([(row, first)], numbered)
    else:
        width, at = len(first), email_column(column_names(first, records.source, row), records.source, row)
    for row, cells in numbered:
        try:
            if len(cells) != width:
                raise InvalidInput(f"has {len(cells)} cells instead of {width}.", field="row")
            yield row, _checked(cells[at])
        except InvalidInput as error:
            problems.add(row, error)


def _checked(address: str) -> str:
    return canonical(given(address))
