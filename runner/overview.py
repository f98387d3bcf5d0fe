"""What is going on, at one instant: campaigns, mailboxes, the next mails, what is in doubt, ticks and runners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from domain.campaign import Status
from domain.policies import Send, earliest_send, next_send
from domain.rules import Wait
from projections import queries
from projections.times import text_time
from runner.daemon import SENDERS
from runner.sending.liveness import living
from runner.workplace import Workplace


@dataclass(frozen=True, slots=True)
class ShadowNow:
    """A shadow that is on: since when it decides beside this owner, mails due by it, and mails that the owner tried.
    `behind`: so many fewer, of those who wait."""

    sender: str
    since: datetime
    due: int
    tried: int
    behind: int


@dataclass(frozen=True, slots=True)
class CampaignNow:
    """A campaign. `next_at`: the earliest time of its next mail, if that is known; `wait`: what holds it back now."""

    number: int
    name: str
    status: str
    owner: str
    zone: str
    leads: int
    queued: int
    locked: int
    sent: int
    failed: int
    skipped: int
    in_doubt: int
    next_at: datetime | None
    wait: Wait | None
    shadow: ShadowNow | None = None

    @property
    def settled(self) -> int:
        """Leads of which nothing more is to come."""
        return self.sent + self.failed + self.skipped


@dataclass(frozen=True, slots=True)
class MailboxNow:
    """A mailbox: mails on its local date so far, and what holds it back."""

    name: str
    today: int
    daily_limit: int
    zone: str
    wait: Wait | None


@dataclass(frozen=True, slots=True)
class TickNow:
    """A sender's last tick, or run of idle ones, as it was recorded."""

    sender: str
    at: datetime
    kind: str
    sent: int
    failed: int


@dataclass(frozen=True, slots=True)
class Overview:
    """All of it. `at` is the ledger's time."""

    at: datetime
    simulated: bool
    campaigns: Sequence[CampaignNow]
    mailboxes: Sequence[MailboxNow]
    in_doubt: int
    ticks: Sequence[TickNow]
    runners: int


def overview(place: Workplace) -> Overview:
    """As things stand now; the views are brought up to date first."""
    place.refresh()
    now = place.now()
    with place.views() as views:
        unended = [row["runner"] for row in queries.unended_runners(views)]
        beside = shadows(views)
        return Overview(
            at=now,
            simulated=place.simulated,
            campaigns=[_campaign(place, row, beside.get(row["id"]), now) for row in queries.campaigns(views)],
            mailboxes=[_mailbox(place, row["name"], now) for row in queries.mailboxes(views)],
            in_doubt=len(queries.in_doubt(views)),
            ticks=_ticks(views),
            runners=len(living(place.settings.runners_folder, views, unended)),
        )


def shadows(views: Connection) -> dict[int, ShadowNow]:
    """Those that are on, by campaign."""
    return {row["campaign_id"]: _shadow(row) for row in queries.shadows(views)}


def _shadow(row: queries.Row) -> ShadowNow:
    sender = "v1" if row["owner"] == "v2" else "v2"
    behind = min(max(row["due"] - row["tried"], 0), row["queued"])
    return ShadowNow(sender, text_time(row["since"]), row["due"], row["tried"], behind)


def _campaign(place: Workplace, row: queries.Row, shadow: ShadowNow | None, now: datetime) -> CampaignNow:
    next_at, wait = None, None
    if row["status"] == Status.RUNNING:
        with place.ledger.campaign_and_mailbox(row["id"]) as (campaign, mailbox):
            decision = next_send(campaign, mailbox, campaign.owner, now)
            wait = None if isinstance(decision, Send) else decision
            next_at = now if wait is None else earliest_send(campaign, mailbox, wait, now)
    counts = {name: row[name] for name in ("leads", "queued", "locked", "sent", "failed", "skipped", "in_doubt")}
    told = {name: row[name] for name in ("name", "status", "owner", "zone")}
    return CampaignNow(number=row["id"], next_at=next_at, wait=wait, shadow=shadow, **told, **counts)


def _mailbox(place: Workplace, name: str, now: datetime) -> MailboxNow:
    with place.ledger.mailbox(name) as mailbox:
        today = mailbox.mails.on_date_of(now, mailbox.zone)
        return MailboxNow(name, today, mailbox.daily_limit, mailbox.zone, mailbox.holds_back(now))


def _ticks(views: Connection) -> list[TickNow]:
    last = [row for sender in SENDERS for row in queries.ticks(views, sender=sender, limit=1)]
    return [
        TickNow(
            row["sender"], text_time(row["until"] or row["tick_at"]), row["kind"], row["sent"] or 0, row["failed"] or 0
        )
        for row in last
    ]
