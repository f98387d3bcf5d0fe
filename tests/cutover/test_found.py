"""What the machine has found, each told plainly."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from domain.analysis import NO_LEAD_ID_KNOWN
from runner.cutover import examine
from tests.cutover.faults import SetClock
from tests.cutover.old_side import NUMBER, Deed, OldSide
from tests.cutover.world import World
from tests.databases import Databases
from tests.domain.given import NOON

ROW_WITHOUT_LEAD = 5


@pytest.fixture
def world(databases: Databases) -> Iterator[World]:
    world = World(databases.made(), SetClock(NOON), mailbox_limit=50)
    yield world
    world.close()


@pytest.mark.parametrize("besides", ["renames", "limits"])
def test_a_lead_that_a_row_without_a_lead_mailed_stays_mailed_when_its_address_changes(
    world: World, besides: Deed
) -> None:
    """Changed settings begin an import anew, and must not forget it either."""
    old = OldSide(world.old_url, NOON, ["row without lead"], delay_s=0, daily_limit=9)
    world.import_there(old)
    for deed in ("readdresses", besides):
        world.clock.pass_until(old.do(deed, ROW_WITHOUT_LEAD - 1, world.clock.now()))
    world.import_there(old)
    findings = examine(world.desk, NUMBER, world.clock.now()).findings
    assert [finding.leads for finding in findings if finding.rule == NO_LEAD_ID_KNOWN] == [(ROW_WITHOUT_LEAD,)]
    old.close()
