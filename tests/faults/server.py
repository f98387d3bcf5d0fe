"""A mail server in a process of its own that writes down each Message-ID it accepts, with fsync, before it answers.

So a client that vanishes after its final dot cannot hide an accepted mail. A recipient's name says how it is treated.
"""

from __future__ import annotations

import os
import re
import socket
from collections import Counter
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Barrier, BrokenBarrierError, Lock, Thread

from tests.faults.processes import CONTEXT, TIMEOUT_S, ended, started

EHLO = b"250-strict\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 1000000\r\n"
OK = b"250 2.0.0 Ok\r\n"
NO_SUCH_USER = b"550 5.1.1 No such user\r\n"
GREYLISTED = b"451 4.7.1 Come back later\r\n"
NOT_NOW = b"451 4.3.0 Not now\r\n"
NEVER = b"554 5.6.0 Never\r\n"

TOGETHER = 10
"""So many mails to a recipient of this name are answered together."""

_MESSAGE_ID = re.compile(rb"^message-id:\s*(<[^>]+>)", re.IGNORECASE | re.MULTILINE)
_RECIPIENT = re.compile(rb"<([a-z]+)")


class Server:
    """The server, seen from the test. `with Server(file) as server:` serves on `server.port` until the block ends."""

    def __init__(self, accepted: Path) -> None:
        self._line, theirs = CONTEXT.Pipe()
        self._process = started(serve, accepted, theirs)
        theirs.close()
        self.port = self._hear()

    def settle(self) -> int:
        """Wait until every connection has ended: then what was written down is all there is. How many mails at most
        were held at a time."""
        self._line.send("settle")
        return self._hear()

    def close(self) -> None:
        """No more connections."""
        self._line.close()
        ended(self._process)

    def _hear(self) -> int:
        assert self._line.poll(TIMEOUT_S), "a connection to the server stays open"
        return int(self._line.recv())


def serve(accepted: Path, line: Connection) -> None:
    """The work of the server's process: until the test hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))
    house = _House(accepted)
    Thread(target=house.receive, args=(listener,), daemon=True).start()
    line.send(listener.getsockname()[1])
    with suppress(EOFError):
        while line.recv():
            house.wait_until_empty()
            line.send(house.most_held)


class _House:
    """All dialogues of one server."""

    def __init__(self, accepted: Path) -> None:
        self._accepted = accepted
        self._writing = Lock()
        self._dialogues: list[Thread] = []
        self._held = 0
        self._together = Barrier(TOGETHER)
        self.most_held = 0
        self.tries: Counter[bytes] = Counter()

    def receive(self, listener: socket.socket) -> None:
        while True:
            sock, _ = listener.accept()
            dialogue = Thread(target=_Dialogue(self, sock).hold, daemon=True)
            self._dialogues.append(dialogue)
            dialogue.start()

    def wait_until_empty(self) -> None:
        for dialogue in list(self._dialogues):
            dialogue.join(TIMEOUT_S)

    def take_together(self) -> None:
        """Hold a mail until there are so many: their client keeps as many dialogues at a time."""
        with self._writing:
            self._held += 1
            self.most_held = max(self.most_held, self._held)
        self._together.wait(TIMEOUT_S)
        with self._writing:
            self._held -= 1

    def write_down(self, message: bytes) -> None:
        """On disk when this returns."""
        found = _MESSAGE_ID.search(message.partition(b"\r\n\r\n")[0])
        line = (found[1] if found else b"<none>") + b"\n"
        with self._writing:
            descriptor = os.open(self._accepted, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
            os.write(descriptor, line)
            os.fsync(descriptor)
            os.close(descriptor)


class _Dialogue:
    """One connection."""

    def __init__(self, house: _House, sock: socket.socket) -> None:
        self._house = house
        self._sock = sock
        self._unread = b""
        self._recipient = b""

    def hold(self) -> None:
        with self._sock, suppress(OSError, EOFError, BrokenBarrierError):
            self._say(b"220 strict\r\n")
            while True:
                self._answer(self._until(b"\r\n"))

    def _answer(self, command: bytes) -> None:
        match command[:4].upper():
            case b"EHLO":
                self._say(EHLO)
            case b"RCPT":
                self._say(self._admit(command))
            case b"DATA":
                self._say(b"354 Go ahead\r\n")
                self._say(self._take(self._until(b"\r\n.\r\n")))
            case b"QUIT":
                self._say(b"221 2.0.0 Bye\r\n")
                raise EOFError
            case _:
                self._say(OK)

    def _admit(self, command: bytes) -> bytes:
        found = _RECIPIENT.search(command)
        self._recipient = found[1] if found else b""
        if self._recipient == b"greylisted" and self._is_first_try():
            return GREYLISTED
        return NO_SUCH_USER if self._recipient == b"refused" else OK

    def _take(self, message: bytes) -> bytes:
        if self._recipient == b"busy" and self._is_first_try():
            return NOT_NOW
        if self._recipient == b"rejected":
            return NEVER
        self._house.write_down(message)
        if self._recipient == b"together":
            self._house.take_together()
        if self._recipient == b"hung":
            self._until(b"the client's end")
        if self._recipient == b"silent":
            raise EOFError
        return b"250 2.0.0 Ok: queued as 4F1B2C3D5E\r\n"

    def _is_first_try(self) -> bool:
        self._house.tries[self._recipient] += 1
        return self._house.tries[self._recipient] == 1

    def _say(self, octets: bytes) -> None:
        self._sock.sendall(octets)

    def _until(self, end: bytes) -> bytes:
        while end not in self._unread:
            received = self._sock.recv(65536)
            if not received:
                raise EOFError
            self._unread += received
        told, _, self._unread = self._unread.partition(end)
        return told
