"""The leads of a campaign, some bytes each, and the structures that answer "who is next?" without a walk over all.
A million leads take some ten megabytes; a step of the send path costs the same with a thousand as with a million.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from enum import IntEnum
from typing import NamedTuple, get_args

from domain.events import V1Status

STATE_BITS = 4
STATE_MASK = 0x0F
V1_STATUSES: tuple[V1Status, ...] = get_args(V1Status)
V1_WAITS: tuple[V1Status, ...] = ("planned", "queued")
"""Of whom waits in V1's own table: the statuses that it sends from."""
V1_MAILED: tuple[V1Status, ...] = ("sent", "replied")
"""Of whom was mailed."""
V1_PICKS = frozenset(map(V1_STATUSES.index, V1_WAITS))


class LeadState(IntEnum):
    """Where a lead is; each is in exactly one of these."""

    QUEUED = 0
    LOCKED = 1
    SENT = 2
    FAILED = 3
    SKIPPED = 4
    IN_DOUBT = 5

    @property
    def label(self) -> str:
        """As people read it."""
        return self.name.lower().replace("_", " ")


class Roll:
    """State and V1 status of every lead in one byte each, by position, with running counts."""

    __slots__ = ("_bytes", "counts")

    def __init__(self, raw: bytes = b"") -> None:
        self._bytes = bytearray(raw)
        self.counts = [0] * len(_STATES)
        for state in LeadState if raw else ():
            self.counts[state] = sum(
                self._bytes.count(state | (status << STATE_BITS)) for status in range(len(V1_STATUSES))
            )

    def __len__(self) -> int:
        return len(self._bytes)

    def __bytes__(self) -> bytes:
        return bytes(self._bytes)

    def append(self, status: V1Status) -> None:
        """One more lead, queued."""
        self._bytes.append(V1_STATUSES.index(status) << STATE_BITS)
        self.counts[LeadState.QUEUED] += 1

    def state(self, position: int) -> LeadState:
        """Where this lead is."""
        return _STATES[self._bytes[position] & STATE_MASK]

    def v1_status(self, position: int) -> V1Status:
        """What V1 would read in its own table."""
        return V1_STATUSES[self._bytes[position] >> STATE_BITS]

    def v1_picks(self, position: int) -> bool:
        """Is the V1 status one that V1 sends from?"""
        return self._bytes[position] >> STATE_BITS in V1_PICKS

    def move(self, position: int, to: LeadState, status: V1Status) -> None:
        """Put this lead into another state."""
        self.counts[self._bytes[position] & STATE_MASK] -= 1
        self.counts[to] += 1
        self._bytes[position] = to | (V1_STATUSES.index(status) << STATE_BITS)

    def skip_all_queued(self) -> None:
        """Every queued lead becomes skipped, in one pass in C."""
        table = bytearray(range(256))
        for status in range(len(V1_STATUSES)):
            table[LeadState.QUEUED | (status << STATE_BITS)] = LeadState.SKIPPED | (status << STATE_BITS)
        self._bytes = self._bytes.translate(bytes(table))
        self.counts[LeadState.SKIPPED] += self.counts[LeadState.QUEUED]
        self.counts[LeadState.QUEUED] = 0

    def statuses(self) -> dict[str, int]:
        """Leads by V1 status: walks everything, for operator commands only."""
        return {
            name: sum(self._bytes.count(state | (nth << STATE_BITS)) for state in LeadState)
            for nth, name in enumerate(V1_STATUSES)
        }

    def positions(self, state: LeadState) -> Iterator[int]:
        """All leads in a state: walks everything, for operator commands only."""
        return (at for at, byte in enumerate(self._bytes) if byte & STATE_MASK == state)


class Line:
    """Positions in ascending order, kept as runs, with a cursor that only moves forward unless it is told."""

    __slots__ = ("_cursor", "_runs")

    def __init__(self, runs: list[list[int]] | None = None) -> None:
        self._runs: list[list[int]] = runs if runs is not None else []  # [start, stop), ascending
        self._cursor = [0, self._runs[0][0] if self._runs else 0]

    def append(self, position: int) -> None:
        """At the end of the line; positions only grow."""
        if self._runs and self._runs[-1][1] == position:
            self._runs[-1][1] += 1
        else:
            self._runs.append([position, position + 1])

    def first(self, waits: Callable[[int], bool]) -> int | None:
        """The first position that waits. What the cursor has passed is not looked at again."""
        run, at = self._cursor
        while run < len(self._runs):
            start, stop = self._runs[run]
            at = max(at, start)
            while at < stop:
                if waits(at):
                    self._cursor = [run, at]
                    return at
                at += 1
            if run == len(self._runs) - 1:
                break  # this run may still grow: stay in it
            run += 1
        self._cursor = [run, at]
        return None

    def rewind(self, position: int) -> None:
        """Look again from this position on."""
        for number, (_, stop) in enumerate(self._runs):
            if position < stop:
                if [number, position] < self._cursor:
                    self._cursor = [number, position]
                return

    def runs(self) -> list[list[int]]:
        """For a snapshot."""
        return [list(run) for run in self._runs]


