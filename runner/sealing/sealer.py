"""Sealing: new events become leaves of the tree, and its root is signed: into the file first, then into the database.

Each time it goes on from the last checkpoint, so the cost is that of the new events. A crash between file and database
leaves the file ahead; the next time that checkpoint is found to fit, and is kept. A file that speaks of events which
are not there any more, or of others, is not sealed over: then the ledger is not the one that was sealed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import structlog
from eventsourcing.persistence import IntegrityError

from domain.errors import SendledgerError
from domain.sealing.checkpoints import Checkpoint, opened_checkpoint
from domain.sealing.leaves import leaf_hashes
from domain.sealing.merkle import Frontier
from domain.sealing.notes import NotVerified, signed
from domain.sealing.verification import Seal
from projections.kept import ADD_CHECKPOINT, LAST_CHECKPOINT, NOTES_AFTER
from runner.sealing.file import CheckpointFile
from runner.sealing.keys import Signer, verify
from runner.store.ledger import Ledger

EVENTS_A_CHECKPOINT = 1_000
AT_ONCE = 20
"""Checkpoints of one append to the file and to the database."""
NOTHING_SEALED = Seal(0, 0, 0, "", b"", b"")

log = structlog.get_logger()


class NotTheSealedLedger(SendledgerError):
    """The ledger does not continue what was sealed."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a sealing did: checkpoints made, and how far the log is sealed."""

    made: int
    size: int
    note: str


class Sealer:
    """Seals one ledger with one key."""

    def __init__(self, ledger: Ledger, signer: Signer, file: CheckpointFile) -> None:
        self._ledger = ledger
        self._signer = signer
        self._file = file
        self._position = 0

    def is_due(self) -> bool:
        """Were enough events appended since the last checkpoint, as far as this process has followed the log?"""
        return self._ledger.seen - self._position >= EVENTS_A_CHECKPOINT

    def seal(self) -> Sealed:
        """Seal all events there are. Raises `NotTheSealedLedger`, and then nothing is signed."""
        with self._file.held():
            last = last_seal(self._ledger)
            tree = self._tree(last)
            ahead = self._reconciled(last)
            if ahead is not None:
                self._require_fit(last, ahead)
            made = 0
            for seals in _some(self._new_seals(tree, last.position, ahead.size if ahead else 0)):
                self._file.append([seal.note for seal in seals if ahead is None or seal.size > ahead.size])
                try:
                    self._ledger.keep((ADD_CHECKPOINT, [asdict(seal) for seal in seals]))
                except IntegrityError:
                    break  # another machine sealed at the same time; what we signed is true, and stays in our file
                made, last = made + len(seals), seals[-1]
            self._position = max(last.position, self._position)
        return Sealed(made, last.size, last.note)

    def _reconciled(self, last: Seal) -> Checkpoint | None:
        """Bring the file up to the database; the checkpoint of the file that is ahead of it, if there is one."""
        note = self._file.last()
        newest = self._opened(note, str(self._file.path)) if note else None
        size = newest.size if newest else 0
        lacking = [row["note"] for row in self._ledger.fetch(NOTES_AFTER, after=size)]
        if lacking:
            for note in lacking:
                self._opened(note, "the database")
            self._file.append(lacking)
            log.warning("the file of checkpoints lacked some that the database has", checkpoints=len(lacking))
        return newest if size > last.size else None

    def _require_fit(self, last: Seal, ahead: Checkpoint) -> None:
        """What the file has sealed beyond the database must be what the ledger holds."""
        tree, position = self._tree(last), last.position
        while tree.size < ahead.size:
            rows = self._ledger.stored(position, min(EVENTS_A_CHECKPOINT, ahead.size - tree.size))
            if not rows:
                raise self._not_the_sealed(f"it has {tree.size:,} events, of {ahead.size:,}")
            tree.extend(leaf_hashes(rows))
            position = rows[-1][0]
        if tree.root() != ahead.root:
            raise self._not_the_sealed(f"its first {ahead.size:,} events are others than those")

    def _new_seals(self, tree: Frontier, position: int, ahead: int) -> Iterator[Seal]:
        """The checkpoints that are still to be made; one of them at the size that the file has sealed already."""
        while True:
            most = min(EVENTS_A_CHECKPOINT, ahead - tree.size) if ahead > tree.size else EVENTS_A_CHECKPOINT
            rows = self._ledger.stored(position, most)
            if not rows:
                return
            since, leaves = tree.size, leaf_hashes(rows)
            tree.extend(leaves)
            position = rows[-1][0]
            checkpoint = Checkpoint(self._signer.public.name, tree.size, tree.root())
            note = signed(checkpoint.text, self._signer.public, self._signer.sign)
            yield Seal(tree.size, since, position, note, tree.packed(), b"".join(leaves))

    def _tree(self, last: Seal) -> Frontier:
        """The tree as it was sealed last: what stands in the database is believed only with our signature on it."""
        if last is NOTHING_SEALED:
            return Frontier()
        checkpoint = self._opened(last.note, "the database")
        try:
            tree = Frontier.unpacked(last.size, last.frontier)
        except ValueError:
            tree = Frontier()
        if (tree.size, tree.root()) != (checkpoint.size, checkpoint.root):
            raise NotTheSealedLedger(
                f"what stands beside the checkpoint of {last.size:,} events was changed. `sendledger audit verify` "
                "tells more; nothing is sealed until that row is as it was."
            )
        return tree

    def _opened(self, note: str, where: str) -> Checkpoint:
        try:
            return opened_checkpoint(note, [self._signer.public], verify)
        except NotVerified as error:
            raise NotTheSealedLedger(
                f"the last checkpoint in {where} cannot be continued: {error}. Is signing_key the key of this ledger? "
                "`sendledger audit verify` tells more."
            ) from None

    def _not_the_sealed(self, what: str) -> NotTheSealedLedger:
        return NotTheSealedLedger(
            f"this ledger is not the one that {self._file.path} has sealed: {what}. So looks a restored backup, "
            "and a ledger that was rewritten. Keep that file as evidence under another name; then "
            "`sendledger audit seal` begins a new one from what the database holds."
        )


def last_seal(ledger: Ledger) -> Seal:
    """The newest checkpoint in the database."""
    rows = ledger.fetch(LAST_CHECKPOINT)
    return seal_of(rows[0]) if rows else NOTHING_SEALED


def seal_of(row: object) -> Seal:
    """A row of the table, as drivers give it."""
    values = {name: row[name] for name in Seal.__slots__}  # type: ignore[index]
    return Seal(**{**values, "frontier": bytes(values["frontier"]), "leaves": bytes(values["leaves"])})


def _some(seals: Iterator[Seal]) -> Iterator[Sequence[Seal]]:
    batch: list[Seal] = []
    for seal in seals:
        batch.append(seal)
        if len(batch) == AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
