"""Given a ledger on a server of its own, when that server goes away, before a command or in the middle of one, then the
command ends with one line that says so, nothing is half done, and the same command works when the server is back.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import get_args

import pytest
from sqlalchemy.engine import URL

from migrations.run import shown
from runner.cli.context import AGAIN, LOOK_FIRST
from runner.store import copying
from tests.another_program import give_back, take_away
from tests.cli import victims
from tests.cli.desk import BAD_INPUT, DONE, MONDAY, Desk, Said, ended
from tests.cli.test_watch import in_a_terminal
from tests.databases import OwnServer, PostgresDatabases, own_server
from tests.faults import processes
from tests.projections.victims import Moment, struck_at
from tests.store.cable import Moment as CutMoment

PASSWORD = "hunter2"
IMPORTED = 2_500
"""An import appends a thousand at a time."""
COMMANDS = (
    *("status", "status --watch", "status --format json", "queue 1", "sendlog", "why 1", "ticks", "check"),
    *("campaign list", "campaign show 1", "campaign preview 1", "campaign pause 1", "campaign resume 1"),
    *("campaign create autumn.toml", "campaign edit 1 autumn.toml", "campaign cancel 1", "leads list 1"),
    *("leads import 1 more.csv", "leads import 1 more.csv --dry-run", "mailbox list", "mailbox pause sales"),
    *("mailbox set sales --daily-limit 7", "in-doubt list", "suppress list", "suppress add jan@customer.example"),
    *("suppress import more.csv", "runner register --reason moved", "rebuild", "rebuild --check", "run --dry-run"),
    *("db current", "db check", "db upgrade", "db grant --reader nobody", "tick v1"),
)
BY_PROCESS = ("status", "campaign pause 1", "leads import 1 more.csv", "rebuild", "status --watch")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServer]:
    """A server that nobody else uses."""
    with own_server(tmp_path_factory.mktemp("own")) as server:
        yield server


@pytest.fixture
def database(server: OwnServer) -> Iterator[URL]:
    """An empty one there. Who logs in has a password."""
    with PostgresDatabases(server.url).within() as databases:
        yield databases.empty().set(password=PASSWORD)
        server.start()  # a test may have left it away


@pytest.fixture
def desk(folder: Path, database: URL, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A ledger there, with a campaign under way."""
    monkeypatch.setenv("SENDLEDGER_DATABASE_URL", database.render_as_string(hide_password=False))
    desk = Desk(folder, database)
    desk.ledger(clock=f"{MONDAY}T10:00+02:00")
    desk.mailbox()
    desk.campaign()
    desk.done("status")
    people = "".join(f"p{number}@customer.example,P\n" for number in range(IMPORTED))
    desk.write("more.csv", f"email,first_name\n{people}")
    return desk


def url_of(desk: Desk) -> URL:
    assert desk.server is not None
    return desk.server


def ends_in_one_line(said: Said, url: URL) -> str:
    """It names the database, what is wrong and what to do, and nothing that is nobody's business."""
    assert (said.code, said.out) == (BAD_INPUT, ""), said
    [line] = said.err.splitlines()
    assert line.startswith(f"sendledger: {shown(url)}: ")
    assert line.endswith((f". {AGAIN}", f". {LOOK_FIRST}"))
    assert not any(part in line for part in (PASSWORD, "Traceback", "SELECT", "INSERT", "customer.example", "%("))
    return line


# --- away before the command ---


def test_while_the_server_is_stopped_every_command_ends_in_one_line_and_changes_nothing(
    desk: Desk, server: OwnServer
) -> None:
    before = desk.everything()
    server.stop()
    for words in COMMANDS:
        line = ends_in_one_line(desk.says(*words.split()), url_of(desk))
        assert "connection" in line, words
    server.start()
    assert desk.everything() == before


