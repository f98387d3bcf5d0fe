"""A run of idle ticks in few bytes: the first, the last, and by how much each distance is longer than the shortest.

A daemon's ticks drift, by some milliseconds from one to the next, and by seconds after a slow one; so they lie on no
grid, but their distances are much the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise, repeat
from typing import TypedDict

from domain.events import TicksIdle

US = timedelta(microseconds=1)


class Told(TypedDict):
    """What an event says of a run."""

    count: int
    first_at: datetime
    last_at: datetime
    over_us: tuple[int, ...]


def told(ticks: Sequence[datetime]) -> Told:
    """These ticks, one at least."""
    distances = [(later - earlier) // US for earlier, later in pairwise(ticks)]
    shortest = min(distances, default=0)
    over = tuple(distance - shortest for distance in distances)
    return {"count": len(ticks), "first_at": ticks[0], "last_at": ticks[-1], "over_us": over if any(over) else ()}


def times(run: TicksIdle) -> Iterator[datetime]:
    """Its ticks. Where the distances are not known they are taken for even."""
    at, over = run.first_at.astimezone(UTC), run.over_us or ()
    shortest = (run.last_at - run.first_at - sum(over) * US) / max(run.count - 1, 1)
    yield at
    for longer in over or repeat(0, run.count - 1):
        at += shortest + longer * US
        yield at
