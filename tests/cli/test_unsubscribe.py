"""Unsubscribing, from the setting in a campaign's file to a person who is never mailed again, on each database."""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from domain.commitments import unsubscribe_place, unsubscribe_token
from domain.events import Sender
from runner.sink import Sink
from tests.cli.desk import MONDAY, PEOPLE, Desk
from tests.databases import Databases

SETTINGS = """\
[unsubscribe]
mailto = "unsubscribe@sender.example"
url = "https://sender.example/u/{token}"

[schedule]
"""
WITH_LINK = [
    ("[schedule]\n", SETTINGS),
    ("the autumn catalogue is out.", "the autumn catalogue is out. Enough? {{ unsubscribe_url }}"),
]
EVENING = f"{MONDAY}T18:00+02:00"
HEADER = re.compile(
    r"<mailto:unsubscribe@sender\.example\?subject=unsubscribe%20([a-z2-7]{40})>, "
    r"<https://sender\.example/u/([a-z2-7]{40})>"
)


def mails(folder: Path) -> dict[str, EmailMessage]:
    """What was delivered, by recipient."""
    read = (message_from_bytes(path.read_bytes(), policy=policy.default) for path in (folder / "new").iterdir())
    return {str(message["To"]): message for message in read}


def token_of(message: EmailMessage) -> str:
    """The token of its header, the same in both ways."""
    found = HEADER.fullmatch(message["List-Unsubscribe"])
    assert found is not None
    assert found[1] == found[2]
    return found[1]


def begin(desk: Desk, databases: Databases, sink: Sink) -> None:
    """A ledger in such a database, and a mailbox."""
    url = databases.empty().render_as_string(hide_password=False)
    desk.done("init", "--simulated", "--start", f"{MONDAY}T08:00+02:00", "--database-url", url)
    desk.mailbox(sink.port)


@pytest.mark.parametrize("sender", ["v1", "v2"])
def test_each_mail_offers_both_ways_and_its_lead_s_own_link(desk: Desk, sink: Sink, sender: Sender) -> None:
    desk.ledger()
    desk.mailbox(sink.port)
    desk.campaign(('owner = "v1"', f'owner = "{sender}"'), *WITH_LINK)

    desk.done("run", "--until", EVENING)

    delivered = mails(desk.folder.parent / "mails")
    tokens = {address: token_of(message) for address, message in delivered.items()}
    assert {address: unsubscribe_place(token) for address, token in tokens.items()} == {
        "jan@customer.example": (1, 1),
        "shy@customer.example": (1, 3),  # at its second attempt
        "ewa@customer.example": (1, 4),
    }
    for address, message in delivered.items():
        assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert f"Enough? https://sender.example/u/{tokens[address]}\n" in message.get_content().replace("\r\n", "\n")


def test_who_unsubscribed_is_found_by_the_token_and_skipped_wherever_they_wait(
    desk: Desk, sink: Sink, databases: Databases
) -> None:
    begin(desk, databases, sink)
    desk.campaign(*WITH_LINK)
    desk.done("run", "--until", EVENING)
    desk.campaign(("Autumn 2026", "Winter 2026"))
    tokens = {address: token_of(message) for address, message in mails(desk.folder.parent / "mails").items()}

    said = desk.done("suppress", "token", tokens["jan@customer.example"], tokens["ewa@customer.example"].upper())

    assert said == "2 added, 0 on the list already; 2 waiting leads skipped.\n"
    assert [entry["reason"] for entry in desk.rows("suppress", "list")] == ["unsubscribed by link"] * 2
    assert {lead["lead_id"] for lead in desk.rows("queue", "2")} == {2, 3}
    again = desk.done("suppress", "token", tokens["jan@customer.example"], "--reason", "asked twice")
    assert again == "0 added, 1 on the list already; 0 waiting leads skipped.\n"


def test_a_token_of_nobody_suppresses_nobody(desk: Desk) -> None:
    desk.ledger()
    desk.mailbox()
    desk.campaign(*WITH_LINK)
    [jan, zofia, *_] = desk.kept()["contacts"]
    salts = {row[1]: next(value for value in row if isinstance(value, bytes)) for row in (jan, zofia)}
    good = unsubscribe_token(salts[1], 1, 1)
    forged = {
        "another lead's proof": unsubscribe_token(salts[1], 1, 2),
        "a campaign that is not there": unsubscribe_token(salts[1], 9, 1),
        "a lead that is not there": unsubscribe_token(salts[1], 1, 99),
        "the largest numbers": "7" * 40,
        "a piece of one": good[:-1],
        "no token": "jan@customer.example",
    }
    for token in forged.values():
        said = desk.refused("suppress", "token", good, token)
        assert "TOKEN: token 2 is none of this ledger's." in said
        assert "jan@customer.example" not in said
    assert "TOKEN: token 1 is of a test mail: it stands for nobody." in desk.refused("suppress", "token", "test")
    assert "holds what looks like an e-mail address" in desk.refused(
        "suppress", "token", good, "--reason", "jan@customer.example"
    )
    assert desk.done("suppress", "token", good).startswith("1 added")


