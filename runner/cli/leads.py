"""`sendledger leads …`: bring leads into a campaign."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runner.cli.context import command, workplace
from runner.cli.output import say
from runner.cli.progress import steps
from runner.leads.importing import ImportReport, import_leads

app = typer.Typer(no_args_is_help=True, help="Bring leads into a campaign.")


@app.command("import")
@command
def import_(
    number: Annotated[int, typer.Argument(help="The campaign's number.")],
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
            secret=place.settings.secret(),
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
