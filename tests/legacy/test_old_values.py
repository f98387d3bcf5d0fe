"""Given a value in the old database that cannot be used, when it is read, then table, row and column are named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import column, table, update
from sqlalchemy.engine import URL

from domain.errors import InvalidInput
from projections.database import sqlite_url
from runner.legacy.old_database import open_old_database
from runner.legacy.values import EARLIEST, LATEST, countries, flag, instant, weekdays
from tests.databases import on_sqlite
from tests.legacy.old_sample import Place, Sample
from tests.legacy.old_schema import iso, iso_z, ms, old_connection
from tests.legacy.old_system import build, fill

ZIMA = 2
ROWS = {"Campaign": ZIMA, "Lead": 9, "CampaignLead": 509, "SendLog": 705, "CampaignEmailQueue": 902, "Mailbox": 1}
"""A row of each table, of the second campaign."""

ON_EACH_ENGINE: list[tuple[str, str, Any, str]] = [
    ("Campaign", "status", "RUNNING", "a value that nobody knows. Write one of DRAFT, SCHEDULED"),
    ("Campaign", "allowedDays", "PON,WT,ŚR", "names a day that the old application never meets"),
    ("Campaign", "startHour", 25, "is no whole number from 0 to 23"),
    ("Campaign", "endHour", 9, "the window from 09:00 to 09:00 never opens"),
    ("Campaign", "delayBetweenEmails", -1, "is no whole number from 0 to 604800"),
    ("Campaign", "createdAt", None, "is null"),
    ("Lead", "email", None, "is null"),
    ("CampaignLead", "leadId", 12_345, "there is no Lead 12345"),
    ("CampaignLead", "status", "SENT", "Write one of planned, queued, sending, sent, failed, replied"),
    ("SendLog", "createdAt", None, "is null"),
    ("CampaignEmailQueue", "scheduledAt", None, "is null"),
]
ON_SQLITE: list[tuple[str, str, Any, str]] = [
    ("Campaign", "status", "in_progress", "a value that nobody knows"),
    ("Campaign", "name", " ", "is empty"),
    ("Campaign", "name", None, "is null"),
    ("Campaign", "allowedDays", "mon", "Write some of MON,TUE,WED,THU,FRI,SAT,SUN"),
    ("Campaign", "allowedDays", "", "is empty"),
    ("Campaign", "startHour", 24, "is no whole number from 0 to 23"),
    ("Campaign", "startHour", None, "is null"),
    ("Campaign", "startMinute", 60, "is no whole number from 0 to 59"),
    ("Campaign", "endHour", -1, "is no whole number from 0 to 24"),
    ("Campaign", "maxEmailsPerDay", 0, "is no whole number from 1 to 1000000"),
    ("Campaign", "respectHolidays", None, "is null"),
    ("Campaign", "targetCountries", "Polska", "holds what is no code of a country"),
    ("Lead", "email", "", "is empty"),
    ("Lead", "isBlocked", None, "is null"),
    ("CampaignLead", "leadId", -1, "is no whole number from 1 on"),
    ("CampaignLead", "priority", None, "is null"),
    ("SendLog", "status", "ok", "Write one of queued, sent, error"),
    ("SendLog", "toEmail", None, "is null"),
    ("SendLog", "leadId", 0, "is no whole number from 1 on"),
    ("CampaignEmailQueue", "status", "done", "Write one of pending, sending, sent, failed, cancelled"),
    ("CampaignEmailQueue", "campaignLeadId", None, "is null"),
    ("Mailbox", "smtpPort", 70_000, "is no whole number from 1 to 65535"),
    ("Campaign", "scheduledAt", "jutro", "is no time that can be read. Write milliseconds since 1970"),
    ("Campaign", "createdAt", "2025-02-30 10:00:00", "is no date of the calendar"),
    ("Campaign", "createdAt", "2025-11-04T14:31:32+01:00", "is no time that can be read"),
    ("Campaign", "createdAt", 1_762_266_692, "is no time between the years 2000 and 2999"),
    ("Campaign", "createdAt", 10**18, "is no time that can be read"),
    ("Campaign", "createdAt", 1.5, "is no time that can be read"),
    ("Campaign", "useV2", 2, "is neither true nor false"),
    ("Campaign", "useV2", "tak", "is neither true nor false"),
    ("Campaign", "delayBetweenEmails", 1.5, "is no whole number"),
    ("Campaign", "endMinute", "pół", "is no whole number"),
    ("Lead", "firstName", b"J\xf3zef", "is no text"),
    ("CampaignLead", "leadId", "abc", "is no whole number from 1 on"),
    ("CampaignLead", "sentAt", "wczoraj", "is no time that can be read"),
    ("SendLog", "leadId", "abc", "is no whole number from 1 on"),
    ("SendLog", "createdAt", "", "is no time that can be read"),
]


def read_all(url: URL) -> None:
    with open_old_database(url) as old:
        old.campaigns()
        for rows in (old.leads(ZIMA), old.sends(ZIMA), old.queue(ZIMA)):
            list(rows)
        old.mailboxes()


@contextmanager
def spoilt(url: URL, name: str, key: int, at: str, value: Any) -> Iterator[None]:
    """A value in a row, as long as the block runs."""
    rows = table(name, column("id"), column(at))
    this = rows.select().where(rows.c.id == key)
    with old_connection(url) as connection:
        before = connection.execute(this).one()[1]
        connection.execute(update(rows).where(rows.c.id == key).values({at: value}))
    yield
    with old_connection(url) as connection:
        connection.execute(update(rows).where(rows.c.id == key).values({at: before}))


def refusal(url: URL, name: str, at: str, value: Any) -> InvalidInput:
    with spoilt(url, name, ROWS[name], at, value), pytest.raises(InvalidInput) as told:
        read_all(url)
    return told.value


def test_each_value_that_cannot_be_used_is_named_with_its_row(old_url: URL) -> None:
    build(old_url, loose=True)
    for name, at, value, words in ON_EACH_ENGINE:
        told = refusal(old_url, name, at, value)
        assert told.field == f"{name} {ROWS[name]}, {at}"
        assert words in str(told)
        assert told.source
        assert told.mend
    read_all(old_url)


@on_sqlite
def test_so_is_each_of_many_on_sqlite_which_holds_anything(old_url: URL) -> None:
    build(old_url, loose=True)
    for name, at, value, words in ON_SQLITE:
        told = refusal(old_url, name, at, value)
        assert told.field == f"{name} {ROWS[name]}, {at}"
        assert words in str(told)
        assert not isinstance(value, str) or len(value) < 3 or value not in told.problem
    read_all(old_url)


@on_sqlite
def test_a_key_that_is_no_number_is_named_without_being_quoted(old_url: URL) -> None:
    build(old_url, loose=True)
    with old_connection(old_url) as connection:
        connection.exec_driver_sql('CREATE TABLE other AS SELECT * FROM "SendLog"')
        connection.exec_driver_sql('DROP TABLE "SendLog"')
        connection.exec_driver_sql('ALTER TABLE other RENAME TO "SendLog"')
        connection.exec_driver_sql("UPDATE \"SendLog\" SET id = 'anna@firma.example' WHERE id = 705")
    with pytest.raises(InvalidInput, match="SendLog, id: is no whole number from 1 on") as told:
        read_all(old_url)
    assert "anna" not in str(told.value)


@on_sqlite
def test_text_that_is_not_utf_8_is_named_without_being_quoted(old_url: URL) -> None:
    build(old_url, loose=True)
    with old_connection(old_url) as connection:
        connection.exec_driver_sql('UPDATE "Lead" SET "firstName" = CAST(x\'4AF37A6566\' AS TEXT) WHERE id = 9')
    with pytest.raises(InvalidInput, match="Lead 9, firstName: is not UTF-8") as told:
        read_all(old_url)
    assert "zef" not in str(told.value)


@on_sqlite
def test_a_bad_campaign_does_not_keep_others_from_being_read(old_url: URL) -> None:
    build(old_url, loose=True)
    with spoilt(old_url, "Campaign", 1, "allowedDays", "PON"), open_old_database(old_url) as old:
        assert [each.name for each in old.campaigns(ZIMA, 3)] == ["Zima", "Targi"]


SECOND = timedelta(seconds=1)
WRITTEN = [lambda at: at, iso, iso_z]
INSTANTS = st.integers(0, 10 * 365 * 86_400).map(lambda after: datetime(2020, 1, 1, tzinfo=UTC) + after * SECOND)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(INSTANTS, st.sampled_from(WRITTEN)), min_size=2, max_size=12))
def test_rows_are_in_order_however_their_times_are_written(
    tmp_path_factory: pytest.TempPathFactory, made: list[tuple[datetime, Any]]
) -> None:
    url = sqlite_url(tmp_path_factory.mktemp("old") / "old.db")
    sample = Sample(made[0][0])
    campaign = sample.campaign("Zima", "IN_PROGRESS")
    for at, written in made:
        sample.lead(campaign, "queued", Place.CLEAN_WAITING, created_at=written(at))
    fill(url, sample)
    with open_old_database(url) as old:
        leads = list(old.leads(campaign))
    assert [(lead.created_at, lead.lead_id) for lead in leads] == sorted((at, n) for n, (at, _) in enumerate(made, 1))


@given(st.datetimes(EARLIEST.replace(tzinfo=None), LATEST.replace(tzinfo=None)))
def test_a_time_is_the_same_in_each_form(naive: datetime) -> None:
    at = naive.replace(microsecond=naive.microsecond // 1000 * 1000, tzinfo=UTC)
    second = at.replace(microsecond=0)
    assert instant(ms(at)) == instant(iso_z(at)) == instant(at.replace(tzinfo=None)) == instant(at) == at
    assert instant(iso(at)) == instant(f"{iso(at)}+00:00") == second
    assert instant(at).utcoffset() == timedelta(0)


def test_lists_may_have_blanks_and_repeat_themselves() -> None:
    assert weekdays(" FRI, MON,FRI") == ("MON", "FRI")
    assert countries("PL, DE,PL") == ("PL", "DE")
    assert countries(None) == countries("") == ()
    assert (flag(1), flag(False)) == (True, False)
