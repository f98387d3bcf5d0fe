"""A dry run: it names what the tick would send and why the rest would wait, and leaves no trace anywhere."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL

from domain.events import Sender
from runner.daemon import CADENCE
from runner.sending.foresight import Leaving, foresee
from runner.sink import Sink
from runner.store.ledger import Ledger
from tests.cli.desk import MONDAY, Desk, ended
from tests.cli.given import every_row, open_desk
from tests.cli.test_daemon import EVERY_SECOND, SlowServer, always_open, running
from tests.smtp.scripted import ScriptedServer

COLUMNS = ["campaign_id", "sender", "mailbox", "would", "leads", "lead_id", "due_at", "next_mail", "why"]
NO_DELAY, V2 = ("delay_s = 90", "delay_s = 0"), ('owner = "v1"', 'owner = "v2"')
NOW, TOMORROW = f"{MONDAY}T08:00:00.000000+00:00", "2026-10-06T07:00:00.000000+00:00"
TIMEOUT_S = 30


def at_ten(desk: Desk, port: int = 25, *options: str) -> None:
    """Monday at ten: the window is open."""
    desk.ledger(clock=f"{MONDAY}T10:00+02:00")
    desk.mailbox(port, *options)


def told(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What matters of each row."""
    return [(row["campaign_id"], row["would"], row["leads"], row["lead_id"], row["why"]) for row in rows]


@pytest.mark.parametrize(
    ("sender", "leads", "why"),
    [
        ("v1", [1], f"delay, until {MONDAY} 10:01:12"),
        ("v2", [1, 2], "campaign's daily limit (2 a day), until 2026-10-06 00:00:00"),
    ],
)
def test_the_tick_then_sends_what_its_dry_run_named(desk: Desk, sender: Sender, leads: list[int], why: str) -> None:
    with ScriptedServer({}) as server:
        at_ten(desk, server.port)
        changes = [V2, NO_DELAY, ("daily_limit = 100", "daily_limit = 2")] if sender == "v2" else []
        desk.campaign(*changes)

        said = desk.rows("tick", sender, "--dry-run")
        assert server.connections == 0
        [done] = desk.rows("tick", sender)

    assert told(said) == [
        *((1, "send", 1, lead, "due") for lead in leads),
        (1, "wait", 4 - len(leads), None, why),
    ]
    assert [row["due_at"] for row in said[:-1]] == [NOW] * len(leads)
    assert done["sent"] == len(leads)
    assert sorted(row["lead_id"] for row in desk.rows("sendlog")) == leads
    assert desk.rows("why", "1")["next_mail"] == said[-1]["next_mail"]


def test_each_campaign_that_waits_says_its_rule_and_when_it_can_go_on(desk: Desk) -> None:
    at_ten(desk)
    desk.mailbox(name="office")
    desk.campaign(started=False)
    desk.campaign(V2)
    desk.done("campaign", "pause", "2")
    desk.campaign(('start = "09:00"', 'start = "13:00"'))
    desk.campaign(('mailbox = "sales"', 'mailbox = "office"'), V2)
    desk.done("mailbox", "pause", "office", "--reason", "moving house")
    desk.campaign(NO_DELAY)
    desk.campaign()
    desk.done("campaign", "cancel", "6")

    rows = desk.rows("run", "--dry-run")

    assert told(rows) == [
        (5, "send", 1, 1, "due"),
        (1, "wait", 4, None, "not started"),
        (3, "wait", 4, None, f"window, until {MONDAY} 13:00:00"),
        (5, "wait", 3, None, "the ticks: one mail in 60 s"),
        (2, "wait", 4, None, "paused"),
        (4, "wait", 4, None, "mailbox paused (moving house)"),
    ]
    assert [row["next_mail"] for row in rows] == [
        "now",
        None,
        f"{MONDAY}T11:00:00.000000+00:00",
        f"{MONDAY}T08:01:00.000000+00:00",
        None,
        None,
    ]
    assert {row["mailbox"] for row in rows} == {"sales", "office"}


