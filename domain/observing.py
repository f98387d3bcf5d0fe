"""Taking in what an old system did, and taking a campaign over from it. Pure, as all commands; nothing is repaired:
a lead stands here as it stood there, and what does not fit together is for an analysis to show.

What is taken in again is no event. Times in the past are `occurred_at`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain import events as e
from domain.analysis import waits_wrongly
from domain.attempts import AttemptState
from domain.calendar import Schedule
from domain.campaign import Campaign, Status
from domain.commands import NewLead, complete, let_wait
from domain.emitting import Draft
from domain.errors import CommandRefused
from domain.leads import V1_MAILED, V1_WAITS, LeadState
from domain.legacy import NO_OUTCOME, OLD_SYSTEM, Legacy, observed_attempt, observed_token, row_token
from domain.mailbox import Mailbox
from domain.rules import Limits

COUNTS_FOR_A_LIMIT = timedelta(days=2)
"""An old mail counts for its mailbox only while it can lie on today's local date, in whatever zone."""


@dataclass(frozen=True, slots=True)
class OldSettings:
    """A campaign's settings as they are in force here. `digest`: SHA-256 over what the old system has of them."""

    name: str
    mailbox: str
    content_digest: str
    schedule: Schedule
    limits: Limits
    message_id_domain: str
    digest: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Which campaign of which old database this is. `source`: that database, as it may be shown. `elsewhere`: it is
    not where it was when the campaign was taken in last. `moved`: a person said that it is the same nevertheless.
    `newest_row`: of its SendLog about the campaign, `newest_elsewhere`: of the one at the place of before, if that is
    still there; 0 for none. `changed_row`: one that was taken in and is another mail there now. Times are the old
    system's own."""

    source: str
    created_at: datetime
    scheduled_at: datetime | None
    newest_row: int
    changed_row: int | None = None
    elsewhere: bool = False
    moved: bool = False
    newest_elsewhere: int = 0


@dataclass(frozen=True, slots=True)
class OldMail:
    """A row of the old SendLog that says `sent`, about a lead of the campaign."""

    row: int
    position: int
    message_id: str | None
    sent_at: datetime


def must_be_the_same(campaign: Campaign, origin: Origin) -> None:
    """Raise `CommandRefused` where the number is that of another campaign: one that was made here, or came from another
    old database. Rows are known by their numbers, so a mistake would take mails for known that are not."""
    if not campaign.exists:
        return
    legacy, stream = _past(campaign), campaign.stream
    if legacy.created_at is not None and legacy.created_at != origin.created_at:
        raise CommandRefused(
            f"{stream} came from {legacy.source}, where it was made at {legacy.created_at.isoformat()}; the campaign "
            f"of that number in {origin.source} was made at {origin.created_at.isoformat()}: another one. Name the "
            "database that it came from, or import the other into a ledger of its own."
        )
    if origin.elsewhere and not origin.moved:
        raise CommandRefused(
            f"{stream} came from {legacy.source}, and this is {origin.source}. If that is the same database in another "
            "place, add --moved."
        )
    newest = max(legacy.rows.newest, origin.newest_elsewhere)
    if origin.elsewhere and origin.newest_row < newest:
        raise CommandRefused(
            f"the SendLog in {origin.source} ends at row {origin.newest_row} of {stream}, and there was a row {newest} "
            "already: this is an older copy. Name the database that the old system works on."
        )
    if origin.changed_row is not None:
        raise CommandRefused(
            f"row {origin.changed_row} of the SendLog in {origin.source} is another mail than the one that was taken "
            f"in for {stream}: an older copy was put in its place, and gives its numbers again. Bring the newer one "
            "back; until then nothing that the old system does can be known."
        )


def begin(campaign: Campaign, old: OldSettings, origin: Origin, *, actor: str, now: datetime) -> list[e.Event]:
    """A campaign of the old system, observed from its first event on; or what has changed of its settings since.

    Refused for another campaign of that number. Nothing for one that was taken over: it has its own settings.
    """
    must_be_the_same(campaign, origin)
    draft = Draft(campaign.stream, campaign.version, now)
    if not campaign.exists:
        draft.add(
            e.CampaignCreated,
            name=old.name,
            owner="v1",
            mailbox=old.mailbox,
            content_digest=old.content_digest,
            schedule=old.schedule,
            limits=old.limits,
            message_id_domain=old.message_id_domain,
            actor=actor,
        )
        draft.add(e.LegacyImported, **_import(origin, old.digest, complete=False, actor=actor))
        return draft.events
    legacy = _past(campaign)
    if not legacy.observed or legacy.settings_digest == old.digest:
        return []
    if old.content_digest != campaign.content_digest:
        version = campaign.content_version + 1
        draft.add(e.ContentChanged, content_version=version, content_digest=old.content_digest, actor=OLD_SYSTEM)
    if old.schedule != campaign.schedule:
        draft.add(e.ScheduleChanged, schedule=old.schedule, actor=OLD_SYSTEM)
    if old.limits != campaign.limits:
        draft.add(e.LimitsChanged, limits=old.limits, actor=OLD_SYSTEM)
    said = _import(origin, old.digest, complete=False, actor=actor)
    draft.add(e.LegacyImported, observations=legacy.observations, **said)  # evidence, until the end says it anew
    return draft.events


