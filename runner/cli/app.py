"""The command line: `sendledger …`, put together from its parts."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from runner.cli import campaigns, checking, doubt, leads, ledgers, mailboxes, runners, schema, sending, suppression

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals may hold addresses
    help="Sends e-mail campaigns with two senders side by side and keeps a ledger of every send.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
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
app.add_typer(mailboxes.app, name="mailbox")
app.add_typer(campaigns.app, name="campaign")
app.add_typer(leads.app, name="leads")
app.add_typer(sending.app)
app.add_typer(doubt.app, name="in-doubt")
app.add_typer(suppression.app, name="suppress")
app.add_typer(runners.app, name="runner")
app.add_typer(schema.app, name="db")
