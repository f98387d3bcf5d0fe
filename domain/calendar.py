"""When a campaign may send: the schedule a person sets, and the calendar that answers for any instant.
A calendar is open at an instant iff the local wall clock there lies in the window, on an allowed weekday, no holiday.

That one rule settles both clock-change days: a wall-clock time that is skipped never opens, one that is repeated
opens both times. So a window of 02:15 to 02:45 on the autumn day in Warsaw is two intervals, and none in spring.

    calendar = calendar_of(Schedule(zone="Europe/Warsaw", weekdays=("MON", "TUE"), start="09:00", end="15:00"))
    calendar.is_open(now)            # may a mail leave now?
    calendar.next_opening(now)       # if not: when can it?
    calendar.closed_because(now)     # and why not yet?
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from difflib import get_close_matches
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from holidays import country_holidays, list_supported_countries
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    field_validator,
)

from domain.errors import InvalidInput

FIRST_YEAR, LAST_YEAR = 1900, 2999  # instants outside are typing errors, and near datetime.max sums overflow
OPENING_HORIZON = timedelta(days=3 * 366)  # nothing that ever opens stays closed for so long
CLOSING_HORIZON = timedelta(days=31)  # a window that stays open for longer is reported open until then
DAYS_KEPT = 64  # days of intervals kept per calendar: 1,000 calendars then hold about 20 MB
CALENDARS_KEPT = 2048
ZONE_DAYS_KEPT = 8192  # days of offsets, shared by all calendars of a zone
NAMES_KEPT = 1024  # zones and countries already checked
MINUTES_A_DAY = 24 * 60

Interval = tuple[datetime, datetime]
"""UTC instants, half-open: [first, second)."""

_NEVER: Interval = (datetime.max.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


class Weekday(StrEnum):
    """A day of the week, in the order of the week: `WEEK[day.weekday()]` is the weekday of a date."""

    MON = "MON"
    TUE = "TUE"
    WED = "WED"
    THU = "THU"
    FRI = "FRI"
    SAT = "SAT"
    SUN = "SUN"


WEEK = tuple(Weekday)


def minutes_of(value: object) -> int:
    """Minutes since local midnight, from "HH:MM", a `time` or minutes."""
    if isinstance(value, str) and (clock := re.fullmatch(r"([0-9]{1,2}):([0-9]{2})", value.strip())):
        return _minutes(int(clock[1]), int(clock[2]), value)
    if isinstance(value, time) and value.tzinfo is None and not (value.second or value.microsecond):
        return value.hour * 60 + value.minute
    if isinstance(value, int) and not isinstance(value, bool):
        return _plain_minutes(value)
    raise ValueError(f"{value!r} is not a time of day: write it as HH:MM, such as 09:00")


def clock_of(minutes: int) -> str:
    """The minutes since local midnight as "HH:MM"."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


LocalTime = Annotated[int, BeforeValidator(minutes_of), PlainSerializer(clock_of, return_type=str)]
"""A time of day: minutes since local midnight inside, "HH:MM" in JSON. 0 is midnight, 1440 (24:00) the day's end."""


def zone_of(name: str) -> ZoneInfo:
    """The time zone of this IANA name."""
    zone = _known_zone(name)
    if zone is None:
        raise InvalidInput(f"there is no time zone {name!r}.", mend=_zone_hint(name), field="zone")
    return zone


def local_date_of(zone: str, at: datetime) -> date:
    """The date on the wall in `zone` at this instant."""
    return _utc(at).astimezone(zone_of(zone)).date()


def _checked_zone(name: str) -> str:
    try:
        zone_of(name)
    except InvalidInput as unknown:
        raise ValueError(f"{unknown.problem} {unknown.mend}") from None
    return name


def _checked_weekdays(value: object) -> tuple[Weekday, ...]:
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise ValueError(f'weekdays is a list, such as ["MON", "TUE"], not {value!r}')
    days = {_weekday(name) for name in value}
    if not days:
        raise ValueError(f"no weekday is given, so nothing would ever be sent: name some of {', '.join(WEEK)}")
    return tuple(day for day in WEEK if day in days)


def _checked_countries(codes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_country_code(code) for code in codes))


