"""One append of old leads: who is new waits as there, and whose status or data changed is changed. Once a campaign is
ours, nothing of them counts but that somebody wants no mail any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, bindparam, update

from domain import events as e
from domain import observing
from domain.campaign import Campaign
from domain.commands import NewLead, change_contacts, skip
from domain.commitments import contact_commitment
from domain.leads import LeadState
from domain.mailbox import Mailbox
from projections.kept import ADD_CONTACT, SUPPRESS, contacts
from projections.times import time_text
from runner.leads.lookups import Lookups
from runner.legacy.contacts import OldContact
from runner.store.recorder import Kept

BLOCKED_THERE = "blocked in the old system"

CHANGE_OLD_CONTACT = (
    update(contacts)
    .where(contacts.c.campaign_id == bindparam("b_campaign_id"), contacts.c.lead_id == bindparam("b_lead_id"))
    .values(
        {
            name: bindparam(name)
            for name in ("address", "address_key", "address_hmac", "fields", "revision", "commitment", "twin_of")
        }
    )
)
"""There an address may change; the salt stays: what was mailed under it must stay provable."""


def listed(hmacs: Collection[str], actor: str, at: datetime) -> Kept:
    """These are on the list of those who must not be mailed, for they are blocked there."""
    entry = {"reason": BLOCKED_THERE, "actor": actor, "added_at": time_text(at)}
    return SUPPRESS, [{"address_hmac": hmac, **entry} for hmac in sorted(hmacs)]


class LeadBatch:
    """A thousand leads or less. `positions`: of those that the campaign had before. `counts`: what was done."""

    def __init__(
        self,
        number: int,
        leads: Sequence[OldContact],
        positions: Mapping[int, int],
        lookup: Lookups,
        actor: str,
        now: Callable[[], datetime],
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.suppressed: list[int] = []
        self.taken: dict[int, int] = {}
        self._number, self._leads, self._positions, self._lookup = number, leads, positions, lookup
        self._actor, self._now = actor, now
        self._new: list[OldContact] = []
        self._changed: dict[int, tuple[OldContact, str]] = {}
        self._to_suppress: set[str] = set()
        self._holders: Mapping[str, RowMapping] = {}

    def decide_ours(self, campaign: Campaign, _mailbox: Mailbox) -> list[e.Event]:
        """Of a campaign that was taken over: who is blocked there is skipped, by number and by address; who came to it
        there is not ours."""
        blocked = [one for one in self._leads if one.lead.is_blocked]
        here = [contact for lead, contact in self._known(blocked).items() if lead in self._positions]
        holders = self._lookup.contacts(self._number, {one.key for one in blocked}).values()
        self._list({one.suppression for one in blocked} | {contact["address_hmac"] for contact in here})
        skipped = skip(campaign, [row["position"] for row in (*here, *holders)], "suppressed", now=self._now())
        left_there = sum(one.lead.lead_id not in self._positions for one in self._leads)
        self.counts = Counter({"left there": left_there, "blocked": len(self._to_suppress)})
        return skipped

    def decide(self, campaign: Campaign, _mailbox: Mailbox) -> list[e.Event]:
        now = self._now()
        statuses = self._sort(campaign)
        commitments = {position: commitment for position, (_, commitment) in self._changed.items()}
        changed = change_contacts(campaign, commitments, now=now)
        followed = observing.follow_statuses(campaign, statuses, now=now)
        new = [NewLead(one.lead.lead_id, one.commitment, one.lead.priority, one.lead.v1_status) for one in self._new]
        added = observing.add_leads(campaign, new, now=now)
        counts = {
            "new": len(new),
            "statuses": len(followed),
            "changed": len(changed),
            "blocked": len(self._to_suppress),
        }
        self.counts = Counter(counts)
        return _numbered(campaign.version, [*changed, *followed, *added])

    def keep(self, events: Sequence[e.Event]) -> list[Kept]:
        queued = (event for event in events if isinstance(event, e.EmailQueued))
        changes = [event for event in events if isinstance(event, e.ContactChanged)]
        added = [
            one.row(self._number, event.position) | {"twin_of": self._twin_of(one)}
            for one, event in zip(self._new, queued, strict=True)
        ]
        return [
            (CHANGE_OLD_CONTACT, [self._change(event) for event in changes]),
            (ADD_CONTACT, added),
            *self.keep_blocked(events),
        ]

    def keep_blocked(self, _events: Sequence[e.Event]) -> list[Kept]:
        """Entries of the list of those who must not be mailed."""
        return [listed(self._to_suppress, self._actor, self._now())]

    def _sort(self, campaign: Campaign) -> dict[int, e.V1Status]:
        """Fill in who is new and whose data changed; the statuses of those that are known."""
        self._new, self._changed, statuses = [], {}, {}
        known = self._known(self._leads)
        blocked = [one for one in self._leads if one.lead.is_blocked]
        before = {known[one.lead.lead_id]["address_hmac"] for one in blocked if one.lead.lead_id in known}
        self._list({one.suppression for one in blocked} | before)
        listed = self._lookup.suppressed({one.suppression for one in self._leads})
        self.suppressed = [one.lead.lead_id for one in self._leads if one.suppression in listed]
        self._holders = self._lookup.contacts(self._number, {one.key for one in self._leads})
        self.taken = dict(self._taken_from_mailed(campaign))
        for one in self._leads:
            position, contact = self._positions.get(one.lead.lead_id), known.get(one.lead.lead_id)
            if position is None:
                self._new.append(one)
                continue
            statuses[position] = one.lead.v1_status
            if contact is None:
                continue  # it was erased: nothing of it is kept again
            commitment = contact_commitment(contact["salt"], one.address, one.lead.fields)
            if commitment != contact["commitment"] and campaign.roll.state(position) is LeadState.QUEUED:
                self._changed[position] = (one, commitment)
        return statuses

    def _list(self, hmacs: set[str]) -> None:
        self._to_suppress = hmacs - self._lookup.suppressed(hmacs)

    def _known(self, leads: Sequence[OldContact]) -> dict[int, RowMapping]:
        return self._lookup.contacts_of_leads(self._number, [one.lead.lead_id for one in leads])

    def _change(self, event: e.ContactChanged) -> dict[str, Any]:
        one, commitment = self._changed[event.position]
        return one.change(self._number, event.revision, commitment) | {"twin_of": self._twin_of(one)}

    def _taken_from_mailed(self, campaign: Campaign) -> Iterator[tuple[int, int]]:
        """Leads whose address belonged to another, by whom it was when that one was mailed: its address moved on there,
        and stays here."""
        for one in self._leads:
            holder = self._holder(one)
            if holder is not None and campaign.roll.state(holder["position"]) is not LeadState.QUEUED:
                yield one.lead.lead_id, holder["lead_id"]

    def _twin_of(self, one: OldContact) -> int | None:
        """Two that change addresses, or a lead with the address of one that has another there by now: here the first
        holds it until its own row is reached, and one address is only once held."""
        holder = self._holder(one)
        return one.twin_of if holder is None else int(holder["lead_id"])

    def _holder(self, one: OldContact) -> RowMapping | None:
        """Another lead that has this address here."""
        holder = self._holders.get(one.key)
        return None if holder is None or holder["lead_id"] == one.lead.lead_id else holder


def _numbered(version: int, events: Sequence[e.Event]) -> list[e.Event]:
    """Decided each on the same state, appended one after the other."""
    return [event.model_copy(update={"originator_version": version + nth}) for nth, event in enumerate(events, start=1)]
