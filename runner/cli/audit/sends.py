"""`sendledger audit sends`: exactly what each sender sent, streamed to the terminal or into a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from domain.errors import InvalidInput
from domain.events import Sender
from projections.audit import COLUMNS, NAMES, OutcomeAsked, Wanted
from projections.queries import campaign as campaign_row
from runner.auditing.exporting import Export, written_whole
from runner.auditing.parquet import require_pyarrow, write_parquet
from runner.cli.completing import campaign_numbers
from runner.cli.context import LARGEST_NUMBER, command, workplace
from runner.cli.output import Format, local, say, show, write_csv, write_json
from runner.cli.progress import bar
from runner.cli.reasons import no_campaign
from runner.cli.sending import By, instant

app = typer.Typer()

SHOWN = 50
"""Rows of a table, unless a limit is given; programs get all."""
IN_TABLE = ("campaign_id", "lead_id", "attempt", "sender", "outcome", "locked_at", "finished_at", "code", "address")


class ExportFormat(StrEnum):
    """How an export is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


AuditedCampaign = Annotated[
    int | None,
    typer.Option("--campaign", max=LARGEST_NUMBER, help="Only this campaign.", autocompletion=campaign_numbers),
]


@app.command("sends")
@command
def sends(
    campaign: AuditedCampaign = None,
    by: By = None,
    since: Annotated[str | None, typer.Option(help="From this instant on, such as 2026-10-05T00:00+02:00.")] = None,
    until: Annotated[str | None, typer.Option(help="Before this instant.")] = None,
    outcome: Annotated[OutcomeAsked | None, typer.Option(help="sent, failed or in-doubt.")] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, max=LARGEST_NUMBER, help=f"So many rows at most; a table shows {SHOWN} unless told."),
    ] = None,
    columns: Annotated[bool, typer.Option("--columns", help="Say what each column means, and end.")] = False,
    form: Annotated[ExportFormat, typer.Option("--format", "-f", help="table, csv, json or parquet.")] = (
        ExportFormat.TABLE
    ),
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Into this file.")] = None,
) -> None:
    """Every attempt by either sender, with all that is known of it: by campaign, lead and attempt.

    Told only if it adds up to the events in the ledger. Any number of rows takes no more memory than a few.

    Example: sendledger audit sends --by v2 --since 2026-10-05T00:00+02:00 --format parquet -o sends.parquet
    """
    if columns:
        _explain(form)
        return
    if form is ExportFormat.PARQUET:
        require_pyarrow()
        if output is None:
            raise InvalidInput("is missing.", mend="Parquet goes into a file: -o sends.parquet.", field="--output")
    if form is ExportFormat.TABLE and output is not None:
        raise InvalidInput("a table is for the terminal.", mend="Add --format csv, json or parquet.", field="--format")
    wanted = _wanted(campaign, by, since, until, outcome)
    with workplace() as place, place.views() as views, bar("attempts") as progress:
        if campaign is not None and campaign_row(views, campaign) is None:
            raise no_campaign(campaign)
        export = Export(views, wanted)
        most = limit or (SHOWN if form is ExportFormat.TABLE else None)
        _tell(export, form, output, most, progress)
    if output is not None:
        say(f"{output}: {_sum(export)}.")
    elif form is ExportFormat.TABLE and export.attempts:
        more = f" {SHOWN} are shown; --limit shows more." if limit is None and export.attempts > SHOWN else ""
        say(f"{_sum(export)}.{more}")


def _tell(
    export: Export, form: ExportFormat, output: Path | None, most: int | None, progress: Callable[[int, int], None]
) -> None:
    rows = export.rows(progress, most)
    if form is ExportFormat.TABLE:
        show(list(map(_for_people, rows)), IN_TABLE, Format.TABLE, empty="Nothing was tried.")
    elif output is None:
        _write(sys.stdout, form, rows)
    else:
        with written_whole(output) as part:
            if form is ExportFormat.PARQUET:
                write_parquet(part, COLUMNS, rows)
                return
            with part.open("w", encoding="utf-8", newline="") as file:
                _write(file, form, rows)


def _write(to: TextIO, form: ExportFormat, rows: Iterable[Sequence[Any]]) -> None:
    (write_csv if form is ExportFormat.CSV else write_json)(to, NAMES, rows)


def _for_people(values: Sequence[Any]) -> dict[str, Any]:
    row = dict(zip(NAMES, values, strict=True))
    return row | {name: local(row[name]) for name in ("locked_at", "finished_at")}


def _wanted(
    campaign: int | None, by: Sender | None, since: str | None, until: str | None, outcome: OutcomeAsked | None
) -> Wanted:
    begin = instant(since, field="--since") if since else None
    end = instant(until, field="--until") if until else None
    if begin and end and end <= begin:
        raise InvalidInput("lies before --since.", mend="Name a later time.", field="--until")
    return Wanted(campaign, by, begin, end, outcome)


def _sum(export: Export) -> str:
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in export.totals.items())
    told = f" ({counts})" if counts else ""
    return f"{export.attempts:,} attempts{told}; they add up to the events up to position {export.upto:,}"


def _explain(form: ExportFormat) -> None:
    rows = [{"column": column.name, "type": column.kind, "says": column.says} for column in COLUMNS]
    show(rows, ("column", "type", "says"), Format.TABLE if form is ExportFormat.PARQUET else Format(form.value))
