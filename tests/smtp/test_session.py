"""The dialogue up to the dot and behind it, with servers that refuse, break off, babble and fall silent (F6 to F10)."""

from __future__ import annotations

import doctest
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import runner.smtp.reply
import runner.smtp.session
from domain.replies import NO_REPLY, Phase, Verdict
from runner.smtp.errors import Cause, DefiniteFailure, InDoubt, ServerUnavailable
from runner.smtp.reply import MAX_LINE_OCTETS, Reply
from runner.smtp.server import SmtpServer
from runner.smtp.session import Envelope, SmtpSession
from tests.smtp.scripted import (
    JOIN_TIMEOUT_S,
    Peer,
    ScriptedServer,
    in_turn,
    say_and_fall_silent,
    say_and_hang_up,
    trickle,
)

ENVELOPE = Envelope("anna@example.com", "jan@example.org")
UTF8_ENVELOPE = Envelope("anna@example.com", "żółw@example.org")
MESSAGE = b"Subject: Hello\r\n\r\nHello,\r\n.\r\n..world\r\n"
GRACE_S = 0.2

Answer = bytes | Callable[[Peer], None]


def settings_for(server: ScriptedServer, **changes: float | bool | str) -> SmtpServer:
    """Return settings with short time-outs for a scripted server."""
    given_settings = {"timeout_s": 2.0, "dot_timeout_s": 2.0, **changes}
    return SmtpServer("127.0.0.1", server.port, "none", **given_settings)  # type: ignore[arg-type]


@contextmanager
def dialogue(
    answers: dict[str, Answer] | None = None, **changes: float | bool | str
) -> Iterator[tuple[ScriptedServer, SmtpSession]]:
    """A session with a scripted server; afterwards it is dropped and the server has recorded everything."""
    with ScriptedServer(answers) as server:
        session = SmtpSession.open(settings_for(server, **changes))
        try:
            yield server, session
        finally:
            session.drop()


def failure_of(session: SmtpSession, envelope: Envelope = ENVELOPE, message: bytes = MESSAGE) -> DefiniteFailure:
    """Return the definite failure that holding this mail ends in."""
    with pytest.raises(DefiniteFailure) as caught:
        session.hold(envelope, message)
    return caught.value


def deliver(session: SmtpSession, envelope: Envelope = ENVELOPE, message: bytes = MESSAGE) -> Reply:
    """Hold and send one mail."""
    session.hold(envelope, message)
    return session.dot()


@pytest.mark.parametrize("module", [runner.smtp.reply, runner.smtp.session])
def test_the_examples_in_the_modules_hold(module: object) -> None:
    results = doctest.testmod(module)  # type: ignore[arg-type]
    assert results.attempted > 0
    assert results.failed == 0


# Mails that arrive


def test_a_mail_is_delivered_by_the_dot_and_not_before() -> None:
    with dialogue() as (server, session):
        session.hold(ENVELOPE, MESSAGE)
        assert server.dots == 0
        reply = session.dot()
        assert (reply.code, reply.enhanced, reply.queue_id) == (250, "2.0.0", "4F1B2C3D5E")
        assert server.messages == [MESSAGE]


def test_many_mails_share_one_connection() -> None:
    messages = [MESSAGE + b"%d\r\n" % number for number in range(20)]
    with dialogue() as (server, session):
        for message in messages:
            assert session.usable
            deliver(session, message=message)
        session.quit()
    assert server.messages == messages
    assert server.connections == 1
    assert server.verbs()[-1] == "QUIT"


@pytest.fixture(scope="module")
def open_session() -> Iterator[tuple[ScriptedServer, SmtpSession]]:
    with dialogue() as pair:
        yield pair


any_lines = st.lists(st.sampled_from([b".", b"..", b"", b".x", b"x.", b"\xc5\xbc", b"QUIT"]), max_size=12)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=any_lines)
def test_a_body_arrives_as_it_was_whatever_dots_it_holds(
    open_session: tuple[ScriptedServer, SmtpSession], lines: list[bytes]
) -> None:
    server, session = open_session
    message = b"\r\n".join([b"Subject: dots", b"", *lines, b""])
    deliver(session, message=message)
    assert server.messages[-1] == message


