"""`sendledger status --watch`: the view drawn from an overview, taken from a ledger, and live in a real terminal."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from select import select
from time import monotonic

import pytest
from rich.console import Console, RenderableType

from domain.rules import Rule, Wait
from runner.cli.screen import BAR_WIDTH, MOST_CAMPAIGNS, MOST_MAILBOXES, MOST_NEXT, screen, screen_while_away
from runner.overview import CampaignNow, MailboxNow, Overview, TickNow, overview
from runner.settings import load_settings
from runner.workplace import Workplace
from tests.cli.desk import DONE, MONDAY, TIMEOUT_S, Desk
from tests.cli.test_daemon import EVERY_SECOND, always_open, running
from tests.smtp.scripted import ScriptedServer

NOON = datetime(2026, 10, 5, 10, tzinfo=UTC)
TOMORROW = NOON + timedelta(days=1)
AUTUMN = CampaignNow(
    number=1,
    name="Autumn [bold]2026",
    status="running",
    owner="v1",
    zone="Europe/Warsaw",
    leads=40_000,
    queued=29_000,
    locked=0,
    sent=9_000,
    failed=500,
    skipped=500,
    in_doubt=1_000,
    next_at=TOMORROW,
    wait=Wait(Rule.WINDOW, TOMORROW),
)
EMPTY = Overview(at=NOON, simulated=False, campaigns=[], mailboxes=[], in_doubt=0, ticks=[], runners=0)
BUSY = replace(EMPTY, campaigns=[AUTUMN], runners=2)


def drawn(now: Overview | RenderableType, width: int = 160) -> list[str]:
    """The lines that a person sees."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=width, file=nowhere, force_terminal=True, emoji=False)
        console.print(screen(now) if isinstance(now, Overview) else now)
        return [line.rstrip() for line in console.export_text().splitlines()]


# --- drawing ---


def test_an_empty_ledger_names_the_first_command() -> None:
    assert drawn(EMPTY) == [
        "sendledger  2026-10-05 10:00:00 UTC   runners: none alive   in doubt: 0",
        "",
        "No campaigns yet: sendledger campaign create FILE",
        "",
        "Last ticks recorded: none. (Idle ones are written down once an hour.)",
    ]


