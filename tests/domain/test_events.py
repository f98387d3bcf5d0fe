"""The vocabulary of a ledger: golden lines of every event, and what a stored event must never be.
A golden line is never changed: an event that changes gets a new version, an upcast and a further line.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from domain import events as e

GOLDEN = [json.loads(line) for line in (Path(__file__).parent / "golden_events.jsonl").read_text().splitlines()]
LINES = (Path(__file__).parent / "golden_events.jsonl").read_text().splitlines()
FIRST_OF_EACH = list({golden["topic"]: golden for golden in reversed(GOLDEN)}.values())


def test_every_topic_has_a_golden_line_and_every_class_one_topic() -> None:
    assert {golden["topic"] for golden in GOLDEN} == set(e.EVENT_TYPES)
    older = {topic for topic, cls in e.EVENT_TYPES.items() if e.TOPICS[cls] != topic}
    assert older == {"EmailSent/1", "LegacyImported/1", "TicksIdle/1"}


@pytest.mark.parametrize(
    ("topic", "lacks"),
    [
        ("EmailSent", ("imported",)),
        ("LegacyImported", ("created_there", "scheduled_there")),
        ("TicksIdle", ("over_us",)),
    ],
)
def test_an_older_version_is_read_as_the_event_of_today(topic: str, lacks: tuple[str, ...]) -> None:
    older = next(golden for golden in GOLDEN if golden["topic"] == f"{topic}/1")
    event = e.EVENT_TYPES[f"{topic}/1"].model_validate_json(json.dumps(older["state"]))
    assert e.TOPICS[type(event)] == f"{topic}/2"
    assert [getattr(event, name) for name in lacks] == [None] * len(lacks)


@pytest.mark.parametrize("line", LINES, ids=lambda line: json.loads(line)["topic"])
def test_a_golden_line_is_read_and_written_back_byte_for_byte(line: str) -> None:
    golden = json.loads(line)
    event = e.EVENT_TYPES[golden["topic"]].model_validate_json(json.dumps(golden["state"]))
    written = event.model_dump_json(exclude_none=True)
    assert f'{{"topic":"{golden["topic"]}","state":{written}}}' == line


@pytest.mark.parametrize("golden", FIRST_OF_EACH, ids=lambda golden: golden["topic"])
def test_an_unknown_field_is_refused(golden: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        read(golden["topic"], golden["state"] | {"colour": "red"})


@pytest.mark.parametrize(
    ("topic", "field"),
    [
        (topic, name)
        for topic, cls in e.EVENT_TYPES.items()
        for name, field in cls.model_fields.items()
        if field.is_required()
    ],
)
def test_a_missing_field_is_refused(topic: str, field: str) -> None:
    state = next(golden["state"] for golden in GOLDEN if golden["topic"] == topic)
    with pytest.raises(ValidationError, match=rf"{field}\s+Field required"):
        read(topic, {name: value for name, value in state.items() if name != field})


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden["topic"])
def test_every_time_of_an_event_must_be_utc(golden: dict[str, Any]) -> None:
    times = [name for name, value in golden["state"].items() if isinstance(value, str) and value.startswith("2025-")]
    assert "recorded_at" in times
    for name in times:
        for other in ("2025-03-04T12:00:00+01:00", "2025-03-04T11:00:00"):
            with pytest.raises(ValidationError, match=name):
                read(golden["topic"], golden["state"] | {name: other})


@pytest.mark.parametrize(
    ("field", "value"),
    [("position", "3"), ("position", 3.0), ("code", "250"), ("attempt", True), ("token", "short"), ("token", "x" * 65)],
)
def test_a_value_of_another_type_or_size_is_never_bent_into_shape(field: str, value: object) -> None:
    state = next(golden["state"] for golden in GOLDEN if golden["topic"] == "EmailSent/1")
    with pytest.raises(ValidationError, match=field):
        read("EmailSent/1", state | {field: value})


@pytest.mark.parametrize("value", ["0" * 63, "0" * 65, "g" * 64, "A" * 64, "0" * 64 + "\n"])
def test_a_digest_is_64_lower_case_hex_digits(value: str) -> None:
    with pytest.raises(ValidationError, match="content_digest"):
        e.ContentChanged(
            recorded_at=datetime(2025, 3, 4, tzinfo=UTC), content_version=2, content_digest=value, actor="anna"
        )


def test_an_event_cannot_be_changed() -> None:
    event = e.CampaignCompleted(recorded_at=datetime(2025, 3, 4, tzinfo=UTC))
    with pytest.raises(ValidationError, match="frozen"):
        event.recorded_at = datetime(2025, 3, 5, tzinfo=UTC)  # type: ignore[misc]


def test_the_columns_of_the_store_stay_out_of_the_json() -> None:
    event = e.CampaignCompleted(
        originator_id="campaign-1", originator_version=9, recorded_at=datetime(2025, 3, 4, tzinfo=UTC)
    )
    assert event.model_dump_json(exclude_none=True) == '{"recorded_at":"2025-03-04T00:00:00Z"}'


def test_stamped_turns_any_instant_into_utc_and_refuses_one_without_zone() -> None:
    noon_in_warsaw = datetime(2025, 3, 4, 12, tzinfo=timezone(timedelta(hours=1)))
    assert e.stamped(noon_in_warsaw).isoformat() == "2025-03-04T11:00:00+00:00"
    with pytest.raises(ValueError, match="without zone"):
        e.stamped(datetime(2025, 3, 4, 12))  # noqa: DTZ001 - the very mistake


def read(topic: str, state: dict[str, Any]) -> e.Event:
    return e.EVENT_TYPES[topic].model_validate_json(json.dumps(state))
