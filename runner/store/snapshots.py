"""Where snapshots are kept: the newest of each stream, with the shape of the state and the place it was taken at.
A snapshot is a cache. One of another shape, or that does not fit the log, is ignored and made anew.
"""

from __future__ import annotations

from typing import cast

from sqlalchemy import bindparam, select

from projections.kept import ADD_SNAPSHOT, DROP_SNAPSHOT, snapshots
from runner.store.recorder import LedgerRecorder

_SELECT = select(snapshots.c.version, snapshots.c.position, snapshots.c.shape, snapshots.c.state).where(
    snapshots.c.stream == bindparam("b_stream")
)


class SnapshotStore:
    """Saves and finds frozen states of one shape."""

    def __init__(self, recorder: LedgerRecorder, shape: str) -> None:
        self._recorder = recorder
        self._shape = shape

    def save(self, stream: str, version: int, frozen: bytes) -> None:
        """Keep this state as the newest of its stream."""
        position = self._recorder.position_of(stream, version)
        row = {"stream": stream, "version": version, "position": position, "shape": self._shape, "state": frozen}
        self._recorder.append([], [(DROP_SNAPSHOT, [{"b_stream": stream}]), (ADD_SNAPSHOT, [row])])

    def load(self, stream: str) -> bytes | None:
        """The newest state of this stream, if it has the right shape and its last event stands where it did."""
        found = self._recorder.rows(_SELECT, {"b_stream": stream})
        if not found or found[0]["shape"] != self._shape:
            return None
        [row] = found
        stands = self._recorder.position_of(stream, row["version"]) == row["position"]
        return cast(bytes, row["state"]) if stands else None
