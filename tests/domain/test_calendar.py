"""The sending calendar: one wall-clock rule, on both clock-change days, in every zone, from 2020 to 2037.

Examples use the two Sundays of 2026 in Warsaw: on 29 March 02:00 becomes 03:00, on 25 October 03:00 becomes 02:00,
both at 01:00 UTC. The properties compare with the rule written down a second time and asked minute by minute.
"""

from __future__ import annotations

import time as process_time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from holidays import country_holidays
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.calendar import (
    CLOSING_HORIZON,
    FIRST_YEAR,
    LAST_YEAR,
    Closed,
    Interval,
    Schedule,
    SendingCalendar,
    Weekday,
    calendar_of,
    clock_of,
    local_date_of,
    minutes_of,
    zone_of,
)
from domain.errors import InvalidInput

WARSAW = ZoneInfo("Europe/Warsaw")
SPRING_DAY, AUTUMN_DAY = date(2026, 3, 29), date(2026, 10, 25)
DAY_NAMES = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
DAY, HOUR, MINUTE, MICROSECOND = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(microseconds=1)


def calendar(**wanted: Any) -> SendingCalendar:
    """Open 09:00 to 15:00 on every day in Warsaw, unless said otherwise."""
    return calendar_of(Schedule(**{"weekdays": DAY_NAMES, "start": "09:00", "end": "15:00"} | wanted))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def warsaw(text: str, *, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=WARSAW, fold=fold)


# --- Both clock-change days in Warsaw ---

SPRING_OPENINGS: dict[tuple[str, str], list[tuple[str, str]]] = {
    ("02:15", "02:45"): [],  # within the gap
    ("02:00", "03:00"): [],  # the gap itself
    ("01:30", "02:30"): [("2026-03-29T00:30", "2026-03-29T01:00")],  # ends in it
    ("02:30", "03:30"): [("2026-03-29T01:00", "2026-03-29T01:30")],  # starts in it
    ("01:30", "03:30"): [("2026-03-29T00:30", "2026-03-29T01:30")],  # around it: two hours are one
    ("01:30", "02:00"): [("2026-03-29T00:30", "2026-03-29T01:00")],
    ("03:00", "03:30"): [("2026-03-29T01:00", "2026-03-29T01:30")],
    ("00:00", "24:00"): [("2026-03-28T23:00", "2026-03-29T22:00")],
    ("09:00", "15:00"): [("2026-03-29T07:00", "2026-03-29T13:00")],
}
AUTUMN_OPENINGS: dict[tuple[str, str], list[tuple[str, str]]] = {
    ("02:15", "02:45"): [("2026-10-25T00:15", "2026-10-25T00:45"), ("2026-10-25T01:15", "2026-10-25T01:45")],
    ("02:00", "02:30"): [("2026-10-25T00:00", "2026-10-25T00:30"), ("2026-10-25T01:00", "2026-10-25T01:30")],
    ("02:00", "03:00"): [("2026-10-25T00:00", "2026-10-25T02:00")],  # the repeated hour itself, without a break
    ("01:30", "02:30"): [("2026-10-24T23:30", "2026-10-25T00:30"), ("2026-10-25T01:00", "2026-10-25T01:30")],
    ("02:30", "03:30"): [("2026-10-25T00:30", "2026-10-25T01:00"), ("2026-10-25T01:30", "2026-10-25T02:30")],
    ("01:30", "03:30"): [("2026-10-24T23:30", "2026-10-25T02:30")],  # around it: two hours are three
    ("01:30", "02:00"): [("2026-10-24T23:30", "2026-10-25T00:00")],
    ("03:00", "03:30"): [("2026-10-25T02:00", "2026-10-25T02:30")],
    ("00:00", "24:00"): [("2026-10-24T22:00", "2026-10-25T23:00")],
    ("09:00", "15:00"): [("2026-10-25T08:00", "2026-10-25T14:00")],
}
clock_change_days = pytest.mark.parametrize(
    ("day", "start", "end", "opens"),
    [
        pytest.param(day, start, end, [(utc(first), utc(last)) for first, last in opens], id=f"{day} {start}-{end}")
        for day, cases in ((SPRING_DAY, SPRING_OPENINGS), (AUTUMN_DAY, AUTUMN_OPENINGS))
        for (start, end), opens in cases.items()
    ],
)


