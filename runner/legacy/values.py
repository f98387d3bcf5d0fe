"""Reads the values of the old database: each reader takes one as the driver gives it, or raises `InvalidInput`.
None of them quotes a value, which may be personal data; whoever reads the row adds table, row and column.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from domain.calendar import WEEK, Weekday
from domain.errors import InvalidInput

Reader = Callable[[Any], Any]

MOST_DIGITS = 999_999_999
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""Seconds that are taken for milliseconds lie in January 1970."""
LATEST = datetime(2999, 12, 31, tzinfo=UTC)

_LARGEST_ID = 2**63 - 1
_LATEST_MS = (LATEST - EPOCH) // timedelta(milliseconds=1)
_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|\+00:00)?", re.ASCII)
_COUNTRY = re.compile(r"[A-Z]{2}(?:-[A-Z0-9]{1,3})?")
_UNDECODED = re.compile(r"[\ud800-\udfff]")
_TIMES = "Write milliseconds since 1970, or 2025-11-04T14:31:32.000Z, in UTC."


def or_none(read: Reader) -> Reader:
    """A value that may be missing."""
    return lambda value: None if value is None else read(value)


def text(value: Any) -> str:
    """A text, empty or not."""
    if not isinstance(value, str):
        raise _null() if value is None else InvalidInput("is no text.", mend="Store it as text.")
    if not value.isascii() and _UNDECODED.search(value):
        raise InvalidInput("is not UTF-8.", mend="Store it as UTF-8.")
    return value


def filled_text(value: Any) -> str:
    """A text that says something."""
    if not text(value).strip():
        raise InvalidInput("is empty.", mend="Give it a value there.")
    return str(value)


def text_or_empty(value: Any) -> str:
    """A text; "" where there is none."""
    return "" if value is None else text(value)


def row_id(value: Any) -> int:
    """The key of a row."""
    if type(value) is int and 1 <= value <= _LARGEST_ID:
        return value
    if value is None:
        raise _null()
    raise InvalidInput("is no whole number from 1 on.", mend="Correct it there.")


def whole(least: int, most: int) -> Reader:
    """A whole number in a range."""

    def read(value: Any) -> int:
        if type(value) is int and least <= value <= most:
            return value
        if value is None:
            raise _null()
        raise InvalidInput(f"is no whole number from {least} to {most}.", mend="Correct it there.")

    return read


def flag(value: Any) -> bool:
    """A boolean, on SQLite 0 or 1."""
    if isinstance(value, (bool, int)) and value in (0, 1):
        return bool(value)
    raise _null() if value is None else InvalidInput("is neither true nor false.", mend="Write 1 or 0.")


def one_of(literal: Any) -> Reader:
    """One of the values of a `Literal`, letter for letter, as the old application compares them."""
    known = frozenset(get_args(literal))

    def read(value: Any) -> str:
        if isinstance(value, str) and value in known:
            return value
        if value is None:
            raise _null()
        raise InvalidInput("is a value that nobody knows.", mend=f"Write one of {', '.join(get_args(literal))}.")

    return read


def instant(value: Any) -> datetime:
    """A time: milliseconds since 1970 or ISO text, and on PostgreSQL a timestamp; without a zone it is UTC."""
    at = _instant(value)
    if not EARLIEST <= at <= LATEST:
        raise InvalidInput("is no time between the years 2000 and 2999.", mend=_TIMES)
    return at


def weekdays(value: Any) -> tuple[Weekday, ...]:
    """Names of days parted by commas. The old application compares them letter for letter with MON, TUE, …"""
    names = {name.strip() for name in filled_text(value).split(",")}
    if not names <= set(WEEK):
        problem = "names a day that the old application never meets, so it sends nothing on it."
        raise InvalidInput(problem, mend=f"Write some of {','.join(WEEK)}, parted by commas.")
    return tuple(day for day in WEEK if day in names)


def countries(value: Any) -> tuple[str, ...]:
    """Codes of countries parted by commas; none where nothing is given."""
    names = tuple(dict.fromkeys(name.strip() for name in text_or_empty(value).split(",") if name.strip()))
    if not all(map(_COUNTRY.fullmatch, names)):
        raise InvalidInput("holds what is no code of a country.", mend="Write codes such as PL,DE, or null.")
    return names


def _instant(value: Any) -> datetime:
    if type(value) is int and 0 <= value <= _LATEST_MS:
        return EPOCH + timedelta(milliseconds=value)
    if isinstance(value, str) and _ISO.fullmatch(value):
        try:
            at = datetime.fromisoformat(value)
        except ValueError:  # such as 30 February
            raise InvalidInput("is no date of the calendar.", mend=_TIMES) from None
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    raise _null() if value is None else InvalidInput("is no time that can be read.", mend=_TIMES)


def _null() -> InvalidInput:
    return InvalidInput("is null, and a value is needed.", mend="Give it one there.")
