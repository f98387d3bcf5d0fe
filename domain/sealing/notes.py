"""Signed notes, as transparency logs write them (c2sp.org/signed-note): a text, and under it who vouches for it.

A key is public in one line, NAME+HASH+KEY. What signs and what checks a signature is given: this is only the form.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

ED25519 = b"\x01"
"""The type of a key, in the form and in its hash."""
KEY_BYTES, SIGNATURE_BYTES, HASH_BYTES = 32, 64, 4
DASH = "— "
"""Begins the line of a signature: an em dash and a blank."""
PRIVATE = "PRIVATE+KEY+"
LONGEST = 1_000_000

Verify = Callable[[bytes, bytes, bytes], bool]
"""`(public key, signature, message)`: does it hold?"""
Sign = Callable[[bytes], bytes]


class NotVerified(ValueError):
    """No signature of the key that is trusted stands under this note, or the note is none."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An Ed25519 key by its name, as others know it."""

    name: str
    key: bytes

    @property
    def hash(self) -> bytes:
        """Four octets that tell keys of one name apart."""
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.key).digest()[:HASH_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.hash.hex()}+{base64.b64encode(ED25519 + self.key).decode()}"

    @classmethod
    def parsed(cls, line: str) -> PublicKey:
        """The key in this line. Raises `ValueError` for what is none."""
        name, hashed, encoded = _three_parts(line.strip())
        key = cls(name, _key_bytes(encoded))
        if not _is_name(name) or key.hash.hex() != hashed:
            raise ValueError("this is no public key: its name, hash and key do not belong together")
        return key


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """What signs, in the one line that is kept: PRIVATE+KEY+NAME+HASH+SEED."""

    name: str
    hash: bytes
    seed: bytes

    def __repr__(self) -> str:
        return f"PrivateKey({self.name!r})"

    def line(self) -> str:
        """As it is kept in a file that nobody else may read."""
        return f"{PRIVATE}{self.name}+{self.hash.hex()}+{base64.b64encode(ED25519 + self.seed).decode()}"

    @classmethod
    def parsed(cls, line: str) -> PrivateKey:
        """The key in this line. Raises `ValueError`, without repeating any of it."""
        if not line.startswith(PRIVATE):
            raise ValueError("this is no key that signs")
        name, hashed, encoded = _three_parts(line.strip().removeprefix(PRIVATE))
        seed = _key_bytes(encoded)
        try:
            return cls(name, bytes.fromhex(hashed), seed)
        except ValueError:
            raise ValueError("this is no key that signs") from None


def signed(text: str, key: PublicKey, sign: Sign) -> str:
    """The note with our signature under it."""
    if not text.endswith("\n"):
        raise ValueError("a note ends its last line")
    signature = base64.b64encode(key.hash + sign(text.encode())).decode()
    return f"{text}\n{DASH}{key.name} {signature}\n"


def opened(note: str, keys: Sequence[PublicKey], verify: Verify) -> tuple[str, PublicKey]:
    """The text of a note that one of these keys has signed, and which. Raises `NotVerified` for any other.

    Other signatures may stand there too, of witnesses for example.
    """
    text, signatures = _parts(note)
    known = {(key.name, key.hash): key for key in keys}
    ours = [(known[name, hashed], given) for name, hashed, given in signatures if (name, hashed) in known]
    if not ours:
        signers = ", ".join(f"{name} {hashed.hex()}" for name, hashed, _ in signatures)
        raise NotVerified(f"it is signed by another key: {signers}")
    [(key, given), *twice] = ours
    if twice or len(given) != SIGNATURE_BYTES or not verify(key.key, given, text.encode()):
        raise NotVerified("its signature does not hold: the text or the signature was changed")
    return text, key


def split_notes(text: str) -> list[str]:
    """The notes of a file in which they stand one after the other. What follows the last whole one is left out."""
    found: list[str] = []
    lines: list[str] = []
    is_signed = False
    for line in text.splitlines(keepends=True):
        if is_signed and not line.startswith(DASH):
            found.append("".join(lines))
            lines, is_signed = [], False
        lines.append(line)
        is_signed = line.startswith(DASH) and line.endswith("\n")
    return [*found, "".join(lines)] if is_signed else found


def _parts(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    text, blank, below = note.rpartition("\n\n")
    lines = below.split("\n")
    if not blank or lines.pop() != "" or not lines or len(note) > LONGEST:
        raise NotVerified("it is no signed note")
    return text + "\n", [_signature(line) for line in lines]


def _signature(line: str) -> tuple[str, bytes, bytes]:
    name, _, encoded = line.removeprefix(DASH).partition(" ")
    try:
        given = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        given = b""
    if not line.startswith(DASH) or not _is_name(name) or len(given) <= HASH_BYTES:
        raise NotVerified("a line under it is no signature")
    return name, given[:HASH_BYTES], given[HASH_BYTES:]


def _three_parts(line: str) -> list[str]:
    """Name, hash and key: base64 may hold a plus."""
    return [*line.split("+", 2), "", ""][:3]


def _key_bytes(encoded: str) -> bytes:
    try:
        given = base64.b64decode(encoded, validate=True)
    except ValueError:
        raise ValueError("this is no key: it is not base64") from None
    if len(given) != 1 + KEY_BYTES or given[:1] != ED25519:
        raise ValueError("this is no Ed25519 key")
    return given[1:]


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(sign.isspace() for sign in name)
