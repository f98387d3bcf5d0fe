"""Events to stored events and back, strictly: an unknown topic, field, or missing field is an error, never a guess.
The stored bytes are the event's JSON without its stream and version, which are columns of the store.
"""

from __future__ import annotations

from datetime import UTC
from typing import cast
from uuid import UUID

from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import JSONTranscoder, Mapper, StoredEvent
from pydantic import ValidationError

from domain.errors import UnknownEvent
from domain.events import EVENT_TYPES, TOPICS, Event

COLUMNS = frozenset({"originator_id", "originator_version"})


class EventMapper(Mapper[str]):
    """The library's mapper reads any class by its path; this one knows a fixed vocabulary."""

    def __init__(self) -> None:
        super().__init__(JSONTranscoder())

    def to_stored_event(self, domain_event: DomainEventProtocol[str]) -> StoredEvent:
        """The event as it is stored."""
        event = cast(Event, domain_event)
        state = event.__pydantic_serializer__.to_json(event, exclude=set(COLUMNS), exclude_none=True)
        return StoredEvent(event.originator_id, event.originator_version, TOPICS[type(event)], state)

    def to_domain_event(self, stored_event: StoredEvent) -> Event:
        """The event again. Raises `UnknownEvent` for what this program cannot read."""
        return read_event(
            stored_event.originator_id, stored_event.originator_version, stored_event.topic, stored_event.state
        )


def read_event(originator_id: UUID | str, originator_version: int, topic: str, state: bytes) -> Event:
    """The event in these columns of the store."""
    kind = EVENT_TYPES.get(topic)
    if kind is None:
        raise UnknownEvent(
            f"{originator_id} {originator_version}: this program does not know events of type {topic!r}; "
            "a newer Sendledger wrote it: use that one."
        )
    try:
        event = kind.__pydantic_validator__.validate_json(state)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['type']}" for e in error.errors(include_input=False))
        raise UnknownEvent(
            f"{originator_id} {originator_version}: cannot be read as {topic}: {faults}. "
            "The record was changed, or a newer Sendledger wrote it."
        ) from None
    if not COLUMNS.isdisjoint(event.model_fields_set):
        raise UnknownEvent(f"{originator_id} {originator_version}: names its stream or version twice; it was changed.")
    # Straight into __dict__: the model is frozen, and a copy would cost more than reading it.
    said = event.__dict__
    said["originator_id"] = originator_id
    said["originator_version"] = originator_version
    # pydantic's own offset zero is another object than ours, and two times compare ten times faster where it is one.
    said["recorded_at"] = said["recorded_at"].astimezone(UTC)
    return cast(Event, event)
