"""Which calendar and which limits were in force in a range: what is drawn behind the mails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

from domain.calendar import Interval, Schedule, calendar_of
from domain.rules import Limits

DAY = timedelta(days=1)


class InForce(NamedTuple):
    """A campaign's settings from an instant on, until others are."""

    since: datetime
    schedule: Schedule
    limits: Limits


def windows(settings: Sequence[InForce], start: datetime, end: datetime) -> list[Interval]:
    """When the calendar was open between these instants."""
    changes = [one for nth, one in enumerate(settings) if not nth or one.schedule != settings[nth - 1].schedule]
    return [
        opening
        for one, since, until in _spans(changes, start, end)
        for opening in calendar_of(one.schedule).openings(since, until)
    ]


def limits_by_day(settings: Sequence[InForce], start: datetime, end: datetime) -> dict[date, Limits]:
    """The limits of each local date between these instants: the last of a date that had several."""
    found: dict[date, Limits] = {}
    for one, since, until in _spans(settings, start, end):
        calendar = calendar_of(one.schedule)
        day, last = calendar.local_date(since), calendar.local_date(until - timedelta.resolution)
        while day <= last:
            found[day] = one.limits
            day += DAY
    return found


def _spans(settings: Sequence[InForce], start: datetime, end: datetime) -> Iterator[tuple[InForce, datetime, datetime]]:
    """Each with its part [since, until) of the range; none where a clock that was set back put its end before it."""
    ends = [*(one.since for one in settings[1:]), end]
    for one, following in zip(settings, ends, strict=True):
        since, until = max(one.since, start), min(following, end)
        if since < until:
            yield one, since, until
