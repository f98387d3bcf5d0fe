"""Bringing a database to the schema of this program, and refusing one that is older or newer."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData

from domain.errors import SendledgerError
from projections import kept, views
from projections.database import engine_for, reading, writing

CONNECTION = "connection"


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


def target_metadata() -> list[MetaData]:
    """Every table there is: what the sum of all revisions must make."""
    return [kept.METADATA, views.METADATA]


def upgrade(url: str) -> None:
    """Apply all revisions that are missing, in one transaction. Raises `SchemaMismatch` for a newer schema."""
    refuse_newer(url)
    engine = engine_for(url)
    try:
        with writing(engine) as connection:
            config = _config()
            config.attributes[CONNECTION] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def current(url: str) -> str | None:
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


def require_head(url: str) -> None:
    """Raise `SchemaMismatch` unless the database has the schema of this program."""
    found, wanted = current(url), head()
    if found != wanted:
        raise SchemaMismatch(found, wanted, _is_known(found))


def refuse_newer(url: str) -> None:
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
