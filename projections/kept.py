"""The kept tables: what no event may hold and no rebuild can bring back. Also the table of events itself.
Personal data lives here and dies here: erasing a person deletes rows, and the ledger stays whole.

Columns are plain TEXT, INTEGER and BLOB, so that a row's values go to a driver as they are: times as `time_text`
writes them, JSON as text, yes and no as 1 and 0. Statements are named, take dict rows, and run in the transaction of
whoever appends; in an UPDATE or DELETE the parameters of the key carry the prefix `b_`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    RowMapping,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    delete,
    insert,
    select,
    update,
)

METADATA = MetaData()
IN_LIST = 5000
"""Values in one IN list; SQLite takes 32,766 parameters, PostgreSQL 65,535."""
ROWS_AT_ONCE = 1000
"""Rows held in memory while a long answer is read."""

stored_events = Table(
    "stored_events",
    METADATA,
    Column("originator_id", Text, primary_key=True),
    Column("originator_version", Integer, primary_key=True, autoincrement=False),
    Column("topic", Text, nullable=False),
    Column("state", LargeBinary, nullable=False),
)
"""The events. Exactly these four columns: the recorder inserts by place, and a position is the rowid."""

ledger_info = Table(
    "ledger_info",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""What is fixed when a ledger is made: its id, whether its time is real or simulated, its start."""

