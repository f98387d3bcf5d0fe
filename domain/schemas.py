"""A JSON Schema for every event as it is stored, for whoever reads a ledger with other tools."""

from __future__ import annotations

from typing import Any

from domain.events import EVENT_TYPES

DIALECT = "https://json-schema.org/draft/2020-12/schema"
UTC_TIME = {"type": "string", "format": "date-time", "pattern": "Z$"}
"""An instant: always UTC, and written so."""


def event_schemas() -> dict[str, dict[str, Any]]:
    """The schema of each topic. A field without a value is left out when an event is stored, never null."""
    return {topic: _schema(topic, kind.model_json_schema(mode="serialization")) for topic, kind in EVENT_TYPES.items()}


def file_name(topic: str) -> str:
    """Where the schema of a topic stands in a folder of them."""
    return f"{topic.replace('/', '-')}.json"


def _schema(topic: str, told: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": DIALECT, "$id": file_name(topic), "title": topic, **_plain({**told, "title": None})}


def _plain(node: Any) -> Any:
    """Without titles, which repeat names, and without null, which is never stored."""
    if isinstance(node, list):
        return [_plain(each) for each in node]
    if not isinstance(node, dict):
        return node
    if isinstance(node.get("anyOf"), list):
        [*kinds] = (each for each in node["anyOf"] if each != {"type": "null"})
        rest = {key: value for key, value in node.items() if key not in ("anyOf", "default", "title")}
        return _plain(rest | kinds[0]) if len(kinds) == 1 else _plain({**rest, "oneOf": kinds})
    if node.get("format") == "date-time":
        return {**UTC_TIME, **({"description": node["description"]} if "description" in node else {})}
    return {
        key: {name: _plain(of) for name, of in value.items()} if key in ("properties", "$defs") else _plain(value)
        for key, value in node.items()
        if key != "title"
    }
