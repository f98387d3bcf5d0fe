"""The runner: one process start that ticks both senders, with a worker for each mailbox.

In real time `schedule` is the heartbeat that wakes the ticks; in simulated time the clock walks from tick to tick as
fast as the mails can be delivered. What is due is computed from the events, so a second start repeats nothing.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from threading import Event as Flag
from threading import Lock
from types import FrameType, TracebackType
from typing import ParamSpec, Protocol, Self, TypeVar, get_args

import schedule
import structlog
from eventsourcing.persistence import PersistenceError

from domain.events import Sender
from domain.replay.shadowing import SHADOW
from runner.clock import Clock, SimulatedClock
from runner.cutover import migrate_flagged, reinstate_v1
from runner.replaying.shadow import Shadows
from runner.sealing.sealer import Sealer
from runner.sending.claims import Claims
from runner.sending.delivery import Delivery
from runner.sending.diary import Diary
from runner.sending.guard import Guard
from runner.sending.journal import Journal, forget_old
from runner.sending.liveness import Liveness
from runner.sending.recording import Recording, replay_journals, sweep
from runner.sending.roster import Roster
from runner.sending.servers import Servers
from runner.sending.worker import Job, MailboxWorker, Tick
from runner.store.ledger import Ledger

CADENCE: dict[Sender, timedelta] = {"v1": timedelta(minutes=1), "v2": timedelta(seconds=30)}
SWEEP_EVERY = timedelta(minutes=1)
HEARTBEAT_S = 0.2
CLOCK_JUMP = timedelta(seconds=5)
"""The wall clock may drift so far from the steady one between two beats; more is a jump."""

SENDERS: tuple[Sender, ...] = get_args(Sender)

log = structlog.get_logger()

P = ParamSpec("P")
R = TypeVar("R")


class Stoppable(Protocol):
    """What looks from time to time whether it shall stop."""

    stopping: Flag


class Runner:
    """One process start. `with Runner(…) as runner:` holds its lock, tells its diary, and mends what crashes left."""

    def __init__(self, ledger: Ledger, folder: Path, clock: Clock, sealer: Sealer | None = None) -> None:
        self._ledger = ledger
        self._folder = folder
        self._clock = clock
        self._alive = Liveness(folder, ledger.url)
        self._claims = Claims(ledger, self._alive, clock)
        self.stopping = Flag()
        self._diary = Diary(ledger, self._alive.runner, clock)
        journal = Journal(folder, self._alive.runner)
        recording = Recording(ledger, journal, clock, self.stopping)
        self._delivery = Delivery(ledger, self._alive.runner, clock, recording)
        self._servers = Servers(ledger, loopback_only=isinstance(clock, SimulatedClock))
        self._workers: dict[str, MailboxWorker] = {}
        self._under_way: set[int] = set()
        self._guard = Lock()
        self._roster: Roster | None = None
        self._seen = Guard(ledger, folder)
        self._sealer = sealer
        self._shadows = Shadows(ledger.side_streams(SHADOW), clock)

    @property
    def roster(self) -> Roster:
        """The campaigns, read when first asked for."""
        if self._roster is None:
            self._roster = Roster(self._ledger)
        return self._roster

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._alive)
            self._seen.require_not_moved()  # again, now that whoever moves it sees this runner
            self._diary.runner_started(socket.gethostname(), os.getpid(), version("sendledger"))
            replayed = replay_journals(self._ledger, self._folder, self._alive, self._clock)
            if replayed:
                log.info("journaled outcomes recorded", mails=replayed)
            forget_old(self._folder, datetime.now(UTC))
            self.sweep()
            stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        for worker in self._workers.values():
            worker.end()
        for worker in self._workers.values():
            worker.join()
        try:
            guarded(self._shadows.rest)
            self._diary.runner_stopped()
            guarded(self._shadows.end)
            self._seen.mark()
            guarded(self.seal)
        except (PersistenceError, OSError):
            log.exception("the end of this runner could not be recorded")
        self._alive.__exit__(kind, error, trace)

    def sweep(self) -> None:
        """Put in doubt what runners that are gone left locked, and remember how far the ledger has come."""
        self._alive.beat()
        guarded(self._shadows.note, self.roster.refresh())
        for number in self.roster.campaigns:
            try:
                sweep(self._ledger, number, self._alive, self._clock)
            except Exception:
                log.exception("a campaign cannot be swept", campaign=number)
        self._seen.mark()
        guarded(self.seal)

    def seal(self) -> None:
        """Sign what was appended since the last checkpoint; nothing where this machine has no key."""
        if self._sealer is not None:
            self._sealer.seal()

    def tick(self, sender: Sender) -> Tick | None:
        """One tick: hands what is due to the workers. None when nothing is. The caller may wait for the tick."""
        now = self._clock.now()
        guarded(self._shadows.note, self.roster.refresh())
        if self._sealer is not None and self._sealer.is_due():
            guarded(self.seal)
        due, _ = self.roster.due(sender, now)
        if sender == "v1" and self._v1_rests(due, now):
            return None
        if sender == "v2" and self._migrate_flagged(now):
            due, _ = self.roster.due(sender, now)
        with self._guard:
            idle = {number: mailbox for number, mailbox in due.items() if number not in self._under_way}
            due = {number: mailbox for number, mailbox in idle.items() if self._claims.take(number)}
            self._under_way.update(due)
        if not due:
            if self._diary.idle(sender, now):
                guarded(self._shadows.after_idle_ticks)
            return None
        tick = Tick(sender, now, len(due))
        try:
            connections = {mailbox: self._servers.connections(mailbox) for mailbox in due.values()}
            self._diary.started(tick)
            for number, mailbox in due.items():
                self._worker(mailbox).add(Job(number, tick), connections[mailbox])
        except BaseException:
            for number in due:
                self._let_go(number)  # else these campaigns would never be looked at again
            raise
        return tick

    def _v1_rests(self, due: Collection[int], now: datetime) -> bool:
        """Is V1 retired? Not while somebody waits for it again, as where a mail that was in doubt was not sent."""
        with self._ledger.senders() as senders:
            retired = senders.v1_retired
        if retired and due:
            log.warning("V1 comes back: somebody waits for it", campaigns=sorted(due))
            reinstate_v1(self._ledger, due, now)
            return False
        return retired

    def _migrate_flagged(self, now: datetime) -> bool:
        """Each as a person would; one that cannot be is tried again when something has happened in it."""
        flagged = self.roster.flagged()
        for number in flagged:
            for event in guarded(migrate_flagged, self._ledger, number, now) or ():
                log.info("a flagged campaign", campaign=number, what=type(event).__name__)
        return bool(flagged)

    def record_missed(self, earlier: Mapping[Sender, tuple[datetime, timedelta]]) -> None:
        """Write down the ticks between those of earlier runners and now: given the last one of each sender, and the
        cadence that was in force then, which need not be that of today."""
        now = self._clock.now()
        for sender, (last, cadence) in earlier.items():
            missed = int((now - last) / cadence) - 1
            if missed > 0:
                self._diary.missed(sender, missed, last, now)
                log.info("ticks missed", sender=sender, ticks=missed, since=last.isoformat())

    def _worker(self, mailbox: str) -> MailboxWorker:
        worker = self._workers.get(mailbox)
        if worker is None:
            worker = MailboxWorker(mailbox, self._delivery, self._servers.open, self._job_done, self.stopping)
            self._workers[mailbox] = worker
        return worker

    def _job_done(self, job: Job, tick_is_over: bool) -> None:
        self._let_go(job.campaign)
        if tick_is_over:
            guarded(self._diary.finished, job.tick)
        guarded(self._shadows.after_tick, job.campaign)

    def _let_go(self, number: int) -> None:
        with self._guard:
            self._under_way.discard(number)
            self._claims.give_back(number)


def run_real(runner: Runner, cadence: Mapping[Sender, timedelta], until: datetime | None) -> None:
    """Tick until told to stop, or until a time. Every job is guarded: an error is logged and the loop goes on."""
    heart = schedule.Scheduler()

    def wake() -> None:
        heart.clear()
        for sender in SENDERS:
            heart.every(max(1, int(cadence[sender].total_seconds()))).seconds.do(guarded, runner.tick, sender)
        heart.every(int(SWEEP_EVERY.total_seconds())).seconds.do(guarded, runner.sweep)

    steady = _steady_offset()
    wake()
    for sender in SENDERS:
        guarded(runner.tick, sender)
    while not runner.stopping.wait(HEARTBEAT_S):
        if until is not None and datetime.now(UTC) >= until:
            return
        jump = timedelta(seconds=_steady_offset() - steady)
        if abs(jump) > CLOCK_JUMP:
            # `schedule` computes with the wall clock: after a step back its jobs would fall silent for as long.
            log.warning("the clock jumped", seconds=round(jump.total_seconds()))
            steady = _steady_offset()
            wake()
        heart.run_pending()


def run_simulated(
    runner: Runner,
    clock: SimulatedClock,
    cadence: Mapping[Sender, timedelta],
    until: datetime,
    progress: Callable[[datetime], None] = lambda _: None,
) -> None:
    """Walk the clock from tick to tick until `until`, waiting for each tick's mails."""
    following = {sender: clock.now() for sender in SENDERS}
    while not runner.stopping.is_set():
        sender = min(following, key=lambda each: (following[each], each))
        if following[sender] >= until:
            clock.move_to(until)
            return
        clock.move_to(following[sender])
        following[sender] += cadence[sender]
        tick = guarded(runner.tick, sender)
        if isinstance(tick, Tick):
            tick.wait()
        progress(clock.now())


@contextmanager
def stopped_by_signals(work: Stoppable) -> Iterator[None]:
    """SIGTERM and SIGINT end the work in good order: of a runner, the dialogue under way is finished and recorded."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        work.stopping.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def guarded(job: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | None:
    """Run a job; an error is logged and never ends the loop."""
    try:
        return job(*args, **kwargs)
    except Exception:
        log.exception("a job failed", job=getattr(job, "__name__", "job"))
        return None


def _steady_offset() -> float:
    return time.time() - time.monotonic()
