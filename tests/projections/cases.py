"""What the cases of all events share: their form, and the two instants at which they happen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from domain import events as e
from projections.times import time_text
from tests.domain.given import NOON, World
from tests.projections.happenings import MINUTE, Happening

Cells = dict[str, dict[str, Any]]
"""By table: the cells that differ in the one row that does; of a new row all that are not empty."""

BEFORE, NOW = time_text(NOON), time_text(NOON + MINUTE)
DATE = "2025-03-04"


@dataclass(frozen=True)
class Case:
    """At noon `given`, a minute later `when`."""

    event: type[e.Event]
    says: str
    given: Callable[[], World]
    when: Happening
    then: Cells

    def __str__(self) -> str:
        return f"{self.event.__name__} {self.says}"
