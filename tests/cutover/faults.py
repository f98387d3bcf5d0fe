"""Appends that are struck: nothing was stored, or all of it and the answer was lost; and clocks that are set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from eventsourcing.persistence import OperationalError, StoredEvent
from sqlalchemy.engine import URL

from runner.store.ledger import Ledger
from runner.store.recorder import Appending, Kept, LedgerRecorder


class Killed(BaseException):
    """The process ends here: nothing of it may go on, as nothing does that catches ordinary errors."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What strikes one append: the one after so many others. `kills`: the process, else it is told of an error."""

    when: Literal["before", "after"]
    kills: bool = False
    others_first: int = 0


class StruckRecorder:
    """The real recorder, and a fault that is armed for one append."""

    def __init__(self, real: LedgerRecorder) -> None:
        self._real = real
        self._fault: Fault | None = None
        self._appends = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def arm(self, fault: Fault | None) -> None:
        """For an append that comes now; None: for none."""
        self._fault, self._appends = fault, 0

    def append(self, stored: Sequence[StoredEvent], kept: Sequence[Kept] = ()) -> None:
        fault = self._next()
        self._strike(fault, "before")
        self._real.append(stored, kept)
        self._strike(fault, "after")

    @contextmanager
    def append_lock(self) -> Iterator[Appending]:
        fault = self._next()
        with self._real.append_lock() as appending:
            yield appending
            self._strike(fault, "before")
        self._strike(fault, "after")

    def _next(self) -> Fault | None:
        self._appends += 1
        if self._fault is None or self._appends != self._fault.others_first + 1:
            return None
        return self._fault

    def _strike(self, fault: Fault | None, when: str) -> None:
        if fault is not None and fault.when == when:
            raise Killed if fault.kills else OperationalError(f"struck {when} the append")


class StruckLedger(Ledger):
    """A process's own view of the ledger, whose appends can be struck."""

    def __init__(self, url: URL) -> None:
        super().__init__(url)
        self.struck = StruckRecorder(cast(LedgerRecorder, self.recorder))
        self.recorder = cast(LedgerRecorder, self.struck)

    @contextmanager
    def struck_by(self, fault: Fault | None) -> Iterator[None]:
        """While the block runs."""
        self.struck.arm(fault)
        try:
            yield
        finally:
            self.struck.arm(None)


class SetClock:
    """A clock that somebody sets, and time that passes evenly beside it."""

    def __init__(self, start: datetime) -> None:
        self._now, self._steady = start, timedelta()

    def now(self) -> datetime:
        return self._now

    def steady(self) -> timedelta:
        return self._steady

    def pass_by(self, time: timedelta) -> None:
        """Time passes; a negative one sets the clock back, and no time passes."""
        self._now += time
        self._steady += max(time, timedelta())

    def pass_until(self, at: datetime) -> None:
        """Forward to this instant."""
        self.pass_by(max(at - self._now, timedelta()))
