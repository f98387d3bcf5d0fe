"""From a mailbox's name to a dialogue with its server, by the settings that are in force."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, select

from domain.errors import InvalidInput
from domain.replies import Phase
from projections.kept import mailbox_identities
from runner.secret import read_secret
from runner.smtp.errors import Cause, ServerUnavailable
from runner.smtp.server import SmtpServer
from runner.smtp.session import SmtpSession
from runner.store.ledger import Ledger

_IDENTITY = select(mailbox_identities).where(
    mailbox_identities.c.name == bindparam("b_name"), mailbox_identities.c.digest == bindparam("b_digest")
)

MAILBOXES_KNOWN = 256


class Servers:
    """Opens sessions. With `loopback_only` (simulated time) it reaches no server but those on this machine."""

    def __init__(self, ledger: Ledger, *, loopback_only: bool) -> None:
        self._ledger = ledger
        self._loopback_only = loopback_only
        self._allowed = lru_cache(maxsize=MAILBOXES_KNOWN)(self._read_connections)

    def open(self, mailbox: str) -> SmtpSession:
        """A new session. Raises `ServerUnavailable`; a password that is not there counts as a refused login."""
        try:
            server = self.server(mailbox)
        except InvalidInput:
            raise ServerUnavailable(Phase.AUTH, 535, cause=Cause.NOT_PRINTABLE) from None
        return SmtpSession.open(server)

    def connections(self, mailbox: str) -> int:
        """How many dialogues at a time its settings allow."""
        with self._ledger.mailbox(mailbox) as state:
            return self._allowed(mailbox, state.identity_digest)

    def server(self, mailbox: str) -> SmtpServer:
        """Where the mailbox's mail goes, and how. Raises `InvalidInput` when its password is not there."""
        with self._ledger.mailbox(mailbox) as state:
            row = self._row(mailbox, state.identity_digest)
        reference = row["password_ref"]
        return SmtpServer(
            host=row["host"],
            port=row["port"],
            tls=row["tls"],
            user=row["user"],
            password=read_secret(reference, field=f"mailbox {mailbox}, password") if reference else None,
            allow_plaintext=bool(row["allow_plaintext"]),
            loopback_only=self._loopback_only,
        )

    def _read_connections(self, mailbox: str, digest: str) -> int:
        return int(self._row(mailbox, digest)["connections"])

    def _row(self, mailbox: str, digest: str) -> Mapping[str, Any]:
        return self._ledger.fetch(_IDENTITY, b_name=mailbox, b_digest=digest)[0]
