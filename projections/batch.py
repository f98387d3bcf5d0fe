"""One batch of events in memory: the rows it touches are read in bulk, changed by the fold, and written in bulk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect, Table, bindparam, update

from domain import events as e
from domain.campaign import Status
from domain.errors import SendledgerError
from projections.rows import AttemptRow, LeadRow, Reader, SmallTable, State, inserting, updating

CAMPAIGN_STREAM = "campaign-"

QUEUED, LOCKED, SENT = State.QUEUED.value, State.LOCKED.value, State.SENT.value
FAILED, SKIPPED, IN_DOUBT = State.FAILED.value, State.SKIPPED.value, State.IN_DOUBT.value
CANCELLED_REASON: e.SkipReason = "cancelled"

SMALL_TABLES = {
    "campaigns": ("id",),
    "campaign_days": ("campaign_id", "date"),
    "cutovers": ("log_position",),
    "shadows": ("campaign_id",),
    "mailboxes": ("name",),
    "mailbox_days": ("mailbox", "date"),
    "runners": ("runner",),
    "ticks": ("runner", "sender", "kind", "tick_at"),
    "event_counts": ("topic",),
}
"""Tables of few rows, or few rows a batch, with their keys."""

_TOUCHES_LEAD = frozenset(
    {
        e.ContactChanged,
        e.EmailSkipped,
        e.EmailRequeued,
        e.EmailLocked,
        e.EmailSent,
        e.EmailFailed,
        e.EmailInDoubt,
        e.InDoubtResolved,
        e.DuplicateDetected,
        e.StatusObserved,
        e.StatusFixed,
    }
)
"""Events about a lead that stands in the tables, or was queued earlier in the batch."""

_LEAD_COLUMNS_THAT_STAY = ("lead_id", "priority", "queued_at")
_ATTEMPT_COLUMNS_THAT_STAY = (
    *("lead_id", "sender", "epoch", "runner", "mailbox", "token", "digest", "content_version"),
    *("revision", "commitment", "due_at", "date", "locked_at", "lock_position"),
)


class BrokenStream(SendledgerError):
    """An event speaks of something that no event before it made: the views, or the ledger, were tampered with."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem} If the views were damaged, `sendledger rebuild` makes them anew.")


class CampaignRows:
    """A campaign's own row, and those of its leads that the batch touches."""

    __slots__ = ("cancelled", "counts", "id", "leads", "row", "stored", "zone")

    def __init__(self, row: dict[str, Any]) -> None:
        self.row = row
        self.id: int = row["id"]
        self.zone: str = row["zone"]
        self.counts = {state.value: row[state.column] for state in State}
        self.leads: dict[int, LeadRow] = {}
        self.stored: set[int] = set()
        self.cancelled = False

    def move(self, lead: LeadRow, state: str, v1_status: str) -> None:
        self.counts[lead.state] -= 1
        self.counts[state] += 1
        lead.state, lead.v1_status = state, v1_status

    def settle(self, lead: LeadRow, state: str, v1_status: str) -> None:
        """End its waiting; one that was accepted after all counts as sent."""
        if lead.accepted_late:
            state, v1_status = SENT, "sent"
        self.move(lead, state, v1_status)
        lead.next_attempt_at = None

    def wait_again(self, lead: LeadRow, due_at: str, recorded_at: str) -> None:
        """Back into the queue, unless the campaign is over or the lead was accepted after all."""
        cancelled = self.row["status"] == Status.CANCELLED
        if lead.accepted_late or cancelled:
            self.settle(lead, SKIPPED, "failed")
            lead.reason = None if lead.accepted_late else CANCELLED_REASON
            return
        self.move(lead, QUEUED, "queued")
        lead.next_attempt_at, lead.reason = due_at, None
        self.reopen(recorded_at)

    def reopen(self, recorded_at: str) -> None:
        """Somebody waits again. Where an old system mails it, that system says so itself."""
        if self.row["status"] == Status.COMPLETED and not self.row["observed"]:
            self.enter(Status.RUNNING, recorded_at)

    def enter(self, status: Status, recorded_at: str, actor: str | None = None, reason: str | None = None) -> None:
        self.row.update(status=status.value, status_since=recorded_at, status_actor=actor, status_reason=reason)

    def skip_all_queued(self) -> None:
        """Those in memory; `Batch` writes the others in one statement."""
        self.cancelled = True
        self.counts[SKIPPED] += self.counts[QUEUED]
        self.counts[QUEUED] = 0
        for lead in self.leads.values():
            if lead.state == QUEUED:
                lead.state, lead.next_attempt_at, lead.reason = SKIPPED, None, CANCELLED_REASON

    def count(self) -> None:
        """Put the counts into the row."""
        self.row.update((state.column, self.counts[state.value]) for state in State)
        self.row["leads"] = sum(self.counts.values())


