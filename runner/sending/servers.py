"""From a mailbox's name to a dialogue with its server, by the settings that are in force."""

from __future__ import annotations

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


class Servers:
    """Opens sessions. With `loopback_only` (simulated time) it reaches no server but those on this machine."""

    def __init__(self, ledger: Ledger, *, loopback_only: bool) -> None:
        self._ledger = ledger
        self._loopback_only = loopback_only

    def open(self, mailbox: str) -> SmtpSession:
        """A new session. Raises `ServerUnavailable`; a password that is not there counts as a refused login."""
        try:
            server = self.server(mailbox)
        except InvalidInput:
            raise ServerUnavailable(Phase.AUTH, 535, cause=Cause.NOT_PRINTABLE) from None
        return SmtpSession.open(server)

    def server(self, mailbox: str) -> SmtpServer:
        """Where the mailbox's mail goes, and how. Raises `InvalidInput` when its password is not there."""
        with self._ledger.mailbox(mailbox) as state:
            row = self._ledger.fetch(_IDENTITY, b_name=mailbox, b_digest=state.identity_digest)[0]
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
