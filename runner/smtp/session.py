"""One mail at a time through one connection, the final dot held back until the ledger says it may go.

The life of a session: `open`, then for each mail `hold` (MAIL, RCPT, DATA, the whole body) and `dot`, at last `quit`.
Until `dot` nothing is delivered, whatever fails, and `drop` in between leaves it so. From the dot on only a
well-formed reply is an answer; everything else is `InDoubt`.
"""

from __future__ import annotations

import re
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, NoReturn, Self

from domain.replies import NO_REPLY, SERVICE_CLOSING, Phase, Verdict, judge
from runner.smtp.connection import Connection, connect
from runner.smtp.errors import Cause, DefiniteFailure, InDoubt, ReplyBroken
from runner.smtp.reply import Reply
from runner.smtp.server import SmtpServer

QUIT_TIMEOUT_S: Final = 2.0  # the mails are sent: politeness only
LAST_WORDS_TIMEOUT_S: Final = 1.0  # for why a server hung up on us, if it said so

MAIL_ACCEPTED: Final = frozenset({250})
RECIPIENT_ACCEPTED: Final = frozenset({250, 251, 252})
GO_AHEAD: Final = frozenset({354})

_NO_ADDRESS = re.compile(r"[\x00-\x20\x7f-\x9f<>\ud800-\udfff]")
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, no waiting


@dataclass(frozen=True, slots=True)
class Envelope:
    """From whom and to whom, as the server is told."""

    sender: str = field(repr=False)
    recipient: str = field(repr=False)


class _State(Enum):
    READY = auto()  # for the next mail
    HELD = auto()  # DATA has begun: there is no way back but the dot or dropping the connection
    CLOSED = auto()


