"""Times in tables: TEXT of one fixed width, always UTC, `2026-03-02T09:15:00.000000+00:00`.
So text order is the order in time under any collation, equal instants are equal texts, and no driver converts.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from domain.calendar import local_date_of

MINUTE = len("2026-03-02T09:15")
MINUTES_KEPT = 8192
UTC_OFFSET = "+00:00"
NO_OFFSET = timedelta(0)
FORM = "%04d-%02d-%02dT%02d:%02d:%02d.%06d" + UTC_OFFSET


def time_text(at: datetime) -> str:
    """An aware instant as tables hold it."""
    if at.utcoffset() != NO_OFFSET:
        if at.tzinfo is None:
            raise ValueError("a time without zone reached a table")
        at = at.astimezone(UTC)
    # A third less time than isoformat(timespec="microseconds"): a rebuild writes five times for every mail.
    return FORM % (at.year, at.month, at.day, at.hour, at.minute, at.second, at.microsecond)


def text_time(text: str) -> datetime:
    """The instant again."""
    return datetime.fromisoformat(text)


def local_date(text: str, zone: str) -> str:
    """The local date (ISO) that this instant has in a zone: a day's limits count by it."""
    return _date_of_minute(text[:MINUTE], zone)


@lru_cache(MINUTES_KEPT)
def _date_of_minute(minute: str, zone: str) -> str:
    return local_date_of(zone, datetime.fromisoformat(minute + UTC_OFFSET)).isoformat()
