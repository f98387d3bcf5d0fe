"""`sendledger status --watch`: the live view, until somebody has seen enough."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event as Flag

from rich.live import Live

from runner.cli.context import workplace
from runner.cli.output import console
from runner.cli.screen import screen
from runner.daemon import stopped_by_signals
from runner.overview import overview


@dataclass
class Watch:
    """Ends at the next look after a signal, so that none is broken off in the middle of a transaction."""

    stopping: Flag = field(default_factory=Flag)


def watch(every: timedelta) -> None:
    """Draw the overview again and again. Where there is no terminal: once. What was seen last stays readable."""
    with workplace() as place:
        drawn = screen(overview(place))
        if console.is_terminal:
            looking = Watch()
            with stopped_by_signals(looking), Live(drawn, console=console, screen=True, auto_refresh=False) as live:
                live.refresh()
                while not looking.stopping.wait(every.total_seconds()):
                    drawn = screen(overview(place))
                    live.update(drawn, refresh=True)
        console.print(drawn)
