"""Alembic revisions for every table, the event store's included."""
