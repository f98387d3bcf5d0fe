"""The first ledger: events that can only be added to, kept tables and views."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# --- events can only be added: SQLite ---

# SQLite resolves INSERT OR REPLACE by deleting the older row, and fires a trigger against DELETE only where the
# connection has recursive_triggers on. A trigger before INSERT comes first on every connection. Here NEW.rowid reads
# as -1 when none was given; no row has that number, for the next trigger refuses it.
NO_REPLACE = """
CREATE TRIGGER stored_events_no_replace BEFORE INSERT ON stored_events
WHEN EXISTS (
    SELECT 1 FROM stored_events
    WHERE originator_id = NEW.originator_id AND originator_version = NEW.originator_version
) OR EXISTS (SELECT 1 FROM stored_events WHERE rowid = NEW.rowid)
BEGIN SELECT RAISE(ABORT, 'events are append-only: this version of the stream, or this position, exists'); END
"""

# A position follows the one before without a gap: nobody can date an event back, number it below all others, or take
# the highest number there is, after which SQLite would number at random. Before INSERT the number is not yet known.
NO_GAPS = """
CREATE TRIGGER stored_events_no_gaps AFTER INSERT ON stored_events
WHEN NEW.rowid <> 1 + coalesce((SELECT max(rowid) FROM stored_events WHERE rowid < NEW.rowid), 0)
BEGIN SELECT RAISE(ABORT, 'events are append-only: a position cannot be chosen'); END
"""

NO_UPDATE = """
CREATE TRIGGER stored_events_no_update BEFORE UPDATE ON stored_events
BEGIN SELECT RAISE(ABORT, 'events are append-only: none is ever changed'); END
"""

NO_DELETE = """
CREATE TRIGGER stored_events_no_delete BEFORE DELETE ON stored_events
BEGIN SELECT RAISE(ABORT, 'events are append-only: none is ever removed'); END
"""

# --- events can only be added: PostgreSQL ---

# A trigger for each statement: it fires for INSERT … ON CONFLICT DO UPDATE and MERGE too, and where no row matches.
REFUSE = """
CREATE FUNCTION sendledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are append-only: % is never allowed', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$
"""
NO_CHANGE = """
CREATE TRIGGER stored_events_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON stored_events
FOR EACH STATEMENT EXECUTE FUNCTION sendledger_refuse()
"""

# Whoever appends, by whatever program, holds the append lock until the commit. Positions are drawn after that, so they
# are committed in their order, and a reader that follows the log never passes one by.
ONE_AT_A_TIME = """
CREATE FUNCTION sendledger_append_lock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1397507396, 1);
    RETURN NULL;
