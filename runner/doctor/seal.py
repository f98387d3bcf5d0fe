"""The seal: may this machine sign checkpoints, is it kept up, and does the file outside the database go along?"""

from __future__ import annotations

from collections.abc import Iterator

from domain.sealing.checkpoints import claimed_size
from runner.doctor.findings import Finding, ok, warn
from runner.doctor.machine import OTHERS
from runner.sealing.sealer import EVENTS_A_CHECKPOINT, last_seal
from runner.workplace import Workplace


def seal(place: Workplace) -> Iterator[Finding]:
    """How much of the log stands under a signature. Nothing is computed again: that is `audit verify`."""
    settings, last = place.settings, last_seal(place.ledger)
    if not place.has_signing_key:
        problem = f"no signing key here; {last.size:,} events are sealed."
        yield warn("seal", problem, "Make it with `sendledger audit key --make`, unless another machine seals.")
        return
    place.signer()
    note = place.checkpoint_file.last()
    reached, waiting = claimed_size(note) if note else 0, place.ledger.position() - last.position
    file = settings.key_file(settings.signing_key)
    if file is not None and file.stat().st_mode & OTHERS:
        yield warn("seal", f"others on this machine may use {settings.signing_key}.", f"chmod 600 {file}")
    elif reached < last.size:
        problem = (
            f"{settings.checkpoints_file} ends at {reached:,} events, the database's checkpoints at {last.size:,}."
        )
        yield warn("seal", problem, "`sendledger audit verify`; then `sendledger audit seal` writes what is missing.")
    elif waiting > EVENTS_A_CHECKPOINT:
        problem = f"{waiting:,} events wait for the next checkpoint."
        yield warn("seal", problem, "`sendledger audit seal`, or start a runner: it seals every minute.")
    else:
        yield ok("seal", f"{last.size:,} events are sealed, {waiting:,} wait for the next checkpoint")
