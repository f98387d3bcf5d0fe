"""A campaign from the empty folder to the last mail, by hand, in the order a person goes; on V1 and on V2."""

from __future__ import annotations

import shutil
from collections import Counter
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from domain.events import Sender
from migrations.run import head, shown
from runner.sink import Sink
from tests.cli.desk import MONDAY, SENDER, Desk
from tests.databases import on_sqlite
from tests.smtp.scripted import ScriptedServer, in_turn

senders = pytest.mark.parametrize("sender", ["v1", "v2"])

GARBAGE = b"what was that?\r\n"
ACCEPTED = b"250 2.0.0 Ok: queued as 4F1B2C3D5E\r\n"
STARTTLS = ("--smtp-tls", "starttls", "--smtp-user", "anna", "--smtp-password", "env:SALES_PW")


@pytest.fixture
def desk(desk_on_each: Desk) -> Desk:
    """What a person goes through does not depend on the database."""
    return desk_on_each


@senders
def test_the_whole_story_by_hand(desk: Desk, sink: Sink, sender: Sender) -> None:
    makes_a_ledger(desk)
    sends_two_campaigns(desk, sink, sender)
    proves_that_all_is_well(desk)
    assert deliveries(sink, desk.folder.parent / "mails") == {
        "jan@customer.example": "Autumn news for Jan",
        "shy@customer.example": "Autumn news for Paweł",
        "ewa@customer.example": "Autumn news for Ewa",
    }


def sends_two_campaigns(desk: Desk, sink: Sink, sender: Sender) -> None:
    """Everything a person does from day to day."""
    sets_up(desk, sink)
    prepares(desk, sender)
    looks_before_anything_leaves(desk, sender)
    runs_the_morning(desk)
    sees_what_was_sent(desk, sender)
    tries_a_failed_lead_again(desk)
    suppresses_and_cancels(desk)


def makes_a_ledger(desk: Desk) -> None:
    where = "sendledger.db" if desk.server is None else shown(desk.server)
    assert desk.done("init", "--simulated", "--start", f"{MONDAY}T08:00+02:00").startswith(
        f"Ledger made: {where}, time simulated from 2026-10-05 06:00 UTC."
    )
    assert {path.name for path in desk.folder.glob("sendledger.*")} >= {"sendledger.toml", "sendledger.key"}
    assert desk.database.exists() is (desk.server is None)


def sets_up(desk: Desk, sink: Sink) -> None:
    desk.mailbox(sink.port)
    desk.done("mailbox", "add", "office", "--from", SENDER, "--smtp-host", "mail.sender.example", *STARTTLS)
    assert desk.done("mailbox", "set", "sales", "--daily-limit", "40") == "Mailbox sales changed.\n"
    assert desk.done("mailbox", "set", "sales", "--daily-limit", "40").endswith("nothing changed.\n")
    desk.done("mailbox", "pause", "sales", "--reason", "moving house")
    office, sales = desk.rows("mailbox", "list")
    assert (office["server"], office["tls"], office["state"]) == ("mail.sender.example:587", "starttls", "open")
    assert (sales["from"], sales["daily_limit"], sales["state"]) == (SENDER, 40, "paused: moving house")
    desk.done("mailbox", "resume", "sales")


def prepares(desk: Desk, sender: Sender) -> None:
    file = desk.campaign_file(('owner = "v1"', f'owner = "{sender}"'), ("delay_s = 90", "delay_s = 60"))
    assert "Campaign 1 created, as a draft." in desk.done("campaign", "create", file)
    people = "jan@customer.example;Jan\ngone@customer.example;Zofia\nshy@customer.example;Paweł\n"
    leads = desk.write("leads.csv", f"\ufeffemail;first_name\n{people}")
    assert "3 imported (dry run, nothing was written)" in desk.done("leads", "import", "1", leads, "--dry-run")
    assert desk.rows("campaign", "list")[0]["leads"] == 0
    assert desk.done("leads", "import", "1", leads) == "Campaign 1: 3 rows: 3 imported.\n"
    more = desk.write("more.csv", "first_name,email\nEwa,ewa@customer.example\nOla,ola@customer.example\n")
    desk.done("leads", "import", "1", more)
    assert "refused" not in desk.done("campaign", "start", "1", "--reason", "the catalogue is printed")
    shown = desk.rows("campaign", "show", "1")
    assert (shown["status"], shown["owner"], shown["status_reason"]) == ("running", sender, "the catalogue is printed")
    assert (shown["limits"]["delay_s"], shown["schedule"]["zone"]) == (60, "Europe/Warsaw")


