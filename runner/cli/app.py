"""The command line: `sendledger …`, put together from its parts."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from runner.cli import (
    analysing,
    audit,
    campaigns,
    checking,
    comparing,
    cutover,
    doctor,
    doubt,
    erasing,
    leads,
    ledgers,
    legacy,
    mailboxes,
    moving,
    preview,
    replaying,
    runners,
    schema,
    sending,
    shadowing,
    suppression,
    ticks,
)
from runner.cli.panels import AUDIT, CAMPAIGNS, COMPARING, CUTOVER, REPAIR, SENDING, SET_UP, InPanels

app = typer.Typer(
    cls=InPanels,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # `main` tells of them, without their words and without what variables held
    help="Sends e-mail campaigns with two senders side by side and keeps a ledger of every send.",
    epilog="First steps: init, mailbox add, campaign create, leads import, campaign start, run. "
    "The --help of each command has an example.",
)


def _print_version(context: typer.Context, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:  # so it is while a shell completes the rest of the line
        typer.echo(version("sendledger"))
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Nothing but the version; the help text stands above."""


app.add_typer(ledgers.app)
app.add_typer(checking.app)
app.add_typer(doctor.app)
app.add_typer(mailboxes.app, name="mailbox", rich_help_panel=SET_UP)
campaigns.app.add_typer(preview.app)
app.add_typer(campaigns.app, name="campaign", rich_help_panel=CAMPAIGNS)
app.add_typer(leads.app, name="leads", rich_help_panel=CAMPAIGNS)
app.add_typer(sending.app)
app.add_typer(ticks.app)
cutover.app.add_typer(analysing.app)
app.add_typer(legacy.app, name="legacy", rich_help_panel=CUTOVER)
app.add_typer(cutover.app, name="cutover", rich_help_panel=CUTOVER)
app.add_typer(audit.app, name="audit", rich_help_panel=AUDIT)
app.add_typer(comparing.app, name="compare", rich_help_panel=COMPARING)
app.add_typer(replaying.app, name="replay", rich_help_panel=COMPARING)
app.add_typer(shadowing.app, name="shadow", rich_help_panel=COMPARING)
app.add_typer(erasing.app)
app.add_typer(doubt.app, name="in-doubt", rich_help_panel=REPAIR)
app.add_typer(suppression.app, name="suppress", rich_help_panel=CAMPAIGNS)
app.add_typer(runners.app, name="runner", rich_help_panel=SENDING)
schema.app.add_typer(moving.app)
app.add_typer(schema.app, name="db", rich_help_panel=SET_UP)
