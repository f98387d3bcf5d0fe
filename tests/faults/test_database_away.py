"""F5 and F12: the disk is full, the server is gone, or another program holds the database. Before the lock nothing is
sent; after the dot the outcome is journaled, nothing new is begun, and nothing is forgotten.
"""

from __future__ import annotations

import signal
from contextlib import ExitStack
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

import runner.store.postgres
import runner.store.sqlite
from domain.events import EmailFailed, EmailInDoubt, Sender
from tests.another_program import append_lock_held, end_connections
from tests.databases import on_postgresql, on_sqlite
from tests.faults.invariants import broken
from tests.faults.processes import ended
from tests.faults.steps import Fault, empty_disk, fill_disk, kill, struck, terminate
from tests.faults.world import START, World

LEADS = ["lead"] * 4

senders = pytest.mark.parametrize("sender", ["v1", "v2"])


def journals(world: World) -> list[Path]:
    return list(world.runners.glob("*.journal"))


def victim(world: World, *faults: Fault) -> BaseProcess:
    """A runner that does not wait long for a server that is gone."""
    world.leave()
    return world.victim(*faults, patience={"CONNECT_TIMEOUT_S": 0.2})


@senders
def test_f5_an_outcome_is_journaled_until_the_database_takes_it(world: World, sender: Sender) -> None:
    world.campaign(1, sender, LEADS)
    struck_one = victim(
        world, Fault("after the reply", 2, world.take_away), Fault("before an outcome is stored", 6, world.give_back)
    )
    assert ended(struck_one) == 0
    [journal] = journals(world)
    assert journal.read_text().count('"sent"') == 1
    assert world.states(1) == ["sent"] * 4
    assert not world.told(EmailInDoubt)
    assert broken(world) == []


@pytest.mark.sampled(2)
@senders
def test_f5_killed_while_the_outcome_is_only_journaled_the_restart_replays_it(world: World, sender: Sender) -> None:
    world.campaign(1, sender, LEADS)
    struck_one = victim(world, Fault("after the reply", 2, world.take_away), Fault("after the journal", 1, kill))
    assert ended(struck_one) == -signal.SIGKILL
    assert world.accepted().total() == 2  # and no new work was begun
    world.give_back()
    world.run()
    assert world.states(1) == ["sent"] * 4
    assert not world.told(EmailInDoubt)
    assert broken(world) == []


@pytest.mark.sampled(2)
@senders
def test_f5_killed_before_the_journal_was_written_the_mail_is_in_doubt(world: World, sender: Sender) -> None:
    world.campaign(1, sender, LEADS)
    struck_one = victim(world, Fault("after the reply", 2, world.take_away), Fault("before the journal", 1, kill))
    assert ended(struck_one) == -signal.SIGKILL
    world.give_back()
    world.run()
    assert world.states(1) == ["sent", "in doubt", "sent", "sent"]
    assert broken(world) == []


@pytest.mark.sampled(2)
@senders
def test_f5_told_to_stop_while_the_database_is_away_the_restart_replays_the_journal(
    world: World, sender: Sender
) -> None:
    world.campaign(1, sender, LEADS)
    struck_one = victim(world, Fault("after the reply", 2, world.take_away), Fault("after the journal", 1, terminate))
    assert ended(struck_one) == 0
    assert world.accepted().total() == 2
    world.give_back()
    world.run()
    assert world.states(1) == ["sent"] * 4
    assert broken(world) == []


@pytest.mark.sampled(2)
@senders
def test_f5_a_journal_is_replayed_once(world: World, sender: Sender) -> None:
    world.campaign(1, sender, LEADS)
    struck_one = victim(world, Fault("after the reply", 2, world.take_away), Fault("after the journal", 1, kill))
    assert ended(struck_one) == -signal.SIGKILL
    world.give_back()
    world.run()
    told = len(world.events(1))
    world.run()
    assert len(world.events(1)) == told


@on_sqlite
@senders
def test_f12_no_room_for_the_lock_so_nothing_is_sent_until_there_is(world: World, sender: Sender) -> None:
    world.campaign(1, sender, LEADS)
    struck_one = victim(
        world,
        Fault("before the lock", 2, fill_disk),
        Fault("before a tick", 8, empty_disk),
        Fault("before the lock", 6, kill),  # four mails and the one refused: no body was brought again in vain
    )
    assert ended(struck_one) == 0
    assert world.states(1) == ["sent"] * 4
    assert not world.told(EmailInDoubt, EmailFailed)
    assert broken(world) == []


