"""A campaign is taken over on a person's word, after a wait, and not while the old sender still sends."""

from __future__ import annotations

import json
import os
import signal
from datetime import datetime, timedelta
from typing import Any

import pytest

from runner.legacy import taking_over
from runner.store.ledger import Ledger
from tests.cli.desk import BAD_INPUT, FAILED, ended
from tests.cutover.office import Office
from tests.databases import on_sqlite
from tests.faults.processes import wait_until
from tests.legacy.old_sample import Place
from tests.legacy.old_system import NOW

ZIMA = "Zima"
TAKEOVER = ("legacy", "takeover", "2", "--old-sender-stopped", "--settle", "0")

pytestmark = on_sqlite


def test_it_needs_the_word_and_a_campaign_that_came_from_there(mended: Office) -> None:
    desk = mended.desk
    assert "--old-sender-stopped: the old sender must be stopped first." in desk.refused("legacy", "takeover", "2")
    assert "there is no campaign-9" in desk.refused("legacy", "takeover", "9", *TAKEOVER[3:])
    mended.takes_over(ZIMA, "--reason", "cron is off")
    assert "was taken over already" in desk.refused(*TAKEOVER)
    assert mended.owner("2")["reason"] == "cron is off"


def test_the_flag_there_is_written_only_when_asked(mended: Office) -> None:
    mended.imports("Targi")
    said = mended.takes_over(ZIMA)
    assert 'UPDATE "Campaign" SET "useV2" = 1 WHERE "id" = 2;' in said
    assert not mended.use_v2(ZIMA)
    assert "UPDATE" not in mended.takes_over("Targi", "--set-use-v2")
    assert (mended.use_v2("Targi"), mended.use_v2(ZIMA)) == (True, False)


def test_what_the_old_sender_had_under_way_is_in_doubt_and_listed(office: Office) -> None:
    number = office.makes_ours("Wiosna")  # has none
    office.imports(ZIMA)
    office.fixes(ZIMA)
    begun = office.leads(ZIMA, Place.CLEAN_WAITING)[0]
    office.application(ZIMA).start_sending(begun)
    said = office.takes_over(ZIMA)
    assert "In doubt: 1 leads. Settle them: sendledger in-doubt list" in said
    assert begun in {row["lead_id"] for row in office.desk.rows("in-doubt", "list")}
    assert number not in {str(row["campaign_id"]) for row in office.desk.rows("in-doubt", "list")}


def test_what_cannot_be_rendered_is_mended_in_the_old_application(office: Office) -> None:
    office.application(ZIMA).change(text="{{ nosuch }}")
    office.imports(ZIMA)
    office.fixes(ZIMA)
    there = "Mend the template or the leads in the old application; the next `sendledger legacy follow` takes that in."
    said = office.desk.refused(*TAKEOVER)
    assert "campaign 2 is not taken over: 5 of 5 leads cannot be rendered." in said
    assert said.endswith(f"\n{there}\n")
    assert there in found_by_doctor(office, "campaign 2")
    assert "is only observed" in office.desk.refused("campaign", "start", "2")
    office.application(ZIMA).change_lead(office.leads(ZIMA, Place.CLEAN_WAITING)[0], email="no address")
    office.desk.done("legacy", "follow", office.url)
    assert "`sendledger cutover fix 2` skips those whose address or fields" in office.desk.refused(*TAKEOVER)


def test_what_the_old_sender_has_under_way_is_no_matter_of_a_runner_of_ours(office: Office) -> None:
    office.imports(ZIMA)
    assert found_by_doctor(office, "in doubt") == "nothing"


def found_by_doctor(office: Office, what: str) -> str:
    said = office.desk.says("doctor", "--no-smtp", "--format", "json")
    [row] = [row for row in json.loads(said.out) if row["check"] == what]
    return f"{row['found']} {row['mend']}".strip()


def test_whom_the_old_sender_is_mailing_is_erased_when_that_is_in_doubt(office: Office) -> None:
    office.imports(ZIMA)
    [address] = office.addresses(office.leads(ZIMA, Place.IN_DOUBT)[0])
    assert "`sendledger cutover fix 2` or the take-over" in office.desk.refused("erase", address, "--reason", "asked")
    office.fixes(ZIMA)
    office.desk.done("erase", address, "--reason", "asked")


@pytest.mark.parametrize("clock", [NOW - timedelta(hours=5), NOW + timedelta(seconds=30)], ids=["slow", "right"])
@pytest.mark.parametrize("finishes", [True, False], ids=["mailed", "begun"])
def test_a_sender_that_is_caught_sending_after_the_word_keeps_the_campaign(
    mended: Office, monkeypatch: pytest.MonkeyPatch, clock: datetime, finishes: bool
) -> None:
    old, lead = mended.application(ZIMA, clock), mended.leads(ZIMA, Place.CLEAN_WAITING)[0]

    def sends(*_said: object) -> None:
        old.start_sending(lead)
        if finishes:
            old.finish(lead, "<late@nadawca.example>")

    monkeypatch.setattr(taking_over, "wait", sends)
    said = mended.desk.says(*TAKEOVER)
    assert said.code == BAD_INPUT
    assert f"the old sender is not stopped: it has begun or made 1 mails of campaign 2 since (lead {lead})" in said.err
    assert mended.owner("2")["owner"] == "old system"
    assert mended.desk.events("TakenOver") == []
    mended.runs(10)
    assert mended.delivered() == []


