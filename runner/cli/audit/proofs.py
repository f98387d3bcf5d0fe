"""`sendledger audit prove` and `check-proof`: proofs for people who have neither the database nor any trust in us."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from domain.errors import CommandRefused, InvalidInput
from domain.sealing.checkpoints import INCLUSION, Checkpoint, check_growth_proof, check_inclusion_proof
from domain.sealing.merkle import ProofFails
from domain.sealing.notes import NotVerified, PublicKey
from projections import queries
from runner.cli.audit.seal import PublicKeyFile
from runner.cli.completing import campaign_numbers
from runner.cli.context import LARGEST_NUMBER, command, workplace
from runner.cli.output import say
from runner.sealing.file import CheckpointFile
from runner.sealing.keys import public_keys, verify
from runner.sealing.proving import newest_checkpoint, prove_event, prove_growth
from runner.workplace import Workplace

app = typer.Typer()

Of = Literal["outcome", "lock"]
Since = Annotated[
    Path | None, typer.Option(help="A file with an older checkpoint: the proof is that the log only grew since.")
]


@app.command("prove")
@command
def prove(
    number: Annotated[
        int | None, typer.Argument(max=LARGEST_NUMBER, help="The campaign.", autocompletion=campaign_numbers)
    ] = None,
    lead: Annotated[int | None, typer.Argument(max=LARGEST_NUMBER, help="The lead.")] = None,
    event: Annotated[
        Of, typer.Option(help="What became of the mail, or its lock: when, by whom, its digest.")
    ] = "outcome",
    attempt: Annotated[int | None, typer.Option(help="Which attempt; the last.")] = None,
    since: Since = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to; standard output.")] = None,
    public_key: PublicKeyFile = None,
) -> None:
    """Write a proof that a mail's event is in the sealed log, or that the log only grew since an older checkpoint.

    Who has the public key checks it with `audit check-proof`, without the database.

    Example: sendledger audit prove 4 17 -o mail.tlog-proof
    """
    with workplace() as place:
        ledger = place.ledger
        keys = place.trusted_keys(public_key)
        if since is not None:
            proof = prove_growth(ledger, _checkpoint(since, keys), keys)
        elif number is None or lead is None:
            mend = "Name a campaign and a lead, or an older checkpoint with --since."
            raise InvalidInput("it is not said what is to be proved.", mend=mend)
        else:
            proof = prove_event(ledger, _position(place, number, lead, attempt, event), keys)
    if output is None:
        sys.stdout.write(proof.text)
        return
    output.write_text(proof.text, encoding="utf-8")
    what = f"{proof.index:,} events since" if since else f"event {proof.index + 1:,}, at position {proof.position:,},"
    say(f"{output}: {what} under the checkpoint of {proof.checkpoint.size:,} events.")


@app.command("check-proof")
@command
def check_proof(
    file: Annotated[Path, typer.Argument(help="What `audit prove` wrote.")],
    public_key: Annotated[Path, typer.Option("--public-key", help="The key to trust, as `audit key` prints it.")],
    since: Since = None,
) -> None:
    """Check a proof by the public key alone: no database, no settings. Exit code 1 when it does not hold.

    Example: sendledger audit check-proof mail.tlog-proof --public-key ledger.pub
    """
    keys = public_keys(public_key)
    text = _text(file)
    try:
        if text.startswith(INCLUSION):
            stored, index, checkpoint = check_inclusion_proof(text, keys, verify)
            say(f"Holds: event {index + 1:,} of {checkpoint.size:,} in {checkpoint.origin}")
            say(f"position {stored.position}, {stored.stream} version {stored.version}, {stored.topic}")
            say(json.dumps(json.loads(stored.state), ensure_ascii=False, indent=2))
            return
        if since is None:
            mend = "Give the older checkpoint: --since FILE."
            raise InvalidInput("is no proof of an event, but that a log only grew.", mend=mend, source=str(file))
        older = _checkpoint(since, keys)
        checkpoint = check_growth_proof(text, older, keys, verify)
    except (NotVerified, ProofFails) as error:
        say(f"Does not hold: {error}.")
        raise typer.Exit(1) from None
    say(f"Holds: the {older.size:,} events of the older checkpoint are the first of the newer's {checkpoint.size:,}.")


def _checkpoint(path: Path, keys: list[PublicKey]) -> Checkpoint:
    try:
        return newest_checkpoint(CheckpointFile(path).notes(), keys)
    except ProofFails as error:
        raise InvalidInput(f"{error}.", mend="Give a file of checkpoints.", source=str(path)) from None


def _position(place: Workplace, number: int, lead: int, attempt: int | None, event: Of) -> int:
    with place.views() as views:
        rows: list[Any] = list(queries.send_log(views, campaign=number, lead=lead))
    wanted = [row for row in rows if attempt in (None, row["attempt"])]
    if not wanted:
        which = f"attempt {attempt} for" if attempt else "mail to"
        raise CommandRefused(f"there was no {which} lead {lead} of campaign {number}.")
    newest = max(wanted, key=lambda row: row["attempt"])
    position = newest["lock_position"] if event == "lock" else newest["outcome_position"]
    if position is None:
        what = "was never locked" if event == "lock" else "has no outcome yet"
        raise CommandRefused(f"attempt {newest['attempt']} for lead {lead} of campaign {number} {what}.")
    return int(position)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidInput("is no proof.", mend="Give what `audit prove` wrote.", source=str(file)) from None