@pytest.mark.parametrize("words", BY_PROCESS)
def test_the_same_command_works_when_the_server_is_back(desk: Desk, server: OwnServer, words: str) -> None:
    server.stop()
    ends_in_one_line(ended(desk.process(*words.split())), url_of(desk))
    server.start()
    said = ended(desk.process(*words.split()))
    assert (said.code, said.err) == (DONE, "")


def test_a_server_that_lets_nobody_in_is_named_with_its_own_words(desk: Desk) -> None:
    before = desk.everything()
    take_away(url_of(desk))
    told = [ends_in_one_line(desk.says(*words.split()), url_of(desk)) for words in BY_PROCESS]
    give_back(url_of(desk))
    assert all("is not currently accepting connections" in line for line in told)
    assert desk.everything() == before


# --- away in the middle of it ---

PAUSE, IMPORT, SUPPRESS = "campaign pause 1", "leads import 1 more.csv", "suppress add jan@customer.example"
CRASHES = [
    ("status", Moment("SELECT", 10)),
    ("status", Moment("LOCK TABLE")),
    (PAUSE, Moment("SELECT pg_advisory_xact_lock")),
    (PAUSE, Moment("INSERT INTO stored_events")),
    (IMPORT, Moment("INSERT INTO stored_events", 2)),
    (IMPORT, Moment("INSERT INTO contacts", 3)),
    (SUPPRESS, Moment("INSERT INTO suppressed")),
    ("rebuild", Moment("CREATE TABLE rebuilt_leads")),
    ("rebuild", Moment("DROP TABLE leads")),
    ("rebuild", Moment("ALTER TABLE rebuilt_send_log")),
    ("rebuild --check", Moment("INSERT INTO checked_leads")),
]
"""Each before a statement of the command."""
BATCHES = {0: 0, 1: 1_000, 2: 2_000}
"""Leads there are after so many batches of an import."""


@pytest.mark.parametrize(("words", "moment"), CRASHES, ids=str)
def test_a_server_that_crashes_in_the_middle_leaves_nothing_half_done_and_the_same_command_does_it(
    desk: Desk, server: OwnServer, words: str, moment: Moment
) -> None:
    before = desk.kept()
    said = struck(desk, partial(struck_at, moment, server.crash, work(desk, words)), url_of(desk))
    ends_in_one_line(said, url_of(desk))
    server.start()
    assert desk.rows("rebuild", "--check") == []
    assert newly_imported(desk) == (BATCHES[moment.nth - 1] if words == IMPORT else 0)
    assert words == IMPORT or desk.kept() == before

    desk.done(*words.split())

    assert newly_imported(desk) == (IMPORTED if words == IMPORT else 0)
    assert desk.rows("rebuild", "--check") == []


@pytest.mark.parametrize("cut", get_args(CutMoment))
@pytest.mark.parametrize("words", [PAUSE, IMPORT, SUPPRESS])
def test_a_command_whose_commit_has_no_answer_is_done_once_however_often_it_is_given(
    desk: Desk, words: str, cut: CutMoment
) -> None:
    before = desk.kept()
    at = Moment("INSERT INTO stored_events"), cut
    cut_off = partial(victims.command_cut_off, desk.folder, words.split(), said_by(desk), *at)
    said = struck(desk, cut_off, url_of(desk))
    assert (said.code, said.out) == (BAD_INPUT, "")
    assert said.err.endswith(f"{LOOK_FIRST}\n")
    assert len(said.err.splitlines()) == 1
    assert (desk.kept() == before) == (cut == "before the server hears of it")

    desk.says(*words.split())

    assert len(desk.events("CampaignPaused")) == (words == PAUSE)
    assert len(desk.kept()["suppressed"]) == len(desk.events("EmailSkipped")) == (words == SUPPRESS)
    assert newly_imported(desk) == (IMPORTED if words == IMPORT else 0)
    assert desk.rows("rebuild", "--check") == []


def said_by(desk: Desk) -> Path:
    return desk.folder.parent / "said"


