"""The seal: checkpoints over the events, which can only be added to; an index of the events that change settings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# SQLite resolves INSERT OR REPLACE by deleting the older row, unseen by a trigger against DELETE (see revision 0001).
NO_REPLACE = """
CREATE TRIGGER checkpoints_no_replace BEFORE INSERT ON checkpoints
WHEN EXISTS (SELECT 1 FROM checkpoints WHERE size = NEW.size OR since = NEW.since)
BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only: this one exists'); END
"""
NO_UPDATE = """
CREATE TRIGGER checkpoints_no_update BEFORE UPDATE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only: none is ever changed'); END
"""
NO_DELETE = """
CREATE TRIGGER checkpoints_no_delete BEFORE DELETE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only: none is ever removed'); END
"""

REFUSE = """
CREATE FUNCTION sendledger_refuse_checkpoint() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'checkpoints are append-only: % is never allowed', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$
"""
NO_CHANGE = """
CREATE TRIGGER checkpoints_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON checkpoints
FOR EACH STATEMENT EXECUTE FUNCTION sendledger_refuse_checkpoint()
"""

TRIGGERS = {
    "sqlite": (NO_REPLACE, NO_UPDATE, NO_DELETE),
    "postgresql": (REFUSE, NO_CHANGE, "ALTER TABLE checkpoints ENABLE ALWAYS TRIGGER checkpoints_no_change"),
}

SETTINGS = sa.text(
    "topic IN ('CampaignCreated/1', 'ContentChanged/1', 'ScheduleChanged/1', 'LimitsChanged/1', 'MailboxAssigned/1')"
)


def upgrade() -> None:
    """Make the table, what protects it, and the index."""
    op.create_table(
        "checkpoints",
        sa.Column("size", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("since", WHOLE, nullable=False),
        sa.Column("position", WHOLE, nullable=False),
        sa.Column("note", TEXT, nullable=False),
        sa.Column("frontier", sa.LargeBinary, nullable=False),
        sa.Column("leaves", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("since", name="checkpoints_one_after_another"),
    )
    for statement in TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)
    op.create_index(
        "stored_events_settings",
        "stored_events",
        ["originator_id", "originator_version"],
        sqlite_where=SETTINGS,
        postgresql_where=SETTINGS,
    )
