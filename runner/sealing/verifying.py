"""Verifying the seal: everything recomputed from the stored bytes, by whoever may read the ledger and has the key.

Checkpoints are read before events, and those of the database before the file's, which a sealer writes first: so what
is sealed while this looks is never missed in one and found in the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from domain.sealing.checkpoints import claimed_size, opened_checkpoint
from domain.sealing.notes import NotVerified, PublicKey
from domain.sealing.verification import Fault, LogCheck, Mark, Seal
from projections.database import is_sqlite
from projections.kept import CHECKPOINT_AT, NOTES_AFTER
from projections.projector import no_search_for_garbage
from runner.sealing.file import CheckpointFile
from runner.sealing.keys import verify
from runner.sealing.sealer import seal_of
from runner.store.ledger import Ledger

BATCH = 10_000


@dataclass(slots=True)
class Verified:
    """What a verification found. `sealed`: so many of the events stand under a signature."""

    events: int = 0
    sealed: int = 0
    in_database: int = 0
    in_file: int = 0
    root: bytes = b""
    position: int = 0
    faults: list[Fault] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Events by stream and topic, to hold views against."""


class Verification:
    """One look at a whole ledger. `older`: the file is a copy from earlier, so it may end before the database does."""

    def __init__(self, ledger: Ledger, keys: Sequence[PublicKey], file: CheckpointFile, *, older: bool = False) -> None:
        self._ledger = ledger
        self._keys = keys
        self.report = Verified()
        kept = ledger.fetch(NOTES_AFTER, after=-1)
        of_database = [(row["size"], row["note"]) for row in kept]
        of_file = [(claimed_size(note), note) for note in file.notes()]
        self.report.in_database, self.report.in_file = len(of_database), len(of_file)
        marks = [*self._marks(of_database, "the database", True), *self._marks(of_file, str(file.path), False)]
        self._judge_chain([(row["since"], row["size"]) for row in kept])
        self._judge_ends(of_database, of_file, str(file.path), older)
        self._check = LogCheck(marks, self._seal_at, gapless=is_sqlite(ledger.url))

    def read(self, upto: int, progress: Callable[[int, int], None]) -> bool:
        """Take in the events up to this position; False once a fault in them was found."""
        check, report = self._check, self.report
        with no_search_for_garbage():
            while check.last < upto:
                rows = self._ledger.stored(check.last, min(BATCH, upto - check.last))
                if not rows or not check.take(rows):
                    break
                progress(check.last, upto)
        report.events, report.sealed, report.position = check.size, check.sealed, check.last
        report.counts = check.counts
        return check.fault is None

    def finish(self) -> Verified:
        """The log is over: what is sealed beyond its end is missing."""
        self.report.root = self._check.root()
        if (fault := self._check.finish()) is not None:
            self.report.faults.append(fault)
        return self.report

    def _marks(self, notes: Sequence[tuple[int, str]], where: str, is_kept: bool) -> Iterator[Mark]:
        for size, note in notes:
            name = f"the checkpoint of {size:,} events in {where}"
            try:
                checkpoint = opened_checkpoint(note, self._keys, verify)
            except NotVerified as error:
                self.report.faults.append(Fault(f"{name} is forged or damaged: {error}"))
                continue
            if checkpoint.size != size:
                self.report.faults.append(Fault(f"{name} says {checkpoint.size:,} events: its row was changed"))
                continue
            yield Mark(checkpoint, name, is_kept)

    def _judge_chain(self, kept: Sequence[tuple[int, int]]) -> None:
        end = 0
        for since, size in kept:
            if since != end:
                what = (
                    f"the checkpoint of {size:,} events in the database goes on from {since:,}, the one before ends at"
                )
                self.report.faults.append(Fault(f"{what} {end:,}: one was removed or changed"))
            end = size

    def _judge_ends(
        self, of_database: Sequence[tuple[int, str]], of_file: Sequence[tuple[int, str]], path: str, older: bool
    ) -> None:
        sizes = [size for size, _ in of_file]
        if sizes != sorted(sizes):
            self.report.faults.append(Fault(f"the checkpoints in {path} are not in their order"))
        newest, reached = max((size for size, _ in of_database), default=0), max(sizes, default=0)
        if reached < newest and not older:
            self.report.faults.append(
                Fault(
                    f"{path} ends at {reached:,} events, the database's last checkpoint at {newest:,}: the file "
                    "was cut, or is a copy from earlier (then add --older)"
                )
            )

    def _seal_at(self, size: int) -> Seal | None:
        rows = self._ledger.fetch(CHECKPOINT_AT, size=size)
        return seal_of(rows[0]) if rows else None
