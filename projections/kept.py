"""The kept tables: what no event may hold and no rebuild can bring back.
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
    LargeBinary,
    MetaData,
    RowMapping,
    Table,
    UniqueConstraint,
    bindparam,
    column,
    delete,
    insert,
    literal_column,
    select,
    text,
    update,
)

from projections.columns import TEXT, WHOLE

METADATA = MetaData()

NO_TWIN = column("twin_of").is_(None)

IN_LIST = 5000
"""Values in one IN list; SQLite takes 32,766 parameters, PostgreSQL 65,535."""
ROWS_AT_ONCE = 1000
"""Rows held in memory while a long answer is read."""

ledger_info = Table(
    "ledger_info",
    METADATA,
    Column("key", TEXT, primary_key=True),
    Column("value", TEXT, nullable=False),
)
"""What is fixed when a ledger is made: its id, whether its time is real or simulated, its start."""

contacts = Table(
    "contacts",
    METADATA,
    Column("campaign_id", WHOLE, primary_key=True, autoincrement=False),
    Column("lead_id", WHOLE, primary_key=True, autoincrement=False),
    Column("position", WHOLE, nullable=False),
    Column("address", TEXT, nullable=False),
    Column("address_key", TEXT, nullable=False),  # casefolded: two spellings of one address are one person
    Column("address_hmac", TEXT, nullable=False),  # as the suppression list knows the address
    Column("salt", LargeBinary, nullable=False),
    Column("fields", TEXT, nullable=False),
    Column("revision", WHOLE, nullable=False),
    Column("commitment", TEXT, nullable=False),
    Column("twin_of", WHOLE),
    Index(
        "contacts_one_per_address",
        "campaign_id",
        "address_key",
        unique=True,
        sqlite_where=NO_TWIN,
        postgresql_where=NO_TWIN,
    ),
    Index("contacts_by_address", "address_key"),
)
"""Who a lead is. The salt keys its commitments: without it they say nothing. `twin_of`: an old system has a lead of
the same address before this one in the campaign; only history brings such a lead, and one of them is never mailed."""

contents = Table(
    "contents",
    METADATA,
    Column("campaign_id", WHOLE, primary_key=True, autoincrement=False),
    Column("version", WHOLE, primary_key=True, autoincrement=False),
    Column("digest", TEXT, nullable=False),
    Column("subject", TEXT, nullable=False),
    Column("text", TEXT),  # none: it is derived from the HTML
    Column("html", TEXT),
    Column("unsubscribe_mailto", TEXT),
    Column("unsubscribe_url", TEXT),
)
"""The templates of a campaign and its ways to unsubscribe, every version of them."""

mailbox_identities = Table(
    "mailbox_identities",
    METADATA,
    Column("name", TEXT, primary_key=True),
    Column("digest", TEXT, primary_key=True),
    Column("from_name", TEXT, nullable=False),
    Column("from_address", TEXT, nullable=False),
    Column("host", TEXT, nullable=False),
    Column("port", WHOLE, nullable=False),
    Column("tls", TEXT, nullable=False),
    Column("user", TEXT),
    Column("password_ref", TEXT),
    Column("allow_plaintext", WHOLE, nullable=False),
    Column("connections", WHOLE, nullable=False),
)
"""How a mailbox reaches its server. `password_ref` says where the password is, never what it is."""

kept_mails = Table(
    "kept_mails",
    METADATA,
    Column("token", TEXT, primary_key=True),
    Column("campaign_id", WHOLE, nullable=False),
    Column("lead_id", WHOLE, nullable=False),
    Column("message", LargeBinary, nullable=False),
    Index("kept_mails_by_lead", "campaign_id", "lead_id"),
)
"""The bytes of each mail, compressed by zlib, by the token of its lock."""

replies = Table(
    "replies",
    METADATA,
    Column("campaign_id", WHOLE, primary_key=True, autoincrement=False),
    Column("lead_id", WHOLE, primary_key=True, autoincrement=False),
    Column("attempt", WHOLE, primary_key=True, autoincrement=False),
    Column("text", TEXT, nullable=False),
)
"""The server's full words to an attempt: they quote addresses."""

