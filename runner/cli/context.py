"""What all commands share: the open ledger, who is asking, and how an error ends."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

import typer
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from domain.errors import SendledgerError
from runner.free_text import check_free_text
from runner.settings import load_settings
from runner.workplace import Workplace

ACTOR = "SENDLEDGER_ACTOR"
BAD_INPUT = 2
FAILED = 1

P = ParamSpec("P")
R = TypeVar("R")

_errors = Console(stderr=True, highlight=False, soft_wrap=True)


def command(run: Callable[P, R]) -> Callable[P, R]:
    """Ends an expected error as one line and an exit code: 2 for what the user can mend, 1 for the rest."""

    @wraps(run)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return run(*args, **kwargs)
        except SendledgerError as error:
            _errors.print(f"sendledger: {error}", markup=False)
            raise typer.Exit(BAD_INPUT) from None
        except SQLAlchemyError as error:
            # Without parameters: they may hold personal data.
            _errors.print(f"sendledger: the database failed: {type(error).__name__}", markup=False)
            raise typer.Exit(FAILED) from None

    return guarded


@contextmanager
def workplace() -> Iterator[Workplace]:
    """The ledger of the settings, opened when first used and closed when the command ends."""
    place = Workplace(load_settings())
    try:
        yield place
    finally:
        place.close()


def actor() -> str:
    """Who is recorded as having asked for this."""
    return check_free_text(os.environ.get(ACTOR) or getpass.getuser(), field=ACTOR)


def reason_given(text: str | None, *, field: str = "--reason") -> str | None:
    """An operator's words, checked: they are recorded for ever, so they may hold no address."""
    return None if text is None else check_free_text(text, field=field)
