"""`sendledger leads …`: bring leads into a campaign, and see where each of them is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from projections import queries
from projections.queries import Row
from projections.rows import State
from runner import campaigns
from runner.cli.completing import CampaignNumber
from runner.cli.context import LARGEST_NUMBER, command, workplace
from runner.cli.output import Format, FormatOption, say, show
from runner.cli.progress import steps
from runner.leads.importing import ImportReport, import_leads

app = typer.Typer(no_args_is_help=True, help="Bring leads into a campaign, and see where each is.")

COLUMNS = ("lead_id", "state", "v1_status", "attempts", "last_code", "address")
ERASED = "[erased]"
SHOWN = 50
"""Rows of a table, unless a limit is given; programs get all."""


class Where(StrEnum):
    """The states of a lead, as one word each."""

    QUEUED = "queued"
    LOCKED = "locked"
    SENT = "sent"
    FAILED = "failed"
    SKIPPED = "skipped"
    IN_DOUBT = "in-doubt"

    @property
    def state(self) -> State:
        """As the views hold it."""
        return State(self.replace("-", " "))


@app.command("list")
@command
def listing(
    number: CampaignNumber,
    state: Annotated[Where | None, typer.Option(help="Only leads in this state.")] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, max=LARGEST_NUMBER, help=f"So many rows at most; a table shows {SHOWN} unless told."),
    ] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Each lead: state, V1 status, attempts, last reply code, address ([erased] where the person was).

    Example: sendledger leads list 4 --state failed --format csv
    """
    with workplace() as place, place.views() as views:
        row = campaigns.existing(queries.campaign(views, number), number)
        if form is Format.TABLE:
            limit = limit or SHOWN
        found = queries.leads(views, number, state=state.state if state else None, limit=limit)
        show(_shown(found), COLUMNS, form, empty="No such leads." if state else "No leads yet.")
        there = row[state.state.column] if state else row["leads"]
        if form is Format.TABLE and limit is not None and there > limit:
            say(f"… {there - limit:,} more; --limit shows them.")


def _shown(leads: Iterator[Row]) -> Iterator[Mapping[str, Any]]:
    for lead in leads:
        yield {**lead, "address": lead["address"] or ERASED}


@app.command("import")
@command
def import_(
    number: CampaignNumber,
    file: Annotated[Path, typer.Argument(help="CSV with a column email; all others become merge fields.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file and say what it would do.")] = False,
    skip_bad_rows: Annotated[bool, typer.Option("--skip-bad-rows", help="Import the good rows of a bad file.")] = False,
) -> None:
    """Import leads from a CSV file, all or nothing. Run it again after a crash: it goes on where it stopped.

    Example: sendledger leads import 4 leads.csv --dry-run
    """
    with workplace() as place, steps() as progress:
        report = import_leads(
            place.ledger,
            number,
            file,
            secret=place.secret(),
            now=place.now,
            dry_run=dry_run,
            skip_bad_rows=skip_bad_rows,
            progress=progress,
        )
    _tell(number, report)


def _tell(number: int, report: ImportReport) -> None:
    for problem in (*report.problems, *report.repeated):
        say(f"  {problem}")
    counts = {
        "imported": report.imported,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "duplicates in the file, skipped": report.duplicates,
        "suppressed, skipped": report.suppressed,
        "no longer waiting, left as they are": report.left_alone,
        "bad, skipped": report.bad,
    }
    told = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count) or "nothing to do"
    dry = " (dry run, nothing was written)" if report.dry_run else ""
    say(f"Campaign {number}: {report.rows:,} rows: {told}{dry}.")