class Precedence:
    """Who goes first: the lowest priority number, then position. Eight bytes a lead, whatever the priorities.

    Where no lead goes before an earlier one, as with one priority for all, they stand in order as they came; else they
    are sorted when the first is asked for, which takes eight bytes more.
    """

    __slots__ = ("_ascending", "_cursor", "_order", "_priorities", "_taken_in")

    def __init__(self, raw: bytes = b"", *, ascending: bool = True) -> None:
        self._priorities = array("q", raw)
        self._ascending = ascending
        self._order: Sequence[int] = ()
        self._taken_in = 0  # leads that the order knows
        self._cursor = 0

    def __bytes__(self) -> bytes:
        return self._priorities.tobytes()

    @property
    def ascending(self) -> bool:
        """Does no lead go before one that came earlier?"""
        return self._ascending

    def append(self, priority: int) -> None:
        """The priority of the next position."""
        self._ascending = self._ascending and (not self._priorities or self._priorities[-1] <= priority)
        self._priorities.append(priority)

    def priority(self, position: int) -> int:
        """The priority of this lead."""
        return self._priorities[position]

    def first(self, waits: Callable[[int], bool], besides: Collection[int] = ()) -> int | None:
        """The first that waits, and is none of `besides`. What the cursor has passed is not looked at again: it stops
        at the first that waits, whether that was asked for or not."""
        if self._taken_in < len(self._priorities):
            self._take_in()
        stop_at: int | None = None
        for at in range(self._cursor, len(self._order)):
            if waits(position := self._order[at]):
                stop_at = at if stop_at is None else stop_at
                if position not in besides:
                    self._cursor = stop_at
                    return position
        self._cursor = len(self._order) if stop_at is None else stop_at
        return None

    def _take_in(self) -> None:
        """Sort new leads in among those that are left: equal ones stay in the order in which they came."""
        new = range(self._taken_in, len(self._priorities))
        self._taken_in = len(self._priorities)
        if self._ascending:
            self._order = range(self._taken_in)
            return
        left = self._order[self._cursor :]
        self._order = array("q", sorted([*left, *new], key=self._priorities.__getitem__))
        self._cursor = 0


class LeadNumbers:
    """Lead numbers by position, kept as runs of consecutive numbers: an import of any size is one run."""

    __slots__ = ("_count", "_firsts", "_highest", "_starts")

    def __init__(self, runs: list[list[int]] | None = None, count: int = 0) -> None:
        self._starts = [start for start, _ in runs or []]
        self._firsts = [first for _, first in runs or []]
        self._count = count
        self._highest = max(first + end - start - 1 for start, first, end in self._spans()) if runs else -1

    def append(self, lead_id: int) -> None:
        """The number of the next position."""
        if not self._starts or self._firsts[-1] + self._count - self._starts[-1] != lead_id:
            self._starts.append(self._count)
            self._firsts.append(lead_id)
        self._count += 1
        self._highest = max(self._highest, lead_id)

    @property
    def unused(self) -> int:
        """From here on no lead has a number; an old system's leads bear any."""
        return max(self._highest, 0) + 1

    def lead_id(self, position: int) -> int:
        """The lead's number at this position."""
        run = bisect_right(self._starts, position) - 1
        return self._firsts[run] + position - self._starts[run]

    def among(self, lead_ids: Collection[int]) -> set[int]:
        """Which of these the campaign has."""
        if not lead_ids or min(lead_ids) > self._highest:
            return set()
        asked, found = sorted(lead_ids), set[int]()
        for start, first, end in self._spans():
            found.update(asked[bisect_left(asked, first) : bisect_left(asked, first + end - start)])
        return found

    def position(self, lead_id: int) -> int | None:
        """Where this lead is, None when the campaign has none of that number."""
        if lead_id > self._highest:  # every new lead of an import in ascending order: no walk over the runs
            return None
        for start, first, end in self._spans():
            if first <= lead_id < first + end - start:
                return start + lead_id - first
        return None

    def runs(self) -> list[list[int]]:
        """For a snapshot."""
        return [list(run) for run in zip(self._starts, self._firsts, strict=True)]

    def _spans(self) -> Iterator[tuple[int, int, int]]:
        return zip(self._starts, self._firsts, [*self._starts, self._count][1:], strict=True)


class Retry(NamedTuple):
    """A lead that waits for its next attempt; heap order: due, priority, position."""

    due_at: datetime
    priority: int
    position: int


_STATES = tuple(LeadState)