@clock_change_days
def test_f40_a_window_on_a_clock_change_day_opens_by_the_wall_clock(
    day: date, start: str, end: str, opens: list[Interval]
) -> None:
    windows = calendar(start=start, end=end)

    assert list(windows.openings(*windows.day_bounds(day))) == opens


@clock_change_days
def test_f40_on_a_clock_change_day_the_next_opening_skips_none_and_adds_none(
    day: date, start: str, end: str, opens: list[Interval]
) -> None:
    windows = calendar(start=start, end=end)
    now, midnight = windows.day_bounds(day)

    visited = []
    while (opening := windows.next_opening(now)) and opening < midnight:
        closing = windows.closing(opening)
        assert closing is not None
        assert now <= opening < closing
        visited.append((opening, min(closing, midnight)))
        now = closing

    assert visited == opens


def test_f40_between_the_two_openings_of_the_autumn_day_the_next_one_is_the_repeated_hour() -> None:
    windows = calendar(start="02:15", end="02:45")

    assert windows.next_opening(warsaw("2026-10-25T02:50", fold=0)) == utc("2026-10-25T01:15")
    assert windows.next_opening(warsaw("2026-10-25T02:50", fold=1)) == utc("2026-10-26T01:15")


def test_f40_a_window_in_the_gap_opens_on_the_day_after() -> None:
    windows = calendar(start="02:15", end="02:45")

    assert windows.next_opening(warsaw("2026-03-29T01:59")) == utc("2026-03-30T00:15")


def test_f40_a_weekly_window_in_the_gap_opens_a_week_later() -> None:
    windows = calendar(weekdays=["SUN"], start="02:15", end="02:45")

    assert windows.next_opening(warsaw("2026-03-29T00:00")) == utc("2026-04-05T00:15")


def test_f40_both_wall_clock_readings_of_the_repeated_hour_are_different_instants() -> None:
    windows = calendar(start="02:30", end="03:00")

    assert windows.closing(warsaw("2026-10-25T02:30", fold=0)) == utc("2026-10-25T01:00")
    assert windows.closing(warsaw("2026-10-25T02:30", fold=1)) == utc("2026-10-25T02:00")


def test_answers_are_utc_whatever_zone_the_question_is_in() -> None:
    windows = calendar()
    asked = datetime(2026, 7, 1, 8, 0, tzinfo=ZoneInfo("Asia/Tokyo"))

    opening, closing = windows.next_opening(asked), windows.closing(utc("2026-07-01T07:00"))

    assert (opening, closing) == (utc("2026-07-01T07:00"), utc("2026-07-01T13:00"))
    assert opening is not None
    assert closing is not None
    assert opening.tzinfo is UTC
    assert closing.tzinfo is UTC


# --- Windows ---


def test_a_window_is_half_open() -> None:
    windows = calendar()

    assert not windows.is_open(warsaw("2026-07-01T08:59:59.999999"))
    assert windows.is_open(warsaw("2026-07-01T09:00"))
    assert windows.is_open(warsaw("2026-07-01T14:59:59.999999"))
    assert not windows.is_open(warsaw("2026-07-01T15:00"))


def test_t12_the_window_counts_at_the_instant_asked_for_not_at_the_planned_one() -> None:
    planned, now = warsaw("2026-07-01T14:59"), warsaw("2026-07-01T22:10")
    windows = calendar()

    assert windows.is_open(planned)
    assert not windows.is_open(now)
    assert windows.closing(now) is None
    assert windows.next_opening(now) == warsaw("2026-07-02T09:00")


@pytest.mark.parametrize("down_for", [HOUR, timedelta(hours=17), timedelta(days=7)], ids=["hour", "night", "week"])
def test_f41_after_an_outage_an_open_window_opens_now_and_loses_no_day(down_for: timedelta) -> None:
    windows = calendar()
    back = warsaw("2026-07-01T13:30") + down_for

    opening = windows.next_opening(back)

    assert opening == (back if windows.is_open(back) else warsaw("2026-07-02T09:00"))


@pytest.mark.parametrize("weekdays", [DAY_NAMES[:5], DAY_NAMES])
def test_f44_a_window_from_0_to_24_joins_the_days(weekdays: tuple[str, ...]) -> None:
    windows = calendar(weekdays=weekdays, start="00:00", end="24:00")
    monday = warsaw("2026-07-06T00:00")

    week = list(windows.openings(monday, monday + timedelta(days=7)))

    assert week == [(monday, monday + timedelta(days=len(weekdays)))]


