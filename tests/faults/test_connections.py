"""A mailbox with several connections: as many dialogues at a time as it allows and no more, each mail once, and after
a crash no more in doubt than were under way. Their locks and outcomes are committed together.
"""

from __future__ import annotations

import signal
from datetime import timedelta
from itertools import pairwise

import pytest

from domain.events import EmailInDoubt, EmailLocked, Sender
from domain.rules import Limits
from tests.faults.invariants import broken
from tests.faults.processes import ended
from tests.faults.server import TOGETHER
from tests.faults.steps import Fault, kill, lose, struck
from tests.faults.world import END, START, World

CONNECTIONS = TOGETHER


def test_each_mail_leaves_once_by_as_many_dialogues_at_a_time_as_are_allowed(world: World) -> None:
    world.mailbox(connections=CONNECTIONS)
    world.campaign(1, "v2", ["together"] * 4 * CONNECTIONS)
    world.run(START)
    assert world.accepted() == {(1, lead): 1 for lead in range(1, 4 * CONNECTIONS + 1)}
    assert world.server.settle() == CONNECTIONS
    assert world.states(1) == ["sent"] * 4 * CONNECTIONS
    assert broken(world) == []


def test_good_and_bad_recipients_over_many_connections_touch_nobody_elses_mail(world: World) -> None:
    people = ["lead", "refused", "lead", "busy", "rejected", "lead", "greylisted", "silent", "nameless", "lead"] * 3
    fates = {"refused": "failed", "rejected": "failed", "nameless": "failed", "silent": "in doubt"}
    world.mailbox(connections=CONNECTIONS)
    world.campaign(1, "v2", people)
    world.run(START)
    assert world.states(1) == [fates.get(lead, "sent") for lead in people]
    assert broken(world) == []


@pytest.mark.parametrize(("owner", "delay_s"), [("v1", 0), ("v2", 60)])
def test_where_each_mail_waits_for_the_one_before_many_connections_change_nothing(
    world: World, owner: Sender, delay_s: int
) -> None:
    world.mailbox(connections=CONNECTIONS)
    world.campaign(1, owner, ["lead"] * 6, limits=Limits(daily_limit=1000, delay_s=delay_s))
    world.run(START)
    locks = [event for event in world.told(EmailLocked) if isinstance(event, EmailLocked)]
    assert [event.lead_id for event in locks] == [1, 2, 3, 4, 5, 6]
    gaps = [later.recorded_at - lock.recorded_at for lock, later in pairwise(locks)]
    assert min(gaps) >= timedelta(seconds=0.8 * 60)
    assert broken(world) == []


def test_limits_hold_exactly_though_many_connections_race_for_the_last_place(world: World) -> None:
    world.mailbox(connections=CONNECTIONS, daily_limit=17)
    world.campaign(1, "v2", ["lead"] * 15, limits=Limits(daily_limit=13, delay_s=0))
    world.campaign(2, "v2", ["lead"] * 15)
    world.run(START)
    assert world.accepted().total() == 17
    assert world.states(1).count("sent") <= 13
    assert broken(world) == []


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("step", "nth"),
    [
        ("after the body", 15),
        ("in the lock's transaction", 2),
        ("after the lock", 15),
        ("before the dot", 15),
        ("before the reply", 15),
        ("after the reply", 15),
        ("in the record's transaction", 3),
        ("after the record", 15),
    ],
)
def test_f4_killed_at_any_step_no_more_are_in_doubt_than_were_under_way(world: World, step: str, nth: int) -> None:
    world.mailbox(connections=CONNECTIONS)
    world.campaign(1, "v2", ["lead"] * 40)
    assert ended(world.victim(Fault(step, nth, kill))) == -signal.SIGKILL
    world.run()
    states = world.states(1)
    assert states.count("in doubt") <= CONNECTIONS
    assert states.count("sent") == 40 - states.count("in doubt")
    assert broken(world) == []


def test_f4_killed_when_all_dots_are_written_exactly_those_are_in_doubt(world: World) -> None:
    world.mailbox(connections=CONNECTIONS)
    world.campaign(1, "v2", ["hung"] * CONNECTIONS + ["lead"] * 5)
    assert ended(world.victim(Fault("before the reply", CONNECTIONS, kill))) == -signal.SIGKILL
    world.run()
    assert world.states(1) == ["in doubt"] * CONNECTIONS + ["sent"] * 5
    assert broken(world) == []


def test_f3_a_commit_of_many_fails_or_its_answer_is_lost_and_each_mail_leaves_once(world: World) -> None:
    world.mailbox(connections=CONNECTIONS)
    world.campaign(1, "v2", ["lead"] * 3 * CONNECTIONS)
    with struck(Fault("in the lock's transaction", 2, lose), Fault("after a commit of many", 3, lose)):
        world.run(START, until=END + timedelta(hours=1))
    assert world.states(1) == ["sent"] * 3 * CONNECTIONS
    assert not world.told(EmailInDoubt)
    assert broken(world) == []
