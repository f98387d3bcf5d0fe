"""What Alembic runs: the revisions, on the connection that the caller gives."""

from __future__ import annotations

from alembic import context

from migrations.run import CONNECTION, target_metadata

connection = context.config.attributes[CONNECTION]
context.configure(
    connection=connection, target_metadata=target_metadata(connection.dialect.name), transactional_ddl=True
)
context.run_migrations()
