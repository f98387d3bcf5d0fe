"""The commands of a campaign: `(state, command, now) -> events`, or `CommandRefused`. Pure, and nothing is changed.
Intentions are fenced by owner and epoch; facts never are, and change only the attempt whose token they name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from domain import events as e
from domain.analysis import ONE_ADDRESS, waits_wrongly
from domain.attempts import Attempt, AttemptState
from domain.calendar import Schedule
from domain.campaign import Campaign, Status
from domain.emitting import Draft
from domain.errors import CommandRefused
from domain.gate import holds_for_life, holds_for_sender, holds_lead_back
from domain.leads import LeadState
from domain.mailbox import Mailbox
from domain.policies import retry_after, retry_at
from domain.rules import Limits, LockRefused


@dataclass(frozen=True, slots=True)
class NewLead:
    """A lead to queue: its number, priority (lower goes first) and contact commitment."""

    lead_id: int
    commitment: str
    priority: int = 999
    v1_status: e.V1Status = "queued"


@dataclass(frozen=True, slots=True)
class Failure:
    """A definite failure: in which phase of the dialogue, with which reply, and whether trying again can help."""

    phase: str
    permanent: bool
    code: int | None = None
    enhanced: str | None = None


def create(
    campaign: Campaign,
    *,
    name: str,
    owner: e.Sender,
    mailbox: str,
    content_digest: str,
    schedule: Schedule,
    limits: Limits,
    message_id_domain: str,
    actor: str,
    now: datetime,
) -> list[e.Event]:
    """A new campaign, as a draft."""
    if campaign.exists:
        raise CommandRefused(f"{campaign.stream} exists already.")
    draft = Draft(campaign.stream, campaign.version, now)
    draft.add(
        e.CampaignCreated,
        name=name,
        owner=owner,
        mailbox=mailbox,
        content_digest=content_digest,
        schedule=schedule,
        limits=limits,
        message_id_domain=message_id_domain,
        actor=actor,
    )
    return draft.events


def edit(
    campaign: Campaign,
    *,
    actor: str,
    now: datetime,
    content_digest: str | None = None,
    schedule: Schedule | None = None,
    limits: Limits | None = None,
    mailbox: str | None = None,
) -> list[e.Event]:
    """New settings; what is left out or is the same as before stays, and is no event."""
    _must_exist(campaign)
    _must_be_ours(campaign)
    if campaign.status is Status.CANCELLED:
        raise CommandRefused(f"{campaign.stream} is cancelled: its settings are history.")
    draft = Draft(campaign.stream, campaign.version, now)
    if content_digest is not None and content_digest != campaign.content_digest:
        version = campaign.content_version + 1
        draft.add(e.ContentChanged, content_version=version, content_digest=content_digest, actor=actor)
    if schedule is not None and schedule != campaign.schedule:
        draft.add(e.ScheduleChanged, schedule=schedule, actor=actor)
    if limits is not None and limits != campaign.limits:
        draft.add(e.LimitsChanged, limits=limits, actor=actor)
    if mailbox is not None and mailbox != campaign.mailbox:
        draft.add(e.MailboxAssigned, mailbox=mailbox, actor=actor)
    return draft.events


def start(campaign: Campaign, *, actor: str, reason: str | None, now: datetime) -> list[e.Event]:
    """A draft begins to send."""
    _must_be(campaign, Status.DRAFT, verb="started")
    if not len(campaign.roll):
        raise CommandRefused(f"{campaign.stream} has no leads; import some with `sendledger leads import`.")
    draft = Draft(campaign.stream, campaign.version, now)
    draft.add(e.CampaignStarted, actor=actor, reason=reason)
    if not campaign.waiting:
        draft.add(e.CampaignCompleted)
    return draft.events


def pause(campaign: Campaign, *, actor: str, reason: str | None, now: datetime) -> list[e.Event]:
    """No further lock until it is resumed."""
    _must_be(campaign, Status.RUNNING, verb="paused")
    draft = Draft(campaign.stream, campaign.version, now)
    draft.add(e.CampaignPaused, actor=actor, reason=reason)
    return draft.events


def resume(campaign: Campaign, *, actor: str, reason: str | None, now: datetime) -> list[e.Event]:
    """A paused campaign goes on; so does one that an old system called completed though somebody waits."""
    _must_be(campaign, Status.PAUSED, *_completed_too_soon(campaign), verb="resumed")
    draft = Draft(campaign.stream, campaign.version, now)
    draft.add(e.CampaignResumed, actor=actor, reason=reason)
    if not campaign.waiting:
        draft.add(e.CampaignCompleted)
    return draft.events


def cancel(campaign: Campaign, *, actor: str, reason: str | None, now: datetime) -> list[e.Event]:
    """Everybody who waits is skipped, for good."""
    allowed = (Status.DRAFT, Status.RUNNING, Status.PAUSED, *_completed_too_soon(campaign))
    _must_be(campaign, *allowed, verb="cancelled")
    draft = Draft(campaign.stream, campaign.version, now)
    draft.add(e.CampaignCancelled, actor=actor, reason=reason)
    return draft.events


def queue(campaign: Campaign, leads: Iterable[NewLead], *, now: datetime) -> list[e.Event]:
    """More leads wait; positions follow the last one's. Refused for a number that the campaign has already."""
    _must_exist(campaign)
    _must_be_ours(campaign)
    if campaign.status is Status.CANCELLED:
        raise CommandRefused(f"{campaign.stream} is cancelled: it takes no more leads.")
    draft = Draft(campaign.stream, campaign.version, now)
    taken: set[int] = set()
    for position, lead in enumerate(leads, start=len(campaign.roll)):
        if lead.lead_id in taken or campaign.numbers.position(lead.lead_id) is not None:
            raise CommandRefused(f"lead {lead.lead_id} is in {campaign.stream} already: nobody is mailed twice.")
        taken.add(lead.lead_id)
        let_wait(draft, position, lead)
    return draft.events


