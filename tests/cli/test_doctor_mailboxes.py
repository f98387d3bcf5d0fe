"""`sendledger doctor` at the mail servers: a real dialogue up to the login, and words for whatever goes wrong in it."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from tests.cli.desk import DONE, FAILED, SENDER, Desk
from tests.cli.test_doctor import doctor
from tests.smtp.scripted import EHLO, ScriptedServer, in_turn

ELSEWHERE = "192.0.2.1"  # TEST-NET-1: no machine has this address
LOGIN = ("--smtp-user", "anna", "--smtp-password", "env:SALES_PW")
WITH_LOGIN = EHLO.replace(b"250 SIZE", b"250-SIZE") + b"250 AUTH PLAIN\r\n"
WITH_TLS = EHLO.replace(b"250 SIZE", b"250-SIZE") + b"250 STARTTLS\r\n"
PASSWORD = "correct-horse-battery"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(autouse=True)
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine trusts the tests' authority, and knows the password."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SALES_PW", PASSWORD)


@pytest.fixture(autouse=True)
def ledger(desk: Desk) -> None:
    desk.ledger()


def certificate(authority: trustme.CA, name: str = "127.0.0.1", *years: int) -> ssl.SSLContext:
    """A server's TLS context with a certificate of this authority, valid from one year to another."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    first, last = (datetime(year, 1, 1, tzinfo=UTC) for year in years or (2020, 2100))
    authority.issue_cert(name, not_before=first, not_after=last).configure_cert(context)
    return context


def mailbox(desk: Desk, port: int, *options: str, tls: str = "none", host: str = "127.0.0.1") -> None:
    server = ("--smtp-host", host, "--smtp-port", str(port), "--smtp-tls", tls)
    desk.done("mailbox", "add", "sales", "--from", SENDER, *server, *options)


def told(desk: Desk, verdict: str = "FAIL") -> str:
    """What is found of the mailbox, and what mends it."""
    code, found = doctor(desk)
    assert code == (FAILED if verdict == "FAIL" else DONE)
    row = found["mailbox sales"]
    assert row["verdict"] == verdict, row
    assert row["mend"] or verdict == "OK"
    assert PASSWORD not in str(found)
    return f"{row['found']} {row['mend']}".strip()


def test_a_login_that_works_ends_before_any_mail(desk: Desk) -> None:
    with ScriptedServer({"EHLO": WITH_LOGIN}) as server:
        mailbox(desk, server.port, *LOGIN)
        assert told(desk, "OK") == f"127.0.0.1:{server.port}: no encryption, logged in"
    assert server.verbs() == ["EHLO", "AUTH", "QUIT"]


def test_a_refused_login_is_told_by_its_code_and_tried_once(desk: Desk) -> None:
    refusal = f"535 5.7.8 {PASSWORD} is wrong, anna\r\n".encode()
    with ScriptedServer({"EHLO": WITH_LOGIN, "AUTH": refusal}) as server:
        mailbox(desk, server.port, *LOGIN)
        said = told(desk)
    assert "auth: the server refused with 535 5.7.8. Check user and password: `sendledger mailbox set sales" in said
    assert server.verbs().count("AUTH") == 1


def test_a_password_that_is_not_there_is_told_without_asking_the_server(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SALES_PW")
    with ScriptedServer() as server:
        mailbox(desk, server.port, *LOGIN)
        assert told(desk) == "the environment variable SALES_PW is not set. Set it and start again."
    assert server.connections == 0


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_certificate_in_order_passes(desk: Desk, authority: trustme.CA, tls: str) -> None:
    ehlo = in_turn(WITH_TLS, EHLO) if tls == "starttls" else EHLO
    with ScriptedServer({"EHLO": ehlo}, tls=certificate(authority), implicit=tls == "implicit") as server:
        mailbox(desk, server.port, tls=tls)
        assert f"{tls}, certificate valid, no login" in told(desk, "OK")


@pytest.mark.parametrize(
    ("name", "years", "words"),
    [
        ("127.0.0.1", (2020, 2021), "certificate has expired"),
        ("mail.example.com", (), "IP address mismatch, certificate is not valid for '127.0.0.1'"),
    ],
)
def test_a_certificate_that_is_not_in_order_is_told_why(
    desk: Desk, authority: trustme.CA, name: str, years: tuple[int, ...], words: str
) -> None:
    context = certificate(authority, name, *years)
    with ScriptedServer({"EHLO": WITH_TLS}, tls=context) as server:
        mailbox(desk, server.port, tls="starttls")
        found = told(desk)
    assert f"tls: no verified TLS connection came about ({words})." in found
    assert "needs a valid certificate that names 127.0.0.1" in found


def test_a_server_without_starttls_is_told_which_other_way_there_is(desk: Desk) -> None:
    with ScriptedServer() as server:
        mailbox(desk, server.port, tls="starttls")
        said = told(desk)
    assert "tls: the server does not offer STARTTLS." in said
    assert "--smtp-tls implicit --smtp-port 465" in said


def test_tls_at_a_port_that_speaks_plainly_is_told_as_such(desk: Desk) -> None:
    with ScriptedServer() as server:
        mailbox(desk, server.port, tls="implicit")
        said = told(desk)
    assert "(wrong version number)" in said
    assert "--smtp-tls starttls --smtp-port 587" in said


def test_a_port_where_nobody_listens_is_told(desk: Desk) -> None:
    with ScriptedServer() as server:
        port = server.port
    mailbox(desk, port)
    said = told(desk)
    assert f"127.0.0.1:{port}: connect: the server cannot be reached. Is it up, and are host and port right?" in said


def test_in_simulated_time_no_other_machine_is_asked(desk: Desk) -> None:
    mailbox(desk, 587, tls="starttls", host=ELSEWHERE)
    assert "A ledger with simulated time sends to this machine only." in told(desk)


def test_a_server_that_takes_ascii_only_is_a_warning(desk: Desk) -> None:
    with ScriptedServer({"EHLO": b"250 scripted\r\n"}) as server:
        mailbox(desk, server.port)
        assert "it takes ASCII only" in told(desk, "WARN")


def test_a_paused_mailbox_is_shown_as_such_and_tried_all_the_same(desk: Desk) -> None:
    refusal = in_turn(b"535 5.7.8 wrong\r\n", b"235 2.7.0 welcome\r\n")
    with ScriptedServer({"EHLO": WITH_LOGIN, "AUTH": refusal}) as server:
        mailbox(desk, server.port, *LOGIN)
        desk.done("mailbox", "pause", "sales", "--reason", "the provider moves house")
        first, second = told(desk, "WARN"), told(desk, "WARN")
    assert first.startswith("paused: the provider moves house; 127.0.0.1:")
    assert "the server refused with 535 5.7.8. Check user and password" in first
    assert second.endswith("no encryption, logged in `sendledger mailbox resume sales`.")


def test_many_mailboxes_are_each_a_row_in_their_order(desk: Desk) -> None:
    names = [f"box-{number:02}" for number in range(12)]
    with ScriptedServer() as server:
        for name in names:
            desk.mailbox(server.port, name=name)
        found = doctor(desk)[1]
    assert [check for check in found if check.startswith("mailbox")] == [f"mailbox {name}" for name in names]
    assert server.connections == len(names)
