"""A server's reply, and the one strict reader of replies: it never takes a part for the whole.

The standard library's reader turns a reply cut to `25`, an over-long line and a time-out into ordinary codes and
errors; here each is a `ReplyBroken` with its cause, and a server that trickles bytes cannot outlast the deadline.
"""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from runner.smtp.errors import Cause, ReplyBroken

MAX_LINE_OCTETS: Final = 4096  # RFC 5321 allows 512; real servers exceed it
MAX_LINES: Final = 128
READ_OCTETS: Final = 4096

_LINE = re.compile(rb"([2-5][0-5][0-9])(?:([ -])([^\r]*))?\r?\n")
_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?:\s|$)", re.ASCII)
_QUEUE_ID = re.compile(
    r"(?:\bqueued (?:mail )?as\s+|\bid=)<?([A-Z0-9][A-Z0-9._-]{2,63})(?=[\s>;,)\]]|$)", re.IGNORECASE | re.ASCII
)


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply. Its text may quote an address: keep it beside the contact, never log it."""

    code: int
    enhanced: str | None
    text: str = field(repr=False)

    @property
    def queue_id(self) -> str | None:
        """Return the id under which the server filed the mail, where it says so in a form we know."""
        found = _QUEUE_ID.search(self.text)
        return found[1] if found else None


class ReplyReader:
    """Reads replies from one connection. What the server sent beyond a reply stays here, to be noticed."""

    def __init__(self) -> None:
        self._unread = bytearray()

    def has_unread(self) -> bool:
        """Tell whether bytes came that no command asked for."""
        return bool(self._unread)

    def read(self, sock: socket.socket, timeout_s: float) -> Reply:
        """Return the next reply, or raise `ReplyBroken`: the whole reply must come before the time is over."""
        deadline = monotonic() + timeout_s
        lines: list[bytes] = []
        code = b""
        while len(lines) < MAX_LINES:
            found = _LINE.fullmatch(self._line(sock, deadline, begun=bool(lines)))
            if found is None or (code and found[1] != code):
                break
            code = found[1]
            lines.append(found[3] or b"")
            if found[2] != b"-":
                return _reply(code, lines)
        raise ReplyBroken(Cause.GARBAGE)

    def poll(self, sock: socket.socket) -> bool:
        """Take in what has already arrived, without waiting. False when the server has closed the connection.

        A read, not `select`: under TLS the socket is readable for records that hold no reply.
        """
        sock.settimeout(0)
        try:
            received = sock.recv(READ_OCTETS)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            return False
        self._unread += received
        return bool(received)

    def _line(self, sock: socket.socket, deadline: float, *, begun: bool) -> bytes:
        while (end := self._unread.find(b"\n", 0, MAX_LINE_OCTETS)) < 0:
            if len(self._unread) >= MAX_LINE_OCTETS:
                raise ReplyBroken(Cause.GARBAGE)
            self._receive(sock, deadline, begun=begun)
        line = bytes(self._unread[: end + 1])
        del self._unread[: end + 1]
        return line

    def _receive(self, sock: socket.socket, deadline: float, *, begun: bool) -> None:
        remaining = deadline - monotonic()
        if remaining <= 0:
            raise ReplyBroken(Cause.TIMED_OUT)
        sock.settimeout(remaining)
        try:
            received = sock.recv(READ_OCTETS)
        except TimeoutError:
            raise ReplyBroken(Cause.TIMED_OUT) from None
        except OSError as error:
            raise ReplyBroken(Cause.RESET) from error
        if not received:
            raise ReplyBroken(Cause.CUT if begun or self._unread else Cause.CLOSED)
        self._unread += received


def enhanced_code(code: int, text: str) -> str | None:
    """Return the enhanced status code a text begins with, if it fits the reply code.

    >>> enhanced_code(550, "5.1.1 no such user"), enhanced_code(250, "5.1.1 odd"), enhanced_code(250, "ok")
    ('5.1.1', None, None)
    """
    found = _ENHANCED.match(text)
    return found[0].strip() if found and int(found[1]) == code // 100 else None


def _reply(code: bytes, lines: list[bytes]) -> Reply:
    text = b"\n".join(lines).decode("utf-8", "replace").replace("\0", "\ufffd")  # PostgreSQL keeps no NUL in a text
    return Reply(int(code), enhanced_code(int(code), text), text)
