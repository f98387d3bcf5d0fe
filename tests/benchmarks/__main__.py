"""`python -m tests.benchmarks [names…] [--quick] [--format table|json]`: figures beside their targets and bare loops.
A missed target is printed as missed. Nothing fails by the clock: the exit code says only whether all of it ran.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks import (
    audit,
    cold_load,
    crossing,
    drain,
    growth,
    idle_tick,
    lead_import,
    million,
    plan,
    postgres,
    rebuild,
    replay,
)
from tests.benchmarks.core import Figure, Result, Size

Benchmark = Callable[[Size, Path], Iterator[Result]]

BENCHMARKS: dict[str, Benchmark] = {
    "import": lead_import.run,
    "cold-load": cold_load.run,
    "drain": drain.run,
    "rebuild": rebuild.run,
    "idle-tick": idle_tick.run,
    "million": million.run,
    "growth": growth.run,
    "crossing": crossing.run,
    "plan": plan.run,
    "replay": replay.run,
    "postgres": postgres.run,
    "audit": audit.run,
}
LIBRARIES = ("eventsourcing", "pydantic", "SQLAlchemy")
SIGNS = {"at least": "≥", "under": "<"}
LINE = "{:<44} {:>10} {:<20} {:>9} {:<6}  {}"


def main() -> None:
    """Measure what is named, or all."""
    arguments = _arguments()
    size = Size.QUICK if arguments.quick else Size.FULL
    told = _print_json if arguments.format == "json" else _print_table
    told(size, {name: BENCHMARKS[name] for name in arguments.names or BENCHMARKS})


def measured(run: Benchmark, size: Size) -> Iterator[Result]:
    """The results of one benchmark; its files are gone when it ends."""
    with TemporaryDirectory(prefix="sendledger-bench-") as folder:
        yield from run(size, Path(folder))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(BENCHMARKS)}; all when none is given")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer rounds")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - set(BENCHMARKS)):
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    return arguments


def _print_table(size: Size, benchmarks: dict[str, Benchmark]) -> None:
    for name, value in _machine().items():
        print(f"{name}: {value}")
    for name, run in benchmarks.items():
        print(f"\n{name}, {size} size (load {_load()})")
        print(LINE.format("", "median", "lowest – highest", "target", "", "beside it, in the same rounds"), flush=True)
        for result in measured(run, size):
            print(_row(result), flush=True)


def _row(result: Result) -> str:
    target = f"{SIGNS[result.target.sense]} {_number(result.target.limit)}" if result.target else ""
    beside = f"{_number(result.beside_figure.median)} {result.beside}" if result.beside_figure else ""
    figure = f"{_number(result.figure.median)}"
    name = f"{result.name}, {result.unit}" if result.unit else result.name
    return LINE.format(name, figure, _spread(result.figure), target, result.verdict, beside).rstrip()


def _spread(figure: Figure) -> str:
    low, high = figure.spread
    return f"{_number(low)} – {_number(high)}" if len(figure.rounds) > 1 else ""


def _number(value: float) -> str:
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _print_json(size: Size, benchmarks: dict[str, Benchmark]) -> None:
    machine = _machine()
    results = [_document(name, result) for name, run in benchmarks.items() for result in measured(run, size)]
    json.dump({"machine": machine, "size": size, "results": results}, sys.stdout, ensure_ascii=False, indent=2)
    print()


def _document(benchmark: str, result: Result) -> dict[str, Any]:
    return {
        "benchmark": benchmark,
        "name": result.name,
        "unit": result.unit,
        "median": result.figure.median,
        "rounds": result.figure.rounds,
        "target": f"{result.target.sense} {result.target.limit:g}" if result.target else None,
        "verdict": result.verdict or None,
        "beside": result.beside or None,
        "beside_median": result.beside_figure.median if result.beside_figure else None,
        "beside_rounds": result.beside_figure.rounds if result.beside_figure else None,
    }


def _machine() -> dict[str, str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "machine": f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}",
        "python": f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}",
        "libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
    }


def _load() -> str:
    """How busy the machine was in the last minute: a figure of a busy one says little."""
    return f"{os.getloadavg()[0]:.1f}"


if __name__ == "__main__":
    main()
