"""Proofs for people who have neither the database nor us: that an event is in the log, and that the log only grew.

The leaves come from the table of checkpoints, so nothing but the event itself is read; each proof is checked here
before it leaves, for that table may have been changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domain.errors import CommandRefused
from domain.sealing.checkpoints import (
    Checkpoint,
    check_growth_proof,
    check_inclusion_proof,
    growth_proof,
    inclusion_proof,
    opened_checkpoint,
)
from domain.sealing.leaves import leaf_data
from domain.sealing.merkle import ProofFails, consistency_path, hashes, inclusion_path, leaf_hash
from domain.sealing.notes import NotVerified, PublicKey
from projections.kept import LEAVES
from runner.sealing.keys import verify
from runner.sealing.sealer import NotTheSealedLedger, last_seal
from runner.store.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof as it is handed out, what it is of, and the checkpoint that it leads to."""

    text: str
    position: int
    index: int
    checkpoint: Checkpoint


def prove_event(ledger: Ledger, position: int, keys: Sequence[PublicKey]) -> Proof:
    """That the event at this position is in the log, under the newest checkpoint."""
    seal = last_seal(ledger)
    [row] = ledger.stored(position - 1, 1)
    if position > seal.position:
        raise CommandRefused(
            f"the event at position {position} is not sealed yet. `sendledger audit seal`, then again."
        )
    leaves, data = _leaves(ledger, seal.size), leaf_data(*row)
    try:
        index = leaves.index(leaf_hash(data))
        proof = inclusion_proof(data, index, inclusion_path(leaves, index), seal.note)
        _, _, checkpoint = check_inclusion_proof(proof, keys, verify)
    except (ValueError, IndexError) as error:
        raise _not_proved(error) from None
    return Proof(proof, position, index, checkpoint)


def prove_growth(ledger: Ledger, since: Checkpoint, keys: Sequence[PublicKey]) -> Proof:
    """That the log of an older checkpoint is the beginning of today's."""
    seal = last_seal(ledger)
    if since.size > seal.size:
        raise CommandRefused(f"that checkpoint is of {since.size:,} events, the newest here of {seal.size:,}.")
    leaves = _leaves(ledger, seal.size)
    try:
        proof = growth_proof(since.size, consistency_path(leaves, since.size), seal.note)
        checkpoint = check_growth_proof(proof, since, keys, verify)
    except (ValueError, IndexError) as error:
        raise _not_proved(error) from None
    return Proof(proof, seal.position, since.size, checkpoint)


def newest_checkpoint(notes: Sequence[str], keys: Sequence[PublicKey]) -> Checkpoint:
    """The last of these notes. Raises `ProofFails` where there is none, or another key has signed it."""
    if not notes:
        raise ProofFails("the file holds no checkpoint")
    try:
        return opened_checkpoint(notes[-1], keys, verify)
    except NotVerified as error:
        raise ProofFails(f"its last checkpoint does not hold: {error}") from None


def _leaves(ledger: Ledger, size: int) -> list[bytes]:
    return [leaf for row in ledger.fetch(LEAVES, upto=size) for leaf in hashes(bytes(row["leaves"]))]


def _not_proved(error: Exception) -> NotTheSealedLedger:
    return NotTheSealedLedger(f"it cannot be proved: {error}. `sendledger audit verify` tells what was changed.")
