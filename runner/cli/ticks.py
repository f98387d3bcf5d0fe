"""`sendledger ticks`: what each tick of the senders did, and which were missed."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from domain.events import Sender
from projections import queries
from runner.cli.context import LARGEST_NUMBER, command, workplace
from runner.cli.output import Format, FormatOption, local, show
from runner.cli.panels import SEEING

app = typer.Typer()

COLUMNS = (
    *("tick_at", "until", "sender", "kind", "count", "considered", "sent", "failed", "in_doubt"),
    *("waiting", "finished_at", "runner"),
)


@app.command("ticks", rich_help_panel=SEEING, short_help="What each tick of the senders did, and which were missed.")
@command
def ticks(
    sender: Annotated[Sender | None, typer.Option(help="Only this sender's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=LARGEST_NUMBER, help="So many rows at most.")] = 50,
    form: FormatOption = Format.TABLE,
) -> None:
    """Ticks that found work, and runs of idle and of missed ones, newest first; times are in UTC.

    Example: sendledger ticks --sender v2 --limit 20
    """
    with workplace() as place, place.views() as views:
        rows = [dict(row) for row in queries.ticks(views, sender=sender, limit=limit)]
    for row in rows:
        deferred = json.loads(row["deferred"] or "{}")
        row["waiting"] = ", ".join(f"{count} {rule}" for rule, count in deferred.items())
        for name in ("tick_at", "until", "finished_at") if form is Format.TABLE else ():
            row[name] = local(row[name])
    show(rows, COLUMNS, form, empty="No sender has ticked yet.")
