"""The diary of a runner: that it started and stopped, and its ticks, as events. A run of idle ticks is one event."""

from __future__ import annotations

from datetime import datetime, timedelta
from threading import Lock

from domain.emitting import Draft
from domain.events import (
    Event,
    RunnerStarted,
    RunnerStopped,
    Sender,
    TickFinished,
    TicksIdle,
    TicksMissed,
    TickStarted,
)
from domain.idle_ticks import told
from runner.clock import Clock
from runner.sending.worker import Tick
from runner.store.ledger import Ledger

LONGEST_IDLE_RUN = timedelta(hours=1)
"""An idle run is written down at least so often, so that a crash forgets little."""


class Diary:
    """Writes the events of one runner. Safe for several threads."""

    def __init__(self, ledger: Ledger, runner: str, clock: Clock) -> None:
        self._ledger = ledger
        self._runner = runner
        self._clock = clock
        self._versions: dict[str, int] = {}
        self._idle: dict[Sender, list[datetime]] = {}
        self._lock = Lock()

    def runner_started(self, host: str, pid: int, version: str) -> None:
        """This process began."""
        self._append(f"runner-{self._runner}", RunnerStarted, host=host, pid=pid, version=version)

    def runner_stopped(self) -> None:
        """This process ends in good order."""
        for sender in list(self._idle):
            self.end_idle_run(sender)
        self._append(f"runner-{self._runner}", RunnerStopped)

    def idle(self, sender: Sender, at: datetime) -> bool:
        """A tick found nothing to send. Was a run of such ticks written down?"""
        run = self._idle.get(sender)
        ends = run is not None and (at - run[0] >= LONGEST_IDLE_RUN or at.date() != run[-1].date())
        if ends:
            self.end_idle_run(sender)
        self._idle.setdefault(sender, []).append(at)
        return ends

    def end_idle_run(self, sender: Sender) -> None:
        """Write the idle run down, if there is one; it is forgotten only when it is stored."""
        run = self._idle.get(sender)
        if run is None:
            return
        self._append(self._stream(sender, run[-1]), TicksIdle, sender=sender, **told(run))
        del self._idle[sender]

    def missed(self, sender: Sender, count: int, after: datetime, before: datetime) -> None:
        """Ticks that did not happen because no runner was there."""
        stream = self._stream(sender, before)
        self._append(stream, TicksMissed, sender=sender, count=count, after=after, before=before)

    def started(self, tick: Tick) -> None:
        """Before a tick's first decision takes effect."""
        self.end_idle_run(tick.sender)
        stream = self._stream(tick.sender, tick.at)
        self._append(stream, TickStarted, sender=tick.sender, tick_at=tick.at, due=tick.considered)

    def finished(self, tick: Tick) -> None:
        """After its last."""
        self._append(
            self._stream(tick.sender, tick.at),
            TickFinished,
            sender=tick.sender,
            tick_at=tick.at,
            considered=tick.considered,
            sent=tick.results["sent"],
            failed=tick.results["failed"],
            in_doubt=tick.results["in doubt"],
            deferred={str(rule): count for rule, count in sorted(tick.deferred.items())},
        )

    def _stream(self, sender: Sender, at: datetime) -> str:
        return f"ticks-{self._runner}-{sender}-{at.date().isoformat()}"

    def _append(self, stream: str, kind: type[Event], **said: object) -> None:
        with self._lock:
            # Forgotten until it is stored: after a lost answer the ledger knows better than we do.
            version = self._versions.pop(stream, None)
            if version is None:
                version = self._ledger.version(stream)
            draft = Draft(stream, version, self._clock.now())
            draft.add(kind, runner=self._runner, **said)
            self._ledger.append(draft.events)
            self._versions[stream] = version + 1
