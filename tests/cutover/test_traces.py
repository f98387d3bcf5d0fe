"""What the old database says of a mail other than by a SendLog row of its lead: nobody who may have had one gets
another, before the campaign is taken over and after it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta

import pytest

from runner.legacy import taking_over
from tests.cli.desk import BAD_INPUT, FAILED
from tests.cutover.office import Office
from tests.databases import on_sqlite
from tests.legacy.old_player import OldApplication
from tests.legacy.old_sample import Place
from tests.legacy.old_system import NOW

ZIMA = "Zima"
A_WEEK = 7 * 24 * 60
TAKEOVER = ("legacy", "takeover", "2", "--old-sender-stopped", "--settle", "0")

pytestmark = on_sqlite


ROW = "(SELECT id FROM CampaignLead WHERE leadId = ?)"
MS = int(NOW.timestamp() * 1000)
BEGUN = (
    "INSERT INTO SendLog (campaignId, leadId, toEmail, subject, content, status, createdAt)"
    " VALUES (2, ?, 'x@firma.example', 's', 'c', 'queued', ?)"
)
MAILED = (
    "INSERT INTO CampaignEmailQueue (campaignId, campaignLeadId, scheduledAt, status, sentAt)"  # noqa: S608 - a constant
    f" VALUES (2, {ROW}, ?, 'cancelled', ?)"
)
OF_QUEUE = f"UPDATE CampaignEmailQueue SET status = ? WHERE campaignLeadId = {ROW}"  # noqa: S608 - a constant
STATUS = "UPDATE CampaignLead SET status = ? WHERE leadId = ?"


def there(office: Office, statement: str, *values: int | str) -> None:
    """Done in the old database by a person."""
    with closing(sqlite3.connect(str(office.old.database))) as file, file:
        file.execute(statement, values)


def waiting(office: Office, nth: int = 0) -> int:
    return office.leads(ZIMA, Place.CLEAN_WAITING)[nth]


def found(office: Office, lead: int) -> set[str]:
    """The rules that an analysis names this lead by."""
    return {one["rule"] for one in office.desk.rows("cutover", "analyze", "2")["findings"] if lead in one["leads"]}


def begun(office: Office, lead: int) -> None:
    there(office, BEGUN, lead, MS - 1000)


def timed(office: Office, lead: int) -> None:
    there(office, "UPDATE CampaignLead SET sentAt = ? WHERE leadId = ?", MS, lead)


def cancelled_after_it_left(office: Office, lead: int) -> None:
    there(office, OF_QUEUE, "pending", lead)
    there(office, MAILED, lead, MS, MS)


@pytest.mark.parametrize("trace", [begun, timed, cancelled_after_it_left])
def test_who_waits_and_may_have_been_mailed_is_in_doubt(office: Office, trace: Callable[[Office, int], None]) -> None:
    lead = waiting(office)
    trace(office, lead)
    office.imports(ZIMA)
    office.fixes(ZIMA)
    office.takes_over(ZIMA)
    assert lead in {row["lead_id"] for row in office.desk.rows("in-doubt", "list")}
    office.runs(A_WEEK)
    assert office.delivered()
    assert office.addresses(lead)[0] not in office.delivered()


def test_that_its_row_in_the_queue_was_sending_is_not_forgotten_when_a_pause_cancels_it(office: Office) -> None:
    lead = waiting(office)
    there(office, OF_QUEUE, "sending", lead)
    office.imports(ZIMA)
    office.application(ZIMA).pause()
    office.desk.done("legacy", "follow", office.url)
    assert "queue-says-sending" in found(office, lead)
    office.application(ZIMA).resume()
    office.fixes(ZIMA)
    office.takes_over(ZIMA)
    assert lead in {row["lead_id"] for row in office.desk.rows("in-doubt", "list")}


@pytest.mark.parametrize("is_ours", [False, True])
@pytest.mark.parametrize("written", ["{}", "Ewa Lis <{}>", "  {} "])
def test_a_row_counts_for_whom_it_was_addressed_to_as_well(office: Office, is_ours: bool, written: str) -> None:
    named, addressed = waiting(office, 0), waiting(office, 1)
    [address] = office.addresses(addressed)
    if is_ours:
        office.makes_ours(ZIMA)
    office.application(ZIMA).log(named, "<other@nadawca.example>", address=written.format(address))
    if is_ours:
        assert office.desk.says("legacy", "follow", office.url).code == FAILED
    else:
        office.makes_ours(ZIMA)
    office.runs(A_WEEK)
    assert office.delivered()
    assert not {address, *office.addresses(named)} & set(office.delivered())


@pytest.mark.parametrize("status", ["sending", "sent", "replied", "failed"])
def test_a_status_alone_that_changes_after_a_take_over_is_a_violation(office: Office, status: str) -> None:
    office.makes_ours(ZIMA)
    lead = waiting(office)
    there(office, STATUS, status, lead)
    said = office.desk.says("legacy", "follow", office.url, "--format", "json")
    [violation] = json.loads(said.out)["violations"]
    assert (said.code, violation["lead"], violation["alarm"]) == (FAILED, lead, f"`{status}` there, without a row")
    before = office.desk.kept()
    assert office.desk.says("legacy", "follow", office.url).code == 0
    assert office.desk.kept() == before
    answers = json.loads(office.desk.says("cutover", "verify", "2", "--format", "json").out)
    assert [row["verdict"] for row in answers if row["question"] == "does only the owner send?"] == ["FAIL"]
    assert "moved-there-since" in found(office, lead)
    office.runs(A_WEEK)
    assert office.delivered()
    assert (office.addresses(lead)[0] in office.delivered()) == (status == "failed")
    doubts = {row["lead_id"] for row in office.desk.rows("in-doubt", "list")}
    assert (lead in doubts) == (status == "sending")


def test_a_lead_in_doubt_that_turns_out_to_be_sent_there_is_settled(office: Office) -> None:
    office.imports(ZIMA)
    office.fixes(ZIMA)
    lead = waiting(office)
    office.application(ZIMA).start_sending(lead)
    office.takes_over(ZIMA)
    assert lead in {row["lead_id"] for row in office.desk.rows("in-doubt", "list")}
    office.application(ZIMA).mark_sent(lead)
    office.desk.says("legacy", "follow", office.url)
    assert lead not in {row["lead_id"] for row in office.desk.rows("in-doubt", "list")}
    office.runs(A_WEEK)
    assert office.addresses(lead)[0] not in office.delivered()


@pytest.mark.parametrize("status", ["sent", "failed", "replied"])
def test_a_status_alone_that_changes_while_it_is_waited_says_that_the_old_sender_goes_on(
    office: Office, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    office.imports(ZIMA)
    office.fixes(ZIMA)
    lead = waiting(office)
    monkeypatch.setattr(taking_over, "wait", lambda *_said: there(office, STATUS, status, lead))
    said = office.desk.says(*TAKEOVER)
    assert said.code == BAD_INPUT
    assert f"(lead {lead}). Stop it, then try again" in said.err


def test_an_older_look_that_ends_after_the_last_one_is_looked_at_first(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.imports(ZIMA)
    office.fixes(ZIMA)
    look = taking_over._look

    def overtaken(*said: object) -> object:
        imported = look(*said)  # type: ignore[arg-type]
        office.application(ZIMA).log(None, None)
        office.desk.done("legacy", "follow", office.url)
        return imported

    with monkeypatch.context() as patch:
        patch.setattr(taking_over, "_look", overtaken)
        said = office.desk.says(*TAKEOVER)
    assert "something came in about campaign 2 at this very moment" in said.err
    assert office.desk.events("TakenOver") == []


def blocked_elsewhere(office: Office) -> str:
    there(office, "INSERT INTO Lead (email, status, isBlocked) VALUES ('nie@firma.example', 'Blokada', 0)")
    return "nie@firma.example"


def taken_out_and_blocked(office: Office) -> str:
    old, lead = OldApplication(office.old, 2, NOW - timedelta(hours=1)), waiting(office)
    old.remove_lead(lead)
    old.block(lead)
    return office.addresses(lead)[0]


@pytest.mark.parametrize("blocks", [blocked_elsewhere, taken_out_and_blocked])
def test_who_is_blocked_there_gets_no_mail_whatever_campaign_they_are_in(
    office: Office, blocks: Callable[[Office], str]
) -> None:
    office.makes_ours(ZIMA)
    address = blocks(office)
    office.desk.done("legacy", "follow", office.url)
    people = f"email,firstName,lastName,company,language,greetingForm\n{address},Ola,Lis,Huta,pl,Witam\n"
    office.desk.says("leads", "import", "2", office.desk.write("more.csv", people))
    office.runs(A_WEEK)
    assert office.delivered()
    assert address not in office.delivered()


def test_a_lead_that_is_blocked_with_a_new_address_is_not_mailed_at_the_old_one(office: Office) -> None:
    office.imports(ZIMA)
    office.fixes(ZIMA)
    lead, old = waiting(office), office.application(ZIMA)
    old.start_sending(lead)
    old.change_lead(lead, email="nowy@firma.example")
    old.block(lead)
    office.takes_over(ZIMA)
    office.desk.done("in-doubt", "resolve", "2", str(lead), "--not-sent", "--evidence", "log of the server")
    office.runs(A_WEEK)
    assert office.delivered()
    assert not {"nowy@firma.example", *office.addresses(lead)} & set(office.delivered())


def test_who_was_erased_here_does_not_come_back_from_there(office: Office) -> None:
    office.imports(ZIMA)
    lead = waiting(office)
    [address] = office.addresses(lead)
    office.desk.done("erase", address, "--reason", "asked for it")
    for _ in range(2):
        office.desk.done("legacy", "follow", office.url)
    assert address not in str(office.desk.stored())
    assert len({row["lead_id"] for row in office.desk.rows("leads", "list", "2", "--limit", "99")}) == 26


def test_what_cannot_be_rendered_since_the_last_look_is_not_taken_over(office: Office) -> None:
    office.imports(ZIMA)
    office.fixes(ZIMA)
    office.application(ZIMA).change(text="Dzień dobry {{ nobodyKnowsThis }}")
    assert office.desk.says(*TAKEOVER).code == BAD_INPUT
    assert office.desk.events("TakenOver") == []


def test_a_campaign_that_was_cancelled_there_for_a_moment_is_told(office: Office) -> None:
    office.imports(ZIMA)
    for status in ("CANCELLED", "IN_PROGRESS"):
        office.application(ZIMA).change(status=status)
        office.desk.done("legacy", "follow", office.url)
    assert "cancelled-here-alone" in office.desk.says("cutover", "analyze", "2").out


def test_one_campaign_that_cannot_be_read_keeps_no_other_from_being_followed(office: Office) -> None:
    office.makes_ours(ZIMA)
    office.imports("Wiosna")
    number, lead = office.number("Wiosna"), waiting(office)
    there(office, "UPDATE Campaign SET allowedDays = 'ŚRODA' WHERE id = ?", int(number))
    office.application(ZIMA).log(lead, "<late@nadawca.example>")
    said = office.desk.says("legacy", "follow", office.url)
    assert said.code == FAILED
    assert "<late@nadawca.example>" in said.out
    assert "not followed:" in said.err
    assert "allowedDays" in said.err
