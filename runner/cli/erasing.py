"""`sendledger erase`: a person is gone, and the ledger still verifies."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from domain.errors import InvalidInput
from projections.database import is_sqlite
from runner import erasure
from runner.cli.context import FAILED, actor, command, workplace
from runner.cli.output import say
from runner.cli.panels import AUDIT

app = typer.Typer()

FROM_INPUT = "-"
NOT_YET = (
    "The rows are gone, but others kept the journal open: their old bytes are in it. Run `sendledger erase --scrub`."
)
OF_A_SERVER = (
    "PostgreSQL keeps old row versions until it is vacuumed, and in its WAL and backups for longer: docs/erasure.md "
    "says how long, and what its owner does."
)


@app.command("erase", rich_help_panel=AUDIT, short_help="Erase a person: the ledger stays whole and still verifies.")
@command
def erase(
    addresses: Annotated[
        list[str] | None, typer.Argument(metavar="[ADDRESS]...", help="E-mail addresses; - reads them, one a line.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Recorded for ever, so it may hold no address.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what there is, change nothing.")] = False,
    scrub: Annotated[
        bool, typer.Option("--scrub", help="Only cut the journal and rewrite the file once more.")
    ] = False,
) -> None:
    """Erase whoever has this address: contact, salt, kept mails and the server's words. Who waits is skipped first.

    The events stay, for they name nobody, and so does the seal; the address stays suppressed. While a mail to that
    person is under way nothing is done. Exports and backups made before are yours to find.

    Example: sendledger erase anna@example.com --reason "asked by letter of 3 March"
    """
    asked = _read(addresses or [])
    if scrub != (not asked):
        raise InvalidInput("is missing.", mend="Name an address, or --scrub alone.", field="ADDRESS")
    if asked and reason is None and not dry_run:
        raise InvalidInput("is missing.", mend="Say why: it is recorded.", field="--reason")
    with workplace() as place:
        if asked and (dry_run or reason is None):
            _tell(erasure.look(place.ledger, asked))
            return
        if asked and reason is not None:
            words = {"reason": reason, "actor": actor()}
            done = erasure.erase_people(place.ledger, place.secret(), asked, **words, now=place.now)
            _tell_done(done)
        is_clean = erasure.scrub(place.ledger)
        if not is_sqlite(place.url):
            say(OF_A_SERVER)
    if not is_clean:
        say(NOT_YET)
        raise typer.Exit(FAILED)
    if scrub:
        say("Nothing that was removed is left in the file or its journal.")


def _read(addresses: list[str]) -> list[str]:
    if addresses != [FROM_INPUT]:
        return addresses
    return [line.strip() for line in sys.stdin if line.strip()]


def _tell(found: erasure.Found) -> None:
    if found.under_way:
        say(f"{found.under_way} of {found.leads} leads are being mailed at this moment: it would be refused for now.")
    say(
        f"Would erase {found.leads} leads with {found.mails} kept mails and {found.replies} replies; "
        f"{found.waiting} of them wait and would be skipped. Nothing was changed."
    )


def _tell_done(done: erasure.Erased) -> None:
    if not done.leads:
        say("No lead has this address: there was nothing to erase.")
    else:
        say(f"Erased: {done.leads} leads, {done.skipped} of which waited. Reference {done.reference}.")
    say("The address is on the suppression list: only a keyed HMAC of it.")