def add_leads(campaign: Campaign, leads: Iterable[NewLead], *, now: datetime) -> list[e.Event]:
    """Leads of the old system, with the V1 status that they have there, whatever it is."""
    _must_be_observed(campaign)
    draft, leads = Draft(campaign.stream, campaign.version, now), list(leads)
    if known := campaign.numbers.among({lead.lead_id for lead in leads}):
        raise CommandRefused(f"lead {min(known)} is in {campaign.stream} already: nobody is mailed twice.")
    for position, lead in enumerate(leads, start=len(campaign.roll)):
        let_wait(draft, position, lead)
        if campaign.status is Status.CANCELLED and lead.v1_status in V1_WAITS:
            draft.add(e.EmailSkipped, position=position, lead_id=lead.lead_id, reason="cancelled")
    return draft.events


def follow_statuses(campaign: Campaign, statuses: Mapping[int, e.V1Status], *, now: datetime) -> list[e.Event]:
    """What the old system's status of these leads, by position, is now; nothing where it is as it was."""
    _must_be_observed(campaign)
    draft = Draft(campaign.stream, campaign.version, now)
    for position, status in statuses.items():
        before = campaign.roll.v1_status(position)
        if status != before:
            lead_id = campaign.numbers.lead_id(position)
            draft.add(e.StatusObserved, position=position, lead_id=lead_id, before=before, after=status)
    return draft.events


def add_sends(campaign: Campaign, mailbox: Mailbox, mails: Iterable[OldMail], *, now: datetime) -> list[e.Event]:
    """What the old system sent: facts, so they are recorded whoever owns the campaign. A second mail to one lead is an
    alarm. Rows that are known already are nothing."""
    legacy = _past(campaign)
    draft, slots = Draft(campaign.stream, campaign.version, now), Draft(mailbox.stream, mailbox.version, now)
    numbers: dict[int, int] = {}
    leaving: set[int] = set()
    for mail in mails:
        if mail.row in legacy.rows:
            continue
        position, again = mail.position, mail.position in numbers
        is_second = again or legacy.sends[position] > 0 or _was_mailed_here(campaign, position)
        numbers[position] = (
            max(numbers[position] + 1, campaign.next_attempt(position)) if again else _attempt_of(campaign, position)
        )
        about = {
            "position": position,
            "lead_id": campaign.numbers.lead_id(position),
            "attempt": numbers[position],
            "token": row_token(mail.row),
        }
        imported = e.ImportedSend(row=mail.row, message_id=mail.message_id)
        draft.add(e.EmailSent, occurred_at=e.stamped(mail.sent_at), imported=imported, **about)
        if is_second:
            draft.add(e.DuplicateDetected, **about)
        if mail.sent_at > now - COUNTS_FOR_A_LIMIT:
            said = {"campaign": campaign.stream, "position": position, "token": about["token"]}
            slots.add(e.MailboxSlotTaken, occurred_at=e.stamped(mail.sent_at), **said)
        if campaign.roll.state(position) is LeadState.QUEUED:
            leaving.add(position)
    complete(campaign, draft, leaving=len(leaving))
    return draft.events + slots.events


def follow_ours(campaign: Campaign, statuses: Mapping[int, e.V1Status], *, now: datetime) -> list[e.Event]:
    """Of a campaign that was taken over: whom the old system has mailed since by its status alone, by position, gets no
    mail of ours; whom it has begun to mail is in doubt."""
    draft, leaving = Draft(campaign.stream, campaign.version, now), 0
    for position, status in statuses.items():
        state, lead_id = campaign.roll.state(position), campaign.numbers.lead_id(position)
        attempt = observed_attempt(campaign, position)
        waits = state is LeadState.QUEUED and status in (*V1_MAILED, "sending")
        settles = state is LeadState.IN_DOUBT and status in V1_MAILED
        if not waits and not (settles and attempt is not None and attempt.state is AttemptState.IN_DOUBT):
            continue
        about = {"position": position, "lead_id": lead_id}
        draft.add(e.StatusObserved, before=campaign.roll.v1_status(position), after=status, **about)
        if status == "sending":
            number = campaign.next_attempt(position)
            token = observed_token(lead_id, number)
            draft.add(e.EmailInDoubt, attempt=number, token=token, cause=NO_OUTCOME, **about)
        leaving += waits
    complete(campaign, draft, leaving=leaving)
    return draft.events


