"""A worker for each mailbox, with threads of its own, so that a slow server delays only its own mails.

One dialogue at a time, unless the mailbox's settings allow more connections; then those share what is due. Campaigns
that share a mailbox take turns, a mail each. A session is kept from mail to mail and ended when nothing is left to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from queue import Empty, Queue
from threading import Condition, Lock, Thread
from threading import Event as Flag

import structlog

from domain.events import Sender
from domain.policies import MAILS_A_TICK
from domain.rules import Rule, Wait
from runner.sending.delivery import Delivery
from runner.smtp.session import SmtpSession

IDLE_S = 0.2
"""How long a worker waits for more work before it ends its session with the server."""

log = structlog.get_logger()


class Tick:
    """One tick's work while it is under way, and what came of it. Finished when every job of it is."""

    def __init__(self, sender: Sender, at: datetime, campaigns: int) -> None:
        self.sender = sender
        self.at = at
        self.considered = campaigns
        self.results: Counter[str] = Counter()
        self.deferred: Counter[str] = Counter()
        self._open = campaigns
        self._changed = Condition()

    def count(self, kind: str) -> None:
        """A mail was tried."""
        with self._changed:
            self.results[kind] += 1

    def finish_one(self, wait: Wait | None) -> bool:
        """One campaign of the tick is through; True when it was the last."""
        with self._changed:
            if wait is not None and wait.rule is not Rule.EMPTY:
                self.deferred[wait.rule] += 1
            self._open -= 1
            self._changed.notify_all()
            return self._open == 0

    def wait(self, timeout_s: float | None = None) -> bool:
        """Until every job of the tick is through."""
        with self._changed:
            return self._changed.wait_for(lambda: self._open == 0, timeout_s)


class Job:
    """One campaign in one tick. Several connections may work on it; it is through when the last of them is."""

    def __init__(self, campaign: int, tick: Tick) -> None:
        self.campaign = campaign
        self.tick = tick
        self.mails = 0
        self._hands = 0
        self._wait: Wait | None = None
        self._changed = Lock()

    def share(self, hands: int) -> None:
        """So many connections will work on it."""
        self._hands = hands

    def leave(self, wait: Wait | None) -> bool:
        """One of them found no more to do, and why; True when it was the last."""
        with self._changed:
            self._hands -= 1
            self._wait = self._wait or wait
            return self._hands == 0

    def close(self) -> bool:
        """It is through; True when its tick is too."""
        return self.tick.finish_one(self._wait)


class MailboxWorker:
    """Works through the jobs of one mailbox, by one connection or as many as its settings allow. `finished` is called
    with each job when it is through, and whether its tick is too."""

    def __init__(
        self,
        mailbox: str,
        delivery: Delivery,
        open_session: Callable[[str], SmtpSession],
        finished: Callable[[Job, bool], None],
        stopping: Flag,
    ) -> None:
        self._mailbox = mailbox
        self._delivery = delivery
        self._open = open_session
        self._finished = finished
        self._stopping = stopping
        self._jobs: Queue[Job | None] = Queue()
        self._connections: list[_Connection] = []

    def add(self, job: Job, connections: int) -> None:
        """More work, by at most so many connections."""
        while len(self._connections) < connections:
            connection = _Connection(self._mailbox, self._jobs, self._work, self._open)
            self._connections.append(connection)
            connection.start()
        hands = connections if self._delivery.sends_at_once(job.campaign, job.tick.sender) else 1
        job.share(hands)
        for _ in range(hands):
            self._jobs.put(job)

    def end(self) -> None:
        """No more work: the threads end after what is queued."""
        for _ in self._connections:
            self._jobs.put(None)

    def join(self) -> None:
        """Until all of them have ended."""
        for connection in self._connections:
            connection.join()

    def _work(self, job: Job, connection: _Connection) -> None:
        wait: Wait | None = None
        try:
            if not self._stopping.is_set():
                step = self._delivery.step(job.campaign, job.tick.sender, connection.session)
                if isinstance(step, Wait):
                    wait = step
                else:
                    job.tick.count(step.kind)
                    job.mails += 1
                    if self._has_more(job):
                        self._jobs.put(job)
                        return
        except Exception:
            log.exception("tick of a campaign failed", campaign=job.campaign, mailbox=self._mailbox)
            job.tick.count("error")
            connection.leave()
        if job.leave(wait):
            self._finished(job, job.close())

    def _has_more(self, job: Job) -> bool:
        allowed = MAILS_A_TICK[job.tick.sender]
        return not self._stopping.is_set() and (allowed is None or job.mails < allowed)


class _Connection(Thread):
    """One dialogue at a time with the mailbox's server."""

    def __init__(
        self,
        mailbox: str,
        jobs: Queue[Job | None],
        work: Callable[[Job, _Connection], None],
        open_session: Callable[[str], SmtpSession],
    ) -> None:
        super().__init__(name=f"mailbox-{mailbox}", daemon=True)
        self._jobs = jobs
        self._work = work
        self._open = open_session
        self._session: SmtpSession | None = None

    def run(self) -> None:
        """Until there is no more work."""
        while (job := self._next()) is not None:
            self._work(job, self)
        self.leave()

    def session(self, mailbox: str) -> SmtpSession:
        """The session of the last mail, or a new one."""
        if self._session is None or not self._session.usable:
            self.leave()
            self._session = self._open(mailbox)
        return self._session

    def leave(self) -> None:
        """End the session, if there is one."""
        if self._session is not None:
            self._session.quit()
            self._session = None

    def _next(self) -> Job | None:
        try:
            return self._jobs.get(timeout=IDLE_S if self._session else None)
        except Empty:
            self.leave()
            return self._jobs.get()
