"""Bringing a database to the schema of this program, and refusing one that is older or newer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, inspect, text
from sqlalchemy.engine import URL

from domain.errors import InvalidInput, SendledgerError
from projections import event_log, kept, views
from projections.database import POSTGRESQL, engine_for, is_sqlite, reading, writing

CONNECTION = "connection"
ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(1397507396, 1)")
"""On PostgreSQL; the lock of those who append, whom an upgrade holds back too. On SQLite every writer is alone."""


class SchemaMismatch(SendledgerError):
    """The database has another schema than this program. Attributes: `found` and `wanted` revisions."""

    def __init__(self, found: str | None, wanted: str, known: bool) -> None:
        self.found = found
        self.wanted = wanted
        mend = (
            "Bring it up to date with `sendledger db upgrade`."
            if known
            else "A newer Sendledger made it: use that one, or a backup from before."
        )
        super().__init__(f"the database has schema {found or 'none'}, this program needs {wanted}. {mend}")


def target_metadata(dialect: str) -> list[MetaData]:
    """Every table there is on this database: what the sum of all revisions must make."""
    return [event_log.METADATA[dialect], kept.METADATA, views.METADATA]


def require_ledger(url: URL) -> None:
    """Raise `InvalidInput` unless the database can be reached and holds a ledger, of whatever schema."""
    there = Path(url.database or "").exists() if is_sqlite(url) else current(url) is not None
    if not there:
        mend = "Make it with `sendledger init`."
        raise InvalidInput(f"there is no ledger at {shown(url)}.", mend=mend, field="database_url")


def require_empty(url: URL) -> None:
    """Raise `InvalidInput` unless the database can be reached and none of our tables is there yet."""
    if is_sqlite(url) and not Path(url.database or "").exists():
        return
    if current(url) is not None:
        mend = "Use it, or name another database_url."
        raise InvalidInput(f"there is a ledger at {shown(url)} already.", mend=mend, field="database_url")
    engine = engine_for(url)
    with reading(engine) as connection:
        ours = {name for metadata in target_metadata(engine.dialect.name) for name in metadata.tables}
        taken = sorted(ours & set(inspect(connection).get_table_names()))
    engine.dispose()
    if taken:
        mend = "A ledger wants a database, or a schema, of its own."
        problem = f"{shown(url)} has tables of another program: {', '.join(taken)}."
        raise InvalidInput(problem, mend=mend, field="database_url")


def shown(url: URL) -> str:
    """The URL as messages may show it, and as settings may hold it: without a password."""
    if is_sqlite(url):
        return url.database or ""
    return url.set(drivername="postgresql")._replace(password=None).render_as_string()


def create(url: URL, info: Mapping[str, str]) -> None:
    """Make an empty ledger with what is fixed about it, in one transaction."""
    engine = engine_for(url)
    try:
        with writing(engine) as connection:
            _upgrade_within(connection)
            connection.execute(kept.SET_INFO, [{"key": key, "value": value} for key, value in info.items()])
    finally:
        engine.dispose()


def upgrade(url: str | URL) -> None:
    """Apply all revisions that are missing, in one transaction. Raises `SchemaMismatch` for a newer schema."""
    refuse_newer(url)
    engine = engine_for(url)
    try:
        with writing(engine) as connection:
            _upgrade_within(connection)
    finally:
        engine.dispose()


def _upgrade_within(connection: Connection) -> None:
    if connection.dialect.name == POSTGRESQL:
        connection.execute(ONE_AT_A_TIME)
    config = _config()
    config.attributes[CONNECTION] = connection
    command.upgrade(config, "head")


def current(url: str | URL) -> str | None:
    """The revision a database is at; None for an empty one."""
    engine = engine_for(url)
    try:
        with reading(engine) as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


def head() -> str:
    """The revision this program needs."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def require_head(url: str | URL) -> None:
    """Raise `SchemaMismatch` unless the database has the schema of this program."""
    found, wanted = current(url), head()
    if found != wanted:
        raise SchemaMismatch(found, wanted, _is_known(found))


def refuse_newer(url: str | URL) -> None:
    """Raise `SchemaMismatch` if the database has a schema that this program does not know."""
    found = current(url)
    if not _is_known(found):
        raise SchemaMismatch(found, head(), known=False)


def _is_known(revision: str | None) -> bool:
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    return revision is None or revision in known


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config
