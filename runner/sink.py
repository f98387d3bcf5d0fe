"""A mail server for trying out: it takes every mail on this machine and files it in a Maildir, and sends none on.

It can refuse addresses, for good or at first, so that failures and retries can be watched too.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from time import time
from types import TracebackType
from typing import Final, Self
from weakref import WeakSet

from aiosmtpd.smtp import SMTP, Envelope, Session

MAX_MESSAGE_OCTETS: Final = 32 * 1024 * 1024
NAME: Final = "sink"  # in the greeting and in file names

RECIPIENT_OK: Final = "250 2.1.5 Ok"
NO_SUCH_USER: Final = "550 5.1.1 No such user here"
GREYLISTED: Final = "451 4.7.1 Greylisted, please try again later"
DISK_FAILED: Final = "452 4.3.1 The mail could not be stored"


@dataclass(frozen=True, slots=True)
class RefuseRule:
    """An address to refuse: its first `first_attempts` attempts, or for good where that is None."""

    address: str = field(repr=False)
    first_attempts: int | None = None


class Sink:
    """A mail server on this machine. `with Sink(maildir) as sink:` serves on `sink.port` until the block ends."""

    def __init__(
        self, maildir: Path, host: str = "127.0.0.1", port: int = 0, *, refuse: Sequence[RefuseRule] = ()
    ) -> None:
        self._handler = _Handler(_Maildir(maildir), refuse)
        self._address = (host, port)
        self._listener: socket.socket | None = None
        self._dialogues: WeakSet[SMTP] = WeakSet()
        self._serving = Event()
        self._thread = Thread(target=self._run, name="sink", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on; where 0 was asked for, the one that was free."""
        return int(self.listen().getsockname()[1])

    @property
    def accepted(self) -> int:
        """How many mails it has filed."""
        return self._handler.accepted

    def listen(self) -> socket.socket:
        """Take the port, if that has not been done. Raises `OSError` when it is taken."""
        if self._listener is None:
            family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
            self._listener = socket.create_server(self._address, family=family)
        return self._listener

    def serve_forever(self) -> None:
        """Serve until SIGINT or SIGTERM; for a process that does nothing else."""
        asyncio.run(self._serve(until_signal=True))

    def __enter__(self) -> Self:
        self.listen()
        self._thread.start()
        self._serving.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._serve(until_signal=False))

    async def _serve(self, *, until_signal: bool) -> None:
        logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd logs addresses and message lines below that
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        if until_signal:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._loop.add_signal_handler(number, self._stop.set)
        server = await self._loop.create_server(self._dialogue, sock=self.listen())
        self._serving.set()
        await self._stop.wait()
        server.close()
        await self._hang_up()

    def _dialogue(self) -> SMTP:
        dialogue = SMTP(
            self._handler,
            hostname=NAME,
            ident="Sendledger sink: nothing is sent on",
            enable_SMTPUTF8=True,
            data_size_limit=MAX_MESSAGE_OCTETS,
            loop=self._loop,
        )
        self._dialogues.add(dialogue)
        return dialogue

    async def _hang_up(self) -> None:
        for dialogue in list(self._dialogues):
            if dialogue.transport is not None:
                dialogue.transport.close()
        await asyncio.sleep(0)  # one turn of the loop, in which the connections learn of it


class _Handler:
    """What the server says to RCPT and to a whole message; aiosmtpd calls these methods by name."""

    def __init__(self, maildir: _Maildir, refuse: Sequence[RefuseRule]) -> None:
        self._maildir = maildir
        self._rules = {rule.address.casefold(): rule for rule in refuse}
        self._attempts: Counter[str] = Counter()
        self.accepted = 0

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if refusal := self._refusal(address.casefold()):
            return refusal
        envelope.rcpt_tos.append(address)
        return RECIPIENT_OK

    async def handle_DATA(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        try:
            queue_id = self._maildir.file(envelope.original_content or b"")
        except OSError:
            return DISK_FAILED
        self.accepted += 1
        return f"250 2.0.0 Ok: queued as {queue_id}"

    def _refusal(self, address: str) -> str | None:
        rule = self._rules.get(address)
        if rule is None:
            return None
        if rule.first_attempts is None:
            return NO_SUCH_USER
        self._attempts[address] += 1
        return GREYLISTED if self._attempts[address] <= rule.first_attempts else None


class _Maildir:
    """A Maildir to deliver into, byte for byte; the queue id a client is told is part of the file's name."""

    def __init__(self, root: Path) -> None:
        self._tmp, self._new = root / "tmp", root / "new"
        for folder in (self._tmp, self._new, root / "cur"):
            folder.mkdir(parents=True, exist_ok=True)

    def file(self, message: bytes) -> str:
        """Store a message so that it outlives a power cut, and return its queue id."""
        queue_id = secrets.token_hex(8).upper()
        name = f"{int(time())}.{queue_id}.{NAME}"
        with (self._tmp / name).open("xb") as file:
            file.write(message)
            file.flush()
            os.fsync(file.fileno())
        (self._tmp / name).rename(self._new / name)
        self._sync_folder()
        return queue_id

    def _sync_folder(self) -> None:
        folder = os.open(self._new, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
