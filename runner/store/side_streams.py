"""Side streams: who follows the ledger and must not act in it reads histories, and appends to streams of its own."""

from __future__ import annotations

from collections.abc import Sequence

from eventsourcing.persistence import Mapper

from domain.errors import SendledgerError
from domain.events import Event
from runner.store.reading import LogReader
from runner.store.recorder import LedgerRecorder


class ForeignStream(SendledgerError):
    """An event of a stream that its writer has no right to; nothing was appended."""


class SideStreams:
    """The streams whose names begin with one text. Nothing here decides on a campaign, or could lock a mail."""

    def __init__(self, recorder: LedgerRecorder, mapper: Mapper[str], prefix: str) -> None:
        self.histories = LogReader(recorder)
        self._recorder = recorder
        self._mapper = mapper
        self._prefix = prefix

    def append(self, events: Sequence[Event]) -> None:
        """Append, in one transaction. Raises `ForeignStream` before the store is asked, where one is of another."""
        for event in events:
            if not event.originator_id.startswith(self._prefix):
                kind = type(event).__name__
                raise ForeignStream(f"{kind} of {event.originator_id}: only {self._prefix}… is written here.")
        self._recorder.append([self._mapper.to_stored_event(event) for event in events])