suppressed = Table(
    "suppressed",
    METADATA,
    Column("address_hmac", TEXT, primary_key=True),
    Column("reason", TEXT, nullable=False),
    Column("added_at", TEXT, nullable=False),
    Column("actor", TEXT, nullable=False),
)
"""Who must never be mailed, known only by a keyed HMAC of the address."""

snapshots = Table(
    "snapshots",
    METADATA,
    Column("stream", TEXT, primary_key=True),
    Column("version", WHOLE, nullable=False),
    Column("position", WHOLE, nullable=False),
    Column("shape", TEXT, nullable=False),
    Column("state", LargeBinary, nullable=False),
)
"""An aggregate's frozen state, so that a cold start need not read its whole stream."""

checkpoints = Table(
    "checkpoints",
    METADATA,
    Column("size", WHOLE, primary_key=True, autoincrement=False),
    Column("since", WHOLE, nullable=False),
    Column("position", WHOLE, nullable=False),
    Column("note", TEXT, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
    Column("leaves", LargeBinary, nullable=False),
    UniqueConstraint("since", name="checkpoints_one_after_another"),
)
"""The seal of the log at each size: a signed note, the tree's frontier to go on from, and the hashes of the events
from index `since` on. `position`: of the last of them. Rows can only be added."""

CHECKPOINT_TRIGGERS = {
    "sqlite": ("checkpoints_no_delete", "checkpoints_no_replace", "checkpoints_no_update"),
    "postgresql": ("checkpoints_no_change",),
}
"""What keeps checkpoints from being changed, whoever connects; made by migrations."""


# --- statements for the transaction of an append ---

SET_INFO = insert(ledger_info)
DROP_INFO = delete(ledger_info).where(ledger_info.c.key == bindparam("b_key"))
ADD_CONTACT = insert(contacts)
CHANGE_CONTACT = (
    update(contacts)
    .where(contacts.c.campaign_id == bindparam("b_campaign_id"), contacts.c.lead_id == bindparam("b_lead_id"))
    .values({name: bindparam(name) for name in ("address", "address_key", "fields", "revision", "commitment")})
)
"""The salt stays: what was mailed under it must stay provable."""
ADD_CONTENT = insert(contents)
ADD_IDENTITY = insert(mailbox_identities)
KEEP_MAIL = insert(kept_mails)
KEEP_REPLY = text(
    "INSERT INTO replies (campaign_id, lead_id, attempt, text) SELECT campaign_id, lead_id, :attempt, :text"
    " FROM contacts WHERE campaign_id = :campaign_id AND lead_id = :lead_id"
    " ON CONFLICT (campaign_id, lead_id, attempt) DO UPDATE SET text = excluded.text"
)
"""A late reply may answer an attempt that has one; to somebody who was erased meanwhile none is kept. Text, for
SQLAlchemy has no construct that both databases share."""
ERASE_CONTACT = delete(contacts).where(
    contacts.c.campaign_id == bindparam("b_campaign_id"), contacts.c.lead_id == bindparam("b_lead_id")
)
ERASE_MAILS = delete(kept_mails).where(
    kept_mails.c.campaign_id == bindparam("b_campaign_id"), kept_mails.c.lead_id == bindparam("b_lead_id")
)
ERASE_REPLIES = delete(replies).where(
    replies.c.campaign_id == bindparam("b_campaign_id"), replies.c.lead_id == bindparam("b_lead_id")
)
"""A person's rows, in the transaction that records the erasure."""
SUPPRESS = insert(suppressed)
UNSUPPRESS = delete(suppressed).where(suppressed.c.address_hmac == bindparam("b_address_hmac"))
DROP_SNAPSHOT = delete(snapshots).where(snapshots.c.stream == bindparam("b_stream"))
"""Before `ADD_SNAPSHOT`: one snapshot a stream."""
ADD_SNAPSHOT = insert(snapshots)
ADD_CHECKPOINT = insert(checkpoints)
LAST_CHECKPOINT = select(checkpoints).order_by(checkpoints.c.size.desc()).limit(literal_column("1"))
LAST_CHECKPOINT = LAST_CHECKPOINT.offset(literal_column("0"))  # left to SQLAlchemy, it is a parameter on SQLite
CHECKPOINT_AT = select(checkpoints).where(checkpoints.c.size == bindparam("size"))
NOTES_AFTER = (
    select(checkpoints.c.size, checkpoints.c.since, checkpoints.c.note)
    .where(checkpoints.c.size > bindparam("after"))
    .order_by(checkpoints.c.size)
)
LEAVES = select(checkpoints.c.leaves).where(checkpoints.c.size <= bindparam("upto")).order_by(checkpoints.c.size)


# --- queries ---


def info(connection: Connection) -> dict[str, str]:
    """What is fixed about this ledger."""
    return {row.key: row.value for row in connection.execute(select(ledger_info))}


def contact(connection: Connection, campaign_id: int, lead_id: int) -> RowMapping | None:
    """Who this lead is; None when it was erased."""
    query = select(contacts).where(contacts.c.campaign_id == campaign_id, contacts.c.lead_id == lead_id)
    return connection.execute(query).mappings().one_or_none()


def contacts_of(connection: Connection, campaign_id: int) -> Iterator[RowMapping]:
    """All contacts of a campaign by position, read as they are used."""
    query = select(contacts).where(contacts.c.campaign_id == campaign_id).order_by(contacts.c.position)
    return _stream(connection, query)


def contacts_by_address(
    connection: Connection, campaign_id: int, address_keys: Collection[str]
) -> dict[str, RowMapping]:
    """Which of these addresses the campaign has already, by casefolded address: duplicates and re-imports. Where two
    leads changed addresses in an old system, both are twins, and the first of them stands for the address."""
    found: dict[str, RowMapping] = {}
    of_campaign = select(contacts).where(contacts.c.campaign_id == campaign_id, NO_TWIN)
    for keys in in_lists(address_keys):
        query = of_campaign.where(contacts.c.address_key.in_(keys))
        found.update((row["address_key"], row) for row in connection.execute(query).mappings())
    for keys in in_lists(set(address_keys) - found.keys()):
        for row in connection.execute(_TWINS.where(contacts.c.address_key.in_(keys))).mappings():
            if row["campaign_id"] == campaign_id:
                found.setdefault(row["address_key"], row)
    return found


_TWINS = select(contacts).where(~NO_TWIN).order_by(contacts.c.position)
"""Of all campaigns: told which one, SQLite walks over all of its leads for every list of addresses."""


def contacts_by_lead(connection: Connection, campaign_id: int, lead_ids: Collection[int]) -> dict[int, RowMapping]:
    """Who these leads are, by number."""
    found: dict[int, RowMapping] = {}
    of_campaign = select(contacts).where(contacts.c.campaign_id == campaign_id)
    for numbers in in_lists(lead_ids):
        rows = connection.execute(of_campaign.where(contacts.c.lead_id.in_(numbers))).mappings()
        found.update((row["lead_id"], row) for row in rows)
    return found


def content(connection: Connection, campaign_id: int, version: int) -> RowMapping | None:
    """One version of a campaign's templates."""
    query = select(contents).where(contents.c.campaign_id == campaign_id, contents.c.version == version)
    return connection.execute(query).mappings().one_or_none()


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


def in_lists(values: Collection[Any]) -> Iterator[list[Any]]:
    """The values in lists short enough for one IN."""
    ordered = sorted(values)
    for start in range(0, len(ordered), IN_LIST):
        yield ordered[start : start + IN_LIST]


def _stream(connection: Connection, query: Any) -> Iterator[RowMapping]:
    yield from connection.execute(query.execution_options(yield_per=ROWS_AT_ONCE)).mappings()
