"""Taking a campaign over from the old application: a person says that it is stopped, then it is waited until what it
had under way is through, its database is looked at once more, and whatever has no outcome is in doubt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from threading import Event as Flag
from typing import NamedTuple, TypeGuard

from domain import observing
from domain import senders as all_senders
from domain.campaign import Campaign
from domain.errors import CommandRefused
from domain.events import EmailSent, Event, StatusObserved, TakenOver
from domain.leads import V1_WAITS
from domain.legacy import OLD_SYSTEM
from runner.legacy.blocking import list_blocked
from runner.legacy.importing import Imported, Progress, Source, import_campaign
from runner.legacy.old_database import OldDatabase, open_old_database
from runner.legacy.origins import origin_of
from runner.legacy.records import OldCampaign
from runner.store.ledger import Ledger, campaign_stream

SETTLE = timedelta(minutes=2)
"""The old application keeps a mail in a timer of its process, and an SMTP dialogue in it takes seconds."""
STEP_S = 1.0

USE_V2 = 'UPDATE "Campaign" SET "useV2" = {} WHERE "id" = {};'
"""What tells the old application to leave a campaign alone."""


class Interrupted(CommandRefused):
    """It was stopped before the old database was looked at once more."""


class Word(NamedTuple):
    """That the old sender is stopped, and what is known when it is given: up to which version of the campaign, and the
    leads whose mail the old system may still have under way."""

    version: int
    under_way: frozenset[int]


def source_of(ledger: Ledger, number: int) -> str:
    """Where a campaign that can be taken over came from. Raises `CommandRefused`."""
    ledger.refresh()
    with ledger.campaign(number) as campaign:
        observing.may_be_taken_over(campaign)
        return campaign.legacy.source if campaign.legacy is not None else ""


def compare(ledger: Ledger, number: int, url: str, *, moved: bool) -> None:
    """Before anything is written there: is it the campaign that was taken in? Raises `CommandRefused`."""
    with open_old_database(url) as old:
        origin = origin_of(ledger, old, _there(old, number), moved=moved)
    with ledger.campaign(number) as campaign:
        observing.must_be_the_same(campaign, origin)


def word(ledger: Ledger, number: int, url: str, source: Source, progress: Progress) -> Word:
    """It is given now: what the old system did up to here is taken in. Whatever comes later is told from it by being
    new, not by a clock: the old one may be wrong."""
    _look(ledger, number, url, source, progress)
    with ledger.campaign(number) as campaign:
        open_there = (attempt.lead_id for attempt in campaign.open.values() if attempt.runner == OLD_SYSTEM)
        return Word(campaign.version, frozenset(open_there))


def wait(settle: timedelta, stopping: Flag, progress: Progress) -> None:
    """Until what the old sender had under way is through. Raises `Interrupted`."""
    total = int(settle.total_seconds())
    for second in range(total):
        progress("seconds until the old database is looked at once more", second, total)
        if stopping.wait(STEP_S):
            break
    if stopping.is_set():
        raise Interrupted("interrupted: the campaign was not taken over.")


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
    renders: Callable[[], object],
) -> tuple[Imported, TakenOver]:
    """Look at the old database once more, and take the campaign over. `renders`: raises where a mail of it, as it was
    taken in last, cannot be made. Raises `CommandRefused` where the old sender still sends."""
    imported = _look(ledger, number, url, source, progress)
    _must_be_quiet(ledger, number, said)
    renders()

    def decide(campaigns: Sequence[Campaign], senders: all_senders.Senders) -> list[Event]:
        if campaigns[0].version != imported.version:
            raise CommandRefused(
                f"something came in about campaign {number} at this very moment, so it was not taken over: try again."
            )
        now, actor = source.now(), source.actor
        taken = observing.take_over(campaigns[0], settled=settled, actor=actor, reason=reason, now=now)
        back = all_senders.reinstate_v1(senders, actor=actor, reason=f"campaign {number} was taken over", now=now)
        return taken + back

    events = ledger.on_campaigns_and_senders([number], decide)
    return imported, next(event for event in events if isinstance(event, TakenOver))


def _look(ledger: Ledger, number: int, url: str, source: Source, progress: Progress) -> Imported:
    with open_old_database(url) as old:
        imported = import_campaign(ledger, old, _there(old, number), source, progress)
        list_blocked(ledger, old, source)
        return imported


def _there(old: OldDatabase, number: int) -> OldCampaign:
    campaign = next(iter(old.campaigns(number)), None)
    if campaign is None:
        raise CommandRefused(f"{old.name} has no campaign {number}; name the database that it came from.")
    return campaign


def _must_be_quiet(ledger: Ledger, number: int, said: Word) -> None:
    """A mail that was not under way when the old sender was said to be stopped says that it is not, whoever took it in:
    `legacy follow` may have been quicker."""
    since = ledger.stream(campaign_stream(number), said.version)
    after = {event.lead_id: None for event in since if _is_new(event, said)}
    if after:
        leads = " ".join(map(str, list(after)[:5]))
        raise CommandRefused(
            f"the old sender is not stopped: it has begun or made {len(after)} mails of campaign {number} since "
            f"(lead {leads}). Stop it, then try again; what it did was taken in."
        )


def _is_new(event: Event, said: Word) -> TypeGuard[StatusObserved | EmailSent]:
    match event:
        case StatusObserved(after="sending"):
            return True
        case StatusObserved(before="planned" | "queued"):
            return event.after not in V1_WAITS
        case EmailSent():
            return event.imported is not None and event.lead_id not in said.under_way
        case _:
            return False
