"""F11, and stopping in good order: a process that is stopped and woken later, or told to end."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess

import pytest

from domain import commands
from domain.events import DuplicateDetected, EmailFailed, EmailInDoubt, EmailLocked, RunnerStopped, Sender
from tests.another_program import append_lock_is_free
from tests.databases import on_postgresql
from tests.faults.invariants import broken, duplicates
from tests.faults.processes import ended, is_stopped, wait_until
from tests.faults.steps import Fault, Strike, allow_dot, forbid_dot, interrupt, stop, terminate
from tests.faults.world import LATER, START, World

senders = pytest.mark.parametrize("sender", ["v1", "v2"])


def wake(process: BaseProcess) -> None:
    assert process.pid is not None
    os.kill(process.pid, signal.SIGCONT)


@senders
def test_f11_stopped_between_lock_and_dot_and_woken_too_late_there_is_no_dot(world: World, sender: Sender) -> None:
    world.campaign(1, sender, ["lead"] * 3)
    victim = world.victim(
        Fault("after the lock", 2, stop),
        Fault("after the lock", 2, forbid_dot),
        Fault("before the record", 2, allow_dot),
    )
    wait_until(lambda: is_stopped(victim))
    assert world.states(1) == ["sent", "locked", "queued"]
    wake(victim)
    assert ended(victim) == 0
    [failed] = world.told(EmailFailed)
    assert isinstance(failed, EmailFailed)
    assert (failed.lead_id, failed.phase, failed.next_attempt_at is not None) == (2, "lock", True)
    assert world.states(1) == ["sent"] * 3
    assert broken(world) == []


@senders
def test_f11_nobody_touches_the_mail_of_a_stopped_runner(world: World, sender: Sender) -> None:
    world.campaign(1, sender, ["lead"] * 3)
    victim = world.victim(Fault("after the lock", 2, stop))
    wait_until(lambda: is_stopped(victim))
    world_goes_on_without(world)
    assert world.states(1) == ["sent", "locked", "sent"]
    assert not world.told(EmailInDoubt)
    wake(victim)
    assert ended(victim) == 0
    assert world.states(1) == ["sent"] * 3
    assert broken(world) == []


@senders
def test_f11_stopped_between_reply_and_record_the_late_outcome_is_recorded(world: World, sender: Sender) -> None:
    world.campaign(1, sender, ["lead"] * 3)
    victim = world.victim(Fault("before the record", 2, stop))
    wait_until(lambda: is_stopped(victim))
    world_goes_on_without(world)
    wake(victim)
    assert ended(victim) == 0
    assert world.states(1) == ["sent"] * 3
    assert broken(world) == []


@senders
def test_f11_a_late_outcome_of_a_mail_that_a_person_had_sent_again_is_an_alarm(world: World, sender: Sender) -> None:
    world.campaign(1, sender, ["lead"])
    victim = world.victim(Fault("before the record", 1, stop))
    wait_until(lambda: is_stopped(victim))
    token = next(event.token for event in world.told(EmailLocked) if isinstance(event, EmailLocked))
    for decision in (
        lambda c: commands.record_in_doubt(c, token, "that machine is off, they said", now=LATER),
        lambda c: commands.resolve_in_doubt(c, 0, "not sent", evidence="hearsay", actor="anna", now=LATER),
    ):
        world.ledger.on_campaign(1, decision, first_in_line=True)
    world_goes_on_without(world)
    wake(victim)
    assert ended(victim) == 0
    assert len(world.told(DuplicateDetected)) == 1
    assert duplicates(world.accepted())
    assert [breach.partition(":")[0] for breach in broken(world)] == ["I1", "I6/I7"]  # both see it: none is hidden


@on_postgresql
@senders
def test_f11_a_runner_that_is_stopped_while_it_holds_the_append_lock_holds_up_the_others_for_seconds_only(
    world: World, sender: Sender
) -> None:
    """The server ends its transaction; on SQLite nobody could, so all others wait until it is woken or killed."""
    world.campaign(1, sender, ["lead"] * 3)
    victim = world.victim(Fault("in the lock's transaction", 2, stop), patience={"IDLE_TIMEOUT_S": 0.5})
    wait_until(lambda: is_stopped(victim))
    assert not append_lock_is_free(world.database)
    world_goes_on_without(world)
    assert world.states(1) == ["sent"] * 3
    wake(victim)
    assert ended(victim) == 0
    assert world.accepted() == {(1, lead): 1 for lead in (1, 2, 3)}
    assert not world.told(EmailInDoubt)
    assert broken(world) == []


@senders
@pytest.mark.parametrize("told_to_end", [terminate, interrupt])
def test_told_to_end_a_runner_finishes_its_mail_records_it_and_leaves_nothing(
    world: World, sender: Sender, told_to_end: Strike
) -> None:
    world.campaign(1, sender, ["lead"] * 300, started_at=datetime.now(UTC))
    victim = world.victim_in_real_time(Fault("after the body", 1, told_to_end))
    assert ended(victim) == 0
    accepted = world.accepted().total()
    assert 1 <= accepted < 300
    assert world.states(1).count("sent") == accepted
    assert world.states(1).count("queued") == 300 - accepted
    assert len(world.told(RunnerStopped)) == 1
    assert list(world.runners.glob("*.lock")) == []
    assert broken(world) == []


def world_goes_on_without(world: World) -> None:
    """Another runner runs to the end, while the connection of the stopped one stays open."""
    world.run(LATER)


def test_a_runner_that_is_told_to_end_before_it_has_work_ends(world: World) -> None:
    victim = world.victim_in_real_time(Fault("after the start is told", 1, terminate))
    code = ended(victim)
    assert code in (0, -signal.SIGTERM)  # before its handlers are set, the signal itself ends it
    assert START < LATER
