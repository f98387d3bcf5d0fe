"""Given the schemas in docs/schemas, when stored events are held against them, then each fits, and no other does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from domain.events import EVENT_TYPES
from domain.schemas import event_schemas, file_name

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"
GOLDEN = [json.loads(line) for line in (Path(__file__).parent / "golden_events.jsonl").read_text().splitlines()]


def validator(topic: str) -> Any:
    schema = json.loads((FOLDER / file_name(topic)).read_text())
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


def test_the_files_are_those_that_the_program_writes() -> None:
    """If not: `make schemas`."""
    stored = {path.name: json.loads(path.read_text()) for path in FOLDER.iterdir()}
    assert stored == {file_name(topic): schema for topic, schema in event_schemas().items()}
    assert len(stored) == len(EVENT_TYPES)


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden["topic"])
def test_every_event_ever_stored_fits_its_schema(golden: dict[str, Any]) -> None:
    check = validator(golden["topic"])
    check.check_schema(check.schema)
    check.validate(golden["state"])
    for wrong in ({"colour": "red"}, {"recorded_at": None}, {"recorded_at": "2025-03-04T11:00:01+01:00"}):
        assert not check.is_valid(golden["state"] | wrong)
    for field in check.schema["required"]:
        assert not check.is_valid({name: value for name, value in golden["state"].items() if name != field})
