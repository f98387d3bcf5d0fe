"""A campaign: what its events add up to. `evolve` is the only thing that changes it, after the events were saved.

Its life: a draft takes leads; started, it mails them one lock at a time; paused and resumed at will; completed when
nobody waits any more; cancelled for good. A lead waits (queued), is locked, and ends as sent, failed or skipped;
where nobody knows, it is in doubt until evidence or a person settles it. New leads reopen a completed campaign.

The state answers "who is next?" without a walk over the leads (see `leads`), and never looks at a clock.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from domain import events as e
from domain import legacy as old
from domain.attempts import Attempt, AttemptState
from domain.calendar import Schedule, SendingCalendar, calendar_of
from domain.counting import MailCount
from domain.errors import UnknownEvent
from domain.leads import LeadNumbers, LeadState, Line, Precedence, Retry, Roll
from domain.replies import Phase
from domain.rules import Limits

PACED_PHASES = frozenset({Phase.RCPT, Phase.DATA})
"""Before a lock, the phases in which the server knew the recipient: a refusal in them counts for the pace."""


class Status(StrEnum):
    """Where a campaign is in its life."""

    DRAFT = "draft"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class Campaign:
    """The state of one campaign. Read its attributes; change it only through `evolve`."""

    name: str
    owner: e.Sender
    mailbox: str
    schedule: Schedule
    limits: Limits
    message_id_domain: str
    content_digest: str

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.version = 0
        self.epoch = 1
        self.status: Status | None = None
        self.content_version = 1
        self.started_at: datetime | None = None
        self.last_mail_at: datetime | None = None
        self.refused_at: datetime | None = None
        self.roll = Roll()
        self.numbers = LeadNumbers()
        self.arrivals = Line()
        self.precedence = Precedence()
        self.retries: list[Retry] = []
        self.retry_of: dict[int, Retry] = {}
        self.attempts: dict[int, int] = {}
        self.attempts_forgiven: dict[int, int] = {}
        self.revisions: dict[int, int] = {}
        self.open: dict[str, Attempt] = {}
        self.accepted_late: set[int] = set()
        self.mails = MailCount()
        self.legacy: old.Legacy | None = None
        self.flagged = False
        self.migration_refused: str | None = None

    @property
    def number(self) -> str:
        """As people name it in commands."""
        return self.stream.removeprefix("campaign-")

    @property
    def observed(self) -> bool:
        """Does an old system mail it, so that nobody here may?"""
        return self.legacy is not None and self.legacy.observed

    @property
    def exists(self) -> bool:
        """Has it been created?"""
        return self.status is not None

    @property
    def calendar(self) -> SendingCalendar:
        """When it may send."""
        return calendar_of(self.schedule)

    def is_fresh(self, position: int) -> bool:
        """Does this lead wait for its first attempt?"""
        return self.roll.state(position) is LeadState.QUEUED and position not in self.retry_of

    def is_fresh_for_v1(self, position: int) -> bool:
        """The same, and in a status that V1 sends from."""
        return self.is_fresh(position) and self.roll.v1_picks(position)

    def next_retry(self, besides: Collection[int] = ()) -> Retry | None:
        """The lead whose back-off ends first, and is none of `besides`."""
        passed: list[Retry] = []
        while self.retries and not self._is_next(self.retries[0], besides):
            retry = heapq.heappop(self.retries)
            if self.retry_of.get(retry.position) is retry:
                passed.append(retry)
        found = self.retries[0] if self.retries else None
        for retry in passed:
            heapq.heappush(self.retries, retry)
        return found

    def _is_next(self, retry: Retry, besides: Collection[int]) -> bool:
        return self.retry_of.get(retry.position) is retry and retry.position not in besides

    def next_fresh(self, besides: Collection[int] = ()) -> int | None:
        """The first lead that waits for its first attempt, and is none of `besides`: lowest priority number, then
        position."""
        return self.precedence.first(self.is_fresh, besides)

    def next_arrival(self) -> int | None:
        """V1's first fresh lead: oldest first, whatever its priority."""
        return self.arrivals.first(self.is_fresh_for_v1)

    def next_attempt(self, position: int) -> int:
        """The number of this lead's next attempt, 1-based."""
        newest = self.legacy.newest(position) if self.legacy is not None else 0
        return max(self.attempts.get(position, 0), newest) + 1

    def attempts_spent(self, position: int) -> int:
        """Attempts that count against the limit: those since a person last gave the lead another chance."""
        return self.attempts.get(position, 0) - self.attempts_forgiven.get(position, 0)

    def revision(self, position: int) -> int:
        """The revision of this lead's contact that is in force."""
        return self.revisions.get(position, 0)

    def priority(self, position: int) -> int:
        """The priority this lead was queued with."""
        return self.precedence.priority(position)

    def unanswered(self, position: int) -> list[Attempt]:
        """This lead's attempts whose outcome nobody knows yet: at most a handful."""
        states = (AttemptState.LOCKED, AttemptState.IN_DOUBT)
        return [attempt for attempt in self.open.values() if attempt.position == position and attempt.state in states]

    def locked(self) -> list[Attempt]:
        """The attempts that are under way, of all leads: as many as there are connections."""
        return [attempt for attempt in self.open.values() if attempt.state is AttemptState.LOCKED]

    def is_current(self, position: int, attempt: int) -> bool:
        """Does this attempt's outcome decide over the lead? Not an older one's, and a skipped lead stays skipped."""
        newest = self.attempts.get(position) == attempt
        return newest and self.roll.state(position) is not LeadState.SKIPPED

    def take_as_mailed(self, position: int) -> None:
        """It was mailed: no outcome of an attempt decides over it any more. An old system may still mail it again."""
        newest = self.attempts.pop(position, 0)
        if self.legacy is not None:
            self.legacy.remember(position, newest)

    def settle(self, position: int, state: LeadState, status: e.V1Status) -> None:
        """End this lead's waiting; one that was accepted after all counts as sent."""
        if position in self.accepted_late:
            state, status = LeadState.SENT, "sent"
        self.roll.move(position, state, status)
        self.retry_of.pop(position, None)

    def wait_again(self, position: int, due_at: datetime) -> None:
        """Back into the queue, unless the campaign is over or the lead was accepted after all."""
        if position in self.accepted_late or self.status is Status.CANCELLED:
            return self.settle(position, LeadState.SKIPPED, "failed")
        self.roll.move(position, LeadState.QUEUED, "queued")
        retry = Retry(due_at, self.priority(position), position)
        self.retry_of[position] = retry
        heapq.heappush(self.retries, retry)
        return self.reopen()

    def reopen(self) -> None:
        """Somebody waits again. Where an old system mails it, that system says so itself."""
        if self.status is Status.COMPLETED and not self.observed:
            self.status = Status.RUNNING

    def paced_from(self, now: datetime) -> datetime | None:
        """The last mail, from which the pace runs. None when there was none; or when it lies further ahead than the
        pace reaches: the clock was set back since, and to wait for that time would be a silence of any length."""
        last = self.last_mail_at
        if last is None or last - now <= self.limits.least_gap:
            return last
        last = self.refused_at
        return last if last is not None and last - now <= self.limits.least_gap else None

    def refused(self, at: datetime) -> None:
        """A recipient was refused. No gate compared this time: another runner's clock may be behind the last mail's,
        or the clock was set back since; which of the two, only the next mail's time can tell."""
        if self.last_mail_at is None or at >= self.last_mail_at:
            self.last_mail_at, self.refused_at = at, None
        else:
            self.refused_at = at

    @property
    def waiting(self) -> int:
        """Leads that wait or are being mailed."""
        return self.roll.counts[LeadState.QUEUED] + self.roll.counts[LeadState.LOCKED]


