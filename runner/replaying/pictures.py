"""A comparison in pictures, on one page: mails over time, the gaps, the shifts, and mails a day against the limit.
Drawn by matplotlib, an optional extra. The same report gives the same bytes; grey levels and dashes tell the columns
apart without colour.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date, timedelta
from importlib.util import find_spec
from itertools import accumulate, pairwise
from math import nan
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from domain.errors import InvalidInput
from domain.replay.report import ColumnPart, Report

KINDS = {".svg": "svg", ".png": "png"}
PAGE_INCHES = (11.7, 8.3)
DPI = 110
BINS = 40
GREYS = {"R": ("0.0", "-"), "A": ("0.35", "--"), "B": ("0.65", ":")}
WIDTHS = {"R": 2.6, "A": 1.8, "B": 2.2}
LIMITS = {"R": "-.", "A": "--", "B": ":"}
AT_THE_TOP = ("data", "axes fraction")
ON_WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
UPRIGHT: Any = {"rotation": 90, "ha": "right", "va": "top", "fontsize": "small", "bbox": ON_WHITE}
SHADE = "0.92"
HEADROOM = 1.2
"""For the legend above the bars."""

HOUR = timedelta(hours=1)
SETTINGS: Any = {
    "svg.hashsalt": "sendledger",
    "svg.fonttype": "path",
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
}


def require_drawable(file: Path) -> None:
    """Raises `InvalidInput` for another kind of file, where it can not be written, or where matplotlib is missing: all
    that is known before a comparison, which may take a minute."""
    if file.suffix.lower() not in KINDS:
        raise InvalidInput(f"{file} is no picture.", mend="Name it FILE.svg or FILE.png.", field="--plot")
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise InvalidInput(f"{file} can not be written.", mend="Name one in a folder of yours.", field="--plot")
    if find_spec("matplotlib") is None:
        mend = "Install it: pip install 'sendledger[plot]'."
        raise InvalidInput("pictures need matplotlib.", mend=mend, field="--plot")


def draw(report: Report, file: Path) -> None:
    """Into this file, which is drawable."""
    import matplotlib as library
    from matplotlib.figure import Figure

    kind = KINDS[file.suffix.lower()]
    with library.rc_context(SETTINGS):
        figure = Figure(figsize=PAGE_INCHES, dpi=DPI, layout="constrained")
        number = report.manifest.campaign.rpartition("-")[2]
        figure.suptitle(f"Campaign {number}, {report.name}: {report.manifest.mode} mode, {report.verdict.lower()}")
        over_time, days, gaps, shifts = figure.subplots(2, 2).flat
        _over_time(over_time, report)
        _days(days, report)
        _gaps(gaps, report)
        _shifts(shifts, report)
        for axes in (over_time, days, gaps, shifts):
            axes.yaxis.get_major_locator().set_params(integer=True)  # there is no half a mail
        figure.savefig(file, format=kind, metadata={"Date": None} if kind == "svg" else {"Software": None})


def _over_time(axes: Any, report: Report) -> None:
    axes.xaxis_date(tz=ZoneInfo(report.zone))  # before anything is drawn: later it is ignored
    for start, end in report.windows:
        axes.axvspan(start, end, color=SHADE, zorder=0)
    for column in report.columns:
        if not column.hours:
            continue
        times = [at for hour, _ in column.hours for at in (hour, hour + HOUR)]
        reached = [0, *accumulate(mails for _, mails in column.hours)]
        counts = [mails for both in pairwise(reached) for mails in both]
        axes.plot(times, counts, label=_label(report, column), **_style(column))
    axes.tick_params(axis="x", labelrotation=30)
    axes.set(title="Mails, windows shaded", ylabel="mails", xlabel=f"time in {report.zone}")
    axes.legend(loc="upper left")


def _days(axes: Any, report: Report) -> None:
    days = sorted({day for column in report.columns for day, _ in column.days})
    places = {day: nth for nth, day in enumerate(days)}
    for nth, column in enumerate(report.columns):
        at = [places[day] + (nth - 1) * 0.27 for day, _ in column.days]
        heights = [mails for _, mails in column.days]
        shade = GREYS[column.column][0]
        axes.bar(at, heights, width=0.25, color=shade, edgecolor="black", linewidth=0.4, label=column.column)
    if days:
        _limits(axes, report, days)
    shown = days[:: max(1, len(days) // 10)]
    axes.set_xticks([places[day] for day in shown], [f"{day:%d.%m.}" for day in shown])
    axes.set(
        title="Mails a day against the limit",
        ylabel="mails a day",
        xlabel=f"date in {report.zone}",
    )
    axes.set_ylim(top=axes.get_ylim()[1] * HEADROOM)
    axes.legend(loc="upper center", ncols=len(report.columns) * 2)


def _limits(axes: Any, report: Report, days: Sequence[date]) -> None:
    """A step a day; a side's own where it is another than the recorded one."""
    edges = [nth - 0.5 for nth in range(len(days) + 1)]
    recorded = _limit_of(report.columns[0])
    for column in report.columns:
        limits = _limit_of(column)
        if column.column == "R" or limits != recorded:
            label = "limit" if column.column == "R" else f"limit of {column.column}"
            heights = [limits.get(day, nan) for day in days]
            axes.stairs(heights, edges, baseline=None, color="white", linewidth=3)  # it crosses dark bars
            axes.stairs(heights, edges, baseline=None, color="black", linestyle=LIMITS[column.column], label=label)


