"""How a mailbox presents itself and reaches its server. Kept apart from the events: it holds an address.

An event names the SHA-256 digest of these settings, so that which were in force at any send can be proved.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from email.utils import getaddresses
from enum import StrEnum
from ipaddress import ip_address
from typing import Any

from email_validator import validate_email
from sqlalchemy import bindparam, select

from domain import mailbox as mailboxes
from domain.calendar import zone_of
from domain.errors import CommandRefused, InvalidInput
from domain.events import Event
from domain.mailbox import Mailbox
from domain.rules import MAX_DAILY_LIMIT
from projections.kept import ADD_IDENTITY, mailbox_identities
from runner.mail.message import Author, MessageLayout
from runner.secret import check_reference
from runner.store.ledger import Ledger
from runner.store.recorder import Kept

MAX_NAME_CHARACTERS = 50
MAX_CONNECTIONS = 50
_IDENTITY = select(mailbox_identities).where(
    mailbox_identities.c.name == bindparam("b_name"), mailbox_identities.c.digest == bindparam("b_digest")
)


class Tls(StrEnum):
    """How the connection to the server is encrypted."""

    STARTTLS = "starttls"
    IMPLICIT = "implicit"
    NONE = "none"


DEFAULT_PORT = {Tls.STARTTLS: 587, Tls.IMPLICIT: 465, Tls.NONE: 25}


@dataclass(frozen=True, slots=True)
class Identity:
    """Author and server of a mailbox; the password only by reference."""

    from_name: str
    from_address: str
    host: str
    port: int
    tls: Tls
    user: str | None = None
    password_ref: str | None = None
    allow_plaintext: bool = False
    connections: int = 1

    @property
    def sender(self) -> str:
        """As people read it."""
        return f"{self.from_name} <{self.from_address}>" if self.from_name else self.from_address

    @property
    def domain(self) -> str:
        """The domain of the author's address: the right side of Message-IDs."""
        return self.from_address.rpartition("@")[2]

    @property
    def digest(self) -> str:
        """SHA-256 over all of it; hex."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def checked(self) -> Identity:
        """Itself. Raises `InvalidInput` for what could never send."""
        if not self.host.strip() or any(character.isspace() for character in self.host):
            raise InvalidInput("is no host name.", mend="Give the mail server's name.", field="--smtp-host")
        if not 1 <= self.port <= 65535:
            raise InvalidInput("is no port.", mend="Give one from 1 to 65535.", field="--smtp-port")
        if not 1 <= self.connections <= MAX_CONNECTIONS:
            mend = f"Give 1 to {MAX_CONNECTIONS}."
            raise InvalidInput("is out of range.", mend=mend, field="--connections")
        if (self.user is None) != (self.password_ref is None):
            problem = "a login needs both --smtp-user and --smtp-password."
            raise InvalidInput(problem, mend="Give both, or neither.", field="--smtp-user")
        if self.password_ref is not None:
            check_reference(self.password_ref, field="--smtp-password")
        if self.tls is Tls.NONE and not (self.allow_plaintext or _is_this_machine(self.host)):
            problem = "without encryption everybody on the way to another machine could read mail and password."
            mend = "Use starttls or implicit, or say --smtp-allow-plaintext."
            raise InvalidInput(problem, mend=mend, field="--smtp-tls")
        MessageLayout(Author(self.from_name, self.from_address), html=False)
        return self


def new(sender: str | None, **fields: Any) -> Identity:
    """The settings of a new mailbox, by field. Raises `InvalidInput` for what is missing or wrong."""
    values = given(sender, **fields)
    for name, option in (("from_address", "--from"), ("host", "--smtp-host")):
        if name not in values:
            raise InvalidInput("is missing.", mend="Give it.", field=option)
    values.setdefault("port", DEFAULT_PORT[values["tls"]])
    return Identity(**values).checked()


def given(sender: str | None, **fields: Any) -> dict[str, Any]:
    """Those fields that were given."""
    if sender is not None:
        fields["from_name"], fields["from_address"] = _author(sender)
    return {name: value for name, value in fields.items() if value is not None}


def add(
    ledger: Ledger,
    name: str,
    identity: Identity,
    *,
    daily_limit: int | None,
    zone: str | None,
    actor: str,
    now: datetime,
) -> None:
    """A new mailbox. Raises `InvalidInput` or `CommandRefused`."""
    _check_name(name)
    limit, place = _checked(daily_limit or 0, zone or "")
    ledger.on_mailbox(
        name,
        lambda mailbox: mailboxes.add(
            mailbox, daily_limit=limit, zone=place, identity_digest=identity.digest, actor=actor, now=now
        ),
        lambda _: [_row(name, identity)],
    )


def change(
    ledger: Ledger,
    name: str,
    changes: Mapping[str, Any],
    *,
    daily_limit: int | None,
    zone: str | None,
    actor: str,
    now: datetime,
) -> bool:
    """Change what is given; False when nothing is different."""
    before = current(ledger, name)
    identity = replace(before, **changes).checked()
    with ledger.mailbox(name) as mailbox:
        limit, place = _checked(
            mailbox.daily_limit if daily_limit is None else daily_limit, mailbox.zone if zone is None else zone
        )
    known = bool(ledger.fetch(_IDENTITY, b_name=name, b_digest=identity.digest))

    def decide(mailbox: Mailbox) -> list[Event]:
        return mailboxes.change(
            mailbox, daily_limit=limit, zone=place, identity_digest=identity.digest, actor=actor, now=now
        )

    return bool(ledger.on_mailbox(name, decide, None if known else lambda _: [_row(name, identity)]))


def current(ledger: Ledger, name: str) -> Identity:
    """The settings in force. Raises `CommandRefused` for a mailbox that does not exist."""
    with ledger.mailbox(name) as mailbox:
        if not mailbox.exists:
            raise CommandRefused(f"there is no mailbox {name}; `sendledger mailbox list` shows which there are.")
        row = ledger.fetch(_IDENTITY, b_name=name, b_digest=mailbox.identity_digest)[0]
    return Identity(
        row["from_name"],
        row["from_address"],
        row["host"],
        row["port"],
        Tls(row["tls"]),
        row["user"],
        row["password_ref"],
        bool(row["allow_plaintext"]),
        row["connections"],
    )


def _row(name: str, identity: Identity) -> Kept:
    row = {"name": name, "digest": identity.digest, **asdict(identity)}
    return ADD_IDENTITY, [{**row, "tls": str(identity.tls), "allow_plaintext": int(identity.allow_plaintext)}]


def _author(text: str) -> tuple[str, str]:
    try:
        [(name, address)] = getaddresses([text])
        validate_email(address, check_deliverability=False)
    except ValueError:  # none or several, or one that is not valid
        mend = "Write it as 'Anna <anna@example.com>'."
        raise InvalidInput("holds no valid address, or more than one.", mend=mend, field="--from") from None
    return name, address


def _is_this_machine(host: str) -> bool:
    """By its name alone: what another name leads to is looked up, and checked again, at each connection."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_name(name: str) -> None:
    plain = name.replace("-", "").replace("_", "").replace(".", "")
    if not (plain.isascii() and plain.isalnum() and len(name) <= MAX_NAME_CHARACTERS):
        mend = f"Use letters, digits, - _ and ., {MAX_NAME_CHARACTERS} at most."
        raise InvalidInput(f"{name!r} is no name of a mailbox.", mend=mend, field="NAME")


def _checked(daily_limit: int, zone: str) -> tuple[int, str]:
    if not 1 <= daily_limit <= MAX_DAILY_LIMIT:
        mend = f"Give 1 to {MAX_DAILY_LIMIT}; to stop a mailbox, pause it."
        raise InvalidInput("is out of range.", mend=mend, field="--daily-limit")
    return daily_limit, zone_of(zone).key
