"""The one gate: whether a mail may be locked now, asked by both senders at the instant of sending.
Every refusal names the one rule that binds and the earliest time it can change.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from domain import events as e
from domain.calendar import Closed
from domain.campaign import Campaign, Status
from domain.counting import local_day
from domain.emitting import Draft
from domain.leads import LeadState
from domain.mailbox import Mailbox
from domain.rules import LockRefused, Rule, Wait

LOOK_AHEAD = timedelta(days=3 * 366)
"""How far "why not yet" looks for the next possible time."""


@dataclass(frozen=True, slots=True)
class LockRequest:
    """Everything that was prepared, to be held against the state: what was rendered, for whom, by which sender."""

    position: int
    sender: e.Sender
    epoch: int
    runner: str
    token: str
    due_at: datetime
    mailbox: str
    message_id: str
    date: datetime
    content_version: int
    revision: int
    commitment: str
    digest: str


def holds_back(campaign: Campaign, mailbox: Mailbox, now: datetime) -> Wait | None:
    """The rule that keeps every mail of this campaign from leaving now, the hardest to change first."""
    if (wait := holds_for_life(campaign)) is not None:
        return wait
    if mailbox.paused is not None:
        return mailbox.holds_back(now)
    if (closed := campaign.calendar.closed_because(now)) is not None:
        return Wait(_CLOSED[closed.rule], campaign.calendar.next_opening(now), _note(closed))
    if campaign.mails.on_date_of(now, campaign.schedule.zone) >= campaign.limits.daily_limit:
        return Wait(
            Rule.CAMPAIGN_LIMIT, local_day(now, campaign.schedule.zone)[1], f"{campaign.limits.daily_limit} a day"
        )
    if (wait := mailbox.holds_back(now)) is not None:
        return wait
    if (last := campaign.paced_from(now)) is not None and now < (until := last + campaign.limits.least_gap):
        return Wait(Rule.DELAY, until)
    return None


def earliest(campaign: Campaign, mailbox: Mailbox, now: datetime) -> datetime | None:
    """The first instant from `now` on at which no rule holds the campaign back; None if time alone never frees it."""
    at = now
    while at - now <= LOOK_AHEAD:
        wait = holds_back(campaign, mailbox, at)
        if wait is None:
            return at
        if wait.until is None:
            return None
        at = wait.until
    return None


def lock(campaign: Campaign, mailbox: Mailbox, request: LockRequest, now: datetime) -> list[e.Event]:
    """The point of no return: `EmailLocked` and `MailboxSlotTaken`, or `LockRefused`."""
    refusal = (
        holds_for_sender(campaign, request.sender, request.epoch)
        or holds_back(campaign, mailbox, now)
        or holds_lead_back(campaign, request.position, request.mailbox, request.content_version, request.revision, now)
    )
    if refusal is not None:
        raise LockRefused(refusal)
    draft = Draft(campaign.stream, campaign.version, now)
    draft.add(
        e.EmailLocked,
        position=request.position,
        lead_id=campaign.numbers.lead_id(request.position),
        attempt=campaign.next_attempt(request.position),
        sender=request.sender,
        epoch=request.epoch,
        runner=request.runner,
        token=request.token,
        due_at=e.stamped(request.due_at),
        mailbox=request.mailbox,
        message_id=request.message_id,
        date=e.stamped(request.date),
        content_version=request.content_version,
        revision=request.revision,
        commitment=request.commitment,
        digest=request.digest,
    )
    slot = Draft(mailbox.stream, mailbox.version, now)
    slot.add(e.MailboxSlotTaken, campaign=campaign.stream, position=request.position, token=request.token)
    return draft.events + slot.events


def holds_for_sender(campaign: Campaign, sender: e.Sender, epoch: int) -> Wait | None:
    """Does the campaign belong to this sender, in this epoch, and not to an old system?"""
    if campaign.observed:
        return Wait(Rule.OBSERVED)
    if (campaign.owner, campaign.epoch) == (sender, epoch):
        return None
    return Wait(Rule.OWNER, note=f"{campaign.owner} owns it in epoch {campaign.epoch}")


def holds_for_life(campaign: Campaign) -> Wait | None:
    """Is the campaign at a point of its life where it sends?"""
    match campaign.status:
        case Status.RUNNING:
            return None
        case Status.PAUSED:
            return Wait(Rule.PAUSED)
        case Status.DRAFT:
            return Wait(Rule.NOT_STARTED)
        case _:
            return Wait(Rule.FINISHED, note=str(campaign.status))


def holds_lead_back(
    campaign: Campaign, position: int, mailbox: str, content_version: int, revision: int, now: datetime
) -> Wait | None:
    """The rules of this one lead: it waits, its back-off is over, and what was rendered is still in force."""
    if campaign.roll.state(position) is not LeadState.QUEUED:
        return Wait(Rule.LEAD, note=campaign.roll.state(position).label)
    if (retry := campaign.retry_of.get(position)) is not None and now < retry.due_at:
        return Wait(Rule.BACK_OFF, retry.due_at)
    if mailbox != campaign.mailbox:
        return Wait(Rule.MAILBOX)
    if content_version != campaign.content_version:
        return Wait(Rule.CONTENT)
    if revision != campaign.revision(position):
        return Wait(Rule.CONTACT)
    return None


_CLOSED = {"weekday": Rule.WEEKDAY, "holiday": Rule.HOLIDAY, "window": Rule.WINDOW}


def _note(closed: Closed) -> str:
    return ", ".join(part for part in (closed.holiday, closed.country) if part)
