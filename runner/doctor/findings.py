"""What the doctor finds: one row a check, with a verdict and, where it is not OK, what to mend."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import psycopg
from eventsourcing.persistence import PersistenceError
from sqlalchemy.exc import SQLAlchemyError

from domain.errors import InvalidInput, SendledgerError

MEND_DATABASE = "Mend the database, the way to it or the role's rights; its own log says more."

HARMLESS = (sqlite3.OperationalError, psycopg.OperationalError, psycopg.errors.InsufficientPrivilege)
"""Their words are about files, servers and rights, and quote no values."""


class Verdict(StrEnum):
    """WARN: it works, and a person should look. FAIL: mail is held up, or in danger."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One row."""

    check: str
    verdict: Verdict
    found: str
    mend: str = ""


def ok(check: str, found: str) -> Finding:
    """As it should be."""
    return Finding(check, Verdict.OK, found)


def warn(check: str, found: str, mend: str) -> Finding:
    """A person should look."""
    return Finding(check, Verdict.WARN, found, mend)


def fail(check: str, found: str, mend: str) -> Finding:
    """Nothing can be sent so, or not safely."""
    return Finding(check, Verdict.FAIL, found, mend)


def looked(check: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """What a check finds; one that cannot be made has failed."""
    try:
        yield from look()
    except InvalidInput as error:
        place = ", ".join(part for part in (error.source, error.field) if part)
        yield fail(check, f"{place}: {error.problem}" if place else error.problem, error.mend)
    except SendledgerError as error:
        problem, _, mend = str(error).partition(". ")
        yield fail(check, f"{problem.rstrip('.')}.", mend)
    except (SQLAlchemyError, PersistenceError, psycopg.Error) as error:
        yield fail(check, told(error), MEND_DATABASE)
    except OSError as error:
        yield fail(check, f"{error.filename or 'this machine'}: {error.strerror}.", "Mend file, folder or path.")
    except Exception as error:  # noqa: BLE001 - one check that nobody thought of must not hide all others
        yield fail(check, f"could not be looked at: {type(error).__name__}.", "This is a bug; please report it.")


def told(error: BaseException) -> str:
    """What a database said, where its words quote no values; else only of which kind the error is."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, sqlite3.Error | psycopg.Error):
        cause = cause.__cause__
    harmless = isinstance(cause, HARMLESS) or type(cause) is sqlite3.DatabaseError
    words = str(cause).partition("\n")[0].rstrip(".") if harmless else f"the database failed: {type(error).__name__}"
    return f"{words}."
