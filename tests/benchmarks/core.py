"""What the benchmarks share: sizes, results, and works that are measured in turn, each in a process of its own.
A figure is the median of its rounds; a target says whether it was met or missed, and nothing ever fails by the clock.
"""

from __future__ import annotations

import multiprocessing
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from pathlib import Path
from statistics import median
from typing import Any, Literal, TypeVar

from tests.faults.processes import CONTEXT as WARM

T = TypeVar("T")

FRESH = multiprocessing.get_context("spawn")
ROOT = str(Path(__file__).parents[2])
KIB_A_MB = 1024
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


class Size(StrEnum):
    """How much is measured: all of it, enough for a glance, or just enough to see that it runs."""

    FULL = "full"
    QUICK = "quick"
    TINY = "tiny"


ROUNDS = {Size.FULL: 5, Size.QUICK: 3, Size.TINY: 1}


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure is meant to reach, or to stay under."""

    sense: Literal["at least", "under"]
    limit: float

    def met(self, figure: float) -> bool:
        """Is it reached?"""
        return figure >= self.limit if self.sense == "at least" else figure < self.limit


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing, measured once a round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The one that counts."""
        return median(self.rounds)

    @property
    def spread(self) -> tuple[float, float]:
        """The lowest and the highest."""
        return min(self.rounds), max(self.rounds)


@dataclass(frozen=True, slots=True)
class Result:
    """A figure and its target, and what stands beside it: measured in the same run, a round of each in turn."""

    name: str
    unit: str
    figure: Figure
    target: Target | None = None
    beside: str = ""
    beside_figure: Figure | None = None

    @property
    def verdict(self) -> Literal["met", "missed", ""]:
        """Empty where there is no target."""
        if self.target is None:
            return ""
        return "met" if self.target.met(self.figure.median) else "missed"


def figure(rounds: Sequence[float], factor: float = 1) -> Figure:
    """The figure of these rounds, in another unit where a factor is given."""
    return Figure(tuple(value * factor for value in rounds))


def in_turn(size: Size, *works: Callable[[], T]) -> list[tuple[T, ...]]:
    """Each work once a round, A B A B: what slows the machine down for a while slows all of them down."""
    rounds = [[work() for work in works] for _ in range(ROUNDS[size])]
    return list(zip(*rounds, strict=True))


def aside(work: Callable[..., T], *given: object) -> T:
    """Do a work in a process of its own: no cache and no garbage of an earlier one makes it faster or slower."""
    return _done_by(WARM, work, given)


def peak_mb(work: Callable[..., object], *given: object) -> float:
    """The most memory that a process holds which starts as the command does, and does this work."""
    if ROOT not in sys.path:  # a fresh interpreter looks for `tests` where we do, and pytest has found it otherwise
        sys.path.append(ROOT)
    return _done_by(FRESH, _peak, (work, given))


def _done_by(context: BaseContext, work: Callable[..., T], given: tuple[object, ...]) -> T:
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_tell, args=(theirs, work, given))  # type: ignore[attr-defined]
    process.start()
    theirs.close()
    try:
        told: T = ours.recv()
    except EOFError:
        raise RuntimeError(f"{work.__name__} ended without a figure; its own words stand above") from None
    finally:
        process.join()
        ours.close()
    return told


def _tell(to: Connection, work: Callable[..., Any], given: tuple[object, ...]) -> None:
    to.send(work(*given))


def _peak(work: Callable[..., object], given: tuple[object, ...]) -> float:
    import runner.cli.app  # noqa: F401 - the command holds all of it, so it counts

    work(*given)
    # Not by getrusage: what it says is inherited, so it could be the memory of the process that started this one.
    found = _PEAK.search(Path("/proc/self/status").read_text())
    return int(found[1]) / KIB_A_MB if found else float("nan")
