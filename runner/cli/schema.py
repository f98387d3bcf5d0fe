"""`sendledger db …`: the schema of the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from sqlalchemy.engine import URL

from migrations.run import current, head, refuse_newer, require_head, require_ledger, upgrade
from runner.cli.context import command, naming
from runner.cli.output import say
from runner.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="The schema of the database.")


@app.command("upgrade")
@command
def bring_up(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do.")] = False,
) -> None:
    """Bring the database to the schema of this program, in one transaction. Stop all runners first.

    Example: sendledger db upgrade --dry-run
    """
    with _database() as url:
        refuse_newer(url)
        before = current(url)
        if before == head():
            say(f"The schema is {before}: nothing to do.")
            return
        if dry_run:
            say(f"Would bring the schema from {before or 'none'} to {head()}. Nothing was changed.")
            return
        upgrade(url)
    say(f"The schema is {head()} now; it was {before or 'none'}.")


@app.command("current")
@command
def show_current() -> None:
    """Print the schema of the database and the one this program needs.

    Example: sendledger db current
    """
    with _database() as url:
        say(f"database {current(url) or 'none'}, program {head()}")


@app.command("check")
@command
def check() -> None:
    """Exit code 2 unless the database has the schema of this program.

    Example: sendledger db check
    """
    with _database() as url:
        require_head(url)
    say(f"The schema is {head()}, as this program needs it.")


@contextmanager
def _database() -> Iterator[URL]:
    """The URL of the database, which may be of any schema."""
    url = load_settings().url
    with naming(url):
        require_ledger(url)
        yield url
