"""`campaign test`: one lead's mail to somebody who wants to look at it, marked, recorded, and counted nowhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from runner.sink import RefuseRule, Sink
from tests.cli.desk import MONDAY, Desk
from tests.cli.test_unsubscribe import EVENING, WITH_LINK, begin
from tests.databases import Databases
from tests.smtp.scripted import ScriptedServer, say_and_hang_up

ME = "me@office.example"
TEST = ("campaign", "test", "1", "--to", ME)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Sink]:
    """A server that knows one address not."""
    with Sink(tmp_path / "mails", refuse=[RefuseRule("nobody@office.example")]) as sink:
        yield sink


def mails(desk: Desk) -> list[EmailMessage]:
    paths = sorted((desk.folder.parent / "mails" / "new").iterdir(), key=os.path.getmtime)
    return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in paths]


def views(desk: Desk) -> Any:
    """What everything says of what was and will be sent."""
    commands = (
        ("status",),
        ("sendlog",),
        ("queue", "1"),
        ("mailbox", "list"),
        ("check", "1"),
        ("campaign", "show", "1"),
    )
    return [desk.rows(*words) for words in commands]


def test_a_test_is_marked_and_holds_what_the_lead_will_get(desk: Desk, office: Sink, databases: Databases) -> None:
    begin(desk, databases, office)
    desk.campaign(*WITH_LINK, started=False)
    before = views(desk)

    said = desk.done(*TEST)

    assert said.startswith(
        "Campaign 1: the mail of lead 1 was sent to me@office.example as a test, by sales: 250 2.0.0 "
    )
    [message] = mails(desk)
    assert message["To"] == ME
    assert message["Subject"] == "[TEST] Autumn news for Jan"
    assert message["X-Sendledger-Test"] == "yes"
    assert message["Message-ID"].startswith("<test.")
    assert message["Message-ID"].endswith("@sender.example>")
    assert "Dear Jan, the autumn catalogue is out." in message.get_content()
    assert views(desk) == before
    assert desk.done("rebuild", "--check")


def test_a_test_offers_no_way_to_unsubscribe_the_lead(desk: Desk, office: Sink) -> None:
    desk.ledger()
    desk.mailbox(office.port)
    desk.campaign(*WITH_LINK)

    desk.done(*TEST)

    [message] = mails(desk)
    assert [name for name in message if name.lower().startswith("list-")] == []
    assert message.get_content().strip().endswith("Enough? https://sender.example/u/test")


def test_the_event_holds_what_a_log_needs_and_no_address(desk: Desk, office: Sink) -> None:
    desk.ledger()
    desk.mailbox(office.port)
    desk.campaign()

    desk.done(*TEST, "--lead", "4")

    [event] = desk.events("TestMailSent")
    [message] = mails(desk)
    assert message["Subject"] == "[TEST] Autumn news for Ewa"
    assert event.pop("queue_id") in next((desk.folder.parent / "mails" / "new").iterdir()).name
    assert event.pop("recorded_at").startswith(MONDAY)
    assert event == {
        "lead_id": 4,
        "mailbox": "sales",
        "content_version": 1,
        "message_id": message["Message-ID"],
        "code": 250,
        "enhanced": "2.0.0",
        "actor": "anna",
    }
    assert not any(ME in str(row) for rows in desk.stored().values() for row in rows)


def test_a_lead_that_was_tested_is_mailed_as_if_it_had_not_been(desk: Desk, office: Sink) -> None:
    desk.ledger()
    desk.mailbox(office.port, "--daily-limit", "2")
    desk.campaign(("daily_limit = 100", "daily_limit = 2"), people="email,first_name\na@x.example,A\nb@x.example,B\n")
    for _ in range(3):
        desk.done(*TEST)

    desk.done("run", "--until", EVENING)

    assert [message["To"] for message in mails(desk)] == [ME, ME, ME, "a@x.example", "b@x.example"]
    assert len({message["Message-ID"] for message in mails(desk)}) == 5
    assert {check["verdict"] for check in desk.rows("check")} == {"PASS"}
    desk.done(*TEST, "--lead", "1")  # of a campaign that is completed, of a lead that was mailed
    assert mails(desk)[-1]["Subject"] == "[TEST] Autumn news for A"
    assert "nobody waits in campaign-1; name a lead with --lead" in desk.refused(*TEST)


def test_a_dry_run_prints_the_mail_and_sends_nothing(desk: Desk) -> None:
    desk.ledger()
    desk.mailbox(1)  # nothing listens there
    desk.write("mail.html", "<p>Dear {{ first_name }}</p>")
    desk.campaign(("[schedule]", 'html_file = "mail.html"\n\n[schedule]'))
    before = desk.everything()

    said = desk.done(*TEST, "--dry-run")

    assert said.startswith(
        "From: Anna <anna@sender.example>\nTo: me@office.example\nSubject: [TEST] Autumn news for Jan\n"
    )
    assert "\nX-Sendledger-Test: yes\n\nDear Jan, the autumn catalogue is out.\n" in said
    assert "\n… and HTML of 16 characters;" in said
    assert said.endswith("Nothing was sent, nothing was changed.\n")
    assert desk.everything() == before


def test_what_cannot_be_tested_is_refused(desk: Desk, office: Sink) -> None:
    desk.ledger()
    desk.mailbox(office.port)
    desk.done("campaign", "create", desk.campaign_file())
    assert "nobody waits in campaign-1" in desk.refused(*TEST)
    desk.done("leads", "import", "1", desk.write("leads.csv", "email,first_name\njan@customer.example,Jan\n"))

    assert "there is no campaign 9" in desk.refused("campaign", "test", "9", "--to", ME)
    assert "campaign-1 has no lead 9" in desk.refused(*TEST, "--lead", "9")
    wrong = desk.refused("campaign", "test", "1", "--to", "me at office")
    assert "--to: " in wrong
    assert "me at office" not in wrong
    nobody = desk.refused("campaign", "test", "1", "--to", "nobody@office.example")
    assert nobody == "sendledger: Not delivered (permanent): rcpt 550 5.1.1, the server refused.\n"
    desk.done("suppress", "add", "out@office.example")
    assert "--to: this address is on the suppression list." in desk.refused(
        "campaign", "test", "1", "--to", "Out@office.example"
    )
    desk.done("mailbox", "pause", "sales", "--reason", "moving house")
    assert "mailbox-sales is paused: moving house; `sendledger mailbox resume sales` ends that." in desk.refused(*TEST)
    assert office.accepted == 0


def test_a_lead_that_cannot_be_rendered_or_was_erased_says_so(desk: Desk, office: Sink) -> None:
    desk.ledger()
    desk.mailbox(office.port)
    desk.campaign(("Dear {{ first_name }}", "Dear {{ nick }}"), started=False)
    assert "The text cannot be rendered, field nick: this lead has no such field." in desk.refused(*TEST)
    desk.sql("DELETE FROM contacts WHERE lead_id = 2")
    assert "lead 2 of campaign 1 was erased" in desk.refused(*TEST, "--lead", "2")
    assert office.accepted == 0


def test_in_simulated_time_no_test_leaves_this_machine(desk: Desk) -> None:
    desk.ledger()
    server = ("--smtp-host", "192.0.2.1", "--smtp-tls", "starttls")
    desk.done("mailbox", "add", "sales", "--from", "Anna <anna@sender.example>", *server)
    desk.campaign()

    assert "only a server on this machine may be used here. Nothing was sent." in desk.refused(*TEST)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"451 4.3.0 try again\r\n", "Not delivered (temporary): dot 451 4.3.0, the server refused."),
        (b"554 5.6.0 no\r\n", "Not delivered (permanent): dot 554 5.6.0, the server refused."),
        (say_and_hang_up(b""), "Nobody knows whether this mail was delivered: after the final dot, "),
        (b"what?\r\n", "Nobody knows whether this mail was delivered: after the final dot, "),
    ],
)
def test_a_test_that_was_not_accepted_is_not_recorded(desk: Desk, answer: Any, words: str) -> None:
    desk.ledger()
    with ScriptedServer({"DOT": answer}) as server:
        desk.mailbox(server.port)
        desk.campaign()

        assert words in desk.refused(*TEST)

    assert server.dots == 1
    assert desk.events("TestMailSent") == []


def test_a_server_that_is_not_there_is_said_and_the_mailbox_is_left_alone(desk: Desk) -> None:
    desk.ledger()
    with ScriptedServer() as server:
        port = server.port
    desk.mailbox(port)
    desk.campaign()

    assert "No mail server to send with" in desk.refused(*TEST)
    assert desk.rows("mailbox", "list")[0]["state"] == "open"