def looks_before_anything_leaves(desk: Desk, sender: Sender) -> None:
    assert desk.rows("why", "1")["next_mail"] == f"{MONDAY}T07:00:00.000000+00:00"
    assert f"window, until {MONDAY} 09:00:00" in desk.done("why", "1", "--lead", "5")
    [ticked] = desk.rows("tick", sender)
    assert (ticked["considered"], ticked["sent"], ticked["waiting"]) == (0, 0, "1 window")
    assert desk.done("sendlog") == "Nothing was tried yet.\n"
    assert [lead["state"] for lead in desk.rows("queue", "1")] == ["queued"] * 5


def runs_the_morning(desk: Desk) -> None:
    desk.done("run", "--until", f"{MONDAY}T09:01+02:00")
    [status] = desk.rows("status")
    assert (status["sent"], status["queued"]) == (1, 4)
    desk.done("campaign", "pause", "1", "--reason", "wrong price")
    desk.done("run", "--until", f"{MONDAY}T09:30+02:00")
    [status] = desk.rows("status")
    assert (status["status"], status["sent"], status["why"]) == ("paused", 1, "paused")
    edited = (desk.folder / "autumn.toml").read_text().replace("delay_s = 60", "delay_s = 240")
    assert desk.done("campaign", "edit", "1", desk.write("new.toml", edited)) == "Campaign 1: LimitsChanged.\n"
    desk.done("campaign", "resume", "1")
    said = desk.done("run", "--v1-every", "2m", "--v2-every", "1m", "--until", f"{MONDAY}T09:41+02:00")
    assert said == f"Stopped at {MONDAY} 07:41:00 UTC.\n"


def sees_what_was_sent(desk: Desk, sender: Sender) -> None:
    log = desk.rows("sendlog", "1", "--by", sender)
    assert Counter(row["outcome"] for row in log) == {"sent": 2, "failed": 2}
    other: Sender = "v2" if sender == "v1" else "v1"
    assert desk.rows("sendlog", "--by", other) == []
    [refused] = desk.rows("sendlog", "1", "--lead", "2")
    assert (refused["code"], refused["enhanced"], refused["locked_at"]) == (550, "5.1.1", None)
    assert desk.rows("why", "1", "--lead", "2") == {"next_mail": None, "why": "it is failed", "lead": 2}
    [greylisted] = [row for row in desk.rows("queue", "1") if row["lead_id"] == 3]
    assert (greylisted["state"], greylisted["attempts"], greylisted["last_code"]) == ("queued", 1, 451)


def tries_a_failed_lead_again(desk: Desk) -> None:
    retry = ("campaign", "retry", "1", "--failed", "--reason", "the provider unblocked us", "--code")
    assert "0 failed leads with code 554" in desk.done(*retry, "554")
    assert "1 failed leads with code 550 would be tried again" in desk.done(*retry, "550", "--dry-run")
    assert desk.rows("why", "1", "--lead", "2")["why"] == "it is failed"
    assert desk.done(*retry, "550") == "Campaign 1: 1 failed leads with code 550 wait again.\n"
    assert desk.rows("why", "1", "--lead", "2")["why"] != "it is failed"


