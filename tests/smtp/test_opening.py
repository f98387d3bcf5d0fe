"""Before the first mail: TLS that is verified or refused, logging in, and nothing in the clear to other machines."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from domain.errors import InvalidInput
from domain.replies import NO_REPLY, Phase, Verdict, judge, mailbox_measure
from runner.smtp.errors import Cause, ServerUnavailable
from runner.smtp.server import SmtpServer
from runner.smtp.session import Envelope, SmtpSession
from tests.smtp.scripted import EHLO, Peer, ScriptedServer, in_turn, say_and_hang_up, trickle

ENVELOPE = Envelope("anna@example.com", "jan@example.org")
MESSAGE = b"Subject: Hello\r\n\r\n.Hello\r\n"
PASSWORD = "zażółć-secret"
GRACE_S = 0.2
ELSEWHERE = "192.0.2.1"  # TEST-NET-1: no machine has this address

Answer = bytes | Callable[[Peer], None]


def offering(*extensions: bytes) -> bytes:
    """Return an answer to EHLO that offers these extensions too."""
    return EHLO.replace(b"250-scripted\r\n", b"250-scripted\r\n" + b"".join(b"250-%s\r\n" % e for e in extensions))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


def certificate(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    """Return a server's TLS context whose certificate names this host."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def refusal(server: SmtpServer) -> ServerUnavailable:
    """Return the error that connecting to this server ends in."""
    with pytest.raises(ServerUnavailable) as caught:
        SmtpSession.open(server)
    return caught.value


def send_one(server: SmtpServer) -> None:
    """Send one mail and leave."""
    session = SmtpSession.open(server)
    session.hold(ENVELOPE, MESSAGE)
    assert session.dot().code == 250
    session.quit()


# TLS


def test_starttls_with_a_verified_certificate(authority: trustme.CA, ca_file: Path) -> None:
    ehlo = in_turn(offering(b"STARTTLS"), EHLO)
    with ScriptedServer({"EHLO": ehlo}, tls=certificate(authority)) as server:
        send_one(SmtpServer("127.0.0.1", server.port, "starttls", ca_file=ca_file))
    assert server.messages == [MESSAGE]
    assert server.verbs() == ["EHLO", "STARTTLS", "EHLO", "MAIL", "RCPT", "DATA", "QUIT"]


def test_what_was_offered_before_tls_counts_no_more(authority: trustme.CA, ca_file: Path) -> None:
    ehlo = in_turn(offering(b"STARTTLS", b"AUTH PLAIN"), b"250 scripted\r\n")
    with ScriptedServer({"EHLO": ehlo}, tls=certificate(authority)) as server:
        session = SmtpSession.open(SmtpServer("127.0.0.1", server.port, "starttls", ca_file=ca_file))
        assert not session.offers("smtputf8")
        assert not session.offers("AUTH")
        session.quit()


def test_implicit_tls_with_a_verified_certificate(authority: trustme.CA, ca_file: Path) -> None:
    with ScriptedServer(tls=certificate(authority), implicit=True) as server:
        send_one(SmtpServer("127.0.0.1", server.port, "implicit", ca_file=ca_file))
    assert server.messages == [MESSAGE]


def test_a_session_over_tls_notices_that_the_server_hung_up(authority: trustme.CA, ca_file: Path) -> None:
    bye = say_and_hang_up(b"250 2.0.0 ok\r\n")
    with ScriptedServer({"DOT": bye}, tls=certificate(authority), implicit=True) as server:
        session = SmtpSession.open(SmtpServer("127.0.0.1", server.port, "implicit", ca_file=ca_file))
        session.hold(ENVELOPE, MESSAGE)
        assert session.dot().code == 250
        server.finish()
        assert not session.usable
        session.quit()


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("flaw", ["authority unknown", "another host's name"])
def test_a_certificate_that_cannot_be_verified_is_refused(
    authority: trustme.CA, ca_file: Path, tls: str, flaw: str
) -> None:
    unknown = flaw == "authority unknown"
    context = certificate(authority, "127.0.0.1" if unknown else "mail.example.com")
    with ScriptedServer({"EHLO": offering(b"STARTTLS")}, tls=context, implicit=tls == "implicit") as server:
        settings = SmtpServer(
            "127.0.0.1",
            server.port,
            tls,  # type: ignore[arg-type]
            user="anna",
            password=PASSWORD,
            ca_file=None if unknown else ca_file,
        )
        error = refusal(settings)
        assert (error.phase, error.cause) == (Phase.TLS, Cause.TLS_FAILED)
        assert isinstance(error.__cause__, ssl.SSLCertVerificationError)
    assert server.verbs() in ([], ["EHLO", "STARTTLS"])


