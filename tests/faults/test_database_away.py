"""F5 and F12: the disk is full or the database is locked. Before the lock nothing is sent; after the dot the outcome
is journaled, nothing new is begun, and nothing is forgotten.
"""

from __future__ import annotations

import signal
import sqlite3
from pathlib import Path

import pytest

import runner.store.recorder
from domain.events import EmailFailed, EmailInDoubt, Sender
from tests.faults.invariants import broken
from tests.faults.processes import ended
from tests.faults.steps import Fault, empty_disk, fill_disk, kill, struck, terminate
from tests.faults.world import START, World

LEADS = ["lead"] * 4

senders = pytest.mark.parametrize("sender", ["v1", "v2"])


def journals(world: World) -> list[Path]:
    return list(world.runners.glob("*.journal"))


@senders
def test_f5_an_outcome_is_journaled_until_the_database_takes_it(world: World, sender: Sender) -> None:
    world.campaign(1, sender, LEADS)
    victim = world.victim(Fault("after the reply", 2, fill_disk), Fault("before an outcome is stored", 6, empty_disk))
    assert ended(victim) == 0
    [journal] = journals(world)
    assert journal.read_text().count('"sent"') == 1
    assert world.states(1) == ["sent"] * 4
    assert not world.told(EmailInDoubt)
    assert broken(world) == []


@senders
def test_f5_killed_while_the_outcome_is_only_journaled_the_restart_replays_it(world: World, sender: Sender) -> None:
    world.campaign(1, sender, LEADS)
    victim = world.victim(Fault("after the reply", 2, fill_disk), Fault("after the journal", 1, kill))
    assert ended(victim) == -signal.SIGKILL
    assert world.accepted().total() == 2  # and no new work was begun
    world.run()
    assert world.states(1) == ["sent"] * 4
    assert not world.told(EmailInDoubt)
    assert broken(world) == []


@senders
def test_f5_killed_before_the_journal_was_written_the_mail_is_in_doubt(world: World, sender: Sender) -> None:
    world.campaign(1, sender, LEADS)
    victim = world.victim(Fault("after the reply", 2, fill_disk), Fault("before the journal", 1, kill))
    assert ended(victim) == -signal.SIGKILL
    world.run()
    assert world.states(1) == ["sent", "in doubt", "sent", "sent"]
    assert broken(world) == []


@senders
def test_f5_told_to_stop_while_the_database_is_away_the_restart_replays_the_journal(
    world: World, sender: Sender
) -> None:
    world.campaign(1, sender, LEADS)
    victim = world.victim(Fault("after the reply", 2, fill_disk), Fault("after the journal", 1, terminate))
    assert ended(victim) == 0
    assert world.accepted().total() == 2
    world.run()
    assert world.states(1) == ["sent"] * 4
    assert broken(world) == []


@senders
def test_f5_a_journal_is_replayed_once(world: World, sender: Sender) -> None:
    world.campaign(1, sender, LEADS)
    victim = world.victim(Fault("after the reply", 2, fill_disk), Fault("after the journal", 1, kill))
    assert ended(victim) == -signal.SIGKILL
    world.run()
    told = len(world.events(1))
    world.run()
    assert len(world.events(1)) == told


@senders
def test_f12_no_room_for_the_lock_so_nothing_is_sent_until_there_is(world: World, sender: Sender) -> None:
    world.campaign(1, sender, LEADS)
    victim = world.victim(
        Fault("before the lock", 2, fill_disk),
        Fault("before the tick is told", 4, empty_disk),
        Fault("before the lock", 6, kill),  # four mails and the one refused: no body was brought again in vain
    )
    assert ended(victim) == 0
    assert world.states(1) == ["sent"] * 4
    assert not world.told(EmailInDoubt, EmailFailed)
    assert broken(world) == []


@senders
def test_f12_no_room_for_the_lock_and_killed_nothing_was_sent(world: World, sender: Sender) -> None:
    world.campaign(1, sender, LEADS)
    victim = world.victim(Fault("before the lock", 1, fill_disk), Fault("before the tick is told", 2, kill))
    assert ended(victim) == -signal.SIGKILL
    assert world.accepted().total() == 0
    world.run()
    assert world.states(1) == ["sent"] * 4
    assert broken(world) == []


@senders
def test_f12_no_room_for_the_tick_so_it_does_nothing_and_later_ticks_go_on(world: World, sender: Sender) -> None:
    world.campaign(1, sender, LEADS)
    victim = world.victim(
        Fault("before the tick is told", 1, fill_disk), Fault("before the tick is told", 3, empty_disk)
    )
    assert ended(victim) == 0
    assert world.states(1) == ["sent"] * 4
    assert broken(world) == []


@senders
def test_f12_another_program_holds_the_database_longer_than_we_wait(
    world: World, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner.store.recorder, "BUSY_TIMEOUT_S", 0.02)
    world.campaign(1, sender, LEADS)
    other = sqlite3.connect(world.database, isolation_level=None, check_same_thread=False)
    with struck(
        Fault("after the reply", 2, lambda: other.execute("BEGIN IMMEDIATE")),
        Fault("after the journal", 1, other.rollback),
    ):
        world.run(START)
    other.close()
    assert len(journals(world)) == 1
    assert world.states(1) == ["sent"] * 4
    assert broken(world) == []