def test_a_body_without_a_last_line_end_gets_one() -> None:
    with dialogue() as (server, session):
        deliver(session, message=b"Subject: x\r\n\r\nend")
        assert server.messages == [b"Subject: x\r\n\r\nend\r\n"]


def test_a_large_body_arrives_whole() -> None:
    message = b"Subject: large\r\n\r\n" + b".0123456789 0123456789\r\n" * 5_000
    with dialogue() as (server, session):
        deliver(session, message=message)
        assert server.messages == [message]


# What a server must offer


def test_the_options_of_mail_are_those_that_are_needed() -> None:
    polish_body = b"Subject: x\r\n\r\n\xc5\xbc\r\n"
    polish_head = b"To: \xc5\xbc@example.org\r\n\r\nx\r\n"
    with dialogue() as (server, session):
        deliver(session)
        deliver(session, message=polish_body)
        deliver(session, message=polish_head)
        deliver(session, UTF8_ENVELOPE)
    assert [command for command in server.commands if command.startswith("MAIL")] == [
        f"MAIL FROM:<anna@example.com> SIZE={len(MESSAGE)}",
        f"MAIL FROM:<anna@example.com> SIZE={len(polish_body)} BODY=8BITMIME",
        f"MAIL FROM:<anna@example.com> SIZE={len(polish_head)} BODY=8BITMIME SMTPUTF8",
        f"MAIL FROM:<anna@example.com> SIZE={len(MESSAGE)} SMTPUTF8",
    ]
    assert "RCPT TO:<żółw@example.org>" in server.commands


@pytest.mark.parametrize(
    ("envelope", "message", "cause"),
    [
        (UTF8_ENVELOPE, MESSAGE, Cause.NO_SMTPUTF8),
        (ENVELOPE, b"To: \xc5\xbc@example.org\r\n\r\nx\r\n", Cause.NO_SMTPUTF8),
        (ENVELOPE, b"Subject: x\r\n\r\n\xc5\xbc\r\n", Cause.NO_8BITMIME),
        (ENVELOPE, b"Subject: x\r\n\r\n" + b"x" * 1001, Cause.TOO_LARGE),
        (ENVELOPE, b"Subject: x\r\n\r\nx\n.\nx\r\n", Cause.BAD_LINE_ENDS),
        (ENVELOPE, b"Subject: x\r\n\r\nx\r.\rx\r\n", Cause.BAD_LINE_ENDS),
        (Envelope("anna@example.com", "jan@example.org>\r\nRSET"), MESSAGE, Cause.BAD_ADDRESS),
        (Envelope("anna@example.com", "jan@example.org> SIZE=1"), MESSAGE, Cause.BAD_ADDRESS),
        (Envelope("anna@example.com", "\ud800@example.org"), MESSAGE, Cause.BAD_ADDRESS),
        (Envelope("anna@example.com", ""), MESSAGE, Cause.BAD_ADDRESS),
    ],
)
def test_what_cannot_be_sent_fails_for_good_before_the_server_hears_of_it(
    envelope: Envelope, message: bytes, cause: Cause
) -> None:
    with dialogue({"EHLO": b"250-scripted\r\n250 SIZE 1000\r\n"}) as (server, session):
        failure = failure_of(session, envelope, message)
        assert (failure.phase, failure.verdict, failure.cause) == (Phase.LOCAL, Verdict.PERMANENT, cause)
        assert server.verbs() == ["EHLO"]
        assert deliver(session).code == 250


@pytest.mark.parametrize("sender", ["żółw@example.com", "anna@example.com>\r\nRSET"])
def test_a_sender_that_cannot_be_sent_is_the_mailboxes_fault(sender: str) -> None:
    with dialogue({"EHLO": b"250 scripted\r\n"}) as (_, session):
        failure = failure_of(session, Envelope(sender, "jan@example.org"))
        assert (failure.phase, failure.verdict) == (Phase.LOCAL, Verdict.MAILBOX_FAULT)


def test_a_server_without_a_size_limit_is_told_the_size() -> None:
    with dialogue({"EHLO": b"250-scripted\r\n250 SIZE 0\r\n"}) as (server, session):
        deliver(session)
        assert f"MAIL FROM:<anna@example.com> SIZE={len(MESSAGE)}" in server.commands