def work(desk: Desk, words: str) -> Callable[[URL], None]:
    """A command, for a process of its own."""
    return partial(victims.command, desk.folder, words.split(), said_by(desk))


def struck(desk: Desk, work: Callable[[URL], None], url: URL) -> Said:
    """What that process said, and how it ended."""
    code = processes.ended(processes.started(work, url))
    said = said_by(desk)
    return Said(code, said.with_suffix(".out").read_text(), said.with_suffix(".err").read_text())


def newly_imported(desk: Desk) -> int:
    """Leads after the first four. A lead is there with its contact, or not at all."""
    contacts = len(desk.kept()["contacts"])
    assert contacts == len(desk.events("EmailQueued"))
    return contacts - 4


# --- whoever watches ---


@pytest.mark.parametrize("goes_away", [OwnServer.stop, OwnServer.crash], ids=["stopped", "crashed"])
def test_who_watches_sees_since_when_it_is_away_and_then_what_is_new(
    desk: Desk, server: OwnServer, goes_away: Callable[[OwnServer], None]
) -> None:
    with in_a_terminal(desk, "status", "--watch", "--every", "1s") as (process, until):
        until("Autumn 2026")
        goes_away(server)
        away = until("Seen last:") + until("Autumn 2026")
        since = away.partition("The database is away since ")[2][:19]
        assert since in until("Seen last:"), "it tells since when, not how late it is"
        server.start()
        desk.done("campaign", "pause", "1")
        back = until("paused")
        os.kill(process.pid, signal.SIGINT)
        end = until(None)
    assert process.returncode == DONE
    assert "away since" not in end.rpartition("\x1b[?1049l")[2]
    assert not any(noise in away + back + end for noise in ("Traceback", "error connecting", "discarding", PASSWORD))


def test_who_watches_a_server_that_is_away_ends_it_by_ctrl_c(desk: Desk, server: OwnServer) -> None:
    with in_a_terminal(desk, "status", "--watch", "--every", "1s") as (process, until):
        until("Autumn 2026")
        server.stop()
        until("away since")
        os.kill(process.pid, signal.SIGINT)
        end = until(None)
    assert process.returncode == DONE
    assert "The database is away since " in end.rpartition("\x1b[?1049l")[2]


# --- a ledger that is being copied there ---

COPY_CRASHES = [Moment("CREATE TABLE contents"), Moment("INSERT INTO stored_events"), Moment("INSERT INTO contacts")]
COPY_CRASHES += [Moment("INSERT INTO rebuilt_leads"), Moment("DELETE FROM ledger_info")]


@pytest.fixture
def source(folder: Path) -> Desk:
    """A ledger in a file."""
    source = Desk(folder)
    source.ledger(clock=f"{MONDAY}T10:00+02:00")
    source.mailbox()
    source.campaign()
    return source


def to(target: URL) -> tuple[str, ...]:
    return "db", "copy", "--to", target.render_as_string(hide_password=False)


def test_a_ledger_is_copied_to_a_server_when_it_is_there(source: Desk, server: OwnServer, database: URL) -> None:
    server.stop()
    for words in (to(database), (*to(database), "--dry-run")):
        ends_in_one_line(ended(source.process(*words)), database)
    source.done("campaign", "pause", "1")
    server.start()
    source.done(*to(database))


@pytest.mark.parametrize("moment", COPY_CRASHES, ids=str)
def test_a_copy_whose_server_crashes_is_finished_by_the_same_command(
    source: Desk, server: OwnServer, database: URL, moment: Moment
) -> None:
    before = source.kept()["stored_events"]
    copy = partial(victims.copy_from, source.folder, said_by(source))
    said = struck(source, partial(struck_at, moment, server.crash, copy), database)
    line = ends_in_one_line(said, database)
    assert line.endswith(AGAIN)
    assert source.kept()["stored_events"] == before
    server.start()
    source.done(*to(database))
    assert copying.MOVED_TO in dict(source.kept()["ledger_info"])
