"""The file of checkpoints outside the database: notes, one after the other, only ever appended to, each synced.

Whoever rewrites the database cannot make what stands here fit it. Keep copies where nobody who writes there can write.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from domain.errors import InvalidInput
from domain.sealing.notes import DASH, split_notes
from runner.sealing.keys import ORIGIN

MODE = 0o644
TAIL_BYTES = 64 * 1024
"""Enough for the last note, however long the file is."""


class CheckpointFile:
    """One file of notes. Nothing in it is believed before its signature was checked."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def notes(self) -> list[str]:
        """Its notes, the oldest first; none where there is no file. Raises `InvalidInput` for what is no text."""
        try:
            return split_notes(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        except UnicodeDecodeError:
            raise self._is_none() from None

    def last(self) -> str | None:
        """Its last whole note."""
        whole, _ = self._tail()
        return split_notes(whole.decode(errors="ignore"))[-1] if whole else None

    def append(self, notes: Sequence[str]) -> None:
        """On disk when this returns. A note that a crash cut short is removed first: it was never reported written."""
        _, cut = self._tail()
        is_new = not self.path.exists()
        descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, MODE)
        with os.fdopen(descriptor, "r+b") as file:
            file.seek(-cut, os.SEEK_END)
            file.truncate()
            file.write("".join(notes).encode())
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            _sync_folder(self.path.parent)

    @contextmanager
    def held(self) -> Iterator[None]:
        """One at a time seals into it: others on this machine wait."""
        lock = self.path.with_name(f"{self.path.name}.lock")
        descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _tail(self) -> tuple[bytes, int]:
        """The end of the file up to its last whole note, and how many octets of one that was cut follow it.

        Raises `InvalidInput` for a file of something else, which must never be written into.
        """
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - TAIL_BYTES))
                data = file.read()
        except FileNotFoundError:
            return b"", 0
        lines = data.splitlines(keepends=True)
        cut: list[bytes] = []
        while lines and not (lines[-1].startswith(DASH.encode()) and lines[-1].endswith(b"\n")):
            cut.insert(0, lines.pop())
        rest, ours = b"".join(cut), ORIGIN.encode()
        if not rest.startswith(ours) and not ours.startswith(rest):
            raise self._is_none()
        return b"".join(lines), len(rest)

    def _is_none(self) -> InvalidInput:
        mend = "Put a copy of the real one in its place, or name another file in `checkpoints`."
        return InvalidInput("is no file of checkpoints.", mend=mend, source=str(self.path))


def _sync_folder(folder: Path) -> None:
    """Without this a power cut may forget that the file exists."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
