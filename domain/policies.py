"""The two senders as pure policies: what to send now, or when to look again and why not yet.
Both share the one gate; they differ in how they choose and pace, and in what they do after a temporary failure.

    V1 (old)   at most one mail a tick and campaign; fresh leads oldest first, then those that failed, in that order;
               not before 0.8 x delay after the last mail; a temporary failure goes to the end of the line
    V2 (new)   all that are due (one at a time when a delay is set); a retry whose back-off is over first, for it has
               waited longest, then fresh leads by priority and position; 0.8 to 1.2 x delay after the last mail,
               drawn from a hash of campaign, lead and attempt; back-off of 15, 30, 60, 120, 240, 240 … minutes
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.campaign import Campaign
from domain.events import Sender
from domain.gate import earliest, holds_back, holds_for_sender
from domain.leads import LeadState
from domain.mailbox import Mailbox
from domain.rules import LEAST_SHARE_OF_DELAY, Limits, Rule, Wait

PACE_SPREAD = 0.4
"""V2's gap is drawn from [0.8, 0.8 + 0.4) x delay."""

NO_GAP = timedelta()

FIRST_BACK_OFF = timedelta(minutes=15)
LONGEST_BACK_OFF = timedelta(hours=4)

MAILS_A_TICK: dict[Sender, int | None] = {"v1": 1, "v2": None}
"""How many mails of one campaign a tick may send; None: all that are due."""


@dataclass(frozen=True, slots=True)
class Send:
    """Mail this lead now. `due_at`: the instant from which the sender's own rules allowed it."""

    position: int
    lead_id: int
    due_at: datetime


def next_send(
    campaign: Campaign,
    mailbox: Mailbox,
    sender: Sender,
    now: datetime,
    besides: Collection[int] = (),
    *,
    as_owner: bool = False,
) -> Send | Wait:
    """What this sender would do with this campaign now. `besides`: positions of mails that are being prepared, where
    several leave at a time. `as_owner`: what it would do if the campaign were its own, as a comparison asks."""
    wait = None if as_owner else holds_for_sender(campaign, sender, campaign.epoch)
    wait = wait or _nobody_waits(campaign) or holds_back(campaign, mailbox, now)
    if wait is not None:
        return wait
    return _v1(campaign, now) if sender == "v1" else _v2(campaign, now, besides)


def retry_at(sender: Sender, campaign: Campaign, position: int, now: datetime) -> datetime | None:
    """When to try again after the temporary failure of this lead's next attempt; None: its attempts are spent."""
    spent = campaign.attempts_spent(position)
    return _retry_at(sender, spent + 1, campaign.limits.max_attempts, now)


def retry_after(sender: Sender, campaign: Campaign, position: int, now: datetime) -> datetime | None:
    """The same for an attempt that was locked, and so is counted already."""
    return _retry_at(sender, campaign.attempts_spent(position), campaign.limits.max_attempts, now)


def pace(campaign: Campaign, position: int) -> timedelta:
    """V2's gap before this lead's next attempt: the same for ever, so that a replay draws the same."""
    if not campaign.limits.delay_s:
        return NO_GAP
    seed = f"{campaign.stream}/{campaign.numbers.lead_id(position)}/{campaign.next_attempt(position)}"
    drawn = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8]) / 2**64
    return campaign.limits.delay * (LEAST_SHARE_OF_DELAY + PACE_SPREAD * drawn)


def longest_pace(limits: Limits, sender: Sender) -> timedelta:
    """The most that this sender's pace puts between two mails."""
    spread = PACE_SPREAD if sender == "v2" else 0
    return limits.delay * (LEAST_SHARE_OF_DELAY + spread)


def _v1(campaign: Campaign, now: datetime) -> Send | Wait:
    position = campaign.next_arrival()
    if position is None:
        retry = campaign.next_retry()
        if retry is None:
            return Wait(Rule.STUCK)
        if now < retry.due_at:
            return Wait(Rule.BACK_OFF, retry.due_at)
        position = retry.position
    return _send(campaign, position, campaign.limits.least_gap, now)


def earliest_send(campaign: Campaign, mailbox: Mailbox, wait: Wait, now: datetime) -> datetime | None:
    """When all rules allow a mail: the rule's own end, and from there the first instant the gate is open."""
    return None if wait.until is None else earliest(campaign, mailbox, max(wait.until, now))


def next_in_line(campaign: Campaign, sender: Sender, now: datetime) -> int | None:
    """Whose turn it is, by position, whatever holds that mail back; None when nobody waits."""
    retry = campaign.next_retry()
    fresh = campaign.next_arrival() if sender == "v1" else campaign.next_fresh()
    if retry is None or (fresh is not None and (sender == "v1" or now < retry.due_at)):
        return fresh
    return retry.position


def sends_at_once(campaign: Campaign, sender: Sender) -> bool:
    """May several mails of this campaign be under way at a time? Not where each must wait for the one before."""
    return MAILS_A_TICK[sender] is None and not campaign.limits.delay_s


def _v2(campaign: Campaign, now: datetime, besides: Collection[int]) -> Send | Wait:
    retry = campaign.next_retry(besides)
    position = retry.position if retry is not None and retry.due_at <= now else campaign.next_fresh(besides)
    if position is None:
        if besides and retry is None:
            return Wait(Rule.EMPTY)
        return Wait(Rule.BACK_OFF, retry.due_at if retry is not None else None)
    gap, last = pace(campaign, position), campaign.paced_from(now)
    if last is not None and now < last + gap:
        return Wait(Rule.DELAY, last + gap)
    return _send(campaign, position, gap, now)


def _send(campaign: Campaign, position: int, gap: timedelta, now: datetime) -> Send:
    """Due: when it was started, when the pace allowed it, and when its back-off was over, whichever is latest; but
    never later than now, when it is sent: the clock may have been set back since."""
    last, retry = campaign.paced_from(now), campaign.retry_of.get(position)
    times = (campaign.started_at, last and last + gap, retry and retry.due_at)
    due_at = min(now, max(filter(None, times)))
    return Send(position, campaign.numbers.lead_id(position), due_at)


def _nobody_waits(campaign: Campaign) -> Wait | None:
    return None if campaign.roll.counts[LeadState.QUEUED] else Wait(Rule.EMPTY)


def _retry_at(sender: Sender, spent: int, allowed: int, now: datetime) -> datetime | None:
    if spent >= allowed:
        return None
    if sender == "v1":
        return now
    back_off = min(FIRST_BACK_OFF.total_seconds() * 2.0 ** (spent - 1), LONGEST_BACK_OFF.total_seconds())
    return now + timedelta(seconds=back_off)
