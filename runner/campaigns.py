"""Making and editing campaigns from files: the settings as events, the content beside them in the same append."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from domain import commands
from domain.campaign import Campaign
from domain.errors import CommandRefused, InvalidInput
from domain.events import CampaignCreated, ContentChanged, Event
from projections.kept import ADD_CONTENT
from runner import mailbox_identity as identities
from runner.campaign_file import CampaignFile, read_campaign_file
from runner.store.ledger import Ledger
from runner.store.recorder import Kept

T = TypeVar("T")


def create(ledger: Ledger, path: Path, *, actor: str, now: datetime) -> int:
    """A new campaign as the file says; its number. Raises `InvalidInput` naming file and field."""
    file = read_campaign_file(path)
    domain = _mailbox_domain(ledger, file, path)
    while True:
        number = max(ledger.campaigns(), default=0) + 1
        try:
            _create(ledger, number, file, domain, actor, now)
        except CommandRefused:
            continue  # somebody took that number a moment ago
        return number


def edit(ledger: Ledger, number: int, path: Path, *, actor: str, now: datetime) -> list[Event]:
    """Put the file's settings in force. Refused when the file names another owner: that is no setting."""
    file = read_campaign_file(path)
    _mailbox_domain(ledger, file, path)

    def decide(campaign: Campaign) -> list[Event]:
        if campaign.exists and campaign.owner != file.owner:
            raise InvalidInput(
                f"the campaign is on {campaign.owner}, the file says {file.owner}.",
                mend="The owner changes by a cutover, not by an edit: write the present one.",
                field="owner",
                source=str(path),
            )
        return commands.edit(
            campaign,
            actor=actor,
            now=now,
            content_digest=file.content_digest,
            schedule=file.schedule,
            limits=file.limits,
            mailbox=file.mailbox,
        )

    return ledger.on_campaign(number, decide, lambda events: _content_rows(number, file, events), first_in_line=True)


def existing(row: T | None, number: int) -> T:
    """The row of a campaign that must be there."""
    if row is None:
        raise CommandRefused(f"there is no campaign {number}; `sendledger campaign list` shows which there are.")
    return row


def _create(ledger: Ledger, number: int, file: CampaignFile, domain: str, actor: str, now: datetime) -> None:
    def decide(campaign: Campaign) -> list[Event]:
        return commands.create(
            campaign,
            name=file.name,
            owner=file.owner,
            mailbox=file.mailbox,
            content_digest=file.content_digest,
            schedule=file.schedule,
            limits=file.limits,
            message_id_domain=domain,
            actor=actor,
            now=now,
        )

    ledger.on_campaign(number, decide, lambda events: _content_rows(number, file, events), first_in_line=True)


def _mailbox_domain(ledger: Ledger, file: CampaignFile, path: Path) -> str:
    try:
        return identities.current(ledger, file.mailbox).domain
    except CommandRefused:
        mend = "Add it with `sendledger mailbox add`, or name one that exists."
        problem = f"there is no mailbox {file.mailbox!r}."
        raise InvalidInput(problem, mend=mend, field="mailbox", source=str(path)) from None


def _content_rows(number: int, file: CampaignFile, events: Sequence[Event]) -> list[Kept]:
    versions = [event.content_version for event in events if isinstance(event, ContentChanged)]
    versions += [1 for event in events if isinstance(event, CampaignCreated)]
    rows = [
        {"campaign_id": number, "version": version, "digest": file.content_digest, **file.content.row}
        for version in versions
    ]
    return [(ADD_CONTENT, rows)] if rows else []
