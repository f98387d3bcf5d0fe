"""Given an audit, when what it looks at was changed or is not there, then it says so and tells nothing else."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from runner.sink import Sink
from tests.cli.audits import sends_two_campaigns
from tests.cli.desk import BAD_INPUT, FAILED, MONDAY, Desk
from tests.smtp.scripted import ScriptedServer


@pytest.fixture
def sent(desk_on_each: Desk, sink: Sink) -> Desk:
    """Two campaigns that were sent."""
    sends_two_campaigns(desk_on_each, sink)
    return desk_on_each


def test_nothing_is_told_from_views_that_do_not_add_up(sent: Desk) -> None:
    sent.done("audit", "sends", "--campaign", "1")
    sent.sql("DELETE FROM send_log WHERE campaign_id = 1 AND lead_id = 4")
    for words in (("sends",), ("sends", "--campaign", "1", "--format", "csv", "-o", "out.csv"), ("systems",)):
        said = sent.says("audit", *words)
        assert (said.code, said.out) == (BAD_INPUT, "")
        assert "campaign-1 has 3 EmailSent events, and 2 rows of them" in said.err
        assert "`sendledger rebuild` makes them anew" in said.err
    assert not Path("out.csv").exists()
    assert len(sent.rows("audit", "sends", "--campaign", "2")) == 3  # what does add up is told
    sent.done("rebuild")
    assert len(sent.rows("audit", "sends")) == 8


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--campaign", "9"), "there is no campaign 9"),
        (("--since", "monday"), "--since: 'monday' is no instant"),
        (("--since", "2026-10-06T00:00Z", "--until", "2026-10-05T00:00Z"), "--until: lies before --since."),
        (("--format", "parquet"), "--output: is missing. Parquet goes into a file"),
        (("-o", "sends.txt"), "--format: a table is for the terminal."),
    ],
)
def test_what_cannot_be_exported_is_refused(desk: Desk, words: tuple[str, ...], told: str) -> None:
    desk.ledger()
    assert told in desk.refused("audit", "sends", *words)


def test_what_is_not_installed_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.ledger()
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    said = desk.refused("audit", "sends", "--format", "parquet", "-o", "x.parquet")
    assert "Parquet needs pyarrow. Install it beside Sendledger: pip install 'sendledger[parquet]'." in said
    assert "pip install 'sendledger[plot]'" in desk.refused("audit", "systems", "--plot", "x.png")
    assert "--plot: is no kind of picture." in desk.refused("audit", "systems", "--plot", "x.doc")


def test_a_person_who_was_never_mailed_is_told_too(sent: Desk) -> None:
    sent.campaign(people="email,first_name\nnew@customer.example,New\n", started=False)
    sent.done("suppress", "add", "new@customer.example")
    [row] = sent.rows("audit", "person", "new@customer.example")
    assert (row["state"], row["attempt"], row["daily_limit"]) == ("skipped", None, 100)
    sent.done("campaign", "edit", "1", sent.campaign_file(("delay_s = 90", "delay_s = 60")))
    assert {row["delay_s"] for row in sent.rows("audit", "person", "jan@customer.example")} == {90}  # as it was then
    assert sent.done("audit", "person", "new@customer.example").endswith("is on the suppression list.\n")
    assert sent.done("audit", "person", "who@customer.example").startswith("No lead has this address, or it was")
    assert "Correct the address" in sent.refused("audit", "person", "who")


def test_bytes_that_were_changed_are_not_shown_as_the_mail(sent: Desk) -> None:
    sent.done("status")
    zeros = "x'00'" if sent.server is None else "'\\x00'::bytea"
    damages = {
        (1, 4): ("UPDATE kept_mails SET message = {zeros} WHERE {lead}", "are not those that were sent"),
        (1, 1): ("UPDATE contacts SET salt = {zeros} WHERE {lead}", "are not those that were sent"),
        (2, 1): ("UPDATE send_log SET lock_position = 3 WHERE {lead}", "holds another event than the views say"),
        (2, 2): ("DELETE FROM kept_mails WHERE {lead}", "was erased, and the bytes of the mail with it"),
    }
    for (campaign, lead), (damage, words) in damages.items():
        sent.sql(damage.format(zeros=zeros, lead=f"campaign_id = {campaign} AND lead_id = {lead}"))
        assert words in sent.refused("audit", "mail", str(campaign), str(lead))


def test_what_is_in_doubt_is_counted_as_such(desk: Desk) -> None:
    desk.ledger()
    with ScriptedServer({"DOT": b"what was that?\r\n"}) as server:
        desk.mailbox(server.port)
        desk.campaign(people="email,first_name\njan@customer.example,Jan\n")
        desk.done("run", "--until", f"{MONDAY}T12:00+02:00")
    assert [row["in_doubt"] for row in desk.rows("audit", "systems")] == [1]
    assert [row["outcome"] for row in desk.rows("audit", "sends", "--outcome", "in-doubt")] == ["in doubt"]


def test_every_exception_is_named_with_its_sender(sent: Desk) -> None:
    """As if a sender had ignored the window and the mailbox's limit: below the triggers, as only an owner can."""
    sent.sql("DROP TRIGGER stored_events_no_" + ("update" if sent.server is None else "change ON stored_events"))
    column = "CAST(replace(CAST(state AS text), '{}', '{}') AS blob)"
    if sent.server is not None:
        column = "convert_to(replace(convert_from(state, 'UTF8'), '{}', '{}'), 'UTF8')"
    sent.sql(
        f"UPDATE stored_events SET state = {column.format('T07:0', 'T17:0')}"  # noqa: S608 - it is meant to do harm
        " WHERE topic = 'EmailLocked/1' AND originator_id = 'campaign-2'"
    )
    limits = ('"daily_limit":50', '"daily_limit":1')
    sent.sql(
        f"UPDATE stored_events SET state = {column.format(*limits)}"  # noqa: S608 - the same
        " WHERE topic = 'MailboxAdded/1'"
    )
    said = sent.says("audit", "rules", "--format", "json")
    exceptions = json.loads(said.out)["exceptions"]
    assert said.code == FAILED
    assert {(each["stream"], each["rule"], each["sender"]) for each in exceptions} == {
        ("campaign-2", "schedule", "v2"),
        ("mailbox-sales", "mailbox's daily limit", None),
    }
    assert len([each for each in exceptions if each["rule"] == "schedule"]) == 3
    assert sent.rows("audit", "systems")[1]["violations"] == 3
    header, *rows = list(csv.reader(sent.says("audit", "rules", "--format", "csv").out.splitlines()))
    assert header[-2:] == ["rule", "what"]
    assert len(rows) == len(exceptions)
    assert "\nExceptions\n" in sent.says("audit", "rules").out
