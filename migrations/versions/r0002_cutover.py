"""Cutover: the steps of a campaign's way to V2 in the views, imported sends, and leads that share an address.

The views of the ledger are emptied: the next command that asks them makes them anew from the events.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

VIEWS = (
    *("leads", "send_log", "campaign_days", "mailboxes", "mailbox_days", "runners", "ticks"),
    "event_counts",
)


def upgrade() -> None:
    """Views first: none of their rows is kept."""
    for view in VIEWS:
        op.execute(sa.delete(sa.table(view)))
    op.execute(sa.update(sa.table("progress", sa.column("position"))).values(position=0))
    _views()
    _contacts()


def _views() -> None:
    op.drop_table("campaigns")
    op.create_table(
        "campaigns",
        sa.Column("id", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("epoch", WHOLE, nullable=False),
        sa.Column("owner_since", TEXT, nullable=False),
        sa.Column("imported", WHOLE, nullable=False),
        sa.Column("observed", WHOLE, nullable=False),
        sa.Column("flagged", WHOLE, nullable=False),
        sa.Column("migration_refused", TEXT),
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
    op.add_column("send_log", sa.Column("imported", WHOLE))
    op.create_table(
        "cutovers",
        sa.Column("log_position", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("campaign_id", WHOLE, nullable=False),
        sa.Column("step", TEXT, nullable=False),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("epoch", WHOLE, nullable=False),
        sa.Column("actor", TEXT),
        sa.Column("reason", TEXT),
        sa.Column("details", TEXT, nullable=False),
    )
    op.create_index("cutovers_by_campaign", "cutovers", ["campaign_id", "log_position"])


def _contacts() -> None:
    with op.batch_alter_table("contacts") as contacts:
        contacts.add_column(sa.Column("twin_of", WHOLE))
        contacts.drop_constraint("contacts_one_per_address", type_="unique")
    no_twin = sa.text("twin_of IS NULL")
    op.create_index(
        "contacts_one_per_address",
        "contacts",
        ["campaign_id", "address_key"],
        unique=True,
        sqlite_where=no_twin,
        postgresql_where=no_twin,
    )
