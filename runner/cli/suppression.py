"""`sendledger suppress …`: people who must never be mailed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from projections.database import reading
from runner import suppression
from runner.cli.context import actor, command, workplace
from runner.cli.output import Format, FormatOption, say, show
from runner.suppression import SuppressReport

app = typer.Typer(no_args_is_help=True, help="People who must never be mailed.")

Addresses = Annotated[list[str], typer.Argument(help="E-mail addresses.")]
Reason = Annotated[str, typer.Option(help="Recorded with the entry; may hold no address.")]
DEFAULT_REASON = "asked for it"


@app.command("add")
@command
def add(addresses: Addresses, reason: Reason = DEFAULT_REASON) -> None:
    """Never mail these again: they are skipped wherever they wait. The list keeps no address, only a keyed HMAC.

    Example: sendledger suppress add anna@example.com --reason "unsubscribed by phone"
    """
    with workplace() as place:
        secret = place.secret()
        report = suppression.suppress(place.ledger, secret, addresses, reason=reason, actor=actor(), now=place.now)
    _tell(report)


@app.command("token")
@command
def token(
    tokens: Annotated[list[str], typer.Argument(metavar="TOKEN...", help="From unsubscribe links or mails.")],
    reason: Reason = "unsubscribed by link",
) -> None:
    """Suppress those who unsubscribed, by the token in their link or in the subject of their mail.

    All of them or, where one token is none, nobody.

    Example: sendledger suppress token aaaaabaaaaaaaaajw4crmtrpkz7dxaxn2ybrwcxp
    """
    with workplace() as place:
        secret = place.secret()
        report = suppression.suppress_tokens(place.ledger, secret, tokens, reason=reason, actor=actor(), now=place.now)
    _tell(report)


@app.command("import")
@command
def import_(
    file: Annotated[Path, typer.Argument(help="CSV with a column email, or one address a line.")],
    reason: Reason = DEFAULT_REASON,
    skip_bad_rows: Annotated[bool, typer.Option("--skip-bad-rows", help="Take the good rows of a bad file.")] = False,
) -> None:
    """Suppress every address of a file, all or nothing.

    Example: sendledger suppress import unsubscribed.csv --reason "newsletter footer"
    """
    with workplace() as place:
        report = suppression.import_suppressions(
            place.ledger,
            place.secret(),
            file,
            reason=reason,
            actor=actor(),
            now=place.now,
            skip_bad_rows=skip_bad_rows,
        )
    _tell(report)


@app.command("remove")
@command
def remove(addresses: Addresses) -> None:
    """Take addresses off the list. Leads that were skipped stay skipped.

    Example: sendledger suppress remove anna@example.com
    """
    with workplace() as place:
        count = suppression.unsuppress(place.ledger, place.secret(), addresses)
    say(f"{count} of {len(addresses)} taken off the list.")


@app.command("list")
@command
def listing(form: FormatOption = Format.TABLE) -> None:
    """The list: it knows no address, so it shows the beginning of each HMAC.

    Example: sendledger suppress list --format csv
    """
    with workplace() as place, reading(place.engine) as connection:
        rows = [
            {"hmac": entry.prefix, "reason": entry.reason, "added_at": entry.added_at.isoformat(), "by": entry.actor}
            for entry in suppression.suppressions(connection)
        ]
    show(rows, ("hmac", "reason", "added_at", "by"), form, empty="Nobody is suppressed.")


def _tell(report: SuppressReport) -> None:
    for problem in report.problems:
        say(f"  {problem}")
    say(f"{report.added} added, {report.already} on the list already; {report.skipped} waiting leads skipped.")
    for lead in report.locked:
        what = "its mail is under way and cannot be called back; if it fails for now, suppress again"
        say(f"  campaign {lead.campaign}, lead {lead.lead_id}: {what}.")
