"""The steps of a cutover on a ledger: what is found, repairs by plan, ownership moved and read back, verification."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from domain import cutover
from domain import senders as all_senders
from domain.analysis import Finding, analyse
from domain.campaign import Campaign
from domain.cutover import Plan
from domain.errors import CommandRefused
from domain.events import (
    CampaignCreated,
    Event,
    MailboxAssigned,
    MigratedToV2,
    RolledBack,
    ShadowDecided,
    ShadowStarted,
    ShadowStopped,
)
from domain.mailbox import Mailbox
from domain.verifying import Answer, verify
from projections import queries
from runner.replaying.shadow import shadow_stream
from runner.store.ledger import Ledger, campaign_stream, mailbox_stream
from runner.store.reading import read

FOR_V2 = "flagged for V2"
V1_TICK, V2_TICK = "V1's tick", "V2's tick"

WAITING = ("queued", "locked")


@dataclass(frozen=True, slots=True)
class Examined:
    """A campaign as an analysis finds it: leads by V1 status and by state, old rows by status, and the findings."""

    campaign: int
    status: str
    owner: str
    epoch: int
    observed: bool
    v1_statuses: dict[str, int]
    states: dict[str, int]
    send_log: dict[str, int]
    queue: dict[str, int]
    findings: list[Finding]


@dataclass(frozen=True, slots=True)
class Kept:
    """One postcondition of a move, as it is read back from the store."""

    what: str
    before: str
    read_back: str

    @property
    def holds(self) -> bool:
        """Are both the same?"""
        return self.before == self.read_back


def examine(ledger: Ledger, number: int, now: datetime) -> Examined:
    """What is found in this campaign now. Raises `CommandRefused` where there is none."""
    with both(ledger, number) as (campaign, mailbox):
        legacy = campaign.legacy
        return Examined(
            number,
            str(campaign.status),
            campaign.owner,
            campaign.epoch,
            campaign.observed,
            campaign.roll.statuses(),
            cutover.states(campaign),
            dict(legacy.send_log) if legacy else {},
            dict(legacy.queue) if legacy else {},
            analyse(campaign, mailbox, now),
        )


def plan(ledger: Ledger, number: int, now: datetime) -> Plan:
    """The repairs that there are now."""
    with both(ledger, number) as (campaign, mailbox):
        return cutover.plan_repairs(campaign, analyse(campaign, mailbox, now))


def apply_plan(
    ledger: Ledger, number: int, plan_id: str, *, actor: str, reason: str | None, now: datetime
) -> list[Event]:
    """Exactly this plan, in one append."""

    def decide(campaign: Campaign, mailbox: Mailbox) -> list[Event]:
        findings = analyse(campaign, mailbox, now)
        return cutover.apply_plan(campaign, findings, plan_id, actor=actor, reason=reason, now=now)

    return ledger.on_both(number, mailbox_of(ledger, number), decide, first_in_line=True)


def migrate(ledger: Ledger, number: int, *, actor: str, reason: str, now: datetime) -> MigratedToV2:
    """One append: V2 owns it from the next lock on."""

    def decide(campaign: Campaign, mailbox: Mailbox) -> list[Event]:
        return cutover.migrate(campaign, analyse(campaign, mailbox, now), actor=actor, reason=reason, now=now)

    events = ledger.on_both(number, mailbox_of(ledger, number), decide, first_in_line=True)
    return next(event for event in events if isinstance(event, MigratedToV2))


def migrate_flagged(ledger: Ledger, number: int, now: datetime) -> list[Event]:
    """What V2's tick does with a campaign that is flagged: migrates it, or records once why it cannot."""

    def decide(campaign: Campaign, mailbox: Mailbox) -> list[Event]:
        if not campaign.flagged:
            return []
        try:
            findings = analyse(campaign, mailbox, now)
            return cutover.migrate(campaign, findings, actor=V2_TICK, reason=FOR_V2, now=now)
        except CommandRefused as refused:
            return cutover.refuse_flagged(campaign, refused, now=now)

    return ledger.on_both(number, mailbox_of(ledger, number), decide, first_in_line=True)


def roll_back(ledger: Ledger, number: int, *, actor: str, reason: str, now: datetime) -> list[Event]:
    """One append: V1 owns it from the next lock on, and its tick goes on if it was retired."""

    def decide(campaigns: Sequence[Campaign], senders: all_senders.Senders) -> list[Event]:
        moved = cutover.roll_back(campaigns[0], actor=actor, reason=reason, now=now)
        back = all_senders.reinstate_v1(senders, actor=actor, reason=f"campaign {number} was rolled back", now=now)
        return moved + back if moved else []

    return ledger.on_campaigns_and_senders([number], decide)


