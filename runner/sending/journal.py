"""The runner's journal: outcomes that the database would not take, kept on disk until it does.

After the dot an outcome is a fact. While the database is away each is written here and synced before anything else
is sent; a restart replays what the ledger does not know yet. Recording a fact twice changes nothing.
The journal holds codes and tokens only, never an address or a server's words.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

KEPT = timedelta(days=30)
"""How long a journal stays after its last entry: it is evidence for what is in doubt."""

SUFFIX = ".journal"


class Outcome(BaseModel):
    """What became of one locked mail. `at`: aware, when the answer came."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    campaign: int
    token: str
    kind: Literal["sent", "failed", "in doubt"]
    at: datetime
    phase: str = "dot"
    code: int | None = None
    enhanced: str | None = None
    queue_id: str | None = None
    permanent: bool = False
    cause: str = ""


class Journal:
    """The journal of one runner: a line of JSON an outcome."""

    def __init__(self, folder: Path, runner: str) -> None:
        self._path = folder / f"{runner}{SUFFIX}"

    def write(self, outcome: Outcome) -> None:
        """On disk when this returns."""
        # It begins a line of its own: one that was cut by a full disk must not take the next with it.
        line = b"\n" + outcome.model_dump_json(exclude_defaults=True).encode() + b"\n"
        descriptor = os.open(self._path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            if os.write(descriptor, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _sync_folder(self._path.parent)


def journals(folder: Path) -> Iterator[tuple[str, list[Outcome]]]:
    """Every journal there is: the runner, and its outcomes. A line that a crash cut short is left out."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        outcomes = []
        for line in path.read_bytes().split(b"\n"):
            try:
                outcomes.append(Outcome.model_validate_json(line))
            except ValidationError:
                continue  # cut by a crash: what it would have said was never reported written
        yield path.name.removesuffix(SUFFIX), outcomes


def forget_old(folder: Path, now: datetime) -> None:
    """Remove journals nobody needs any more. `now` is real time: it is held against the files' times."""
    for path in folder.glob(f"*{SUFFIX}"):
        if now.timestamp() - path.stat().st_mtime > KEPT.total_seconds():
            path.unlink()


def _sync_folder(folder: Path) -> None:
    """Without this a power cut may forget that the file exists."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
