"""`python -m runner.replaying.again`: a comparison made once more, in a process with another hash seed.
What is compared comes in by standard input from the process that started it, which goes on beside; the digest goes out.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from functools import partial
from tempfile import TemporaryFile

from domain.errors import SendledgerError
from domain.replay.past import Setup
from domain.replay.proving import Digest
from domain.replay.slices import Slice, compared
from runner.replaying.isolation import replaying

SEED = "PYTHONHASHSEED"
SEEDS = ("20261127", "1")
TIMEOUT_S = 3600


class NotMadeAgain(SendledgerError):
    """The other process ended without a digest."""


def begin_elsewhere(part: Slice, setup: Setup) -> Digest:
    """Begin this comparison in another process; what waits for its end, and tells its digest."""
    seed = next(seed for seed in SEEDS if seed != os.environ.get(SEED))
    with TemporaryFile() as given:  # a pipe would hold us up until the other process has started and reads
        pickle.dump((part, setup), given)
        given.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-m", "runner.replaying.again"],
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, SEED: seed},
        )
    return partial(_digest_of, process)


def _digest_of(process: subprocess.Popen[bytes]) -> str:
    try:
        told, _ = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    if process.returncode:
        raise NotMadeAgain(f"the comparison could not be made again in another process: it ended {process.returncode}.")
    return told.decode().strip()


def main() -> None:
    """One comparison."""
    part, setup = pickle.load(sys.stdin.buffer)  # noqa: S301 - of the process that started this one
    with replaying():
        digest = compared(part, setup).digest
    sys.stdout.write(f"{digest}\n")


if __name__ == "__main__":
    main()
