"""`python -m runner.replaying.again`: comparisons prove themselves, in a process with another hash seed, which goes on
beside. What is compared lies in a file that the process which started it names by standard input; proofs go out.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO

from domain.errors import SendledgerError
from domain.replay.past import Setup
from domain.replay.proving import Proof, prove
from domain.replay.slices import Slice, compared
from runner.replaying.isolation import replaying, without_search_for_garbage

SEED = "PYTHONHASHSEED"
SEEDS = ("20261127", "1")

Proved = Callable[[], Proof]
"""Waits for the proof."""

Prove = Callable[[Slice, Setup], Proved]
"""Begins to prove the comparison of a slice."""


class NotProved(SendledgerError):
    """The other process ended without a proof."""


@contextmanager
def elsewhere() -> Iterator[Prove]:
    """The other process, for one proof after the other: to start it takes longer than a short one."""
    seed = next(seed for seed in SEEDS if seed != os.environ.get(SEED))
    with (
        TemporaryDirectory() as folder,
        TemporaryFile() as complaints,
        subprocess.Popen(
            [sys.executable, "-m", "runner.replaying.again"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env={**os.environ, SEED: seed, **_same_modules()},
            text=True,
        ) as process,
    ):
        try:
            yield partial(_begin, process, complaints, Path(folder) / "slice")
        except BaseException:
            process.kill()
            raise


def _same_modules() -> dict[str, str]:
    """It imports what this process does, and nothing that happens to lie in the folder where the command is given."""
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _begin(process: subprocess.Popen[str], complaints: IO[bytes], given: Path, part: Slice, setup: Setup) -> Proved:
    """The comparison is proved there, and made once here, which must come to the same."""
    with given.open("wb") as file:  # a pipe would hold us up until the other process has started and reads
        pickle.dump((part, setup), file)
    assert process.stdin is not None  # noqa: S101 - for the type checker
    with suppress(BrokenPipeError):  # it has ended: what it said last is told where its proof is asked for
        process.stdin.write(f"{given}\n")
        process.stdin.flush()
    digest = compared(part, setup).digest
    return partial(_proof, process, complaints, digest)


def _proof(process: subprocess.Popen[str], complaints: IO[bytes], digest: str) -> Proof:
    assert process.stdout is not None  # noqa: S101 - for the type checker
    told = process.stdout.readline().strip()
    if not told:
        code = process.wait()
        complaints.seek(0)
        last = complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
        raise NotProved(f"the other process that proves the comparison ended with {code}: {last or 'it said nothing'}.")
    proof: Proof = pickle.loads(b64decode(told))  # noqa: S301 - of the process that this one started
    return replace(proof, same_twice=proof.same_twice and proof.digest == digest)


def main() -> None:
    """One proof after the other, until there are no more."""
    proofs, sys.stdout = sys.stdout, sys.stderr  # whoever prints something says it to people
    for line in sys.stdin:
        with Path(line.rstrip("\n")).open("rb") as given:
            part, setup = pickle.load(given)  # noqa: S301 - of the process that started this one
        with replaying(), without_search_for_garbage():
            proof = prove(part, setup)
        proofs.write(b64encode(pickle.dumps(proof)).decode() + "\n")
        proofs.flush()


if __name__ == "__main__":
    main()
