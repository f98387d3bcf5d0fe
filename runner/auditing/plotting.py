"""Both senders' days as a picture, by `matplotlib`, which is an optional part of the installation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, get_args

from domain.errors import InvalidInput
from domain.events import Sender

PARTS = (("sent", "tab:green"), ("failed", "tab:red"), ("in_doubt", "tab:orange"))
WIDTH_IN, HEIGHT_IN = 10, 6
SUFFIXES = (".png", ".svg", ".pdf")

_MEND = "Install it beside Sendledger: pip install 'sendledger[plot]'."


def require_plottable(path: Path) -> None:
    """Raise `InvalidInput` unless such a picture can be made here."""
    if path.suffix not in SUFFIXES:
        raise InvalidInput("is no kind of picture.", mend=f"Take one of {', '.join(SUFFIXES)}.", field="--plot")
    try:
        import matplotlib  # noqa: F401 - only here: nobody who asks for no picture waits for it
    except ModuleNotFoundError:
        raise InvalidInput("a picture needs matplotlib.", mend=_MEND, field="--plot") from None


def plot_systems(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Stacked bars, a day each and a row of them for each sender; `rows` as `beside` tells them by day."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    days: dict[str, dict[str, Counter[str]]] = {sender: {} for sender in get_args(Sender)}
    for row in rows:
        if row["sender"] in days:
            counts = days[row["sender"]].setdefault(row["date"], Counter())
            counts.update({part: row[part] for part, _ in PARTS})
    every = sorted({day for of in days.values() for day in of})
    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (sender, of) in zip(figure.subplots(len(days), 1, sharex=True, sharey=True), days.items(), strict=True):
        _bars(axes, sender, every, of)
    figure.savefig(path)


def _bars(axes: Any, sender: str, every: Sequence[str], of: Mapping[str, Counter[str]]) -> None:
    at = [date.fromisoformat(day) for day in every]
    height = [0] * len(every)
    for part, colour in PARTS:
        values = [of.get(day, Counter())[part] for day in every]
        axes.bar(at, values, bottom=height, color=colour, label=part.replace("_", " "))
        height = [low + value for low, value in zip(height, values, strict=True)]
    axes.set_title(sender)
    axes.set_ylabel("attempts a day")
    axes.legend(loc="upper right")