def evolve(campaign: Campaign, event: e.Event) -> None:
    """Apply one saved event. Raises `UnknownEvent` for one that is none of a campaign's."""
    try:
        apply = _EVOLVE[type(event)]
    except KeyError:
        raise UnknownEvent(f"{type(event).__name__} is no event of a campaign ({campaign.stream})") from None
    apply(campaign, event)
    campaign.version = event.originator_version


def _created(campaign: Campaign, event: e.CampaignCreated) -> None:
    campaign.name, campaign.owner, campaign.mailbox = event.name, event.owner, event.mailbox
    campaign.schedule, campaign.limits = event.schedule, event.limits
    campaign.message_id_domain, campaign.content_digest = event.message_id_domain, event.content_digest
    campaign.status = Status.DRAFT


def _content_changed(campaign: Campaign, event: e.ContentChanged) -> None:
    campaign.content_version, campaign.content_digest = event.content_version, event.content_digest


def _schedule_changed(campaign: Campaign, event: e.ScheduleChanged) -> None:
    campaign.schedule = event.schedule


def _limits_changed(campaign: Campaign, event: e.LimitsChanged) -> None:
    campaign.limits = event.limits


def _mailbox_assigned(campaign: Campaign, event: e.MailboxAssigned) -> None:
    campaign.mailbox = event.mailbox


