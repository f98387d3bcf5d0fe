"""The mapper is strict: what it cannot read exactly is an error that names the place, and never shows a value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from eventsourcing.persistence import StoredEvent

from domain.errors import UnknownEvent
from domain.events import EVENT_TYPES, TOPICS
from runner.store.mapper import EventMapper

GOLDEN = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "domain" / "golden_events.jsonl").read_text(encoding="utf-8").splitlines()
]
LOCKED = next(golden["state"] for golden in GOLDEN if golden["topic"] == "EmailLocked/1")

MAPPER = EventMapper()


def stored(topic: str, state: dict[str, Any] | str) -> StoredEvent:
    text = state if isinstance(state, str) else json.dumps(state)
    return StoredEvent("campaign-7", 12, topic, text.encode())


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden["topic"])
def test_an_event_comes_back_as_it_was_stored_with_its_stream_and_version(golden: dict[str, Any]) -> None:
    event = MAPPER.to_domain_event(stored(golden["topic"], golden["state"]))
    assert type(event) is EVENT_TYPES[golden["topic"]]
    assert (event.originator_id, event.originator_version) == ("campaign-7", 12)
    again = MAPPER.to_stored_event(event)
    assert (again.originator_id, again.originator_version, again.topic) == ("campaign-7", 12, TOPICS[type(event)])
    assert json.loads(again.state) == golden["state"]
    assert MAPPER.to_domain_event(again) == event


@pytest.mark.parametrize(
    "topic", ["EmailTeleported/1", "EmailLocked/2", "EmailLocked", "domain.events:EmailLocked", ""]
)
def test_an_unknown_topic_is_no_event_of_this_program(topic: str) -> None:
    with pytest.raises(UnknownEvent, match=r"^campaign-7 12: .* newer Sendledger") as raised:
        MAPPER.to_domain_event(stored(topic, LOCKED))
    assert repr(topic) in str(raised.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"colour": "secret"}, "colour: extra_forbidden"),
        ({"token": None}, "token: string_type"),
        ({"position": "secret"}, "position: int_type"),
        ({"epoch": 1.0}, "epoch: int_type"),
        ({"sender": "secret"}, "sender: literal_error"),
        ({"date": "2025-03-04T12:00:00+01:00"}, "date: timezone_offset"),
        ({"recorded_at": "secret"}, "recorded_at: datetime"),
        ({"digest": "secret"}, "digest: string_pattern_mismatch"),
        ({"colour": "secret", "position": "secret"}, "; "),
    ],
)
def test_an_unknown_field_or_a_wrong_value_is_an_error_that_names_the_field_alone(
    change: dict[str, Any], told: str
) -> None:
    with pytest.raises(UnknownEvent) as raised:
        MAPPER.to_domain_event(stored("EmailLocked/1", LOCKED | change))
    assert str(raised.value).startswith("campaign-7 12: cannot be read as EmailLocked/1: ")
    assert told in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("said", [{"originator_id": "campaign-7"}, {"originator_version": 12}])
def test_stream_and_version_stand_in_columns_and_nowhere_else(said: dict[str, object]) -> None:
    with pytest.raises(UnknownEvent, match="campaign-7 12: names its stream or version twice"):
        MAPPER.to_domain_event(stored("EmailLocked/1", LOCKED | said))


@pytest.mark.parametrize("field", LOCKED)
def test_a_missing_field_is_never_guessed(field: str) -> None:
    with pytest.raises(UnknownEvent, match=rf"{field}: missing"):
        MAPPER.to_domain_event(stored("EmailLocked/1", {name: LOCKED[name] for name in LOCKED if name != field}))


@pytest.mark.parametrize("state", ["", "{", "null", "[]", '"EmailLocked"', "{}"])
def test_what_is_no_object_of_json_is_no_event(state: str) -> None:
    with pytest.raises(UnknownEvent, match="campaign-7 12: cannot be read as EmailLocked/1"):
        MAPPER.to_domain_event(stored("EmailLocked/1", state))