def let_wait(draft: Draft, position: int, lead: NewLead) -> None:
    """This lead's mail waits, at this position."""
    draft.add(
        e.EmailQueued,
        position=position,
        lead_id=lead.lead_id,
        priority=lead.priority,
        commitment=lead.commitment,
        v1_status=lead.v1_status,
    )


def change_contacts(campaign: Campaign, commitments: dict[int, str], *, now: datetime) -> list[e.Event]:
    """New data of waiting leads, by position. A lead that no longer waits is left out: its mail is history."""
    draft = Draft(campaign.stream, campaign.version, now)
    for position, commitment in commitments.items():
        if campaign.roll.state(position) is LeadState.QUEUED:
            draft.add(
                e.ContactChanged,
                position=position,
                lead_id=campaign.numbers.lead_id(position),
                revision=campaign.revision(position) + 1,
                commitment=commitment,
            )
    return draft.events


def skip(campaign: Campaign, positions: Iterable[int], reason: e.SkipReason, *, now: datetime) -> list[e.Event]:
    """These leads get no mail, where they still wait."""
    draft = Draft(campaign.stream, campaign.version, now)
    skipped = 0
    for position in dict.fromkeys(positions):
        if campaign.roll.state(position) is LeadState.QUEUED:
            lead_id = campaign.numbers.lead_id(position)
            draft.add(e.EmailSkipped, position=position, lead_id=lead_id, reason=reason)
            skipped += 1
    complete(campaign, draft, leaving=skipped)
    return draft.events


