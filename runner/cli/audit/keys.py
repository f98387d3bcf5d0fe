"""`sendledger audit key`: the key that signs checkpoints, and its public half for everybody who verifies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from domain.errors import CommandRefused, InvalidInput
from runner.cli.context import command, workplace
from runner.cli.output import say
from runner.sealing.keys import new_key
from runner.settings import Settings
from runner.workplace import LEDGER_ID

app = typer.Typer()

PRIVATE = 0o600


@app.command("key")
@command
def key(
    make: Annotated[bool, typer.Option("--make", help="Make one: for a ledger from before there were keys.")] = False,
) -> None:
    """Print the public key, in one line: hand it to everybody who shall verify this ledger.

    Example: sendledger audit key > ledger.pub
    """
    with workplace() as place:
        if make:
            if place.has_signing_key:
                raise CommandRefused(f"there is a key already: {place.settings.signing_key}. It is never replaced.")
            make_signing_key(place.settings, place.info[LEDGER_ID])
        elif not place.has_signing_key:
            raise InvalidInput("there is no key yet.", mend="Make it with `audit key --make`.", field="signing_key")
        say(str(place.signer().public))


def make_signing_key(settings: Settings, ledger_id: str) -> None:
    """Where the settings say, unless one is there or stands in the environment."""
    file = settings.key_file(settings.signing_key)
    if file is not None and not file.exists():
        write_private(file, new_key(ledger_id).line())


def write_private(path: Path, line: str) -> None:
    """A file that nobody else on this machine may read."""
    path.touch(mode=PRIVATE)
    path.write_text(f"{line}\n", encoding="ascii")
