"""`python -m runner.replaying.again`: comparisons made once more, in a process with another hash seed.
What is compared lies in files that the process which started it names by standard input; it goes on beside. The digests
go out.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from domain.errors import SendledgerError
from domain.replay.past import Setup
from domain.replay.proving import Again, Digest
from domain.replay.slices import Slice, compared
from runner.replaying.isolation import replaying

SEED = "PYTHONHASHSEED"
SEEDS = ("20261127", "1")


class NotMadeAgain(SendledgerError):
    """The other process ended without a digest."""


@contextmanager
def elsewhere() -> Iterator[Again]:
    """The other process, for as many comparisons as are asked for: to start it takes longer than a short one."""
    seed = next(seed for seed in SEEDS if seed != os.environ.get(SEED))
    with (
        TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, "-m", "runner.replaying.again"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, SEED: seed},
            text=True,
        ) as process,
    ):
        try:
            yield partial(_begin, process, Path(folder) / "slice")
        except BaseException:
            process.kill()
            raise


def _begin(process: subprocess.Popen[str], given: Path, part: Slice, setup: Setup) -> Digest:
    """Begin this comparison there; what waits for its end, and tells its digest."""
    with given.open("wb") as file:  # a pipe would hold us up until the other process has started and reads
        pickle.dump((part, setup), file)
    assert process.stdin is not None  # noqa: S101 - for the type checker
    process.stdin.write(f"{given}\n")
    process.stdin.flush()
    return partial(_digest_of, process)


def _digest_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None  # noqa: S101 - for the type checker
    told = process.stdout.readline().strip()
    if not told:
        raise NotMadeAgain(f"the comparison could not be made again in another process: it ended {process.wait()}.")
    return told


def main() -> None:
    """One comparison after the other, until there are no more."""
    for line in sys.stdin:
        with Path(line.rstrip("\n")).open("rb") as given:
            part, setup = pickle.load(given)  # noqa: S301 - of the process that started this one
        with replaying():
            digest = compared(part, setup).digest
        sys.stdout.write(f"{digest}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
