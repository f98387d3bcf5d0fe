"""The databases of the tests of views and migrations: the one place that says which engine they run on."""

from __future__ import annotations

import shutil
from itertools import count
from pathlib import Path

from sqlalchemy.engine import make_url

from runner.store.ledger import Ledger


class Databases:
    """Makes databases in a folder, each of its own, as often as it is asked."""

    def __init__(self, folder: Path) -> None:
        self._files = (folder / f"{number}.db" for number in count())
        self._template = folder / "template.db"
        from migrations.run import upgrade  # here: no process that only reads should load Alembic for it

        upgrade(url_of(self._template))

    def empty(self) -> str:
        """The URL of one without any table."""
        return url_of(next(self._files))

    def made(self) -> str:
        """The URL of one with all tables: copied from one that was made once."""
        return url_of(Path(shutil.copy(self._template, next(self._files))))


def url_of(path: Path) -> str:
    """The URL of the database in this file."""
    return f"sqlite:///{path}"


def ledger_at(url: str) -> Ledger:
    """The ledger in this database."""
    return Ledger(Path(make_url(url).database or ""))