class SmtpSession:
    """A dialogue with one server. Not for several threads at once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._state = _State.READY

    @classmethod
    def open(cls, server: SmtpServer) -> Self:
        """Connect, encrypt and log in. Raises `ServerUnavailable`."""
        return cls(connect(server))

    def offers(self, extension: str) -> bool:
        """Tell whether the server offers an extension, as of the EHLO that counts."""
        return self._connection.has_extn(extension)

    @property
    def usable(self) -> bool:
        """Whether another `hold` may be tried: False too when the server has hung up or spoken unasked meanwhile."""
        return self._state is _State.READY and self._is_silent()

    def hold(self, envelope: Envelope, message: bytes) -> None:
        """Bring a message, its lines ended by CRLF, to the server up to the dot. Raises `DefiniteFailure`.

        A refusal to MAIL, RCPT or DATA leaves the session `usable`, if the server goes along with RSET.
        """
        self._require(_State.READY)
        _check_message(message)
        _check_addresses(envelope)
        options = self._mail_options(envelope, message)
        self._command(Phase.MAIL, f"MAIL FROM:<{envelope.sender}>{options}", MAIL_ACCEPTED)
        self._command(Phase.RCPT, f"RCPT TO:<{envelope.recipient}>", RECIPIENT_ACCEPTED)
        self._command(Phase.DATA, "DATA", GO_AHEAD)
        self._state = _State.HELD
        self._write_body(message)

    def dot(self) -> Reply:
        """End the message and return the server's answer: a well-formed 2xx, 4xx or 5xx. Raises `InDoubt`.

        Raises `DefiniteFailure` when the server had hung up or spoken before: then the dot is not written at all.
        """
        self._require(_State.HELD)
        if not self._is_silent():
            self._give_up_before_the_dot()
        self._state = _State.CLOSED  # whatever interrupts us now, no second dot; a good answer opens it again
        try:
            self._send(b".\r\n")
        except OSError as error:
            self.drop()
            raise InDoubt(Cause.WRITE_FAILED) from error
        return self._answer_to_the_dot()

    def drop(self) -> None:
        """Close the connection at once, without the dot. Never raises."""
        with suppress(OSError):
            if self._state is _State.HELD:
                # A reset and no orderly end, which a careless server might take for the end of the message.
                self._connection.wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._state = _State.CLOSED
        with suppress(OSError):
            self._connection.close()

    def quit(self) -> None:
        """Take leave and close. Never raises, whatever the server does, and waits only briefly."""
        if self._state is _State.READY:
            with suppress(OSError, ReplyBroken):
                self._connection.wire.settimeout(QUIT_TIMEOUT_S)
                self._connection.wire.sendall(b"QUIT\r\n")
                self._read(QUIT_TIMEOUT_S)
        self.drop()

    def _command(self, phase: Phase, line: str, expected: frozenset[int]) -> None:
        try:
            reply = self._exchange(line)
        except ReplyBroken as broken:
            self.drop()
            raise _lost(phase, broken.cause) from broken
        if reply.code not in expected:
            self._start_over(reply)
            raise _refused(phase, reply)

    def _exchange(self, line: str) -> Reply:
        """Write one command and read its one reply: more than one is out of step, and would answer the wrong thing."""
        with suppress(OSError):  # what a server said before it hung up tells more than the broken pipe
            self._send(f"{line}\r\n".encode())
        reply = self._read(self._server.timeout_s)
        if self._connection.reader.has_unread():
            raise ReplyBroken(Cause.GARBAGE)
        return reply

    def _start_over(self, refusal: Reply) -> None:
        """Reset after a refusal, so that the next mail finds a clean session, or close."""
        if refusal.code == SERVICE_CLOSING or not 400 <= refusal.code <= 599:
            self.drop()
            return
        try:
            reset = self._exchange("RSET").code
        except ReplyBroken:
            reset = NO_REPLY
        if reset not in MAIL_ACCEPTED:
            self.drop()

    def _write_body(self, message: bytes) -> None:
        try:
            self._send(stuffed(message))
        except OSError as error:
            raise self._last_words(Cause.WRITE_FAILED) from error

    def _last_words(self, otherwise: Cause) -> DefiniteFailure:
        """Close, and return what the server gave as its reason, or `otherwise`."""
        try:
            return _refused(Phase.DATA, self._read(LAST_WORDS_TIMEOUT_S))
        except ReplyBroken:
            return _lost(Phase.DATA, otherwise)
        finally:
            self.drop()

    def _give_up_before_the_dot(self) -> NoReturn:
        failure = self._last_words(Cause.CLOSED)
        if judge(Phase.DOT, failure.code, failure.enhanced) is Verdict.ACCEPTED:
            # A server that thanks for a mail it has not been given whole: do not rely on what it did.
            raise InDoubt(Cause.GARBAGE)
        raise failure

    def _answer_to_the_dot(self) -> Reply:
        try:
            reply = self._read(self._server.dot_timeout_s)
        except ReplyBroken as broken:
            self.drop()
            raise InDoubt(broken.cause) from broken
        if judge(Phase.DOT, reply.code, reply.enhanced) is Verdict.IN_DOUBT:
            self.drop()
            raise InDoubt(Cause.GARBAGE)
        self._state = _State.READY
        if reply.code == SERVICE_CLOSING or self._connection.reader.has_unread():
            self.drop()
        return reply

    def _mail_options(self, envelope: Envelope, message: bytes) -> str:
        """Return the options of MAIL. Raises `DefiniteFailure` where the server cannot take such a mail."""
        eight_bit = not message.isascii()
        utf8_sender = not envelope.sender.isascii()
        utf8 = utf8_sender or not envelope.recipient.isascii() or (eight_bit and _has_utf8_header(message))
        if utf8 and not self.offers("smtputf8"):
            # The sender's own address fails every mail of the mailbox; anything else is this mail's matter.
            raise _unsendable(Cause.NO_SMTPUTF8, Verdict.MAILBOX_FAULT if utf8_sender else Verdict.PERMANENT)
        if eight_bit and not (self.offers("8bitmime") or self.offers("smtputf8")):
            raise _unsendable(Cause.NO_8BITMIME)
        options = self._size_option(len(message))
        if eight_bit and self.offers("8bitmime"):
            options += " BODY=8BITMIME"
        return f"{options} SMTPUTF8" if utf8 or (eight_bit and not self.offers("8bitmime")) else options

    def _size_option(self, octets: int) -> str:
        if not self.offers("size"):
            return ""
        limit = self._connection.esmtp_features["size"].strip()
        if limit.isdecimal() and 0 < int(limit) < octets:
            raise _unsendable(Cause.TOO_LARGE)
        return f" SIZE={octets}"

    def _is_silent(self) -> bool:
        reader = self._connection.reader
        return reader.poll(self._connection.wire) and not reader.has_unread()

    def _send(self, octets: bytes) -> None:
        wire = self._connection.wire
        wire.settimeout(self._server.timeout_s)
        wire.sendall(octets)

    def _read(self, timeout_s: float) -> Reply:
        return self._connection.reader.read(self._connection.wire, timeout_s)

    def _require(self, state: _State) -> None:
        if self._state is not state:
            raise RuntimeError(f"the SMTP session is {self._state.name}, it would have to be {state.name}")

    @property
    def _server(self) -> SmtpServer:
        return self._connection.server


def stuffed(message: bytes) -> bytes:
    """Return the message as DATA carries it: leading dots doubled, ended by CRLF, without the final dot.

    >>> stuffed(b".a\\r\\n..\\r\\nb")
    b'..a\\r\\n...\\r\\nb\\r\\n'
    """
    body = message.replace(b"\r\n.", b"\r\n..")
    if body.startswith(b"."):
        body = b"." + body
    return body if body.endswith(b"\r\n") else body + b"\r\n"


def _check_message(message: bytes) -> None:
    """Refuse a bare CR or LF: servers differ on whether `LF . LF` ends a message, and that smuggles a second one."""
    line_ends = message.count(b"\r\n")
    if message.count(b"\n") != line_ends or message.count(b"\r") != line_ends:
        raise _unsendable(Cause.BAD_LINE_ENDS)


def _check_addresses(envelope: Envelope) -> None:
    if _NO_ADDRESS.search(envelope.sender):
        raise _unsendable(Cause.BAD_ADDRESS, Verdict.MAILBOX_FAULT)
    if not envelope.recipient or _NO_ADDRESS.search(envelope.recipient):
        raise _unsendable(Cause.BAD_ADDRESS)


def _has_utf8_header(message: bytes) -> bool:
    return not message.partition(b"\r\n\r\n")[0].isascii()


def _unsendable(cause: Cause, verdict: Verdict = Verdict.PERMANENT) -> DefiniteFailure:
    return DefiniteFailure(Phase.LOCAL, verdict=verdict, cause=cause)


def _refused(phase: Phase, reply: Reply) -> DefiniteFailure:
    verdict = judge(phase, reply.code, reply.enhanced)
    return DefiniteFailure(phase, reply.code, reply.enhanced, verdict=verdict, cause=Cause.REFUSED, text=reply.text)


def _lost(phase: Phase, cause: Cause) -> DefiniteFailure:
    return DefiniteFailure(phase, verdict=judge(phase, NO_REPLY, None), cause=cause)
