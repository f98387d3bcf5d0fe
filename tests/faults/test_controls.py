"""The harness must be able to fail: it catches the duplicates of two weak senders under the very faults that ours
survives, and it notices when a ledger and a server tell different stories.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from multiprocessing.process import BaseProcess

import pytest

import domain.gate
import domain.policies
from domain.rules import Limits
from runner.sending.delivery import Delivery
from runner.smtp.reply import Reply
from runner.smtp.session import SmtpSession
from tests.another_program import run
from tests.faults.controls import WeakPlan, lock_that_expires, make_table, select_send_mark
from tests.faults.invariants import broken, duplicates
from tests.faults.processes import CONTEXT, TIMEOUT_S, ended, is_stopped, wait_until
from tests.faults.steps import Fault, kill, stop
from tests.faults.world import ERASE_CONTACT, LATER, START, World

LEADS = 4

Weak = Callable[[WeakPlan], None]

weak_senders = pytest.mark.parametrize("sender", [select_send_mark, lock_that_expires])


def started(world: World, sender: Weak, *faults: Fault, later: bool = False) -> BaseProcess:
    """This sender, in a process of its own; `later`: when every lock of an earlier one has expired."""
    table = world.folder / "weak.db"
    if not table.exists():
        world.campaign(1, "v1", ["lead"] * LEADS)
        make_table(table, LEADS)
    return world.started(sender, WeakPlan(world.database, table, LATER if later else START, faults))


@weak_senders
def test_without_a_fault_a_weak_sender_sends_each_mail_once(world: World, sender: Weak) -> None:
    for later in (False, True):
        assert ended(started(world, sender, later=later)) == 0
    assert world.accepted() == {(1, lead): 1 for lead in range(1, LEADS + 1)}


@weak_senders
@pytest.mark.parametrize("step", ["before the reply", "after the reply", "before QUIT"])
def test_a_weak_sender_that_is_killed_between_dot_and_mark_is_caught(world: World, sender: Weak, step: str) -> None:
    assert ended(started(world, sender, Fault(step, 2, kill))) == -signal.SIGKILL
    assert duplicates(world.accepted()) == []
    assert ended(started(world, sender, later=True)) == 0
    assert duplicates(world.accepted()) == ["I1: (1, 2) was accepted 2 times"]


@weak_senders
def test_a_weak_sender_that_is_stopped_before_the_dot_and_woken_later_is_caught(world: World, sender: Weak) -> None:
    victim = started(world, sender, Fault("before the dot", 2, stop))
    wait_until(lambda: is_stopped(victim))
    other = started(world, sender, later=True)
    assert ended(other) == 0
    assert victim.pid is not None
    os.kill(victim.pid, signal.SIGCONT)
    assert ended(victim) == 0
    assert "I1: (1, 2) was accepted 2 times" in duplicates(world.accepted())


def test_two_at_once_that_select_send_and_then_mark_are_caught(world: World) -> None:
    both_have_selected = Fault("before connect", 1, partial(CONTEXT.Barrier(2).wait, TIMEOUT_S))
    victims = [started(world, select_send_mark, both_have_selected) for _ in range(2)]
    assert [ended(victim) for victim in victims] == [0, 0]
    assert len(duplicates(world.accepted())) == LEADS


def test_two_at_once_that_lock_do_not_send_twice_until_a_lock_expires(world: World) -> None:
    """So it is the expiry that the harness catches in this one."""
    victims = [started(world, lock_that_expires) for _ in range(2)]
    assert [ended(victim) for victim in victims] == [0, 0]
    assert duplicates(world.accepted()) == []


# --- and a ledger that tells lies ---


def sent_is_recorded_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Delivery, "_answered", lambda delivery, attempt, token, _: delivery._expired(attempt, token))


def recorded_as_sent_without_a_dot(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_dot(session: SmtpSession) -> Reply:
        session.drop()
        return Reply(250, "2.0.0", "Ok")

    monkeypatch.setattr(SmtpSession, "dot", no_dot)


def the_gate_knows_no_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (domain.gate, domain.policies):
        monkeypatch.setattr(module, "holds_back", lambda *_: None)


def the_gate_knows_no_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (domain.gate, domain.policies):
        monkeypatch.setattr(module, "holds_for_sender", lambda *_: None)


@pytest.mark.parametrize(
    ("lie", "caught"),
    [
        (sent_is_recorded_as_failed, {"I3"}),
        (recorded_as_sent_without_a_dot, {"I4"}),
        (the_gate_knows_no_rules, {"I6/I7"}),
        (the_gate_knows_no_owner, {"I6/I7"}),
    ],
)
def test_a_ledger_that_tells_lies_is_caught(
    world: World, monkeypatch: pytest.MonkeyPatch, lie: Callable[[pytest.MonkeyPatch], None], caught: set[str]
) -> None:
    world.campaign(1, "v1", ["lead"] * 3, limits=Limits(daily_limit=2, delay_s=0, max_attempts=2))
    lie(monkeypatch)
    world.run(START, until=LATER)
    assert {breach.partition(":")[0] for breach in broken(world)} == caught


@pytest.mark.parametrize("forgery", ["UPDATE leads SET state = 'sent'", "UPDATE campaigns SET sent = sent + 1"])
def test_views_that_do_not_follow_from_the_events_are_caught(world: World, forgery: str) -> None:
    world.campaign(1, "v1", ["refused"])
    world.run(START, until=LATER)
    run(world.database, forgery)
    assert {breach.partition(":")[0] for breach in broken(world)} == {"I5"}


def test_a_lead_that_no_event_knows_is_caught(world: World) -> None:
    world.campaign(1, "v1", ["lead"] * 2)
    world.ledger.keep((ERASE_CONTACT, [{"b_campaign_id": 1, "b_lead_id": 2}]))
    assert broken(world) == ["I2: (1, 2) is lost"]