def retire_v1(ledger: Ledger, *, actor: str, reason: str | None, now: datetime) -> list[Event]:
    """V1's tick goes off. Refused while a campaign is left on V1."""
    return ledger.on_campaigns_and_senders(
        ledger.campaigns(),
        lambda campaigns, senders: all_senders.retire_v1(senders, campaigns, actor=actor, reason=reason, now=now),
    )


def reinstate_v1(ledger: Ledger, waiting: Collection[int], now: datetime) -> list[Event]:
    """V1's tick goes on, for somebody waits for it in these campaigns."""
    reason = f"somebody waits in campaign {' '.join(map(str, sorted(waiting)))}"
    return ledger.on_campaigns_and_senders(
        [], lambda _, senders: all_senders.reinstate_v1(senders, actor=V1_TICK, reason=reason, now=now)
    )


def read_back(ledger: Ledger, views: Connection, moved: MigratedToV2 | RolledBack, number: int) -> list[Kept]:
    """What must be the same after a move as before, from the stored events by way of the views.

    A mail that ends in between moves a lead; so the numbers are those of the events up to the move where nothing came
    after it, and otherwise the sums that no mail changes.
    """
    row = queries.campaign(views, number) or {}
    after = {state: row[state.replace(" ", "_")] for state in moved.before}
    owner = "v2" if isinstance(moved, MigratedToV2) else "v1"
    kept = [
        Kept("owner", f"{owner}, epoch {moved.epoch}", f"{row['owner']}, epoch {row['epoch']}"),
        Kept("leads", str(sum(moved.before.values())), str(row["leads"])),
        Kept("leads in exactly one state", str(row["leads"]), str(queries.leads_in_states(views, number))),
    ]
    if ledger.version(campaign_stream(number)) > moved.originator_version:
        return kept
    waiting = [sum(counts[state] for state in WAITING) for counts in (moved.before, after)]
    return [
        *kept,
        Kept("sent", str(moved.before["sent"]), str(after["sent"])),
        Kept("waiting", str(waiting[0]), str(waiting[1])),
        Kept("in doubt", str(moved.before["in doubt"]), str(after["in doubt"])),
        Kept("set already sent, SHA-256", moved.sent_digest, queries.sent_digest(views, number)),
    ]


def verified(ledger: Ledger, views: Connection, number: int, *, since: datetime | None, now: datetime) -> list[Answer]:
    """The answers about a campaign, from its events, those of its mailboxes, and what its shadow decided."""
    stream = campaign_stream(number)
    streams = [stream, *map(mailbox_stream, _mailboxes(ledger, stream))]
    answers = verify(
        stream,
        map(read, ledger.histories.rows(streams)),
        shadow=ledger.histories.of_kinds(shadow_stream(number), ShadowStarted, ShadowStopped, ShadowDecided),
        suppressed=queries.suppressed_leads(views, number),
        since=since,
        now=now,
    )
    for told in (answer.shadow for answer in answers if answer.shadow is not None):
        told.ticks = queries.ticks_between(views, told.owner, told.since, told.until or now)
    return answers


def mailbox_of(ledger: Ledger, number: int) -> str:
    """The mailbox of a campaign. Raises `CommandRefused` where there is no such campaign."""
    with ledger.campaign(number) as campaign:
        if not campaign.exists:
            raise CommandRefused(f"there is no campaign {number}; `sendledger campaign list` shows which there are.")
        return campaign.mailbox


@contextmanager
def both(ledger: Ledger, number: int) -> Iterator[tuple[Campaign, Mailbox]]:
    """A campaign that exists, and its mailbox, up to date and held while the block runs."""
    ledger.refresh()
    mailbox_of(ledger, number)
    with ledger.campaign_and_mailbox(number) as (campaign, mailbox):
        yield campaign, mailbox


def _mailboxes(ledger: Ledger, stream: str) -> list[str]:
    """Every mailbox that the campaign ever had."""
    named = ledger.histories.of_kinds(stream, CampaignCreated, MailboxAssigned)
    return sorted({event.mailbox for _, event in named if isinstance(event, CampaignCreated | MailboxAssigned)})
