"""The command line: `sendledger …`, put together from its parts."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from runner.cli import campaigns, checking, doubt, leads, ledgers, mailboxes, schema, sending, suppression

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals may hold addresses
    help="Sends e-mail campaigns with two senders side by side and keeps a ledger of every send.",
)


@app.callback()
def root(
    show_version: Annotated[bool, typer.Option("--version", is_eager=True, help="Print the version and end.")] = False,
) -> None:
    """Nothing but the version."""
    if show_version:
        typer.echo(version("sendledger"))
        raise typer.Exit


app.add_typer(ledgers.app)
app.add_typer(checking.app)
app.add_typer(mailboxes.app, name="mailbox")
app.add_typer(campaigns.app, name="campaign")
app.add_typer(leads.app, name="leads")
app.add_typer(sending.app)
app.add_typer(doubt.app, name="in-doubt")
app.add_typer(suppression.app, name="suppress")
app.add_typer(schema.app, name="db")
