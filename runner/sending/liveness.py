"""Which runners live: each process start holds a kernel lock on a file of its own, which no crash can leave behind.

A stopped process (SIGSTOP) keeps its lock, and so its mails: it may wake and record what it did. Only when the lock
is free is the runner gone.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

RUNNER_ID_BYTES = 6


class RunnerLock:
    """This process's own lock, held from `__enter__` to the end of the process or `__exit__`."""

    def __init__(self, folder: Path) -> None:
        self.runner = secrets.token_hex(RUNNER_ID_BYTES)
        self._path = lock_file(folder, self.runner)
        self._descriptor = -1

    def __enter__(self) -> Self:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def is_gone(folder: Path, runner: str) -> bool:
    """Is that process over? True for one whose lock is free or whose file is gone."""
    try:
        descriptor = os.open(lock_file(folder, runner), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def lock_file(folder: Path, runner: str) -> Path:
    """Where a runner's lock lies."""
    return folder / f"{runner}.lock"
