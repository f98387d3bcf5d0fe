"""A worker for each mailbox: its own thread, one dialogue at a time, so that a slow server delays only its own mails.

Campaigns that share a mailbox take turns, a mail each. A session is kept from mail to mail and ended when nothing
is left to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from queue import Empty, Queue
from threading import Condition, Thread
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


@dataclass(slots=True)
class Job:
    """One campaign in one tick."""

    campaign: int
    tick: Tick
    mails: int = field(default=0)


class MailboxWorker(Thread):
    """Works through the jobs of one mailbox. `finished` is called with each tick whose last job this was."""

    def __init__(
        self,
        mailbox: str,
        delivery: Delivery,
        open_session: Callable[[str], SmtpSession],
        finished: Callable[[Job, bool], None],
        stopping: Flag,
    ) -> None:
        super().__init__(name=f"mailbox-{mailbox}", daemon=True)
        self._mailbox = mailbox
        self._delivery = delivery
        self._open = open_session
        self._finished = finished
        self._stopping = stopping
        self._jobs: Queue[Job | None] = Queue()
        self._session: SmtpSession | None = None

    def add(self, job: Job) -> None:
        """More work."""
        self._jobs.put(job)

    def end(self) -> None:
        """No more work: the thread ends after what is queued."""
        self._jobs.put(None)

    def run(self) -> None:
        """Until `end`."""
        while (job := self._next()) is not None:
            self._work(job)
        self._leave()

    def _next(self) -> Job | None:
        try:
            return self._jobs.get(timeout=IDLE_S if self._session else None)
        except Empty:
            self._leave()
            return self._jobs.get()

    def _work(self, job: Job) -> None:
        wait: Wait | None = None
        try:
            if not self._stopping.is_set():
                step = self._delivery.step(job.campaign, job.tick.sender, self._session_for)
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
            self._leave()
        self._finished(job, job.tick.finish_one(wait))

    def _has_more(self, job: Job) -> bool:
        allowed = MAILS_A_TICK[job.tick.sender]
        return not self._stopping.is_set() and (allowed is None or job.mails < allowed)

    def _session_for(self, mailbox: str) -> SmtpSession:
        if self._session is None or not self._session.usable:
            self._leave()
            self._session = self._open(mailbox)
        return self._session

    def _leave(self) -> None:
        if self._session is not None:
            self._session.quit()
            self._session = None
