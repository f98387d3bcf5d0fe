"""Whether a campaign of an old database is the one that was taken in before."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from domain.errors import InvalidInput
from domain.events import EmailSent
from domain.observing import Origin
from runner.legacy.old_database import OldDatabase, open_old_database
from runner.legacy.opening import is_same_place
from runner.legacy.records import OldCampaign
from runner.store.ledger import Ledger, campaign_stream


class Recorded(NamedTuple):
    """Where a campaign came from, by its last import, when it was made there, and the newest SendLog row that was taken
    in, with its time and Message-ID."""

    source: str
    created_at: datetime | None
    newest_row: int
    newest_at: datetime | None
    newest_id: str | None


def recorded(ledger: Ledger, number: int) -> Recorded | None:
    """None for a campaign that came from no old system, or is not here."""
    with ledger.campaign(number) as campaign:
        past = campaign.legacy
        if past is None:
            return None
        return Recorded(past.source, past.created_at, past.rows.newest, past.newest_at, past.newest_id)


def origin_of(ledger: Ledger, old: OldDatabase, campaign: OldCampaign, *, moved: bool) -> Origin:
    """Which one this is, against what is recorded of that number."""
    number, before = campaign.number, recorded(ledger, campaign.number)
    elsewhere = before is not None and not is_same_place(before.source, old.name)
    return Origin(
        source=old.name,
        created_at=campaign.created_at,
        scheduled_at=campaign.scheduled_at if campaign.status == "SCHEDULED" else None,
        newest_row=old.newest_send(number),
        changed_row=_changed_row(ledger, old, number, before) if before is not None else None,
        elsewhere=elsewhere,
        moved=moved,
        newest_elsewhere=_newest_at(before.source, campaign) if before is not None and elsewhere else 0,
    )


def _changed_row(ledger: Ledger, old: OldDatabase, number: int, before: Recorded) -> int | None:
    """A row that was taken in and has another time or Message-ID there now. While the newest has not, none has: a copy
    that was put in the database's place lacks it, or gives its number again."""
    newest = (before.newest_at, before.newest_id)
    if before.newest_at is None or old.mail_of(number, before.newest_row) == newest:
        return None
    known = {
        event.imported.row: (event.occurred_at or event.recorded_at, event.imported.message_id)
        for event in ledger.stream(campaign_stream(number))
        if isinstance(event, EmailSent) and event.imported is not None
    }
    there = ((send.row_id, (send.created_at, send.message_id)) for send in old.sends(number))
    return next((row for row, mail in there if known.get(row, mail) != mail), None)


def _newest_at(source: str, campaign: OldCampaign) -> int:
    """The newest SendLog row of this campaign at the place of before; 0 where that cannot be opened any more."""
    try:
        with open_old_database(source) as old:
            there = any(each.created_at == campaign.created_at for each in old.campaigns(campaign.number))
            return old.newest_send(campaign.number) if there else 0
    except InvalidInput:
        return 0
