"""`sendledger audit systems`: V1 against V2."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runner.auditing.exporting import require_sums
from runner.auditing.judging import certificate
from runner.auditing.plotting import plot_systems, require_plottable
from runner.auditing.systems import COUNTED, beside
from runner.cli.audit.sends import AuditedCampaign
from runner.cli.context import command, workplace
from runner.cli.output import Format, FormatOption, say, show
from runner.cli.progress import bar
from runner.workplace import LEDGER_ID

app = typer.Typer()


@app.command("systems")
@command
def systems(
    campaign: AuditedCampaign = None,
    by_day: Annotated[bool, typer.Option("--by-day", help="A row a local date, in the campaign's zone.")] = False,
    plot: Annotated[Path | None, typer.Option(help="A picture of the days, too: .png, .svg or .pdf.")] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """V1 against V2, a campaign at a time: attempts, sent, failed, in doubt, accepted twice, rules broken.

    Example: sendledger audit systems --by-day --plot days.png
    """
    if plot is not None:
        require_plottable(plot)
    with workplace() as place, bar("streams") as progress:
        judged = certificate(place.ledger, place.info[LEDGER_ID], campaign, progress)
        with place.views() as views:
            require_sums(views, campaign)
            rows = list(beside(views, judged.violations, campaign, by_day=by_day))
            days = list(beside(views, (), campaign, by_day=True)) if plot else []
    date = ("date",) if by_day else ()
    show(rows, ("campaign_id", *date, "sender", *COUNTED, "violations"), form, empty="Nothing was tried.")
    if plot is not None:
        plot_systems(plot, days)
        if form is Format.TABLE:
            say(f"Picture: {plot}")
