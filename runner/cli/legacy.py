"""`sendledger legacy …`: take in what an old application did, follow it, and take its campaigns over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from threading import Event as Flag
from typing import Annotated, Any

import typer

from domain.analysis import SCHEDULED
from domain.errors import InvalidInput, SendledgerError
from runner import mailbox_identity as identities
from runner.cli.completing import CampaignNumber, campaign_numbers
from runner.cli.context import LARGEST_NUMBER, DatabaseAway, actor, command, reason_given, warn, workplace
from runner.cli.output import Format, FormatOption, MaybeReason, local, print_json, say, show
from runner.cli.progress import steps
from runner.cli.sending import duration
from runner.daemon import stopped_by_signals
from runner.legacy import taking_over
from runner.legacy.blocking import list_blocked
from runner.legacy.following import follow_all
from runner.legacy.importing import Imported, OldMailSeen, Source, import_campaign
from runner.legacy.old_database import OldDatabase, open_old_database, set_use_v2
from runner.rendering import check_all_render
from runner.workplace import Workplace

app = typer.Typer(no_args_is_help=True, help="Take in what an old application did, and take its campaigns over.")

Url = Annotated[str, typer.Argument(metavar="URL", help="sqlite:///FILE or postgresql://…; it is only read.")]
Only = Annotated[
    list[int] | None,
    typer.Option("--campaign", max=LARGEST_NUMBER, autocompletion=campaign_numbers, help="Only this one; repeatable."),
]
Moved = Annotated[
    bool, typer.Option("--moved", help="It is the database that was taken in before, in another place now.")
]
DEFAULT_ZONE = "Europe/Warsaw"

IMPORTED = (
    *("campaign", "name", "status", "mailed_by", "leads", "statuses", "contacts", "blocked", "sends", "alarms"),
    *("blocks", "fixable", "notes"),
)
FOLLOWED = (
    *("campaign", "name", "mailed_by", "leads", "statuses", "contacts", "blocked", "sends", "alarms"),
    "left_there",
)
VIOLATIONS = ("campaign", "lead", "sent_at", "message_id", "alarm")


@app.command("import")
@command
def bring(
    url: Url,
    mailbox: Annotated[str, typer.Option(help="The mailbox that new campaigns will send through, once taken over.")],
    only: Only = None,
    zone: Annotated[str, typer.Option(help="Zone of the old windows and days.")] = DEFAULT_ZONE,
    moved: Moved = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be taken in, and what is found.")] = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Take in campaigns, leads and sends as they are there; nothing is repaired. Again: only what is new.

    An imported campaign is observed: the old application mails it, and no sender here may. Broken off, the same command
    goes on.

    Example: sendledger legacy import sqlite:///dev.db --mailbox sales --dry-run
    """
    with workplace() as place:
        identities.current(place.ledger, mailbox)
        source = Source(mailbox, zone, place.secret(), actor(), place.now, moved)
        with open_old_database(url) as old, steps() as progress:
            found = [
                import_campaign(place.ledger, old, campaign, source, progress, dry_run=dry_run)
                for campaign in _wanted(old, only)
            ]
            if not dry_run:
                list_blocked(place.ledger, old, source)
            _tell_mailboxes(old, form)
    show([_imported(one) for one in found], IMPORTED, form, empty=f"{old.name} has no campaigns.")
    if form is Format.TABLE:
        say("Nothing was changed." if dry_run else "Next: sendledger cutover analyze N")


