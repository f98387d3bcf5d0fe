"""The versions of what decides the calendar and does not stand in the ledger: the zone database and the holidays."""

from __future__ import annotations

import zoneinfo
from functools import cache
from importlib.metadata import version
from pathlib import Path

VERSION_LINE = "# version "


@cache
def zone_database() -> str:
    """Of the zone database in use: the system's goes before the package's."""
    for folder in zoneinfo.TZPATH:
        file = Path(folder, "tzdata.zi")
        if file.exists():
            with file.open(encoding="utf-8") as lines:
                return f"{next(lines, '').strip().removeprefix(VERSION_LINE)} (system)"
        if Path(folder, "UTC").exists():
            return "unknown (system)"
    return f"{version('tzdata')} (package)"


@cache
def holidays() -> str:
    """Of the library of public holidays."""
    return version("holidays")
