"""Checkpoints (c2sp.org/tlog-checkpoint): whose log, how many events, and the root over all of them; as a signed note.
And the proofs that go with one, in the forms that transparency logs write them in.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from domain.sealing.leaves import StoredEvent, read_leaf
from domain.sealing.merkle import HASH_BYTES, ProofFails, check_consistency, check_inclusion, leaf_hash
from domain.sealing.notes import NotVerified, PublicKey, Verify, opened

INCLUSION = "c2sp.org/tlog-proof@v1"
"""The first line of a proof that an event is in the log; c2sp.org/tlog-proof."""
LONGEST_NUMBER = 19
"""Digits of the largest position that a database holds."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The log at one size. `origin` names the log, and is the name of its key."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{_text(self.root)}\n"


def opened_checkpoint(note: str, keys: Sequence[PublicKey], verify: Verify) -> Checkpoint:
    """The checkpoint in this note. Raises `NotVerified` unless one of the keys has signed it, for a log of its name."""
    text, key = opened(note, keys, verify)
    checkpoint = _read(text)
    if checkpoint.origin != key.name:
        raise NotVerified(f"it is of another log, {checkpoint.origin}")
    return checkpoint


def claimed_size(note: str) -> int:
    """How many events a note speaks of, unproved; -1 for one that says nothing."""
    _, _, rest = note.partition("\n")
    size, _, _ = rest.partition("\n")
    return int(size) if size.isdecimal() and size.isascii() and len(size) <= LONGEST_NUMBER else -1


def inclusion_proof(data: bytes, index: int, path: Sequence[bytes], note: str) -> str:
    """All that a third party needs besides the public key: the event itself, its path, and the checkpoint."""
    lines = [INCLUSION, f"extra {_text(data)}", f"index {index}", *map(_text, path)]
    return "\n".join(lines) + f"\n\n{note}"


def check_inclusion_proof(proof: str, keys: Sequence[PublicKey], verify: Verify) -> tuple[StoredEvent, int, Checkpoint]:
    """The event that a proof is about, its index, and the checkpoint that holds it.

    Raises `NotVerified` or `ProofFails`.
    """
    head, _, note = proof.partition("\n\n")
    first, *lines = head.split("\n")
    if first != INCLUSION or len(lines) < 2 or not lines[0].startswith("extra ") or not lines[1].startswith("index "):
        raise ProofFails(f"this is no proof: it does not begin with {INCLUSION}, the event and its index")
    data, index = _bytes(lines[0].removeprefix("extra ")), _number(lines[1].removeprefix("index "))
    checkpoint = opened_checkpoint(note, keys, verify)
    check_inclusion(leaf_hash(data), index, checkpoint.size, _hashes(lines[2:]), checkpoint.root)
    try:
        return read_leaf(data), index, checkpoint
    except ValueError as error:
        raise ProofFails(str(error)) from None


def growth_proof(old: int, path: Sequence[bytes], note: str) -> str:
    """That the log of an older checkpoint is the beginning of this one; the form that witnesses are asked in
    (c2sp.org/tlog-witness)."""
    return "\n".join([f"old {old}", *map(_text, path)]) + f"\n\n{note}"


def check_growth_proof(proof: str, since: Checkpoint, keys: Sequence[PublicKey], verify: Verify) -> Checkpoint:
    """The checkpoint that continues `since`. Raises `NotVerified` or `ProofFails`."""
    head, _, note = proof.partition("\n\n")
    first, *lines = head.split("\n")
    if not first.startswith("old "):
        raise ProofFails("this is no proof that a log only grew: it does not begin with the old size")
    old = _number(first.removeprefix("old "))
    if old != since.size:
        raise ProofFails(f"it begins at {old} events, the older checkpoint at {since.size}")
    checkpoint = opened_checkpoint(note, keys, verify)
    check_consistency(old, checkpoint.size, _hashes(lines), since.root, checkpoint.root)
    return checkpoint


def _read(text: str) -> Checkpoint:
    lines = text.split("\n")
    if len(lines) < 4 or not lines[0]:
        raise NotVerified("it is no checkpoint")
    try:
        [root] = _hashes([lines[2]])
        return Checkpoint(lines[0], _number(lines[1]), root)
    except ProofFails:
        raise NotVerified("it is no checkpoint") from None


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ProofFails("a line is not base64") from None


def _hashes(lines: Sequence[str]) -> list[bytes]:
    found = [_bytes(line) for line in lines]
    if any(len(each) != HASH_BYTES for each in found):
        raise ProofFails("a line is no hash")
    return found


def _number(text: str) -> int:
    if len(text) > LONGEST_NUMBER or not text.isascii() or not text.isdecimal() or str(int(text)) != text:
        raise ProofFails(f"{text[:20]!r} is no number")
    return int(text)
