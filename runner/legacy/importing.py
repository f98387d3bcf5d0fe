"""Taking in campaigns of the old application: settings, leads with the statuses they have there, sends with their own
times and Message-IDs. Nothing is repaired, and what was taken in already is not taken in again.

A thousand events an append, so an import that was broken off goes on when it is run again; a first one must be through
before the campaign can be taken over, which takes everything in once more. All is read from one moment of the old
database.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TypeVar

from domain import analysis as found
from domain import events as e
from domain import observing
from domain.analysis import Finding, analyse
from domain.campaign import Campaign, Status
from domain.errors import CommandRefused
from domain.leads import V1_WAITS, LeadState
from domain.legacy import RowNumbers
from domain.mailbox import Mailbox
from domain.observing import OldMail, OldSettings, Origin
from projections.kept import ADD_CONTENT
from runner import mailbox_identity as identities
from runner.campaign_file import content_digest
from runner.leads.lookups import Lookups, lookups
from runner.legacy.appending import Appends, InLedger, OnCopies
from runner.legacy.contacts import People, key_of, positions
from runner.legacy.disagreements import QueueRows, Strays
from runner.legacy.lead_batches import LeadBatch
from runner.legacy.old_database import OldDatabase
from runner.legacy.origins import origin_of
from runner.legacy.records import OldCampaign
from runner.legacy.settings import content_of, settings_of
from runner.store.ledger import Ledger
from runner.store.recorder import Kept

AT_ONCE = 1_000
"""Leads, or sends, of one append."""

STATUS = {
    "DRAFT": Status.DRAFT,
    "SCHEDULED": Status.DRAFT,
    "IN_PROGRESS": Status.RUNNING,
    "PAUSED": Status.PAUSED,
    "COMPLETED": Status.COMPLETED,
    "CANCELLED": Status.CANCELLED,
}

Progress = Callable[[str, int, int], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Source:
    """What an import is told besides the database. `mailbox` and `zone` are for campaigns that are not here yet.
    `secret`: the key of the suppression list. `moved`: a database in another place may be the one of before."""

    mailbox: str | None
    zone: str
    secret: bytes
    actor: str
    now: Callable[[], datetime]
    moved: bool = False


@dataclass(frozen=True, slots=True)
class OldMailSeen:
    """A mail that the old system sent, as it was taken in. `alarm`: the lead had been mailed before. `says`: what is
    odd about it; then `lead_id` may be the old system's word alone. `sent_at`: None where only a status tells of it."""

    lead_id: int | None
    sent_at: datetime | None
    message_id: str | None
    alarm: bool
    says: str = ""


