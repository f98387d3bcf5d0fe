"""F16: the guard. A ledger that this machine has never seen, or has seen further on, sends nothing by itself."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from domain import commands
from domain.campaign import Campaign
from domain.events import Event
from projections.database import sqlite_url
from projections.kept import SET_INFO
from runner.clock import SimulatedClock
from runner.daemon import Runner
from runner.sending.guard import FILE, Guard, LedgerMoved, LedgerNotKnownHere, LedgerRestored
from runner.settings import load_settings, new_settings
from runner.store.copying import MOVED_TO
from runner.store.ledger import Ledger
from runner.workplace import Workplace
from tests import another_program
from tests.databases import Databases, Kind, on_postgresql, on_sqlite
from tests.domain.given import NOON, running


def tell(ledger: Ledger, count: int = 1) -> None:
    """Events, as runners and operators append them."""

    def rename(campaign: Campaign) -> list[Event]:
        limits = campaign.limits.model_copy(update={"daily_limit": campaign.limits.daily_limit + 1})
        return commands.edit(campaign, actor="anna", now=NOON, limits=limits)

    for _ in range(count):
        ledger.on_campaign(1, rename)


@pytest.fixture
def known(ledger: Ledger, runners: Path) -> Ledger:
    """A ledger with a campaign, which this machine knows."""
    ledger.append(running(5).history)
    Guard(ledger, runners).mark()
    return ledger


Restore = Callable[[URL, URL], None]
"""Puts all that is in one database into the place of another. Nobody has either open."""


def by_the_librarys_backup(source: URL, target: URL) -> None:
    with closing(sqlite3.connect(file(source))) as old, closing(sqlite3.connect(file(target))) as new:
        old.backup(new)


def by_copying_into_the_file(source: URL, target: URL) -> None:
    forget_leftovers(target)
    shutil.copy(file(source), file(target))


def by_a_new_file(source: URL, target: URL) -> None:
    forget_leftovers(target)
    Path(shutil.copy(file(source), file(target).with_name("restored"))).replace(file(target))


def file(url: URL) -> Path:
    return Path(str(url.database))


def forget_leftovers(url: URL) -> None:
    for leftover in file(url).parent.glob(f"{file(url).name}-*"):
        leftover.unlink()


RESTORES: list[tuple[Kind, Restore]] = [
    ("sqlite", by_the_librarys_backup),
    ("sqlite", by_copying_into_the_file),
    ("sqlite", by_a_new_file),
    ("postgresql", another_program.replace),
]

restores = pytest.mark.parametrize(("kind", "restore"), RESTORES, indirect=["kind"])


def test_an_empty_ledger_is_known_to_everybody(ledger: Ledger, runners: Path) -> None:
    Guard(ledger, runners).check()


def test_a_ledger_that_holds_events_and_was_never_seen_is_not_known(ledger: Ledger, runners: Path) -> None:
    ledger.append(running(5).history)
    with pytest.raises(LedgerNotKnownHere, match="runner register"):
        Guard(ledger, runners).check()


def test_a_ledger_that_goes_on_from_what_was_seen_is_known(known: Ledger, other: Ledger, runners: Path) -> None:
    Guard(known, runners).check()
    tell(other, 5)
    Guard(known, runners).check()
    Guard(other, runners).mark()
    Guard(known, runners).check()


def test_a_ledger_that_was_seen_when_it_was_made_is_known_from_its_first_event_on(
    ledger: Ledger, runners: Path
) -> None:
    Guard(ledger, runners).mark()
    ledger.append(running(5).history)
    Guard(ledger, runners).check()


@pytest.fixture
def backup(known: Ledger, database: URL, databases: Databases, restore: Restore) -> URL:
    """Of the ledger that is known."""
    known.close()
    backup = databases.empty()
    restore(database, backup)
    return backup


@restores
def test_an_older_backup_is_not_a_continuation(database: URL, backup: URL, runners: Path, restore: Restore) -> None:
    with closing(Ledger(database)) as ledger:
        before = ledger.position()
        tell(ledger, 3)
        Guard(ledger, runners).mark()
    restore(backup, database)
    with closing(Ledger(database)) as restored:
        with pytest.raises(LedgerRestored, match="--accept-restored") as refused:
            Guard(restored, runners).check()
        assert (refused.value.seen, refused.value.found) == (before + 3, before)


@restores
def test_an_older_backup_in_which_work_went_on_differently_is_not_a_continuation_either(
    database: URL, backup: URL, runners: Path, restore: Restore
) -> None:
    with closing(Ledger(database)) as ledger:
        tell(ledger, 3)
        Guard(ledger, runners).mark()
    restore(backup, database)
    with closing(Ledger(database)) as restored:
        restored.on_campaign(1, lambda c: commands.pause(c, actor="anna", reason=None, now=NOON))
        tell(restored, 9)
        with pytest.raises(LedgerRestored):
            Guard(restored, runners).check()


@restores
def test_an_older_backup_that_is_empty_is_not_a_continuation(
    database: URL, databases: Databases, runners: Path, restore: Restore
) -> None:
    backup = databases.empty()
    restore(database, backup)
    with closing(Ledger(database)) as ledger:
        Guard(ledger, runners).mark()
        ledger.append(running(5).history)
        Guard(ledger, runners).mark()
    restore(backup, database)
    with closing(Ledger(database)) as restored, pytest.raises(LedgerRestored):
        Guard(restored, runners).check()


@restores
def test_a_copy_of_ledger_and_guard_together_is_not_known_though_the_original_is(
    database: URL, backup: URL, runners: Path, tmp_path: Path
) -> None:
    shutil.copytree(runners, tmp_path / "elsewhere")
    with closing(Ledger(backup)) as copied, pytest.raises(LedgerNotKnownHere):
        Guard(copied, tmp_path / "elsewhere").check()
    with closing(Ledger(database)) as original:
        Guard(original, runners).check()


@on_sqlite
def test_a_file_that_moved_in_place_with_its_guard_is_still_known(
    known: Ledger, database: URL, runners: Path, tmp_path: Path
) -> None:
    known.close()
    home = tmp_path / "new name"
    home.mkdir()
    file(database).rename(home / "ledger.db")
    runners.rename(home / "runners")
    with closing(Ledger(sqlite_url(home / "ledger.db"))) as moved:
        Guard(moved, home / "runners").check()


@on_postgresql
def test_a_database_that_has_another_name_now_is_still_known(known: Ledger, database: URL, runners: Path) -> None:
    known.close()
    renamed = another_program.rename(database, f"{database.database}_renamed")
    try:
        with closing(Ledger(renamed)) as ledger:
            Guard(ledger, runners).check()
    finally:
        another_program.rename(renamed, str(database.database))


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", "null", '{"position": 3, "digest": null}'])
def test_a_guard_file_that_says_nothing_is_taken_for_none(known: Ledger, runners: Path, text: str) -> None:
    (runners / FILE).write_text(text)
    with pytest.raises(LedgerNotKnownHere):
        Guard(known, runners).check()


def test_a_mark_is_whole_and_leaves_nothing_else_behind(known: Ledger, runners: Path) -> None:
    for _ in range(3):
        tell(known)
        Guard(known, runners).mark()
    assert [path.name for path in runners.iterdir()] == [FILE]
    assert json.loads((runners / FILE).read_text())["position"] == known.position()


def test_a_runner_marks_what_it_has_seen_at_its_start_and_at_its_end(
    known: Ledger, other: Ledger, runners: Path
) -> None:
    def seen() -> int:
        return int(json.loads((runners / FILE).read_text())["position"])

    tell(other, 4)
    with Runner(known, runners, SimulatedClock(NOON)) as runner:
        assert seen() == known.position()
        tell(other, 4)
        runner.sweep()
        assert seen() == known.position()
        tell(other, 4)
    assert seen() == known.position()


def test_a_workplace_gives_no_runner_of_a_ledger_that_does_not_fit(known: Ledger, tmp_path: Path) -> None:
    (tmp_path / "sendledger.toml").write_text(new_settings(known.url.render_as_string(hide_password=False)))
    place = Workplace(load_settings(tmp_path / "sendledger.toml"))
    with closing(place):
        with pytest.raises(LedgerNotKnownHere):  # it keeps its guard where the settings say
            place.runner()
        Guard(known, place.settings.runners_folder).mark()
        assert isinstance(place.runner(), Runner)


def test_a_ledger_that_is_moved_while_a_runner_starts_is_not_sent_from(known: Ledger, tmp_path: Path) -> None:
    """It was fit when the runner was made: what counts is what stands there once the runner holds its lock."""
    runner = Runner(known, tmp_path, SimulatedClock(NOON))
    known.keep((SET_INFO, [{"key": MOVED_TO, "value": "postgresql://db.example/ledger"}]))
    before = known.position()
    with pytest.raises(LedgerMoved, match="was copied to postgresql://db"), runner:
        pass
    assert known.position() == before
    assert list(tmp_path.glob("*.lock")) == []
