"""`sendledger in-doubt …`: mails of which nobody knows whether the server took them."""

from __future__ import annotations

from typing import Annotated

import typer

from domain import commands
from domain.campaign import Campaign
from domain.errors import CommandRefused, InvalidInput
from domain.events import Event, Resolution
from projections import queries
from runner.cli.completing import CampaignNumber
from runner.cli.context import actor, command, reason_given, workplace
from runner.cli.output import Format, FormatOption, local, say, show

app = typer.Typer(no_args_is_help=True, help="Mails of which nobody knows whether the server took them.")

COLUMNS = ("campaign_id", "lead_id", "attempt", "sender", "locked_at", "cause", "message_id", "mailbox")


@app.command("list")
@command
def listing(form: FormatOption = Format.TABLE) -> None:
    """All of them, with the Message-ID to look for in the mail server's log.

    Example: sendledger in-doubt list
    """
    with workplace() as place, place.views() as views:
        rows = [dict(row) for row in queries.in_doubt(views)]
        for row in rows if form is Format.TABLE else ():
            row["locked_at"] = local(row["locked_at"])
        show(rows, COLUMNS, form, empty="Nothing is in doubt.")


@app.command("resolve")
@command
def resolve(
    number: CampaignNumber,
    lead: Annotated[int, typer.Argument(help="The lead's number.")],
    evidence: Annotated[str, typer.Option(help="How you know, such as the line of the relay's log; no address.")],
    sent: Annotated[bool | None, typer.Option("--sent/--not-sent", help="What became of it.")] = None,
) -> None:
    """Settle one. Not sent: the lead is queued again, so be sure.

    Example: sendledger in-doubt resolve 4 17 --not-sent --evidence "relay log of 14 October: no such Message-ID"
    """
    if sent is None:
        raise InvalidInput("is missing.", mend="Say which of the two it was.", field="--sent or --not-sent")
    outcome: Resolution = "sent" if sent else "not sent"
    with workplace() as place:
        words = reason_given(evidence, field="--evidence") or ""

        def decide(campaign: Campaign) -> list[Event]:
            position = campaign.numbers.position(lead) if campaign.exists else None
            if position is None:
                raise CommandRefused(f"campaign {number} has no lead {lead}.")
            return commands.resolve_in_doubt(
                campaign, position, outcome, evidence=words, actor=actor(), now=place.now()
            )

        place.ledger.on_campaign(number, decide, first_in_line=True)
        say(f"Campaign {number}, lead {lead}: {outcome}{'' if sent else '; it waits again'}.")