class Batch:
    """Reads the rows that some events touch, and writes them when they are folded: into one set of view tables."""

    def __init__(self, tables: Mapping[str, Table], dialect: Dialect) -> None:
        leads, send_log = tables["leads"], tables["send_log"]
        self._connection: Connection
        self._small = {name: SmallTable(tables[name], dialect) for name in SMALL_TABLES}
        self._read_leads = Reader(leads, LeadRow)
        self._read_attempts = Reader(send_log, AttemptRow)
        self._insert_leads = inserting(leads, dialect, LeadRow)
        self._update_leads = updating(leads, dialect, LeadRow, fixed=_LEAD_COLUMNS_THAT_STAY)
        self._insert_attempts = inserting(send_log, dialect, AttemptRow)
        self._update_attempts = updating(send_log, dialect, AttemptRow, fixed=_ATTEMPT_COLUMNS_THAT_STAY)
        self._skip_queued = (
            update(leads)
            .where(leads.c.campaign_id == bindparam("b_campaign_id"), leads.c.state == QUEUED)
            .values(state=SKIPPED, next_attempt_at=None, reason=CANCELLED_REASON)
        )
        self._campaigns: dict[str, CampaignRows] = {}
        self._new_attempts: list[AttemptRow] = []
        self._old_attempts: list[AttemptRow] = []

    def begin(self, connection: Connection, events: Sequence[tuple[int, e.Event]]) -> None:
        """Read what these events touch, inside the caller's transaction. Nothing is kept from a batch before."""
        self._connection = connection
        self._campaigns.clear()
        self._new_attempts.clear()
        self._old_attempts.clear()
        for table in self._small.values():
            table.forget()
        self._load(events)

    def write(self) -> None:
        """Write what was folded."""
        connection = self._connection
        for campaign in self._campaigns.values():
            campaign.count()
            if campaign.cancelled:  # before the rows in memory are written: they know what came after it
                connection.execute(self._skip_queued, {"b_campaign_id": campaign.id})
        self._insert_leads.write(connection, self._leads(stored=False))
        self._update_leads.write(connection, self._leads(stored=True))
        self._insert_attempts.write(connection, self._new_attempts)
        self._update_attempts.write(connection, self._old_attempts)
        for table in self._small.values():
            table.flush(connection)

    # --- what handlers work on ---

    def campaign(self, event: e.Event) -> CampaignRows:
        """The campaign whose stream this is."""
        try:
            return self._campaigns[event.originator_id]
        except KeyError:
            return self._load_campaign(event.originator_id)

    def lead(self, campaign: CampaignRows, event: Any) -> LeadRow:
        """The lead that this event is about."""
        try:
            return campaign.leads[event.position]
        except KeyError:
            raise BrokenStream(
                f"{name_of(event)} speaks of a lead at {event.position} that was never queued."
            ) from None

    def attempt(self, lead: LeadRow, event: Any) -> AttemptRow:
        """The attempt that this event answers."""
        try:
            return lead.log[event.attempt]
        except KeyError:
            raise BrokenStream(f"{name_of(event)} answers attempt {event.attempt}, which was never made.") from None

    def add_campaign(self, row: dict[str, Any], stream: str) -> None:
        self._small["campaigns"].get(self._connection, row["id"])
        self._campaigns[stream] = CampaignRows(self._small["campaigns"].put(row))

    def add_attempt(self, lead: LeadRow, attempt: AttemptRow) -> None:
        lead.log[attempt.attempt] = attempt
        self._new_attempts.append(attempt)

    def find(self, table: str, *key: Any) -> dict[str, Any] | None:
        """A row of a small table."""
        return self._small[table].get(self._connection, *key)

    def need(self, table: str, event: e.Event, *key: Any) -> dict[str, Any]:
        """A row of a small table that an earlier event made."""
        row = self.find(table, *key)
        if row is None:
            raise BrokenStream(f"{name_of(event)} speaks of {key[0]}, which no event before it made.")
        return row

    def put(self, table: str, row: dict[str, Any]) -> None:
        """A new row of a small table, or one that replaces the old one."""
        self.find(table, *(row[name] for name in SMALL_TABLES[table]))
        self._small[table].put(row)

    def add_up(self, table: str, counted: str, number: int, *key: Any) -> None:
        """Count up in a small table."""
        row = self.find(table, *key)
        if row is None:
            self._small[table].put({**dict(zip(SMALL_TABLES[table], key, strict=True)), counted: number})
        else:
            row[counted] += number

    # --- reading ---

    def _load(self, events: Sequence[tuple[int, e.Event]]) -> None:
        """Read all leads that the batch touches and it does not queue itself, and their attempts so far."""
        touched: dict[str, set[int]] = {}
        for _, event in events:
            if type(event) in _TOUCHES_LEAD:
                touched.setdefault(event.originator_id, set()).add(event.position)  # type: ignore[attr-defined]
        for stream, positions in touched.items():
            if self._find_campaign(stream) is None:
                continue  # it is created and queued in this very batch
            campaign = self._load_campaign(stream)
            for lead in self._read_leads.read(self._connection, campaign.id, positions):
                campaign.leads[lead.position] = lead
            campaign.stored.update(campaign.leads)
            tried = [lead.position for lead in campaign.leads.values() if lead.attempts]
            for attempt in self._read_attempts.read(self._connection, campaign.id, tried):
                campaign.leads[attempt.position].log[attempt.attempt] = attempt
                self._old_attempts.append(attempt)

    def _load_campaign(self, stream: str) -> CampaignRows:
        row = self._find_campaign(stream)
        if row is None:
            raise BrokenStream(f"{stream} has events, but none that created it.")
        return self._campaigns.setdefault(stream, CampaignRows(row))

    def _find_campaign(self, stream: str) -> dict[str, Any] | None:
        return self.find("campaigns", campaign_number(stream))

    def _leads(self, *, stored: bool) -> Iterator[LeadRow]:
        for campaign in self._campaigns.values():
            yield from (lead for lead in campaign.leads.values() if (lead.position in campaign.stored) is stored)


def name_of(event: e.Event) -> str:
    """As messages name an event."""
    return f"{type(event).__name__} {event.originator_version} of {event.originator_id}"


def campaign_number(stream: str) -> int:
    """The number of the campaign whose stream this is."""
    number = stream.removeprefix(CAMPAIGN_STREAM)
    if not number.isdecimal() or number == stream:
        raise BrokenStream(f"{stream!r} is no stream of a campaign: those are named {CAMPAIGN_STREAM}NUMBER.")
    return int(number)
