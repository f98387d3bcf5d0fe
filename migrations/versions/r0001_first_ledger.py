"""The first ledger: events that can only be added to, kept tables and views."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# The triggers are SQLite's: there the table itself must refuse, for whoever can write the file can write any statement.

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

UNANSWERED = sa.text("outcome IN ('locked', 'in doubt')")

TRIGGERS = (NO_REPLACE, NO_GAPS, NO_UPDATE, NO_DELETE)


def upgrade() -> None:
    """Make all tables."""
    _stored_events()
    _kept()
    _views()
    op.execute("INSERT INTO progress (id, position) VALUES (1, 0)")  # the views hold for an empty ledger
    for trigger in TRIGGERS:
        op.execute(trigger)


def _stored_events() -> None:
    op.create_table(
        "stored_events",
        sa.Column("originator_id", sa.Text, primary_key=True),
        sa.Column("originator_version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
    )


def _kept() -> None:
    op.create_table(
        "ledger_info",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "contacts",
        sa.Column("campaign_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("lead_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("address_key", sa.Text, nullable=False),
        sa.Column("salt", sa.LargeBinary, nullable=False),
        sa.Column("fields", sa.Text, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("commitment", sa.Text, nullable=False),
        sa.UniqueConstraint("campaign_id", "address_key", name="contacts_one_per_address"),
    )
    op.create_index("contacts_by_address", "contacts", ["address_key"])
    op.create_table(
        "contents",
        sa.Column("campaign_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("html", sa.Text),
    )
    op.create_table(
        "mailbox_identities",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("from_name", sa.Text, nullable=False),
        sa.Column("from_address", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("port", sa.Integer, nullable=False),
        sa.Column("tls", sa.Text, nullable=False),
        sa.Column("user", sa.Text),
        sa.Column("password_ref", sa.Text),
        sa.Column("allow_plaintext", sa.Integer, nullable=False),
    )
    op.create_table(
        "kept_mails",
        sa.Column("token", sa.Text, primary_key=True),
        sa.Column("campaign_id", sa.Integer, nullable=False),
        sa.Column("lead_id", sa.Integer, nullable=False),
        sa.Column("message", sa.LargeBinary, nullable=False),
    )
    op.create_index("kept_mails_by_lead", "kept_mails", ["campaign_id", "lead_id"])
    op.create_table(
        "replies",
        sa.Column("campaign_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("lead_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_table(
        "suppressed",
        sa.Column("address_hmac", sa.Text, primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("added_at", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
    )
    op.create_table(
        "snapshots",
        sa.Column("stream", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("shape", sa.Text, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
    )


def _views() -> None:
    op.create_table(
        "campaigns",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("mailbox", sa.Text, nullable=False),
        sa.Column("message_id_domain", sa.Text, nullable=False),
        sa.Column("content_version", sa.Integer, nullable=False),
        sa.Column("content_digest", sa.Text, nullable=False),
        sa.Column("schedule", sa.Text, nullable=False),
        sa.Column("limits", sa.Text, nullable=False),
        sa.Column("zone", sa.Text, nullable=False),
        sa.Column("leads", sa.Integer, nullable=False),
        sa.Column("queued", sa.Integer, nullable=False),
        sa.Column("locked", sa.Integer, nullable=False),
        sa.Column("sent", sa.Integer, nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
        sa.Column("skipped", sa.Integer, nullable=False),
        sa.Column("in_doubt", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("started_at", sa.Text),
        sa.Column("status_since", sa.Text, nullable=False),
        sa.Column("status_actor", sa.Text),
        sa.Column("status_reason", sa.Text),
        sa.Column("last_mail_at", sa.Text),
    )
    op.create_table(
        "leads",
        sa.Column("campaign_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("lead_id", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("v1_status", sa.Text, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("awaited_attempt", sa.Integer),
        sa.Column("accepted_late", sa.Integer, nullable=False),
        sa.Column("next_attempt_at", sa.Text),
        sa.Column("queued_at", sa.Text, nullable=False),
        sa.Column("last_code", sa.Integer),
        sa.Column("last_enhanced", sa.Text),
        sa.Column("reason", sa.Text),
        sqlite_with_rowid=False,
    )
    op.create_index("leads_by_number", "leads", ["campaign_id", "lead_id"], unique=True)
    op.create_table(
        "send_log",
        sa.Column("campaign_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("lead_id", sa.Integer, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("runner", sa.Text, nullable=False),
        sa.Column("mailbox", sa.Text, nullable=False),
        sa.Column("token", sa.Text),
        sa.Column("message_id", sa.Text),
        sa.Column("digest", sa.Text),
        sa.Column("content_version", sa.Integer),
        sa.Column("revision", sa.Integer),
        sa.Column("commitment", sa.Text),
        sa.Column("due_at", sa.Text),
        sa.Column("date", sa.Text),
        sa.Column("locked_at", sa.Text),
        sa.Column("lock_position", sa.Integer),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("outcome_position", sa.Integer),
        sa.Column("finished_at", sa.Text),
        sa.Column("phase", sa.Text),
        sa.Column("code", sa.Integer),
        sa.Column("enhanced", sa.Text),
        sa.Column("queue_id", sa.Text),
        sa.Column("permanent", sa.Integer),
        sa.Column("next_attempt_at", sa.Text),
        sa.Column("cause", sa.Text),
        sa.Column("evidence", sa.Text),
        sa.Column("resolved_by", sa.Text),
        sa.Column("duplicate", sa.Integer, nullable=False),
    )
    op.create_index(
        "send_log_unanswered", "send_log", ["outcome"], sqlite_where=UNANSWERED, postgresql_where=UNANSWERED
    )
    op.create_table(
        "campaign_days",
        sa.Column("campaign_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("date", sa.Text, primary_key=True),
        sa.Column("mails", sa.Integer, nullable=False),
    )
    op.create_table(
        "mailboxes",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("daily_limit", sa.Integer, nullable=False),
        sa.Column("zone", sa.Text, nullable=False),
        sa.Column("identity_digest", sa.Text, nullable=False),
        sa.Column("paused_reason", sa.Text),
        sa.Column("delayed_until", sa.Text),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("last_phase", sa.Text),
        sa.Column("last_code", sa.Integer),
        sa.Column("last_enhanced", sa.Text),
        sa.Column("added_at", sa.Text, nullable=False),
        sa.Column("changed_at", sa.Text, nullable=False),
        sa.Column("changed_by", sa.Text),
        sa.Column("last_mail_at", sa.Text),
    )
    op.create_table(
        "mailbox_days",
        sa.Column("mailbox", sa.Text, primary_key=True),
        sa.Column("date", sa.Text, primary_key=True),
        sa.Column("mails", sa.Integer, nullable=False),
    )
    op.create_table(
        "runners",
        sa.Column("runner", sa.Text, primary_key=True),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("started_at", sa.Text, nullable=False),
        sa.Column("stopped_at", sa.Text),
    )
    op.create_table(
        "ticks",
        sa.Column("runner", sa.Text, primary_key=True),
        sa.Column("sender", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("tick_at", sa.Text, primary_key=True),
        sa.Column("log_position", sa.Integer, nullable=False),
        sa.Column("until", sa.Text),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("due", sa.Integer),
        sa.Column("considered", sa.Integer),
        sa.Column("sent", sa.Integer),
        sa.Column("failed", sa.Integer),
        sa.Column("in_doubt", sa.Integer),
        sa.Column("deferred", sa.Text),
        sa.Column("finished_at", sa.Text),
    )
    op.create_index("ticks_by_position", "ticks", ["log_position"])
    op.create_table(
        "event_counts",
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("events", sa.Integer, nullable=False),
    )
    op.create_table(
        "progress",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("position", sa.Integer, nullable=False),
    )
