"""A run of idle ticks is told in few bytes, and read as it was."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.events import TicksIdle
from domain.idle_ticks import times, told
from tests.domain.given import NOON

SECOND = timedelta(seconds=1)
DISTANCES = st.lists(st.timedeltas(-2 * SECOND, 3600 * SECOND), max_size=20)


def run_of(ticks: list[datetime], **other: Any) -> TicksIdle:
    """As a ledger gives it back."""
    said: dict[str, Any] = {**told(ticks), **other}
    run = TicksIdle(recorded_at=ticks[-1], runner="r1", sender="v2", **said)
    return TicksIdle.model_validate_json(run.model_dump_json(exclude_none=True))


@given(DISTANCES)
def test_it_is_read_as_it_was_to_the_microsecond(distances: list[timedelta]) -> None:
    """A clock that was set back within it too."""
    ticks = [NOON + so_far for so_far in accumulate(distances, initial=timedelta(0))]

    assert list(times(run_of(ticks))) == ticks


def test_ticks_on_a_grid_cost_nothing() -> None:
    assert told([NOON + nth * 30 * SECOND for nth in range(120)])["over_us"] == ()


def test_ticks_whose_distances_were_not_written_down_are_taken_for_even() -> None:
    run = run_of([NOON, NOON + 29 * SECOND, NOON + 60 * SECOND], over_us=None)

    assert list(times(run)) == [NOON, NOON + 30 * SECOND, NOON + 60 * SECOND]
