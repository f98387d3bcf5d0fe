"""What Alembic runs: the revisions, on the connection that the caller gives."""

from __future__ import annotations

from alembic import context

from migrations.run import CONNECTION, target_metadata

context.configure(
    connection=context.config.attributes[CONNECTION], target_metadata=target_metadata(), transactional_ddl=True
)
context.run_migrations()