END $$
"""
APPEND_LOCK = """
CREATE TRIGGER stored_events_append_lock BEFORE INSERT ON stored_events
FOR EACH STATEMENT EXECUTE FUNCTION sendledger_append_lock()
"""

# ALWAYS: a session that plays a replica would pass triggers by.
ALWAYS = "ALTER TABLE stored_events ENABLE ALWAYS TRIGGER "

TRIGGERS = {
    "sqlite": (NO_REPLACE, NO_GAPS, NO_UPDATE, NO_DELETE),
    "postgresql": (
        REFUSE,
        NO_CHANGE,
        ALWAYS + "stored_events_no_change",
        ONE_AT_A_TIME,
        APPEND_LOCK,
        ALWAYS + "stored_events_append_lock",
    ),
}

UNANSWERED = sa.text("outcome IN ('locked', 'in doubt')")


def upgrade() -> None:
    """Make all tables."""
    dialect = op.get_bind().dialect.name
    _stored_events(dialect)
    _kept()
    _views()
    op.execute("INSERT INTO progress (id, position) VALUES (1, 0)")  # the views hold for an empty ledger
    for statement in TRIGGERS[dialect]:
        op.execute(statement)


def _stored_events(dialect: str) -> None:
    columns: list[sa.Column[object]] = [
        sa.Column("originator_id", TEXT, primary_key=True),
        sa.Column("originator_version", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("topic", TEXT, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
    ]
    if dialect == "postgresql":
        # Filled by the server only: an identity column refuses a position that somebody chose.
        columns.append(sa.Column("notification_id", WHOLE, sa.Identity(always=True), nullable=False))
    op.create_table("stored_events", *columns)
    if dialect == "postgresql":
        op.create_index("stored_events_notification_id_idx", "stored_events", ["notification_id"], unique=True)


def _kept() -> None:
    op.create_table(
        "ledger_info",
        sa.Column("key", TEXT, primary_key=True),
        sa.Column("value", TEXT, nullable=False),
    )
    op.create_table(
        "contacts",
        sa.Column("campaign_id", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("lead_id", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("position", WHOLE, nullable=False),
        sa.Column("address", TEXT, nullable=False),
        sa.Column("address_key", TEXT, nullable=False),
        sa.Column("address_hmac", TEXT, nullable=False),
        sa.Column("salt", sa.LargeBinary, nullable=False),
        sa.Column("fields", TEXT, nullable=False),
        sa.Column("revision", WHOLE, nullable=False),
        sa.Column("commitment", TEXT, nullable=False),
        sa.UniqueConstraint("campaign_id", "address_key", name="contacts_one_per_address"),
    )
    op.create_index("contacts_by_address", "contacts", ["address_key"])
    op.create_table(
        "contents",
        sa.Column("campaign_id", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("version", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("text", TEXT),
        sa.Column("html", TEXT),
        sa.Column("unsubscribe_mailto", TEXT),
        sa.Column("unsubscribe_url", TEXT),
    )
    op.create_table(
        "mailbox_identities",
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("digest", TEXT, primary_key=True),
        sa.Column("from_name", TEXT, nullable=False),
        sa.Column("from_address", TEXT, nullable=False),
        sa.Column("host", TEXT, nullable=False),
        sa.Column("port", WHOLE, nullable=False),
        sa.Column("tls", TEXT, nullable=False),
        sa.Column("user", TEXT),
        sa.Column("password_ref", TEXT),
        sa.Column("allow_plaintext", WHOLE, nullable=False),
        sa.Column("connections", WHOLE, nullable=False),
    )
    op.create_table(
        "kept_mails",
        sa.Column("token", TEXT, primary_key=True),
        sa.Column("campaign_id", WHOLE, nullable=False),
        sa.Column("lead_id", WHOLE, nullable=False),
        sa.Column("message", sa.LargeBinary, nullable=False),
    )
    op.create_index("kept_mails_by_lead", "kept_mails", ["campaign_id", "lead_id"])
    op.create_table(
        "replies",
        sa.Column("campaign_id", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("lead_id", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("attempt", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("text", TEXT, nullable=False),
    )
    op.create_table(
        "suppressed",
        sa.Column("address_hmac", TEXT, primary_key=True),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("added_at", TEXT, nullable=False),
        sa.Column("actor", TEXT, nullable=False),
    )
    op.create_table(
        "snapshots",
        sa.Column("stream", TEXT, primary_key=True),
        sa.Column("version", WHOLE, nullable=False),
        sa.Column("position", WHOLE, nullable=False),
        sa.Column("shape", TEXT, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
    )


def _views() -> None:
    op.create_table(
        "campaigns",
        sa.Column("id", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("epoch", WHOLE, nullable=False),
        sa.Column("mailbox", TEXT, nullable=False),
        sa.Column("message_id_domain", TEXT, nullable=False),
        sa.Column("content_version", WHOLE, nullable=False),
        sa.Column("content_digest", TEXT, nullable=False),
        sa.Column("schedule", TEXT, nullable=False),
        sa.Column("limits", TEXT, nullable=False),
        sa.Column("zone", TEXT, nullable=False),
        sa.Column("leads", WHOLE, nullable=False),
        sa.Column("queued", WHOLE, nullable=False),
        sa.Column("locked", WHOLE, nullable=False),
        sa.Column("sent", WHOLE, nullable=False),
        sa.Column("failed", WHOLE, nullable=False),
        sa.Column("skipped", WHOLE, nullable=False),
        sa.Column("in_doubt", WHOLE, nullable=False),
        sa.Column("created_at", TEXT, nullable=False),
        sa.Column("created_by", TEXT, nullable=False),
        sa.Column("started_at", TEXT),
        sa.Column("status_since", TEXT, nullable=False),
        sa.Column("status_actor", TEXT),
        sa.Column("status_reason", TEXT),
        sa.Column("last_mail_at", TEXT),
    )
    op.create_table(
        "leads",
        sa.Column("campaign_id", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("position", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("lead_id", WHOLE, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("v1_status", TEXT, nullable=False),
        sa.Column("priority", WHOLE, nullable=False),
        sa.Column("revision", WHOLE, nullable=False),
        sa.Column("attempts", WHOLE, nullable=False),
        sa.Column("awaited_attempt", WHOLE),
        sa.Column("accepted_late", WHOLE, nullable=False),
        sa.Column("next_attempt_at", TEXT),
        sa.Column("queued_at", TEXT, nullable=False),
        sa.Column("last_code", WHOLE),
        sa.Column("last_enhanced", TEXT),
        sa.Column("reason", TEXT),
        sqlite_with_rowid=False,
    )
    op.create_index("leads_by_number", "leads", ["campaign_id", "lead_id"], unique=True)
    op.create_table(
        "send_log",
        sa.Column("campaign_id", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("position", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("attempt", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("lead_id", WHOLE, nullable=False),
        sa.Column("sender", TEXT, nullable=False),
        sa.Column("epoch", WHOLE, nullable=False),
        sa.Column("runner", TEXT, nullable=False),
        sa.Column("mailbox", TEXT, nullable=False),
        sa.Column("token", TEXT),
        sa.Column("message_id", TEXT),
        sa.Column("digest", TEXT),
        sa.Column("content_version", WHOLE),
        sa.Column("revision", WHOLE),
        sa.Column("commitment", TEXT),
        sa.Column("due_at", TEXT),
        sa.Column("date", TEXT),
        sa.Column("locked_at", TEXT),
        sa.Column("lock_position", WHOLE),
        sa.Column("outcome", TEXT, nullable=False),
        sa.Column("outcome_position", WHOLE),
        sa.Column("finished_at", TEXT),
        sa.Column("phase", TEXT),
        sa.Column("code", WHOLE),
        sa.Column("enhanced", TEXT),
        sa.Column("queue_id", TEXT),
        sa.Column("permanent", WHOLE),
        sa.Column("next_attempt_at", TEXT),
        sa.Column("cause", TEXT),
        sa.Column("evidence", TEXT),
        sa.Column("resolved_by", TEXT),
        sa.Column("duplicate", WHOLE, nullable=False),
    )
    op.create_index(
        "send_log_unanswered", "send_log", ["outcome"], sqlite_where=UNANSWERED, postgresql_where=UNANSWERED
    )
    op.create_table(
        "campaign_days",
        sa.Column("campaign_id", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("date", TEXT, primary_key=True),
        sa.Column("mails", WHOLE, nullable=False),
    )
    op.create_table(
        "mailboxes",
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("daily_limit", WHOLE, nullable=False),
        sa.Column("zone", TEXT, nullable=False),
        sa.Column("identity_digest", TEXT, nullable=False),
        sa.Column("paused_reason", TEXT),
        sa.Column("delayed_until", TEXT),
        sa.Column("failures", WHOLE, nullable=False),
        sa.Column("last_phase", TEXT),
        sa.Column("last_code", WHOLE),
        sa.Column("last_enhanced", TEXT),
        sa.Column("added_at", TEXT, nullable=False),
        sa.Column("changed_at", TEXT, nullable=False),
        sa.Column("changed_by", TEXT),
        sa.Column("last_mail_at", TEXT),
    )
    op.create_table(
        "mailbox_days",
        sa.Column("mailbox", TEXT, primary_key=True),
        sa.Column("date", TEXT, primary_key=True),
        sa.Column("mails", WHOLE, nullable=False),
    )
    op.create_table(
        "runners",
        sa.Column("runner", TEXT, primary_key=True),
        sa.Column("host", TEXT, nullable=False),
        sa.Column("pid", WHOLE, nullable=False),
        sa.Column("version", TEXT, nullable=False),
        sa.Column("started_at", TEXT, nullable=False),
        sa.Column("stopped_at", TEXT),
    )
    op.create_table(
        "ticks",
        sa.Column("runner", TEXT, primary_key=True),
        sa.Column("sender", TEXT, primary_key=True),
        sa.Column("kind", TEXT, primary_key=True),
        sa.Column("tick_at", TEXT, primary_key=True),
        sa.Column("log_position", WHOLE, nullable=False),
        sa.Column("until", TEXT),
        sa.Column("count", WHOLE, nullable=False),
        sa.Column("due", WHOLE),
        sa.Column("considered", WHOLE),
        sa.Column("sent", WHOLE),
        sa.Column("failed", WHOLE),
        sa.Column("in_doubt", WHOLE),
        sa.Column("deferred", TEXT),
        sa.Column("finished_at", TEXT),
    )
    op.create_index("ticks_by_position", "ticks", ["log_position"])
    op.create_table(
        "event_counts",
        sa.Column("topic", TEXT, primary_key=True),
        sa.Column("events", WHOLE, nullable=False),
    )
    op.create_table(
        "progress",
        sa.Column("id", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("position", WHOLE, nullable=False),
    )
