"""SIGTERM and SIGINT: `sendledger run` finishes the dialogue under way, records it, and ends in good order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import pytest

from domain.events import EmailInDoubt, RunnerStopped, Sender
from runner.clock import SimulatedClock
from runner.daemon import Runner, stopped_by_signals
from runner.sending.guard import Guard
from runner.settings import load_settings, new_settings
from runner.store.ledger import Ledger
from tests.faults.processes import TIMEOUT_S
from tests.faults.world import START, World
from tests.smtp.scripted import BEHAVED, Peer, ScriptedServer

LEADS = 300
"""More than can be sent before the signal is heard."""


def run(world: World) -> subprocess.Popen[str]:
    """The daemon as a user starts it, in real time."""
    settings = world.folder / "sendledger.toml"
    settings.write_text(new_settings(world.database.render_as_string(hide_password=False)))
    Guard(world.ledger, load_settings(settings).runners_folder).mark()
    return subprocess.Popen(
        [Path(sys.executable).with_name("sendledger"), "run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=world.folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("SENDLEDGER_")},
    )


@pytest.mark.parametrize(("sender", "number"), [("v1", signal.SIGTERM), ("v2", signal.SIGTERM), ("v2", signal.SIGINT)])
def test_the_reply_to_a_dot_is_waited_for_and_recorded_and_nothing_new_is_begun(
    world: World, sender: Sender, number: signal.Signals
) -> None:
    dot_came, signal_was_sent = Event(), Event()

    def answer_late(peer: Peer) -> None:
        dot_came.set()
        assert signal_was_sent.wait(TIMEOUT_S)
        peer.say(BEHAVED["DOT"])

    with ScriptedServer({"DOT": answer_late}) as server:
        world.port = server.port
        world.campaign(1, sender, ["lead"] * LEADS, started_at=datetime.now(UTC))
        process = run(world)
        try:
            assert dot_came.wait(TIMEOUT_S)
            process.send_signal(number)
            signal_was_sent.set()
            out, err = process.communicate(timeout=TIMEOUT_S)
        finally:
            signal_was_sent.set()
            process.kill()
    assert process.returncode == 0, err
    assert "Stopped at" in out
    assert 1 <= server.dots < LEADS
    assert sorted(world.states(1), reverse=True) == ["sent"] * server.dots + ["queued"] * (LEADS - server.dots)
    assert world.told(EmailInDoubt) == []
    assert len(world.told(RunnerStopped)) == 1
    assert list(world.folder.rglob("*.lock")) == []


def test_both_signals_tell_a_runner_to_stop_and_are_given_back_afterwards(ledger: Ledger, runners: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    for number in (signal.SIGTERM, signal.SIGINT):
        with Runner(ledger, runners, SimulatedClock(START)) as runner, stopped_by_signals(runner):
            assert not runner.stopping.is_set()
            os.kill(os.getpid(), number)
            assert runner.stopping.wait(TIMEOUT_S)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
