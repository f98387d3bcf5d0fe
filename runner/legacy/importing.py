"""Taking in campaigns of the old application: settings, leads with the statuses they have there, sends with their own
times and Message-IDs. Nothing is repaired, and what was taken in already is not taken in again.

A thousand events an append, so an import that was broken off goes on when it is run again; until it is through, the
campaign cannot be taken over. Everything is read from one moment of the old database.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import RowMapping, bindparam, update

from domain import analysis as found
from domain import events as e
from domain import observing
from domain.analysis import Finding, analyse
from domain.campaign import Campaign, Status
from domain.commands import NewLead, change_contacts
from domain.commitments import contact_commitment
from domain.errors import CommandRefused
from domain.leads import LeadState
from domain.mailbox import Mailbox
from domain.observing import OldMail, OldSettings
from projections.kept import ADD_CONTACT, ADD_CONTENT, SUPPRESS, contacts
from projections.times import time_text
from runner import mailbox_identity as identities
from runner.campaign_file import content_digest
from runner.leads.lookups import Lookups, lookups
from runner.legacy.appending import Appends, InLedger, OnCopies
from runner.legacy.contacts import OldContact, People, positions
from runner.legacy.disagreements import QueueRows, Strays
from runner.legacy.old_database import OldDatabase
from runner.legacy.records import OldCampaign
from runner.legacy.settings import content_of, settings_of
from runner.store.ledger import Ledger
from runner.store.recorder import Kept

AT_ONCE = 1_000
"""Leads, or sends, of one append."""
BLOCKED_THERE = "blocked in the old system"

STATUS = {
    "DRAFT": Status.DRAFT,
    "SCHEDULED": Status.DRAFT,
    "IN_PROGRESS": Status.RUNNING,
    "PAUSED": Status.PAUSED,
    "COMPLETED": Status.COMPLETED,
    "CANCELLED": Status.CANCELLED,
}

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

Progress = Callable[[str, int, int], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Source:
    """What an import is told besides the database. `mailbox` and `zone` are for campaigns that are not here yet.
    `secret`: the key of the suppression list."""

    mailbox: str | None
    zone: str
    secret: bytes
    actor: str
    now: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class OldMailSeen:
    """A mail that the old system sent, as it was taken in. `alarm`: the lead had been mailed before."""

    lead_id: int
    sent_at: datetime
    message_id: str | None
    alarm: bool


@dataclass(frozen=True, slots=True)
class Imported:
    """What one import of a campaign brought. `left_there`: leads that came to it there after it was taken over."""

    campaign: int
    name: str
    observed: bool
    status: str
    leads: int
    statuses: int
    changed: int
    sends: Sequence[OldMailSeen]
    left_there: int
    findings: Sequence[Finding]


def import_campaign(
    ledger: Ledger,
    old: OldDatabase,
    campaign: OldCampaign,
    source: Source,
    progress: Progress,
    *,
    dry_run: bool = False,
) -> Imported:
    """Take in what is new of one campaign. In a dry run: what would be.

    Raises `CommandRefused` for a number that is taken here, `InvalidInput` for rows that cannot be read.
    """
    mailbox, zone = _place_of(ledger, campaign.number, source)
    appends: Appends = (OnCopies if dry_run else InLedger)(ledger, campaign.number, mailbox)
    with lookups(ledger) as lookup:
        domain = identities.current(ledger, mailbox).domain
        settings = settings_of(campaign, mailbox=mailbox, domain=domain, zone=zone, source=old.name)
        return _Import(old, campaign, source, settings, appends, lookup, progress).run()


def _place_of(ledger: Ledger, number: int, source: Source) -> tuple[str, str]:
    """The mailbox and the zone that the campaign has, or will have."""
    with ledger.campaign(number) as campaign:
        if campaign.exists:
            return campaign.mailbox, campaign.schedule.zone
    if source.mailbox is None:
        raise CommandRefused(f"campaign {number} was never imported; `sendledger legacy import` does that.")
    return source.mailbox, source.zone


class _Import:
    """One campaign's import."""

    def __init__(
        self,
        old: OldDatabase,
        campaign: OldCampaign,
        source: Source,
        settings: OldSettings,
        appends: Appends,
        lookup: Lookups,
        progress: Progress,
    ) -> None:
        self._old, self._campaign, self._source = old, campaign, source
        self._appends, self._lookup, self._tell = appends, lookup, progress
        self._settings = settings
        self._people = People(source.secret)
        self._totals = old.counts(campaign.number)

    def run(self) -> Imported:
        number = self._campaign.number
        self._appends.append(self._begin, lambda events: _content_rows(self._campaign, events))
        with self._appends.states() as (campaign, _):
            observed = campaign.observed
        leads = self._leads(observed)
        sends, send_log, without = self._sends()
        queue, of_queue = self._queue()
        if observed:
            self._appends.append(self._follow_life)
        observations = (*self._of_people(), *(self._gone() if observed else ()), *without, *of_queue)
        self._appends.append(lambda campaign, _: self._end(campaign, send_log, queue, observations))
        with self._appends.states() as (campaign, mailbox):
            findings = analyse(campaign, mailbox, self._source.now())
            status = str(campaign.status)
        return Imported(
            number,
            self._campaign.name,
            observed,
            status,
            leads["new"],
            leads["statuses"],
            leads["changed"],
            sends,
            leads["left there"],
            findings,
        )

    # --- decisions ---

    def _begin(self, campaign: Campaign, _mailbox: Mailbox) -> list[e.Event]:
        now, actor = self._source.now(), self._source.actor
        return observing.begin(campaign, self._settings, self._old.name, actor=actor, now=now)

    def _follow_life(self, campaign: Campaign, _mailbox: Mailbox) -> list[e.Event]:
        status = STATUS[self._campaign.status]
        since = self._campaign.completed_at if status is Status.COMPLETED else self._campaign.started_at
        return observing.follow_life(campaign, status, since=since, now=self._source.now())

    def _end(
        self,
        campaign: Campaign,
        send_log: Mapping[str, int],
        queue: Mapping[str, int],
        observations: Sequence[e.Observation],
    ) -> list[e.Event]:
        return observing.end(
            campaign,
            source=self._old.name,
            send_log=send_log,
            queue_rows=queue,
            observations=observations,
            actor=self._source.actor,
            now=self._source.now(),
        )

    # --- leads ---

    def _leads(self, observed: bool) -> Counter[str]:
        counts: Counter[str] = Counter()
        done = 0
        for some in _in_batches(map(self._people.meet, self._old.leads(self._campaign.number)), AT_ONCE):
            batch = _LeadBatch(self._campaign.number, some, self._lookup, self._source)
            if observed:
                self._appends.append(batch.decide, batch.keep)
            else:
                batch.count_unknown()
            counts += batch.counts
            self._people.blocked += batch.suppressed
            for lead, holder in batch.taken.items():
                self._people.share(holder, lead)
            done += len(some)
            self._tell(f"leads of campaign {self._campaign.number}", done, self._totals.leads)
        return counts

    def _of_people(self) -> Iterator[e.Observation]:
        people = self._people
        for group in people.groups.values():
            yield e.Observation(rule=found.ONE_ADDRESS, leads=tuple(group))
        if people.blocked:
            yield e.Observation(rule=found.BLOCKED, leads=tuple(sorted(set(people.blocked))))
        if people.unusable:
            yield e.Observation(rule=found.UNUSABLE, leads=tuple(people.unusable))

    def _gone(self) -> list[e.Observation]:
        """Leads that were taken out of the campaign there: whoever did that wants no mail to them."""
        there = {lead for lead, _ in self._people.by_row.values()}
        with self._appends.states() as (campaign, _):
            here = map(campaign.numbers.lead_id, campaign.roll.positions(LeadState.QUEUED))
            gone = tuple(lead for lead in here if lead not in there)
        return [e.Observation(rule=found.GONE, leads=gone)] if gone else []

    # --- sends ---

    def _sends(self) -> tuple[list[OldMailSeen], dict[str, int], list[e.Observation]]:
        counts: Counter[str] = Counter()
        with self._appends.states() as (campaign, _):
            known = positions(map(campaign.numbers.lead_id, range(len(campaign.roll))))
            strays = Strays(campaign)
        mails = self._mails(known, counts, strays)
        seen: list[OldMailSeen] = []
        for some in _in_batches(mails, AT_ONCE):
            events = self._appends.append(
                lambda campaign, mailbox, some=some: observing.add_sends(  # type: ignore[misc]
                    campaign, mailbox, some, now=self._source.now()
                )
            )
            seen += _seen(events)
            self._tell(f"sends of campaign {self._campaign.number}", counts.total(), self._totals.sends)
        return seen, dict(sorted(counts.items())), strays.observations()

    def _mails(self, known: Mapping[int, int], counts: Counter[str], strays: Strays) -> Iterator[OldMail]:
        for send in self._old.sends(self._campaign.number):
            counts[send.status] += 1
            if send.status != "sent":
                continue
            position = None if send.lead_id is None else known.get(send.lead_id)
            if position is None:
                strays.add(send, self._people)
            else:
                yield OldMail(send.row_id, position, send.message_id, send.created_at)

    # --- queue ---

    def _queue(self) -> tuple[dict[str, int], list[e.Observation]]:
        counts: Counter[str] = Counter()
        queue = QueueRows()
        for row in self._old.queue(self._campaign.number):
            counts[row.status] += 1
            queue.add(row, self._people)
        return dict(sorted(counts.items())), queue.observations()


