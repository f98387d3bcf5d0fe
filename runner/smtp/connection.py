"""A connection made ready for mail: TCP, greeting, EHLO, TLS, login. What fails here costs no lead anything.

The standard library's client speaks up to here, with our reader of replies in place of its own.
"""

from __future__ import annotations

import smtplib
import socket
import ssl
from base64 import b64encode
from functools import cache
from typing import Final

from domain.replies import Phase
from runner.smtp.errors import Cause, ReplyBroken, ServerUnavailable
from runner.smtp.reply import ReplyReader, enhanced_code
from runner.smtp.server import SmtpServer, dial, encrypt

READY: Final = 220
LOGGED_IN: Final = 235
DONE: Final = 250


class Connection(smtplib.SMTP):
    """One connection to one server, from `establish` on ready for MAIL."""

    def __init__(self, server: SmtpServer) -> None:
        self.server = server
        self.reader = ReplyReader()
        self.phase = Phase.CONNECT
        super().__init__(local_hostname=_own_name(), timeout=server.timeout_s)

    @property
    def wire(self) -> socket.socket:
        """The socket, while there is one."""
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected("the connection is closed")
        return self.sock

    def getreply(self) -> tuple[int, bytes]:
        """Read one reply strictly; the standard library's methods call this."""
        reply = self.reader.read(self.wire, self.server.timeout_s)
        return reply.code, reply.text.encode()

    def establish(self) -> None:
        """Connect, greet, encrypt and log in, as the server's settings say."""
        self.sock = dial(self.server)
        if self.server.tls == "implicit":
            self._encrypt()
        self._expect(READY, self.getreply())
        self._expect(DONE, self.ehlo())
        if self.server.tls == "starttls":
            self._start_tls()
        if self.server.user is not None and self.server.password is not None:
            self._log_in(self.server.user, self.server.password)

    def _start_tls(self) -> None:
        self.phase = Phase.TLS
        if not self.has_extn("starttls"):
            raise ServerUnavailable(self.phase, cause=Cause.NO_STARTTLS)
        self._expect(READY, self.docmd("STARTTLS"))
        if self.reader.has_unread():
            # Written into the stream before TLS began: read afterwards, it would pass for the server's word.
            raise ReplyBroken(Cause.INJECTED)
        self._encrypt()
        self._expect(DONE, self.ehlo())

    def _encrypt(self) -> None:
        self.phase = Phase.TLS
        self.sock = encrypt(self.server, self.wire)
        self.phase = Phase.CONNECT

    def _log_in(self, user: str, password: str) -> None:
        """Log in by the first way both know, once: a second try with the same password only nears a lock-out."""
        self.phase = Phase.AUTH
        offered = self.esmtp_features.get("auth", "").upper().split()
        if "PLAIN" in offered:
            # Not by the standard library, which can only send ASCII passwords.
            secret = b64encode(f"\0{user}\0{password}".encode()).decode()
            self._expect(LOGGED_IN, self.docmd("AUTH", f"PLAIN {secret}"))
            return
        self.user, self.password = user, password
        if "CRAM-MD5" in offered:
            self.auth("CRAM-MD5", self.auth_cram_md5)
        elif "LOGIN" in offered:
            self.auth("LOGIN", self.auth_login)
        else:
            raise ServerUnavailable(self.phase, cause=Cause.NO_AUTH)

    def _expect(self, code: int, answer: tuple[int, bytes]) -> None:
        if answer[0] != code:
            raise smtplib.SMTPResponseException(*answer)


def connect(server: SmtpServer) -> Connection:
    """Return a connection ready for MAIL, or raise `ServerUnavailable`."""
    connection = Connection(server)
    try:
        connection.establish()
    except BaseException as error:
        connection.close()
        if _may_tell_secrets(error):
            raise _unavailable(connection.phase, error) from None
        if isinstance(error, OSError | ReplyBroken):
            raise _unavailable(connection.phase, error) from error
        raise
    return connection


def _may_tell_secrets(error: BaseException) -> bool:
    """Tell whether an error quotes the server (the standard library's client) or what was to be sent (encoding)."""
    return isinstance(error, smtplib.SMTPException | ValueError) and not isinstance(error, ssl.SSLError)


def _unavailable(phase: Phase, error: BaseException) -> ServerUnavailable:
    if isinstance(error, smtplib.SMTPResponseException):
        code, said = error.smtp_code, error.smtp_error
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
        return ServerUnavailable(phase, code, enhanced_code(code, text), cause=Cause.REFUSED, text=text)
    return ServerUnavailable(phase, cause=error.cause if isinstance(error, ReplyBroken) else _cause(phase, error))


def _cause(phase: Phase, error: BaseException) -> Cause:
    match error:
        case smtplib.SMTPServerDisconnected():
            return Cause.WRITE_FAILED
        case UnicodeError() if phase is Phase.AUTH:
            return Cause.NOT_PRINTABLE
        case smtplib.SMTPException() | ValueError() if phase is Phase.AUTH:
            return Cause.GARBAGE  # a challenge that is not Base64, or challenges without end
        case TimeoutError():
            return Cause.TIMED_OUT
        case _:
            return Cause.TLS_FAILED if phase is Phase.TLS else Cause.UNREACHABLE


@cache
def _own_name() -> str:
    """Return the name to greet with, looked up once: without a name server each look-up takes seconds."""
    name = socket.getfqdn()
    return name if "." in name and name.isascii() else "[127.0.0.1]"