def test_both_senders_share_a_mailboxs_limit_and_v1_goes_first(desk: Desk) -> None:
    at_ten(desk, 25, "--daily-limit", "3")
    desk.campaign(V2, NO_DELAY)
    desk.campaign()
    rows = desk.rows("run", "--dry-run")
    limit = "mailbox's daily limit (3 a day), until 2026-10-06 00:00:00"
    assert told(rows) == [
        (2, "send", 1, 1, "due"),
        (1, "send", 1, 1, "due"),
        (1, "send", 1, 2, "due"),
        (2, "wait", 3, None, f"delay, until {MONDAY} 10:01:12"),
        (1, "wait", 2, None, limit),
    ]
    assert rows[-1]["next_mail"] == TOMORROW


def test_more_than_are_listed_are_counted(desk: Desk) -> None:
    at_ten(desk)
    desk.campaign(V2, NO_DELAY)
    assert told(desk.rows("tick", "v2", "--dry-run", "--limit", "1")) == [
        (1, "send", 1, 1, "due"),
        (1, "send", 3, None, "due; --limit lists more"),
    ]
    assert [row["lead_id"] for row in desk.rows("run", "--dry-run", "--limit", "4")] == [1, 2, 3, 4]


def test_a_limit_is_not_taken_for_so_many_mails(desk: Desk, sink: Sink) -> None:
    at_ten(desk, sink.port)
    desk.campaign(V2, NO_DELAY)
    for words in (("tick", "v2"), ("run", "--until", f"{MONDAY}T11:00+02:00")):
        assert "Add --dry-run." in desk.refused(*words, "--limit", "1")
    assert sink.accepted == 0


def test_a_person_is_told_that_nothing_was_sent(desk: Desk) -> None:
    at_ten(desk)
    assert desk.done("tick", "v1", "--dry-run").splitlines() == [
        "Nobody waits.",
        f"Dry run at {MONDAY} 08:00:00 UTC: nothing was sent, nothing was changed.",
    ]
    desk.campaign()
    header, first, rest, last = desk.done("run", "--dry-run").splitlines()
    assert header.split() == " ".join(COLUMNS).replace("_", " ").split()
    assert first.split() == ["1", "v1", "sales", "send", "1", "1", MONDAY, "10:00:00", "now", "due"]
    assert rest.split()[:5] == ["1", "v1", "sales", "wait", "3"]
    assert last.startswith("Dry run at ")
    assert desk.csv("run", "--dry-run")[0] == COLUMNS


def test_it_changes_nothing_at_all(tmp_path: Path, database: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer({}) as server:
        desk = open_desk(tmp_path, database, monkeypatch, server.port)
        before, files = every_row(database), sorted(tmp_path.rglob("*"))

        for words in (("run",), ("tick", "v1"), ("tick", "v2")):
            desk.done(*words, "--dry-run")
        assert [row["lead_id"] for row in desk.rows("run", "--dry-run")] == [1, 2, 3, 4]

        assert every_row(database) == before
        assert sorted(tmp_path.rglob("*")) == files
        assert server.connections == 0


def test_a_ledger_that_is_asked_twice_foresees_the_same(
    tmp_path: Path, database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_desk(tmp_path, database, monkeypatch, 25)
    now = datetime.now(UTC)
    with closing(Ledger(database)) as ledger:
        once, again = ([found.send for found in leaving(ledger, now)] for _ in range(2))
    assert [send.lead_id for send in once] == [1, 2, 3, 4]
    assert again == once


def leaving(ledger: Ledger, now: datetime) -> list[Leaving]:
    return [found for found in foresee(ledger, CADENCE, now) if isinstance(found, Leaving)]


def test_beside_a_daemon_it_names_those_whose_mail_is_not_under_way(desk: Desk) -> None:
    with SlowServer() as server:
        always_open(desk, server.port, "v2")
        with running(desk, "run", *EVERY_SECOND) as daemon:
            assert server.holding.wait(TIMEOUT_S)
            rows = desk.rows("run", "--dry-run")
            assert len(desk.events("RunnerStarted")) == 1
            assert daemon.poll() is None
            server.go_on.set()
            os.kill(daemon.pid, signal.SIGTERM)
            assert ended(daemon).code == 0
    assert told(rows) == [(1, "send", 1, lead, "due") for lead in (2, 3, 4)]


def test_it_is_refused_where_a_runner_would_be(desk: Desk) -> None:
    at_ten(desk)
    desk.campaign()
    for guard in desk.folder.rglob("guard.json"):
        guard.unlink()
    for words in (("run", "--until", f"{MONDAY}T11:00+02:00"), ("run", "--dry-run"), ("tick", "v1", "--dry-run")):
        assert "runner register" in desk.refused(*words)
