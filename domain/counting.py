"""Counts of mails by local date. A day is a local date of a zone, right on both clock-change days.
Kept by quarter of an hour of UTC: every midnight of every zone in use falls on one, so a changed zone counts right too.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from domain.calendar import Schedule, SendingCalendar, calendar_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
QUARTER_S = 15 * 60
QUARTERS_KEPT = 4 * 24 * 60 * 60 // QUARTER_S
"""Those of four days with mails, more than any local date needs. By number, not by age: after a clock that jumped ahead
and came back, today's mails still count."""
ZONES_KEPT = 1024
NO_TIME = (datetime.max.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


class MailCount:
    """Mails by quarter of an hour."""

    __slots__ = ("_quarters",)

    def __init__(self, quarters: dict[int, int] | None = None) -> None:
        self._quarters = quarters if quarters is not None else {}

    def add(self, at: datetime) -> None:
        """One mail at this instant."""
        quarter = int(at.timestamp()) // QUARTER_S
        if quarter in self._quarters:
            self._quarters[quarter] += 1
        else:
            self._quarters[quarter] = 1
            if len(self._quarters) > QUARTERS_KEPT:
                del self._quarters[min(self._quarters)]

    def day_of(self, at: datetime, zone: str) -> tuple[datetime, datetime]:
        """The instants [start, end) of the local date that this one has in this zone."""
        return local_day(at, zone)

    def on_date_of(self, at: datetime, zone: str) -> int:
        """Mails on the local date that this instant has in this zone."""
        start, end = local_day(at, zone)
        first, last = int(start.timestamp()) // QUARTER_S, int(end.timestamp()) // QUARTER_S
        return sum(count for quarter, count in self._quarters.items() if first <= quarter < last)

    def quarters(self) -> dict[int, int]:
        """For a snapshot: quarter of an hour since 1970 to mails."""
        return dict(self._quarters)


class Tally(MailCount):
    """Counts as its base does, and remembers the last date asked for: a rehearsal or a replay asks four times a mail,
    and adding up four days of quarters each time was two thirds of a plan's time."""

    __slots__ = ("_count", "_day", "_zone")

    def __init__(self, count: MailCount) -> None:
        super().__init__(count.quarters())
        self._zone, self._day, self._count = "", NO_TIME, 0

    def add(self, at: datetime) -> None:
        """One mail at this instant."""
        super().add(at)
        if self._day[0] <= at < self._day[1]:
            self._count += 1

    def day_of(self, at: datetime, zone: str) -> tuple[datetime, datetime]:
        """The instants [start, end) of the local date that this one has in this zone."""
        self._look_at(at, zone)
        return self._day

    def on_date_of(self, at: datetime, zone: str) -> int:
        """Mails on the local date that this instant has in this zone."""
        self._look_at(at, zone)
        return self._count

    def _look_at(self, at: datetime, zone: str) -> None:
        start, end = self._day
        if not start <= at < end or zone != self._zone:
            self._zone, self._day = zone, local_day(at, zone)
            self._count = super().on_date_of(at, zone)


def local_day(at: datetime, zone: str) -> tuple[datetime, datetime]:
    """The UTC instants [start, end) of the local date at this instant."""
    calendar = _calendar_in(zone)
    return calendar.day_bounds(calendar.local_date(at.astimezone(UTC)))


@lru_cache(maxsize=ZONES_KEPT)
def _calendar_in(zone: str) -> SendingCalendar:
    """Remembered by its name: checking a schedule anew costs more than all the rest, and each mail asks four times."""
    return calendar_of(Schedule(zone=zone))