contacts = Table(
    "contacts",
    METADATA,
    Column("campaign_id", Integer, primary_key=True, autoincrement=False),
    Column("lead_id", Integer, primary_key=True, autoincrement=False),
    Column("position", Integer, nullable=False),
    Column("address", Text, nullable=False),
    Column("address_key", Text, nullable=False),  # casefolded: two spellings of one address are one person
    Column("salt", LargeBinary, nullable=False),
    Column("fields", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("commitment", Text, nullable=False),
    UniqueConstraint("campaign_id", "address_key", name="contacts_one_per_address"),
    Index("contacts_by_address", "address_key"),
)
"""Who a lead is. The salt keys its commitments: without it they say nothing."""

contents = Table(
    "contents",
    METADATA,
    Column("campaign_id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("html", Text),
)
"""The templates of a campaign, every version of them."""

mailbox_identities = Table(
    "mailbox_identities",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("from_name", Text, nullable=False),
    Column("from_address", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("port", Integer, nullable=False),
    Column("tls", Text, nullable=False),
    Column("user", Text),
    Column("password_ref", Text),
    Column("allow_plaintext", Integer, nullable=False),
)
"""How a mailbox reaches its server. `password_ref` says where the password is, never what it is."""

kept_mails = Table(
    "kept_mails",
    METADATA,
    Column("token", Text, primary_key=True),
    Column("campaign_id", Integer, nullable=False),
    Column("lead_id", Integer, nullable=False),
    Column("message", LargeBinary, nullable=False),
    Index("kept_mails_by_lead", "campaign_id", "lead_id"),
)
"""The bytes of each mail, compressed by zlib, by the token of its lock."""

replies = Table(
    "replies",
    METADATA,
    Column("campaign_id", Integer, primary_key=True, autoincrement=False),
    Column("lead_id", Integer, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),
)
"""The server's full words to an attempt: they quote addresses."""

suppressed = Table(
    "suppressed",
    METADATA,
    Column("address_hmac", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("added_at", Text, nullable=False),
    Column("actor", Text, nullable=False),
)
"""Who must never be mailed, known only by a keyed HMAC of the address."""

snapshots = Table(
    "snapshots",
    METADATA,
    Column("stream", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("shape", Text, nullable=False),
    Column("state", LargeBinary, nullable=False),
)
"""An aggregate's frozen state, so that a cold start need not read its whole stream."""


# --- statements for the transaction of an append ---

_CONTACT = (contacts.c.campaign_id == bindparam("b_campaign_id"), contacts.c.lead_id == bindparam("b_lead_id"))

SET_INFO = insert(ledger_info)
ADD_CONTACT = insert(contacts)
CHANGE_CONTACT = (
    update(contacts)
    .where(*_CONTACT)
    .values({name: bindparam(name) for name in ("address", "address_key", "fields", "revision", "commitment")})
)
"""The salt stays: what was mailed under it must stay provable."""
ERASE_CONTACT = delete(contacts).where(*_CONTACT)
ADD_CONTENT = insert(contents)
ADD_IDENTITY = insert(mailbox_identities)
KEEP_MAIL = insert(kept_mails)
ERASE_MAILS = delete(kept_mails).where(
    kept_mails.c.campaign_id == bindparam("b_campaign_id"), kept_mails.c.lead_id == bindparam("b_lead_id")
)
KEEP_REPLY = insert(replies)
DROP_REPLY = delete(replies).where(
    replies.c.campaign_id == bindparam("b_campaign_id"),
    replies.c.lead_id == bindparam("b_lead_id"),
    replies.c.attempt == bindparam("b_attempt"),
)
"""Before `KEEP_REPLY`, where a late reply may answer an attempt that has one."""
ERASE_REPLIES = delete(replies).where(
    replies.c.campaign_id == bindparam("b_campaign_id"), replies.c.lead_id == bindparam("b_lead_id")
)
SUPPRESS = insert(suppressed)
UNSUPPRESS = delete(suppressed).where(suppressed.c.address_hmac == bindparam("b_address_hmac"))
DROP_SNAPSHOT = delete(snapshots).where(snapshots.c.stream == bindparam("b_stream"))
"""Before `ADD_SNAPSHOT`: one snapshot a stream."""
ADD_SNAPSHOT = insert(snapshots)


# --- queries ---


def info(connection: Connection) -> dict[str, str]:
    """What is fixed about this ledger."""
    return {row.key: row.value for row in connection.execute(select(ledger_info))}


def contact(connection: Connection, campaign_id: int, lead_id: int) -> RowMapping | None:
    """Who this lead is; None when it was erased."""
    query = select(contacts).where(contacts.c.campaign_id == campaign_id, contacts.c.lead_id == lead_id)
    return _one(connection, query)


def contacts_of(connection: Connection, campaign_id: int) -> Iterator[RowMapping]:
    """All contacts of a campaign by position, read as they are used."""
    query = select(contacts).where(contacts.c.campaign_id == campaign_id).order_by(contacts.c.position)
    return _stream(connection, query)


def contacts_by_address(
    connection: Connection, campaign_id: int, address_keys: Collection[str]
) -> dict[str, RowMapping]:
    """Which of these addresses the campaign has already, by casefolded address: duplicates and re-imports."""
    found: dict[str, RowMapping] = {}
    for keys in in_lists(address_keys):
        query = select(contacts).where(contacts.c.campaign_id == campaign_id, contacts.c.address_key.in_(keys))
        found.update((row["address_key"], row) for row in connection.execute(query).mappings())
    return found


def content(connection: Connection, campaign_id: int, version: int) -> RowMapping | None:
    """One version of a campaign's templates."""
    query = select(contents).where(contents.c.campaign_id == campaign_id, contents.c.version == version)
    return _one(connection, query)


def identity(connection: Connection, name: str, digest: str) -> RowMapping | None:
    """A mailbox's SMTP settings by their digest."""
    table = mailbox_identities
    return _one(connection, select(table).where(table.c.name == name, table.c.digest == digest))


def kept_mail(connection: Connection, token: str) -> bytes | None:
    """The compressed bytes of the mail that this lock released."""
    query = select(kept_mails.c.message).where(kept_mails.c.token == token)
    return connection.execute(query).scalar_one_or_none()


def reply(connection: Connection, campaign_id: int, lead_id: int, attempt: int) -> str | None:
    """What the server said to this attempt."""
    query = select(replies.c.text).where(
        replies.c.campaign_id == campaign_id, replies.c.lead_id == lead_id, replies.c.attempt == attempt
    )
    return connection.execute(query).scalar_one_or_none()


def suppressed_among(connection: Connection, address_hmacs: Collection[str]) -> set[str]:
    """Which of these must never be mailed."""
    found: set[str] = set()
    for hmacs in in_lists(address_hmacs):
        query = select(suppressed.c.address_hmac).where(suppressed.c.address_hmac.in_(hmacs))
        found.update(connection.execute(query).scalars())
    return found


def suppressions(connection: Connection) -> Iterator[RowMapping]:
    """The whole suppression list, oldest first."""
    return _stream(connection, select(suppressed).order_by(suppressed.c.added_at, suppressed.c.address_hmac))


def snapshot(connection: Connection, stream: str) -> RowMapping | None:
    """The newest snapshot of a stream. The caller checks its shape."""
    return _one(connection, select(snapshots).where(snapshots.c.stream == stream))


def in_lists(values: Collection[Any]) -> Iterator[list[Any]]:
    """The values in lists short enough for one IN."""
    ordered = sorted(values)
    for start in range(0, len(ordered), IN_LIST):
        yield ordered[start : start + IN_LIST]


def _one(connection: Connection, query: Any) -> RowMapping | None:
    return connection.execute(query).mappings().one_or_none()


def _stream(connection: Connection, query: Any) -> Iterator[RowMapping]:
    yield from connection.execute(query.execution_options(yield_per=ROWS_AT_ONCE)).mappings()