def test_a_server_that_dropped_starttls_is_refused() -> None:
    with ScriptedServer({"EHLO": offering(b"AUTH PLAIN")}) as server:
        error = refusal(SmtpServer("127.0.0.1", server.port, "starttls", user="anna", password=PASSWORD))
        assert (error.phase, error.code, error.cause) == (Phase.TLS, NO_REPLY, Cause.NO_STARTTLS)
    assert server.verbs() == ["EHLO"]


def test_a_server_that_refuses_starttls_is_refused() -> None:
    answers: dict[str, Answer] = {"EHLO": offering(b"STARTTLS"), "STARTTLS": b"454 4.7.0 no TLS now\r\n"}
    with ScriptedServer(answers) as server:
        error = refusal(SmtpServer("127.0.0.1", server.port, "starttls"))
        assert (error.phase, error.code, error.enhanced) == (Phase.TLS, 454, "4.7.0")


def test_bytes_injected_behind_the_answer_to_starttls_are_never_read_as_replies(
    authority: trustme.CA, ca_file: Path
) -> None:
    injected = b"220 go ahead\r\n250-injected\r\n250 AUTH PLAIN\r\n"
    answers: dict[str, Answer] = {"EHLO": offering(b"STARTTLS"), "STARTTLS": say_and_hang_up(injected)}
    with ScriptedServer(answers, tls=certificate(authority)) as server:
        error = refusal(SmtpServer("127.0.0.1", server.port, "starttls", ca_file=ca_file))
        assert (error.phase, error.cause) == (Phase.TLS, Cause.INJECTED)


# Nothing in the clear, nothing elsewhere


def test_plaintext_to_another_machine_is_refused_before_connecting() -> None:
    error = refusal(SmtpServer(ELSEWHERE, 25, "none", timeout_s=GRACE_S))
    assert (error.phase, error.cause) == (Phase.LOCAL, Cause.PLAINTEXT)
    assert mailbox_measure(error.phase, error.code, error.enhanced) == "pause"


def test_plaintext_to_another_machine_is_tried_where_the_settings_allow_it() -> None:
    assert refusal(SmtpServer(ELSEWHERE, 25, "none", timeout_s=GRACE_S, allow_plaintext=True)).phase is Phase.CONNECT


@pytest.mark.parametrize("tls", ["none", "starttls", "implicit"])
def test_another_machine_is_refused_where_only_this_one_may_be_used(tls: str) -> None:
    error = refusal(
        SmtpServer(ELSEWHERE, 25, tls, timeout_s=GRACE_S, allow_plaintext=True, loopback_only=True)  # type: ignore[arg-type]
    )
    assert (error.phase, error.cause) == (Phase.LOCAL, Cause.NOT_LOOPBACK)


def test_this_machine_may_be_named() -> None:
    with ScriptedServer() as server:
        send_one(SmtpServer("localhost", server.port, "none", loopback_only=True))
    assert server.messages == [MESSAGE]


# Logging in


@pytest.mark.parametrize(
    ("offer", "command"),
    [
        (b"AUTH PLAIN LOGIN", b"PLAIN " + base64.b64encode(f"\0anna\0{PASSWORD}".encode())),
        (b"AUTH=PLAIN", b"PLAIN " + base64.b64encode(f"\0anna\0{PASSWORD}".encode())),
    ],
)
def test_plain_logs_in_with_any_password(offer: bytes, command: bytes) -> None:
    with ScriptedServer({"EHLO": offering(offer)}) as server:
        send_one(SmtpServer("127.0.0.1", server.port, "none", user="anna", password=PASSWORD))
    assert server.commands[1] == f"AUTH {command.decode()}"


def challenge(*prompts: bytes, then: bytes = b"235 2.7.0 welcome\r\n") -> Callable[[Peer], None]:
    """Return an answer to AUTH that asks for more before it lets in."""

    def answer(peer: Peer) -> None:
        for prompt in prompts:
            peer.say(b"334 %s\r\n" % base64.b64encode(prompt))
            peer.line()
        peer.say(then)

    return answer


@pytest.mark.parametrize(("offer", "prompts"), [(b"AUTH LOGIN", [b"Password:"]), (b"AUTH CRAM-MD5", [b"<1@x>"])])
def test_login_and_cram_md5_where_plain_is_not_offered(offer: bytes, prompts: list[bytes]) -> None:
    with ScriptedServer({"EHLO": offering(offer), "AUTH": challenge(*prompts)}) as server:
        send_one(SmtpServer("127.0.0.1", server.port, "none", user="anna", password="secret"))
    assert server.messages == [MESSAGE]