def requeue_failed(
    campaign: Campaign, positions: Iterable[int], *, reason: str, actor: str, now: datetime
) -> list[e.Event]:
    """Another chance for leads that definitely failed. Refused for any other, in a campaign that is over, and for one
    that an old system may have mailed, or whose address another lead has."""
    _must_be(campaign, Status.RUNNING, Status.PAUSED, Status.COMPLETED, verb="retried")
    draft = Draft(campaign.stream, campaign.version, now)
    again = dict.fromkeys(positions)
    for position in again:
        lead_id = campaign.numbers.lead_id(position)
        if campaign.roll.state(position) is not LeadState.FAILED:
            raise CommandRefused(
                f"lead {lead_id} of {campaign.stream} is {campaign.roll.state(position).label}: "
                "only a definite failure can be tried again."
            )
        draft.add(e.EmailRequeued, position=position, lead_id=lead_id, reason=reason, actor=actor)
    _must_not_wait_wrongly(campaign, again)
    return draft.events


def fail_before_lock(
    campaign: Campaign,
    position: int,
    failure: Failure,
    *,
    sender: e.Sender,
    epoch: int,
    runner: str,
    mailbox: str,
    content_version: int,
    revision: int,
    now: datetime,
) -> list[e.Event]:
    """A definite failure before any lock, through the same fence as a lock: owner, epoch, running, still queued,
    and of what was rendered: an address that was refused says nothing about the one that has replaced it since."""
    refusal = (
        holds_for_sender(campaign, sender, epoch)
        or holds_for_life(campaign)
        or holds_lead_back(campaign, position, mailbox, content_version, revision, now)
    )
    if refusal is not None:
        raise LockRefused(refusal)
    again = None if failure.permanent else retry_at(sender, campaign, position, e.stamped(now))
    draft = Draft(campaign.stream, campaign.version, now)
    draft.add(
        e.EmailFailed,
        position=position,
        lead_id=campaign.numbers.lead_id(position),
        attempt=campaign.next_attempt(position),
        sender=sender,
        epoch=epoch,
        runner=runner,
        mailbox=mailbox,
        phase=failure.phase,
        code=failure.code,
        enhanced=failure.enhanced,
        permanent=failure.permanent,
        next_attempt_at=again,
    )
    complete(campaign, draft, leaving=1 if again is None else 0)
    return draft.events


def record_sent(
    campaign: Campaign,
    token: str,
    *,
    code: int,
    enhanced: str | None,
    queue_id: str | None,
    now: datetime,
    occurred_at: datetime | None = None,
) -> list[e.Event]:
    """The server accepted this attempt's mail. A second acceptance of one lead is an alarm. Nothing if known."""
    attempt = campaign.open.get(token)
    if attempt is None:
        return []
    draft = Draft(campaign.stream, campaign.version, now)
    sent = draft.add(
        e.EmailSent,
        occurred_at=e.stamped(occurred_at) if occurred_at else None,
        token=token,
        code=code,
        enhanced=enhanced,
        queue_id=queue_id,
        **_of(attempt),
    )
    if _was_accepted_otherwise(campaign, attempt):
        draft.add(e.DuplicateDetected, token=sent.token, **_of(attempt))
    complete(campaign, draft, leaving=_leaves(campaign, attempt))
    return draft.events


def record_failed(
    campaign: Campaign, token: str, failure: Failure, *, now: datetime, occurred_at: datetime | None = None
) -> list[e.Event]:
    """This attempt's mail was definitely not delivered. Nothing if its outcome is known."""
    attempt = campaign.open.get(token)
    if attempt is None:
        return []
    again = None if failure.permanent else _another_time(campaign, attempt, e.stamped(now))
    draft = Draft(campaign.stream, campaign.version, now)
    draft.add(
        e.EmailFailed,
        occurred_at=e.stamped(occurred_at) if occurred_at else None,
        token=token,
        sender=attempt.sender,
        epoch=attempt.epoch,
        runner=attempt.runner,
        mailbox=attempt.mailbox,
        phase=failure.phase,
        code=failure.code,
        enhanced=failure.enhanced,
        permanent=failure.permanent,
        next_attempt_at=again,
        **_of(attempt),
    )
    final = again is None and campaign.is_current(attempt.position, attempt.attempt)
    complete(campaign, draft, leaving=_leaves(campaign, attempt) if final else 0)
    return draft.events


