"""Drafting events: the numbers and times that all events of one decision share."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from domain.events import Event, stamped

E = TypeVar("E", bound=Event)


class Draft:
    """The events of one decision on one stream, numbered from the version it was decided on."""

    __slots__ = ("_now", "_stream", "_version", "events")

    def __init__(self, stream: str, version: int, now: datetime) -> None:
        self._stream = stream
        self._version = version
        self._now = stamped(now)
        self.events: list[Event] = []

    def add(self, kind: type[E], **said: Any) -> E:
        """One more event, recorded at `now`."""
        self._version += 1
        event = kind(originator_id=self._stream, originator_version=self._version, recorded_at=self._now, **said)
        self.events.append(event)
        return event
