"""The work of a process of its own that is killed in the middle of it: copying a ledger."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy.engine import URL

from runner.cli.app import app
from runner.settings import PREFIX
from runner.store import copying

SMALL_BATCH = 7
"""A short story takes several of these."""


def copy_from(folder: Path, target: URL) -> None:
    """`sendledger db copy` of the ledger in this folder, in small batches."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
    os.chdir(folder)
    copying.BATCH = SMALL_BATCH
    app(["db", "copy", "--to", target.render_as_string(hide_password=False)], standalone_mode=False)
