"""F16: the guard. A ledger that this machine has never seen, or has seen further on, sends nothing by itself."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from domain import commands
from domain.campaign import Campaign
from domain.events import Event
from runner.clock import SimulatedClock
from runner.daemon import Runner
from runner.sending.guard import FILE, Guard, LedgerNotKnownHere, LedgerRestored
from runner.settings import TEMPLATE, load_settings
from runner.store.ledger import Ledger
from runner.workplace import Workplace
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


def backed_up(ledger: Ledger, path: Path) -> Path:
    """A backup, as the database's own tools make it."""
    with closing(sqlite3.connect(ledger.path)) as source, closing(sqlite3.connect(path)) as copy:
        source.backup(copy)
    return path


def restore_by_backup(backup: Path, database: Path) -> None:
    with closing(sqlite3.connect(backup)) as source, closing(sqlite3.connect(database)) as target:
        source.backup(target)


def restore_by_copy(backup: Path, database: Path) -> None:
    for leftover in database.parent.glob(f"{database.name}-*"):
        leftover.unlink()
    shutil.copy(backup, database)


def restore_by_replacing(backup: Path, database: Path) -> None:
    restored = Path(shutil.copy(backup, database.with_name("restored")))
    for leftover in database.parent.glob(f"{database.name}-*"):
        leftover.unlink()
    restored.replace(database)


restores = pytest.mark.parametrize("restore", [restore_by_backup, restore_by_copy, restore_by_replacing])


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


@restores
def test_an_older_backup_is_not_a_continuation(
    known: Ledger, database: Path, runners: Path, tmp_path: Path, restore: Callable[[Path, Path], None]
) -> None:
    backup = backed_up(known, tmp_path / "backup.db")
    before = known.position()
    tell(known, 3)
    Guard(known, runners).mark()
    known.close()
    restore(backup, database)
    with closing(Ledger(database)) as restored:
        with pytest.raises(LedgerRestored, match="--accept-restored") as refused:
            Guard(restored, runners).check()
        assert (refused.value.seen, refused.value.found) == (before + 3, before)


@restores
def test_an_older_backup_in_which_work_went_on_differently_is_not_a_continuation_either(
    known: Ledger, database: Path, runners: Path, tmp_path: Path, restore: Callable[[Path, Path], None]
) -> None:
    backup = backed_up(known, tmp_path / "backup.db")
    tell(known, 3)
    Guard(known, runners).mark()
    known.close()
    restore(backup, database)
    with closing(Ledger(database)) as restored:
        restored.on_campaign(1, lambda c: commands.pause(c, actor="anna", reason=None, now=NOON))
        tell(restored, 9)
        with pytest.raises(LedgerRestored):
            Guard(restored, runners).check()


def test_a_copy_of_ledger_and_guard_together_is_not_known_though_the_original_is(
    known: Ledger, database: Path, runners: Path, tmp_path: Path
) -> None:
    known.close()
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    shutil.copy(database, copy / "ledger.db")
    shutil.copytree(runners, copy / "runners")
    with closing(Ledger(copy / "ledger.db")) as copied, pytest.raises(LedgerNotKnownHere):
        Guard(copied, copy / "runners").check()
    with closing(Ledger(database)) as original:
        Guard(original, runners).check()


def test_a_ledger_that_moved_in_place_with_its_guard_is_still_known(
    known: Ledger, database: Path, runners: Path, tmp_path: Path
) -> None:
    known.close()
    home = tmp_path / "new name"
    home.mkdir()
    database.rename(home / "ledger.db")
    runners.rename(home / "runners")
    with closing(Ledger(home / "ledger.db")) as moved:
        Guard(moved, home / "runners").check()


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
    (tmp_path / "sendledger.toml").write_text(TEMPLATE.replace("sendledger.db", known.path.name))
    place = Workplace(load_settings(tmp_path / "sendledger.toml"))
    with closing(place):
        with pytest.raises(LedgerNotKnownHere):  # it keeps its guard where the settings say
            place.runner()
        Guard(known, place.settings.runners_folder).mark()
        assert isinstance(place.runner(), Runner)
