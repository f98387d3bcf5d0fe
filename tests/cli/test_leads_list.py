"""`sendledger leads list`: where each lead is, and who it is as long as that is kept; a long list takes no memory."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import Any

import pytest
from sqlalchemy import delete, text

from projections import kept
from projections.database import engine_for, writing
from runner.cli.output import Format, print_json, show
from runner.settings import load_settings
from tests.cli.desk import MONDAY, PEOPLE, SENDLEDGER, TIMEOUT_S, Desk
from tests.smtp.scripted import ScriptedServer, in_turn

MANY = 20_000
MEMORY = 3 * 2**20
"""A fraction of what so many rows take wherever they are held: as JSON alone they have 3 MB."""

MORE_LEADS = """
WITH RECURSIVE numbers (number) AS (SELECT 5 UNION ALL SELECT number + 1 FROM numbers WHERE number < :many)
INSERT INTO leads
    (campaign_id, position, lead_id, state, v1_status, priority, revision, attempts, accepted_late, queued_at)
SELECT 1, number - 1, number, 'queued', 'queued', 1, 0, 0, 0, '2026-10-05' FROM numbers
"""
MORE_CONTACTS = """
WITH RECURSIVE numbers (number) AS (SELECT 5 UNION ALL SELECT number + 1 FROM numbers WHERE number < :many)
INSERT INTO contacts
    (campaign_id, lead_id, position, address, address_key, address_hmac, salt, fields, revision, commitment)
SELECT 1, number, number - 1, number || '@customer.example', number || '@', '', salt, fields, 0, ''
FROM contacts, numbers WHERE lead_id = 1
"""
"""Straight into the tables: to import so many takes longer than all tests here."""

ANSWERS = (b"250 2.0.0 ok\r\n", b"550 5.1.1 no such user\r\n", b"451 4.7.1 later\r\n", b"what?\r\n")
STATES = {"sent": 1, "failed": 2, "queued": 3, "in-doubt": 4}
"""What becomes of the four leads, by their numbers."""


@pytest.fixture
def mailed(office: Desk) -> Desk:
    """A campaign whose four leads met four kinds of answers."""
    people = PEOPLE.replace("jan@", "+jan@")
    with ScriptedServer({"DOT": in_turn(*ANSWERS)}) as server:
        office.mailbox(server.port)
        office.campaign(people=people)
        office.done("run", "--until", f"{MONDAY}T10:07+02:00")
    return office


def test_each_lead_is_listed_with_its_state_and_address(mailed: Desk) -> None:
    assert [tuple(row.values()) for row in mailed.rows("leads", "list", "1")] == [
        (1, "sent", "sent", 1, 250, "+jan@customer.example"),
        (2, "failed", "failed", 1, 550, "gone@customer.example"),
        (3, "queued", "queued", 1, 451, "shy@customer.example"),
        (4, "in doubt", "sending", 1, None, "ewa@customer.example"),
    ]
    assert mailed.csv("leads", "list", "1")[1][-1] == "'+jan@customer.example", "a spreadsheet would run it"
    table = mailed.done("leads", "list", "1").splitlines()
    assert table[0].split() == ["lead", "id", "state", "v1", "status", "attempts", "last", "code", "address"]
    assert table[1].split() == ["1", "sent", "sent", "1", "250", "+jan@customer.example"]


def test_a_list_can_be_of_one_state_and_cut_short(mailed: Desk) -> None:
    for state, lead in STATES.items():
        assert [row["lead_id"] for row in mailed.rows("leads", "list", "1", "--state", state)] == [lead]
    assert mailed.done("leads", "list", "1", "--state", "locked") == "No such leads.\n"
    assert [row["lead_id"] for row in mailed.rows("leads", "list", "1", "--limit", "2")] == [1, 2]
    assert mailed.done("leads", "list", "1", "--limit", "3").splitlines()[-1] == "… 1 more; --limit shows them."


def test_an_erased_person_is_shown_as_such(mailed: Desk) -> None:
    engine = engine_for(load_settings().url)
    with writing(engine) as connection:
        connection.execute(delete(kept.contacts).where(kept.contacts.c.lead_id == 2))
    engine.dispose()
    assert [row["address"] for row in mailed.rows("leads", "list", "1", "--limit", "2")] == [
        "+jan@customer.example",
        "[erased]",
    ]
    assert "[erased]" in mailed.done("leads", "list", "1")


def test_a_campaign_or_state_that_is_not_there_is_refused(office: Desk) -> None:
    assert "there is no campaign 7" in office.refused("leads", "list", "7")
    assert "'lost' is not one of" in office.refused("leads", "list", "1", "--state", "lost")
    assert "'--limit'" in office.refused("leads", "list", "1", "--limit", "0")


class Meter(io.TextIOBase):
    """Takes what is printed, holds none of it, and knows how many lines there were."""

    def __init__(self) -> None:
        self.lines = 0

    def write(self, text: str) -> int:
        self.lines += text.count("\n")
        return len(text)


@pytest.mark.parametrize(("form", "lines"), [("csv", MANY + 1), ("json", MANY * 8 + 2)])
def test_many_leads_are_listed_in_constant_memory(office: Desk, form: str, lines: int) -> None:
    office.mailbox()
    office.campaign(started=False)
    office.done("status")  # so that the views hold all events: what is added now is in no event
    engine = engine_for(load_settings().url)
    with writing(engine) as connection:
        for statement in (MORE_LEADS, MORE_CONTACTS):
            connection.execute(text(statement), {"many": MANY})
    engine.dispose()
    meter = Meter()
    tracemalloc.start()
    try:
        with redirect_stdout(meter), pytest.raises(SystemExit) as end:
            SENDLEDGER.main(["leads", "list", "1", "--format", form])
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (end.value.code, meter.lines) == (0, lines)
    assert most < MEMORY


def test_json_that_comes_row_by_row_is_the_document_that_it_would_be_at_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows: list[dict[str, Any]] = [{"a": 'Zażółć "x"\n', "b": None}, {"a": "", "b": 7}]
    for some in ([], rows[:1], rows):
        print_json(some)
        at_once = capsys.readouterr().out
        show(iter(some), ("a", "b"), Format.JSON)
        assert capsys.readouterr().out == at_once


@pytest.mark.parametrize("form", [Format.JSON, Format.CSV])
def test_a_row_is_written_before_the_next_one_is_asked_for(form: Format) -> None:
    out = io.StringIO()

    def rows() -> Iterator[dict[str, int]]:
        for number in range(1000, 1003):
            yield {"number": number}
            assert str(number) in out.getvalue()

    with redirect_stdout(out):
        show(rows(), ("number",), form)
    assert "1002" in out.getvalue()


def test_a_reader_that_has_seen_enough_ends_the_listing_without_a_word(office: Desk) -> None:
    office.mailbox()
    office.campaign(people="email\n" + "".join(f"p{n}@customer.example\n" for n in range(3_000)), started=False)
    with office.process("leads", "list", "1", "--format", "csv") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "lead_id,state,v1_status,attempts,last_code,address\n"
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(TIMEOUT_S) == 1
