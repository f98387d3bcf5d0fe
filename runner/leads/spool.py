"""Where checked rows wait until the whole file is read: on disk, one an address, in a bounded amount of memory.
What is imported is then what was checked, even if the file changes meanwhile.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from domain.commitments import address_key
from runner.leads.problems import SHOWN

BATCH = 1_000
"""Rows of one append. More would hold the append lock longer than a sender should wait."""
CACHE_KIB = 16_384
DIGEST_OCTETS = 16


class Spooled(NamedTuple):
    """A checked row. `fields` is JSON, as it is kept."""

    row: int
    address: str
    priority: int
    fields: str


@dataclass(frozen=True, slots=True)
class Repeated:
    """A row with an address that stood earlier in the file."""

    row: int
    first_row: int

    def __str__(self) -> str:
        return f"row {self.row}, email: the same address as in row {self.first_row}."


class Spool:
    """Checked rows, the first of each address."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.rows = 0
        self.duplicates = 0
        self._repeated: list[Repeated] = []

    @property
    def repeated(self) -> tuple[Repeated, ...]:
        """The first duplicates."""
        return tuple(self._repeated)

    def add(self, batch: Sequence[Spooled]) -> None:
        """More rows, in the order of the file."""
        digests = [_digest(lead.address) for lead in batch]
        before = self._connection.total_changes
        self._connection.executemany(_ADD, [(*lead, digest) for lead, digest in zip(batch, digests, strict=True)])
        added = self._connection.total_changes - before
        self.rows += added
        self.duplicates += len(batch) - added
        if added < len(batch):
            self._tell(batch, digests)

    def batches(self) -> Iterator[list[Spooled]]:
        """The rows again, in the order of the file."""
        after = 0
        while batch := [Spooled(*row) for row in self._connection.execute(_NEXT, (after, BATCH))]:
            yield batch
            after = batch[-1].row

    def _tell(self, batch: Sequence[Spooled], digests: Sequence[bytes]) -> None:
        for lead, digest in zip(batch, digests, strict=True):
            if len(self._repeated) == SHOWN:
                return
            (first_row,) = self._connection.execute(_FIRST, (digest,)).fetchone()
            if first_row != lead.row:
                self._repeated.append(Repeated(lead.row, first_row))


@contextmanager
def spool() -> Iterator[Spool]:
    """An empty spool, gone when the block ends: the file has no name and dies with the process, even if killed."""
    connection = sqlite3.connect("", isolation_level=None)
    try:
        for statement in _PREPARE:
            connection.execute(statement)
        yield Spool(connection)
    finally:
        connection.close()


def _digest(address: str) -> bytes:
    return blake2b(address_key(address).encode(), digest_size=DIGEST_OCTETS).digest()


_PREPARE = (
    "PRAGMA temp_store = FILE",
    "PRAGMA journal_mode = OFF",
    "PRAGMA synchronous = OFF",
    f"PRAGMA cache_size = -{CACHE_KIB}",
    "CREATE TABLE leads (row INTEGER PRIMARY KEY, address TEXT, priority INTEGER, fields TEXT, digest BLOB UNIQUE)",
    "BEGIN",
)
_ADD = "INSERT OR IGNORE INTO leads VALUES (?, ?, ?, ?, ?)"
_NEXT = "SELECT row, address, priority, fields FROM leads WHERE row > ? ORDER BY row LIMIT ?"
_FIRST = "SELECT row FROM leads WHERE digest = ?"
