"""Processes of their own for servers and victims: forked from a warm one, so that each costs milliseconds."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Event
from time import monotonic

TIMEOUT_S = 30.0
"""Nothing here takes so long, unless it hangs."""

LOOK_EVERY_S = 0.005

CONTEXT = multiprocessing.get_context("forkserver")
# pytest too: a new process looks into the script that started this one, and importing it costs more than all the rest.
CONTEXT.set_forkserver_preload(["pytest", "tests.faults.victim", "tests.faults.server"])


def started(work: Callable[..., None], *said: object) -> BaseProcess:
    """A process that does this work."""
    process = CONTEXT.Process(target=work, args=said)
    process.start()
    return process


def ended(process: BaseProcess) -> int:
    """Wait for its end; its exit code, or the negative number of the signal that killed it."""
    process.join(TIMEOUT_S)
    code = process.exitcode
    if code is None:
        process.kill()
        process.join(TIMEOUT_S)
        raise AssertionError("the process hangs")
    process.close()
    return code


def put_away(process: BaseProcess) -> None:
    """End it if a test that failed has left it there: one that is stopped would keep the tests from ending."""
    with suppress(ValueError):  # it has ended, and was closed
        process.kill()
        process.join(TIMEOUT_S)


def is_stopped(process: BaseProcess) -> bool:
    """Has it been stopped by a signal, and not been woken yet?"""
    stat = Path(f"/proc/{process.pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


def wait_until(condition: Callable[[], bool]) -> None:
    """Look again and again until it is so."""
    never, deadline = Event(), monotonic() + TIMEOUT_S
    while not condition():
        assert monotonic() < deadline, "it never came to that"
        never.wait(LOOK_EVERY_S)
