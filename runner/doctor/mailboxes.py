"""Each mailbox logs in at its server as for a mail, and leaves again before MAIL."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from domain.errors import InvalidInput
from domain.replies import Phase
from projections import queries
from runner.doctor.findings import Finding, Verdict, fail, ok, warn
from runner.sending.servers import Servers
from runner.smtp.errors import Cause, ServerUnavailable
from runner.smtp.server import SmtpServer
from runner.smtp.session import SmtpSession
from runner.workplace import Workplace

TIMEOUT_S = 15.0
"""For each answer: whoever asks the doctor sits and waits."""
AT_ONCE = 8
"""Mailboxes that are tried at a time."""


def mailboxes(place: Workplace, *, smtp: bool) -> Iterator[Finding]:
    """One row each. In simulated time a server on another machine is never asked."""
    with place.views() as views:
        names = [row["name"] for row in queries.mailboxes(views)]
    servers = Servers(place.ledger, loopback_only=place.simulated)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(partial(_mailbox, place, servers, smtp), names)


def _mailbox(place: Workplace, servers: Servers, smtp: bool, name: str) -> Finding:
    found = _asked(name, servers) if smtp else ok(f"mailbox {name}", "its server was not asked")
    with place.ledger.mailbox(name) as mailbox:
        paused, delayed_until = mailbox.paused, mailbox.delayed_until
    if paused is not None:
        mend = f"{found.mend} Then `sendledger mailbox resume {name}`.".strip().removeprefix("Then ")
        return warn(found.check, f"paused: {paused}; {found.found}", mend)
    if delayed_until is not None and delayed_until > place.now() and found.verdict is Verdict.OK:
        mend = f"It is tried again by itself; `sendledger mailbox resume {name}` tries at once."
        return warn(found.check, f"delayed until {delayed_until:%Y-%m-%d %H:%M:%S} UTC; {found.found}", mend)
    return found


def _asked(name: str, servers: Servers) -> Finding:
    check = f"mailbox {name}"
    try:
        server = replace(servers.server(name), timeout_s=TIMEOUT_S)
    except InvalidInput as error:
        return fail(check, error.problem, error.mend)
    where = f"{server.host}:{server.port}"
    try:
        session = SmtpSession.open(server)
    except ServerUnavailable as error:
        return fail(check, f"{where}: {_problem(error)}.", _mend(name, server, error))
    takes_utf8 = session.offers("8bitmime") or session.offers("smtputf8")
    session.quit()
    login = "logged in" if server.user is not None else "no login"
    tls = "no encryption" if server.tls == "none" else f"{server.tls}, certificate valid"
    if not takes_utf8:
        problem = f"{where}: {tls}, {login}; it takes ASCII only: mails with other letters fail."
        return warn(check, problem, "Use a server that offers 8BITMIME.")
    return ok(check, f"{where}: {tls}, {login}")


def _problem(error: ServerUnavailable) -> str:
    """Where and why it ended, without the server's words."""
    cause = error.__cause__
    reply = " ".join(str(part) for part in (error.code, error.enhanced) if part)
    told = str(error.cause) + (f" with {reply}" if reply else "")
    if isinstance(cause, ssl.SSLCertVerificationError):
        told += f" ({cause.verify_message.rstrip('.')})"
    elif isinstance(cause, ssl.SSLError) and cause.reason:
        told += f" ({cause.reason.lower().replace('_', ' ')})"
    return f"{error.phase}: {told}"


def _mend(name: str, server: SmtpServer, error: ServerUnavailable) -> str:
    change = f"`sendledger mailbox set {name}"
    match error.cause:
        case Cause.NOT_LOOPBACK:
            return "A ledger with simulated time sends to this machine only."
        case Cause.PLAINTEXT:
            return f"{change} --smtp-tls starttls`"
        case Cause.NO_STARTTLS:
            return f"If the port wants TLS from the first octet: {change} --smtp-tls implicit --smtp-port 465`."
        case Cause.TLS_FAILED if isinstance(error.__cause__, ssl.SSLCertVerificationError):
            return f"The server needs a valid certificate that names {server.host}; or {change} --smtp-host …`."
        case Cause.TLS_FAILED:
            return f"If the port wants STARTTLS: {change} --smtp-tls starttls --smtp-port 587`."
        case Cause.REFUSED | Cause.NO_AUTH | Cause.NOT_PRINTABLE if error.phase is Phase.AUTH:
            return f"Check user and password: {change} --smtp-user … --smtp-password env:NAME`."
        case Cause.UNREACHABLE | Cause.TIMED_OUT | Cause.CLOSED:
            return f"Is it up, and are host and port right? {change} --smtp-host … --smtp-port …`"
        case _:
            return "The mail server's own log says more."