@app.command("follow")
@command
def follow(
    url: Url,
    every: Annotated[str | None, typer.Option(help="Again and again, such as 60s, until stopped.")] = None,
    moved: Moved = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """What the old sender did since: into the ledger, for all campaigns that came from this database.

    A mail that it sends in a campaign that was taken over is a violation: recorded, listed, and the exit code is 1, as
    it is when one campaign of several could not be followed. With --every an old database that is away or locked is
    told, and looked at again the next time.

    Example: sendledger legacy follow sqlite:///dev.db --every 60s
    """
    pause = duration(every, field="--every") if every is not None else None
    stopping, violated, follows = _Stop(), False, False
    with workplace() as place, stopped_by_signals(stopping):
        while True:
            try:
                place.refresh()
                violated = _follow_once(place, url, moved, form) or violated
                follows = True
            except DatabaseAway:
                raise
            except SendledgerError as error:
                if pause is None or not follows:
                    raise
                warn(f"not followed this time: {error}")
            if pause is None or stopping.stopping.wait(pause.total_seconds()):
                break
    if violated:
        raise typer.Exit(1)


@app.command("takeover")
@command
def takeover(
    number: CampaignNumber,
    stopped: Annotated[
        bool, typer.Option("--old-sender-stopped", help="Your word that the old sender mails it no more; recorded.")
    ] = False,
    old_database: Annotated[
        str | None, typer.Option("--old-database", metavar="URL", help="Where it is; else where it came from.")
    ] = None,
    moved: Moved = False,
    write_use_v2: Annotated[
        bool, typer.Option("--set-use-v2", help="Set the flag there that makes the old application leave it alone.")
    ] = False,
    settle: Annotated[
        str, typer.Option(help="How long to wait for what it had under way; 0 to wait no more.")
    ] = f"{taking_over.SETTLE.total_seconds():.0f}s",
    reason: MaybeReason = None,
) -> None:
    """Our V1 goes on where the old sender was stopped. What it had under way is in doubt, never sent again by itself.

    Every waiting lead must render, and nobody may wait whom the old database shows as mailed: `cutover fix` mends that.

    Example: sendledger legacy takeover 4 --old-sender-stopped --old-database sqlite:///dev.db
    """
    if not stopped:
        mend = "Stop it for this campaign, then add the option: your name is recorded with it."
        raise InvalidInput("the old sender must be stopped first.", mend=mend, field="--old-sender-stopped")
    pause = timedelta(0) if settle in ("0", "0s") else duration(settle, field="--settle")
    words, stopping = reason_given(reason), _Stop()
    with workplace() as place, steps() as progress:
        came_from = taking_over.source_of(place.ledger, number)
        url = old_database or came_from
        renders: Callable[[], object] = partial(check_all_render, place.ledger, place.engine, number)
        renders()
        source = Source(None, DEFAULT_ZONE, place.secret(), actor(), place.now, moved)
        with stopped_by_signals(stopping):
            if write_use_v2:
                taking_over.compare(place.ledger, number, url, moved=moved)
                set_use_v2(url, number, True)
                say(f"In the old database useV2 of campaign {number} is set, and stays so whatever becomes of this.")
            said = taking_over.word(place.ledger, number, url, source, progress)
            taking_over.wait(pause, stopping.stopping, progress)
        imported, taken = taking_over.take_over(
            place.ledger, number, url, source, progress, said=said, settled=pause, reason=words, renders=renders
        )
    say(f"Campaign {number} is our V1's from here on, epoch {taken.epoch}: {len(imported.sends)} mails taken in last.")
    if taken.in_doubt:
        say(f"In doubt: {len(taken.in_doubt)} leads. Settle them: sendledger in-doubt list")
    for note in (one for one in imported.findings if one.rule == SCHEDULED):
        say(f"It {note.says}. Start it: sendledger campaign start {number}")
    if not write_use_v2:
        say(f"In the old database, if not done yet:  {taking_over.USE_V2.format(1, number)}")
    say(f"Next: sendledger legacy follow URL, for mails it must not send; sendledger cutover analyze {number}")


class _Stop:
    """Told by a signal."""

    def __init__(self) -> None:
        self.stopping = Flag()


def _wanted(old: OldDatabase, only: Sequence[int] | None) -> list[Any]:
    campaigns = old.campaigns(*(only or ()))
    missing = sorted(set(only or ()) - {campaign.number for campaign in campaigns})
    if missing:
        there = " ".join(str(campaign.number) for campaign in old.campaigns())
        raise InvalidInput(
            f"there is no campaign {missing[0]} in {old.name}.", mend=f"It has: {there}.", field="--campaign"
        )
    return campaigns


def _tell_mailboxes(old: OldDatabase, form: Format) -> None:
    if form is Format.TABLE and (mailboxes := old.mailboxes()):
        told = ", ".join(f"{box.address} ({box.daily_limit} a day)" for box in mailboxes if box.is_active)
        say(f"Active mailboxes there: {told or 'none'}.")


def _follow_once(place: Workplace, url: str, moved: bool, form: Format) -> bool:
    """Is there something to look at: a violation, or a campaign that could not be followed?"""
    source = Source(None, DEFAULT_ZONE, place.secret(), actor(), place.now, moved)
    with open_old_database(url) as old, steps() as progress:
        done = follow_all(place.ledger, old, source, progress)
    violations = [_violation(one, mail, form) for one in done.found if not one.observed for mail in one.sends]
    rows = [_imported(one) for one in done.found]
    if form is Format.JSON:
        told = [{name: row[name] for name in FOLLOWED} for row in rows]
        print_json({"campaigns": told, "violations": violations, "missing": done.missing})
    else:
        show(rows, FOLLOWED, form, empty="No campaign of this ledger came from an old system.")
        if done.missing:
            numbers = " ".join(map(str, done.missing))
            say(f"\nNo longer in {old.name}, so nothing is followed of them: campaign {numbers}")
        if violations:
            say("\nVIOLATIONS: the old sender mailed campaigns that were taken over")
            show(violations, VIOLATIONS, form)
    for problem in done.problems:
        warn(f"not followed: {problem}")
    return bool(violations or done.problems)


def _violation(one: Imported, mail: OldMailSeen, form: Format) -> dict[str, Any]:
    return {
        "campaign": one.campaign,
        "lead": mail.lead_id,
        "sent_at": local(mail.sent_at, DEFAULT_ZONE) if form is Format.TABLE else _iso(mail.sent_at),
        "message_id": mail.message_id,
        "alarm": mail.says,
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None


def _imported(one: Imported) -> dict[str, Any]:
    severities = Counter(finding.severity for finding in one.findings)
    return {
        "campaign": one.campaign,
        "name": one.name,
        "status": one.status,
        "mailed_by": "old system" if one.observed else "us",
        "leads": one.leads,
        "statuses": one.statuses,
        "contacts": one.changed,
        "blocked": one.blocked,
        "sends": len(one.sends),
        "alarms": sum(mail.alarm for mail in one.sends),
        "left_there": one.left_there,
        "blocks": severities["blocks"],
        "fixable": severities["fixable"],
        "notes": severities["note"],
    }
