"""A campaign is ours, and the old application goes on with it: that comes in, and nobody suffers for it."""

from __future__ import annotations

import json
import signal
import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from tests.cli.desk import FAILED, Said, ended
from tests.cutover.office import WHY, Office
from tests.databases import on_sqlite
from tests.faults.processes import wait_until
from tests.legacy.old_player import OldApplication
from tests.legacy.old_sample import Place
from tests.legacy.old_system import NOW

ZIMA = "Zima"
A_WEEK = 7 * 24 * 60
LATER = NOW + timedelta(minutes=2)


@pytest.fixture
def ours(office: Office) -> Office:
    """Zima is our V1's; nothing has left yet."""
    office.makes_ours(ZIMA)
    return office


def looks(office: Office) -> tuple[Said, list[dict[str, Any]]]:
    """What following says, and what of it is a violation."""
    said = office.desk.says("legacy", "follow", office.url, "--format", "json")
    return said, json.loads(said.out)["violations"]


def old(office: Office) -> OldApplication:
    return office.application(ZIMA, LATER)


def test_a_mail_without_a_lead_to_somebody_who_waits_is_a_violation_and_nobody_gets_another(ours: Office) -> None:
    lead = ours.leads(ZIMA, Place.CLEAN_WAITING)[0]
    [address] = ours.addresses(lead)
    old(ours).log(None, "<stray@nadawca.example>", address=address.upper())
    said, violations = looks(ours)
    assert said.code == FAILED
    assert [(one["lead"], one["message_id"], one["alarm"]) for one in violations] == [
        (lead, "<stray@nadawca.example>", "")
    ]
    assert looks(ours)[0].code == 0
    ours.runs(A_WEEK)
    assert ours.delivered()
    assert address not in ours.delivered()
    assert "FAIL" in verdict(ours, "does only the owner send?")


@on_sqlite
def test_two_who_changed_addresses_there_are_known_here_by_those(office: Office) -> None:
    office.imports(ZIMA)
    first, second = office.leads(ZIMA, Place.CLEAN_WAITING)[:2]
    [mailed_there], [mailed_here] = office.addresses(first), office.addresses(second)
    there = office.application(ZIMA)
    for lead, address in ((first, "nobody@firma.example"), (second, mailed_there), (first, mailed_here)):
        there.change_lead(lead, email=address)
    office.makes_ours(ZIMA)
    old(office).log(None, "<late@nadawca.example>", address=mailed_there)
    _said, [violation] = looks(office)
    assert violation["lead"] == second
    people = f"email,firstName,lastName,company,language,greetingForm\n{mailed_here},Ola,Lis,Huta,pl,Witam\n"
    assert "1 rows: 1 changed" in office.desk.done("leads", "import", "2", office.desk.write("again.csv", people))
    office.runs(A_WEEK)
    assert (office.delivered().count(mailed_here), office.delivered().count(mailed_there)) == (1, 0)


@on_sqlite
def test_one_to_somebody_whom_we_have_mailed_is_a_duplicate(ours: Office) -> None:
    ours.runs(1)
    [address] = ours.delivered()
    old(ours).log(None, "<again@nadawca.example>", address=address)
    _said, [violation] = looks(ours)
    assert violation["alarm"] == "mailed twice"
    assert "FAIL" in verdict(ours, "is nobody mailed twice?")


@on_sqlite
def test_a_mail_to_a_lead_that_came_there_later_is_a_violation_about_nobody_of_ours(ours: Office) -> None:
    there = old(ours)
    late = there.add_lead("pozna@firma.example")
    there.start_sending(late)
    there.log(late, "<pozna@nadawca.example>", address="pozna@firma.example")
    said, [violation] = looks(ours)
    assert said.code == FAILED
    assert (violation["lead"], violation["alarm"]) == (late, "to nobody of this campaign")
    assert "VIOLATIONS" not in ours.desk.done("legacy", "follow", ours.url)
    assert "FAIL" in verdict(ours, "does only the owner send?")


