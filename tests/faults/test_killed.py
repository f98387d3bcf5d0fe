"""F1 and F4: a runner killed at every step of a mail. A second one finishes, and nobody gets a mail twice."""

from __future__ import annotations

import signal
from datetime import timedelta
from random import Random

import pytest

from domain.events import EmailInDoubt, Sender
from domain.rules import Limits
from tests.faults.invariants import broken
from tests.faults.processes import ended
from tests.faults.steps import Fault, kill
from tests.faults.world import END, LATER, World

LEADS = ["lead"] * 4

BEFORE_THE_LOCK = {
    "before the start is told": 1,
    "after the start is told": 1,
    "before the journals are replayed": 1,
    "before the guard is marked": 1,
    "after the guard is marked": 1,
    "before the tick is told": 1,
    "after the tick is told": 1,
    "before connect": 1,
    "after connect": 1,
    "before MAIL": 2,
    "after MAIL": 2,
    "before RCPT": 2,
    "after RCPT": 2,
    "before DATA": 2,
    "after DATA": 2,
    "after the body": 2,
    "before the lock": 2,
    "in the lock's transaction": 2,
}
LOCKED_WITHOUT_DOT = {"after the lock's commit": 2, "after the lock": 2, "before the dot": 2}
DOT_WITHOUT_RECORD = {
    "before the reply": 2,
    "after the reply": 2,
    "before the record": 2,
    "in the record's transaction": 2,
}
RECORDED = {
    "after the record": 2,
    "before QUIT": 1,
    "before the tick's end is told": 1,
    "after the tick's end is told": 1,
    "before the guard is marked": 2,
    "after the guard is marked": 2,
}

ANYWHERE = sorted(BEFORE_THE_LOCK | LOCKED_WITHOUT_DOT | DOT_WITHOUT_RECORD | RECORDED)
STARTS = 8
START_EVERY = timedelta(minutes=10)

senders = pytest.mark.parametrize("sender", ["v1", "v2"])


def kill_and_finish(world: World, sender: Sender, step: str, nth: int) -> None:
    world.campaign(1, sender, LEADS)
    assert ended(world.victim(Fault(step, nth, kill))) == -signal.SIGKILL
    world.run()


@pytest.mark.sampled(5)
@senders
@pytest.mark.parametrize(("step", "nth"), [*BEFORE_THE_LOCK.items(), *RECORDED.items()])
def test_f1_a_mail_that_was_not_locked_or_is_recorded_is_sent_exactly_once(
    world: World, sender: Sender, step: str, nth: int
) -> None:
    kill_and_finish(world, sender, step, nth)
    assert world.states(1) == ["sent"] * 4
    assert world.accepted().total() == 4
    assert not world.told(EmailInDoubt)
    assert broken(world) == []


@pytest.mark.sampled(3)
@senders
@pytest.mark.parametrize(("step", "nth"), LOCKED_WITHOUT_DOT.items())
def test_f4_a_lock_without_a_dot_stays_in_doubt_and_is_never_sent(
    world: World, sender: Sender, step: str, nth: int
) -> None:
    kill_and_finish(world, sender, step, nth)
    assert world.states(1) == ["sent", "in doubt", "sent", "sent"]
    assert world.accepted()[1, 2] == 0
    assert broken(world) == []


@pytest.mark.sampled(3)
@senders
@pytest.mark.parametrize(("step", "nth"), DOT_WITHOUT_RECORD.items())
def test_f4_a_dot_without_a_record_stays_in_doubt_and_is_never_sent_again(
    world: World, sender: Sender, step: str, nth: int
) -> None:
    kill_and_finish(world, sender, step, nth)
    assert world.states(1) == ["sent", "in doubt", "sent", "sent"]
    assert world.accepted()[1, 2] == 1
    assert broken(world) == []


@pytest.mark.sampled(3)
@senders
@pytest.mark.parametrize("step", ["in the doubt's transaction", "after the sweep"])
def test_f4_killed_again_while_it_is_put_in_doubt_the_next_start_puts_it_there_once(
    world: World, sender: Sender, step: str
) -> None:
    world.campaign(1, sender, LEADS)
    assert ended(world.victim(Fault("before the reply", 2, kill))) == -signal.SIGKILL
    assert ended(world.victim(Fault(step, 1, kill))) == -signal.SIGKILL
    world.run()
    assert len(world.told(EmailInDoubt)) == 1
    assert world.states(1) == ["sent", "in doubt", "sent", "sent"]
    assert broken(world) == []


@senders
def test_f4_killed_again_and_again_each_start_leaves_at_most_one_in_doubt(world: World, sender: Sender) -> None:
    world.campaign(1, sender, ["lead"] * 6)
    for step in ("before the reply", "after the body", "after the lock", "after the reply"):
        assert ended(world.victim(Fault(step, 1, kill))) == -signal.SIGKILL
    world.run()
    assert world.states(1) == ["in doubt"] * 3 + ["sent"] * 3
    assert broken(world) == []


@senders
def test_f1_f4_killed_anywhere_and_often_nobody_is_mailed_twice_and_nobody_is_lost(
    world: World, sender: Sender, seed: int
) -> None:
    chance = Random(f"{sender}{seed}")  # noqa: S311 - chance that can be repeated
    people = ["lead", "lead", "greylisted", "busy", "lead", "refused", "rejected", "lead"] * 2
    world.campaign(1, sender, people, limits=Limits(daily_limit=1000, delay_s=240))
    kills = 0
    for start in (LATER + START_EVERY * nth for nth in range(STARTS)):
        fault = Fault(chance.choice(ANYWHERE), chance.randint(1, 2), kill)
        kills += ended(world.victim(fault, start=start, until=start + START_EVERY)) == -signal.SIGKILL
    world.run(END, until=END + timedelta(hours=3))
    states = world.states(1)
    assert kills >= 1
    assert states.count("in doubt") <= kills
    for lead, state in zip(people, states, strict=True):
        assert state in ("in doubt", "failed" if lead in ("refused", "rejected") else "sent")
    assert broken(world) == []
