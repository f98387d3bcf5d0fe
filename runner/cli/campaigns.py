"""`sendledger campaign …`: make, look at, start and stop campaigns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from domain import commands
from domain.campaign import Campaign
from domain.errors import CommandRefused
from domain.events import Event
from projections import queries
from runner import campaigns
from runner.cli.context import LARGEST_NUMBER, actor, command, reason_given, workplace
from runner.cli.output import Format, FormatOption, local, print_json, say, show
from runner.rendering import check_all_render
from runner.workplace import Workplace

app = typer.Typer(no_args_is_help=True, help="Make, look at, start and stop campaigns.")

Number = Annotated[int, typer.Argument(max=LARGEST_NUMBER, help="The campaign's number.")]
File = Annotated[Path, typer.Argument(help="A campaign file, TOML.")]
Reason = Annotated[str | None, typer.Option(help="Recorded for ever; may hold no address.")]
STATES = ("queued", "locked", "sent", "failed", "skipped", "in_doubt")
LISTED = ("id", "name", "status", "owner", "mailbox", "leads", *STATES)


@app.command("create")
@command
def create(file: File) -> None:
    """Make a campaign from a file, as a draft. Then import leads and start it.

    Example: sendledger campaign create autumn.toml
    """
    with workplace() as place:
        number = campaigns.create(place.ledger, file, actor=actor(), now=place.now())
        say(f"Campaign {number} created, as a draft. Next: sendledger leads import {number} LEADS.csv")


@app.command("edit")
@command
def edit(number: Number, file: File) -> None:
    """Put the settings of a file in force: content, schedule, limits, mailbox. The owner does not change this way.

    Example: sendledger campaign edit 4 autumn.toml
    """
    with workplace() as place:
        events = campaigns.edit(place.ledger, number, file, actor=actor(), now=place.now())
        changed = ", ".join(type(event).__name__ for event in events)
        say(f"Campaign {number}: {changed}." if changed else f"Campaign {number} is so already: nothing changed.")


@app.command("list")
@command
def listing(form: FormatOption = Format.TABLE) -> None:
    """All campaigns, with how many leads are where.

    Example: sendledger campaign list --format csv
    """
    with workplace() as place, place.views() as views:
        show(queries.campaigns(views), LISTED, form, empty="No campaigns yet: sendledger campaign create FILE")


@app.command("show")
@command
def one(number: Number, form: FormatOption = Format.TABLE) -> None:
    """All settings in force, and where the campaign is.

    Example: sendledger campaign show 4
    """
    with workplace() as place, place.views() as views:
        row: dict[str, Any] = dict(campaigns.existing(queries.campaign(views, number), number))
        if form is Format.JSON:
            print_json({**row, **{name: json.loads(row[name]) for name in ("schedule", "limits")}})
            return
        for name in ("created_at", "started_at", "status_since", "last_mail_at") if form is Format.TABLE else ():
            row[name] = local(row[name], row["zone"])
        show([{"setting": name, "value": value} for name, value in row.items()], ("setting", "value"), form)


@app.command("start")
@command
def start(number: Number, reason: Reason = None) -> None:
    """Let a draft send. Every lead is rendered first; if one cannot be, nothing starts and all such are listed.

    Example: sendledger campaign start 4
    """
    with workplace() as place:
        words = reason_given(reason)
        rendered = check_all_render(place.ledger, place.engine, number)
        _run(place, number, lambda c: commands.start(c, actor=actor(), reason=words, now=place.now()))
        say(f"Campaign {number} started: {rendered} leads, all render.")


@app.command("pause")
@command
def pause(number: Number, reason: Reason = None) -> None:
    """No further mail until it is resumed; nothing is lost.

    Example: sendledger campaign pause 4 --reason "wrong price in the text"
    """
    with workplace() as place:
        words = reason_given(reason)
        _run(place, number, lambda c: commands.pause(c, actor=actor(), reason=words, now=place.now()))
        say(f"Campaign {number} paused.")


@app.command("resume")
@command
def resume(number: Number, reason: Reason = None) -> None:
    """Go on where it was paused.

    Example: sendledger campaign resume 4
    """
    with workplace() as place:
        words = reason_given(reason)
        _run(place, number, lambda c: commands.resume(c, actor=actor(), reason=words, now=place.now()))
        say(f"Campaign {number} resumed.")


@app.command("cancel")
@command
def cancel(
    number: Number,
    reason: Reason = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do.")] = False,
) -> None:
    """Skip everybody who still waits, for good.

    Example: sendledger campaign cancel 4 --dry-run
    """
    with workplace() as place:
        words = reason_given(reason)
        with place.ledger.campaign(number) as campaign:
            waiting = campaign.waiting if campaign.exists else 0
            if dry_run:
                commands.cancel(campaign, actor=actor(), reason=words, now=place.now())
                say(f"Would cancel campaign {number}: {waiting} waiting leads get no mail. Nothing was changed.")
                return
        _run(place, number, lambda c: commands.cancel(c, actor=actor(), reason=words, now=place.now()))
        say(f"Campaign {number} cancelled: {waiting} waiting leads get no mail.")


@app.command("retry")
@command
def retry(
    number: Number,
    reason: Annotated[str, typer.Option(help="Why; recorded for ever.")],
    failed: Annotated[bool, typer.Option("--failed", help="Those that definitely failed.")] = False,
    code: Annotated[
        int | None, typer.Option(max=LARGEST_NUMBER, help="Only those that failed with this reply code.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do.")] = False,
) -> None:
    """Give leads that definitely failed another chance. What is in doubt is never touched.

    Example: sendledger campaign retry 4 --failed --code 550 --reason "the provider unblocked us"
    """
    with workplace() as place:
        words = reason_given(reason) or ""
        if not failed:
            raise CommandRefused("say --failed: only leads that definitely failed can be tried again.")
        with place.views() as views:
            campaigns.existing(queries.campaign(views, number), number)
            positions = [row["position"] for row in queries.failed_leads(views, number, code)]
        which = f"{len(positions)} failed leads" + (f" with code {code}" if code else "")
        if dry_run or not positions:
            say(f"Campaign {number}: {which} would be tried again. Nothing was changed.")
            return
        _run(
            place,
            number,
            lambda c: commands.requeue_failed(c, positions, reason=words, actor=actor(), now=place.now()),
        )
        say(f"Campaign {number}: {which} wait again.")


def _run(place: Workplace, number: int, decide: Callable[[Campaign], list[Event]]) -> None:
    """Operators' commands decide inside the append lock, so that a busy runner cannot starve them."""
    place.ledger.on_campaign(number, decide, first_in_line=True)
