"""Listings: the same rows as a table for people, and as JSON and CSV for programs; no cell that a spreadsheet runs."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.cli.desk import FAILED, MONDAY, Desk
from tests.smtp.scripted import ScriptedServer, in_turn

LISTINGS = {
    "mailbox list": ["name", "from", "server", "tls", "today", "daily_limit", "zone", "state"],
    "mailbox days sales": ["date", "mails"],
    "ticks": [
        *("tick_at", "until", "sender", "kind", "count", "considered", "sent", "failed", "in_doubt"),
        *("waiting", "finished_at", "runner"),
    ],
    "campaign list": [
        *("id", "name", "status", "owner", "mailbox"),
        *("leads", "queued", "locked", "sent", "failed", "skipped", "in_doubt"),
    ],
    "status": [
        *("id", "name", "status", "owner", "sent", "queued", "failed", "skipped", "in_doubt", "next_mail", "why"),
        *("shadow", "shadow_since", "due", "tried", "behind"),
    ],
    "leads list 1": ["lead_id", "state", "v1_status", "attempts", "last_code", "address"],
    "queue 1": ["lead_id", "state", "v1_status", "priority", "attempts", "next_attempt_at", "last_code"],
    "sendlog": [
        *("campaign_id", "lead_id", "attempt", "sender", "outcome", "locked_at", "finished_at"),
        *("code", "enhanced", "queue_id", "message_id", "digest"),
    ],
    "in-doubt list": [
        *("campaign_id", "lead_id", "attempt", "sender", "locked_at", "cause", "message_id", "mailbox"),
    ],
    "suppress list": ["hmac", "reason", "added_at", "by"],
    "tick v2": ["sender", "considered", "sent", "failed", "in_doubt", "waiting"],
    "check": ["what", "check", "verdict", "cases"],
    "run --dry-run": [
        *("campaign_id", "sender", "mailbox", "would", "leads", "lead_id", "due_at", "next_mail", "why"),
    ],
}
EMPTY_AT_FIRST = ("campaign list", "status", "sendlog", "ticks", "in-doubt list", "suppress list", "rebuild --check")
TIMES = ("locked_at", "tick_at", "finished_at", "next_attempt_at", "added_at", "due_at", "shadow_since")
GREYLISTED = b"451 4.7.1 Come back later\r\n"


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A ledger in which every listing has something to show. The tests only look at it (its V2 has nothing to do)."""
    desk = Desk(tmp_path_factory.mktemp("desk"))
    with pytest.MonkeyPatch.context() as patch, ScriptedServer({"DOT": in_turn(b"what?\r\n", GREYLISTED)}) as server:
        patch.chdir(desk.folder)
        desk.ledger(clock=f"{MONDAY}T10:00+02:00")
        desk.mailbox(server.port)
        desk.campaign()
        desk.done("shadow", "start", "1")
        desk.done("run", "--until", f"{MONDAY}T10:04+02:00")
        desk.done("suppress", "add", "max@customer.example")
    return desk


