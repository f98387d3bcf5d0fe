"""`sendledger audit seal` and `verify`: checkpoints over all events, and the whole ledger held against them."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated

import typer

from domain.errors import InvalidInput, SendledgerError
from domain.sealing.verification import Fault
from projections import totals
from runner.cli.context import command, workplace
from runner.cli.output import Format, FormatOption, say, show
from runner.cli.progress import bar
from runner.sealing.file import CheckpointFile
from runner.sealing.verifying import Verification, Verified
from runner.workplace import Workplace

app = typer.Typer()

PublicKeyFile = Annotated[
    Path | None, typer.Option("--public-key", help="The key to trust, as `audit key` prints it; this ledger's own.")
]
COLUMNS = ("what", "verdict", "found")


@app.command("seal")
@command
def seal() -> None:
    """Sign all events there are, in checkpoints of a thousand: into the database and into the file outside it.

    The daemon does it every minute, and every thousand events.

    Example: sendledger audit seal
    """
    with workplace() as place:
        done = place.sealer().seal()
        file = place.settings.checkpoints_file
    if not done.made:
        say(f"Nothing new: {done.size:,} events are sealed.")
        return
    say(f"{done.size:,} events sealed, by {done.made:,} new checkpoints in {file}. The last:\n\n{done.note}")


@app.command("verify")
@command
def verify(
    checkpoints: Annotated[Path | None, typer.Option(help="A file of checkpoints; that of the settings.")] = None,
    public_key: PublicKeyFile = None,
    older: Annotated[bool, typer.Option("--older", help="That file is a copy from earlier: it may end early.")] = False,
    rows: Annotated[
        bool, typer.Option("--rows", help="Compare the views row by row too, as `rebuild --check` does.")
    ] = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Compute everything again from the stored bytes, and hold it against the signed checkpoints. Changes nothing.

    Exit code 1 when anything is not as it was sealed; the first position that is not is named. It needs only the right
    to read, and the public key.

    Example: sendledger audit verify --checkpoints copy-of-last-month --older --public-key ledger.pub
    """
    with workplace() as place, bar("events") as progress:
        if checkpoints is not None and not checkpoints.exists():
            raise InvalidInput("there is no such file.", mend="Mend the path.", source=str(checkpoints))
        file = CheckpointFile(checkpoints) if checkpoints else place.checkpoint_file
        ledger = place.ledger
        look = Verification(ledger, place.trusted_keys(public_key), file, older=older)
        is_whole = look.read(ledger.position(), progress)
        of_views = _faults_of_views(place, look, rows) if is_whole else None
        report = look.finish()
    told = list(_told(report, of_views))
    show(told, COLUMNS, form)
    if any(row["verdict"] == "FAIL" for row in told):
        raise typer.Exit(1)


def _faults_of_views(place: Workplace, look: Verification, rows: bool) -> list[Fault]:
    """Do the views add up to the events? They may have followed some more by now, so those are read too."""
    try:
        with place.views() as views:
            look.read(totals.position(views), lambda _done, _total: None)
            found = [Fault(each) for each in totals.differences(views, look.report.counts)]
        if rows:
            found += [Fault(f"{each.table} {each.key}") for each in place.projector.check()]
    except SendledgerError as error:
        return [Fault(f"cannot be brought up to date: {error}")]
    return found


def _told(report: Verified, of_views: list[Fault] | None) -> list[dict[str, str]]:
    root = base64.b64encode(report.root).decode()
    whole = f"{report.events:,} events up to position {report.position:,}, root {root}"
    found = [_row("events", [fault for fault in report.faults if fault.position is not None], whole)]
    signed = f"{report.sealed:,} events sealed; {report.in_database:,} checkpoints here, {report.in_file:,} in the file"
    signed += f"; {report.events - report.sealed:,} events wait for the next"
    found.append(_row("checkpoints", [fault for fault in report.faults if fault.position is None], signed))
    if of_views is not None:
        found.append(_row("views", of_views, "they add up to the events"))
    return found


def _row(what: str, faults: list[Fault], fine: str) -> dict[str, str]:
    told = "; ".join(map(str, faults))
    return {"what": what, "verdict": "FAIL" if faults else "PASS", "found": told or fine}
