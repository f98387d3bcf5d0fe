"""The mail to one lead as it will leave, and the plan of its campaign: read and rehearsed, and nothing changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email import message_from_string
from email.message import EmailMessage
from email.policy import default
from typing import Self

from domain.campaign import Campaign
from domain.errors import CommandRefused
from domain.events import Sender
from domain.leads import LeadState
from domain.mailbox import Mailbox
from domain.planning import Plan, make_plan
from domain.policies import Send
from domain.rehearsal import copy_of
from runner.mail.errors import MessageBroken, RenderFailed
from runner.sending.preparing import ContactMissing, Order, Preparer, Suppressed
from runner.store.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail as its reader sees it: decoded headers in order, and the bodies; and `raw`, as it goes over the wire."""

    headers: list[tuple[str, str]]
    text: str | None
    html: str | None
    raw: str

    @classmethod
    def of(cls, raw: bytes) -> Self:
        """Read back from its bytes: UTF-8 where the recipient's address is, ASCII otherwise."""
        message = message_from_string(raw.decode(), policy=default)
        headers = [(name, str(value)) for name, value in message.items()]
        return cls(headers, _body(message, "plain"), _body(message, "html"), raw.decode())


@dataclass(frozen=True, slots=True)
class Mail:
    """The mail to one lead: when it leaves (None: not within the plan), and the `letter` or the `problem` with it."""

    lead_id: int
    leaves_at: datetime | None = None
    letter: Letter | None = None
    problem: str | None = None


def preview(
    ledger: Ledger,
    number: int,
    lead: int | None,
    sharing: Iterable[int],
    cadence: Mapping[Sender, timedelta],
    now: datetime,
) -> tuple[Plan, Mail | None]:
    """The plan, and the mail to this lead, or else to the first that leaves; None when nobody waits.

    `sharing`: the running campaigns of the same mailbox. Raises `CommandRefused` where there is no such lead, and for a
    draft that cannot be started.
    """
    copies = {}
    for each in sorted({number, *sharing}):
        with ledger.campaign(each) as campaign:
            copies[each] = copy_of(campaign)
    with ledger.campaign_and_mailbox(number) as (campaign, mailbox):
        asked_for = None if lead is None else campaign.numbers.position(lead)
        if lead is not None and asked_for is None:
            raise CommandRefused(f"campaign {number} has no lead {lead}.")
        asked = [asked_for] if asked_for is not None else []
        plan = make_plan(copies[number], list(copies.values()), mailbox, cadence, now, asked)
        position = asked_for if asked_for is not None else _first_in_line(campaign, plan)
        mail = _mail(Preparer(ledger), campaign, mailbox, position, plan, now) if position is not None else None
        return plan, mail


def _first_in_line(campaign: Campaign, plan: Plan) -> int | None:
    """Who leaves first; where nobody does, because a mailbox is paused, say, who has not been tried yet, or waits
    the least."""
    if plan.first is not None:
        return plan.first.position
    fresh, retry = campaign.next_fresh(), campaign.next_retry()
    return fresh if fresh is not None or retry is None else retry.position


def _mail(preparer: Preparer, campaign: Campaign, mailbox: Mailbox, position: int, plan: Plan, now: datetime) -> Mail:
    """Its Date is the planned one, so that the bytes are those that will leave if all goes to plan."""
    state = campaign.roll.state(position)
    mail = Mail(campaign.numbers.lead_id(position), plan.leaves_at.get(position))
    if state is not LeadState.QUEUED:
        return replace(mail, problem=f"no mail is to leave: it is {state.label}")
    at = mail.leaves_at or now
    order = Order.of(campaign, mailbox, Send(position, mail.lead_id, at), at)
    try:
        return replace(mail, letter=Letter.of(preparer.prepare(order).message))
    except (RenderFailed, MessageBroken, ContactMissing, Suppressed) as problem:
        return replace(mail, problem=str(problem))


def _body(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body((kind,))
    return None if part is None else str(part.get_content()).replace("\r\n", "\n")