@pytest.fixture
def at_busy(busy: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(busy.folder)
    return busy


@pytest.mark.parametrize("listing", LISTINGS)
def test_json_and_csv_hold_the_same_rows_under_the_same_names(at_busy: Desk, listing: str) -> None:
    rows = at_busy.rows(*listing.split())
    assert [list(row) for row in rows] == [LISTINGS[listing]] * len(rows)
    assert rows
    header, *cells = at_busy.csv(*listing.split())
    assert header == LISTINGS[listing]
    assert cells == [["" if value is None else str(value) for value in row.values()] for row in rows]


@pytest.mark.parametrize("listing", LISTINGS)
def test_a_table_shows_every_row_below_its_names(at_busy: Desk, listing: str) -> None:
    rows = at_busy.rows(*listing.split())
    header, *lines = at_busy.done(*listing.split()).splitlines()
    assert all(name.split("_")[0] in header for name in LISTINGS[listing])
    assert len(lines) >= len(rows)


@pytest.mark.parametrize("listing", [name for name, columns in LISTINGS.items() if set(TIMES) & set(columns)])
def test_times_for_programs_are_in_utc_with_their_offset(at_busy: Desk, listing: str) -> None:
    told = [row[name] for row in at_busy.rows(*listing.split()) for name in TIMES if row.get(name)]
    assert told
    assert {datetime.fromisoformat(at).utcoffset() for at in told} == {timedelta(0)}


@pytest.mark.parametrize("listing", EMPTY_AT_FIRST)
def test_an_empty_listing_says_so_to_people_and_stays_readable_for_programs(desk: Desk, listing: str) -> None:
    desk.ledger()
    assert desk.rows(*listing.split()) == []
    assert len(desk.csv(*listing.split())) == 1
    assert len(desk.done(*listing.split()).splitlines()) == 1


def test_ticks_are_listed_newest_first_of_one_sender_and_as_many_as_asked_for(at_busy: Desk) -> None:
    every = at_busy.rows("ticks", "--sender", "v1")
    assert {row["sender"] for row in every} == {"v1"}
    times = [row["tick_at"] for row in every]
    assert times == sorted(times, reverse=True)
    assert at_busy.rows("ticks", "--sender", "v1", "--limit", "1") == every[:1]
    outcomes = Counter({name: sum(row[name] or 0 for row in every) for name in ("sent", "failed", "in_doubt")})
    assert outcomes.total() == len(at_busy.rows("sendlog")) > 0
    assert f"{MONDAY} 08:0" in at_busy.done("ticks")  # in UTC


def test_the_days_of_a_mailbox_count_what_left_through_it(at_busy: Desk) -> None:
    locked = sum(row["locked_at"] is not None for row in at_busy.rows("sendlog"))
    assert at_busy.rows("mailbox", "days", "sales") == [{"date": MONDAY, "mails": locked}]
    assert "there is no mailbox nobody; `sendledger mailbox list`" in at_busy.refused("mailbox", "days", "nobody")


def test_a_check_looks_at_the_events_and_at_what_the_views_have_counted(desk: Desk) -> None:
    desk.ledger(clock=f"{MONDAY}T10:00+02:00")
    with ScriptedServer() as server:
        desk.mailbox(server.port)
        desk.campaign()
        desk.done("tick", "v1")
    of_views = {row["check"]: row for row in desk.rows("check") if row["what"] == "views"}
    assert {name: (row["verdict"], row["cases"]) for name, row in of_views.items()} == {
        "nobody mailed twice": ("PASS", 1),
        "every lead in exactly one state": ("PASS", 4),
        "every event known to this program": ("PASS", len(desk.kept()["stored_events"])),
    }
    assert "views" not in {row["what"] for row in desk.rows("check", "1")}
    desk.sql("UPDATE send_log SET duplicate = 1 WHERE lead_id = 1")
    desk.sql("UPDATE leads SET state = 'lost' WHERE lead_id = 2")
    desk.sql("INSERT INTO event_counts VALUES ('EmailBounced/1', 2)")
    said = desk.says("check", "--format", "json")
    assert said.code == FAILED
    assert [(row["check"], row["examples"]) for row in json.loads(said.out) if row["verdict"] == "FAIL"] == [
        ("nobody mailed twice", "campaign 1, lead 1"),
        ("every lead in exactly one state", "campaign 1"),
        ("every event known to this program", "EmailBounced/1"),
    ]


def test_one_campaign_is_one_document_with_its_settings_inside(at_busy: Desk) -> None:
    shown: dict[str, Any] = at_busy.rows("campaign", "show", "1")
    assert (shown["name"], shown["limits"]["daily_limit"]) == ("Autumn 2026", 100)
    assert shown["schedule"]["weekdays"] == ["MON", "TUE", "WED", "THU", "FRI"]
    header, *cells = at_busy.csv("campaign", "show", "1")
    assert header == ["setting", "value"]
    told = dict(cells)
    assert told["created_at"] == shown["created_at"]
    assert json.loads(told["schedule"]) == shown["schedule"]
    assert f"{MONDAY} 10:00:00" in at_busy.done("campaign", "show", "1")


def test_why_is_one_document_for_programs(at_busy: Desk) -> None:
    assert set(at_busy.rows("why", "1")) == {"next_mail", "why", "lead"}
    assert at_busy.csv("why", "1", "--lead", "1") == [["next_mail", "why", "lead"], ["", "it is in doubt", "1"]]


def test_a_table_shows_brackets_and_colons_as_they_are(desk: Desk) -> None:
    desk.ledger()
    desk.mailbox(25, name="a", sender='"Anna [bold]:smile:" <anna@sender.example>')
    assert "Anna [bold]:smile: <anna@sender.example>" in desk.done("mailbox", "list")


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_a_cell_that_a_spreadsheet_would_run_is_quoted_in_csv_and_nowhere_else(desk: Desk, start: str) -> None:
    formula = f"{start}SUM(1)"
    desk.ledger()
    desk.mailbox(25, sender=f'"{formula}" <anna@sender.example>')
    desk.campaign(("Autumn 2026", formula))
    desk.done("suppress", "add", "max@customer.example", "--reason", formula)
    for listing, name in (("campaign list", "name"), ("status", "name"), ("suppress list", "reason")):
        header, *rows = desk.csv(*listing.split())
        assert [row[header.index(name)] for row in rows] == [f"'{formula}"]
        assert [row[name] for row in desk.rows(*listing.split())] == [formula]
    assert ["name", f"'{formula}"] in desk.csv("campaign", "show", "1")
    assert desk.csv("mailbox", "list")[1][1] == f"'{formula} <anna@sender.example>"
    assert formula in desk.done("campaign", "list")


def test_no_cell_of_any_csv_begins_as_a_formula(at_busy: Desk) -> None:
    for listing in LISTINGS:
        cells = [cell for row in at_busy.csv(*listing.split()) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_views_that_were_tampered_with_are_listed_as_differences_and_rebuilt(desk: Desk) -> None:
    desk.ledger()
    desk.mailbox()
    desk.campaign()
    desk.done("status")
    desk.sql("UPDATE leads SET priority = 7 WHERE lead_id = 2")
    said = desk.says("rebuild", "--check", "--format", "csv")
    assert said.code == 1
    header, row = csv.reader(io.StringIO(said.out))
    assert header == ["table", "key", "difference"]
    assert row == ["leads", "{'campaign_id': 1, 'position': 1}", "priority is 7 and should be 999"]
    desk.done("rebuild")
    assert desk.rows("rebuild", "--check") == []


def test_lines_of_csv_end_as_the_standard_says(at_busy: Desk) -> None:
    said = at_busy.done("campaign", "list", "--format", "csv")
    assert said.count("\r\n") == said.count("\n") == 2