def record_in_doubt(campaign: Campaign, token: str, cause: str, *, now: datetime) -> list[e.Event]:
    """Nobody knows what became of this attempt's mail. Nothing if its outcome is known, or it is in doubt already."""
    attempt = campaign.open.get(token)
    if attempt is None or attempt.state is not AttemptState.LOCKED:
        return []
    draft = Draft(campaign.stream, campaign.version, now)
    draft.add(e.EmailInDoubt, token=token, cause=cause, **_of(attempt))
    complete(campaign, draft, leaving=_leaves(campaign, attempt))
    return draft.events


def resolve_in_doubt(
    campaign: Campaign, position: int, outcome: e.Resolution, *, evidence: str, actor: str, now: datetime
) -> list[e.Event]:
    """A person settles what is in doubt: sent, or not sent and so queued again. Refused where that would not hold:
    who waits in a campaign that is only observed is the old system's to say, and it says so anew at each look."""
    if outcome == "not sent" and campaign.observed:
        raise CommandRefused(
            f"{campaign.stream} is only observed: until it is taken over, the old system decides who waits, and the "
            "next look would undo your word. Say `--not-sent` after the take-over; `--sent` can be said now."
        )
    attempt = next((a for a in campaign.unanswered(position) if a.state is AttemptState.IN_DOUBT), None)
    if attempt is None:
        lead_id, state = campaign.numbers.lead_id(position), campaign.roll.state(position).label
        raise CommandRefused(f"lead {lead_id} of {campaign.stream} is {state}, not in doubt: nothing to resolve.")
    draft = Draft(campaign.stream, campaign.version, now)
    draft.add(e.InDoubtResolved, token=attempt.token, outcome=outcome, evidence=evidence, actor=actor, **_of(attempt))
    if outcome == "sent" and _was_accepted_otherwise(campaign, attempt):
        draft.add(e.DuplicateDetected, token=attempt.token, **_of(attempt))
    if outcome == "not sent" and _another_has_its_address(campaign, position):
        draft.add(e.EmailSkipped, position=position, lead_id=attempt.lead_id, reason="duplicate address")
        if campaign.status in (Status.RUNNING, Status.COMPLETED) and not campaign.waiting:
            draft.add(e.CampaignCompleted)
    return draft.events


def _another_has_its_address(campaign: Campaign, position: int) -> bool:
    """Were this lead to wait, would another of its address have been mailed, or be mailed too?"""
    if campaign.status is Status.CANCELLED or position in campaign.accepted_late:  # then it does not wait
        return False
    found = waits_wrongly(campaign, [position])
    return any(finding.rule == ONE_ADDRESS and position in finding.positions for finding in found)


def position_to_test(campaign: Campaign, mailbox: Mailbox, lead_id: int | None) -> int:
    """Whose mail a test shows: this lead's, whatever became of it, or else that of the first who waits.

    No rule of the campaign binds a test, and of the mailbox only that it is not paused.
    """
    _must_exist(campaign)
    if mailbox.paused is not None:
        mend = f"`sendledger mailbox resume {campaign.mailbox}` ends that"
        raise CommandRefused(f"{mailbox.stream} is paused: {mailbox.paused}; {mend}.")
    if lead_id is not None:
        position = campaign.numbers.position(lead_id)
        if position is None:
            raise CommandRefused(f"{campaign.stream} has no lead {lead_id}.")
        return position
    position = campaign.next_fresh()
    if position is None and (retry := campaign.next_retry()) is not None:
        position = retry.position
    if position is None:
        raise CommandRefused(f"nobody waits in {campaign.stream}; name a lead with --lead, or import some.")
    return position


