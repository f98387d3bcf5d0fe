"""What a shadow says was due, in a view of its own.

Where a shadow was ever started the views of the ledger are emptied: the next command that asks them makes them anew
from the events.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

VIEWS = (
    *("campaigns", "leads", "send_log", "cutovers", "campaign_days", "mailboxes", "mailbox_days", "runners", "ticks"),
    "event_counts",
)


def upgrade() -> None:
    """Make the table; it begins empty, which is right where there was no shadow yet."""
    op.create_table(
        "shadows",
        sa.Column("campaign_id", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("since", TEXT, nullable=False),
        sa.Column("stopped_at", TEXT),
        sa.Column("due", WHOLE, nullable=False),
        sa.Column("tried", WHOLE, nullable=False),
    )
    counts = sa.table("event_counts", sa.column("topic"))
    started = sa.select(counts.c.topic).where(counts.c.topic == "ShadowStarted/1")
    if op.get_bind().execute(started).first() is not None:
        for view in VIEWS:
            op.execute(sa.delete(sa.table(view)))
        op.execute(sa.update(sa.table("progress", sa.column("position"))).values(position=0))
