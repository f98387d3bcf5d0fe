"""What every command works with: the settings, the ledger, its clock, and views that are up to date.
The one place where the parts are put together.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from sqlalchemy import Connection, Engine

from domain.errors import InvalidInput
from migrations.run import require_head
from projections import kept
from projections.database import engine_for, reading
from projections.projector import Projector
from runner.clock import Clock, RealClock, SimulatedClock
from runner.daemon import Runner
from runner.sending.guard import Guard
from runner.settings import FILE_NAME, Settings
from runner.store.ledger import Ledger

SIMULATED_START = "simulated_start"
LEDGER_ID = "ledger_id"


@dataclass
class Workplace:
    """One ledger, opened as its settings say."""

    settings: Settings

    @cached_property
    def url(self) -> str:
        """The database. Raises `InvalidInput` when it is not there or of another schema."""
        path = self.settings.database
        if not path.exists():
            mend = "Make it with `sendledger init`."
            raise InvalidInput(f"there is no ledger at {path}.", mend=mend, field="database_url", source=FILE_NAME)
        url = f"sqlite:///{path}"
        require_head(url)
        return url

    @cached_property
    def engine(self) -> Engine:
        """For views and kept tables."""
        return engine_for(self.url)

    @cached_property
    def ledger(self) -> Ledger:
        """The events."""
        _ = self.url
        return Ledger(self.settings.database)

    @cached_property
    def projector(self) -> Projector:
        """Keeps the views up to date."""
        return Projector(self.engine, self.ledger.read)

    @cached_property
    def info(self) -> dict[str, str]:
        """What is fixed about this ledger."""
        with reading(self.engine) as connection:
            return kept.info(connection)

    @cached_property
    def clock(self) -> Clock:
        """Real, or simulated: then it stands at the latest event, or at the start that `init` was given."""
        start = self.info.get(SIMULATED_START)
        if start is None:
            return RealClock()
        at = datetime.fromisoformat(start)
        position = self.ledger.position()
        if position:
            [(_, event)] = self.ledger.read(position - 1, 1)
            at = max(at, event.recorded_at)
        return SimulatedClock(at)

    def now(self) -> datetime:
        """The time of this ledger."""
        return self.clock.now().astimezone(UTC)

    @contextmanager
    def views(self) -> Iterator[Connection]:
        """The views, caught up: a query never answers from the past."""
        self.projector.catch_up()
        with reading(self.engine) as connection:
            yield connection

    def runner(self) -> Runner:
        """A runner of this ledger. Raises `LedgerNotKnownHere` or `LedgerRestored` before anything is sent."""
        Guard(self.ledger, self.settings.runners_folder).check()
        return Runner(self.ledger, self.settings.runners_folder, self.clock)

    def close(self) -> None:
        """Give back what is open."""
        if "ledger" in self.__dict__:
            self.ledger.close()
        if "engine" in self.__dict__:
            self.engine.dispose()
