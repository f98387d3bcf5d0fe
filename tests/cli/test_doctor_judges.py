"""From what the doctor measured to a verdict, where a test cannot bring the measure about."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runner.doctor import database, machine
from runner.doctor.database import LEAST_SPACE, LITTLE_SPACE, MB, judge_server_clock, judge_space, judge_sqlite
from runner.doctor.findings import Verdict
from runner.doctor.machine import judge_clock

NOW = datetime(2026, 10, 5, 8, tzinfo=UTC)
OK, WARN, FAIL = Verdict.OK, Verdict.WARN, Verdict.FAIL
SERVER: dict[str, Any] = {
    "version": "16.3",
    "number": 160003,
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
}


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


@pytest.mark.parametrize(
    ("behind", "jumped", "verdict"),
    [
        (-3600, 0, OK),
        (5, 0, OK),
        (5.1, 0, WARN),
        (60, 0, WARN),
        (61, 0, FAIL),
        (0, 0.9, OK),
        (0, 1.1, WARN),
        (0, -1.1, WARN),
    ],
)
def test_a_clock_behind_the_ledger_or_one_that_jumps(behind: float, jumped: float, verdict: Verdict) -> None:
    assert judge_clock(NOW, NOW + seconds(behind), seconds(jumped)).verdict is verdict
    assert judge_clock(NOW, None, seconds(0)).verdict is OK


@pytest.mark.parametrize(
    ("ahead", "bound", "verdict"),
    [(0.001, 0.0005, OK), (2, 0, OK), (2.1, 0, WARN), (-2.1, 0, WARN), (3, 1.5, OK), (60.1, 0, FAIL), (-61, 2, WARN)],
)
def test_two_clocks_are_apart_by_what_is_certain(ahead: float, bound: float, verdict: Verdict) -> None:
    assert judge_server_clock(seconds(ahead), seconds(bound)).verdict is verdict


def test_another_clock_is_read_between_question_and_answer_and_the_shortest_try_counts() -> None:
    ahead, bound = database.apart([(1000, 8, 1003), (1010, 0.2, 1014.1), (1020, 4, 1023)])
    assert (round(ahead.total_seconds(), 3), round(bound.total_seconds(), 3)) == (4.0, 0.1)


@pytest.mark.parametrize(
    ("free", "used", "verdict"),
    [
        (LEAST_SPACE - 1, 0, FAIL),
        (LEAST_SPACE, 0, WARN),
        (LITTLE_SPACE, 0, OK),
        (LITTLE_SPACE, 2 * LITTLE_SPACE, WARN),
        (50_000 * MB, 40_000 * MB, OK),
    ],
)
def test_a_disk_must_hold_what_is_yet_to_come(free: int, used: int, verdict: Verdict) -> None:
    assert judge_space(free, used).verdict is verdict


@pytest.mark.parametrize(("mode", "level", "verdict"), [("wal", 2, OK), ("wal", 1, FAIL), ("delete", 2, FAIL)])
def test_sqlite_keeps_what_it_reported_stored_in_wal_and_full_only(mode: str, level: int, verdict: Verdict) -> None:
    assert judge_sqlite(mode, level, "ext4").verdict is verdict


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"fsync": "off"}, "Set fsync to on."),
        ({"full_page_writes": "off"}, "Set full_page_writes to on."),
        ({"fsync": "off", "synchronous_commit": "off"}, "Set fsync and synchronous_commit to on."),
        ({"version": "14.9", "number": 140009}, "Move to 15 or newer."),
    ],
)
def test_a_server_that_may_forget_fails(changed: dict[str, Any], words: str) -> None:
    found = database.judge_postgres({**SERVER, **changed}, None)
    assert (found.verdict, found.mend) == (FAIL, words)
    assert database.judge_postgres({**SERVER, "synchronous_commit": "remote_apply"}, None).verdict is OK
    assert database.judge_postgres(SERVER, "y").verdict is WARN


def test_zone_data_that_is_old_is_told_and_so_is_where_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [found] = machine.zone_data(date(2099, 1, 1))
    assert found.verdict is WARN
    monkeypatch.setattr("zoneinfo.TZPATH", (str(tmp_path),))
    [found] = machine.zone_data()
    assert found.found.startswith("tzdata 20")
    (tmp_path / "Europe").mkdir()
    (tmp_path / "Europe" / "Warsaw").touch()
    [found] = machine.zone_data()
    assert found.found.startswith(f"{tmp_path} first, then tzdata 20")
