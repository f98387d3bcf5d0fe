"""No network while a replay runs: a policy that reached for it would no longer decide from the history alone.
Only the thread that replays is held to it; a daemon delivers mail beside its shadow.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, local

from domain.errors import SendledgerError

_FORBIDDEN = frozenset({"socket.__new__", "socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo"})
_replaying = local()
_watching = Lock()


class NetworkInReplay(SendledgerError):
    """Something in a replay reached for the network; nothing was sent."""


@contextmanager
def replaying() -> Iterator[None]:
    """A replay: this thread can open no socket in the block."""
    _watch()
    before = getattr(_replaying, "now", False)
    _replaying.now = True
    try:
        yield
    finally:
        _replaying.now = before


@contextmanager
def reading() -> Iterator[None]:
    """Inside a replay, the reading of its history: from a database, which may be on a server."""
    before = getattr(_replaying, "now", False)
    _replaying.now = False
    try:
        yield
    finally:
        _replaying.now = before


@contextmanager
def without_search_for_garbage() -> Iterator[None]:
    """A replay makes millions of objects and no cycles."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _watch() -> None:
    """The interpreter tells of each socket before it is made; a hook cannot be taken back, so there is one only."""
    if _watching.acquire(blocking=False):
        sys.addaudithook(_refuse)


def _refuse(event: str, _said: tuple[object, ...]) -> None:
    if event in _FORBIDDEN and getattr(_replaying, "now", False):
        raise NetworkInReplay(f"a replay reached for the network ({event}): it decides from the history alone.")