def _limit_of(column: ColumnPart) -> dict[date, int]:
    return {day: daily_limit for day, daily_limit, _ in column.limits}


def _gaps(axes: Any, report: Report) -> None:
    delays = _delays(report)
    longest = max((gap for column in report.columns for gap, _ in column.gaps), default=0)
    bound = min(longest, max(4 * max(delays, default=0), 60)) or 1
    for column in report.columns:
        if column.gaps:
            values, weights = zip(*((min(max(gap, 0), bound), mails) for gap, mails in column.gaps), strict=True)
            style = {**_style(column), "histtype": "step"}
            axes.hist(values, bins=BINS, range=(0, bound), weights=weights, label=column.column, **style)
    for delay, whose in delays.items():
        for share in (0.8, 1.0, 1.2):
            axes.axvline(share * delay, color="0.5", linewidth=0.8, linestyle="-." if share == 1 else ":")
        axes.annotate(f"{delay} s {whose}", (delay, 0.98), xycoords=AT_THE_TOP, **UPRIGHT)
    axes.set(
        title="Gap from mail to mail; 0.8, 1 and 1.2 x each delay marked",
        ylabel="mails",
        xlabel="seconds; longer ones at the right edge",
    )


def _delays(report: Report) -> dict[int, str]:
    """Every delay that was in force, in seconds, with the columns in which it was."""
    found: dict[int, str] = {}
    for column in report.columns:
        for delay in sorted({delay for _, _, delay in column.limits if delay}):
            found[delay] = found.get(delay, "") + column.column
    return found


def _shifts(axes: Any, report: Report) -> None:
    counts = report.shift.counts if report.shift else []
    if counts:
        values, weights = zip(*((shift / 60, mails) for shift, mails in counts), strict=True)
        axes.hist(values, bins=BINS, weights=weights, color="0.55", edgecolor="black", linewidth=0.4)
    tolerance = report.manifest.tolerance_s / 60
    for bound in (-tolerance, tolerance):
        axes.axvline(bound, color="black", linewidth=0.8, linestyle=":")
    axes.set(title="Shift of B against A; tolerance dotted", ylabel="mails", xlabel="minutes, later is right")


def _label(report: Report, column: ColumnPart) -> str:
    senders = {"R": "recorded", "A": report.manifest.a.sender, "B": report.manifest.b.sender}
    return f"{column.column} {senders[column.column]}"


def _style(column: ColumnPart) -> dict[str, Any]:
    shade, dashes = GREYS[column.column]
    return {"color": shade, "linestyle": dashes, "linewidth": WIDTHS[column.column]}
