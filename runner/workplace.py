"""What every command works with: the settings, the ledger, its clock, and views that are up to date.
The one place where the parts are put together.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from hmac import compare_digest
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL

from domain.commitments import key_check
from domain.errors import InvalidInput
from domain.sealing.notes import PublicKey
from migrations.run import require_head, require_ledger
from projections import kept
from projections.database import engine_for, reading
from projections.projector import Projector
from runner.clock import Clock, RealClock, SimulatedClock
from runner.daemon import Runner
from runner.sealing.file import CheckpointFile
from runner.sealing.keys import Signer, new_name, public_keys, signer
from runner.sealing.sealer import Sealer
from runner.sending.guard import Guard
from runner.settings import Settings
from runner.store.copying import COPY_OF
from runner.store.ledger import Ledger

SIMULATED_START = "simulated_start"
LEDGER_ID = "ledger_id"
KEY_CHECK = "key_check"


@dataclass
class Workplace:
    """One ledger, opened as its settings say."""

    settings: Settings

    @cached_property
    def url(self) -> URL:
        """The database. Raises `InvalidInput` when it is not there, `SchemaMismatch` when it is of another schema."""
        url = self.settings.url
        require_ledger(url)
        require_head(url)
        return url

    @cached_property
    def engine(self) -> Engine:
        """For views and kept tables. Raises `InvalidInput` for a copy that is not through."""
        engine = engine_for(self.url)
        with reading(engine) as connection:
            is_through = COPY_OF not in kept.info(connection)
        if is_through:
            return engine
        engine.dispose()
        mend = "Run `sendledger db copy` again from the original."
        raise InvalidInput("this database is a copy that is not finished.", mend=mend, field="database_url")

    @cached_property
    def ledger(self) -> Ledger:
        """The events."""
        return Ledger(self.engine.url)

    @cached_property
    def projector(self) -> Projector:
        """Keeps the views up to date."""
        return Projector(self.engine, self.ledger.read)

    @cached_property
    def info(self) -> dict[str, str]:
        """What is fixed about this ledger. Raises `InvalidInput` where no ledger was made, but only its tables."""
        with reading(self.engine) as connection:
            info = kept.info(connection)
        if LEDGER_ID not in info:
            mend = "Name a database that is empty and make a ledger with `sendledger init`."
            raise InvalidInput("there are tables, but no ledger.", mend=mend, field="database_url")
        return info

    @cached_property
    def clock(self) -> Clock:
        """Real, or simulated: then it stands at the latest event, or at the start that `init` was given."""
        start = self.info.get(SIMULATED_START)
        if start is None:
            return RealClock()
        clock = SimulatedClock(datetime.fromisoformat(start))
        if newest := self.newest_at():
            clock.move_to(newest)
        return clock

    @property
    def simulated(self) -> bool:
        """Is its time simulated? Then its mail stays on this machine."""
        return isinstance(self.clock, SimulatedClock)

    def now(self) -> datetime:
        """The time of this ledger."""
        return self.clock.now().astimezone(UTC)

    def refresh(self) -> None:
        """Take in what others appended since, and, where time is simulated, how far they moved it."""
        self.ledger.refresh()
        if isinstance(self.clock, SimulatedClock) and (newest := self.newest_at()):
            self.clock.move_to(newest)

    def newest_at(self) -> datetime | None:
        """When the latest event was recorded; None where there is none."""
        position = self.ledger.position()
        return self.ledger.read(position - 1, 1)[0][1].recorded_at if position else None

    @contextmanager
    def views(self) -> Iterator[Connection]:
        """The views, with everything in them: a query never answers from the past."""
        with self.projector.views() as connection:
            yield connection

    def secret(self) -> bytes:
        """The suppression key. Raises `InvalidInput` for one that the list was not made with: it would let everybody
        through."""
        secret = self.settings.secret()
        if not compare_digest(self.info[KEY_CHECK], key_check(secret)):
            mend = "Put the key back that `sendledger init` made; without it the suppression list cannot be read."
            raise InvalidInput("is another key than this ledger's.", mend=mend, field="suppression_key")
        return secret

    def signer(self) -> Signer:
        """The key that seals. Raises `InvalidInput` where there is none, or one of another ledger."""
        signing = signer(self.settings.signing_key_line())
        if signing.public.name != new_name(self.info[LEDGER_ID]):
            mend = "Put the key of this ledger there."
            raise InvalidInput(f"is the key of another ledger, {signing.public.name}.", mend=mend, field="signing_key")
        return signing

    def sealer(self) -> Sealer:
        """Seals this ledger. Raises what `signer` raises."""
        return Sealer(self.ledger, self.signer(), self.checkpoint_file)

    @property
    def checkpoint_file(self) -> CheckpointFile:
        """Checkpoints outside the database."""
        return CheckpointFile(self.settings.checkpoints_file)

    def trusted_keys(self, path: Path | None) -> list[PublicKey]:
        """The public keys in this file; without one, that of the key which seals here."""
        if path is not None:
            return public_keys(path)
        if not self.has_signing_key:
            mend = "Give the public key that its owner has handed out: --public-key FILE."
            raise InvalidInput("there is no signing key here to take the public one from.", mend=mend)
        return [self.signer().public]

    @property
    def has_signing_key(self) -> bool:
        """May this machine seal?"""
        file = self.settings.key_file(self.settings.signing_key)
        return file is None or file.exists()

    def runner(self) -> Runner:
        """A runner of this ledger, which seals it too where the key is. Raises, before anything is sent, for a ledger
        that was moved, restored or copied."""
        self.require_fit_to_send()
        sealer = self.sealer() if self.has_signing_key else None
        return Runner(self.ledger, self.settings.runners_folder, self.clock, sealer)

    def require_fit_to_send(self) -> None:
        """Raise for a ledger that was moved, restored or copied: mails would go out twice."""
        guard = Guard(self.ledger, self.settings.runners_folder)
        guard.require_not_moved()
        guard.check()

    def close(self) -> None:
        """Give back what is open. What is asked for afterwards is opened anew."""
        if "ledger" in self.__dict__:
            self.ledger.close()
        if "engine" in self.__dict__:
            self.engine.dispose()
        for name in self.__dict__.keys() - {"settings"}:
            del self.__dict__[name]
