"""Taking a campaign over from the old application: a person says that it is stopped, then it is waited until what it
had under way is through, its database is looked at once more, and whatever has no outcome is in doubt.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from threading import Event as Flag
from typing import NamedTuple

from domain import observing
from domain import senders as all_senders
from domain.campaign import Campaign
from domain.errors import CommandRefused
from domain.events import EmailSent, Event, TakenOver
from runner.legacy.importing import Imported, Progress, Source, import_campaign
from runner.legacy.old_database import open_old_database
from runner.store.ledger import Ledger, campaign_stream

SETTLE = timedelta(minutes=2)
"""The old application keeps a mail in a timer of its process, and an SMTP dialogue in it takes seconds."""
STEP_S = 1.0

USE_V2 = 'UPDATE "Campaign" SET "useV2" = {} WHERE "id" = {};'
"""What tells the old application to leave a campaign alone."""


class Interrupted(CommandRefused):
    """It was stopped before the old database was looked at once more: nothing was changed."""


class Word(NamedTuple):
    """That the old sender is stopped: when it was given, and how far the campaign had come here."""

    at: datetime
    version: int


def word(ledger: Ledger, number: int, at: datetime) -> Word:
    """It is given now."""
    return Word(at, ledger.version(campaign_stream(number)))


def source_of(ledger: Ledger, number: int) -> str:
    """Where a campaign that can be taken over came from. Raises `CommandRefused`."""
    ledger.refresh()
    with ledger.campaign(number) as campaign:
        observing.may_be_taken_over(campaign)
        return campaign.legacy.source if campaign.legacy is not None else ""


def wait(settle: timedelta, stopping: Flag, progress: Progress) -> None:
    """Until what the old sender had under way is through. Raises `Interrupted`."""
    total = int(settle.total_seconds())
    for second in range(total):
        progress("seconds until the old database is looked at once more", second, total)
        if stopping.wait(STEP_S):
            raise Interrupted("interrupted: the campaign was not taken over, and nothing was changed here.")


def take_over(
    ledger: Ledger,
    number: int,
    url: str,
    source: Source,
    progress: Progress,
    *,
    said: Word,
    settled: timedelta,
    reason: str | None,
) -> tuple[Imported, TakenOver]:
    """Look at the old database once more, and take the campaign over. Raises `CommandRefused` where it still sends."""
    with open_old_database(url) as old:
        campaign = next(iter(old.campaigns(number)), None)
        if campaign is None:
            raise CommandRefused(f"{old.name} has no campaign {number}; name the database that it came from.")
        imported = import_campaign(ledger, old, campaign, source, progress)
    looked_at = _must_be_quiet(ledger, number, said)

    def decide(campaigns: Sequence[Campaign], senders: all_senders.Senders) -> list[Event]:
        if campaigns[0].version != looked_at:
            raise CommandRefused(
                f"something came in about campaign {number} at this very moment, so it was not taken over: try again."
            )
        now, actor = source.now(), source.actor
        taken = observing.take_over(campaigns[0], settled=settled, actor=actor, reason=reason, now=now)
        back = all_senders.reinstate_v1(senders, actor=actor, reason=f"campaign {number} was taken over", now=now)
        return taken + back

    events = ledger.on_campaigns_and_senders([number], decide)
    return imported, next(event for event in events if isinstance(event, TakenOver))


def _must_be_quiet(ledger: Ledger, number: int, said: Word) -> int:
    """A mail that the old sender sent after it was said to be stopped says that it is not, whoever took it in: `legacy
    follow` may have been quicker. The version up to which that was looked at."""
    looked_at, after = said.version, []
    for event in ledger.stream(campaign_stream(number), said.version):
        looked_at = event.originator_version
        if isinstance(event, EmailSent) and event.imported is not None and (event.occurred_at or said.at) > said.at:
            after.append(event.lead_id)
    if after:
        leads = " ".join(map(str, after[:5]))
        raise CommandRefused(
            f"the old sender is not stopped: it has mailed {len(after)} leads of campaign {number} since "
            f"(lead {leads}). Stop it, then try again; those mails were taken in."
        )
    return looked_at
