"""`python -m runner.replaying.again`: a comparison made once more, in a process with another hash seed.
What is compared comes in by standard input from the process that started it; the digest goes out.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

from domain.errors import SendledgerError
from domain.replay.past import Setup
from domain.replay.slices import Slice, compared
from runner.replaying.isolation import replaying

SEED = "PYTHONHASHSEED"
SEEDS = ("20261127", "1")
TIMEOUT_S = 3600


class NotMadeAgain(SendledgerError):
    """The other process ended without a digest."""


def digest_elsewhere(part: Slice, setup: Setup) -> str:
    """The digest of this comparison, made in another process."""
    seed = next(seed for seed in SEEDS if seed != os.environ.get(SEED))
    done = subprocess.run(
        [sys.executable, "-m", "runner.replaying.again"],
        input=pickle.dumps((part, setup)),
        capture_output=True,
        env={**os.environ, SEED: seed},
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise NotMadeAgain(f"the comparison could not be made again in another process: it ended {done.returncode}.")
    return done.stdout.decode().strip()


def main() -> None:
    """One comparison."""
    part, setup = pickle.load(sys.stdin.buffer)  # noqa: S301 - of the process that started this one, by a pipe
    with replaying():
        digest = compared(part, setup).digest
    sys.stdout.write(f"{digest}\n")


if __name__ == "__main__":
    main()
