"""What both recorders add to the library's: appends together with rows of kept tables, in one transaction, inside the
append lock if asked for; and reading kept tables by the store's own connections.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol, cast

from eventsourcing.persistence import ApplicationRecorder, StoredEvent
from sqlalchemy import Dialect, Executable
from sqlalchemy.sql import ClauseElement

from domain.errors import SendledgerError
from projections.event_log import LOG, POSITION_OF, SETTINGS, STREAM, STREAMS_BETWEEN

LIBRARY = {"CREATE_TABLE": "n", "ORIGINATOR_ID_TYPE": "text"}
"""The library's settings on either database: migrations make the tables, and streams have names."""


class UnsafeDatabase(SendledgerError):
    """This database may forget what it has reported stored: a mail that it forgot would go out again."""


Kept = tuple[Executable, Sequence[Mapping[str, Any]]]
"""A statement on kept tables and its rows, to be run in the transaction of an append."""

LogRow = tuple[int, str, int, str, bytes]
"""An event as it is stored: position, stream, version, topic, state."""


class Appending(Protocol):
    """The append lock, held: read what others appended, then append. Everything commits together when it ends."""

    def tail(self, stream: str, after: int) -> list[StoredEvent]:
        """The stream's events after this version."""
        ...

    def insert(self, stored: Sequence[StoredEvent]) -> Sequence[int]:
        """Append; the events' positions in the log."""
        ...

    def keep(self, kept: Sequence[Kept]) -> None:
        """Run these statements on kept tables."""
        ...


class LedgerRecorder(ApplicationRecorder):
    """Appends and reads the events of one database."""

    dialect: ClassVar[Dialect]

    @abstractmethod
    def append_lock(self) -> AbstractContextManager[Appending]:
        """The append lock of the database, until the block ends. An error in the block appends nothing."""

    @abstractmethod
    def append(self, stored: Sequence[StoredEvent], kept: Sequence[Kept] = ()) -> None:
        """Append, with rows of kept tables, in one transaction. `IntegrityError`: a version was taken."""

    @abstractmethod
    def events(self, statement: Executable, values: Mapping[str, Any]) -> list[LogRow]:
        """What a SELECT of events finds, as it comes: the library makes an object of each, which takes as long as
        reading the event in it."""

    @abstractmethod
    def rows(self, statement: Executable, values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """What a SELECT finds."""

    @abstractmethod
    def place(self) -> str:
        """What tells this very database from a copy of it."""

    @abstractmethod
    def close(self) -> None:
        """Give back every connection."""

    def log(self, after: int, limit: int) -> list[LogRow]:
        """The events after this position, in order."""
        return self.events(LOG[self.dialect.name], {"after": after, "rows": limit})

    def stream(self, stream: str, after: int, limit: int) -> list[LogRow]:
        """The events of one stream after this version, in order."""
        return self.events(STREAM[self.dialect.name], {"stream": stream, "after": after, "rows": limit})

    def settings(self, stream: str) -> list[LogRow]:
        """The events of one stream that changed a campaign's settings, in order."""
        return self.events(SETTINGS[self.dialect.name], {"stream": stream})

    def position_of(self, stream: str, version: int) -> int | None:
        """Where an event stands in the log; None when there is no such event."""
        found = self.rows(POSITION_OF[self.dialect.name], {"stream": stream, "version": version})
        return cast(int, found[0]["position"]) if found else None

    def streams_between(self, first: str, last: str) -> list[str]:
        """The names of all streams between these two texts."""
        return [row["originator_id"] for row in self.rows(STREAMS_BETWEEN, {"first": first, "last": last})]


def compiling(dialect: Dialect) -> Callable[[Executable], str]:
    """Statements to text with named parameters, each compiled once."""
    known: dict[Executable, str] = {}

    def compiled(statement: Executable) -> str:
        text = known.get(statement)
        if text is None:
            text = known[statement] = str(cast(ClauseElement, statement).compile(dialect=dialect))
        return text

    return compiled
