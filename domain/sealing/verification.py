"""The whole log held against its checkpoints: recomputed from the stored bytes, and where they differ, from where on.

Signed roots tell that something is wrong; the leaves kept beside each checkpoint tell where. They are believed only
where they lead to the signed root themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter

from domain.sealing.checkpoints import Checkpoint
from domain.sealing.leaves import StoredRow, leaf_hashes
from domain.sealing.merkle import HASH_BYTES, Frontier, hashes

_PLACE = itemgetter(0, 1, 2)
_STREAM_AND_TOPIC = itemgetter(1, 3)
"""Of a row of the log: taken in C, for it is done once an event."""


@dataclass(frozen=True, slots=True)
class Seal:
    """A checkpoint as it is kept: the note, and what lets the next one go on from it.

    It seals the events from index `since` on. `position`: of the last of them. `leaves`: the hashes of these events.
    """

    size: int
    since: int
    position: int
    note: str
    frontier: bytes
    leaves: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """What must be true of the log at one size: the checkpoint, where it was found, and whether it is a kept one."""

    checkpoint: Checkpoint
    where: str
    is_kept: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it was sealed, or cannot be; `position`: in the ledger, where it is known."""

    what: str
    position: int | None = None

    def __str__(self) -> str:
        return self.what if self.position is None else f"position {self.position}: {self.what}"


