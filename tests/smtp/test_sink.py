"""The sink: what it says over a real dialogue, and what lies in its Maildir afterwards."""

from __future__ import annotations

import mailbox
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from runner.sink import RefuseRule, Sink
from runner.smtp.errors import DefiniteFailure, ServerUnavailable
from runner.smtp.server import SmtpServer
from runner.smtp.session import Envelope, SmtpSession

MESSAGE = b"Subject: Hello\r\nMessage-ID: <1@example.com>\r\n\r\nHello,\r\n.world\r\n"
STOP_TIMEOUT_S = 10


def session_with(sink: Sink) -> SmtpSession:
    return SmtpSession.open(SmtpServer("127.0.0.1", sink.port, "none", timeout_s=5, dot_timeout_s=5))


def attempt(session: SmtpSession, recipient: str) -> tuple[int, str | None]:
    """Send one mail; return code and enhanced code of the answer that decided."""
    try:
        session.hold(Envelope("anna@example.com", recipient), MESSAGE)
    except DefiniteFailure as failure:
        return failure.code, failure.enhanced
    reply = session.dot()
    return reply.code, reply.enhanced


def test_a_mail_lies_in_the_maildir_byte_for_byte_under_its_queue_id(tmp_path: Path) -> None:
    with Sink(tmp_path / "mail") as sink:
        session = session_with(sink)
        session.hold(Envelope("anna@example.com", "jan@example.org"), MESSAGE)
        queue_id = session.dot().queue_id
        session.quit()
        assert sink.accepted == 1
    [file] = (tmp_path / "mail" / "new").iterdir()
    assert queue_id is not None
    assert queue_id in file.name
    assert file.read_bytes() == MESSAGE
    assert list((tmp_path / "mail" / "tmp").iterdir()) == []


def test_the_maildir_is_one_that_others_can_read_and_is_kept(tmp_path: Path) -> None:
    for _ in range(2):
        with Sink(tmp_path) as sink:
            session = session_with(sink)
            assert attempt(session, "jan@example.org") == (250, "2.0.0")
            session.quit()
    with closing(mailbox.Maildir(tmp_path, create=False)) as maildir:
        assert [message["Subject"] for message in maildir] == ["Hello", "Hello"]


def test_utf8_addresses_and_bodies_are_taken(tmp_path: Path) -> None:
    message = "To: żółw@example.org\r\n\r\nZażółć\r\n".encode()
    with Sink(tmp_path) as sink:
        session = session_with(sink)
        assert session.offers("smtputf8")
        assert session.offers("8bitmime")
        session.hold(Envelope("anna@example.com", "żółw@example.org"), message)
        session.dot()
        session.quit()
    [file] = (tmp_path / "new").iterdir()
    assert file.read_bytes() == message


def test_an_address_is_refused_for_good_or_at_first(tmp_path: Path) -> None:
    rules = [RefuseRule("Gone@example.org"), RefuseRule("shy@example.org", first_attempts=2)]
    with Sink(tmp_path, refuse=rules) as sink:
        session = session_with(sink)
        assert [attempt(session, "gone@Example.org") for _ in range(3)] == [(550, "5.1.1")] * 3
        greylisted = [attempt(session, "shy@example.org") for _ in range(3)]
        assert greylisted == [(451, "4.7.1"), (451, "4.7.1"), (250, "2.0.0")]
        assert attempt(session, "jan@example.org") == (250, "2.0.0")
        session.quit()
        assert sink.accepted == 2
    assert "example.org" not in repr(rules)


def test_a_mail_without_its_dot_is_not_filed(tmp_path: Path) -> None:
    with Sink(tmp_path) as sink:
        session = session_with(sink)
        session.hold(Envelope("anna@example.com", "jan@example.org"), MESSAGE)
        session.drop()
    assert sink.accepted == 0
    assert list((tmp_path / "new").iterdir()) == []


def test_a_mail_that_cannot_be_stored_is_refused_for_now(tmp_path: Path) -> None:
    with Sink(tmp_path) as sink:
        session = session_with(sink)
        (tmp_path / "tmp").rmdir()
        assert attempt(session, "jan@example.org") == (452, "4.3.1")
        session.quit()
        assert sink.accepted == 0


def test_the_end_of_a_sink_ends_its_connections(tmp_path: Path) -> None:
    with Sink(tmp_path) as sink:
        session = session_with(sink)
        server = SmtpServer("127.0.0.1", sink.port, "none", timeout_s=5)
    assert not session.usable
    session.quit()
    with pytest.raises(ServerUnavailable):
        SmtpSession.open(server)


def test_a_port_that_is_taken_is_an_error_at_once(tmp_path: Path) -> None:
    with Sink(tmp_path / "one") as sink, pytest.raises(OSError, match="in use"):
        Sink(tmp_path / "two", port=sink.port).listen()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sink_of_its_own_serves_until_it_is_told_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    program = (
        "import sys; from pathlib import Path; from runner.sink import Sink\n"
        "sink = Sink(Path(sys.argv[1])); print(sink.port, flush=True)\n"
        "sink.serve_forever(); print(sink.accepted)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    ) as process:
        assert process.stdout is not None
        session = SmtpSession.open(SmtpServer("127.0.0.1", int(process.stdout.readline()), "none", timeout_s=10))
        assert attempt(session, "jan@example.org") == (250, "2.0.0")
        session.quit()
        os.kill(process.pid, number)
        assert process.stdout.read().split() == ["1"]
        assert process.wait(STOP_TIMEOUT_S) == 0