@on_sqlite
@senders
def test_f12_no_room_for_the_lock_and_killed_nothing_was_sent(world: World, sender: Sender) -> None:
    world.campaign(1, sender, LEADS)
    struck_one = victim(world, Fault("before the lock", 1, fill_disk), Fault("before a tick", 4, kill))
    assert ended(struck_one) == -signal.SIGKILL
    assert world.accepted().total() == 0
    world.run()
    assert world.states(1) == ["sent"] * 4
    assert broken(world) == []


@on_postgresql
@senders
def test_f12_the_server_is_gone_at_the_lock_so_nothing_is_sent_until_it_is_back(world: World, sender: Sender) -> None:
    """Nobody knows whether the lock was stored: that it was not used is journaled, and no work is begun till then."""
    world.campaign(1, sender, LEADS)
    struck_one = victim(
        world,
        Fault("before the lock", 2, world.take_away),
        Fault("before an outcome is stored", 4, world.give_back),
        Fault("before the lock", 6, kill),
    )
    assert ended(struck_one) == 0
    assert len(journals(world)) == 1
    assert world.states(1) == ["sent"] * 4
    assert not world.told(EmailInDoubt, EmailFailed)
    assert broken(world) == []


@on_postgresql
@senders
def test_f12_the_server_is_gone_at_the_lock_and_killed_nothing_was_sent(world: World, sender: Sender) -> None:
    world.campaign(1, sender, LEADS)
    struck_one = victim(world, Fault("before the lock", 1, world.take_away), Fault("after the journal", 1, kill))
    assert ended(struck_one) == -signal.SIGKILL
    assert world.accepted().total() == 0
    world.give_back()
    world.run()
    assert world.states(1) == ["sent"] * 4
    assert not world.told(EmailInDoubt, EmailFailed)
    assert broken(world) == []


@senders
def test_f12_no_room_for_the_tick_so_it_does_nothing_and_later_ticks_go_on(world: World, sender: Sender) -> None:
    world.campaign(1, sender, LEADS)
    struck_one = victim(
        world, Fault("before the tick is told", 1, world.take_away), Fault("before a tick", 6, world.give_back)
    )
    assert ended(struck_one) == 0
    assert world.states(1) == ["sent"] * 4
    assert broken(world) == []


@senders
def test_f12_another_program_holds_the_database_longer_than_we_wait(
    world: World, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner.store.sqlite, "BUSY_TIMEOUT_S", 0.02)
    monkeypatch.setattr(runner.store.postgres, "LOCK_TIMEOUT_S", 0.02)
    world.campaign(1, sender, LEADS)
    held = ExitStack()
    with struck(
        Fault("after the reply", 2, lambda: held.enter_context(append_lock_held(world.database))),
        Fault("after the journal", 1, held.close),
    ):
        world.run(START)
    assert len(journals(world)) == 1
    assert world.states(1) == ["sent"] * 4
    assert broken(world) == []


# --- the server ends connections, and takes new ones ---

STEPS = {
    "before a tick": 3,
    "before the settings are read": 1,
    "before the tick is told": 1,
    "after the tick is told": 1,
    "before connect": 1,
    "after the body": 2,
    "before the lock": 2,
    "in the lock's transaction": 2,
    "after the lock's commit": 2,
    "after the lock": 2,
    "before the dot": 2,
    "before the reply": 2,
    "after the reply": 2,
    "before the record": 2,
    "in the record's transaction": 2,
    "after the record": 2,
    "before the tick's end is told": 1,
    "before the guard is marked": 2,
}


@on_postgresql
@pytest.mark.sampled(3)
@senders
@pytest.mark.parametrize(("step", "nth"), STEPS.items())
def test_f3_f5_the_server_ends_every_connection_and_the_work_goes_on_with_new_ones(
    world: World, sender: Sender, step: str, nth: int
) -> None:
    world.campaign(1, sender, LEADS)
    struck_one = victim(world, Fault(step, nth, partial(end_connections, world.database)))
    assert ended(struck_one) == 0
    assert world.states(1) == ["sent"] * 4
    assert world.accepted().total() == 4
    assert not world.told(EmailInDoubt)
    assert broken(world) == []