def follow_life(campaign: Campaign, status: Status, *, since: datetime | None, now: datetime) -> list[e.Event]:
    """Where the campaign is in its life, by the old system. What was cancelled here stays so: its leads are skipped."""
    _must_be_observed(campaign)
    draft = Draft(campaign.stream, campaign.version, now)
    if status is Status.DRAFT and campaign.status is not Status.DRAFT:
        status = Status.PAUSED  # a draft again there: here it has begun, and waits
    if status is campaign.status or campaign.status is Status.CANCELLED:
        return []
    said = {"actor": OLD_SYSTEM, "occurred_at": e.stamped(since) if since else None}
    if status is Status.CANCELLED:
        draft.add(e.CampaignCancelled, **said)
        return draft.events
    if campaign.status is Status.DRAFT:
        draft.add(e.CampaignStarted, **said)
    elif status is Status.RUNNING:
        draft.add(e.CampaignResumed, **said)
    if status is Status.COMPLETED:
        draft.add(e.CampaignCompleted, occurred_at=said["occurred_at"])
    elif status is Status.PAUSED:
        draft.add(e.CampaignPaused, **said)
    return draft.events


def end(
    campaign: Campaign,
    origin: Origin,
    *,
    send_log: Mapping[str, int],
    queue_rows: Mapping[str, int],
    observations: Sequence[e.Observation],
    actor: str,
    now: datetime,
) -> list[e.Event]:
    """The import came to its end. Nothing when the one before said the same."""
    legacy = _past(campaign)
    said = _import(origin, legacy.settings_digest, complete=True, actor=actor) | {
        "send_log": dict(send_log),
        "queue": dict(queue_rows),
        "observations": tuple(observations),
    }
    known = {
        "source": legacy.source,
        "created_there": legacy.created_at,
        "scheduled_there": legacy.scheduled_at,
        "send_log": legacy.send_log,
        "queue": legacy.queue,
        "observations": legacy.observations,
    }
    if legacy.complete and all(said[name] == value for name, value in known.items()):
        return []
    draft = Draft(campaign.stream, campaign.version, now)
    draft.add(e.LegacyImported, **said)
    return draft.events


def take_over(
    campaign: Campaign, *, settled: timedelta, actor: str, reason: str | None, now: datetime
) -> list[e.Event]:
    """Our V1 goes on. Every mail that the old system had under way is in doubt from here on."""
    may_be_taken_over(campaign)
    draft = Draft(campaign.stream, campaign.version, now)
    doubtful = campaign.locked()
    for attempt in doubtful:
        draft.add(
            e.EmailInDoubt,
            position=attempt.position,
            lead_id=attempt.lead_id,
            attempt=attempt.attempt,
            token=attempt.token,
            cause=NO_OUTCOME,
        )
    draft.add(
        e.TakenOver,
        epoch=campaign.epoch + 1,
        settled_s=int(settled.total_seconds()),
        in_doubt=tuple(sorted(attempt.lead_id for attempt in doubtful)),
        actor=actor,
        reason=reason,
    )
    if campaign.status is Status.RUNNING and campaign.waiting == len(doubtful):
        draft.add(e.CampaignCompleted)
    return draft.events


def may_be_taken_over(campaign: Campaign) -> None:
    """Raise `CommandRefused` for a campaign that no old system has, that was not taken in whole, or where somebody
    waits whom the old system has mailed already, or has no more, by what only its database shows."""
    legacy = _past(campaign)
    if not legacy.observed:
        raise CommandRefused(f"{campaign.stream} was taken over already; `sendledger cutover owners` shows since when.")
    if not legacy.complete:
        raise CommandRefused(f"the import of {campaign.stream} was broken off; run `sendledger legacy import` again.")
    if dangers := waits_wrongly(campaign):
        named = "; ".join(f"{finding.rule}: {finding.says}" for finding in dangers)
        raise CommandRefused(
            f"somebody waits who must not be mailed: {named}. `sendledger cutover fix {campaign.number}` mends that."
        )


def _attempt_of(campaign: Campaign, position: int) -> int:
    """The attempt that a row of the SendLog answers: one that was under way, or one nobody here knew of."""
    observed = observed_attempt(campaign, position)
    return observed.attempt if observed is not None else campaign.next_attempt(position)


def _was_mailed_here(campaign: Campaign, position: int) -> bool:
    """By one of our senders, as far as a person or a late reply says."""
    if campaign.observed:
        return False
    return position in campaign.accepted_late or any(
        attempt.position == position and attempt.state is AttemptState.RESOLVED_SENT and attempt.runner != OLD_SYSTEM
        for attempt in campaign.open.values()
    )


def _import(origin: Origin, settings_digest: str, *, complete: bool, actor: str) -> dict[str, object]:
    return {
        "source": origin.source,
        "created_there": e.stamped(origin.created_at),
        "scheduled_there": e.stamped(origin.scheduled_at) if origin.scheduled_at else None,
        "settings_digest": settings_digest,
        "complete": complete,
        "send_log": {},
        "queue": {},
        "actor": actor,
    }


def _past(campaign: Campaign) -> Legacy:
    if not campaign.exists:
        raise CommandRefused(
            f"there is no {campaign.stream}; `sendledger legacy import` brings it from the old system."
        )
    if campaign.legacy is None:
        raise CommandRefused(
            f"{campaign.stream} was made here and is none of the old system's. If that has one of the same number, "
            "import it into a ledger of its own."
        )
    return campaign.legacy


def _must_be_observed(campaign: Campaign) -> None:
    if not _past(campaign).observed:
        raise CommandRefused(
            f"{campaign.stream} was taken over: what the old system does with it is no longer followed."
        )
