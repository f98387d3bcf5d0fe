"""Reports as people read them, word for word, on histories that come out the same each time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from domain.replay.past import Setup
from domain.replay.sides import Side, WhatIf
from domain.rules import Limits
from runner.cli.comparison_table import lines
from runner.replaying.comparing import compare
from tests.databases import on_sqlite
from tests.faults.world import World
from tests.replay.given import HOUR, MINUTE, MONDAY, OFFICE, run

GOLDEN = Path(__file__).parent / "golden"

SETUPS = {
    "as_recorded": Setup(),
    "another_window": Setup(b=Side("v2", WhatIf(window=(9 * 60 + 30, 15 * 60)))),
    "half_hourly": Setup(b=Side("v2", WhatIf(every=30 * MINUTE)), is_free=True),
}


@on_sqlite
def test_a_report_reads_as_it_did(world: World) -> None:
    """A morning of V1 with priorities it does not heed, a temporary failure, and half an hour's outage."""
    limits, leads = Limits(daily_limit=100, delay_s=150), ["lead", "busy", *["lead"] * 10]
    priorities = [9, 9, 1, *[9] * 9]
    world.campaign(1, "v1", leads, limits=limits, schedule=OFFICE, priorities=priorities)
    run(world, MONDAY - 5 * MINUTE, MONDAY + 20 * MINUTE)
    run(world, MONDAY + 50 * MINUTE, MONDAY + 3 * HOUR, missed=31 * MINUTE)

    for name, setup in SETUPS.items():
        told = "\n".join(lines(compare(world.ledger, 1, setup))) + "\n"
        assert told == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8"), name


@pytest.mark.parametrize("name", SETUPS)
def test_a_golden_report_says_all_that_is_asked_for(name: str) -> None:
    told = (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")

    for label in ("Campaign", "Compared", "Self-check", "Fidelity", "Columns", "Parity", "Seen", "Verdict"):
        assert re.search(rf"^{label}", told, re.MULTILINE), label
