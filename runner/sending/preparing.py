"""Preparing a mail: the lead's contact, the rendered content, the very bytes, and the commitments to both."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, select

from domain.campaign import Campaign
from domain.commitments import contact_commitment, message_digest, message_id
from domain.errors import SendledgerError
from domain.mailbox import Mailbox
from domain.policies import Send
from projections.kept import contacts, contents, mailbox_identities
from runner.mail.message import Author, MessageLayout
from runner.mail.templates import CompiledContent, Content, compile_content
from runner.mail.verification import verify_message
from runner.smtp.session import Envelope
from runner.store.ledger import MAILBOX, Ledger, campaign_number

LAYOUTS_KEPT = 256

_CONTACT = select(contacts).where(
    contacts.c.campaign_id == bindparam("b_campaign"), contacts.c.lead_id == bindparam("b_lead")
)
_CONTENT = select(contents.c.subject, contents.c.text, contents.c.html).where(
    contents.c.campaign_id == bindparam("b_campaign"), contents.c.version == bindparam("b_version")
)
_IDENTITY = select(mailbox_identities).where(
    mailbox_identities.c.name == bindparam("b_name"), mailbox_identities.c.digest == bindparam("b_digest")
)


class ContactMissing(SendledgerError):
    """The lead waits, but its contact is not there: erased by hand, or a database that was cut."""

    def __init__(self) -> None:
        super().__init__("the contact of a waiting lead is missing from the kept tables")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A mail as it would leave: bytes and envelope, and what the lock will say of it."""

    envelope: Envelope
    message: bytes = field(repr=False)
    message_id: str
    date: datetime
    revision: int
    commitment: str
    digest: str

    @property
    def compressed(self) -> bytes:
        """The bytes as they are kept."""
        return zlib.compress(self.message, 1)


@dataclass(frozen=True, slots=True)
class _Draft:
    """What all mails of one content version and sender share."""

    content: CompiledContent
    layout: MessageLayout
    sender: str


class Preparer:
    """Prepares mails from the kept tables of one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._draft = lru_cache(maxsize=LAYOUTS_KEPT)(self._read_draft)

    def prepare(self, campaign: Campaign, mailbox: Mailbox, send: Send, now: datetime) -> Prepared:
        """The mail for this lead. Raises `RenderFailed`, `MessageBroken` or `ContactMissing`: all definite."""
        number = campaign_number(campaign.stream)
        contact = self._contact(number, send.lead_id)
        fields: dict[str, str] = json.loads(contact["fields"])
        draft = self._draft(
            number, campaign.content_version, mailbox.stream.removeprefix(MAILBOX), mailbox.identity_digest
        )
        rendered = draft.content.render({**fields, "email": contact["address"]})
        parts = {
            "to": contact["address"],
            "rendered": rendered,
            "message_id": message_id(contact["salt"], campaign.stream, send.lead_id, campaign.message_id_domain),
            "date": now.replace(microsecond=0),
        }
        message = draft.layout.build(**parts)
        verify_message(message, draft.layout.intended(**parts))
        return Prepared(
            Envelope(draft.sender, contact["address"]),
            message,
            parts["message_id"],
            parts["date"],
            contact["revision"],
            contact_commitment(contact["salt"], contact["address"], fields),
            message_digest(contact["salt"], message),
        )

    def _contact(self, campaign: int, lead_id: int) -> Any:
        rows = self._ledger.fetch(_CONTACT, b_campaign=campaign, b_lead=lead_id)
        if not rows:
            raise ContactMissing
        return rows[0]

    def _read_draft(self, campaign: int, version: int, mailbox: str, identity: str) -> _Draft:
        row = self._ledger.fetch(_CONTENT, b_campaign=campaign, b_version=version)[0]
        author = self._ledger.fetch(_IDENTITY, b_name=mailbox, b_digest=identity)[0]
        return _Draft(
            compile_content(Content(row["subject"], row["text"], row["html"])),
            MessageLayout(Author(author["from_name"], author["from_address"]), html=row["html"] is not None),
            author["from_address"],
        )