def test_an_erased_lead_has_no_token_any_more(desk: Desk) -> None:
    desk.ledger()
    desk.mailbox()
    desk.campaign(*WITH_LINK)
    salt = next(value for value in desk.kept()["contacts"][0] if isinstance(value, bytes))
    token = unsubscribe_token(salt, 1, 1)
    desk.sql("DELETE FROM contacts WHERE lead_id = 1")

    assert "a lead that was erased has none any more" in desk.refused("suppress", "token", token)


def test_the_settings_are_content_and_change_by_an_edit(desk: Desk, sink: Sink) -> None:
    desk.ledger()
    desk.mailbox(sink.port)
    desk.campaign(started=False)

    assert desk.done("campaign", "edit", "1", desk.campaign_file(*WITH_LINK)) == "Campaign 1: ContentChanged.\n"
    assert "nothing changed" in desk.done("campaign", "edit", "1", desk.campaign_file(*WITH_LINK))
    mail_only = ('url = "https://sender.example/u/{token}"\n', "")
    desk.done("campaign", "edit", "1", desk.campaign_file(("[schedule]\n", SETTINGS), mail_only))
    desk.done("campaign", "start", "1")
    desk.done("run", "--until", EVENING)

    assert [row[-2:] for row in desk.kept()["contents"]] == [
        (None, None),
        ("unsubscribe@sender.example", "https://sender.example/u/{token}"),
        ("unsubscribe@sender.example", None),
    ]
    for message in mails(desk.folder.parent / "mails").values():
        assert message["List-Unsubscribe"].startswith("<mailto:")
        assert "https" not in message["List-Unsubscribe"]
        assert message["List-Unsubscribe-Post"] is None


def test_without_the_settings_a_mail_has_no_such_header(desk: Desk, sink: Sink) -> None:
    desk.ledger()
    desk.mailbox(sink.port)
    desk.campaign()
    desk.done("run", "--until", EVENING)

    [*delivered] = mails(desk.folder.parent / "mails").values()
    assert delivered
    assert all(message["List-Unsubscribe"] is None for message in delivered)


def test_what_cannot_be_is_refused_before_a_campaign_is_made(desk: Desk) -> None:
    desk.ledger()
    desk.mailbox()
    linked = desk.refused("campaign", "create", desk.campaign_file(WITH_LINK[1]))
    assert "autumn.toml, content.text: {{ unsubscribe_url }} is used" in linked
    assert "[unsubscribe]" in linked
    insecure = desk.campaign_file(("[schedule]\n", SETTINGS.replace("https", "http")))
    assert "autumn.toml, unsubscribe.url: is not https" in desk.refused("campaign", "create", insecure)


def test_a_column_of_that_name_is_refused(desk: Desk) -> None:
    desk.ledger()
    desk.mailbox()
    desk.done("campaign", "create", desk.campaign_file(*WITH_LINK))
    leads = desk.write("leads.csv", PEOPLE.replace("first_name", "unsubscribe_url"))

    assert "leads.csv, row 1, unsubscribe_url: Sendledger fills this field itself." in desk.refused(
        "leads", "import", "1", leads
    )


def test_a_campaign_in_html_alone_is_sent_with_a_text_derived_from_it(
    desk: Desk, sink: Sink, databases: Databases
) -> None:
    begin(desk, databases, sink)
    desk.write("mail.html", '<h1>Cześć, {{ first_name }}!</h1><p>Oto <a href="{{ unsubscribe_url }}">wyjście</a>.</p>')
    text = 'text = "Dear {{ first_name }}, the autumn catalogue is out."'
    people = "email,first_name\njan@customer.example,<b>Żółć</b> & Syn\n"
    desk.campaign((text, 'html_file = "mail.html"'), ("[schedule]\n", SETTINGS), people=people)

    desk.done("run", "--until", EVENING)

    message = mails(desk.folder.parent / "mails")["jan@customer.example"]
    plain, html = (part.get_content().replace("\r\n", "\n") for part in message.iter_parts())
    link = f"https://sender.example/u/{token_of(message)}"
    assert plain == f"Cześć, <b>Żółć</b> & Syn!\n\nOto wyjście <{link}>.\n"
    assert html == f'<h1>Cześć, &lt;b&gt;Żółć&lt;/b&gt; &amp; Syn!</h1><p>Oto <a href="{link}">wyjście</a>.</p>\n'
