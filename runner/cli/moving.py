"""`sendledger db copy` and `db grant`: to PostgreSQL, and who may do what there."""

from __future__ import annotations

from typing import Annotated

import typer
from sqlalchemy import text

from domain.errors import CommandRefused, InvalidInput
from migrations.grants import grants
from migrations.run import shown
from projections.database import database_url, reading, writing
from runner.cli.context import command, naming, workplace
from runner.cli.output import Format, FormatOption, say, show
from runner.cli.progress import steps
from runner.sending.liveness import Liveness, all_living
from runner.sending.recording import replay_journals
from runner.settings import settings_path
from runner.store import copying
from runner.workplace import LEDGER_ID, Workplace

app = typer.Typer()


@app.command("copy")
@command
def copy(
    to: Annotated[str, typer.Option("--to", help="An empty database: postgresql://OWNER@HOST/DATABASE.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do.")] = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Copy this ledger to PostgreSQL and prove that both hold the same. Stop all runners first.

    Broken off, the same command goes on. Afterwards no runner sends from the old database any more.

    Example: sendledger db copy --to postgresql://sendledger@db.example/sendledger
    """
    target = database_url(to, field="--to")
    with workplace() as place:
        _require_quiet(place)
        if dry_run:
            with naming(target):
                copying.require_fit(target, place.info[LEDGER_ID])
            say(f"Would copy {place.ledger.position():,} events to {shown(target)}. Nothing was changed.")
            return
        folder = place.settings.runners_folder
        replay_journals(place.ledger, folder, Liveness(folder, place.url), place.clock)
        with naming(target), steps() as progress:
            copying.prepare(target, place.info[LEDGER_ID])
            copying.copy(place.ledger, target, progress)
            compared = copying.finish(place.url, target, progress, lambda: _require_quiet(place))
        rows = [{"table": each.table, "rows": each.rows, "sha256": each.digest} for each in compared]
        show(rows, ("table", "rows", "sha256"), form)
        if form is Format.TABLE:
            say(f"Both databases hold the same. Next: database_url = {shown(target)!r} in {settings_path()},")
            say('then sendledger runner register --reason "moved to PostgreSQL".')


@app.command("grant")
@command
def grant(
    daemon: Annotated[
        str | None, typer.Option(help="A role that sends: it appends and never changes an event.")
    ] = None,
    reader: Annotated[str | None, typer.Option(help="A role that only reads.")] = None,
    auditor: Annotated[
        str | None, typer.Option(help="A role that audits and verifies: it reads what that takes, and nothing else.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the statements, change nothing.")] = False,
) -> None:
    """Give roles of a PostgreSQL server their rights on this ledger. Run it as the owner.

    Example: sendledger db grant --daemon sendledger_daemon --reader sendledger_reader
    """
    if daemon is None and reader is None and auditor is None:
        raise InvalidInput("is missing.", mend="Name a role.", field="--daemon, --reader or --auditor")
    with workplace() as place:
        with reading(place.engine) as connection:
            statements = list(grants(connection, daemon, reader, auditor))
        if not dry_run:
            with writing(place.engine) as connection:
                for statement in statements:
                    connection.execute(text(statement))
    for statement in statements:
        say(f"{statement};")
    say("Nothing was changed." if dry_run else f"{len(statements)} rights granted.")


def _require_quiet(place: Workplace) -> None:
    with reading(place.engine) as connection:
        runners = len(all_living(place.settings.runners_folder, connection))
    if runners:
        raise CommandRefused(f"{runners} runners are at work on this ledger; stop them first.")