# F6, F6a: refused before the body


@pytest.mark.parametrize(
    ("answer", "code", "enhanced", "verdict"),
    [
        (b"450 4.2.1 busy\r\n", 450, "4.2.1", Verdict.TEMPORARY),
        (b"451 4.7.1 greylisted\r\n", 451, "4.7.1", Verdict.TEMPORARY),
        (b"550-5.1.1 no such\r\n550 5.1.1 user\r\n", 550, "5.1.1", Verdict.PERMANENT),
        (b"550 no such user\r\n", 550, None, Verdict.PERMANENT),
        (b"552 5.2.2 full\r\n", 552, "5.2.2", Verdict.TEMPORARY),
        (b"550 5.4.5 quota\r\n", 550, "5.4.5", Verdict.MAILBOX_FAULT),
    ],
)
def test_f6_a_refused_recipient_fails_alone(answer: bytes, code: int, enhanced: str | None, verdict: Verdict) -> None:
    with dialogue({"RCPT": in_turn(answer, b"250 ok\r\n")}) as (server, session):
        failure = failure_of(session)
        assert (failure.phase, failure.code, failure.enhanced) == (Phase.RCPT, code, enhanced)
        assert failure.verdict is verdict
        assert session.usable
        assert deliver(session).code == 250
    assert server.verbs() == ["EHLO", "MAIL", "RCPT", "RSET", "MAIL", "RCPT", "DATA"]
    assert server.dots == 1


@pytest.mark.parametrize("answer", [b"450 4.1.8 no\r\n", b"550 5.7.1 no\r\n", b"552 5.4.5 quota\r\n"])
def test_f6a_a_refused_sender_is_the_mailboxes_fault(answer: bytes) -> None:
    with dialogue({"MAIL": answer}) as (server, session):
        failure = failure_of(session)
        assert (failure.phase, failure.verdict) == (Phase.MAIL, Verdict.MAILBOX_FAULT)
        assert session.usable
    assert server.verbs() == ["EHLO", "MAIL", "RSET"]


@pytest.mark.parametrize(
    ("verb", "phase", "verdict"),
    [
        ("MAIL", Phase.MAIL, Verdict.MAILBOX_FAULT),
        ("RCPT", Phase.RCPT, Verdict.MAILBOX_FAULT),
        ("DATA", Phase.DATA, Verdict.TEMPORARY),
    ],
)
@pytest.mark.parametrize("ending", [b"", b"."])
def test_f6a_421_at_each_step(verb: str, phase: Phase, verdict: Verdict, ending: bytes) -> None:
    said = b"421 4.3.2 going down\r\n"
    with dialogue({verb: say_and_hang_up(said) if ending else said}) as (server, session):
        failure = failure_of(session)
        assert (failure.phase, failure.code, failure.verdict) == (phase, 421, verdict)
        assert not session.usable
    assert server.dots == 0


@pytest.mark.parametrize("verb", ["GREETING", "EHLO"])
def test_f6a_421_before_the_first_mail(verb: str) -> None:
    with ScriptedServer({verb: say_and_hang_up(b"421 4.3.2 going down\r\n")}) as server:
        with pytest.raises(ServerUnavailable) as caught:
            SmtpSession.open(settings_for(server))
        assert (caught.value.phase, caught.value.code) == (Phase.CONNECT, 421)
        assert caught.value.enhanced == "4.3.2"


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (Peer.hang_up, Cause.CLOSED),
        (Peer.reset, Cause.RESET),
        (say_and_hang_up(b"25"), Cause.CUT),
        (b"hello\r\n", Cause.GARBAGE),
        (b"250 one\r\n250 two\r\n", Cause.GARBAGE),
        (Peer.wait_until_client_leaves, Cause.TIMED_OUT),
    ],
)
def test_a_connection_lost_before_the_body_is_definite(verb: str, answer: Answer, cause: Cause) -> None:
    with dialogue({verb: answer}, timeout_s=GRACE_S) as (server, session):
        failure = failure_of(session)
        assert (failure.phase, failure.code, failure.cause) == (Phase(verb.lower()), NO_REPLY, cause)
        assert failure.verdict is Verdict.MAILBOX_FAULT
        assert not session.usable
    assert server.dots == 0