def test_it_is_caught_too_when_follow_has_taken_those_mails_in_meanwhile(
    mended: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, lead = mended.application(ZIMA, NOW + timedelta(seconds=30)), mended.leads(ZIMA, Place.CLEAN_WAITING)[0]

    def followed(*_said: object) -> None:
        old.start_sending(lead)
        old.finish(lead, "<late@nadawca.example>")
        mended.desk.done("legacy", "follow", mended.url)

    monkeypatch.setattr(taking_over, "wait", followed)
    said = mended.desk.says(*TAKEOVER)
    assert said.code == BAD_INPUT
    assert f"the old sender is not stopped: it has begun or made 1 mails of campaign 2 since (lead {lead})" in said.err
    assert mended.desk.events("TakenOver") == []


def test_a_mail_that_was_under_way_may_end_while_it_is_waited(mended: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    old, lead = mended.application(ZIMA, NOW + timedelta(seconds=30)), mended.leads(ZIMA, Place.CLEAN_WAITING)[0]
    old.start_sending(lead)
    monkeypatch.setattr(taking_over, "wait", lambda *_said: old.finish(lead, "<last@nadawca.example>"))
    assert "epoch 2: 1 mails taken in last" in mended.takes_over(ZIMA)
    assert lead not in {row["lead_id"] for row in mended.desk.rows("in-doubt", "list")}


def test_what_came_in_after_the_last_look_is_looked_at_first(mended: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    appends, old = Ledger.on_campaigns_and_senders, mended.application(ZIMA)

    def overtaken(*said: Any) -> Any:
        old.start_sending(mended.leads(ZIMA, Place.CLEAN_WAITING)[0])
        mended.desk.done("legacy", "follow", mended.url)
        return appends(*said)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "on_campaigns_and_senders", overtaken)
        said = mended.desk.says(*TAKEOVER)
    assert (said.code, mended.desk.events("TakenOver")) == (BAD_INPUT, [])
    assert "something came in about campaign 2 at this very moment, so it was not taken over: try again." in said.err
    mended.takes_over(ZIMA)


def test_who_was_taken_out_of_the_campaign_there_is_mailed_by_nobody(mended: Office) -> None:
    lead = mended.leads(ZIMA, Place.CLEAN_WAITING)[0]
    mended.application(ZIMA).remove_lead(lead)
    said = mended.desk.says(*TAKEOVER)
    assert said.code == BAD_INPUT
    assert "gone-from-the-old-database: waits, and the old database has it no more" in said.err
    mended.fixes(ZIMA)
    mended.takes_over(ZIMA)
    mended.runs(7 * 24 * 60)
    assert mended.delivered()
    assert mended.addresses(lead)[0] not in mended.delivered()


def test_interrupted_while_it_waits_it_changes_nothing(mended: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = taking_over.wait

    def interrupted(*said: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        waits(*said)  # type: ignore[arg-type]

    monkeypatch.setattr(taking_over, "wait", interrupted)
    mended.desk.done("legacy", "follow", mended.url)
    said = mended.desk.refused("legacy", "takeover", "2", "--old-sender-stopped", "--settle", "60s")
    assert "interrupted: the campaign was not taken over." in said
    assert mended.owner("2")["owner"] == "old system"


def test_interrupted_by_ctrl_c_after_the_flag_was_written_it_says_so(mended: Office) -> None:
    mended.desk.done("legacy", "follow", mended.url)
    before = mended.desk.kept()
    process = mended.desk.process("legacy", "takeover", "2", "--old-sender-stopped", "--set-use-v2")
    wait_until(lambda: mended.use_v2(ZIMA))
    process.send_signal(signal.SIGINT)
    said = ended(process)
    assert said.code == BAD_INPUT
    assert "In the old database useV2 of campaign 2 is set, and stays so" in said.out
    assert "interrupted: the campaign was not taken over." in said.err
    assert mended.desk.kept() == before


def test_a_mail_that_the_old_sender_makes_afterwards_is_a_violation(mended: Office) -> None:
    first, second, *_ = mended.leads(ZIMA, Place.CLEAN_WAITING)
    mended.takes_over(ZIMA)
    assert mended.desk.says("legacy", "follow", mended.url).code == 0
    mended.runs(1)
    [mailed] = [row["lead_id"] for row in mended.desk.rows("sendlog", "2", "--limit", "99") if row["digest"]]
    other = second if mailed == first else first
    old = mended.application(ZIMA, NOW + timedelta(minutes=2))
    for lead in (mailed, other):
        old.start_sending(lead)
        old.finish(lead, f"<again.{lead}@nadawca.example>")
    said = mended.desk.says("legacy", "follow", mended.url)
    assert said.code == FAILED
    assert "VIOLATIONS: the old sender mailed campaigns that were taken over" in said.out
    lines = [line.split() for line in said.out.splitlines() if "<again." in line]
    assert {(int(line[1]), "twice" in line) for line in lines} == {(mailed, True), (other, False)}
    assert mended.desk.says("legacy", "follow", mended.url).code == 0  # it is known now
    verdicts = {row["question"]: row["verdict"] for row in _verified(mended)}
    assert (verdicts["does only the owner send?"], verdicts["is nobody mailed twice?"]) == ("FAIL", "FAIL")
    mended.runs(60)
    assert mended.addresses(other)[0] not in mended.delivered()


def _verified(office: Office) -> Any:
    said = office.desk.says("cutover", "verify", "2", "--format", "json")
    assert said.code == FAILED
    return json.loads(said.out)