def record_test(
    campaign: Campaign,
    position: int,
    *,
    mailbox: str,
    content_version: int,
    message_id: str,
    code: int,
    enhanced: str | None,
    queue_id: str | None,
    actor: str,
    now: datetime,
) -> list[e.Event]:
    """A server accepted a test of this lead's mail. A fact: the campaign may have changed since it was made."""
    draft = Draft(campaign.stream, campaign.version, now)
    draft.add(
        e.TestMailSent,
        lead_id=campaign.numbers.lead_id(position),
        mailbox=mailbox,
        content_version=content_version,
        message_id=message_id,
        code=code,
        enhanced=enhanced,
        queue_id=queue_id,
        actor=actor,
    )
    return draft.events


def _of(attempt: Attempt) -> dict[Literal["position", "lead_id", "attempt"], int]:
    return {"position": attempt.position, "lead_id": attempt.lead_id, "attempt": attempt.attempt}


def _was_accepted_otherwise(campaign: Campaign, attempt: Attempt) -> bool:
    """Did another attempt of this lead end in an acceptance? One that a person called sent had its alarm then."""
    if attempt.state is AttemptState.RESOLVED_SENT:
        return False
    return attempt.position in campaign.accepted_late or campaign.roll.state(attempt.position) is LeadState.SENT


def _another_time(campaign: Campaign, attempt: Attempt, now: datetime) -> datetime | None:
    """When this lead is tried again after a temporary failure of this attempt; None: never on its account."""
    over = campaign.status is Status.CANCELLED or attempt.position in campaign.accepted_late
    if over or not campaign.is_current(attempt.position, attempt.attempt):
        return None
    return retry_after(attempt.sender, campaign, attempt.position, now)


def _leaves(campaign: Campaign, attempt: Attempt) -> int:
    """1 if this fact takes the lead out of those that wait or are locked."""
    state = campaign.roll.state(attempt.position)
    if state is LeadState.LOCKED:
        return 1 if attempt.state is AttemptState.LOCKED else 0
    return 1 if state is LeadState.QUEUED else 0


def complete(campaign: Campaign, draft: Draft, *, leaving: int) -> None:
    """The campaign is completed when the last one leaves."""
    if leaving and campaign.status is Status.RUNNING and not campaign.observed and campaign.waiting == leaving:
        draft.add(e.CampaignCompleted)


def _completed_too_soon(campaign: Campaign) -> tuple[Status, ...]:
    """The status of a campaign that an old system called completed though somebody waits."""
    return (Status.COMPLETED,) if campaign.status is Status.COMPLETED and campaign.waiting else ()


def _must_not_wait_wrongly(campaign: Campaign, again: Collection[int]) -> None:
    wrong: dict[int, str] = {}
    for finding in waits_wrongly(campaign, again):
        told = f"{finding.rule} ({finding.says})"
        wrong |= {lead: told for at, lead in zip(finding.positions, finding.leads, strict=True) if at in again}
    if wrong:
        named = "; ".join(f"lead {lead_id}: {told}" for lead_id, told in sorted(wrong.items()))
        left_out = " ".join(f"--except {lead_id}" for lead_id in sorted(wrong))
        raise CommandRefused(
            f"some of those who failed in {campaign.stream} must not be mailed: {named}. To try the others again, add "
            f"{left_out}."
        )


def _must_exist(campaign: Campaign) -> None:
    if not campaign.exists:
        raise CommandRefused(f"there is no {campaign.stream}; `sendledger campaign list` shows which there are.")


def _must_be_ours(campaign: Campaign) -> None:
    if campaign.observed:
        raise CommandRefused(
            f"{campaign.stream} is only observed: the old system mails it, so do it there, or take the campaign over "
            "with `sendledger legacy takeover`."
        )


def _must_be(campaign: Campaign, *allowed: Status, verb: str) -> None:
    _must_exist(campaign)
    _must_be_ours(campaign)
    if campaign.status not in allowed:
        raise CommandRefused(
            f"{campaign.stream} is {campaign.status}: only one that is {' or '.join(allowed)} can be {verb}."
        )
