"""The steps of a mail's way, by name, and faults that strike at one of them. Put in from outside: the program that
runs is the one that ships.
"""

from __future__ import annotations

import inspect
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from itertools import count
from threading import get_ident
from typing import Any

from eventsourcing.persistence import OperationalError

import runner.daemon
import runner.sending.delivery
import runner.sending.recording
from domain.rules import LONGEST_HOLD
from runner.sending.delivery import Delivery
from runner.sending.diary import Diary
from runner.sending.guard import Guard
from runner.sending.journal import Journal
from runner.sending.recording import Recording
from runner.sending.servers import Servers
from runner.smtp.session import SmtpSession
from runner.store.ledger import Ledger
from runner.store.postgres import PostgresAppending, PostgresRecorder
from runner.store.sqlite import SqliteAppending, SqliteRecorder

NO_ROOM_OCTETS = 4000
"""A file may not grow past this: too little for any page of a database, enough for a line of a journal."""

Strike = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Step:
    """A call of the program, of its owner or of each of them; `when` picks calls by their arguments."""

    owner: Any | tuple[Any, ...]
    name: str
    after: bool = False
    when: Callable[..., bool] = lambda *_, **__: True


@dataclass(frozen=True, slots=True)
class Fault:
    """At the `nth` time (1-based) that this step is reached, `strike`; `always`: and at each one after."""

    step: str
    nth: int
    strike: Strike
    always: bool = False


def _phase(verb: str) -> Callable[..., bool]:
    return lambda _session, _phase, line, _expected: line.startswith(verb)


def _holding(topic: str) -> Callable[..., bool]:
    return lambda _appending, stored, *_: any(event.topic.startswith(topic) for event in stored)


def _called_by(caller: Callable[..., Any]) -> Callable[..., bool]:
    return lambda *_: any(frame.frame.f_code is caller.__code__ for frame in inspect.stack(0))


RECORDER = (SqliteRecorder, PostgresRecorder)
APPENDING = (SqliteAppending, PostgresAppending)
"""Whichever is in use."""

STEPS: dict[str, Step] = {
    "before the start is told": Step(Diary, "runner_started"),
    "after the start is told": Step(Diary, "runner_started", after=True),
    "before the journals are replayed": Step(runner.daemon, "replay_journals"),
    "before a tick": Step(runner.daemon.Runner, "tick"),
    "before the settings are read": Step(Servers, "connections"),
    "before the tick is told": Step(Diary, "started"),
    "after the tick is told": Step(Diary, "started", after=True),
    "before connect": Step(SmtpSession, "open"),
    "after connect": Step(SmtpSession, "open", after=True),
    "before MAIL": Step(SmtpSession, "_command", when=_phase("MAIL")),
    "after MAIL": Step(SmtpSession, "_command", after=True, when=_phase("MAIL")),
    "before RCPT": Step(SmtpSession, "_command", when=_phase("RCPT")),
    "after RCPT": Step(SmtpSession, "_command", after=True, when=_phase("RCPT")),
    "before DATA": Step(SmtpSession, "_command", when=_phase("DATA")),
    "after DATA": Step(SmtpSession, "_command", after=True, when=_phase("DATA")),
    "after the body": Step(SmtpSession, "hold", after=True),
    "before the lock": Step(Delivery, "_lock"),
    "in the lock's transaction": Step(APPENDING, "insert", after=True, when=_holding("EmailLocked")),
    "after the lock's commit": Step(RECORDER, "append", after=True, when=_holding("EmailLocked")),
    "in a transaction of changes": Step(APPENDING, "insert", after=True, when=_holding("LimitsChanged")),
    "after a commit of many": Step(Ledger, "_in_append_lock", after=True),
    "before reading back": Step(Delivery, "_stands"),
    "while reading back": Step(Ledger, "refresh", when=_called_by(Delivery._stands)),
    "after the lock": Step(Delivery, "_lock", after=True),
    "before the dot": Step(SmtpSession, "dot"),
    "before the reply": Step(SmtpSession, "_answer_to_the_dot"),
    "after the reply": Step(SmtpSession, "dot", after=True),
    "before the record": Step(Recording, "record"),
    "before an outcome is stored": Step(runner.sending.recording, "record_outcome"),
    "in the doubt's transaction": Step(APPENDING, "insert", after=True, when=_holding("EmailInDoubt")),
    "after the sweep": Step(runner.daemon, "sweep", after=True),
    "in the record's transaction": Step(APPENDING, "insert", after=True, when=_holding("EmailSent")),
    "after the record": Step(Recording, "record", after=True),
    "before the journal": Step(Journal, "write"),
    "after the journal": Step(Journal, "write", after=True),
    "before the guard is marked": Step(Guard, "mark"),
    "after the guard is marked": Step(Guard, "mark", after=True),
    "before QUIT": Step(SmtpSession, "quit"),
    "before the tick's end is told": Step(Diary, "finished"),
    "after the tick's end is told": Step(Diary, "finished", after=True),
}


@contextmanager
def struck(*faults: Fault) -> Iterator[None]:
    """While the block runs, these faults strike in this process."""
    with ExitStack() as stack:
        for fault in faults:
            stack.enter_context(_changed(STEPS[fault.step], fault))
        yield


@contextmanager
def _changed(step: Step, fault: Fault) -> Iterator[None]:
    calls = count(1)

    def strike(*args: Any, **kwargs: Any) -> None:
        if step.when(*args, **kwargs):
            call = next(calls)
            if call == fault.nth or (fault.always and call > fault.nth):
                fault.strike()

    with ExitStack() as stack:
        for owner in step.owner if isinstance(step.owner, tuple) else (step.owner,):
            stack.enter_context(_struck_at(owner, step, strike))
        yield


@contextmanager
def _struck_at(owner: Any, step: Step, strike: Callable[..., None]) -> Iterator[None]:
    original = inspect.getattr_static(owner, step.name)
    plain = getattr(original, "__func__", original)

    @wraps(plain)
    def changed(*args: Any, **kwargs: Any) -> Any:
        if not step.after:
            strike(*args)
        result = plain(*args, **kwargs)
        if step.after:
            strike(*args)
        return result

    setattr(owner, step.name, classmethod(changed) if isinstance(original, classmethod) else changed)
    try:
        yield
    finally:
        setattr(owner, step.name, original)


# --- what may strike: by name, so that another process can be told ---


def kill() -> None:
    """The end, without another instruction."""
    os.kill(os.getpid(), signal.SIGKILL)


def stop() -> None:
    """Stand still until somebody sends SIGCONT."""
    # To this very thread: told to the process, the main thread stops it, and this one might run on into a transaction.
    signal.pthread_kill(get_ident(), signal.SIGSTOP)


def terminate() -> None:
    """As a service manager ends a service."""
    os.kill(os.getpid(), signal.SIGTERM)


def interrupt() -> None:
    """As Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)


def lose() -> None:
    """The database does not answer."""
    raise OperationalError("disk I/O error")


def forbid_dot() -> None:
    """Any time at all since the lock is too long from here on, as for a process that was stopped for half a minute."""
    _hold_at_most(timedelta(microseconds=-1))


def allow_dot() -> None:
    """The dot may come as late as ever."""
    _hold_at_most(LONGEST_HOLD)


def _hold_at_most(longest: timedelta) -> None:
    vars(runner.sending.delivery)["LONGEST_HOLD"] = longest


def fill_disk() -> None:
    """From here on no file of this process can grow: SQLite meets a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (NO_ROOM_OCTETS, resource.RLIM_INFINITY))


def empty_disk() -> None:
    """There is room again."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