def test_a_server_that_trickles_its_answer_is_left_in_time() -> None:
    with dialogue({"MAIL": trickle(b"250 2.1.0 slowly but surely\r\n")}, timeout_s=GRACE_S) as (_, session):
        assert failure_of(session).cause is Cause.TIMED_OUT


def test_an_answer_that_is_out_of_step_is_definite_and_ends_the_session() -> None:
    with dialogue({"DATA": b"250 ok\r\n"}) as (server, session):
        failure = failure_of(session)
        assert (failure.phase, failure.code, failure.verdict) == (Phase.DATA, 250, Verdict.TEMPORARY)
        assert not session.usable
    assert server.dots == 0


@pytest.mark.parametrize("answer", [b"500 what?\r\n", Peer.hang_up])
def test_a_server_that_cannot_reset_is_left(answer: Answer) -> None:
    with dialogue({"RCPT": b"550 5.1.1 no\r\n", "RSET": answer}) as (_, session):
        assert failure_of(session).verdict is Verdict.PERMANENT
        assert not session.usable


def test_a_server_that_hung_up_between_two_mails_is_noticed_before_the_next() -> None:
    hung_up = say_and_hang_up(b"250 2.0.0 ok\r\n421 4.4.2 bye\r\n")
    with dialogue({"DOT": hung_up}) as (server, session):
        assert deliver(session).code == 250
        assert not session.usable
    assert server.dots == 1


# F7, F8: DATA and the dot refused


@pytest.mark.parametrize("code", [421, 450, 451, 452])
def test_f7_4xx_to_data_is_temporary(code: int) -> None:
    with dialogue({"DATA": b"%d 4.3.0 later\r\n" % code}) as (server, session):
        failure = failure_of(session)
        assert (failure.phase, failure.code, failure.verdict) == (Phase.DATA, code, Verdict.TEMPORARY)
        assert session.usable is (code != 421)
    assert server.dots == 0


@pytest.mark.parametrize("code", [421, 450, 451, 452])
def test_f7_4xx_to_the_dot_is_an_answer(code: int) -> None:
    with dialogue({"DOT": b"%d 4.3.0 later\r\n" % code}) as (_, session):
        reply = deliver(session)
        assert (reply.code, reply.enhanced) == (code, "4.3.0")
        assert session.usable is (code != 421)


def test_f7_421_to_the_dot_with_the_connection_closed_is_an_answer() -> None:
    with dialogue({"DOT": say_and_hang_up(b"421 4.3.2 bye\r\n")}) as (_, session):
        assert deliver(session).code == 421
        assert not session.usable


@pytest.mark.parametrize("code", [550, 552, 554])
def test_f8_5xx_to_data_is_permanent_and_to_the_dot_an_answer(code: int) -> None:
    refusal = b"%d 5.7.1 spam\r\n" % code
    with dialogue({"DATA": refusal}) as (_, session):
        failure = failure_of(session)
        assert (failure.phase, failure.code, failure.verdict) == (Phase.DATA, code, Verdict.PERMANENT)
        assert session.usable
    with dialogue({"DOT": refusal}) as (_, session):
        assert deliver(session).code == code
        assert session.usable


# While the body is held


@pytest.mark.parametrize(
    ("answer", "code", "verdict"),
    [
        (Peer.hang_up, NO_REPLY, Verdict.MAILBOX_FAULT),
        (Peer.reset, NO_REPLY, Verdict.MAILBOX_FAULT),
        (say_and_hang_up(b"421 4.4.2 too slow\r\n"), 421, Verdict.TEMPORARY),
        (say_and_hang_up(b"554 5.6.0 bad\r\n"), 554, Verdict.PERMANENT),
    ],
)
def test_a_server_that_gives_up_while_the_body_is_held_gets_no_dot(answer: Answer, code: int, verdict: Verdict) -> None:
    with dialogue({"BODY": answer}) as (server, session):
        session.hold(ENVELOPE, b"x\r\n")
        server.finish()
        with pytest.raises(DefiniteFailure) as caught:
            session.dot()
        assert (caught.value.phase, caught.value.code, caught.value.verdict) == (Phase.DATA, code, verdict)
    assert server.dots == 0