def _started(campaign: Campaign, event: e.CampaignStarted) -> None:
    campaign.status, campaign.started_at = Status.RUNNING, event.occurred_at or event.recorded_at


def _paused(campaign: Campaign, _event: e.CampaignPaused) -> None:
    campaign.status = Status.PAUSED


def _resumed(campaign: Campaign, _event: e.CampaignResumed) -> None:
    campaign.status = Status.RUNNING


def _cancelled(campaign: Campaign, _event: e.CampaignCancelled) -> None:
    campaign.status = Status.CANCELLED
    campaign.roll.skip_all_queued()
    campaign.retry_of.clear()


def _completed(campaign: Campaign, _event: e.CampaignCompleted) -> None:
    campaign.status = Status.COMPLETED


def _queued(campaign: Campaign, event: e.EmailQueued) -> None:
    position = event.position
    campaign.roll.append(event.v1_status)
    campaign.numbers.append(event.lead_id)
    campaign.arrivals.append(position)
    campaign.precedence.append(event.priority)
    old.lead_came(campaign, event)
    campaign.reopen()


def _contact_changed(campaign: Campaign, event: e.ContactChanged) -> None:
    campaign.revisions[event.position] = event.revision


def _skipped(campaign: Campaign, event: e.EmailSkipped) -> None:
    campaign.roll.move(event.position, LeadState.SKIPPED, campaign.roll.v1_status(event.position))
    campaign.retry_of.pop(event.position, None)


def _erased(_campaign: Campaign, _event: e.PersonErased) -> None:
    """Whoever waited was skipped by the event before: nothing of what may happen next changes."""


def _requeued(campaign: Campaign, event: e.EmailRequeued) -> None:
    campaign.attempts_forgiven[event.position] = campaign.attempts.get(event.position, 0)
    campaign.wait_again(event.position, event.recorded_at)


def _locked(campaign: Campaign, event: e.EmailLocked) -> None:
    position = event.position
    campaign.roll.move(position, LeadState.LOCKED, "sending")
    campaign.retry_of.pop(position, None)
    campaign.attempts[position] = event.attempt
    campaign.last_mail_at, campaign.refused_at = event.recorded_at, None
    campaign.mails.add(event.recorded_at)
    campaign.open[event.token] = Attempt(
        position,
        event.lead_id,
        event.attempt,
        event.token,
        event.sender,
        event.epoch,
        event.runner,
        event.mailbox,
        event.recorded_at,
    )


def _sent(campaign: Campaign, event: e.EmailSent) -> None:
    campaign.open.pop(event.token, None)
    position = event.position
    status: e.V1Status = "sent"
    if event.imported is not None:
        old.mail_came(campaign, event, event.imported)
        status = campaign.roll.v1_status(position)
    if campaign.legacy is not None:
        campaign.legacy.count(position, event.attempt)
    if other := campaign.unanswered(position):
        campaign.accepted_late.add(position)  # whatever the other attempt's outcome, this lead was mailed
        if any(attempt.state is AttemptState.LOCKED for attempt in other):
            return
    campaign.roll.move(position, LeadState.SENT, status)
    campaign.retry_of.pop(position, None)
    campaign.take_as_mailed(position)


