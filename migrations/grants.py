"""Rights on PostgreSQL: the owner migrates and rebuilds, the daemon appends and never changes an event, a reader reads
everything, an auditor what an audit asks for.

The roles themselves are made by whoever administers the server, with their passwords; here they are given what they
need and nothing else. Granting again changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, text

from domain.errors import InvalidInput
from projections import kept, views
from projections.database import POSTGRESQL

SCHEMA_VERSION = "alembic_version"
EVENT_COLUMNS = "originator_id, originator_version, topic, state"
"""All but the position: that one only the server gives."""

CHANGING = "SELECT, INSERT, UPDATE, DELETE"
KEPT_RIGHTS = {
    "ledger_info": "SELECT, DELETE",  # that a copy was given up
    "contacts": CHANGING,
    "contents": "SELECT, INSERT",
    "mailbox_identities": "SELECT, INSERT",
    "kept_mails": "SELECT, INSERT, DELETE",
    "replies": CHANGING,
    "suppressed": "SELECT, INSERT, DELETE",
    "snapshots": "SELECT, INSERT, DELETE",
    "checkpoints": "SELECT, INSERT",
}
"""What the daemon may do with each kept table. Deleting is how a person is erased."""

AUDITED = ("ledger_info", "checkpoints", "contacts", "kept_mails")
"""The kept tables that an auditor reads: the seal, and what proves a mail. No list of suppressed people, no server's
words, nothing of how a mailbox logs in."""

OWNER = text(
    "SELECT pg_get_userbyid(relowner), pg_has_role(relowner, 'USAGE') FROM pg_class"
    " WHERE oid = 'stored_events'::regclass"
)


def grants(connection: Connection, daemon: str | None, reader: str | None, auditor: str | None = None) -> Iterator[str]:
    """The statements that give these roles their rights. Raises `InvalidInput` for a role that is not there,
    and for whoever does not own the ledger."""
    if connection.dialect.name != POSTGRESQL:
        mend = "An SQLite file is protected by the rights on the file."
        raise InvalidInput("only PostgreSQL has roles.", mend=mend, field="database_url")
    owner, is_owner = connection.execute(OWNER).one()
    if not is_owner:  # the server itself would only warn, and grant nothing
        raise InvalidInput("only their owner gives rights on tables.", mend=f"Run it as {owner}.", field="database_url")
    for role, statements in ((daemon, _for_daemon), (reader, _for_reader), (auditor, _for_auditor)):
        if role is None:
            continue
        if connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}).first() is None:
            mend = f"Make it first: CREATE ROLE {role} LOGIN PASSWORD '…'."
            raise InvalidInput(f"there is no role {role} on the server.", mend=mend)
        quoted = connection.dialect.identifier_preparer.quote(role)
        schema = connection.dialect.identifier_preparer.quote(
            connection.execute(text("SELECT current_schema()")).scalar_one()
        )
        yield f"GRANT USAGE ON SCHEMA {schema} TO {quoted}"
        yield from statements(quoted, schema)


def _for_daemon(role: str, schema: str) -> Iterator[str]:
    yield f"GRANT SELECT, INSERT ({EVENT_COLUMNS}) ON stored_events TO {role}"
    for name in kept.METADATA.tables:
        yield f"GRANT {KEPT_RIGHTS[name]} ON {name} TO {role}"
    for name in views.METADATA.tables:
        yield f"GRANT {CHANGING} ON {name} TO {role}"
    yield f"GRANT SELECT ON {SCHEMA_VERSION} TO {role}"
    yield from _for_rebuilt_views(role, schema, CHANGING)


def _for_reader(role: str, schema: str) -> Iterator[str]:
    for name in ("stored_events", SCHEMA_VERSION, *kept.METADATA.tables, *views.METADATA.tables):
        yield f"GRANT SELECT ON {name} TO {role}"
    yield from _for_rebuilt_views(role, schema, "SELECT")


def _for_auditor(role: str, schema: str) -> Iterator[str]:
    for name in ("stored_events", SCHEMA_VERSION, *AUDITED, *views.METADATA.tables):
        yield f"GRANT SELECT ON {name} TO {role}"
    yield from _for_rebuilt_views(role, schema, "SELECT")


def _for_rebuilt_views(role: str, schema: str, rights: str) -> Iterator[str]:
    """A rebuild puts new tables in place of the old ones, and rights go with a table."""
    yield f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT {rights} ON TABLES TO {role}"
