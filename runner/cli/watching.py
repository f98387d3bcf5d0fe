"""`sendledger status --watch`: the live view, until somebody has seen enough."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event as Flag

from rich.console import RenderableType
from rich.live import Live

from runner.cli.context import DatabaseAway, naming, workplace
from runner.cli.output import console
from runner.cli.screen import screen, screen_while_away
from runner.daemon import stopped_by_signals
from runner.overview import Overview, overview
from runner.workplace import Workplace


@dataclass
class Watch:
    """Looks again and again, also while the database is away: then at what was seen last. Ends at the next look after
    a signal, so that none is broken off in the middle of a transaction."""

    place: Workplace
    seen: Overview
    away_since: datetime | None = None
    stopping: Flag = field(default_factory=Flag)

    def look(self) -> RenderableType:
        """What is to be seen now."""
        try:
            with naming(self.place.settings.url):
                self.seen = overview(self.place)
        except DatabaseAway as away:
            self.place.close()  # a pool of lost connections tries ever more rarely: the next look opens everything anew
            self.away_since = self.away_since or datetime.now(UTC)
            return screen_while_away(self.seen, self.away_since, away.problem)
        self.away_since = None
        return screen(self.seen)


def watch(every: timedelta) -> None:
    """Draw the overview again and again. Where there is no terminal: once. What was seen last stays readable."""
    with workplace() as place:
        looking = Watch(place, overview(place))
        drawn = screen(looking.seen)
        if console.is_terminal:
            with stopped_by_signals(looking), Live(drawn, console=console, screen=True, auto_refresh=False) as live:
                live.refresh()
                while not looking.stopping.wait(every.total_seconds()):
                    drawn = looking.look()
                    live.update(drawn, refresh=True)
        console.print(drawn)