def test_a_server_that_accepts_before_the_dot_leaves_the_mail_in_doubt() -> None:
    with dialogue({"BODY": say_and_hang_up(b"250 2.0.0 ok\r\n")}) as (server, session):
        session.hold(ENVELOPE, b"x\r\n")
        server.finish()
        with pytest.raises(InDoubt):
            session.dot()
    assert server.dots == 0


@pytest.mark.parametrize(
    ("answer", "code", "verdict"),
    [
        (Peer.reset, {NO_REPLY}, {Verdict.MAILBOX_FAULT}),
        # the reset that follows may overtake the reason
        (say_and_hang_up(b"552 5.3.4 too large\r\n"), {552, NO_REPLY}, {Verdict.PERMANENT, Verdict.MAILBOX_FAULT}),
    ],
)
def test_a_server_that_breaks_off_a_large_body_has_not_got_it(
    answer: Answer, code: set[int], verdict: set[Verdict]
) -> None:
    more_than_any_buffer = b"Subject: large\r\n" * 1_200_000
    with dialogue({"EHLO": b"250 scripted\r\n", "BODY": answer}) as (server, session):
        failure = failure_of(session, message=more_than_any_buffer)
        assert failure.phase is Phase.DATA
        assert failure.code in code
        assert failure.verdict in verdict
        assert not session.usable
    assert server.dots == 0


def test_dropping_delivers_nothing() -> None:
    with dialogue() as (server, session):
        session.hold(ENVELOPE, MESSAGE)
        session.drop()
        session.drop()
        session.quit()
    assert (server.connections, server.resets) == (1, 1)
    assert (server.dots, server.messages) == (0, [])


def test_nothing_can_be_sent_out_of_order() -> None:
    with dialogue() as (server, session):
        with pytest.raises(RuntimeError):
            session.dot()
        session.hold(ENVELOPE, MESSAGE)
        with pytest.raises(RuntimeError):
            session.hold(ENVELOPE, MESSAGE)
        session.dot()
        with pytest.raises(RuntimeError):
            session.dot()
    assert server.dots == 1


# F9: no answer to the dot

IN_DOUBT: dict[str, tuple[Answer, Cause]] = {
    "garbage": (b"\x16\x03\x01 what\r\n", Cause.GARBAGE),
    "a code without meaning": (b"999 ok\r\n", Cause.GARBAGE),
    "a code run together with its text": (b"2500 ok\r\n", Cause.GARBAGE),
    "an empty line": (b"\r\n", Cause.GARBAGE),
    "a number only": (b"25\r\n", Cause.GARBAGE),
    "a 3xx": (b"354 go ahead\r\n", Cause.GARBAGE),
    "a reply cut to two digits": (say_and_hang_up(b"25"), Cause.CUT),
    "a reply cut to its code": (say_and_hang_up(b"250"), Cause.CUT),
    "a reply cut before its line end": (say_and_hang_up(b"250 2.0.0 ok"), Cause.CUT),
    "a reply that never ends": (say_and_fall_silent(b"250 2.0.0 ok"), Cause.TIMED_OUT),
    "several lines cut in the middle": (say_and_hang_up(b"250-2.0.0 ok\r\n"), Cause.CUT),
    "several lines cut inside one": (say_and_hang_up(b"250-2.0.0 ok\r\n250 2"), Cause.CUT),
    "several lines that never end": (say_and_fall_silent(b"250-2.0.0 ok\r\n"), Cause.TIMED_OUT),
    "several lines with two codes": (b"250-2.0.0 ok\r\n550 5.0.0 no\r\n", Cause.GARBAGE),
    "a first line that is no reply": (b"warning: ok\r\n250 2.0.0 ok\r\n", Cause.GARBAGE),
    "lines without end": (b"250-ok\r\n" * 200, Cause.GARBAGE),
    "a line too long": (b"250 " + b"x" * MAX_LINE_OCTETS + b"\r\n", Cause.GARBAGE),
    "silence": (Peer.wait_until_client_leaves, Cause.TIMED_OUT),
    "a trickle": (trickle(b"250 2.0.0 slowly but surely\r\n"), Cause.TIMED_OUT),
    "FIN": (Peer.hang_up, Cause.CLOSED),
    "RST": (Peer.reset, Cause.RESET),
}


