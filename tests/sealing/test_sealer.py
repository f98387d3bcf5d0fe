"""Given a ledger that grows, when it is sealed, then every event is under a signature, whatever crashes in between."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from domain.errors import InvalidInput
from domain.events import RunnerStopped
from domain.sealing.checkpoints import opened_checkpoint
from domain.sealing.merkle import ProofFails
from runner.sealing.file import CheckpointFile
from runner.sealing.keys import verify
from runner.sealing.proving import newest_checkpoint, prove_event, prove_growth
from runner.sealing.sealer import EVENTS_A_CHECKPOINT, Sealer, last_seal
from runner.store.ledger import Ledger
from tests.domain.given import NOON
from tests.sealing.given import SEALED_AT, SealedLedger

EVENTS, SEALED = 18, SEALED_AT[-1]


def more(ledger: Ledger, count: int) -> None:
    first = ledger.version("runners") + 1
    ledger.append(
        [
            RunnerStopped(originator_id="runners", originator_version=first + nth, recorded_at=NOON, runner="a")
            for nth in range(count)
        ]
    )


def test_each_checkpoint_stands_in_the_database_and_in_the_file(sealed: SealedLedger) -> None:
    notes = sealed.file.notes()
    sizes = [opened_checkpoint(note, [sealed.signer.public], verify).size for note in notes]
    assert tuple(sizes) == SEALED_AT
    assert last_seal(sealed.ledger).note == notes[-1]


def test_sealing_again_makes_nothing_new(sealed: SealedLedger) -> None:
    assert (sealed.sealer.seal().made, sealed.sealer.seal().made) == (1, 0)
    assert sealed.verified().sealed == EVENTS


def test_a_backlog_is_sealed_a_thousand_at_a_time(sealed: SealedLedger) -> None:
    assert not sealed.sealer.is_due()
    more(sealed.ledger, 2 * EVENTS_A_CHECKPOINT + 5)
    sealed.ledger.refresh()
    assert sealed.sealer.is_due()
    assert sealed.sealer.seal().made == 3
    assert not sealed.sealer.is_due()
    found = sealed.verified()
    assert (found.faults, found.sealed) == ([], EVENTS + 2 * EVENTS_A_CHECKPOINT + 5)


def test_a_crash_between_file_and_database_loses_nothing(sealed: SealedLedger) -> None:
    sealed.sealer.seal()
    more(sealed.ledger, 3)
    sealed.tamper("DELETE FROM checkpoints WHERE size = 18")  # as if its commit had never come
    assert sealed.verified().faults == []
    sealed.sealer.seal()
    found = sealed.verified()
    assert (found.faults, found.in_database, found.in_file) == ([], 5, 5)


def test_a_note_that_a_crash_cut_short_is_written_anew(sealed: SealedLedger) -> None:
    sealed.sealer.seal()
    sealed.file.path.write_bytes(sealed.file.path.read_bytes()[:-30])
    more(sealed.ledger, 1)
    sealed.sealer.seal()
    assert (sealed.verified().faults, len(sealed.file.notes())) == ([], 5)


def test_a_file_that_lacks_checkpoints_is_brought_up_to_the_database(sealed: SealedLedger) -> None:
    sealed.file.path.unlink()
    sealed.sealer.seal()
    assert (sealed.verified().faults, len(sealed.file.notes())) == ([], 4)


def test_two_who_seal_at_once_are_harmless(sealed: SealedLedger, tmp_path: Path) -> None:
    """On two machines, each with its own file."""
    more(sealed.ledger, 500)
    others = [Sealer(sealed.ledger, sealed.signer, CheckpointFile(tmp_path / name)) for name in ("a", "b", "b")]
    threads = [threading.Thread(target=other.seal) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in ("a", "b"):
        found = sealed.verified(CheckpointFile(tmp_path / name))
        assert (found.faults, found.sealed) == ([], EVENTS + 500)


@pytest.mark.parametrize("content", [b"somebody's letter\n", b"\xff\xfe", b"letter\n" * 20_000])
def test_a_file_of_something_else_is_never_written_into(sealed: SealedLedger, content: bytes) -> None:
    sealed.file.path.write_bytes(content)
    with pytest.raises(InvalidInput, match="is no file of checkpoints"):
        sealed.sealer.seal()
    assert sealed.file.path.read_bytes() == content


def test_every_sealed_event_can_be_proved_and_that_the_log_grew(sealed: SealedLedger) -> None:
    keys = [sealed.signer.public]
    for position in range(1, SEALED + 1):
        proof = prove_event(sealed.ledger, position, keys)
        assert (proof.index, proof.checkpoint.size) == (position - 1, SEALED)
    for note in sealed.file.notes():
        older = newest_checkpoint([note], keys)
        assert prove_growth(sealed.ledger, older, keys).checkpoint.size == SEALED


def test_a_file_without_a_checkpoint_proves_nothing(sealed: SealedLedger) -> None:
    with pytest.raises(ProofFails, match="no checkpoint"):
        newest_checkpoint([], [sealed.signer.public])
