"""The cable to a PostgreSQL server, which can be cut at the one moment that matters: around a commit."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Literal

from sqlalchemy.engine import URL

COMMIT = b"COMMIT\0"

Moment = Literal["before the server hears of it", "before its answer is heard"]


class Cable:
    """Passes on what both ends say. `with cable(url) as one:` connects by `one.url`."""

    def __init__(self, server: URL) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._cut_at: Moment | None = None
        self.cut = Event()
        query = {name: value for name, value in server.query.items() if name not in ("host", "port")}
        self.url = server.set(
            host="127.0.0.1", port=self._listener.getsockname()[1], query={**query, "sslmode": "disable"}
        )

    def cut_at_commit(self, moment: Moment) -> None:
        """The next commit that comes by is cut off, and its connection with it. Later connections pass."""
        self.cut.clear()
        self._cut_at = moment

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = self._connected()
                for work in (self._upwards, self._downwards):
                    Thread(target=work, args=(client, server), daemon=True).start()

    def close(self) -> None:
        """Nobody connects by it any more."""
        with suppress(OSError):  # it was closed before
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _upwards(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while said := client.recv(65536):
                if COMMIT in said and (moment := self._cut_at) is not None:
                    self._cut_at = None
                    self._cut(client, server, said, moment)
                    return
                server.sendall(said)
        _end(client, server)

    def _cut(self, client: socket.socket, server: socket.socket, said: bytes, moment: Moment) -> None:
        client.shutdown(socket.SHUT_RDWR)  # whoever passes on the answer finds nobody there
        if moment == "before its answer is heard":
            server.sendall(said)
        server.shutdown(socket.SHUT_WR)  # the server has read all that was sent when it meets the end
        self.cut.set()

    def _downwards(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while said := server.recv(65536):
                with suppress(OSError):
                    client.sendall(said)
        _end(client, server)

    def _connected(self) -> socket.socket:
        folder = self._server.query.get("host")
        if folder:
            server = socket.socket(socket.AF_UNIX)
            server.connect(f"{folder}/.s.PGSQL.{self._server.query.get('port', 5432)}")
            return server
        return socket.create_connection((self._server.host, self._server.port or 5432))


@contextmanager
def cable(server: URL) -> Iterator[Cable]:
    """A cable to this server, until the block ends."""
    one = Cable(server)
    Thread(target=one.serve, daemon=True).start()
    try:
        yield one
    finally:
        one.close()


def _end(*ends: socket.socket) -> None:
    for end in ends:
        end.close()