@pytest.mark.parametrize(("answer", "cause"), IN_DOUBT.values(), ids=IN_DOUBT.keys())
def test_f9_no_answer_to_the_dot_leaves_the_mail_in_doubt(answer: Answer, cause: Cause) -> None:
    with dialogue({"DOT": answer}, dot_timeout_s=GRACE_S) as (server, session):
        session.hold(ENVELOPE, MESSAGE)
        with pytest.raises(InDoubt) as caught:
            session.dot()
        assert caught.value.cause is cause
        assert not session.usable
    assert server.dots == 1


def test_f9_an_error_while_writing_the_dot_leaves_the_mail_in_doubt() -> None:
    tested = Event()

    def keep_the_connection_open(_peer: Peer) -> None:
        tested.wait(JOIN_TIMEOUT_S)

    with dialogue({"BODY": keep_the_connection_open}) as (_, session):
        session.hold(ENVELOPE, MESSAGE)
        session._connection.wire.shutdown(socket.SHUT_WR)
        with pytest.raises(InDoubt) as caught:
            session.dot()
        tested.set()
        assert caught.value.cause is Cause.WRITE_FAILED
        assert not session.usable
        assert session._connection.sock is None


@pytest.mark.parametrize(
    "answer",
    [
        b"250\r\n",
        b"250 \r\n",
        b"250 ok\n",
        b"250-2.0.0 one\r\n250-2.0.0 two\r\n250 2.0.0 three\r\n",
        b"250 " + b"x" * (MAX_LINE_OCTETS - 6) + b"\r\n",
        "250 2.0.0 przyjęto\r\n".encode(),
        b"250 2.0.0 \xff\r\n",
    ],
)
def test_an_unusual_yet_well_formed_answer_is_an_answer(answer: bytes) -> None:
    with dialogue({"DOT": answer}) as (_, session):
        assert deliver(session).code == 250


# F10: taking leave


@pytest.mark.parametrize(
    "answer",
    [b"421 4.3.2 bye\r\n", b"garbage\r\n", Peer.hang_up, Peer.reset, Peer.wait_until_client_leaves],
)
def test_f10_whatever_happens_at_quit_the_mail_is_sent(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner.smtp.session, "QUIT_TIMEOUT_S", GRACE_S)
    with dialogue({"QUIT": answer}) as (server, session):
        assert deliver(session).code == 250
        session.quit()
        assert not session.usable
        session.quit()
    assert server.dots == 1
    assert server.verbs().count("QUIT") == 1


# Personal data


def test_no_error_and_no_repr_shows_an_address_or_a_servers_words() -> None:
    with dialogue({"RCPT": b"550 5.1.1 <jan@example.org> unknown\r\n"}) as (_, session):
        failure = failure_of(session)
        assert "jan@example.org" in failure.text
        for shown in (str(failure), repr(failure), repr(ENVELOPE), repr(Reply(250, None, "jan@example.org"))):
            assert "example.org" not in shown
            assert "unknown" not in shown
    assert str(failure) == "Not delivered (permanent): rcpt 550 5.1.1, the server refused."


@pytest.mark.parametrize(
    ("text", "queue_id"),
    [
        ("2.0.0 Ok: queued as 4Zx1Yb2Kz9z1Q", "4Zx1Yb2Kz9z1Q"),
        ("OK id=1rXyZa-0001Ab-2C", "1rXyZa-0001Ab-2C"),
        ("2.6.0 Message accepted; id=ABC123; bye", "ABC123"),
        ("2.0.0 Ok", None),
        ("2.0.0 queued as jan@example.org", None),
        ("id=<jan@example.org>", None),
    ],
)
def test_a_queue_id_is_read_where_there_is_one_and_never_an_address(text: str, queue_id: str | None) -> None:
    assert Reply(250, None, text).queue_id == queue_id
