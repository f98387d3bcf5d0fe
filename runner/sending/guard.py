"""The guard: what this machine last saw of the ledger. A ledger that does not fit it may be an older backup, or a copy.

Sending from either would mail people twice, so a runner refuses until a person has registered it (`runner register`).
The guard is a small file beside the runners' locks, outside the database: a restored database cannot restore it. It
names the very file that holds the ledger too, for whoever copies a folder copies the guard with it.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, select

from domain.errors import SendledgerError
from projections import kept
from runner.store.copying import MOVED_TO
from runner.store.ledger import Ledger

FILE = "guard.json"
MOVED = select(kept.ledger_info.c.value).where(kept.ledger_info.c.key == bindparam("key"))


class LedgerNotKnownHere(SendledgerError):
    """This machine has not sent from this ledger before."""

    def __init__(self) -> None:
        super().__init__(
            "this machine has not sent from this ledger before. It may be a copy, and the original still sending: "
            "when nobody sends from the original any more: `sendledger runner register --reason …`."
        )


class LedgerRestored(SendledgerError):
    """The ledger lacks what this machine has seen in it: an older backup."""

    def __init__(self, seen: int, found: int) -> None:
        self.seen = seen
        self.found = found
        super().__init__(
            f"this ledger is not the one last seen here: {seen:,} events then, {found:,} now, and not a continuation. "
            "It looks like an older backup; mails sent since then are missing from it and would go out again. "
            "`sendledger runner register --accept-restored --reason …` pauses every campaign, so that each can be "
            "reconciled with the mail server's log and resumed."
        )


class LedgerMoved(SendledgerError):
    """The ledger was copied to another database, from where mails are sent now."""

    def __init__(self, place: str) -> None:
        self.place = place
        super().__init__(
            f"this ledger was copied to {place}, and what is sent from both goes out twice. Set database_url to "
            "that; or, if it was given up and nothing was sent from it, `sendledger runner register --reason …`."
        )


class Guard:
    """The guard file of one ledger on this machine."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        self._ledger = ledger
        self._path = folder / FILE

    def require_not_moved(self) -> None:
        """Raise `LedgerMoved` for a ledger that was copied to another database, as it stands there at this moment."""
        if moved := self._ledger.fetch(MOVED, key=MOVED_TO):
            raise LedgerMoved(moved[0]["value"])

    def check(self) -> None:
        """Raise `LedgerNotKnownHere` or `LedgerRestored` unless the ledger continues what was seen here."""
        position = self._ledger.position()
        if not self._path.exists():
            if position:
                raise LedgerNotKnownHere
            return
        seen = self._read()
        if self._digest(seen["position"]) != seen["digest"]:
            raise LedgerRestored(seen["position"], position)
        if self._ledger.place() != seen["place"]:
            raise LedgerNotKnownHere

    def _read(self) -> dict[str, Any]:
        """What is noted. Raises `LedgerNotKnownHere` for a file that says nothing: it was cut or changed."""
        try:
            seen = json.loads(self._path.read_bytes())
            return {name: seen[name] for name in ("position", "digest", "place")}
        except (ValueError, KeyError, TypeError):
            raise LedgerNotKnownHere from None

    def mark(self) -> None:
        """Remember how far the ledger has come; on disk when this returns."""
        position = self._ledger.position()
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._path.with_name(f"{FILE}.{os.getpid()}")
        with fresh.open("w", encoding="ascii") as file:
            seen = {"position": position, "digest": self._digest(position), "place": self._ledger.place()}
            json.dump(seen, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)

    def _digest(self, position: int) -> str | None:
        """SHA-256 over the event at this position and where it stands; None when there is none."""
        stored = self._ledger.stored_at(position)
        if stored is None:
            return None
        place = f"{stored.originator_id}\n{stored.originator_version}\n{stored.topic}\n".encode()
        return hashlib.sha256(place + stored.state).hexdigest()
