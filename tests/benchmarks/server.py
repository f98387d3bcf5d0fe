"""A mail server that takes every mail and throws it away at once: what is measured against it is the sender alone.
`runner.sink` would not do: it syncs each mail to disk before it answers, and that would be the figure.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from threading import Thread
from time import sleep

from tests.faults.processes import CONTEXT

OK = b"250 2.0.0 Ok: queued as 4F1B2C3D5E\r\n"
ANSWERS = {
    b"EHLO": b"250-discarding\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 10000000\r\n",
    b"DATA": b"354 go ahead\r\n",
    b"QUIT": b"221 2.0.0 bye\r\n",
}
VERB = 4
END_OF_BODY = b"\r\n.\r\n"
OCTETS_AT_ONCE = 65536


@contextmanager
def discarding_server(answers_after_s: float = 0) -> Iterator[int]:
    """The port of a server in a process of its own, until the block ends. `answers_after_s`: from the end of a body."""
    ours, theirs = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_serve, args=(theirs, answers_after_s), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()
        ours.close()


def _serve(port: Connection, answers_after_s: float) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port.send(listener.getsockname()[1])
        while True:
            client, _ = listener.accept()
            Thread(target=_dialogue, args=(client, answers_after_s), daemon=True).start()


def _dialogue(client: socket.socket, answers_after_s: float) -> None:
    """One command at a time, as a client without pipelining gives them."""
    with client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(b"220 discarding\r\n")
        while command := client.recv(OCTETS_AT_ONCE):
            verb = command[:VERB].upper()
            client.sendall(ANSWERS.get(verb, OK))
            if verb == b"DATA":
                _discard(client, answers_after_s)


def _discard(client: socket.socket, answers_after_s: float) -> None:
    end = b""
    while not end.endswith(END_OF_BODY):
        received = client.recv(OCTETS_AT_ONCE)
        if not received:
            return
        end = (end + received)[-len(END_OF_BODY) :]
    sleep(answers_after_s)
    client.sendall(OK)
