"""The view tables: what the events add up to, in rows that people ask for. Everything here can be rebuilt from zero.
No view holds personal data; a query joins the kept tables where it must show some.

Columns follow the kept tables: times as `time_text` writes them, JSON as text, yes and no as 1 and 0.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, MetaData, Table, Text, column, literal_column

METADATA = MetaData()

UNANSWERED = column("outcome").in_([literal_column("'locked'"), literal_column("'in doubt'")])
"""Attempts nobody knows the outcome of. Literal, for a database uses a partial index only where a query repeats it."""

campaigns = Table(
    "campaigns",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("mailbox", Text, nullable=False),
    Column("message_id_domain", Text, nullable=False),
    Column("content_version", Integer, nullable=False),
    Column("content_digest", Text, nullable=False),
    Column("schedule", Text, nullable=False),
    Column("limits", Text, nullable=False),
    Column("zone", Text, nullable=False),  # the schedule's, so that a day's mails can be counted without reading it
    Column("leads", Integer, nullable=False),
    Column("queued", Integer, nullable=False),
    Column("locked", Integer, nullable=False),
    Column("sent", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("skipped", Integer, nullable=False),
    Column("in_doubt", Integer, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("started_at", Text),
    Column("status_since", Text, nullable=False),
    Column("status_actor", Text),
    Column("status_reason", Text),
    Column("last_mail_at", Text),
)
"""One row a campaign: its settings in force, its place in its life, and how many leads are in each state."""

leads = Table(
    "leads",
    METADATA,
    Column("campaign_id", Integer, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("lead_id", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("v1_status", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("awaited_attempt", Integer),  # the attempt whose outcome decides the state; none once one was accepted
    Column("accepted_late", Integer, nullable=False),  # mailed for certain, whatever becomes of its other attempts
    Column("next_attempt_at", Text),
    Column("queued_at", Text, nullable=False),
    Column("last_code", Integer),
    Column("last_enhanced", Text),
    Column("reason", Text),
    Index("leads_by_number", "campaign_id", "lead_id", unique=True),
    sqlite_with_rowid=False,
)
"""One row a lead: the queue, and the statuses that V1 would read in its own table.

`reason`: why it is skipped; the phase in which it failed; what put it in doubt.
"""

send_log = Table(
    "send_log",
    METADATA,
    Column("campaign_id", Integer, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("lead_id", Integer, nullable=False),
    Column("sender", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("runner", Text, nullable=False),
    Column("mailbox", Text, nullable=False),
    Column("token", Text),
    Column("message_id", Text),
    Column("digest", Text),
    Column("content_version", Integer),
    Column("revision", Integer),
    Column("commitment", Text),
    Column("due_at", Text),
    Column("date", Text),
    Column("locked_at", Text),
    Column("lock_position", Integer),
    Column("outcome", Text, nullable=False),
    Column("outcome_position", Integer),
    Column("finished_at", Text),
    Column("phase", Text),
    Column("code", Integer),
    Column("enhanced", Text),
    Column("queue_id", Text),
    Column("permanent", Integer),
    Column("next_attempt_at", Text),
    Column("cause", Text),
    Column("evidence", Text),
    Column("resolved_by", Text),
    Column("duplicate", Integer, nullable=False),
    Index(
        "send_log_unanswered",
        "outcome",
        sqlite_where=UNANSWERED,
        postgresql_where=UNANSWERED,
    ),
)
"""One row an attempt. What belongs to the lock is empty where the attempt failed before one.

`lock_position` and `outcome_position` are places in the ledger. `outcome`: see `rows.Outcome`.
"""

campaign_days = Table(
    "campaign_days",
    METADATA,
    Column("campaign_id", Integer, primary_key=True, autoincrement=False),
    Column("date", Text, primary_key=True),
    Column("mails", Integer, nullable=False),
)
"""Locks by local date, in the zone that was the campaign's at that time."""

mailboxes = Table(
    "mailboxes",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("daily_limit", Integer, nullable=False),
    Column("zone", Text, nullable=False),
    Column("identity_digest", Text, nullable=False),
    Column("paused_reason", Text),
    Column("delayed_until", Text),
    Column("failures", Integer, nullable=False),
    Column("last_phase", Text),
    Column("last_code", Integer),
    Column("last_enhanced", Text),
    Column("added_at", Text, nullable=False),
    Column("changed_at", Text, nullable=False),
    Column("changed_by", Text),
    Column("last_mail_at", Text),
)
"""One row a mailbox: its settings in force, and what holds it back."""

mailbox_days = Table(
    "mailbox_days",
    METADATA,
    Column("mailbox", Text, primary_key=True),
    Column("date", Text, primary_key=True),
    Column("mails", Integer, nullable=False),
)
"""Slots taken by local date, over all campaigns, in the zone that was the mailbox's at that time."""

runners = Table(
    "runners",
    METADATA,
    Column("runner", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", Text, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("stopped_at", Text),
)
"""One row a process start. Without `stopped_at` it runs, or did not end in good order."""

ticks = Table(
    "ticks",
    METADATA,
    Column("runner", Text, primary_key=True),
    Column("sender", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("tick_at", Text, primary_key=True),
    Column("log_position", Integer, nullable=False),
    Column("until", Text),
    Column("count", Integer, nullable=False),
    Column("due", Integer),
    Column("considered", Integer),
    Column("sent", Integer),
    Column("failed", Integer),
    Column("in_doubt", Integer),
    Column("deferred", Text),
    Column("finished_at", Text),
    Index("ticks_by_position", "log_position"),
)
"""One row a tick that found work, or a run of `count` idle or missed ones from `tick_at` until `until`."""

event_counts = Table(
    "event_counts",
    METADATA,
    Column("topic", Text, primary_key=True),
    Column("events", Integer, nullable=False),
)
"""How many events of each topic were folded: one that a newer program stored is seen here without a walk."""

progress = Table(
    "progress",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("position", Integer, nullable=False),
)
"""One row: the place in the ledger up to which these views hold."""

PROGRESS_ID = 1
