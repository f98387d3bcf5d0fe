"""`sendledger doctor`: is everything in place for sending, and what is to mend?"""

from __future__ import annotations

from typing import Annotated

import typer

from runner.cli.context import FAILED, command
from runner.cli.output import Format, FormatOption, show
from runner.cli.panels import REPAIR
from runner.doctor.examination import examine
from runner.doctor.findings import Verdict
from runner.settings import settings_path

app = typer.Typer()

COLUMNS = ("check", "verdict", "found", "mend")


@app.command("doctor", rich_help_panel=REPAIR, short_help="Is everything in place for sending, and what is to mend?")
@command
def doctor(
    smtp: Annotated[bool, typer.Option("--smtp/--no-smtp", help="Log in at each mailbox's server; no mail.")] = True,
    form: FormatOption = Format.TABLE,
) -> None:
    """Look at settings, database, clock, keys, runners, mailboxes and templates. Exit code 1 when anything FAILs.

    Example: sendledger doctor --no-smtp
    """
    findings = list(examine(settings_path(), smtp=smtp))
    show([{name: str(getattr(finding, name)) for name in COLUMNS} for finding in findings], COLUMNS, form)
    if any(finding.verdict is Verdict.FAIL for finding in findings):
        raise typer.Exit(FAILED)