def test_f44_a_calendar_that_never_closes_is_open_until_the_horizon() -> None:
    windows = calendar(start="00:00", end="24:00")

    assert windows.closing(utc("2026-03-01T12:34")) == utc("2026-03-01T12:34") + CLOSING_HORIZON


def test_t15_start_hour_0_is_a_window_from_midnight() -> None:
    windows = calendar(start="00:00", end="01:00")

    assert windows.is_open(warsaw("2026-07-01T00:00"))
    assert not windows.is_open(warsaw("2026-07-01T01:00"))
    assert windows.closed_because(warsaw("2026-07-01T12:00")) == Closed("window")


@pytest.fixture
def machine_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Moves this process to another zone, as a server in that zone would run it."""

    def move(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        process_time.tzset()

    yield move
    monkeypatch.undo()
    process_time.tzset()


@pytest.mark.parametrize("server", ["America/New_York", "Asia/Tokyo"])
def test_t15_the_window_is_in_the_zone_of_the_campaign_not_of_the_server(
    server: str, machine_in: Callable[[str], None]
) -> None:
    machine_in(server)
    windows = SendingCalendar(Schedule())
    midnight = warsaw("2026-07-01T00:00")

    assert list(windows.openings(midnight, midnight + DAY)) == [(utc("2026-07-01T07:00"), utc("2026-07-01T13:00"))]
    assert windows.local_date(utc("2026-06-30T22:00")) == date(2026, 7, 1)


@pytest.mark.parametrize("length", [timedelta(), -MINUTE, -DAY])
def test_an_empty_or_reversed_range_holds_no_opening(length: timedelta) -> None:
    at = warsaw("2026-07-01T12:00")

    assert list(calendar().openings(at, at + length)) == []


def test_openings_are_cut_to_the_range() -> None:
    first, last = warsaw("2026-07-01T12:00"), warsaw("2026-07-02T10:00")

    assert list(calendar().openings(first, last)) == [
        (first, warsaw("2026-07-01T15:00")),
        (warsaw("2026-07-02T09:00"), last),
    ]


# --- Local days ---


@pytest.mark.parametrize(
    ("day", "starts", "hours"),
    [
        (SPRING_DAY, "2026-03-28T23:00", 23),
        (date(2026, 7, 1), "2026-06-30T22:00", 24),
        (AUTUMN_DAY, "2026-10-24T22:00", 25),
        (date(2026, 12, 1), "2026-11-30T23:00", 24),
    ],
)
def test_t14_a_day_is_a_local_date_of_23_24_or_25_hours(day: date, starts: str, hours: int) -> None:
    windows = calendar()

    start, end = windows.day_bounds(day)

    assert (start, end - start) == (utc(starts), timedelta(hours=hours))
    assert windows.local_date(start - MICROSECOND) == day - DAY
    assert windows.local_date(start) == windows.local_date(end - MICROSECOND) == day
    assert windows.local_date(end) == day + DAY


def test_t14_a_mail_of_yesterday_evening_does_not_count_today() -> None:
    assert local_date_of("Europe/Warsaw", utc("2026-06-30T21:59")) == date(2026, 6, 30)
    assert local_date_of("Europe/Warsaw", utc("2026-06-30T22:00")) == date(2026, 7, 1)


def test_a_date_that_the_zone_skipped_is_an_empty_day() -> None:
    apia = calendar(zone="Pacific/Apia", start="00:00", end="24:00")

    start, end = apia.day_bounds(date(2011, 12, 30))

    assert start == end == apia.day_bounds(date(2011, 12, 29))[1]


def test_a_date_that_came_back_after_its_end_does_not_start_the_next_day_twice() -> None:
    # St John's turned its clocks back at 00:01, to 23:01 of the day before.
    windows = calendar(zone="America/St_Johns")

    start, end = windows.day_bounds(date(2010, 11, 7))

    assert start == utc("2010-11-07T02:30")
    assert windows.local_date(start + MINUTE) == date(2010, 11, 6)
    assert end - start == timedelta(hours=25)


# --- Holidays ---


@pytest.mark.parametrize(
    ("day", "poland", "germany", "bavaria"),
    [
        (date(2026, 1, 6), True, False, True),  # Epiphany
        (date(2026, 4, 3), False, True, True),  # Good Friday
        (date(2026, 5, 1), True, True, True),
        (date(2026, 6, 4), True, False, True),  # Corpus Christi
        (date(2026, 11, 11), True, False, False),  # National Independence Day
        (date(2026, 7, 1), False, False, False),
    ],
)
def test_no_mail_leaves_on_a_public_holiday_of_the_country(
    day: date, poland: bool, germany: bool, bavaria: bool
) -> None:
    noon = datetime.combine(day, time(12), WARSAW)

    closed = {code: not calendar(holidays_of=[code]).is_open(noon) for code in ("PL", "DE", "DE-BY")}

    assert closed == {"PL": poland, "DE": germany, "DE-BY": bavaria}
    assert calendar(holidays_of=["PL", "DE"]).is_open(noon) == (not (poland or germany))
    assert calendar().is_open(noon)


def test_a_holiday_lasts_as_long_as_its_local_date() -> None:
    windows = calendar(start="00:00", end="24:00", holidays_of=["PL"])

    assert windows.closing(warsaw("2026-11-10T12:00")) == warsaw("2026-11-11T00:00")
    assert windows.next_opening(warsaw("2026-11-11T00:00")) == warsaw("2026-11-12T00:00")


def test_a_closed_calendar_names_the_rule_that_binds() -> None:
    windows = calendar(weekdays=DAY_NAMES[:5], holidays_of=["DE-BY", "PL"])

    assert windows.closed_because(warsaw("2026-07-01T12:00")) is None
    assert windows.closed_because(warsaw("2026-07-01T15:00")) == Closed("window")
    assert windows.closed_because(warsaw("2026-07-04T12:00")) == Closed("weekday")
    assert windows.closed_because(warsaw("2026-11-11T12:00")) == Closed("holiday", "National Independence Day", "PL")
    assert windows.closed_because(warsaw("2026-01-06T05:00")) == Closed("holiday", "Epiphany", "DE-BY")
    assert windows.closed_because(warsaw("2026-08-15T12:00")) == Closed("weekday")  # Assumption Day, a Saturday


# --- What a person may set ---


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        pytest.param("zone", "Europe/Warszawa", "Did you mean Europe/Warsaw?", id="f44 unknown zone"),
        pytest.param("zone", "warszawa", "Did you mean Europe/Warsaw?", id="f44 city alone"),
        pytest.param("zone", "Mars/Olympus", "Use an IANA name such as Europe/Warsaw", id="f44 no zone near"),
        pytest.param("zone", "localtime", "there is no time zone 'localtime'", id="t15 zone of the server"),
        pytest.param("zone", "right/UTC", "there is no time zone 'right/UTC'", id="leap seconds"),
        pytest.param("zone", "../../etc/passwd", "there is no time zone", id="path as zone"),
        pytest.param("zone", "", "there is no time zone ''", id="no zone"),
        pytest.param("zone", "Europe", "there is no time zone 'Europe'", id="folder as zone"),
        pytest.param("zone", "a\0b", "there is no time zone", id="NUL in zone"),
        pytest.param("weekdays", ["PON"], "'PON' is not a weekday: use MON, TUE, WED", id="t13 Polish weekday"),
        pytest.param("weekdays", ["MON", "Monday"], "'Monday' is not a weekday", id="t13 long weekday"),
        pytest.param("weekdays", [1], "1 is not a weekday", id="t13 number as weekday"),
        pytest.param("weekdays", [], "nothing would ever be sent", id="f44 no weekday"),
        pytest.param("weekdays", "MON", "weekdays is a list", id="weekdays as text"),
        pytest.param("start", "24:00", "24:00 can only be the end of a window", id="f44 24:00 as start"),
        pytest.param("start", "25:00", "'25:00' is not a time of day", id="hour 25"),
        pytest.param("start", "9", "'9' is not a time of day: write it as HH:MM", id="hour alone"),
        pytest.param("start", 9, 'write it as "HH:MM", such as "09:00"', id="f44 hour as number"),
        pytest.param("start", -1, "-1 is not a minute of the day", id="negative start"),
        pytest.param("start", True, "True is not a time of day", id="truth as time"),
        pytest.param("start", time(9, 0, 30), "is not a time of day", id="seconds"),
        pytest.param("end", "12:60", "'12:60' is not a time of day", id="minute 60"),
        pytest.param("end", "24:01", "'24:01' is not a time of day", id="after the day"),
        pytest.param("end", 1441, "1441 is not a minute of the day", id="minute after the day"),
        pytest.param("end", "08:00", "start 09:00 is not before its end 08:00", id="f44 end before start"),
        pytest.param("end", "09:00", "start 09:00 is not before its end 09:00", id="f44 end at start"),
        pytest.param("end", "00:00", "a window lies within one day and may end at 24:00", id="f44 end at midnight"),
        pytest.param("holidays_of", ["XX"], "no holidays are known for the country 'XX'", id="unknown country"),
        pytest.param("holidays_of", ["Poland"], "such as PL", id="country by name"),
        pytest.param("holidays_of", ["DE-XX"], "'XX' is not a subdivision of DE: use one of", id="unknown part"),
        pytest.param("holidays_of", [""], "no holidays are known for the country ''", id="no country"),
        pytest.param("startHour", 0, "Extra inputs are not permitted", id="unknown setting"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused_with_its_field_and_the_way_out(
    field: str, value: object, says: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        Schedule(**{field: value})

    (error,) = refused.value.errors()
    assert error["loc"][0] == field
    assert says in error["msg"]


def test_f44_a_start_after_the_end_that_was_left_out_is_refused() -> None:
    with pytest.raises(ValidationError, match="start 15:00 is not before its end 15:00"):
        Schedule(start="15:00")


def test_an_unknown_zone_is_invalid_input_that_names_its_field() -> None:
    with pytest.raises(InvalidInput) as refused:
        zone_of("europe/warsaw")

    assert str(refused.value) == "zone: there is no time zone 'europe/warsaw'. Did you mean Europe/Warsaw?"


def test_a_schedule_is_kept_in_one_spelling() -> None:
    written = Schedule(weekdays=["sun", " mon ", "MON"], start=0, end=time(9, 5), holidays_of=["de-by", "PL", "pl"])

    assert written.weekdays == (Weekday.MON, Weekday.SUN)
    assert (written.start, written.end) == (minutes_of("00:00"), minutes_of("9:05"))
    assert written.holidays_of == ("DE-BY", "PL")


def test_equal_schedules_share_one_calendar() -> None:
    one, other = Schedule(weekdays=["MON", "TUE"]), Schedule(weekdays=["TUE", "MON"], start="9:00")

    assert calendar_of(one) is calendar_of(other)


def test_the_json_of_a_schedule_is_what_a_person_writes() -> None:
    schedule = Schedule(weekdays=["MON"], start="00:00", end="24:00", holidays_of=["PL"])

    assert schedule.model_dump(mode="json") == {
        "zone": "Europe/Warsaw",
        "weekdays": ["MON"],
        "start": "00:00",
        "end": "24:00",
        "holidays_of": ["PL"],
    }


NAIVE = datetime(2026, 7, 1, 12, 0)  # noqa: DTZ001 - refused, which is the point
QUESTIONS: dict[str, Callable[[SendingCalendar, datetime], object]] = {
    "is_open": SendingCalendar.is_open,
    "next_opening": SendingCalendar.next_opening,
    "closing": SendingCalendar.closing,
    "closed_because": SendingCalendar.closed_because,
    "local_date": SendingCalendar.local_date,
    "openings from": lambda windows, at: list(windows.openings(at, utc("2026-07-02T12:00"))),
    "openings until": lambda windows, at: list(windows.openings(utc("2026-06-30T12:00"), at)),
    "local_date_of": lambda _, at: local_date_of("Europe/Warsaw", at),
}


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS.keys())
def test_a_naive_datetime_is_refused(ask: Callable[[SendingCalendar, datetime], object]) -> None:
    with pytest.raises(ValueError, match="2026-07-01T12:00:00 names no time zone, so it is no instant"):
        ask(calendar(), NAIVE)


@pytest.mark.parametrize("year", [FIRST_YEAR - 1, LAST_YEAR + 1])
def test_a_year_that_can_only_be_a_typing_error_is_refused(year: int) -> None:
    with pytest.raises(ValueError, match=f"the year {year} is outside"):
        calendar().next_opening(datetime(year, 6, 1, tzinfo=UTC))
    with pytest.raises(ValueError, match=f"the year {year} is outside"):
        calendar().day_bounds(date(year, 6, 1))


@pytest.mark.parametrize("at", [datetime(FIRST_YEAR, 1, 1, tzinfo=UTC), datetime(LAST_YEAR, 12, 31, 23, tzinfo=UTC)])
def test_the_first_and_the_last_instant_allowed_have_a_next_opening(at: datetime) -> None:
    opening = calendar(holidays_of=["PL"]).next_opening(at)

    assert opening is not None
    assert opening >= at


# --- Properties, over all zones and 2020 to 2037 ---

FROM, UNTIL = datetime(2020, 1, 1, tzinfo=UTC), datetime(2037, 12, 31, tzinfo=UTC)
NOT_ZONES = {"localtime", "posixrules", "Factory"}  # files of the machine's zone database, refused as settings
ZONES = sorted(available_timezones() - NOT_ZONES)
COUNTRIES = ["PL", "DE", "DE-BY"]


def wall_is_open(schedule: Schedule, at: datetime) -> bool:
    """The rule, said once more without intervals: look at the wall clock there and then."""
    wall = at.astimezone(ZoneInfo(schedule.zone))
    return (
        schedule.start <= wall.hour * 60 + wall.minute < schedule.end
        and DAY_NAMES[wall.weekday()] in schedule.weekdays
        and not any(wall.date() in holidays_in(code) for code in schedule.holidays_of)
    )


def minutes_between(start: datetime, end: datetime, step: int = 1) -> Iterator[datetime]:
    at = start
    while at < end:
        yield at
        at += step * MINUTE


def openings_by_minute(schedule: Schedule, start: datetime, end: datetime) -> list[Interval]:
    """Exact for whole minutes; in these years every change of every zone falls on one."""
    readings = [(at, wall_is_open(schedule, at)) for at in minutes_between(start, end)]
    edges = [at for (_, before), (at, now) in pairwise([(start, False), *readings, (end, False)]) if before != now]
    return list(zip(edges[::2], edges[1::2], strict=True))


@cache
def holidays_in(code: str) -> frozenset[date]:
    country, _, part = code.partition("-")
    return frozenset(country_holidays(country, subdiv=part or None, years=range(2019, 2042), language="en_US"))


@cache
def clock_changes(zone: str) -> tuple[datetime, ...]:
    """The changes of a zone's offset, to the minute: a week whose ends differ is halved until one minute is left."""

    def offset(at: datetime) -> timedelta | None:
        return at.astimezone(ZoneInfo(zone)).utcoffset()

    def first_minute_after(before: datetime, after: datetime) -> datetime:
        while after - before > MINUTE:
            middle = before + (after - before) // MINUTE // 2 * MINUTE
            before, after = (middle, after) if offset(middle) == offset(before) else (before, middle)
        return after

    weeks = pairwise(minutes_between(FROM, UNTIL, step=7 * DAY // MINUTE))
    return tuple(first_minute_after(start, end) for start, end in weeks if offset(start) != offset(end))


clock_times = st.integers(0, 4 * 60) | st.integers(0, 24 * 60)  # most clocks change in the first hours of a day


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    start, end = sorted(draw(st.lists(clock_times, min_size=2, max_size=2, unique=True)))
    return Schedule(
        zone=draw(st.sampled_from(ZONES)),
        weekdays=draw(st.sets(st.sampled_from(DAY_NAMES), min_size=1) | st.just(set(DAY_NAMES))),
        start=clock_of(start),
        end=clock_of(end),
        holidays_of=draw(st.lists(st.sampled_from(COUNTRIES), max_size=2)),
    )


@st.composite
def instants(draw: st.DrawFn, zone: str) -> datetime:
    """Any instant of the years, or one within a day of a clock change of the zone."""
    near_a_change = draw(st.booleans())
    changes = clock_changes(zone)
    if changes and near_a_change:
        near = draw(st.integers(-24 * 60, 24 * 60)) * MINUTE + draw(st.sampled_from([-1, 0, 1])) * MICROSECOND
        return draw(st.sampled_from(changes)) + near
    naive = draw(st.datetimes(FROM.replace(tzinfo=None), UNTIL.replace(tzinfo=None)))
    return naive.replace(tzinfo=UTC)


@st.composite
def questions(draw: st.DrawFn) -> tuple[Schedule, datetime]:
    schedule = draw(schedules())
    return schedule, draw(instants(schedule.zone))


# A shared core may be slow for a moment: time is bounded by the number of examples, not by a deadline for each.
property_of = settings(max_examples=150, deadline=None)


@property_of
@given(questions())
def test_f40_is_open_and_closed_because_agree_with_the_wall_clock(question: tuple[Schedule, datetime]) -> None:
    schedule, at = question
    windows = calendar_of(schedule)

    for moment in minutes_between(at - DAY, at + DAY, step=7):
        assert windows.is_open(moment) == wall_is_open(schedule, moment), moment
        assert (windows.closed_because(moment) is None) == wall_is_open(schedule, moment), moment


@property_of
@given(questions())
def test_f40_openings_are_those_found_minute_by_minute(question: tuple[Schedule, datetime]) -> None:
    schedule, at = question
    start = at.replace(second=0, microsecond=0) - 30 * HOUR

    assert list(calendar_of(schedule).openings(start, start + 60 * HOUR)) == openings_by_minute(
        schedule, start, start + 60 * HOUR
    )


@property_of
@given(questions())
def test_f40_the_next_opening_is_open_not_in_the_past_and_the_first(question: tuple[Schedule, datetime]) -> None:
    schedule, at = question
    windows = calendar_of(schedule)

    opening = windows.next_opening(at)

    assert opening is not None
    assert opening >= at
    assert wall_is_open(schedule, opening)
    assert windows.next_opening(opening) == opening
    if opening > at:
        assert not wall_is_open(schedule, opening - MICROSECOND)
        sample = max(1, (opening - at) // MINUTE // 500)
        assert not any(wall_is_open(schedule, moment) for moment in minutes_between(at, opening, step=sample))
        assert list(windows.openings(at, opening)) == []


@property_of
@given(questions())
def test_closing_ends_the_opening_that_holds_the_instant(question: tuple[Schedule, datetime]) -> None:
    schedule, asked = question
    windows = calendar_of(schedule)
    at = windows.next_opening(asked)
    assert at is not None

    closing = windows.closing(at)

    assert closing is not None
    assert (windows.closing(asked) is not None) == wall_is_open(schedule, asked)
    assert closing == at + CLOSING_HORIZON or not wall_is_open(schedule, closing)
    assert wall_is_open(schedule, closing - MICROSECOND)
    sample = max(1, (closing - at) // MINUTE // 500)
    assert all(wall_is_open(schedule, moment) for moment in minutes_between(at, closing, step=sample))
    assert list(windows.openings(at, closing)) == [(at, closing)]


@property_of
@given(questions())
def test_t14_days_follow_one_another_and_agree_with_the_local_date(question: tuple[Schedule, datetime]) -> None:
    schedule, at = question
    windows = calendar_of(schedule)
    zone = ZoneInfo(schedule.zone)
    today = at.astimezone(zone).date()

    days = [today + n * DAY for n in (-1, 0, 1)]
    bounds = [windows.day_bounds(day) for day in days]

    assert all(before[1] == after[0] for before, after in pairwise(bounds))
    assert bounds[1][0] <= at < bounds[1][1]
    assert windows.local_date(at) == local_date_of(schedule.zone, at) == today
    for day, (start, end) in zip(days, bounds, strict=True):
        for moment in (*minutes_between(start, end, step=30), end - MICROSECOND):
            assert windows.local_date(moment) == moment.astimezone(zone).date() == day


def test_f40_every_clock_change_of_every_zone_opens_by_the_wall_clock() -> None:
    # Zones whose clocks change alike at one instant are one case: some 1,100 instead of 7,300.
    cases = {(change, *readings_at(zone, change)): zone for zone in ZONES for change in clock_changes(zone)}
    assert len(cases) > 500

    for (change, *readings), zone in cases.items():
        start, end = change - 80 * MINUTE, change + 80 * MINUTE
        for reading in readings:
            middle = min(max(reading.hour * 60 + reading.minute, 15), 24 * 60 - 15)
            schedule = Schedule(zone=zone, weekdays=DAY_NAMES, start=clock_of(middle - 15), end=clock_of(middle + 15))
            opens = list(SendingCalendar(schedule).openings(start, end))
            assert opens == openings_by_minute(schedule, start, end), (zone, change, reading)


def readings_at(zone: str, change: datetime) -> tuple[datetime, datetime]:
    """The wall clock in the minute before the change and in the minute that it starts."""
    before, after = ((change + shift).astimezone(ZoneInfo(zone)) for shift in (-MINUTE, timedelta()))
    return before.replace(tzinfo=None), after.replace(tzinfo=None)


@given(schedules())
def test_a_schedule_survives_json(schedule: Schedule) -> None:
    assert Schedule.model_validate_json(schedule.model_dump_json()) == schedule