class LogCheck:
    """Is given the log in order, a batch at a time, and holds it against the marks. `fault` is the first that is found.

    `gapless`: positions follow each other without a gap, so that a gap is a removed event. `seal_at`: the kept
    checkpoint of a size, with its leaves.
    """

    def __init__(self, marks: Sequence[Mark], seal_at: Callable[[int], Seal | None], *, gapless: bool) -> None:
        self.fault: Fault | None = None
        self.counts: Counter[tuple[str, str]] = Counter()
        """Events by stream and topic."""
        self.sealed = 0
        self.last = 0
        self._marks = sorted((mark for mark in marks if mark.checkpoint.size), key=lambda mark: mark.checkpoint.size)
        self._seal_at = seal_at
        self._gapless = gapless
        self._next = 0
        self._tree = Frontier()
        self._versions: dict[str, int] = {}
        self._segment: list[tuple[int, bytes]] = []
        self._begins = (0, b"", 0)

    @property
    def size(self) -> int:
        """Events so far."""
        return self._tree.size

    def root(self) -> bytes:
        """Over all events so far."""
        return self._tree.root()

    def take(self, rows: Sequence[StoredRow]) -> bool:
        """The next events. False once a fault is found: the rest says nothing more."""
        leaves = leaf_hashes(rows)
        taken = 0
        while taken < len(rows) and self.fault is None:
            end = len(rows)
            if self._next < len(self._marks):
                end = min(end, taken + self._marks[self._next].checkpoint.size - self._tree.size)
            self._add(rows[taken:end], leaves[taken:end])
            taken = end
        return self.fault is None

    def finish(self) -> Fault | None:
        """The log is over."""
        if self.fault is None and self._next < len(self._marks):
            mark = self._marks[self._next]
            self.fault = self._first_difference(mark, is_over=True) or Fault(
                f"the log ends after {self.size:,} events, but {mark.where} seals {mark.checkpoint.size:,}: "
                "the end was removed, or this is an older copy",
                self.last + 1,
            )
        return self.fault

    def _add(self, rows: Sequence[StoredRow], leaves: Sequence[bytes]) -> None:
        disorder = self._out_of_order(rows)
        self._tree.extend(leaves)
        if self._next < len(self._marks):
            self._segment += zip(map(itemgetter(0), rows), leaves, strict=True)
        if rows:
            self.last = rows[-1][0]
        if disorder is not None:
            pending = self._marks[self._next] if self._next < len(self._marks) else None
            self.fault = (self._first_difference(pending) if pending else None) or disorder
            return
        while self._next < len(self._marks) and self._marks[self._next].checkpoint.size == self._tree.size:
            self._judge(self._marks[self._next])
            if self.fault is not None:
                return
            self._next += 1
        if self._next and self._marks[self._next - 1].checkpoint.size == self._tree.size:
            self.sealed = self._tree.size
            self._begins = (self._tree.size, self._tree.packed(), self.last)
            self._segment.clear()

    def _out_of_order(self, rows: Sequence[StoredRow]) -> Fault | None:
        """Versions of a stream follow each other, and on a file positions too: sealed or not."""
        self.counts.update(map(_STREAM_AND_TOPIC, rows))
        versions, last, gapless = self._versions, self.last, self._gapless
        for position, stream, version in map(_PLACE, rows):
            before = versions.get(stream, 0)
            if version != before + 1:
                return Fault(
                    f"{stream} goes from its version {before} to {version}: one was removed or added", position
                )
            if gapless and position != last + 1:
                return Fault("no event stands here: it was removed", last + 1)
            versions[stream], last = version, position
        return None

    def _judge(self, mark: Mark) -> None:
        if self._tree.root() != mark.checkpoint.root:
            first = self._first_difference(mark)
            self.fault = first or Fault(
                f"the events up to here do not lead to the root that {mark.where} seals; "
                f"the first that differs stands between {self._first_of_segment()} and here",
                self.last,
            )
        elif mark.is_kept and (seal := self._seal_at(mark.checkpoint.size)) is not None:
            leaves = b"".join(leaf for _, leaf in self._segment)
            since = self._tree.size - len(self._segment)
            kept = (seal.since, seal.position, seal.frontier, seal.leaves)
            # A checkpoint of the file may divide the events that one of the database seals.
            whole = since == seal.since
            if kept[1:3] != (self.last, self._tree.packed()) or (whole and kept != (since, *kept[1:3], leaves)):
                self.fault = Fault(f"what stands beside the signature of {mark.where} was changed", self.last)

    def _first_of_segment(self) -> int:
        return self._segment[0][0] if self._segment else self.last

    def _first_difference(self, mark: Mark, *, is_over: bool = False) -> Fault | None:
        """Which event of the open segment is the first that is not the one sealed; None where nothing tells."""
        expected = self._expected(mark)
        if expected is None:
            return None
        found = self._segment
        _, _, before = self._begins
        for place, leaf in enumerate(expected):
            if place >= len(found):
                if not is_over:
                    return None
                what = f"the log ends here, but {mark.where} seals {mark.checkpoint.size:,} events: the end was removed"
                return Fault(what, before + 1)
            position, is_there = found[place]
            if is_there != leaf:
                return self._named(expected, place, position, before)
            before = position
        return Fault("one more event than was sealed", found[len(expected)][0]) if len(found) > len(expected) else None

    def _named(self, expected: Sequence[bytes], place: int, position: int, before: int) -> Fault:
        found = self._segment
        is_next = place + 1 < len(expected) and found[place][1] == expected[place + 1]
        if is_next or (self._gapless and position > before + 1):
            return Fault("the event that was sealed here is not there: it was removed", before + 1)
        if place + 1 < len(found) and found[place + 1][1] == expected[place]:
            return Fault("this event was not there when the log was sealed: it was inserted", position)
        return Fault(
            "this is not the event that was sealed here: it, its stream, version or place was changed", position
        )

    def _expected(self, mark: Mark) -> list[bytes] | None:
        """The leaves of the open segment as they were sealed, if they lead to the signed root."""
        size, packed, _ = self._begins
        seal = self._seal_at(mark.checkpoint.size)
        if seal is None or seal.since != size or len(seal.leaves) != (seal.size - seal.since) * HASH_BYTES:
            return None
        leaves = hashes(seal.leaves)
        tree = Frontier.unpacked(size, packed)
        tree.extend(leaves)
        return leaves if tree.root() == mark.checkpoint.root else None