@on_sqlite
def test_the_number_that_it_gave_a_later_lead_may_be_somebody_else_here(ours: Office) -> None:
    there = old(ours)
    late = there.add_lead("obca@firma.example")
    rows = [f"moja.{number}@firma.example,Ola,Lis,Huta,pl,Witam" for number in range(late)]
    people = "\n".join(["email,firstName,lastName,company,language,greetingForm", *rows])
    ours.desk.done("leads", "import", "2", ours.desk.write("more.csv", people))
    [mine] = [row for row in ours.desk.rows("leads", "list", "2", "--limit", "99") if row["lead_id"] == late]
    assert "moja." in mine["address"]
    there.log(late, "<obca@nadawca.example>", address="obca@firma.example")
    _said, [violation] = looks(ours)
    assert violation["alarm"] == "to nobody of this campaign"
    ours.runs(A_WEEK)
    assert mine["address"] in ours.delivered()


def test_who_is_blocked_there_is_not_mailed_here_either(ours: Office) -> None:
    lead = ours.leads(ZIMA, Place.CLEAN_WAITING)[0]
    old(ours).block(lead)
    said, _none = looks(ours)
    assert [row["blocked"] for row in json.loads(said.out)["campaigns"]] == [1]
    assert [row["blocked"] for row in json.loads(looks(ours)[0].out)["campaigns"]] == [0]
    states = {row["lead_id"]: row["state"] for row in ours.desk.rows("leads", "list", "2", "--limit", "99")}
    assert states[lead] == "skipped"
    ours.runs(A_WEEK)
    assert ours.delivered()
    assert ours.addresses(lead)[0] not in ours.delivered()


@on_sqlite
def test_who_failed_there_and_was_sent_by_the_old_queue_is_not_tried_again(office: Office) -> None:
    [failed] = office.leads(ZIMA, Place.FAILED)
    sent = "SELECT campaignId, id, createdAt, 'sent' FROM CampaignLead WHERE campaignId = 2 AND leadId = ?"
    with closing(sqlite3.connect(str(office.old.database))) as file, file:
        into = "INSERT INTO CampaignEmailQueue (campaignId, campaignLeadId, scheduledAt, status)"
        file.execute(f"{into} {sent}", (failed,))
    retry = ("campaign", "retry", office.makes_ours(ZIMA), "--failed", *WHY)
    for also in ((), ("--dry-run",)):
        assert f"lead {failed}: queue-says-sent" in office.desk.refused(*retry, *also)
    assert "0 failed leads would be tried again" in office.desk.done(*retry, "--except", str(failed))


@on_sqlite
def test_a_campaign_that_is_no_longer_there_is_told(ours: Office) -> None:
    with closing(sqlite3.connect(str(ours.old.database))) as file:
        file.executescript(
            "PRAGMA foreign_keys = OFF; DELETE FROM CampaignLead WHERE campaignId = 2;"
            "DELETE FROM SendLog WHERE campaignId = 2; DELETE FROM CampaignEmailQueue WHERE campaignId = 2;"
            "DELETE FROM Campaign WHERE id = 2;"
        )
    assert ours.desk.rows("legacy", "follow", ours.url) == {"campaigns": [], "violations": [], "missing": [2]}
    assert "so nothing is followed of them: campaign 2" in ours.desk.done("legacy", "follow", ours.url)


@on_sqlite
def test_a_locked_database_is_told_and_looked_at_again(ours: Office) -> None:
    process = ours.desk.process("legacy", "follow", ours.url, "--every", "1s")
    assert process.stdout is not None
    assert process.stderr is not None
    assert "campaign" in process.stdout.readline()
    with closing(sqlite3.connect(str(ours.old.database), isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        assert "not followed this time" in (told := process.stderr.readline())
        assert "database is locked. Another program holds the file" in told
    lead = ours.leads(ZIMA, Place.CLEAN_WAITING)[0]
    old(ours).log(lead, "<late@nadawca.example>")
    wait_until(lambda: "<late@nadawca.example>" in str(ours.desk.events("EmailSent")))
    process.send_signal(signal.SIGTERM)
    assert ended(process).code == FAILED


@on_sqlite
def test_what_was_to_begin_by_itself_is_said(office: Office) -> None:
    office.imports("Lato")
    assert "scheduled-there" in office.desk.says("cutover", "analyze", office.number("Lato")).out
    said = office.takes_over("Lato")
    assert "was to begin by itself in the old system at 2025-11-28T10:00:00+00:00" in said
    assert f"Start it: sendledger campaign start {office.number('Lato')}" in said


def verdict(office: Office, question: str) -> str:
    said = office.desk.says("cutover", "verify", "2", "--format", "json")
    return str(next(row["verdict"] for row in json.loads(said.out) if row["question"] == question))
