"""Whether a campaign of an old database is the one that was taken in before."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from domain.errors import InvalidInput
from domain.observing import Origin
from runner.legacy.old_database import OldDatabase
from runner.legacy.opening import is_same_place
from runner.legacy.records import OldCampaign
from runner.store.ledger import Ledger


class Recorded(NamedTuple):
    """Where a campaign came from, by its last import, and when it was made there."""

    source: str
    created_at: datetime | None


def recorded(ledger: Ledger, number: int) -> Recorded | None:
    """None for a campaign that came from no old system, or is not here."""
    with ledger.campaign(number) as campaign:
        legacy = campaign.legacy
        return Recorded(legacy.source, legacy.created_at) if legacy is not None else None


def followed(ledger: Ledger, old: OldDatabase, *, moved: bool) -> tuple[list[OldCampaign], list[int]]:
    """The campaigns that came from this old database, and the numbers of those that it has no more. `moved`: those too
    that were made at the same time in one that was elsewhere. Raises `InvalidInput` where all came from others."""
    known = {number: one for number in ledger.campaigns() if (one := recorded(ledger, number)) is not None}
    from_here = {number for number, one in known.items() if is_same_place(one.source, old.name)}
    there = old.campaigns(*known) if known else []
    ours = [
        campaign
        for campaign in there
        if campaign.number in from_here or (moved and known[campaign.number].created_at in (None, campaign.created_at))
    ]
    missing = sorted(from_here - {campaign.number for campaign in there})
    if known and not ours and not missing:
        others = ", ".join(sorted({one.source for one in known.values()}))
        mend = f"They came from {others}. If that is the same database in another place, add --moved."
        raise InvalidInput("no campaign of this ledger came from it.", mend=mend, source=old.name)
    return ours, missing


def origin_of(ledger: Ledger, old: OldDatabase, campaign: OldCampaign, *, moved: bool) -> Origin:
    """Which one this is, against what is recorded of that number."""
    before = recorded(ledger, campaign.number)
    return Origin(
        source=old.name,
        created_at=campaign.created_at,
        scheduled_at=campaign.scheduled_at if campaign.status == "SCHEDULED" else None,
        newest_row=old.newest_send(campaign.number),
        elsewhere=before is not None and not is_same_place(before.source, old.name),
        moved=moved,
    )
