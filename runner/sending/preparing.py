"""Preparing a mail: the lead's contact, the rendered content, the very bytes, and the commitments to both."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Self

from sqlalchemy import bindparam, select

from domain.campaign import Campaign
from domain.commitments import contact_commitment, message_digest, message_id, message_id_of_test, unsubscribe_token
from domain.errors import SendledgerError
from domain.mailbox import Mailbox
from domain.policies import Send
from projections.kept import contacts, contents, mailbox_identities, suppressed
from runner.mail.message import Author, MessageLayout
from runner.mail.templates import CompiledContent, Content, Rendered, compile_content
from runner.mail.unsubscribe import TEST_TOKEN
from runner.mail.verification import verify_message
from runner.rendering import all_fields
from runner.smtp.session import Envelope
from runner.store.ledger import Ledger, campaign_number

LAYOUTS_KEPT = 256
TEST_SUBJECT = "[TEST] "
TEST_HEADERS = {"X-Sendledger-Test": "yes"}

_CONTACT = (
    select(contacts, suppressed.c.address_hmac.is_not(None).label("is_suppressed"))
    .outerjoin(suppressed, suppressed.c.address_hmac == contacts.c.address_hmac)
    .where(contacts.c.campaign_id == bindparam("b_campaign"), contacts.c.lead_id == bindparam("b_lead"))
)
_CONTENT = select(contents).where(
    contents.c.campaign_id == bindparam("b_campaign"), contents.c.version == bindparam("b_version")
)
_IDENTITY = select(mailbox_identities).where(
    mailbox_identities.c.name == bindparam("b_name"), mailbox_identities.c.digest == bindparam("b_digest")
)


class ContactMissing(SendledgerError):
    """The lead waits, but its contact is not there: erased by hand, or a database that was cut."""

    def __init__(self) -> None:
        super().__init__("the contact of a waiting lead is missing from the kept tables")


class Suppressed(SendledgerError):
    """The person was suppressed while an earlier attempt was under way, or before this one was asked for again."""

    def __init__(self) -> None:
        super().__init__("a waiting lead is on the suppression list")


@dataclass(frozen=True, slots=True)
class Order:
    """The mail that is to be made: for whom, from which content and identity. Read off the states at one instant."""

    campaign: int
    stream: str
    position: int
    lead_id: int
    due_at: datetime
    now: datetime
    mailbox: str
    identity_digest: str
    content_version: int
    revision: int
    message_id_domain: str

    @classmethod
    def of(cls, campaign: Campaign, mailbox: Mailbox, send: Send, now: datetime) -> Self:
        """What the sender decided, with all that a mail is made of."""
        return cls(
            campaign_number(campaign.stream),
            campaign.stream,
            send.position,
            send.lead_id,
            send.due_at,
            now,
            campaign.mailbox,
            mailbox.identity_digest,
            campaign.content_version,
            campaign.revision(send.position),
            campaign.message_id_domain,
        )


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


@dataclass(frozen=True, slots=True)
class PreparedTest:
    """A lead's mail as it would leave, marked and addressed to somebody who wants to look at it."""

    envelope: Envelope
    message: bytes = field(repr=False)
    message_id: str
    rendered: Rendered = field(repr=False)


class Preparer:
    """Prepares mails from the kept tables of one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._draft = lru_cache(maxsize=LAYOUTS_KEPT)(self._read_draft)

    def prepare(self, order: Order) -> Prepared:
        """The mail for this lead. Raises `Suppressed`, `RenderFailed`, `MessageBroken` or `ContactMissing`."""
        contact = self._contact(order.campaign, order.lead_id)
        if contact["is_suppressed"]:
            raise Suppressed
        draft = self._draft(order.campaign, order.content_version, order.mailbox, order.identity_digest)
        fields: dict[str, str] = json.loads(contact["fields"])
        token = unsubscribe_token(contact["salt"], order.campaign, order.lead_id)
        parts = {
            "to": contact["address"],
            "rendered": draft.content.render(all_fields(draft.content, fields, contact["address"], token)),
            "message_id": message_id(contact["salt"], order.stream, order.lead_id, order.message_id_domain),
            "date": order.now.replace(microsecond=0),
            "headers": draft.content.unsubscribe.headers(token),
        }
        message = _built(draft.layout, parts)
        return Prepared(
            Envelope(draft.sender, contact["address"]),
            message,
            parts["message_id"],
            parts["date"],
            contact["revision"],
            contact_commitment(contact["salt"], contact["address"], fields),
            message_digest(contact["salt"], message),
        )

    def prepare_test(self, order: Order, to: str, opaque: str) -> PreparedTest:
        """The same mail for somebody else, marked as a test, with a Message-ID made of `opaque`.

        It offers no way to unsubscribe: nobody who looks at a test shall unsubscribe the lead by it.
        """
        contact = self._contact(order.campaign, order.lead_id)
        draft = self._draft(order.campaign, order.content_version, order.mailbox, order.identity_digest)
        fields = json.loads(contact["fields"])
        rendered = draft.content.render(all_fields(draft.content, fields, contact["address"], TEST_TOKEN))
        marked = replace(rendered, subject=TEST_SUBJECT + rendered.subject)
        parts: dict[str, Any] = {
            "to": to,
            "rendered": marked,
            "message_id": message_id_of_test(opaque, order.message_id_domain),
            "date": order.now.replace(microsecond=0),
            "headers": TEST_HEADERS,
        }
        return PreparedTest(Envelope(draft.sender, to), _built(draft.layout, parts), parts["message_id"], marked)

    def _contact(self, campaign: int, lead_id: int) -> Any:
        rows = self._ledger.fetch(_CONTACT, b_campaign=campaign, b_lead=lead_id)
        if not rows:
            raise ContactMissing
        return rows[0]

    def _read_draft(self, campaign: int, version: int, mailbox: str, identity: str) -> _Draft:
        row = self._ledger.fetch(_CONTENT, b_campaign=campaign, b_version=version)[0]
        author = self._ledger.fetch(_IDENTITY, b_name=mailbox, b_digest=identity)[0]
        content = compile_content(Content.of(row))
        layout = MessageLayout(Author(author["from_name"], author["from_address"]), html=content.has_html)
        return _Draft(content, layout, author["from_address"])


def _built(layout: MessageLayout, parts: dict[str, Any]) -> bytes:
    message = layout.build(**parts)
    verify_message(message, layout.intended(**parts))
    return message