def test_a_campaign_shows_its_counts_its_progress_and_what_holds_it_back() -> None:
    [row] = [each for each in drawn(BUSY) if "running" in each]
    bar = "━" * (BAR_WIDTH // 4) + "╺" + "━" * (BAR_WIDTH * 3 // 4 - 1)
    assert row.split(maxsplit=12) == [
        *("1", "Autumn", "[bold]2026", "running", "v1", bar, "25", "%", "9,000", "29,000", "500", "500"),
        "1,000  window, until 2026-10-06 12:00:00",
    ], "the time is that of the campaign's zone"
    assert "runners: 2 alive" in drawn(BUSY)[0]


def test_what_is_in_doubt_stands_on_top_with_the_command() -> None:
    assert drawn(replace(BUSY, in_doubt=1_000))[0].endswith("in doubt: 1,000 (sendledger in-doubt list)")


def test_running_campaigns_come_first_and_a_long_list_is_cut_with_its_rest() -> None:
    others = [replace(AUTUMN, number=number, name=f"No {number}", status="paused") for number in range(2, 20)]
    shown = drawn(replace(BUSY, campaigns=[*others, replace(AUTUMN, number=99, name="Last")]))
    rows = [each for each in shown if " v1 " in each]
    assert len(rows) == MOST_CAMPAIGNS
    assert rows[0].startswith("99  Last")
    assert f"… {19 - MOST_CAMPAIGNS} more: sendledger status" in shown


def test_the_next_mails_are_the_earliest_and_none_of_an_unknown_time() -> None:
    campaigns = [replace(AUTUMN, number=n, name="N", next_at=TOMORROW + timedelta(hours=9 - n)) for n in range(1, 9)]
    due = replace(AUTUMN, number=9, name="Due", next_at=NOON, wait=None)
    never = replace(AUTUMN, number=10, name="Never", next_at=None, wait=Wait(Rule.MAILBOX_PAUSED, note="by hand"))
    shown = drawn(replace(BUSY, campaigns=[*campaigns, due, never]))
    rows = shown[shown.index("next mail            zone           campaign") + 1 :][:MOST_NEXT]
    assert [row.split()[-2:] for row in rows] == [["9", "Due"], ["8", "N"], ["7", "N"], ["6", "N"], ["5", "N"]]
    assert rows[0].startswith("now ")
    assert rows[1].startswith("2026-10-06 13:00:00  Europe/Warsaw")
    assert any(each.endswith("mailbox paused (by hand)") for each in shown)


def test_a_mailbox_shows_todays_use_and_those_held_back_come_first() -> None:
    boxes = [MailboxNow(f"box-{n}", 1_200, 5_000, "Europe/Warsaw", None) for n in range(9)]
    held = MailboxNow("zzz", 50, 50, "Europe/Warsaw", Wait(Rule.MAILBOX_LIMIT, TOMORROW, "50 a day"))
    shown = drawn(replace(BUSY, mailboxes=[*boxes, held]))
    [header] = [number for number, each in enumerate(shown) if each.split() == ["mailbox", "today", "limit", "state"]]
    rows = shown[header + 1 :][:MOST_MAILBOXES]
    assert rows[0].split(maxsplit=3) == [
        "zzz",
        "50",
        "50",
        "mailbox's daily limit (50 a day), until 2026-10-06 12:00:00",
    ]
    assert rows[1].split() == ["box-0", "1,200", "5,000", "open"]
    assert "… 2 more: sendledger mailbox list" in shown


def test_the_last_ticks_are_told_with_what_they_did() -> None:
    ticks = [TickNow("v1", NOON, "tick", 3, 1), TickNow("v2", TOMORROW, "idle", 0, 0)]
    assert drawn(replace(BUSY, ticks=ticks))[-1].startswith(
        "Last ticks recorded: v1 2026-10-05 10:00:00 UTC, 3 sent, 1 failed; v2 2026-10-06 10:00:00 UTC, idle."
    )


def test_while_the_database_is_away_the_top_says_since_when_and_what_was_seen_last_stays() -> None:
    away, label, *seen = drawn(screen_while_away(BUSY, NOON, "connection refused."))
    assert away == "The database is away since 2026-10-05 10:00:00 UTC: connection refused. It is looked for again."
    assert (label, seen) == ("Seen last:", drawn(BUSY))


def test_a_narrow_terminal_is_never_exceeded() -> None:
    assert max(map(len, drawn(replace(BUSY, mailboxes=[]), width=80))) <= 80


# --- what is drawn ---


def test_an_overview_follows_what_other_processes_do(office: Desk) -> None:
    with ScriptedServer({"DOT": b"what?\r\n"}) as server, closing(Workplace(load_settings())) as place:
        office.mailbox(server.port, "--daily-limit", "1")
        office.campaign()
        before = overview(place)
        office.done("run", "--until", f"{MONDAY}T10:01+02:00")
        after = overview(place)
    [campaign], [mailbox] = before.campaigns, before.mailboxes
    assert (campaign.queued, campaign.next_at, campaign.wait) == (4, before.at, None)
    assert (mailbox.today, mailbox.daily_limit, mailbox.wait) == (0, 1, None)
    assert (before.in_doubt, list(before.ticks), before.runners, before.simulated) == (0, [], 0, True)
    [campaign], [mailbox] = after.campaigns, after.mailboxes
    assert (campaign.queued, campaign.in_doubt, campaign.settled) == (3, 1, 0)
    assert campaign.wait is not None
    assert (campaign.wait.rule, campaign.next_at) == (Rule.MAILBOX_LIMIT, datetime(2026, 10, 6, 7, tzinfo=UTC))
    assert (mailbox.today, mailbox.wait is not None) == (1, True)
    assert (after.in_doubt, {tick.sender for tick in after.ticks}) == (1, {"v1", "v2"})
    assert after.at == before.at + timedelta(minutes=1), "simulated time went on elsewhere"


# --- the command ---


def test_where_nobody_can_watch_it_is_shown_once(office: Desk) -> None:
    office.mailbox()
    office.campaign()
    first, *lines = office.done("status", "--watch").splitlines()
    assert first.startswith(f"sendledger  {MONDAY} 08:00:00 UTC, simulated   runners: none alive")
    assert any(each.lstrip().startswith("1  Autumn 2026  running") for each in lines)
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("--watch", "--format", "json"), "--format"),
        (("--every", "2s"), "--every"),
        (("--watch", "--every", "2"), "--every"),
    ],
)
def test_what_does_not_go_together_is_refused(desk: Desk, words: tuple[str, ...], field: str) -> None:
    desk.ledger()
    assert desk.refused("status", *words).startswith(f"sendledger: {field}: ")


def test_in_a_terminal_it_goes_on_until_ctrl_c(desk: Desk) -> None:
    with ScriptedServer() as server:
        always_open(desk, server.port, "v2")
        with in_a_terminal(desk, "status", "--watch", "--every", "1s") as (process, until):
            assert "none alive" in until("Autumn 2026")
            with running(desk, "run", *EVERY_SECOND):
                until("1 alive")
                until("completed")
            desk.done("campaign", "list")
            os.kill(process.pid, signal.SIGINT)
            last = until(None)
        assert process.returncode == DONE
    assert "100 %" in last.rpartition("\x1b[?1049l")[2], "what was seen last stays readable"
    assert "Traceback" not in last
    assert desk.rows("status")[0]["sent"] == 4


@contextmanager
def in_a_terminal(desk: Desk, *words: str) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[str | None], str]]]:
    """The console script with a terminal of its own, and a way to read it until some words are shown, or to its end."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [Path(sys.executable).with_name("sendledger"), *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=desk.folder,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "160", "LINES": "40"},
    )
    os.close(theirs)
    try:
        yield process, lambda words: _read_until(ours, words)
        process.wait(TIMEOUT_S)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _read_until(terminal: int, words: str | None) -> str:
    shown, deadline = "", monotonic() + TIMEOUT_S
    while words is None or words not in shown:
        ready, _, _ = select([terminal], [], [], max(0, deadline - monotonic()))
        assert ready, f"{words!r} was never shown"
        octets = b""
        with suppress(OSError):  # how Linux says that nobody writes any more
            octets = os.read(terminal, 65536)
        if not octets:
            assert words is None, f"it ended before {words!r} was shown"
            return shown
        shown += octets.decode(errors="replace")
    return shown
