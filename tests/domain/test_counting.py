"""Mails by local date: both clock-change days, zones with odd offsets, a zone that is changed, a clock that jumps."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.counting import QUARTERS_KEPT, MailCount, local_day

ZONES = ["Europe/Warsaw", "UTC", "Asia/Kathmandu", "Pacific/Chatham", "America/St_Johns", "Pacific/Kiritimati"]


@pytest.mark.parametrize(("day", "hours"), [(date(2025, 3, 30), 23), (date(2025, 10, 26), 25), (date(2025, 6, 1), 24)])
def test_a_local_day_in_warsaw_has_23_24_or_25_hours(day: date, hours: int) -> None:
    start, end = local_day(datetime(day.year, day.month, day.day, 12, tzinfo=UTC), "Europe/Warsaw")
    assert end - start == timedelta(hours=hours)
    assert start.astimezone(ZoneInfo("Europe/Warsaw")).isoformat().startswith(f"{day}T00:00:00")


@pytest.mark.parametrize("day", [date(2025, 3, 30), date(2025, 10, 26)])
def test_each_mail_of_a_clock_change_day_counts_on_that_day_and_no_other(day: date) -> None:
    start, end = local_day(datetime(day.year, day.month, day.day, 12, tzinfo=UTC), "Europe/Warsaw")
    second = timedelta(seconds=1)
    count = MailCount()
    for at in (start - second, start, end - second, end):
        count.add(at)
    assert [count.on_date_of(at, "Europe/Warsaw") for at in (start - second, start, end - second, end)] == [1, 2, 2, 1]


@given(
    st.lists(st.integers(0, 3 * 24 * 3600), max_size=30),
    st.integers(0, 3 * 24 * 3600),
    st.sampled_from(ZONES),
    st.sampled_from([datetime(2025, 3, 28, tzinfo=UTC), datetime(2025, 10, 24, tzinfo=UTC)]),
)
def test_the_count_is_that_of_the_wall_clocks_date_in_whatever_zone_is_asked(
    seconds: list[int], asked: int, zone: str, start: datetime
) -> None:
    count, mails = MailCount(), [start + timedelta(seconds=after) for after in sorted(seconds)]
    for at in mails:
        count.add(at)
    at, wall = start + timedelta(seconds=asked), ZoneInfo(zone)
    assert count.on_date_of(at, zone) == sum(m.astimezone(wall).date() == at.astimezone(wall).date() for m in mails)


def test_mails_of_long_ago_are_forgotten_so_the_count_stays_small() -> None:
    count, at = MailCount(), datetime(2025, 1, 1, tzinfo=UTC)
    for _ in range(3 * QUARTERS_KEPT):
        count.add(at)
        at += timedelta(minutes=15)
    assert len(count.quarters()) == QUARTERS_KEPT
    assert count.on_date_of(at - timedelta(minutes=15), "UTC") == 96


def test_f42_a_clock_that_jumped_a_month_ahead_and_back_forgets_no_mail_of_today() -> None:
    count, today = MailCount(), datetime(2025, 3, 4, 11, tzinfo=UTC)
    count.add(today)
    count.add(today + timedelta(days=30))
    assert count.on_date_of(today, "Europe/Warsaw") == 1


def test_a_count_survives_being_kept() -> None:
    count = MailCount()
    count.add(datetime(2025, 3, 4, 11, tzinfo=UTC))
    assert MailCount(count.quarters()).on_date_of(datetime(2025, 3, 4, 22, tzinfo=UTC), "UTC") == 1
