"""F13 and F14: bad recipients and mails that cannot be made fail by themselves, and touch nobody else's mail."""

from __future__ import annotations

from collections import Counter

import pytest

from domain.events import EmailFailed, EmailLocked, Sender
from tests.faults.invariants import broken
from tests.faults.world import START, World

LEADS_AND_FATES = {
    "first": "sent",
    "nameless": "failed",  # the template needs a name
    "second": "sent",
    "refused": "failed",  # 550 to RCPT
    "third": "sent",
    "greylisted": "sent",  # 451 to RCPT, the first time
    "busy": "sent",  # 451 to the dot, the first time
    "fourth": "sent",
    "rejected": "failed",  # 554 to the dot
    "fifth": "sent",
    "silent": "in doubt",  # accepted, and the connection closed without a reply
    "sixth": "sent",
}
PHASES = {"nameless": "local", "refused": "rcpt", "greylisted": "rcpt", "busy": "dot", "rejected": "dot"}


@pytest.mark.parametrize("sender", ["v1", "v2"])
def test_f13_f14_one_bad_recipient_releases_and_repeats_nobody_elses_mail(world: World, sender: Sender) -> None:
    world.campaign(1, sender, list(LEADS_AND_FATES))
    world.run(START)
    assert world.states(1) == list(LEADS_AND_FATES.values())
    assert world.accepted() == {
        (1, lead + 1): 1 for lead, fate in enumerate(LEADS_AND_FATES.values()) if fate != "failed"
    }
    names = list(LEADS_AND_FATES)
    failures = [event for event in world.told(EmailFailed) if isinstance(event, EmailFailed)]
    assert {names[event.position]: event.phase for event in failures} == PHASES
    locks = Counter(names[event.position] for event in world.told(EmailLocked) if isinstance(event, EmailLocked))
    assert locks.pop("busy") == 2
    assert set(locks.values()) == {1}
    assert broken(world) == []
