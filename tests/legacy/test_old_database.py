"""Given the old application's database, when it is read, then row by row as it stands there."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime
from typing import Any, get_args

import psycopg
import pytest
from sqlalchemy.engine import URL

from domain.calendar import WEEK
from domain.errors import InvalidInput
from runner.legacy.old_database import open_old_database
from runner.store.postgres import connection_string
from tests.databases import on_postgresql, on_sqlite
from tests.legacy.old_sample import Place, Sample
from tests.legacy.old_schema import Moment, Times
from tests.legacy.old_system import build, build_large


def utc(at: Moment | None) -> datetime | None:
    if isinstance(at, str):
        return datetime.fromisoformat(at).replace(tzinfo=UTC)
    return at


def in_order(sample: Sample, table: str, campaign: int) -> list[dict[str, Any]]:
    """The rows of a campaign by the time at which they were made."""
    rows = [row for row in sample.rows[table] if row["campaignId"] == campaign]
    return sorted(rows, key=lambda row: (utc(row["createdAt"]), row["id"]))


def test_the_campaigns_are_read_as_they_stand(old_url: URL) -> None:
    sample = build(old_url)
    with open_old_database(old_url) as old:
        campaigns = old.campaigns()
        [zima] = old.campaigns(sample.campaigns["Zima"])
    assert [(each.number, each.name) for each in campaigns] == [(n, name) for name, n in sample.campaigns.items()]
    by_name = {each.name: each for each in campaigns}
    assert {name: each.status for name, each in by_name.items()} == {
        "Jesień": "COMPLETED",
        "Zima": "IN_PROGRESS",
        "Targi": "IN_PROGRESS",
        "Wiosna": "PAUSED",
        "Szkic": "DRAFT",
        "Lato": "SCHEDULED",
        "Odwołana": "CANCELLED",
    }
    assert zima == by_name["Zima"]
    assert (zima.delay_s, zima.daily_limit, zima.weekdays) == (90, 500, WEEK[:5])
    assert (zima.start, zima.end, zima.respect_holidays, zima.countries) == ("09:00", "15:00", True, ("PL",))
    assert (zima.started_at, zima.completed_at, zima.created_at) == (sample.ago(9), None, sample.ago(30))
    lato, wiosna, szkic, targi = (by_name[name] for name in ("Lato", "Wiosna", "Szkic", "Targi"))
    assert (lato.start, lato.end, lato.delay_s, lato.scheduled_at) == ("08:30", "16:45", 0, sample.ago(-3))
    assert (wiosna.start, wiosna.end, wiosna.use_v2, zima.use_v2) == ("00:00", "24:00", True, False)
    assert (szkic.subject, szkic.text, szkic.countries, szkic.respect_holidays) == ("", "", (), False)
    assert (targi.daily_limit, targi.weekdays, targi.countries) == (3, WEEK[:3], ("PL", "DE"))


def test_the_leads_are_read_in_the_order_in_which_they_came(old_url: URL) -> None:
    sample = build(old_url)
    zima = sample.campaigns["Zima"]
    with open_old_database(old_url) as old:
        leads = list(old.leads(zima))
    rows = in_order(sample, "CampaignLead", zima)
    places = sample.leads[zima]
    assert [lead.lead_id for lead in leads[:2]] == [*places[Place.TIME_AS_TEXT], *places[Place.TIME_AS_TEXT_Z]]
    assert [
        (lead.row_id, lead.lead_id, lead.v1_status, lead.priority, lead.sent_at, lead.created_at) for lead in leads
    ] == [
        (row["id"], row["leadId"], row["status"], row["priority"], utc(row["sentAt"]), utc(row["createdAt"]))
        for row in rows
    ]
    assert [lead.address for lead in leads] == [sample.address(row["leadId"]) for row in rows]
    assert [lead.lead_id for lead in leads if lead.is_blocked] == places[Place.BLOCKED]
    nothing_known = [lead.lead_id for lead in leads if not any(lead.fields.values())]
    assert nothing_known == [places[Place.CLEAN_WAITING][-1]]
    assert leads[2].fields == {
        "firstName": "Łucja",
        "lastName": "Żuraw",
        "company": "Młyn 6",
        "language": "pl",
        "greetingForm": "Dzień dobry",
    }


def test_the_sends_are_read_in_the_order_in_which_they_were_written_down(old_url: URL) -> None:
    sample = build(old_url)
    zima = sample.campaigns["Zima"]
    with open_old_database(old_url) as old:
        sends = list(old.sends(zima))
    assert [
        (send.row_id, send.lead_id, send.address, send.message_id, send.status, send.has_error, send.created_at)
        for send in sends
    ] == [
        (
            row["id"],
            row["leadId"],
            row["toEmail"],
            row["messageId"],
            row["status"],
            row["error"] is not None,
            utc(row["createdAt"]),
        )
        for row in in_order(sample, "SendLog", zima)
    ]


def test_the_queue_and_the_mailboxes_are_read(old_url: URL) -> None:
    sample = build(old_url)
    zima = sample.campaigns["Zima"]
    with open_old_database(old_url) as old:
        queue, mailboxes, counts = list(old.queue(zima)), old.mailboxes(), old.counts(zima)
    assert [tuple(row) for row in queue] == [
        (row["id"], row["campaignLeadId"], row["status"], utc(row["scheduledAt"]), utc(row["sentAt"]))
        for row in sample.rows["CampaignEmailQueue"]
        if row["campaignId"] == zima
    ]
    assert [row.row_id for row in queue if row.campaign_lead_row_id == 9_999] == sample.leads[zima][
        Place.UNKNOWN_IN_QUEUE
    ]
    sales, office = mailboxes
    server = ("smtp.nadawca.example", 587, "anna@nadawca.example")
    assert (sales.id, sales.address, sales.display_name) == (1, "anna@nadawca.example", "Anna Łęcka")
    assert (sales.host, sales.port, sales.user) == server
    assert (sales.secure, sales.daily_limit, sales.is_active) == (False, 50, True)
    assert (office.display_name, office.port, office.secure, office.is_active) == ("", 465, True, False)
    assert counts == (len(sample.rows["CampaignLead"]) - 18, len(in_order(sample, "SendLog", zima)), len(queue))


@on_postgresql
@pytest.mark.parametrize("times", get_args(Times))
def test_times_are_the_same_in_columns_of_all_kinds(old_url: URL, times: Times) -> None:
    sample = build(old_url, times=times)
    zima = sample.campaigns["Zima"]
    with open_old_database(old_url) as old:
        sends, leads = list(old.sends(zima)), list(old.leads(zima))
    expected = [(row["id"], utc(row["createdAt"])) for row in in_order(sample, "SendLog", zima)]
    assert [(send.row_id, send.created_at) for send in sends] == expected
    assert [lead.row_id for lead in leads] == [row["id"] for row in in_order(sample, "CampaignLead", zima)]


@on_sqlite
def test_rows_are_read_in_bounded_memory(old_url: URL) -> None:
    campaign = build_large(old_url, 5_000, waiting=10)
    with open_old_database(old_url) as old:
        tracemalloc.start()
        rows = sum(1 for _ in old.sends(campaign)) + sum(1 for _ in old.leads(campaign))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert rows == 9_990
    assert most < 3_500_000  # all leads at once are 5 MB, and grow with their number


# --- what may be missing ---


def test_missing_columns_have_the_old_applications_defaults(old_url: URL) -> None:
    settings = ("delayBetweenEmails", "maxEmailsPerDay", "allowedDays", "respectHolidays", "useV2")
    window = ("startHour", "startMinute", "endHour", "endMinute")
    without = {f"Campaign.{name}" for name in (*settings, *window)}
    sample = build(old_url, without=without | {"CampaignLead.priority", "Mailbox.dailyEmailLimit"})
    with open_old_database(old_url) as old:
        campaigns, mailboxes = old.campaigns(), old.mailboxes()
        priorities = {lead.priority for lead in old.leads(sample.campaigns["Zima"])}
    assert {(each.delay_s, each.daily_limit, each.weekdays) for each in campaigns} == {(90, 500, WEEK[:5])}
    assert {(each.start, each.end) for each in campaigns} == {("09:00", "15:00")}
    assert {(each.respect_holidays, each.use_v2) for each in campaigns} == {(True, False)}
    assert priorities == {999}
    assert {each.daily_limit for each in mailboxes} == {50}


def test_without_queue_and_mailboxes_there_are_none(old_url: URL) -> None:
    sample = build(old_url, without={"CampaignEmailQueue", "Mailbox"})
    zima = sample.campaigns["Zima"]
    with open_old_database(old_url) as old:
        assert (list(old.queue(zima)), old.mailboxes(), old.counts(zima).queue) == ([], [], 0)
        assert list(old.leads(zima))


def test_all_that_is_missing_is_named(old_url: URL) -> None:
    build(old_url, without={"SendLog", "Lead.isBlocked", "CampaignLead.status", "CampaignEmailQueue.scheduledAt"})
    with pytest.raises(InvalidInput) as told, open_old_database(old_url):
        pytest.fail("it is none of the old application's")
    assert told.value.problem.endswith(
        "there is no column isBlocked in the table Lead, no column status in the table CampaignLead,"
        " no table SendLog, no column scheduledAt in the table CampaignEmailQueue."
    )
    assert "?schema=NAME" in told.value.mend
    assert told.value.source


@on_postgresql
def test_a_url_of_prismas_is_understood(old_url: URL) -> None:
    sample = build(old_url)
    with psycopg.connect(connection_string(old_url)) as server:
        server.execute("ALTER SCHEMA public RENAME TO crm")
    prismas = old_url.update_query_dict({"schema": "crm", "connection_limit": "5", "pool_timeout": "10"})
    with open_old_database(prismas.set(drivername="postgresql").render_as_string(hide_password=False)) as old:
        assert [each.number for each in old.campaigns()] == list(sample.campaigns.values())
    with pytest.raises(InvalidInput, match="no table Campaign"), open_old_database(old_url):
        pytest.fail("there is nothing in the schema that is looked at by default")