def suppresses_and_cancels(desk: Desk) -> None:
    said = desk.done("suppress", "add", "ola@customer.example", "--reason", "asked by phone")
    assert said == "1 added, 0 on the list already; 1 waiting leads skipped.\n"
    [entry] = desk.rows("suppress", "list")
    assert (entry["reason"], entry["by"]) == ("asked by phone", "anna")
    file = desk.write("gone.csv", "email\nola@customer.example\nmax@customer.example\n")
    assert desk.done("suppress", "import", file).startswith("1 added, 1 on the list already;")
    assert desk.done("suppress", "remove", "max@customer.example") == "1 of 1 taken off the list.\n"
    desk.done("run", "--until", f"{MONDAY}T12:00+02:00")
    [status] = desk.rows("status")
    assert (status["status"], status["sent"], status["failed"], status["skipped"]) == ("completed", 3, 1, 1)
    desk.done("campaign", "create", desk.campaign_file(("Autumn 2026", "Winter 2026"), name="winter.toml"))
    desk.done(
        "leads", "import", "2", desk.write("one.csv", "email,first_name\nola@customer.example,Ola\na@b.example,A\n")
    )
    assert "1 waiting leads get no mail. Nothing was changed" in desk.done("campaign", "cancel", "2", "--dry-run")
    assert "1 waiting leads get no mail." in desk.done("campaign", "cancel", "2", "--reason", "no winter this year")
    assert [row["status"] for row in desk.rows("campaign", "list")] == ["completed", "cancelled"]


def proves_that_all_is_well(desk: Desk) -> None:
    verdicts = {row["check"]: row["verdict"] for row in desk.rows("check", "1")}
    assert verdicts.pop("delay") == "PASS"
    assert set(verdicts.values()) == {"PASS"}
    assert desk.rows("rebuild", "--check") == []
    before = desk.rows("sendlog")
    assert desk.done("rebuild").startswith("Views rebuilt from ")
    assert desk.rows("sendlog") == before
    assert desk.done("in-doubt", "list") == "Nothing is in doubt.\n"
    assert desk.done("db", "current") == f"database {head()}, program {head()}\n"
    assert desk.done("db", "check").startswith(f"The schema is {head()}")
    assert desk.done("db", "upgrade") == f"The schema is {head()}: nothing to do.\n"
    assert "knows this ledger already" in desk.done("runner", "register", "--reason", "to be sure")


def deliveries(sink: Sink, maildir: Path) -> dict[str, str]:
    """Subjects by recipient, of all mails filed."""
    mails = [message_from_bytes(file.read_bytes(), policy=policy.default) for file in (maildir / "new").iterdir()]
    found = {str(mail["To"].addresses[0].addr_spec): str(mail["Subject"]) for mail in mails}
    assert len(found) == len(mails) == sink.accepted
    return found


def test_two_campaigns_one_on_each_sender_share_a_mailbox_and_its_limit(desk: Desk, sink: Sink) -> None:
    desk.ledger()
    desk.mailbox(sink.port, "--daily-limit", "3")
    people = "email,first_name\n" + "".join(f"p{n}@customer.example,P\n" for n in range(3))
    for owner in ("v1", "v2"):
        desk.campaign(('owner = "v1"', f'owner = "{owner}"'), people=people)
    desk.done("run", "--until", f"{MONDAY}T14:00+02:00")
    assert sum(row["sent"] for row in desk.rows("status")) == sink.accepted == 3
    for row, owner in zip(desk.rows("status"), ("v1", "v2"), strict=True):
        assert row["why"] == "mailbox's daily limit (3 a day), until 2026-10-06 00:00:00"
        assert len(desk.rows("sendlog", "--by", owner)) == row["sent"] > 0
    assert desk.rows("mailbox", "list")[0]["today"] == 3
    desk.done("run", "--until", "2026-10-06T18:00+02:00")
    assert [row["sent"] for row in desk.rows("status")] == [3, 3]
    assert sink.accepted == 6


@pytest.mark.parametrize(("outcome", "accepted"), [("--sent", 2), ("--not-sent", 3)])
def test_what_is_in_doubt_waits_for_a_person_and_goes_on_as_that_person_says(
    desk: Desk, outcome: str, accepted: int
) -> None:
    with ScriptedServer({"DOT": in_turn(GARBAGE, ACCEPTED)}) as server:
        desk.ledger(clock=f"{MONDAY}T10:00+02:00")
        desk.mailbox(server.port)
        desk.campaign(people="email,first_name\njan@customer.example,Jan\newa@customer.example,Ewa\n")
        desk.done("run", "--until", f"{MONDAY}T12:00+02:00")
        [doubt] = desk.rows("in-doubt", "list")
        assert (doubt["campaign_id"], doubt["lead_id"], doubt["mailbox"]) == (1, 1, "sales")
        assert doubt["message_id"] in server.messages[0].decode()
        evidence = ("--evidence", "relay log of 5 October")
        desk.done("in-doubt", "resolve", "1", "1", outcome, *evidence)
        assert desk.rows("in-doubt", "list") == []
        assert desk.events("InDoubtResolved")[0]["evidence"] == "relay log of 5 October"
        desk.done("run", "--until", f"{MONDAY}T14:00+02:00")
        assert desk.rows("status")[0]["sent"] == 2
    assert len(server.messages) == accepted
    assert "not in doubt: nothing to resolve" in desk.refused("in-doubt", "resolve", "1", "1", outcome, *evidence)
    assert "nothing to resolve" in desk.refused("in-doubt", "resolve", "1", "2", outcome, *evidence)


