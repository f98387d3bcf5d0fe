"""Test mails: a lead's mail to somebody who wants to look at it before the lead does. Recorded, and counted nowhere.

It leaves by the campaign's mailbox and the real dialogue, but by none of the rules: nobody of the campaign is mailed.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from domain import commands
from domain.commitments import MESSAGE_ID_BYTES
from domain.errors import CommandRefused
from domain.policies import Send
from domain.replies import Phase, Verdict, judge
from runner.clock import Clock
from runner.sending.preparing import ContactMissing, Order, PreparedTest, Preparer
from runner.sending.servers import Servers
from runner.smtp.errors import Cause, DefiniteFailure
from runner.smtp.reply import Reply
from runner.store.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Trial:
    """A test mail that is ready to leave, and whose mail it shows."""

    order: Order
    mail: PreparedTest


def make(ledger: Ledger, number: int, lead_id: int | None, to: str, now: datetime) -> Trial:
    """The mail of this lead, or of the first who waits, for `to`. Raises what making a mail raises, and
    `CommandRefused` where there is no such lead."""
    with ledger.campaign(number) as campaign:
        if not campaign.exists:
            raise CommandRefused(f"there is no campaign {number}; `sendledger campaign list` shows which there are.")
    with ledger.campaign_and_mailbox(number) as (campaign, mailbox):
        position = commands.position_to_test(campaign, mailbox, lead_id)
        order = Order.of(campaign, mailbox, Send(position, campaign.numbers.lead_id(position), now), now)
    try:
        return Trial(order, Preparer(ledger).prepare_test(order, to, secrets.token_hex(MESSAGE_ID_BYTES)))
    except ContactMissing:
        raise CommandRefused(
            f"lead {order.lead_id} of campaign {number} was erased: its mail cannot be made any more."
        ) from None


def send(ledger: Ledger, trial: Trial, *, loopback_only: bool, actor: str, clock: Clock) -> Reply:
    """Deliver it and record that; or record nothing and raise `ServerUnavailable`, `DefiniteFailure` or `InDoubt`."""
    reply = _delivered(Servers(ledger, loopback_only=loopback_only), trial)
    ledger.on_campaign(
        trial.order.campaign,
        lambda campaign: commands.record_test(
            campaign,
            trial.order.position,
            mailbox=trial.order.mailbox,
            content_version=trial.order.content_version,
            message_id=trial.mail.message_id,
            code=reply.code,
            enhanced=reply.enhanced,
            queue_id=reply.queue_id,
            actor=actor,
            now=clock.now(),
        ),
        first_in_line=True,
    )
    return reply


def _delivered(servers: Servers, trial: Trial) -> Reply:
    session = servers.open(trial.order.mailbox)
    try:
        session.hold(trial.mail.envelope, trial.mail.message)
        reply = session.dot()
    finally:
        session.quit()
    verdict = judge(Phase.DOT, reply.code, reply.enhanced)
    if verdict is not Verdict.ACCEPTED:
        raise DefiniteFailure(Phase.DOT, reply.code, reply.enhanced, verdict=verdict, cause=Cause.REFUSED)
    return reply
