"""F6a: what is the mailbox's fault holds up the mailbox, by an event. The lead stays queued and no attempt is spent."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from threading import Event

import pytest

from domain import mailbox as mailboxes
from domain.events import EmailFailed, EmailLocked, MailboxDelayed, MailboxPaused, Sender
from runner.clock import SimulatedClock
from runner.daemon import Runner
from runner.sending.delivery import LOST_BODIES_A_LEAD
from runner.store.ledger import Ledger
from tests.faults.processes import TIMEOUT_S, wait_until
from tests.faults.world import END, LATER, MAILBOX, START, World
from tests.smtp.scripted import BEHAVED, Peer, ScriptedServer, in_turn

senders = pytest.mark.parametrize("sender", ["v1", "v2"])


class Server(ScriptedServer):
    """One that gets into trouble at DATA, as often as it is told to."""

    def __init__(self, trouble: Callable[[Peer], bool]) -> None:
        super().__init__({"DATA": self._data})
        self._is_in_trouble = trouble

    def _data(self, peer: Peer) -> None:
        if not self._is_in_trouble(peer):
            peer.say(BEHAVED["DATA"])
            self._take_message(peer)


def once(trouble: Callable[[Peer], None]) -> Callable[[Peer], bool]:
    had: list[Peer] = []

    def is_in_trouble(peer: Peer) -> bool:
        had.append(peer)
        if len(had) == 1:
            trouble(peer)
        return len(had) == 1

    return is_in_trouble


@senders
@pytest.mark.parametrize(
    ("verb", "trouble", "phase", "code"),
    [
        ("GREETING", b"421 4.3.2 closing\r\n", "connect", 421),
        ("GREETING", b"554 5.3.2 no service\r\n", "connect", 554),
        ("MAIL", b"451 4.3.0 later\r\n", "mail", 451),
        ("MAIL", b"550 5.4.5 daily quota exceeded\r\n", "mail", 550),
        ("RCPT", b"421 4.7.0 too many\r\n", "rcpt", 421),
    ],
)
def test_f6a_a_server_in_trouble_delays_the_mailbox_and_the_mail_leaves_at_its_first_attempt(
    world: World, sender: Sender, verb: str, trouble: bytes, phase: str, code: int
) -> None:
    with ScriptedServer({verb: in_turn(trouble, BEHAVED[verb])}) as server:
        world.port = server.port
        world.campaign(1, sender, ["lead"])
        world.run(START, until=LATER)
    [delayed] = world.told(MailboxDelayed)
    assert isinstance(delayed, MailboxDelayed)
    assert (delayed.phase, delayed.code, delayed.failures) == (phase, code, 1)
    [lock] = world.told(EmailLocked)
    assert isinstance(lock, EmailLocked)
    assert (lock.attempt, lock.recorded_at) == (1, delayed.until)
    assert not world.told(EmailFailed)
    assert (world.states(1), server.dots) == (["sent"], 1)


@senders
@pytest.mark.parametrize("trouble", [Peer.hang_up, lambda peer: peer.say(b"451 4.4.5 daily quota exceeded\r\n")])
def test_f6a_trouble_at_data_delays_the_mailbox_too(
    world: World, sender: Sender, trouble: Callable[[Peer], None]
) -> None:
    with Server(once(trouble)) as server:
        world.port = server.port
        world.campaign(1, sender, ["lead"])
        world.run(START, until=LATER)
    assert len(world.told(MailboxDelayed)) == 1
    assert not world.told(EmailFailed)
    assert (world.states(1), server.dots) == (["sent"], 1)


@senders
def test_f6a_a_refused_sender_pauses_the_mailbox_until_a_person_has_mended_it(world: World, sender: Sender) -> None:
    with ScriptedServer({"MAIL": in_turn(b"550 5.7.1 not yours\r\n", BEHAVED["MAIL"])}) as server:
        world.port = server.port
        world.campaign(1, sender, ["lead"] * 2)
        world.run(START)
        assert len(world.told(MailboxPaused)) == 1
        assert server.verbs().count("MAIL") == 1  # it is not tried again and again
        world.ledger.on_mailbox(MAILBOX, lambda m: mailboxes.resume(m, actor="anna", reason="mended", now=END))
        world.run(END, until=END + timedelta(minutes=5))
    assert not world.told(EmailFailed)
    assert (world.states(1), server.dots) == (["sent"] * 2, 2)


@senders
def test_f6a_a_quota_told_at_the_dot_is_that_mails_failure_and_the_mailbox_rests_too(
    world: World, sender: Sender
) -> None:
    with ScriptedServer({"DOT": in_turn(b"452 4.4.5 daily quota exceeded\r\n", BEHAVED["DOT"])}) as server:
        world.port = server.port
        world.campaign(1, sender, ["lead"] * 2)
        world.run(START)
    assert [event.lead_id for event in world.told(EmailFailed) if isinstance(event, EmailFailed)] == [1]
    assert len(world.told(MailboxDelayed)) == 1
    assert (world.states(1), server.dots) == (["sent"] * 2, 3)


def test_f6a_each_failure_in_a_row_doubles_the_delay_and_a_mail_ends_the_row(world: World) -> None:
    no = b"451 4.3.0 later\r\n"
    with ScriptedServer({"MAIL": in_turn(no, no, no, BEHAVED["MAIL"], no, BEHAVED["MAIL"])}) as server:
        world.port = server.port
        world.campaign(1, "v1", ["lead"] * 3)
        world.run(START)
    delays = [event for event in world.told(MailboxDelayed) if isinstance(event, MailboxDelayed)]
    assert [(event.until - event.recorded_at) / timedelta(minutes=1) for event in delays] == [1, 2, 4, 1]
    assert world.states(1) == ["sent"] * 3


@senders
def test_a_mail_that_kills_every_connection_is_taken_for_the_culprit_at_last_and_all_others_leave(
    world: World, sender: Sender
) -> None:
    def is_the_first_lead(peer: Peer) -> bool:
        if "lead1@" in server.commands[-2]:
            peer.hang_up()
        return False

    with Server(is_the_first_lead) as server:
        world.port = server.port
        world.campaign(1, sender, ["lead"] * 3)
        world.run(START)
    assert len(world.told(MailboxDelayed)) == LOST_BODIES_A_LEAD
    assert {event.lead_id for event in world.told(EmailFailed) if isinstance(event, EmailFailed)} == {1}
    assert world.states(1)[1:] == ["sent"] * 2
    assert server.dots == 2


def test_a_server_that_does_not_answer_holds_up_its_own_mailbox_alone(world: World) -> None:
    answer = Event()

    def greet_late(peer: Peer) -> None:
        assert answer.wait(TIMEOUT_S)
        peer.say(BEHAVED["GREETING"])

    with ScriptedServer({"GREETING": greet_late}) as slow:
        world.port = slow.port
        world.campaign(1, "v2", ["lead"] * 2)
        world.port = 0
        world.mailbox("second")
        world.campaign(2, "v2", ["lead"] * 2, mailbox="second")
        with closing(Ledger(world.database)) as ledger, Runner(ledger, world.runners, SimulatedClock(START)) as runner:
            tick = runner.tick("v2")
            assert tick is not None
            try:
                wait_until(lambda: world.states(2) == ["sent"] * 2)
                assert world.states(1) == ["queued"] * 2
            finally:
                answer.set()
            assert tick.wait(TIMEOUT_S)
    assert world.states(1) == ["sent"] * 2