def test_a_lead_that_backs_off_says_when_it_is_tried_again_and_no_sooner_than_the_window(
    desk: Desk, sink: Sink
) -> None:
    desk.ledger(clock=f"{MONDAY}T14:55+02:00")
    desk.mailbox(sink.port)
    desk.campaign(('owner = "v1"', 'owner = "v2"'), people="email,first_name\nshy@customer.example,Paweł\n")
    assert desk.rows("tick", "v2")[0]["failed"] == 1
    told = desk.rows("why", "1", "--lead", "1")
    assert told["why"] == f"back-off, until {MONDAY} 15:10:00"
    assert told["next_mail"] == "2026-10-06T07:00:00.000000+00:00"


def test_a_ledger_that_this_machine_does_not_know_sends_nothing_until_it_is_registered(desk: Desk, sink: Sink) -> None:
    desk.ledger(clock=f"{MONDAY}T10:00+02:00")
    desk.mailbox(sink.port)
    desk.campaign()
    [runners] = desk.folder.glob("*.runners")
    shutil.rmtree(runners)
    assert "this machine has not sent from this ledger before" in desk.refused("tick", "v1")
    assert "sendledger runner register" in desk.refused("run", "--until", f"{MONDAY}T12:00+02:00")
    said = desk.done("runner", "register", "--reason", "moved from the old machine")
    assert said == "This machine may send from this ledger.\n"
    assert desk.rows("tick", "v1")[0]["sent"] == sink.accepted == 1


@on_sqlite  # a backup that is a file
def test_a_restored_backup_sends_nothing_until_it_is_accepted_and_each_campaign_resumed(desk: Desk, sink: Sink) -> None:
    desk.ledger(clock=f"{MONDAY}T10:00+02:00")
    desk.mailbox(sink.port)
    desk.campaign()
    shutil.copy(desk.database, desk.folder / "backup.db")
    desk.done("tick", "v1")
    shutil.copy(desk.folder / "backup.db", desk.database)
    assert "It looks like an older backup" in desk.refused("tick", "v1")
    assert "--accept-restored" in desk.refused("runner", "register", "--reason", "disk failed")
    said = desk.done("runner", "register", "--accept-restored", "--reason", "disk failed")
    assert said == "This machine may send from this ledger. 1 campaigns paused.\n"
    assert desk.rows("tick", "v1")[0]["sent"] == 0
    assert (desk.rows("status")[0]["why"], sink.accepted) == ("paused", 1)


def test_a_listing_that_is_cut_says_so_and_shows_the_rest_when_asked(desk: Desk) -> None:
    desk.ledger()
    desk.mailbox()
    desk.campaign()
    assert "… 3 more; --limit shows them." in desk.done("queue", "1", "--limit", "1")
    assert len(desk.rows("queue", "1", "--limit", "4")) == 4


def test_an_import_again_changes_who_still_waits_and_skips_whom_it_has_twice(desk: Desk) -> None:
    desk.ledger()
    desk.mailbox()
    desk.campaign(started=False)
    twice = "email,first_name\njan@customer.example,Janusz\nJAN@customer.example,Jan\nbad row,X\n"
    said = desk.done("leads", "import", "1", desk.write("again.csv", twice), "--skip-bad-rows")
    assert "1 changed" in said
    assert "1 duplicates in the file, skipped" in said
    assert "1 bad, skipped" in said
