"""The listing of `run --dry-run` and `tick --dry-run`: what would be sent now, and why the rest would not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any

import typer

from domain.campaign import Campaign
from domain.errors import InvalidInput
from domain.events import Sender
from domain.planning import TICKS
from runner.cli.context import LARGEST_NUMBER
from runner.cli.output import Format, held_by, say, show
from runner.cli.reasons import shown
from runner.sending.foresight import Leaving, Waiting, foresee
from runner.store.ledger import campaign_number
from runner.workplace import Workplace

COLUMNS = ("campaign_id", "sender", "mailbox", "would", "leads", "lead_id", "due_at", "next_mail", "why")
LISTED = 50

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be sent now, and why the rest would not; change nothing.")
]
DryRunLimit = Annotated[
    int | None,
    typer.Option(
        min=1, max=LARGEST_NUMBER, help=f"With --dry-run: list so many mails ({LISTED}); the rest are counted."
    ),
]


def is_dry(dry_run: bool, limit: int | None) -> bool:
    """Was a dry run asked for? A limit without one is refused: it must not be taken for so many mails."""
    if limit is not None and not dry_run:
        raise InvalidInput("it limits what --dry-run lists, not what is sent.", mend="Add --dry-run.", field="--limit")
    return dry_run


def show_dry_run(place: Workplace, cadence: Mapping[Sender, timedelta], limit: int | None, form: Format) -> None:
    """The next tick of these senders, if it came now. Refused where a real one would be."""
    place.require_fit_to_send()
    now = place.now()
    show(list(_rows(place, cadence, limit or LISTED, form)), COLUMNS, form, empty="Nobody waits.")
    if form is Format.TABLE:
        say(f"Dry run at {now:%Y-%m-%d %H:%M:%S} UTC: nothing was sent, nothing was changed.")


def _rows(place: Workplace, cadence: Mapping[Sender, timedelta], limit: int, form: Format) -> Iterator[dict[str, Any]]:
    listed, unlisted = 0, Counter[Campaign]()
    waiting: list[Waiting] = []
    for found in foresee(place.ledger, cadence, place.now()):
        if isinstance(found, Waiting):
            waiting.append(found)
        elif listed < limit:
            listed += 1
            yield _leaving(found, form)
        else:
            unlisted[found.campaign] += 1
    for campaign, leads in unlisted.items():
        yield _row(campaign, would="send", leads=leads, next_mail="now", why="due; --limit lists more")
    for found in waiting:
        yield _waiting(found, cadence, form)


def _leaving(found: Leaving, form: Format) -> dict[str, Any]:
    due_at = shown(found.send.due_at, found.campaign.schedule.zone, form)
    lead_id = found.send.lead_id
    return _row(found.campaign, would="send", leads=1, lead_id=lead_id, due_at=due_at, next_mail="now", why="due")


def _waiting(found: Waiting, cadence: Mapping[Sender, timedelta], form: Format) -> dict[str, Any]:
    campaign, zone = found.campaign, found.campaign.schedule.zone
    every = f"{TICKS}: one mail in {cadence[campaign.owner].total_seconds():g} s"
    why = held_by(found.wait, zone) if found.wait else every
    return _row(campaign, would="wait", leads=found.leads, next_mail=shown(found.next_at, zone, form), why=why)


def _row(campaign: Campaign, **said: Any) -> dict[str, Any]:
    of = {"campaign_id": campaign_number(campaign.stream), "sender": campaign.owner, "mailbox": campaign.mailbox}
    return {**dict.fromkeys(COLUMNS), **of, **said}
