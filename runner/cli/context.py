"""What all commands share: the open ledger, who is asking, and how an error ends."""

from __future__ import annotations

import getpass
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

import psycopg
import typer
from eventsourcing.persistence import OperationalError, PersistenceError, ProgrammingError
from rich.console import Console
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from domain.errors import InvalidInput, SendledgerError
from migrations.run import shown
from projections.database import is_sqlite
from runner.free_text import check_free_text
from runner.settings import load_settings
from runner.workplace import Workplace

ACTOR = "SENDLEDGER_ACTOR"
BAD_INPUT = 2
FAILED = 1
LARGEST_NUMBER = 2**31 - 1
"""Of a campaign, a lead or a reply code: what an INTEGER column of any database holds."""

AGAIN = "Mend the server or the connection, then give the command again."
LOOK_FIRST = (
    "Mend the server or the connection. What was under way is stored as a whole or not at all: "
    "see `sendledger status`, then give the command again."
)
NO_RIGHT = "This role may not do that: run it as the owner of the database, or give rights by `sendledger db grant`."

_RIGHTS = (psycopg.errors.InsufficientPrivilege, ProgrammingError)
_SERVERS_FAULT = (psycopg.OperationalError, OperationalError, *_RIGHTS)

P = ParamSpec("P")
R = TypeVar("R")

logging.getLogger("psycopg").addHandler(logging.NullHandler())  # a lost connection is told once, by the command's end

_errors = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)


class DatabaseAway(InvalidInput):
    """The database cannot be opened, read or written. Once that is mended, the same command works."""


def command(run: Callable[P, R]) -> Callable[P, R]:
    """Ends an expected error as one line and an exit code: 2 for what the user can mend, 1 for the rest."""

    @wraps(run)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return run(*args, **kwargs)
        except SendledgerError as error:
            raise _ended(f"{error}", BAD_INPUT) from None
        except (SQLAlchemyError, PersistenceError) as error:
            # Without parameters: they may hold personal data.
            raise _ended(f"the database failed: {type(error).__name__}", FAILED) from None
        except OSError as error:
            if error.filename is None:
                raise  # a pipe that was closed, or a socket: nobody's input
            raise _ended(f"{error.filename}: {error.strerror}. Mend file or path.", BAD_INPUT) from None

    return guarded


@contextmanager
def workplace() -> Iterator[Workplace]:
    """The ledger of the settings, opened when first used and closed when the command ends."""
    place = Workplace(load_settings())
    try:
        with naming(place.settings.url, mend=LOOK_FIRST):
            yield place
    finally:
        place.close()


@contextmanager
def naming(url: URL, *, mend: str = AGAIN) -> Iterator[None]:
    """A database that cannot be opened, read or written is the user's to mend, so its error names it. `mend`: what to
    do about a server that is away."""
    try:
        yield
    except (SQLAlchemyError, PersistenceError, psycopg.Error) as error:
        if is_sqlite(url):
            cause = _of_driver(error, sqlite3.Error)
            if not isinstance(cause, sqlite3.OperationalError) and type(cause) is not sqlite3.DatabaseError:
                raise
            mend = "Mend the file, its folder or the disk."
        else:
            cause = _of_driver(error, (psycopg.Error, PersistenceError))
            if not isinstance(cause, _SERVERS_FAULT) or _of_driver(cause, sqlite3.Error):  # of another database
                raise
            mend = NO_RIGHT if isinstance(cause, _RIGHTS) else mend
        # What the drivers say of these quotes no values.
        raise DatabaseAway(f"{_in_one_line(cause)}.", mend=mend, source=shown(url)) from None


def actor() -> str:
    """Who is recorded as having asked for this."""
    return check_free_text(os.environ.get(ACTOR) or getpass.getuser(), field=ACTOR)


def reason_given(text: str | None, *, field: str = "--reason") -> str | None:
    """An operator's words, checked: they are recorded for ever, so they may hold no address."""
    return None if text is None else check_free_text(text, field=field)


def _in_one_line(error: BaseException | None) -> str:
    """What a driver says, without the guesses that libpq adds to it on further lines."""
    return next(iter(str(error).splitlines()), "").strip().rstrip(".")


def _of_driver(error: BaseException | None, kinds: type | tuple[type, ...]) -> BaseException | None:
    while error is not None and not isinstance(error, kinds):
        error = error.__cause__
    return error


def warn(words: str) -> None:
    """One line beside the output, as errors are told."""
    _errors.print(f"sendledger: {words}", markup=False)


def _ended(words: str, code: int) -> typer.Exit:
    warn(words)
    return typer.Exit(code)