@dataclass(frozen=True, slots=True)
class Imported:
    """What one import of a campaign brought. `blocked`: new on the list of those who must not be mailed. `left_there`:
    leads that came to it there after it was taken over. `version`: the campaign's when this was through."""

    campaign: int
    name: str
    observed: bool
    status: str
    leads: int
    statuses: int
    changed: int
    blocked: int
    sends: Sequence[OldMailSeen]
    left_there: int
    findings: Sequence[Finding]
    version: int


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

    Raises `CommandRefused` for a number that is another campaign's here, `InvalidInput` for rows that cannot be read.
    """
    mailbox, zone = _place_of(ledger, campaign.number, source)
    appends: Appends = (OnCopies if dry_run else InLedger)(ledger, campaign.number, mailbox)
    with lookups(ledger) as lookup:
        domain = identities.current(ledger, mailbox).domain
        settings = settings_of(campaign, mailbox=mailbox, domain=domain, zone=zone, source=old.name)
        origin = origin_of(ledger, old, campaign, moved=source.moved)
        return _Import(old, campaign, source, settings, origin, appends, lookup, progress).run()


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
        origin: Origin,
        appends: Appends,
        lookup: Lookups,
        progress: Progress,
    ) -> None:
        self._old, self._campaign, self._source = old, campaign, source
        self._appends, self._lookup, self._tell = appends, lookup, progress
        self._settings, self._origin = settings, origin
        self._people = People(source.secret)
        self._totals = old.counts(campaign.number)
        self._moved: dict[int, e.V1Status] = {}
        self._version = 0

    def run(self) -> Imported:
        number = self._campaign.number
        self._appends.append(self._begin, lambda events: _content_rows(self._campaign, events))
        with self._appends.states() as (campaign, _):
            observed = campaign.observed
            theirs = campaign.legacy.leads(campaign) if campaign.legacy is not None else 0
            before = positions(map(campaign.numbers.lead_id, range(theirs)))
        leads = self._leads(observed, before)
        sends, send_log, of_sends = self._sends()
        queue, of_queue = self._queue()
        if observed:
            self._appends.append(self._follow_life)
            observations = [*self._of_people(), *self._gone(), *self._cancelled_here(), *of_sends, *of_queue]
            observations += self._not_settled(observations)
        else:
            moves, of_moves = self._moved_since()
            sends += moves
            observations = [*self._of_people(), *of_moves, *of_sends, *of_queue]
        observations += self._rows_gone()
        self._appends.append(lambda campaign, _: self._end(campaign, observed, send_log, queue, observations))
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
            leads["blocked"],
            sends,
            leads["left there"],
            findings,
            self._version,
        )

    # --- decisions ---

    def _begin(self, campaign: Campaign, _mailbox: Mailbox) -> list[e.Event]:
        now, actor = self._source.now(), self._source.actor
        return observing.begin(campaign, self._settings, self._origin, actor=actor, now=now)

    def _follow_life(self, campaign: Campaign, _mailbox: Mailbox) -> list[e.Event]:
        status = STATUS[self._campaign.status]
        since = self._campaign.completed_at if status is Status.COMPLETED else self._campaign.started_at
        return observing.follow_life(campaign, status, since=since, now=self._source.now())

    def _end(
        self,
        campaign: Campaign,
        observed: bool,
        send_log: Mapping[str, int],
        queue: Mapping[str, int],
        observations: Sequence[e.Observation],
    ) -> list[e.Event]:
        if campaign.observed != observed:
            raise CommandRefused(f"{campaign.stream} was taken over at this very moment: try again.")
        events = observing.end(
            campaign,
            self._origin,
            send_log=send_log,
            queue_rows=queue,
            observations=observations,
            actor=self._source.actor,
            now=self._source.now(),
        )
        self._version = campaign.version + len(events)
        return events

    # --- leads ---

    def _leads(self, observed: bool, before: Mapping[int, int]) -> Counter[str]:
        counts: Counter[str] = Counter()
        done = 0
        for some in _in_batches(map(self._people.meet, self._old.leads(self._campaign.number)), AT_ONCE):
            actor, now = self._source.actor, self._source.now
            batch = LeadBatch(self._campaign.number, some, before, self._lookup, actor, now)
            if observed:
                self._appends.append(batch.decide, batch.keep)
            else:
                self._appends.append(batch.decide_ours, batch.keep_blocked)
                left = (one.lead for one in some if one.lead.v1_status not in V1_WAITS)
                self._moved |= {before[lead.lead_id]: lead.v1_status for lead in left if lead.lead_id in before}
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
        if people.traces:
            yield e.Observation(rule=found.TRACES, leads=tuple(people.traces))

    def _gone(self) -> list[e.Observation]:
        """Leads that were taken out of the campaign there: whoever did that wants no mail to them."""
        there = {lead for lead, _ in self._people.by_row.values()}
        with self._appends.states() as (campaign, _):
            here = map(campaign.numbers.lead_id, campaign.roll.positions(LeadState.QUEUED))
            gone = tuple(lead for lead in here if lead not in there)
        return [e.Observation(rule=found.GONE, leads=gone)] if gone else []

    def _not_settled(self, observations: Sequence[e.Observation]) -> list[e.Observation]:
        """Who may have been mailed by what an earlier import saw, and waits: that it is gone there settles nothing."""
        said = {(each.rule, lead) for each in observations for lead in each.leads}
        with self._appends.states() as (campaign, _):
            earlier = campaign.legacy.observations if campaign.legacy is not None else ()
            waiting = set(map(campaign.numbers.lead_id, campaign.roll.positions(LeadState.QUEUED)))
        return [
            each.model_copy(update={"leads": leads})
            for each in earlier
            if each.rule in found.MAY_BE_SENT
            and (leads := tuple(lead for lead in each.leads if lead in waiting and (each.rule, lead) not in said))
        ]

    def _moved_since(self) -> tuple[list[OldMailSeen], list[e.Observation]]:
        """Of a campaign that is ours: whom the old system has mailed, or begun to, and wrote no row of."""
        now = self._source.now
        self._appends.append(lambda campaign, _: observing.follow_ours(campaign, self._moved, now=now()))
        with self._appends.states() as (campaign, _):
            known, legacy = found.moved_since(campaign), campaign.legacy
            assert legacy is not None  # noqa: S101 - for the type checker: it was begun
            waited = legacy.waited or b""
            moved = (at for at in self._moved if at < len(waited) and waited[at] and not legacy.sends[at])
            leads = {campaign.numbers.lead_id(at): at for at in moved}
        seen = [
            OldMailSeen(lead, None, None, alarm=False, says=f"`{self._moved[at]}` there, without a row")
            for lead, at in leads.items()
            if lead not in known
        ]
        kept = tuple(sorted(known | leads.keys()))
        return seen, [e.Observation(rule=found.MOVED_SINCE, leads=kept)] if kept else []

    def _rows_gone(self) -> list[e.Observation]:
        with self._appends.states() as (campaign, _):
            newest = campaign.legacy.rows.newest if campaign.legacy is not None else 0
        return [e.Observation(rule=found.ROWS_GONE, rows=(newest,))] if newest > self._origin.newest_row else []

    def _cancelled_here(self) -> list[e.Observation]:
        """Nothing brings those back whom a cancellation has skipped."""
        goes_on = STATUS[self._campaign.status] is not Status.CANCELLED
        with self._appends.states() as (campaign, _):
            is_over = campaign.status is Status.CANCELLED
        return [e.Observation(rule=found.CANCELLED_HERE)] if is_over and goes_on else []

    # --- sends ---

    def _sends(self) -> tuple[list[OldMailSeen], dict[str, int], list[e.Observation]]:
        counts: Counter[str] = Counter()
        with self._appends.states() as (campaign, _):
            assert campaign.legacy is not None  # noqa: S101 - for the type checker: it was begun
            theirs = range(campaign.legacy.leads(campaign))
            known = positions(map(campaign.numbers.lead_id, theirs))
            rows, strays = campaign.legacy.rows, Strays(campaign)
        seen: list[OldMailSeen] = []
        for some in _in_batches(self._mails(known, rows, counts, strays), AT_ONCE):
            seen += self._add_sends(some)
            self._tell(f"sends of campaign {self._campaign.number}", counts.total(), self._totals.sends)
        return seen + self._late(strays), dict(sorted(counts.items())), strays.observations()

    def _add_sends(self, mails: Sequence[OldMail]) -> list[OldMailSeen]:
        now = self._source.now
        events = self._appends.append(
            lambda campaign, mailbox: observing.add_sends(campaign, mailbox, mails, now=now())
        )
        return list(_seen(events))

    def _mails(
        self, known: Mapping[int, int], rows: RowNumbers, counts: Counter[str], strays: Strays
    ) -> Iterator[OldMail]:
        for send in self._old.sends(self._campaign.number):
            counts[send.status] += 1
            strays.has_begun(send)
            if send.status != "sent":
                continue
            position = None if send.lead_id is None else known.get(send.lead_id)
            if position is not None:
                strays.look_at_address(send, self._people, is_new=send.row_id not in rows)
                yield OldMail(send.row_id, position, send.message_id, send.created_at)
            elif send.row_id not in rows:
                strays.add(send, self._people)

    def _late(self, strays: Strays) -> list[OldMailSeen]:
        """Who has such an address here has been mailed, whatever number the old system gives."""
        keys = {key_of(send.address) for send in (*strays.late, *strays.late_to_others)}
        holders = self._lookup.contacts(self._campaign.number, keys)
        mails, seen = [], []
        for send in strays.late:
            holder = holders.get(key_of(send.address))
            if holder is not None:
                mails.append(OldMail(send.row_id, holder["position"], send.message_id, send.created_at))
            else:
                strays.add_unmatched(send)
                said = "to nobody of this campaign"
                seen.append(OldMailSeen(send.lead_id, send.created_at, send.message_id, alarm=False, says=said))
        others = (holders.get(key_of(send.address)) for send in strays.late_to_others)
        self._moved |= {holder["position"]: "sent" for holder in others if holder is not None}
        return self._add_sends(mails) + seen

    # --- queue ---

    def _queue(self) -> tuple[dict[str, int], list[e.Observation]]:
        counts: Counter[str] = Counter()
        queue = QueueRows()
        for row in self._old.queue(self._campaign.number):
            counts[row.status] += 1
            queue.add(row, self._people)
        return dict(sorted(counts.items())), queue.observations()


def _seen(events: Sequence[e.Event]) -> Iterator[OldMailSeen]:
    alarms = {event.token for event in events if isinstance(event, e.DuplicateDetected)}
    for event in events:
        if isinstance(event, e.EmailSent) and event.imported is not None:
            sent_at = event.occurred_at or event.recorded_at
            twice = event.token in alarms
            said = "mailed twice" if twice else ""
            yield OldMailSeen(event.lead_id, sent_at, event.imported.message_id, alarm=twice, says=said)


def _content_rows(campaign: OldCampaign, events: Sequence[e.Event]) -> list[Kept]:
    versions = [event.content_version for event in events if isinstance(event, e.ContentChanged)]
    versions += [1 for event in events if isinstance(event, e.CampaignCreated)]
    content = content_of(campaign)
    row = {"campaign_id": campaign.number, "digest": content_digest(content), **content.row}
    return [(ADD_CONTENT, [{"version": version, **row} for version in versions])] if versions else []


def _in_batches(things: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(things)
    while some := list(islice(iterator, size)):
        yield some
