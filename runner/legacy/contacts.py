"""Old leads as contacts of this ledger, and what only their rows show: who is blocked, who shares an address with
whom, and for whom no mail can be made. Addresses stay as they stand there: history is not corrected.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import parseaddr
from typing import Any

from domain.commitments import SALT_BYTES, address_key, contact_commitment, suppression_key
from domain.errors import InvalidInput
from domain.leads import V1_WAITS
from runner.leads.addresses import canonical
from runner.legacy.records import OldLead
from runner.mail.sanitise import check_merge_fields


@dataclass(frozen=True, slots=True)
class OldContact:
    """A lead with all that can be computed before the append lock is taken. The salt is for a new contact."""

    lead: OldLead
    address: str
    key: str
    json: str
    salt: bytes
    commitment: str
    suppression: str
    twin_of: int | None

    def row(self, campaign: int, position: int) -> dict[str, Any]:
        """A new contact's."""
        return {
            "campaign_id": campaign,
            "lead_id": self.lead.lead_id,
            "position": position,
            "address": self.address,
            "address_key": self.key,
            "address_hmac": self.suppression,
            "salt": self.salt,
            "fields": self.json,
            "revision": 0,
            "commitment": self.commitment,
            "twin_of": self.twin_of,
        }

    def change(self, campaign: int, revision: int, commitment: str) -> dict[str, Any]:
        """What a known contact's row becomes. Its salt stays."""
        return {
            "b_campaign_id": campaign,
            "b_lead_id": self.lead.lead_id,
            "address": self.address,
            "address_key": self.key,
            "address_hmac": self.suppression,
            "fields": self.json,
            "revision": revision,
            "commitment": commitment,
            "twin_of": self.twin_of,
        }


@dataclass(slots=True)
class People:
    """Everybody of one old campaign, as far as an import has come. `by_row`: old row to lead number and V1 status.
    `traces`: leads that wait there, and may have been mailed by what else is said of them."""

    secret: bytes
    by_key: dict[str, int] = field(default_factory=dict)
    by_row: dict[int, tuple[int, str]] = field(default_factory=dict)
    groups: dict[int, list[int]] = field(default_factory=dict)
    blocked: list[int] = field(default_factory=list)
    unusable: list[int] = field(default_factory=list)
    traces: list[int] = field(default_factory=list)
    key_of_lead: dict[int, str] = field(default_factory=dict)

    def meet(self, lead: OldLead) -> OldContact:
        """The next lead, in the order in which they came to the campaign."""
        address, usable = _address(lead.address)
        key = address_key(address)
        first = self.by_key.setdefault(key, lead.lead_id)
        if first != lead.lead_id:
            self.share(first, lead.lead_id)
        self.by_row[lead.row_id] = (lead.lead_id, lead.v1_status)
        self.key_of_lead[lead.lead_id] = key
        if lead.sent_at is not None and lead.v1_status in V1_WAITS:
            self.traces.append(lead.lead_id)
        if lead.is_blocked:
            self.blocked.append(lead.lead_id)
        if not (usable and _are_usable(lead.fields)):
            self.unusable.append(lead.lead_id)
        salt = os.urandom(SALT_BYTES)
        return OldContact(
            lead,
            address,
            key,
            json.dumps(lead.fields, ensure_ascii=False, separators=(",", ":")),
            salt,
            contact_commitment(salt, address, lead.fields),
            suppression_key(self.secret, address),
            None if first == lead.lead_id else first,
        )

    def share(self, first: int, lead: int) -> None:
        """These two have one address."""
        group = self.groups.setdefault(first, [first])
        if lead not in group:
            group.append(lead)

    def lead_of(self, address: str) -> int | None:
        """The lead that has this address."""
        return self.by_key.get(key_of(address))


def key_of(address: str) -> str:
    """By which an address of the old SendLog is found here: it may stand there with a name, or between blanks."""
    return address_key(plain_address(address))


def plain_address(text: str) -> str:
    """An old address without what may stand around it; as it stands where nothing else can be made of it."""
    plain, usable = _address(text.strip())
    return plain if usable else _address(parseaddr(text)[1] or plain)[0]


def positions(numbers: Iterable[int]) -> Mapping[int, int]:
    """Lead numbers, by position, turned round: old leads come in any order, and one walk is less than one for each."""
    return {number: position for position, number in enumerate(numbers)}


def _address(text: str) -> tuple[str, bool]:
    """As it is kept and mailed, and whether it can be mailed at all."""
    try:
        return canonical(text), True
    except InvalidInput:
        return text, False


def _are_usable(fields: Mapping[str, str]) -> bool:
    try:
        check_merge_fields(fields)
    except InvalidInput:
        return False
    return True