@pytest.mark.parametrize(
    ("answer", "code", "measure"),
    [
        (b"535 5.7.8 wrong password\r\n", 535, "pause"),
        (b"534 5.7.9 another way, please\r\n", 534, "pause"),
        (say_and_hang_up(b"535 5.7.8 wrong password\r\n"), 535, "pause"),
        (b"454 4.7.0 not now\r\n", 454, "delay"),
        (b"421 4.3.2 going down\r\n", 421, "delay"),
        (b"250 ok\r\n", 250, "delay"),
        (Peer.hang_up, NO_REPLY, "delay"),
    ],
)
@pytest.mark.parametrize("offer", [b"AUTH PLAIN", b"AUTH LOGIN"])
def test_f6a_a_refused_login_is_the_mailboxes_fault(answer: Answer, code: int, measure: str, offer: bytes) -> None:
    with ScriptedServer({"EHLO": offering(offer, b"AUTH PLAIN LOGIN"), "AUTH": answer}) as server:
        error = refusal(SmtpServer("127.0.0.1", server.port, "none", user="anna", password="secret"))
        assert (error.phase, error.code) == (Phase.AUTH, code)
        assert judge(error.phase, error.code, error.enhanced) is Verdict.MAILBOX_FAULT
        assert mailbox_measure(error.phase, error.code, error.enhanced) == measure
    assert server.verbs() == ["EHLO", "AUTH"]


@pytest.mark.parametrize(
    ("offer", "answer", "cause"),
    [
        ([], b"235 ok\r\n", Cause.NO_AUTH),
        ([b"AUTH GSSAPI"], b"235 ok\r\n", Cause.NO_AUTH),
        ([b"AUTH LOGIN"], challenge(b"Password:"), Cause.NOT_PRINTABLE),
        ([b"AUTH CRAM-MD5"], b"334 A\r\n", Cause.GARBAGE),
    ],
)
def test_a_login_that_cannot_be_made_says_why(offer: list[bytes], answer: Answer, cause: Cause) -> None:
    with ScriptedServer({"EHLO": offering(*offer), "AUTH": answer}) as server:
        error = refusal(SmtpServer("127.0.0.1", server.port, "none", user="anna", password=PASSWORD))
        assert (error.phase, error.code, error.cause) == (Phase.AUTH, NO_REPLY, cause)


@pytest.mark.parametrize(("user", "password", "field"), [("anna", None, "password"), (None, "secret", "user")])
def test_a_user_without_a_password_is_refused(user: str | None, password: str | None, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        SmtpServer("127.0.0.1", 25, "none", user=user, password=password)
    assert caught.value.field == field


def test_neither_settings_nor_errors_show_the_login_or_a_servers_words() -> None:
    with ScriptedServer({"EHLO": offering(b"AUTH PLAIN"), "AUTH": b"535 5.7.8 go away, anna\r\n"}) as server:
        settings = SmtpServer("127.0.0.1", server.port, "none", user="anna", password=PASSWORD)
        error = refusal(settings)
    for shown in (repr(settings), str(error), repr(error)):
        assert "anna" not in shown
        assert PASSWORD not in shown
    assert error.text == "5.7.8 go away, anna"
    assert error.__suppress_context__


# A server that is not there, or not what it seems


@pytest.mark.parametrize(
    ("answers", "code", "cause"),
    [
        ({"GREETING": b"554 5.3.2 no service\r\n"}, 554, Cause.REFUSED),
        ({"GREETING": b"HTTP/1.1 400 Bad Request\r\n"}, NO_REPLY, Cause.GARBAGE),
        ({"GREETING": Peer.wait_until_client_leaves}, NO_REPLY, Cause.TIMED_OUT),
        ({"GREETING": trickle(b"220 slowly but surely\r\n")}, NO_REPLY, Cause.TIMED_OUT),
        ({"EHLO": b"502 5.5.1 what?\r\n"}, 502, Cause.REFUSED),
        ({"EHLO": b"250-a\r\n251 b\r\n"}, NO_REPLY, Cause.GARBAGE),
        ({"EHLO": Peer.reset}, NO_REPLY, Cause.RESET),
    ],
)
def test_a_server_that_does_not_begin_well_is_unavailable(answers: dict[str, Answer], code: int, cause: Cause) -> None:
    with ScriptedServer(answers) as server:
        error = refusal(SmtpServer("127.0.0.1", server.port, "none", timeout_s=GRACE_S))
        assert (error.phase, error.code, error.cause) == (Phase.CONNECT, code, cause)


def test_a_port_where_nobody_listens_is_unavailable() -> None:
    with ScriptedServer() as server:
        port = server.port
    error = refusal(SmtpServer("127.0.0.1", port, "none"))
    assert (error.phase, error.cause) == (Phase.CONNECT, Cause.UNREACHABLE)
    assert isinstance(error.__cause__, ConnectionRefusedError)


@pytest.mark.parametrize("host", ["", "a" * 64 + ".invalid", "no such host.invalid"])
def test_a_host_that_is_none_is_unavailable(host: str) -> None:
    assert refusal(SmtpServer(host, 1, "none", timeout_s=GRACE_S)).phase is Phase.CONNECT
