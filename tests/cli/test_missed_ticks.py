"""Which ticks were missed while no runner was there: by the cadence that was in force then, not by today's."""

from __future__ import annotations

import pytest

from tests.cli.desk import MONDAY, Desk


def until(time: str) -> tuple[str, str]:
    return "--until", f"{MONDAY}T{time}+02:00"


def missed(desk: Desk) -> dict[str, int]:
    return {event["sender"]: event["count"] for event in desk.events("TicksMissed")}


@pytest.fixture
def ticking(desk: Desk) -> Desk:
    """A ledger whose runner ticked V1 once an hour and V2 every half hour, both last at 12 o'clock."""
    desk.ledger(clock=f"{MONDAY}T10:00+02:00")
    desk.done("run", "--v1-every", "1h", "--v2-every", "30m", *until("12:29"))
    return desk


def test_a_slow_cadence_followed_by_the_default_misses_no_tick(ticking: Desk) -> None:
    ticking.done("run", *until("12:30"))
    assert missed(ticking) == {}


def test_a_stop_misses_the_ticks_that_the_runner_would_have_made(ticking: Desk) -> None:
    ticking.done("tick", "v1")  # one tick tells no cadence
    ticking.sql("UPDATE ledger_info SET value = '2026-10-05T16:00:00+02:00' WHERE key = 'simulated_start'")
    ticking.done("run", *until("16:00"))
    assert missed(ticking) == {"v1": 210, "v2": 7}
