"""The leaf of an event: its stored bytes, and where it stands. A change to any of that is another leaf.

The bytes are `sendledger event v1`, a line feed, the position and the version (8 octets each, big-endian), the lengths
of stream and topic (4 octets each), stream, topic, and the event's JSON as it is stored: no two events give the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from struct import Struct

from domain.sealing.merkle import LEAF

PREFIX = b"sendledger event v1\n"
"""Domain separation: no other message of any program that is hashed or signed begins so."""
_NUMBERS = Struct(">QQII")

StoredRow = tuple[int, str, int, str, bytes]
"""Position, stream, version, topic, state: an event as it is stored."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """What a leaf says."""

    position: int
    stream: str
    version: int
    topic: str
    state: bytes


def leaf_data(position: int, stream: str, version: int, topic: str, state: bytes) -> bytes:
    """The bytes that are hashed."""
    name, kind = stream.encode(), topic.encode()
    return b"".join((PREFIX, _NUMBERS.pack(position, version, len(name), len(kind)), name, kind, state))


def leaf_hashes(rows: Iterable[StoredRow]) -> list[bytes]:
    """The leaves of these events. Written out, for it runs once an event."""
    begin, pack, digest = LEAF + PREFIX, _NUMBERS.pack, sha256
    leaves = []
    for position, stream, version, topic, state in rows:
        name, kind = stream.encode(), topic.encode()
        leaves.append(
            digest(b"".join((begin, pack(position, version, len(name), len(kind)), name, kind, state))).digest()
        )
    return leaves


def read_leaf(data: bytes) -> StoredEvent:
    """The event again. Raises `ValueError` for bytes that are no leaf."""
    head = len(PREFIX) + _NUMBERS.size
    if not data.startswith(PREFIX) or len(data) < head:
        raise ValueError("these bytes are no event of a ledger")
    position, version, name, kind = _NUMBERS.unpack_from(data, len(PREFIX))
    if len(data) < head + name + kind:
        raise ValueError("the event is cut")
    stream, topic = data[head : head + name].decode(), data[head + name : head + name + kind].decode()
    return StoredEvent(position, stream, version, topic, data[head + name + kind :])