class _LeadBatch:
    """One append of leads: who is new waits as there, whose status or data changed is changed."""

    def __init__(self, number: int, leads: Sequence[OldContact], lookup: Lookups, source: Source) -> None:
        self.counts: Counter[str] = Counter()
        self.suppressed: list[int] = []
        self.taken: dict[int, int] = {}
        self._number, self._leads, self._lookup, self._source = number, leads, lookup, source
        self._new: list[OldContact] = []
        self._changed: dict[int, tuple[OldContact, str]] = {}
        self._to_suppress: list[OldContact] = []
        self._holders: Mapping[str, RowMapping] = {}

    def count_unknown(self) -> None:
        """Of a campaign that was taken over nothing but sends is followed."""
        known = self._known()
        self.counts["left there"] = sum(lead.lead.lead_id not in known for lead in self._leads)

    def decide(self, campaign: Campaign, _mailbox: Mailbox) -> list[e.Event]:
        now = self._source.now()
        statuses = self._sort(campaign)
        commitments = {position: commitment for position, (_, commitment) in self._changed.items()}
        changed = change_contacts(campaign, commitments, now=now)
        followed = observing.follow_statuses(campaign, statuses, now=now)
        new = [NewLead(one.lead.lead_id, one.commitment, one.lead.priority, one.lead.v1_status) for one in self._new]
        added = observing.add_leads(campaign, new, now=now)
        self.counts = Counter({"new": len(new), "statuses": len(followed), "changed": len(changed)})
        return _numbered(campaign.version, [*changed, *followed, *added])

    def keep(self, events: Sequence[e.Event]) -> list[Kept]:
        queued = (event for event in events if isinstance(event, e.EmailQueued))
        changes = [event for event in events if isinstance(event, e.ContactChanged)]
        added = [
            one.row(self._number, event.position) | {"twin_of": self._twin_of(one)}
            for one, event in zip(self._new, queued, strict=True)
        ]
        entry = {"reason": BLOCKED_THERE, "actor": self._source.actor, "added_at": time_text(self._source.now())}
        return [
            (CHANGE_OLD_CONTACT, [self._change(event) for event in changes]),
            (ADD_CONTACT, added),
            (SUPPRESS, [{"address_hmac": hmac, **entry} for hmac in {one.suppression for one in self._to_suppress}]),
        ]

    def _sort(self, campaign: Campaign) -> dict[int, e.V1Status]:
        """Fill in who is new and whose data changed; the statuses of those that are known."""
        self._new, self._changed, statuses = [], {}, {}
        listed = self._lookup.suppressed({one.suppression for one in self._leads})
        self._to_suppress = [one for one in self._leads if one.lead.is_blocked and one.suppression not in listed]
        self.suppressed = [one.lead.lead_id for one in self._leads if one.suppression in listed]
        known = self._known()
        self._holders = self._lookup.contacts(self._number, {one.key for one in self._leads})
        self.taken = dict(self._taken_from_mailed(campaign))
        for one in self._leads:
            contact = known.get(one.lead.lead_id)
            if contact is None:
                self._new.append(one)
                continue
            position = contact["position"]
            statuses[position] = one.lead.v1_status
            commitment = contact_commitment(contact["salt"], one.address, one.lead.fields)
            if commitment != contact["commitment"] and campaign.roll.state(position) is LeadState.QUEUED:
                self._changed[position] = (one, commitment)
        return statuses

    def _known(self) -> dict[int, RowMapping]:
        return self._lookup.contacts_of_leads(self._number, [one.lead.lead_id for one in self._leads])

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


def _seen(events: Sequence[e.Event]) -> Iterator[OldMailSeen]:
    alarms = {event.token for event in events if isinstance(event, e.DuplicateDetected)}
    for event in events:
        if isinstance(event, e.EmailSent) and event.imported is not None:
            sent_at = event.occurred_at or event.recorded_at
            yield OldMailSeen(event.lead_id, sent_at, event.imported.message_id, event.token in alarms)


def _content_rows(campaign: OldCampaign, events: Sequence[e.Event]) -> list[Kept]:
    versions = [event.content_version for event in events if isinstance(event, e.ContentChanged)]
    versions += [1 for event in events if isinstance(event, e.CampaignCreated)]
    content = content_of(campaign)
    row = {"campaign_id": campaign.number, "digest": content_digest(content), **content.row}
    return [(ADD_CONTENT, [{"version": version, **row} for version in versions])] if versions else []


def _numbered(version: int, events: Sequence[e.Event]) -> list[e.Event]:
    """Decided each on the same state, appended one after the other."""
    return [event.model_copy(update={"originator_version": version + nth}) for nth, event in enumerate(events, start=1)]


def _in_batches(things: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(things)
    while some := list(islice(iterator, size)):
        yield some
