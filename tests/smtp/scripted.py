"""A mail server that plays a script: it behaves by default, and answers what a test tells it to.

It writes down every command, every body and whether the final dot came: what it knows is what was delivered.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Event, Thread
from types import TracebackType
from typing import Self

JOIN_TIMEOUT_S = 5.0
TRICKLE_PAUSE_S = 0.05

EHLO = b"250-scripted\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 1000000\r\n"
BEHAVED: dict[str, bytes] = {
    "GREETING": b"220 scripted ready\r\n",
    "EHLO": EHLO,
    "STARTTLS": b"220 go ahead\r\n",
    "AUTH": b"235 2.7.0 welcome\r\n",
    "MAIL": b"250 2.1.0 ok\r\n",
    "RCPT": b"250 2.1.5 ok\r\n",
    "DATA": b"354 go ahead\r\n",
    "DOT": b"250 2.0.0 Ok: queued as 4F1B2C3D5E\r\n",
    "RSET": b"250 2.0.0 ok\r\n",
    "QUIT": b"221 2.0.0 bye\r\n",
}


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._unread = b""

    def say(self, octets: bytes) -> None:
        """Write these octets, whatever they are."""
        self.sock.sendall(octets)

    def line(self) -> bytes:
        """Return the next line without its CRLF. Raises `EOFError` at the end."""
        while b"\r\n" not in self._unread:
            received = self.sock.recv(65536)
            if not received:
                raise EOFError
            self._unread += received
        line, _, self._unread = self._unread.partition(b"\r\n")
        return line

    def hang_up(self) -> None:
        """Close in good order: FIN."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        raise EOFError

    def reset(self) -> None:
        """Break the connection: RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        raise EOFError

    def wait_until_client_leaves(self) -> None:
        """Say nothing until the other end is closed."""
        while self.sock.recv(65536):
            pass
        raise EOFError


class ScriptedServer:
    """Serves connections one after another; `answers` replace what a well-behaved server says, by verb.

    Besides the verbs: GREETING, and BODY, which is called when the first line of a body has come.
    """

    def __init__(
        self,
        answers: Mapping[str, bytes | Callable[[Peer], None]] | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
    ) -> None:
        self._answers: dict[str, bytes | Callable[[Peer], None]] = {**BEHAVED, **(answers or {})}
        self._tls = tls
        self._implicit = implicit
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stopping = Event()
        self._thread = Thread(target=self._serve, daemon=True)
        self.commands: list[str] = []
        self.messages: list[bytes] = []
        self.body_lines = 0
        self.dots = 0
        self.connections = 0
        self.resets = 0  # connections that the client broke

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def verbs(self) -> list[str]:
        """Return the first words of all commands heard."""
        return [command.partition(" ")[0].upper() for command in self.commands]

    def finish(self) -> None:
        """Wait until all connections have ended: then what was recorded is all there is."""
        self._stopping.set()
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            pass  # wakes the server up from waiting for a connection
        self._thread.join(JOIN_TIMEOUT_S)
        assert not self._thread.is_alive(), "the client keeps its connection open"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.finish()
        finally:
            self._listener.close()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            sock, _ = self._listener.accept()
            with sock:
                if not self._stopping.is_set():
                    self.connections += 1
                    self._speak(sock)

    def _speak(self, sock: socket.socket) -> None:
        if self._implicit:
            with suppress(OSError):
                self._dialogue(Peer(self._encrypted(sock)))
        else:
            self._dialogue(Peer(sock))

    def _dialogue(self, peer: Peer) -> None:
        try:
            self._answer(peer, "GREETING")
            while True:
                self._hear(peer)
        except ConnectionResetError:
            self.resets += 1
        except (EOFError, OSError):
            pass
        finally:
            peer.sock.close()

    def _hear(self, peer: Peer) -> None:
        command = peer.line().decode()
        verb = command.partition(" ")[0].upper()
        self.commands.append(command)
        self._answer(peer, verb)
        if verb == "QUIT":
            raise EOFError
        if verb == "STARTTLS" and self._tls is not None:
            peer.sock = self._encrypted(peer.sock)
        if verb == "DATA" and self._answers["DATA"] == BEHAVED["DATA"]:
            self._take_message(peer)

    def _take_message(self, peer: Peer) -> None:
        body = b""
        while (line := peer.line()) != b".":
            self.body_lines += 1
            body += line.removeprefix(b".") + b"\r\n"
            if "BODY" in self._answers:
                self._answer(peer, "BODY")
        self.dots += 1
        self.messages.append(body)
        self._answer(peer, "DOT")

    def _answer(self, peer: Peer, verb: str) -> None:
        answer = self._answers.get(verb, b"500 5.5.1 what?\r\n")
        if callable(answer):
            answer(peer)
        else:
            peer.say(answer)

    def _encrypted(self, sock: socket.socket) -> ssl.SSLSocket:
        assert self._tls is not None, "the script has no certificate"
        return self._tls.wrap_socket(sock, server_side=True)


def say_and_hang_up(octets: bytes) -> Callable[[Peer], None]:
    """Return an answer that is followed by the end of the connection."""

    def answer(peer: Peer) -> None:
        peer.say(octets)
        peer.hang_up()

    return answer


def say_and_fall_silent(octets: bytes) -> Callable[[Peer], None]:
    """Return an answer that is never finished."""

    def answer(peer: Peer) -> None:
        peer.say(octets)
        peer.wait_until_client_leaves()

    return answer


def trickle(octets: bytes) -> Callable[[Peer], None]:
    """Return an answer that comes one octet at a time."""

    def answer(peer: Peer) -> None:
        never = Event()
        for octet in octets:
            peer.say(bytes([octet]))
            never.wait(TRICKLE_PAUSE_S)

    return answer


def in_turn(*answers: bytes) -> Callable[[Peer], None]:
    """Return an answer that is another one each time; the last is repeated."""
    left = list(answers)

    def answer(peer: Peer) -> None:
        peer.say(left.pop(0) if len(left) > 1 else left[0])

    return answer
