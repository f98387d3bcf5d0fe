"""The view tables: what the events add up to, in rows that people ask for. Everything here can be rebuilt from zero.
No view holds personal data; a query joins the kept tables where it must show some.

Columns follow the kept tables: times as `time_text` writes them, JSON as text, yes and no as 1 and 0.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, MetaData, Table, column, literal_column

from projections.columns import TEXT, WHOLE

METADATA = MetaData()

UNANSWERED = column("outcome").in_([literal_column("'locked'"), literal_column("'in doubt'")])
"""Attempts nobody knows the outcome of. Literal, for a database uses a partial index only where a query repeats it."""

campaigns = Table(
    "campaigns",
    METADATA,
    Column("id", WHOLE, primary_key=True, autoincrement=False),
    Column("name", TEXT, nullable=False),
    Column("status", TEXT, nullable=False),
    Column("owner", TEXT, nullable=False),
    Column("epoch", WHOLE, nullable=False),
    Column("owner_since", TEXT, nullable=False),
    Column("imported", WHOLE, nullable=False),  # it came from an old system
    Column("observed", WHOLE, nullable=False),  # that system still mails it
    Column("flagged", WHOLE, nullable=False),  # V2 shall migrate it
    Column("migration_refused", TEXT),
    Column("mailbox", TEXT, nullable=False),
    Column("message_id_domain", TEXT, nullable=False),
    Column("content_version", WHOLE, nullable=False),
    Column("content_digest", TEXT, nullable=False),
    Column("schedule", TEXT, nullable=False),
    Column("limits", TEXT, nullable=False),
    Column("zone", TEXT, nullable=False),  # the schedule's, so that a day's mails can be counted without reading it
    Column("leads", WHOLE, nullable=False),
    Column("queued", WHOLE, nullable=False),
    Column("locked", WHOLE, nullable=False),
    Column("sent", WHOLE, nullable=False),
    Column("failed", WHOLE, nullable=False),
    Column("skipped", WHOLE, nullable=False),
    Column("in_doubt", WHOLE, nullable=False),
    Column("created_at", TEXT, nullable=False),
    Column("created_by", TEXT, nullable=False),
    Column("started_at", TEXT),
    Column("status_since", TEXT, nullable=False),
    Column("status_actor", TEXT),
    Column("status_reason", TEXT),
    Column("last_mail_at", TEXT),
)
"""One row a campaign: its settings in force, its place in its life, and how many leads are in each state."""

leads = Table(
    "leads",
    METADATA,
    Column("campaign_id", WHOLE, primary_key=True, autoincrement=False),
    Column("position", WHOLE, primary_key=True, autoincrement=False),
    Column("lead_id", WHOLE, nullable=False),
    Column("state", TEXT, nullable=False),
    Column("v1_status", TEXT, nullable=False),
    Column("priority", WHOLE, nullable=False),
    Column("revision", WHOLE, nullable=False),
    Column("attempts", WHOLE, nullable=False),
    Column("awaited_attempt", WHOLE),  # the attempt whose outcome decides the state; none once one was accepted
    Column("accepted_late", WHOLE, nullable=False),  # mailed for certain, whatever becomes of its other attempts
    Column("next_attempt_at", TEXT),
    Column("queued_at", TEXT, nullable=False),
    Column("last_code", WHOLE),
    Column("last_enhanced", TEXT),
    Column("reason", TEXT),
    Index("leads_by_number", "campaign_id", "lead_id", unique=True),
    sqlite_with_rowid=False,
)
"""One row a lead: the queue, and the statuses that V1 would read in its own table.

