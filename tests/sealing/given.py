"""What the tests of the seal are given: a small ledger, its sealer, and ways to tamper with both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import text

from domain.events import Event
from domain.sealing.verification import Fault
from projections import event_log, kept
from projections.database import engine_for, writing
from runner.sealing.file import CheckpointFile
from runner.sealing.keys import Signer, new_key
from runner.sealing.sealer import Sealer
from runner.sealing.verifying import Verification, Verified
from runner.store.ledger import Ledger
from tests.domain.given import World

SEALED_AT = (6, 12, 16)
WORDS = {
    "sqlite": {
        "position": "rowid",
        "digit_changed": "CAST(replace(CAST(state AS text), '5', '6') AS blob)",
        "year_changed": "CAST(replace(CAST(state AS text), '2025', '2024') AS blob)",
    },
    "postgresql": {
        "position": "notification_id",
        "digit_changed": "convert_to(replace(convert_from(state, 'UTF8'), '5', '6'), 'UTF8')",
        "year_changed": "convert_to(replace(convert_from(state, 'UTF8'), '2025', '2024'), 'UTF8')",
    },
}
"""What statements call differently on each."""


def story() -> Sequence[Event]:
    """Eighteen events: four leads, four locks with their slots, two outcomes."""
    world = World()
    world.queue(5, 5, 5, 5)
    world.start()
    tokens = [world.lock(position) for position in range(4)]
    world.sent(tokens[0])
    world.failed(tokens[1])
    world.pause()
    return world.history


class SealedLedger:
    """A ledger, what seals it, and what is found when it is verified."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        self.ledger = ledger
        self.file = CheckpointFile(folder / "checkpoints")
        self.signer = Signer(new_key("ledger"))
        self.sealer = Sealer(ledger, self.signer, self.file)
        self.events = story()
        before = 0
        for end in (*SEALED_AT, len(self.events)):
            ledger.append(self.events[before:end])
            if end in SEALED_AT:
                self.sealer.seal()
            before = end

    def verified(self, file: CheckpointFile | None = None, *, older: bool = False) -> Verified:
        """What a verification of all of it finds."""
        look = Verification(self.ledger, [self.signer.public], file or self.file, older=older)
        look.read(self.ledger.position(), lambda _done, _total: None)
        return look.finish()

    def faults(self) -> list[Fault]:
        return self.verified().faults

    def tamper(self, *statements: str) -> None:
        """With the rights of an owner, who takes the triggers away first. `WORDS` fill in what differs."""
        dialect = "sqlite" if self.ledger.url.get_backend_name() == "sqlite" else "postgresql"
        engine = engine_for(self.ledger.url)
        with writing(engine) as connection:
            for table, names in (
                ("stored_events", event_log.TRIGGERS[dialect]),
                ("checkpoints", kept.CHECKPOINT_TRIGGERS[dialect]),
            ):
                for name in names:
                    on = f" ON {table}" if dialect == "postgresql" else ""
                    connection.execute(text(f"DROP TRIGGER IF EXISTS {name}{on}"))
            if dialect == "postgresql":
                connection.execute(text("ALTER TABLE stored_events ALTER notification_id DROP IDENTITY IF EXISTS"))
            for statement in statements:
                connection.execute(text(statement.format(**WORDS[dialect])))
        engine.dispose()
