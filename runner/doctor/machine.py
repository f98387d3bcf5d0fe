"""This machine: settings, zone data, clock, the suppression key, and the folder in which its runners keep what no
database may hold."""

from __future__ import annotations

import os
import stat
import tempfile
import time
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from domain.calendar import zone_of
from runner.doctor.findings import Finding, fail, ok, warn
from runner.sending.guard import Guard, LedgerNotKnownHere, LedgerRestored
from runner.settings import PREFIX, WHERE, Settings
from runner.store.copying import MOVED_TO
from runner.workplace import Workplace

ZONE = "Europe/Warsaw"
TRANSITION = datetime(2026, 3, 29, 1, tzinfo=UTC)
"""When summer time begins there in 2026: it is law, and in every zone database."""
OLD_YEARS = 2
"""Zones change their rules at a few months' notice."""

JUMP = timedelta(seconds=1)
"""More than a time service takes back while the doctor looks."""
BEHIND = timedelta(seconds=5)
FAR_BEHIND = timedelta(minutes=1)
"""Rules that go by the last mail then hold everything up for as long."""

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def settings_file(settings: Settings, path: Path) -> Iterator[Finding]:
    """The file, and which keys stand where. Values are not shown: one may be a path that is nobody's business."""
    overruled = sorted(
        name for name in (PREFIX + key.upper() for key in Settings.model_fields) if _in_environment(name)
    )
    keys = ", ".join(sorted(settings.model_fields_set)) or "no keys, all by default"
    also = f"; from the environment: {', '.join(overruled)}" if overruled else ""
    where = f" (named by {WHERE})" if WHERE in os.environ else ""
    yield ok("settings", f"{path}{where}: {keys}{also}")


def zone_data(today: date | None = None) -> Iterator[Finding]:
    """Which zone database is used, and whether it knows a transition that it must know."""
    try:
        edition = version("tzdata")
    except PackageNotFoundError:
        yield fail("zone data", "the package tzdata is missing.", "Install it: pip install tzdata.")
        return
    system = next((folder for folder in zoneinfo.TZPATH if (Path(folder) / ZONE).exists()), None)
    found = f"{system} first, then tzdata {edition}" if system else f"tzdata {edition}"
    before, after = (at.astimezone(zone_of(ZONE)).utcoffset() for at in (TRANSITION - JUMP, TRANSITION))
    if (before, after) != (timedelta(hours=1), timedelta(hours=2)):
        problem = f"{found}: {ZONE} does not change at {TRANSITION:%Y-%m-%d %H:%M} UTC."
        yield fail("zone data", problem, "Mend the zone files, or set PYTHONTZPATH to nothing: then tzdata holds.")
    elif (today or datetime.now(UTC).date()).year - int(edition.partition(".")[0]) >= OLD_YEARS:
        yield warn("zone data", f"{found}: that is old.", "pip install --upgrade tzdata")
    else:
        yield ok("zone data", f"{found}; {ZONE} changes at {TRANSITION:%Y-%m-%d %H:%M} UTC")


def steady_offset() -> float:
    """Seconds between the wall clock and the steady one: as long as nobody sets the clock, always the same."""
    return time.time() - time.monotonic()


def clock(place: Workplace, offset_before: float) -> Iterator[Finding]:
    """The wall clock beside the steady one, and beside the newest event."""
    newest = place.newest_at()
    if place.simulated:
        yield ok("clock", f"simulated, at {place.now():%Y-%m-%d %H:%M:%S} UTC")
    else:
        yield judge_clock(datetime.now(UTC), newest, timedelta(seconds=steady_offset() - offset_before))


def judge_clock(now: datetime, newest: datetime | None, jumped: timedelta) -> Finding:
    """`newest`: when the latest event was recorded. `jumped`: what the wall clock gained on the steady one."""
    found = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    behind = newest - now if newest else timedelta()
    if abs(jumped) > JUMP:
        problem = f"{found}: the clock jumped by {jumped.total_seconds():+.1f} s while this looked."
        return warn("clock", problem, "Let one time service keep it, such as chrony, and let it slew.")
    if behind > BEHIND:
        problem = f"{found}, {_rounded(behind)} before the newest event of the ledger."
        mend = "Set the clock; until it has caught up, no mail leaves early, and some leave late."
        return (fail if behind > FAR_BEHIND else warn)("clock", problem, mend)
    return ok("clock", found)


def suppression_key(place: Workplace) -> Iterator[Finding]:
    """Is it there, is it this ledger's, and can nobody else read it?"""
    place.secret()
    reference = place.settings.suppression_key
    kind, _, file = reference.partition(":")
    path = place.settings.folder / file
    if kind == "file" and path.stat().st_mode & OTHERS:
        problem = f"{reference} is this ledger's, and others on this machine may use it."
        yield warn("suppression key", problem, f"chmod 600 {path}")
    else:
        yield ok("suppression key", f"{reference} is this ledger's")


def runners_folder(place: Workplace) -> Iterator[Finding]:
    """Can a runner write its lock and journal, and does this machine know the ledger?"""
    folder = place.settings.runners_folder
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    with tempfile.TemporaryFile(dir=there):
        yield ok("runners' folder", f"{folder} can be written")
    if moved := place.info.get(MOVED_TO):
        problem = f"this ledger was copied to {moved}, and is no longer sent from."
        mend = "Set database_url to that; or, if that was given up: `sendledger runner register --reason …`."
        yield fail("guard", problem, mend)
        return
    try:
        Guard(place.ledger, folder).check()
    except LedgerNotKnownHere:
        problem = "this machine has not sent from this ledger before: it may be a copy."
        mend = "When nobody sends from the original any more: `sendledger runner register --reason …`."
        yield fail("guard", problem, mend)
    except LedgerRestored as error:
        problem = f"{error.seen:,} events were seen here, {error.found:,} are there now: an older backup."
        yield fail("guard", problem, "`sendledger runner register --accept-restored --reason …`")
    else:
        yield ok("guard", "the ledger continues what was seen here")


def _in_environment(name: str) -> bool:
    return any(each.upper() == name for each in os.environ)


def _rounded(span: timedelta) -> str:
    return str(timedelta(seconds=round(span.total_seconds())))