`reason`: why it is skipped; the phase in which it failed; what put it in doubt.
"""

send_log = Table(
    "send_log",
    METADATA,
    Column("campaign_id", WHOLE, primary_key=True, autoincrement=False),
    Column("position", WHOLE, primary_key=True, autoincrement=False),
    Column("attempt", WHOLE, primary_key=True, autoincrement=False),
    Column("lead_id", WHOLE, nullable=False),
    Column("sender", TEXT, nullable=False),
    Column("epoch", WHOLE, nullable=False),
    Column("runner", TEXT, nullable=False),
    Column("mailbox", TEXT, nullable=False),
    Column("token", TEXT),
    Column("message_id", TEXT),
    Column("digest", TEXT),
    Column("content_version", WHOLE),
    Column("revision", WHOLE),
    Column("commitment", TEXT),
    Column("due_at", TEXT),
    Column("date", TEXT),
    Column("locked_at", TEXT),
    Column("lock_position", WHOLE),
    Column("outcome", TEXT, nullable=False),
    Column("outcome_position", WHOLE),
    Column("finished_at", TEXT),
    Column("phase", TEXT),
    Column("code", WHOLE),
    Column("enhanced", TEXT),
    Column("queue_id", TEXT),
    Column("permanent", WHOLE),
    Column("next_attempt_at", TEXT),
    Column("cause", TEXT),
    Column("evidence", TEXT),
    Column("resolved_by", TEXT),
    Column("duplicate", WHOLE, nullable=False),
    Column("imported", WHOLE),  # the row of an old system's SendLog that this attempt was taken in from
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

cutovers = Table(
    "cutovers",
    METADATA,
    Column("log_position", WHOLE, primary_key=True, autoincrement=False),
    Column("campaign_id", WHOLE, nullable=False),
    Column("step", TEXT, nullable=False),
    Column("at", TEXT, nullable=False),
    Column("owner", TEXT, nullable=False),
    Column("epoch", WHOLE, nullable=False),
    Column("actor", TEXT),
    Column("reason", TEXT),
    Column("details", TEXT, nullable=False),
    Index("cutovers_by_campaign", "campaign_id", "log_position"),
)
"""One row a step of a campaign's way from an old system to V2, or back: what was done, by whom, why, and who owned the
campaign after it. `details`: what else the event says, as JSON."""

shadows = Table(
    "shadows",
    METADATA,
    Column("campaign_id", WHOLE, primary_key=True, autoincrement=False),
    Column("since", TEXT, nullable=False),
    Column("stopped_at", TEXT),
    Column("due", WHOLE, nullable=False),
    Column("tried", WHOLE, nullable=False),
)
"""One row a campaign that ever had a shadow, since that was last started, or the campaign last changed its owner: mails
that the other sender would have sent, and mails that the owner tried meanwhile."""

campaign_days = Table(
    "campaign_days",
    METADATA,
    Column("campaign_id", WHOLE, primary_key=True, autoincrement=False),
    Column("date", TEXT, primary_key=True),
    Column("mails", WHOLE, nullable=False),
)
"""Locks by local date, in the zone that was the campaign's at that time."""

mailboxes = Table(
    "mailboxes",
    METADATA,
    Column("name", TEXT, primary_key=True),
    Column("daily_limit", WHOLE, nullable=False),
    Column("zone", TEXT, nullable=False),
    Column("identity_digest", TEXT, nullable=False),
    Column("paused_reason", TEXT),
    Column("delayed_until", TEXT),
    Column("failures", WHOLE, nullable=False),
    Column("last_phase", TEXT),
    Column("last_code", WHOLE),
    Column("last_enhanced", TEXT),
    Column("added_at", TEXT, nullable=False),
    Column("changed_at", TEXT, nullable=False),
    Column("changed_by", TEXT),
    Column("last_mail_at", TEXT),
)
"""One row a mailbox: its settings in force, and what holds it back."""

mailbox_days = Table(
    "mailbox_days",
    METADATA,
    Column("mailbox", TEXT, primary_key=True),
    Column("date", TEXT, primary_key=True),
    Column("mails", WHOLE, nullable=False),
)
"""Slots taken by local date, over all campaigns, in the zone that was the mailbox's at that time."""

runners = Table(
    "runners",
    METADATA,
    Column("runner", TEXT, primary_key=True),
    Column("host", TEXT, nullable=False),
    Column("pid", WHOLE, nullable=False),
    Column("version", TEXT, nullable=False),
    Column("started_at", TEXT, nullable=False),
    Column("stopped_at", TEXT),
)
"""One row a process start. Without `stopped_at` it runs, or did not end in good order."""

ticks = Table(
    "ticks",
    METADATA,
    Column("runner", TEXT, primary_key=True),
    Column("sender", TEXT, primary_key=True),
    Column("kind", TEXT, primary_key=True),
    Column("tick_at", TEXT, primary_key=True),
    Column("log_position", WHOLE, nullable=False),
    Column("until", TEXT),
    Column("count", WHOLE, nullable=False),
    Column("due", WHOLE),
    Column("considered", WHOLE),
    Column("sent", WHOLE),
    Column("failed", WHOLE),
    Column("in_doubt", WHOLE),
    Column("deferred", TEXT),
    Column("finished_at", TEXT),
    Index("ticks_by_position", "log_position"),
)
"""One row a tick that found work, or a run of `count` idle or missed ones from `tick_at` until `until`."""

event_counts = Table(
    "event_counts",
    METADATA,
    Column("topic", TEXT, primary_key=True),
    Column("events", WHOLE, nullable=False),
)
"""How many events of each topic were folded: one that a newer program stored is seen here without a walk."""

progress = Table(
    "progress",
    METADATA,
    Column("id", WHOLE, primary_key=True, autoincrement=False),
    Column("position", WHOLE, nullable=False),
)
"""One row: the place in the ledger up to which these views hold."""

PROGRESS_ID = 1
