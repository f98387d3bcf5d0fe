"""The keys of the seal: Ed25519, by `cryptography`, in the one-line forms of signed notes."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from domain.errors import InvalidInput
from domain.sealing.notes import KEY_BYTES, PrivateKey, PublicKey

ORIGIN = "sendledger/"
"""Begins the name of every log of ours, and of its key."""


class Signer:
    """A key that signs."""

    def __init__(self, private: PrivateKey) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(private.seed)
        self.public = PublicKey(private.name, self._key.public_key().public_bytes_raw())
        if self.public.hash != private.hash:
            raise ValueError("the name, hash and key do not belong together")

    def sign(self, message: bytes) -> bytes:
        """64 octets."""
        return self._key.sign(message)


def new_name(ledger_id: str) -> str:
    """What this ledger's log and its key are called."""
    return ORIGIN + re.sub(r"[^A-Za-z0-9.-]+", "-", ledger_id)


def new_key(ledger_id: str) -> PrivateKey:
    """A key for this ledger."""
    name = new_name(ledger_id)
    seed = secrets.token_bytes(KEY_BYTES)
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return PrivateKey(name, PublicKey(name, public).hash, seed)


def signer(line: str) -> Signer:
    """What this line of a key file signs with. Raises `InvalidInput`, without repeating it."""
    try:
        return Signer(PrivateKey.parsed(line))
    except ValueError as error:
        mend = "Put the key back that `sendledger init` or `audit key --make` made."
        raise InvalidInput(f"{error}.", mend=mend, field="signing_key") from None


def verify(key: bytes, signature: bytes, message: bytes) -> bool:
    """Does the signature hold?"""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def public_keys(path: Path) -> list[PublicKey]:
    """The keys of a file, one a line. Raises `InvalidInput` naming file and row."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise InvalidInput("is no file of public keys.", mend=_MEND, source=str(path)) from None
    keys = []
    for row, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            keys.append(PublicKey.parsed(line))
        except ValueError as error:
            raise InvalidInput(f"{error}.", mend=_MEND, source=str(path), row=row) from None
    if not keys:
        raise InvalidInput("holds no public key.", mend=_MEND, source=str(path))
    return keys


_MEND = "Write into it what `sendledger audit key` prints."
