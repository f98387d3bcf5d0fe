"""Reading histories: the events of some streams in log order, with their positions, in batches."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator
from operator import itemgetter

from domain.events import EVENT_TYPES, Event
from projections.event_log import OF_TOPIC
from runner.store.mapper import read_event
from runner.store.recorder import LedgerRecorder, LogRow

BATCH = 5_000
FEW = 20
"""So many streams are read one by one and merged; of more, the whole log is read and the others passed over."""

TICKS, TICKS_END = "ticks-", "ticks."
RUNNER, RUNNER_END = "runner-", "runner."

Row = tuple[int, Event]


class LogReader:
    """Reads what is stored; decodes only what is asked for."""

    def __init__(self, recorder: LedgerRecorder) -> None:
        self._recorder = recorder

    def rows(self, streams: Collection[str], after: int = 0, up_to: int | None = None) -> Iterator[LogRow]:
        """The events of these streams behind a position, as they are stored, in log order."""
        by_stream = len(streams) <= FEW and not after  # behind a position there is little: the log's end
        found = self._merged(streams) if by_stream else self._of_log(frozenset(streams).__contains__, after)
        for row in found:
            if up_to is not None and row[0] > up_to:
                return
            yield row

    def ticks(self, after: int = 0) -> list[Row]:
        """All tick events behind a position, of every runner and both senders, and where each runner
        started, in log order."""
        if after:
            return [read(row) for row in self._of_log(lambda stream: stream.startswith((TICKS, RUNNER)), after)]
        streams = [*self.streams(TICKS, TICKS_END), *self.streams(RUNNER, RUNNER_END)]
        found = [read(row) for stream in streams for row in self._of_stream(stream)]
        return sorted(found, key=itemgetter(0))

    def of_kinds(self, stream: str, *kinds: type[Event]) -> list[Row]:
        """The events of a stream that are of these kinds, of whatever version, in log order."""
        statement = OF_TOPIC[self._recorder.dialect.name]
        found = [
            read(row)
            for topic, kind in EVENT_TYPES.items()
            if kind in kinds
            for row in self._recorder.events(statement, {"stream": stream, "topic": topic})
        ]
        return sorted(found, key=itemgetter(0))

    def stream(self, stream: str, after: int = 0) -> Iterator[Event]:
        """The events of one stream after this version."""
        return (read(row)[1] for row in self._of_stream(stream, after))

    def position(self) -> int:
        """The position of the last event in the log; 0 when it is empty."""
        return self._recorder.max_notification_id() or 0

    def streams(self, first: str, last: str) -> list[str]:
        """The names of streams between two texts."""
        return self._recorder.streams_between(first, last)

    def _merged(self, streams: Collection[str]) -> Iterator[LogRow]:
        return heapq.merge(*map(self._of_stream, streams), key=itemgetter(0))

    def _of_stream(self, stream: str, version: int = 0) -> Iterator[LogRow]:
        while batch := self._recorder.stream(stream, version, BATCH):
            yield from batch
            version = batch[-1][2]

    def _of_log(self, wanted: Callable[[str], bool], after: int) -> Iterator[LogRow]:
        while batch := self._recorder.log(after, BATCH):
            for row in batch:
                if wanted(row[1]):
                    yield row
            after = batch[-1][0]


def read(row: LogRow) -> Row:
    """The event in a row, and its position."""
    position, stream, version, topic, state = row
    return position, read_event(stream, version, topic, state)
