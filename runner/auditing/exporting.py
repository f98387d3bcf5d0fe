"""Every attempt, streamed into a file or to the terminal: only if what the views hold adds up to the events, and with
totals that add up to what was written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from domain.errors import SendledgerError
from projections import audit, totals
from projections.audit import NAMES, Wanted
from projections.batch import CAMPAIGN_STREAM
from projections.projector import no_search_for_garbage

OUTCOME = NAMES.index("outcome")
TOLD_EVERY = 5_000
PART = ".part"


class DoesNotAddUp(SendledgerError):
    """The views do not hold what the events say, so nothing is told from them."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = problems
        super().__init__(
            f"the views do not add up to the events, so nothing is told from them: {'; '.join(problems)}. "
            "`sendledger rebuild --check` lists what differs; `sendledger rebuild` makes them anew."
        )


def require_sums(views: Connection, campaign: int | None) -> int:
    """Raise `DoesNotAddUp` unless the attempts and leads of these campaigns are as many as their events say; the place
    in the ledger up to which that holds. All of it from one snapshot."""
    upto = totals.position(views)
    events = audit.events_counted(views, campaign, upto)
    rows = totals.by_campaign(views, campaign)
    streams = {stream for stream, _ in events if stream.startswith(CAMPAIGN_STREAM)} | rows.keys()
    problems = [
        problem
        for stream in sorted(streams)
        for problem in totals.differences_of(stream, totals.of_events(events, stream), rows.get(stream, Counter()))
    ]
    if problems:
        raise DoesNotAddUp(problems)
    return upto


class Export:
    """The rows of one export, counted as they pass."""

    def __init__(self, views: Connection, wanted: Wanted) -> None:
        self._views = views
        self._wanted = wanted
        self.upto = require_sums(views, wanted.campaign)
        self.totals = audit.totals(views, wanted)
        self.told: Counter[str] = Counter()

    @property
    def attempts(self) -> int:
        """How many there are to tell."""
        return sum(self.totals.values())

    def rows(self, progress: Callable[[int, int], None], limit: int | None = None) -> Iterator[Sequence[Any]]:
        """Values in the order of `audit.COLUMNS`. Raises `DoesNotAddUp` at the end unless all of them came."""
        all_of_them = self.attempts
        outcomes: list[str] = []
        with no_search_for_garbage():
            for done, row in enumerate(audit.sends(self._views, self._wanted, limit=limit), start=1):
                outcomes.append(row[OUTCOME])
                yield row
                if done % TOLD_EVERY == 0:
                    progress(done, all_of_them)
                    self.told.update(outcomes)
                    outcomes.clear()
        self.told.update(outcomes)
        if limit is None and self.told != Counter(self.totals):
            raise DoesNotAddUp([f"{self.told.total():,} rows of {all_of_them:,} came"])


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A file that is there when all of it was written, and not before."""
    part = path.with_name(path.name + PART)
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
