"""Suppressed while an attempt is under way: who then waits again is skipped, and never mailed."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import pytest

from domain.events import EmailFailed, EmailSkipped, Sender
from projections import kept
from tests.faults.invariants import broken
from tests.faults.steps import Fault, struck
from tests.faults.world import LATER, START, World

ENTRY = {"reason": "asked by phone", "added_at": "2026-10-05", "actor": "anna"}


def suppress(world: World, address: str) -> None:
    """What a suppression leaves that met nobody waiting."""
    world.ledger.keep((kept.SUPPRESS, [ENTRY | {"address_hmac": f"hmac of {address}"}]))


@pytest.mark.parametrize("sender", ["v1", "v2"])
@pytest.mark.parametrize(
    ("lead", "step"),
    [("greylisted", "before RCPT"), ("busy", "after the lock"), ("busy", "before the record")],
)
def test_one_who_failed_for_now_and_was_suppressed_meanwhile_is_skipped(
    world: World, sender: Sender, lead: str, step: str, log: list[MutableMapping[str, Any]]
) -> None:
    world.campaign(1, sender, [lead, "lead"])
    with struck(Fault(step, 1, lambda: suppress(world, f"{lead}1@example.com"))):
        world.run(START)
    assert len(world.told(EmailFailed)) == 1
    [skipped] = world.told(EmailSkipped)
    assert isinstance(skipped, EmailSkipped)
    assert (skipped.lead_id, skipped.reason) == (1, "suppressed")
    assert world.states(1) == ["skipped", "sent"]
    assert world.accepted() == {(1, 2): 1}
    [told] = [entry for entry in log if entry["event"] == "mail skipped: suppressed"]
    assert (told["campaign"], told["lead"]) == (1, 1)
    assert broken(world) == []


@pytest.mark.parametrize("sender", ["v1", "v2"])
def test_one_who_was_suppressed_and_removed_from_the_list_again_is_mailed(world: World, sender: Sender) -> None:
    world.campaign(1, sender, ["busy"])
    suppress(world, "busy1@example.com")
    world.ledger.keep((kept.UNSUPPRESS, [{"b_address_hmac": "hmac of busy1@example.com"}]))
    world.run(LATER)
    assert world.states(1) == ["sent"]
