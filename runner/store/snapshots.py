"""Where snapshots are kept: the newest of each campaign, with the shape of the state and the place it was taken at.
A snapshot is a cache. One of another shape, or that does not fit the log, is ignored and made anew.
"""

from __future__ import annotations

from sqlalchemy import bindparam, select

from projections.kept import ADD_SNAPSHOT, DROP_SNAPSHOT, snapshots
from runner.store.recorder import SqliteRecorder

_SELECT = select(snapshots.c.version, snapshots.c.position, snapshots.c.shape, snapshots.c.state).where(
    snapshots.c.stream == bindparam("b_stream")
)
_POSITION = "SELECT rowid FROM stored_events WHERE originator_id = ? AND originator_version = ?"


class SnapshotStore:
    """Saves and finds frozen states of one shape."""

    def __init__(self, recorder: SqliteRecorder, shape: str) -> None:
        self._recorder = recorder
        self._shape = shape

    def save(self, stream: str, version: int, frozen: bytes) -> None:
        """Keep this state as the newest of its stream."""
        position = self._position(stream, version)
        row = {"stream": stream, "version": version, "position": position, "shape": self._shape, "state": frozen}
        with self._recorder.append_lock() as appending:
            appending.keep([(DROP_SNAPSHOT, [{"b_stream": stream}]), (ADD_SNAPSHOT, [row])])

    def load(self, stream: str) -> bytes | None:
        """The newest state of this stream, if it has the right shape and its last event stands where it did."""
        with self._recorder.datastore.transaction(commit=False) as cursor:
            cursor.execute(self._recorder.sql(_SELECT), {"b_stream": stream})
            row = cursor.fetchone()
        if row is None or row["shape"] != self._shape:
            return None
        return row["state"] if self._position(stream, row["version"]) == row["position"] else None

    def _position(self, stream: str, version: int) -> int | None:
        with self._recorder.datastore.transaction(commit=False) as cursor:
            cursor.execute(_POSITION, (stream, version))
            row = cursor.fetchone()
        return row["rowid"] if row else None
