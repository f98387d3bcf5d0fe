"""Given docs/ledger.md, when it is read, then every table, every event and every column of the export stands there."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.events import EVENT_TYPES
from domain.schemas import file_name
from projections import kept, views
from projections.audit import COLUMNS

LEDGER = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", ["stored_events", *views.METADATA.tables, *kept.METADATA.tables])
def test_every_table_is_described(table: str) -> None:
    assert f"| `{table}` | " in LEDGER or f"## {table}\n" in LEDGER


@pytest.mark.parametrize("topic", EVENT_TYPES)
def test_every_event_is_described_and_leads_to_its_schema(topic: str) -> None:
    assert f"| [`{topic}`](schemas/{file_name(topic)}) | " in LEDGER


def test_every_column_of_the_export_is_described() -> None:
    for column in COLUMNS:
        assert f"| `{column.name}` | {column.kind} | {column.says} |" in LEDGER