def _failed(campaign: Campaign, event: e.EmailFailed) -> None:
    position = event.position
    if event.token is not None:
        campaign.open.pop(event.token, None)
        if not campaign.is_current(position, event.attempt):
            return
    else:
        campaign.attempts[position] = event.attempt
        if event.phase in PACED_PHASES:
            campaign.refused(event.recorded_at)
    if event.next_attempt_at is None:
        campaign.settle(position, LeadState.FAILED, "failed")
    else:
        campaign.wait_again(position, event.next_attempt_at)


def _in_doubt(campaign: Campaign, event: e.EmailInDoubt) -> None:
    campaign.open[event.token] = replace(campaign.open[event.token], state=AttemptState.IN_DOUBT)
    campaign.roll.move(event.position, LeadState.IN_DOUBT, "sending")


def _resolved(campaign: Campaign, event: e.InDoubtResolved) -> None:
    sent = event.outcome == "sent"
    state = AttemptState.RESOLVED_SENT if sent else AttemptState.RESOLVED_NOT_SENT
    campaign.open[event.token] = replace(campaign.open[event.token], state=state)
    if not campaign.is_current(event.position, event.attempt):
        return
    if sent:
        campaign.roll.move(event.position, LeadState.SENT, "sent")
    else:
        campaign.wait_again(event.position, event.recorded_at)


def _duplicate(_campaign: Campaign, _event: e.DuplicateDetected) -> None:
    """An alarm: it changes nothing of what may happen next."""


def _tested(_campaign: Campaign, _event: e.TestMailSent) -> None:
    """Nobody of this campaign was mailed."""


def _fix_applied(_campaign: Campaign, _event: e.FixApplied) -> None:
    """Its repairs are events of their own."""


def _flagged(campaign: Campaign, _event: e.FlaggedForV2) -> None:
    campaign.flagged, campaign.migration_refused = True, None


def _migration_refused(campaign: Campaign, event: e.MigrationRefused) -> None:
    campaign.migration_refused = event.reason


def _migrated(campaign: Campaign, event: e.MigratedToV2) -> None:
    campaign.owner, campaign.epoch = "v2", event.epoch
    campaign.flagged, campaign.migration_refused = False, None


def _rolled_back(campaign: Campaign, event: e.RolledBack) -> None:
    campaign.owner, campaign.epoch = "v1", event.epoch
    campaign.flagged, campaign.migration_refused = False, None


_EVOLVE: dict[type[e.Event], Callable[[Campaign, Any], None]] = {
    e.CampaignCreated: _created,
    e.ContentChanged: _content_changed,
    e.ScheduleChanged: _schedule_changed,
    e.LimitsChanged: _limits_changed,
    e.MailboxAssigned: _mailbox_assigned,
    e.CampaignStarted: _started,
    e.CampaignPaused: _paused,
    e.CampaignResumed: _resumed,
    e.CampaignCancelled: _cancelled,
    e.CampaignCompleted: _completed,
    e.EmailQueued: _queued,
    e.ContactChanged: _contact_changed,
    e.EmailSkipped: _skipped,
    e.PersonErased: _erased,
    e.EmailRequeued: _requeued,
    e.EmailLocked: _locked,
    e.EmailSent: _sent,
    e.EmailFailed: _failed,
    e.EmailInDoubt: _in_doubt,
    e.InDoubtResolved: _resolved,
    e.DuplicateDetected: _duplicate,
    e.TestMailSent: _tested,
    e.LegacyImported: old.imported,
    e.StatusObserved: old.status_changed,
    e.TakenOver: old.taken_over,
    e.StatusFixed: old.status_changed,
    e.FixApplied: _fix_applied,
    e.FlaggedForV2: _flagged,
    e.MigrationRefused: _migration_refused,
    e.MigratedToV2: _migrated,
    e.RolledBack: _rolled_back,
}
