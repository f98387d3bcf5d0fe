"""Ticks tried on copies: what the senders would do, asked of the very policies, gate and commands that send.
Nothing real is touched: what is decided is folded into the copies alone.

Assumed: every mail is accepted at its first attempt and takes no time; nobody joins or leaves, no setting changes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from copy import copy
from datetime import datetime

from domain import commands
from domain import mailbox as mailboxes
from domain.campaign import Campaign, Status, evolve
from domain.counting import Tally
from domain.events import Event, Sender
from domain.gate import LockRequest, lock
from domain.leads import LeadState
from domain.mailbox import Mailbox
from domain.policies import MAILS_A_TICK, Send, next_send
from domain.rules import Wait
from domain.snapshot import freeze, thaw

REHEARSED = "rehearsed"
NO_DIGEST = "0" * 64
ACCEPTED = 250


def copy_of(campaign: Campaign) -> Campaign:
    """A copy to try things on: a byte a lead and a little more."""
    tried = thaw(campaign.stream, freeze(campaign))
    tried.mails = Tally(tried.mails)
    return tried


def set_going(campaign: Campaign, now: datetime) -> None:
    """A draft as if it were started now, a paused one as if it were resumed. `campaign` is a copy. Raises
    `CommandRefused` where a person's command would be."""
    match campaign.status:
        case Status.DRAFT:
            fold(campaign, commands.start(campaign, actor=REHEARSED, reason=None, now=now))
        case Status.PAUSED:
            fold(campaign, commands.resume(campaign, actor=REHEARSED, reason=None, now=now))
        case _:
            pass


class Rehearsal:
    """One mailbox, copied, and the copies of campaigns that send through it: they share its limit."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = copy(mailbox)
        self.mailbox.mails = Tally(mailbox.mails)

    def tick(
        self, sender: Sender, campaigns: Iterable[Campaign], now: datetime
    ) -> Iterator[tuple[Campaign, Send | Wait]]:
        """What one tick decides, in order: campaigns take turns, a mail each, until each must wait or has sent as many
        as a tick may. A mail is folded into the copies before it is told."""
        turns = deque((campaign, 1) for campaign in campaigns)
        allowed = MAILS_A_TICK[sender]
        while turns:
            campaign, nth = turns.popleft()
            decision = self.decide(sender, campaign, now)
            if isinstance(decision, Send):
                self.send(campaign, decision, sender, now)
                if allowed is None or nth < allowed:
                    turns.append((campaign, nth + 1))
            yield campaign, decision

    def decide(self, sender: Sender, campaign: Campaign, now: datetime) -> Send | Wait:
        """What the policy says; nothing is folded."""
        return next_send(campaign, self.mailbox, sender, now)

    def send(self, campaign: Campaign, send: Send, sender: Sender, now: datetime) -> None:
        """Locked and accepted, as the real commands would have it."""
        token = self.lock(campaign, send, sender, now)
        sent = commands.record_sent(campaign, token, code=ACCEPTED, enhanced=None, queue_id=None, now=now)
        fold(campaign, sent)

    def lock(self, campaign: Campaign, send: Send, sender: Sender, now: datetime) -> str:
        """Locked: the token."""
        token = f"{REHEARSED} {send.position}.{campaign.next_attempt(send.position)}"
        request = LockRequest(
            send.position,
            sender,
            campaign.epoch,
            REHEARSED,
            token,
            send.due_at,
            campaign.mailbox,
            REHEARSED,
            now,
            campaign.content_version,
            campaign.revision(send.position),
            NO_DIGEST,
            NO_DIGEST,
        )
        locked, slot = lock(campaign, self.mailbox, request, now)
        evolve(campaign, locked)
        mailboxes.evolve(self.mailbox, slot)
        return token


def queued(campaign: Campaign) -> int:
    """Leads that wait."""
    return campaign.roll.counts[LeadState.QUEUED]


def fold(campaign: Campaign, events: Iterable[Event]) -> None:
    """Into the copy."""
    for event in events:
        evolve(campaign, event)
