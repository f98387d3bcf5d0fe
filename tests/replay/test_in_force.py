"""What was in force in a range: the limits of each local date, and the windows, and nothing of what lies outside."""

from __future__ import annotations

from datetime import UTC, date, datetime

from domain.calendar import Schedule
from domain.replay.in_force import InForce, limits_by_day, windows
from domain.rules import Limits
from tests.replay.given import DAY, HOUR, MINUTE, MONDAY, OFFICE

FEW, MORE, MANY = (Limits(daily_limit=number) for number in (10, 20, 30))


def test_a_date_has_the_limits_of_its_end_or_of_the_end_of_the_range() -> None:
    midnight = datetime(2026, 10, 5, 22, tzinfo=UTC)  # in Warsaw
    settings = [
        InForce(MONDAY, OFFICE, FEW),
        InForce(MONDAY + HOUR, OFFICE, MORE),
        InForce(midnight - MINUTE, OFFICE, FEW),
        InForce(midnight + HOUR, OFFICE, MANY),
    ]
    days = [date(2026, 10, day) for day in (5, 6, 7)]

    assert limits_by_day(settings, MONDAY, midnight + 25 * HOUR) == dict(zip(days, (FEW, MANY, MANY), strict=True))
    assert limits_by_day(settings, MONDAY, MONDAY + 2 * HOUR) == {days[0]: MORE}
    assert limits_by_day(settings, midnight, midnight + DAY) == {days[1]: MANY}


def test_windows_are_those_of_the_range_by_the_calendar_of_each_time() -> None:
    short = Schedule(zone="Europe/Warsaw", start="09:00", end="10:00")
    settings = [
        InForce(MONDAY, OFFICE, FEW),
        InForce(MONDAY + HOUR, OFFICE, MORE),  # the window does not end there
        InForce(MONDAY + 12 * HOUR, short, MORE),
    ]
    tuesday = MONDAY + DAY

    assert windows(settings, MONDAY + 2 * HOUR, tuesday + HOUR / 2) == [
        (MONDAY + 2 * HOUR, MONDAY + 6 * HOUR),
        (tuesday, tuesday + HOUR / 2),
    ]
