"""The very bytes that were sent: as they were kept at the lock, and proved by the digest that stands in the ledger.

The digest is an HMAC under the contact's salt. While the contact is there, whoever may read the tables can repeat it;
once the person is erased nobody can, and nothing is left to prove.
"""

from __future__ import annotations

import hmac
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from domain.commitments import message_digest
from domain.errors import CommandRefused, SendledgerError
from domain.events import EmailLocked
from projections import audit
from projections.kept import contact
from runner.store.ledger import Ledger


class NotWhatWasSent(SendledgerError):
    """The kept bytes are not those that the ledger says were sent."""


@dataclass(frozen=True, slots=True)
class ProvedMail:
    """A mail whose bytes lead to the digest that was recorded before the final dot. `attempt`: a row of the export."""

    message: bytes
    lock: EmailLocked
    position: int
    attempt: Mapping[str, Any]


def proved_mail(ledger: Ledger, views: Connection, campaign: int, lead_id: int, attempt: int | None) -> ProvedMail:
    """This attempt's mail, or that of the last lock. Raises `CommandRefused` where there is none to show, and
    `NotWhatWasSent`."""
    tried = audit.attempts(views, campaign, lead_id)
    whose = f"lead {lead_id} of campaign {campaign}"
    if not tried:
        raise CommandRefused(f"there was no mail to {whose}.")
    locked = [row for row in tried if row["lock_position"] is not None and attempt in (None, row["attempt"])]
    if not locked:
        which = f"attempt {attempt} for {whose}" if attempt else f"the mail to {whose}"
        raise CommandRefused(
            f"{which} was never locked here: it failed before, or was imported, and no bytes were kept."
        )
    row = locked[-1]
    lock = _lock(ledger, row)
    person, kept = contact(views, campaign, lead_id), audit.kept_bytes(views, lock.token)
    if person is None or kept is None:
        raise CommandRefused(f"{whose} was erased, and the bytes of the mail with it. Its events are in the ledger.")
    return ProvedMail(_proved(kept, bytes(person["salt"]), lock, whose), lock, row["lock_position"], row)


def _lock(ledger: Ledger, row: Mapping[str, Any]) -> EmailLocked:
    """Of the event itself: a view could have been changed."""
    [(_, event)] = ledger.read(row["lock_position"] - 1, 1)
    if not isinstance(event, EmailLocked) or event.token != row["token"]:
        raise NotWhatWasSent(
            f"position {row['lock_position']} of the ledger holds another event than the views say. "
            "`sendledger rebuild` makes them anew; `sendledger audit verify` looks at the events."
        )
    return event


def _proved(kept: bytes, salt: bytes, lock: EmailLocked, whose: str) -> bytes:
    try:
        message = zlib.decompress(kept)
    except zlib.error:
        message = b""
    if not hmac.compare_digest(message_digest(salt, message), lock.digest):
        raise NotWhatWasSent(
            f"the bytes kept for {whose} are not those that were sent: their digest is another than the one recorded "
            "at the lock. The table kept_mails, or the contact's salt, was changed."
        )
    return message