class Schedule(BaseModel):
    """When a campaign may send, as a person sets it. Holidays are the public ones of the named countries."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    zone: Annotated[str, AfterValidator(_checked_zone)] = "Europe/Warsaw"
    weekdays: Annotated[tuple[Weekday, ...], BeforeValidator(_checked_weekdays)] = WEEK[:5]
    start: LocalTime = 9 * 60
    end: LocalTime = Field(default=15 * 60, validate_default=True)
    holidays_of: Annotated[tuple[str, ...], AfterValidator(_checked_countries)] = ()

    @field_validator("start")
    @classmethod
    def _starts_within_the_day(cls, start: int) -> int:
        if start == MINUTES_A_DAY:
            raise ValueError("24:00 can only be the end of a window: write 00:00 to start at midnight")
        return start

    @field_validator("end")
    @classmethod
    def _ends_after_the_start(cls, end: int, others: ValidationInfo) -> int:
        start = others.data.get("start")
        if start is not None and start >= end:
            raise ValueError(
                f"the window would never open: its start {clock_of(start)} is not before its end {clock_of(end)};"
                " a window lies within one day and may end at 24:00"
            )
        return end


@dataclass(frozen=True, slots=True)
class Closed:
    """The rule that keeps a calendar closed; on a holiday also its name and the country code it comes from."""

    rule: Literal["weekday", "holiday", "window"]
    holiday: str | None = None
    country: str | None = None


@lru_cache(maxsize=CALENDARS_KEPT)
def calendar_of(schedule: Schedule) -> SendingCalendar:
    """The calendar of this schedule; equal schedules share one, and with it the days already worked out."""
    return SendingCalendar(schedule)


class SendingCalendar:
    """Answers for any instant from the open intervals of its UTC day.

    Days are cut in UTC, not local, because UTC days follow one another in every zone: local dates can be skipped
    (Apia, 2011-12-30) or come back after their end (St John's until 2011, from 00:01 to 23:01 of the day before).
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self._zone = zone_of(schedule.zone)
        self._weekdays = frozenset(WEEK.index(day) for day in schedule.weekdays)
        self._start = timedelta(minutes=schedule.start)
        self._end = timedelta(minutes=schedule.end)
        self._intervals = lru_cache(maxsize=DAYS_KEPT)(self._work_out)
        self._open = _NEVER  # where it was open when last asked: the next mail leaves there too

    def is_open(self, at: datetime) -> bool:
        """May a mail leave at this instant?"""
        at = _utc(at)
        opens, closes = self._open
        if opens <= at < closes:
            return True
        for opens, closes in self._intervals(at.date()):
            if opens <= at < closes:
                self._open = opens, closes
                return True
        return False

    def next_opening(self, at: datetime) -> datetime | None:
        """`at` itself when open, else the first later instant that is; None when the horizon holds none."""
        at = _utc(at)
        first = next(self._pieces(at, at + OPENING_HORIZON), None)
        return first and first[0]

    def closing(self, at: datetime) -> datetime | None:
        """The first instant from `at` on that is closed, None when `at` is closed already.

        Open for longer than CLOSING_HORIZON (all day, every day) answers `at` + CLOSING_HORIZON.
        """
        if not self.is_open(at):
            return None
        at = _utc(at)
        return next(_merged(self._pieces(at, at + CLOSING_HORIZON)))[1]

    def closed_because(self, at: datetime) -> Closed | None:
        """The rule that keeps the calendar closed at this instant; None when it is open."""
        if self.is_open(at):
            return None
        today = self.local_date(at)
        if today.weekday() not in self._weekdays:
            return Closed("weekday")
        return self._holiday(today) or Closed("window")

    def local_date(self, at: datetime) -> date:
        """The date on the wall in the schedule's zone at this instant."""
        return _utc(at).astimezone(self._zone).date()

    def day_bounds(self, day: date) -> Interval:
        """The UTC instants [start, end) of a local date: 23, 24 or 25 hours; empty for a date the zone skipped.

        A day starts when its date, or a later one, is first on the wall; so days follow one another without a gap.
        """
        _refuse_year(day.year)
        return _start_of(self._zone, day), _start_of(self._zone, day + timedelta(days=1))

    def openings(self, start: datetime, end: datetime) -> Iterator[Interval]:
        """Every open interval of [start, end), cut to it; those that touch are one."""
        return _merged(self._pieces(_utc(start), _utc(end)))

    def _pieces(self, start: datetime, end: datetime) -> Iterator[Interval]:
        """The openings of [start, end), still cut at UTC midnight, so that the first costs no look beyond it."""
        first = start.date()
        for n in range((end.date() - first).days + 1):
            for opening in self._intervals(first + timedelta(days=n)):
                opens, closes = max(opening[0], start), min(opening[1], end)
                if opens < closes:
                    yield opens, closes

    def _work_out(self, day: date) -> tuple[Interval, ...]:
        """The open intervals of one UTC day. No offset reaches 24 hours, so three local dates can touch it."""
        dates = [touched for n in (-1, 0, 1) if self._sends_on(touched := day + timedelta(days=n))]
        if not dates:
            return ()
        return tuple(_merged(self._windows(dates, _offsets(self._zone, day))))

    def _windows(self, dates: Iterable[date], offsets: Iterable[_Offset]) -> Iterator[Interval]:
        """Where the window of a date meets a stretch of one offset, the wall clock runs evenly: exact, no search."""
        for start, end, offset in offsets:
            for day in dates:
                midnight = _midnight(day) - offset
                opens, closes = max(start, midnight + self._start), min(end, midnight + self._end)
                if opens < closes:
                    yield opens, closes

    def _sends_on(self, day: date) -> bool:
        return day.weekday() in self._weekdays and self._holiday(day) is None

    def _holiday(self, day: date) -> Closed | None:
        for country in self.schedule.holidays_of:
            if name := _holidays(country, day.year).get(day):
                return Closed("holiday", name, country)
        return None


_Offset = tuple[datetime, datetime, timedelta]
"""A stretch of time, half-open in UTC, and what the wall clock adds to UTC in it."""


@lru_cache(maxsize=ZONE_DAYS_KEPT)
def _offsets(zone: ZoneInfo, day: date) -> tuple[_Offset, ...]:
    """The stretches of constant offset of one UTC day.

    One change at most is looked for: in the whole zone database no two changes of a zone are less than
    95 hours apart (Africa/Freetown in 1939), so a day whose first and last second agree has none.
    """
    start = _midnight(day)
    end = start + timedelta(days=1)
    before, after = _offset(zone, start), _offset(zone, end - timedelta(seconds=1))
    if before == after:
        return ((start, end, before),)
    seconds = range(24 * 60 * 60)
    changed = bisect_left(seconds, True, key=lambda s: _offset(zone, start + timedelta(seconds=s)) != before)
    change = start + timedelta(seconds=changed)
    return (start, change, before), (change, end, after)


@lru_cache(maxsize=ZONE_DAYS_KEPT)
def _start_of(zone: ZoneInfo, day: date) -> datetime:
    """The first instant at which this date or a later one is on the wall: within 24 hours of its UTC midnight."""
    midnight = _midnight(day)
    offsets = (*_offsets(zone, day - timedelta(days=1)), *_offsets(zone, day))
    return next(max(start, midnight - offset) for start, end, offset in offsets if midnight - offset < end)


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta()


def _midnight(day: date) -> datetime:
    """00:00 UTC of the date; minus an offset, 00:00 on a wall clock with that offset."""
    return datetime.combine(day, time(), UTC)


def _merged(intervals: Iterable[Interval]) -> Iterator[Interval]:
    """The intervals, given in order, with those that touch joined."""
    pending: Interval | None = None
    for opens, closes in intervals:
        if pending and pending[1] == opens:
            pending = (pending[0], closes)
            continue
        if pending:
            yield pending
        pending = (opens, closes)
    if pending:
        yield pending


def _utc(at: datetime) -> datetime:
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        _refuse_year(at.year)
    if at.tzinfo is UTC:
        return at
    if at.utcoffset() is None:
        raise ValueError(f"{at.isoformat()} names no time zone, so it is no instant: give an aware datetime")
    return at.astimezone(UTC)


def _refuse_year(year: int) -> None:
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise ValueError(f"the year {year} is outside {FIRST_YEAR} to {LAST_YEAR}: check the date")


@lru_cache(maxsize=NAMES_KEPT)
def _holidays(code: str, year: int) -> Mapping[date, str]:
    """The public holidays of one year, by date, with English names where the library has them.

    Filled here and never again: the library's own growing dictionary marks a year as known before it has filled
    it, so a second thread would find no holiday and send. And without a language it would ask the environment.
    """
    country, _, subdivision = code.partition("-")
    return dict(country_holidays(country, subdiv=subdivision or None, years=year, expand=False, language="en_US"))


@lru_cache(maxsize=NAMES_KEPT)
def _known_zone(name: str) -> ZoneInfo | None:
    # "localtime" is this machine's zone, "right/" counts leap seconds: neither is the same everywhere.
    if name in {"localtime", "posixrules", "Factory"} or name.startswith(("posix/", "right/")):
        return None
    try:
        return ZoneInfo(name)
    except (
        ZoneInfoNotFoundError,
        ValueError,
        OSError,
    ):  # unknown; not a name or not a zone file; a directory
        return None


def _zone_hint(name: str) -> str:
    """Compares with the whole name and with its city: "warszawa" is close to "warsaw", not to "europe/warsaw"."""
    wanted = name.lower()
    zones = sorted(zone for zone in available_timezones() if _known_zone(zone))
    spoken = {zone.lower().rpartition("/")[2]: zone for zone in zones} | {zone.lower(): zone for zone in zones}
    near = get_close_matches(wanted, spoken, n=1) or get_close_matches(wanted.rpartition("/")[2], spoken, n=1)
    return f"Did you mean {spoken[near[0]]}?" if near else "Use an IANA name such as Europe/Warsaw."


def _weekday(name: object) -> Weekday:
    try:
        return Weekday(str(name).strip().upper())
    except ValueError:
        raise ValueError(f"{name!r} is not a weekday: use {', '.join(WEEK)}") from None


@lru_cache(maxsize=NAMES_KEPT)
def _country_code(code: str) -> str:
    """The code as the `holidays` library spells it: "pl" is PL, "de-by" is DE-BY."""
    country, dash, wanted = code.strip().partition("-")
    country = country.upper()
    subdivisions = _subdivisions(country)
    if subdivisions is None:
        raise ValueError(f"no holidays are known for the country {code!r}: {_country_hint(country)}")
    if not dash:
        return country
    for subdivision in subdivisions:
        if subdivision.lower() == wanted.lower():
            return f"{country}-{subdivision}"
    choice = f"use one of {', '.join(subdivisions)}" if subdivisions else "it has none"
    raise ValueError(f"{wanted!r} is not a subdivision of {country}: {choice}, or {country} alone")


def _subdivisions(country: str) -> tuple[str, ...] | None:
    """The subdivisions of a country, None if unknown. The pattern matters: the library looks up any name it has."""
    if not re.fullmatch("[A-Z]{2}", country):
        return None
    try:
        return tuple(country_holidays(country).subdivisions)
    except NotImplementedError:
        return None


def _country_hint(country: str) -> str:
    near = get_close_matches(country, list_supported_countries(include_aliases=False), cutoff=0.5)
    choice = f", perhaps {' or '.join(near)}" if near else ""
    return f"use a two-letter ISO 3166 code such as PL{choice}, or DE-BY for a part of a country"


def _plain_minutes(value: int) -> int:
    """Minutes as a number. 1 to 24 are refused: `start = 9` means nine o'clock, and would open at 00:09."""
    if 1 <= value <= 24:
        raise ValueError(f'{value} could be hours or minutes: write it as "HH:MM", such as "{value:02}:00"')
    if not 0 <= value <= MINUTES_A_DAY:
        raise ValueError(f"{value} is not a minute of the day (0 to {MINUTES_A_DAY}): write it as HH:MM")
    return value


def _minutes(hours: int, minutes: int, text: str) -> int:
    total = hours * 60 + minutes
    if minutes >= 60 or total > MINUTES_A_DAY:
        raise ValueError(f"{text!r} is not a time of day: hours go from 00 to 23, minutes to 59; 24:00 is the end")
    return total
