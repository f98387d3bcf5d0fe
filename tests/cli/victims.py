"""The work of processes of their own in the middle of which something happens: commands as their console script runs
them. What they say goes to two files.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sqlalchemy.engine import URL

from runner.cli import main
from runner.settings import PREFIX
from runner.store import copying
from tests.faults.processes import wait_until
from tests.projections.victims import Moment, struck_at
from tests.store.cable import Moment as CutMoment
from tests.store.cable import cable

SMALL_BATCH = 7
"""A short story takes several of these."""


def command(folder: Path, words: Sequence[str], said: Path, url: URL) -> None:
    """`sendledger …` in this folder, on this database."""
    _say(folder, words, said, SENDLEDGER_DATABASE_URL=url.render_as_string(hide_password=False))


def command_cut_off(
    folder: Path, words: Sequence[str], said: Path, statement: Moment, moment: CutMoment, url: URL
) -> None:
    """The same, by a cable that is cut around the first commit after this statement."""
    with cable(url) as one:
        struck_at(statement, partial(one.cut_at_commit, moment), partial(command, folder, words, said), one.url)


def copy_from(folder: Path, said: Path, target: URL) -> None:
    """`sendledger db copy` of the ledger in this folder, in small batches."""
    copying.BATCH = SMALL_BATCH
    _say(folder, ["db", "copy", "--to", target.render_as_string(hide_password=False)], said)


def wait_for(reached: Path, go_on: Path) -> None:
    """Say that it has come to this moment, and wait until it may go on."""
    reached.touch()
    wait_until(go_on.exists)


def _say(folder: Path, words: Sequence[str], said: Path, **variables: str) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
    os.environ.update(variables)
    os.chdir(folder)
    for descriptor, suffix in ((1, ".out"), (2, ".err")):
        os.dup2(os.open(said.with_suffix(suffix), os.O_CREAT | os.O_TRUNC | os.O_WRONLY), descriptor)
    sys.argv = ["sendledger", *words]
    main()
