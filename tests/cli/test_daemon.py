"""The daemon as a user runs it: the console script, in real time, until a signal ends it; and the local mail server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes
from pathlib import Path
from threading import Event
from time import monotonic

import pytest

from domain.events import Sender
from tests.cli.desk import TIMEOUT_S, WEEK, WEEKDAYS, Desk, ended
from tests.smtp.scripted import BEHAVED, Peer, ScriptedServer

LOOK_EVERY_S = 0.01
PEOPLE = "email,first_name\n" + "".join(f"p{n}@customer.example,P\n" for n in range(4))
EVERY_SECOND = ("--v1-every", "1s", "--v2-every", "1s", "--log-format", "json")


@pytest.fixture
def desk(desk_on_each: Desk) -> Desk:
    """What a runner goes through does not depend on the database."""
    return desk_on_each


class SlowServer(ScriptedServer):
    """Holds its answer to the first final dot back until it is told to go on."""

    def __init__(self) -> None:
        super().__init__({"DOT": self._accept})
        self.holding = Event()
        self.go_on = Event()

    def _accept(self, peer: Peer) -> None:
        self.holding.set()
        assert self.go_on.wait(TIMEOUT_S)
        answer = BEHAVED["DOT"]
        assert isinstance(answer, bytes)
        peer.say(answer)

    def message_ids(self) -> Counter[str]:
        return Counter(str(message_from_bytes(message)["Message-ID"]) for message in self.messages)


def always_open(desk: Desk, port: int, sender: Sender) -> None:
    """A campaign in real time that may send at any hour, as fast as its sender can."""
    desk.done("init")
    desk.mailbox(port)
    window = (('start = "09:00"', 'start = "00:00"'), ('end = "15:00"', 'end = "24:00"'))
    pace = ("delay_s = 90", "delay_s = 0")
    desk.campaign((WEEKDAYS, WEEK), *window, pace, ('owner = "v1"', f'owner = "{sender}"'), people=PEOPLE)


@contextmanager
def running(desk: Desk, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A process that is gone when the block ends, whatever happens in it."""
    process = desk.process(*words)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until(condition: Callable[[], bool]) -> None:
    never, deadline = Event(), monotonic() + TIMEOUT_S
    while not condition():
        assert monotonic() < deadline, "it never came to that"
        never.wait(LOOK_EVERY_S)


def told(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """The signal has arrived: the kernel has handed it to the process."""
    os.kill(process.pid, number)
    wait_until(lambda: not _pending(process.pid) & 1 << (number - 1))


def _pending(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("ShdPnd:")[2].split()[0], 16)


@pytest.mark.parametrize(("number", "sender"), [(signal.SIGTERM, "v2"), (signal.SIGINT, "v1")])
def test_a_signal_in_the_middle_of_a_mail_lets_it_be_finished_and_a_second_start_sends_the_rest_once(
    desk: Desk, number: signal.Signals, sender: Sender
) -> None:
    with SlowServer() as server:
        always_open(desk, server.port, sender)
        with running(desk, "run", *EVERY_SECOND) as first:
            assert server.holding.wait(TIMEOUT_S)
            told(first, number)
            assert first.poll() is None, "it did not wait for the answer"
            server.go_on.set()
            said = ended(first)
        assert (said.code, said.out[:11]) == (0, "Stopped at ")
        assert len(server.messages) == 1
        [status] = desk.rows("status")
        assert (status["sent"], status["queued"], status["in_doubt"]) == (1, 3, 0)
        with running(desk, "run", *EVERY_SECOND) as second:
            wait_until(lambda: len(server.messages) == 4)
            os.kill(second.pid, number)
            assert ended(second).code == 0
    assert set(server.message_ids().values()) == {1}
    assert desk.rows("status")[0]["sent"] == 4
    assert desk.rows("in-doubt", "list") == []
    assert {row["verdict"] for row in desk.rows("check")} <= {"PASS", "NO DATA"}


def test_a_second_daemon_does_not_take_the_idle_ticks_of_the_first_for_missed(desk: Desk) -> None:
    """Those are in nobody's ledger until their run is over."""
    with SlowServer() as server:
        server.go_on.set()
        always_open(desk, server.port, "v2")
        with running(desk, "run", *EVERY_SECOND) as first:
            wait_until(lambda: desk.rows("status")[0]["sent"] == 4)
            Event().wait(3)
            with running(desk, "run", *EVERY_SECOND) as second:
                Event().wait(2)
                for process in (second, first):
                    os.kill(process.pid, signal.SIGTERM)
                    assert ended(process).code == 0
    kinds = Counter(row["kind"] for row in desk.rows("ticks"))
    assert kinds["idle"] >= 3
    assert not kinds["missed"]


def test_a_second_daemon_started_by_mistake_is_harmless(desk: Desk) -> None:
    with SlowServer() as server:
        server.go_on.set()
        always_open(desk, server.port, "v2")
        with running(desk, "run", *EVERY_SECOND) as one, running(desk, "run", *EVERY_SECOND) as other:
            wait_until(lambda: len(desk.events("RunnerStarted")) == 2 and desk.rows("status")[0]["sent"] == 4)
            for process in (one, other):
                os.kill(process.pid, signal.SIGTERM)
            assert [ended(process).code for process in (one, other)] == [0, 0]
    assert set(server.message_ids().values()) == {1}
    assert len(server.messages) == 4


def test_a_signal_while_nothing_is_due_ends_the_daemon_whose_logs_are_json_and_name_nobody(desk: Desk) -> None:
    with ScriptedServer({"MAIL": b"451 4.3.0 <p0@customer.example> come back later\r\n"}) as server:
        always_open(desk, server.port, "v2")
        with running(desk, "run", *EVERY_SECOND) as process:
            wait_until(lambda: bool(desk.events("MailboxDelayed")))
            os.kill(process.pid, signal.SIGTERM)
            said = ended(process)
    assert said.code == 0
    assert len(desk.events("RunnerStarted")) == len(desk.events("RunnerStopped")) == 1
    entries = [json.loads(line) for line in said.err.splitlines()]
    assert [entry["mailbox"] for entry in entries if entry["event"] == "mailbox in trouble"] == ["sales"]
    assert "customer.example" not in said.err


def test_the_mail_server_for_trying_out_refuses_as_told_and_files_the_rest(desk: Desk) -> None:
    rules = ("--refuse", "p0@customer.example", "--greylist", "p1@customer.example")
    with running(desk, "sink", "--maildir", "mails", "--port", "0", *rules) as sink:
        assert sink.stdout is not None
        greeting = sink.stdout.readline()
        assert greeting.startswith("Listening on 127.0.0.1:")
        always_open(desk, int(greeting.partition("127.0.0.1:")[2].partition(",")[0]), "v2")
        [tick] = json.loads(ended(desk.process("tick", "v2", "--format", "json")).out)
        assert (tick["considered"], tick["sent"], tick["failed"]) == (1, 2, 2)
        os.kill(sink.pid, signal.SIGINT)
        said = ended(sink)
    assert (said.code, said.out) == (0, "2 mails filed in mails.\n")
    assert len(list((desk.folder / "mails" / "new").iterdir())) == 2
    assert sorted(row["code"] for row in desk.rows("sendlog")) == [250, 250, 451, 550]
