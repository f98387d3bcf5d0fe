"""Settings other than the recorded ones, as a person writes them: `v2.every=30m`, `campaign.delay=60s`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from domain.calendar import MINUTES_A_DAY, minutes_of
from domain.errors import InvalidInput
from domain.events import Sender
from domain.replay.sides import Side
from domain.rules import MAX_DAILY_LIMIT, MAX_DELAY_S

FIELD = "--set"
UNITS = {"s": 1, "m": 60, "h": 3600}
MAX_EVERY = timedelta(days=1)
HOW = (
    "Write WHOSE.WHAT=VALUE: whose is campaign, v1, v2, a or b; what is every=30m, delay=60s, limit=50 or "
    "window=09:00-17:00."
)


def sides(a: Sender, b: Sender, settings: Sequence[str]) -> tuple[Side, Side]:
    """Both sides under these settings. Raises `InvalidInput` for what is none."""
    found = [Side(a), Side(b)]
    for text in settings:
        whose, name, value = _parts(text)
        changed = [nth for nth, side in enumerate(found) if whose in ("campaign", "ab"[nth], side.sender)]
        if not changed:
            raise InvalidInput(f"{text!r}: {whose} is not compared.", mend=HOW, field=FIELD)
        for nth in changed:
            found[nth] = replace(found[nth], what_if=replace(found[nth].what_if, **_setting(text, name, value)))
    return found[0], found[1]


def changes_cadence(*both: Side) -> bool:
    """Is a cadence another than the recorded one?"""
    return any(side.what_if.every is not None for side in both)


def _parts(text: str) -> tuple[str, str, str]:
    key, equals, value = text.partition("=")
    whose, dot, name = key.strip().partition(".")
    if not equals or not dot or whose not in ("campaign", "v1", "v2", "a", "b"):
        raise InvalidInput(f"{text!r} is no setting.", mend=HOW, field=FIELD)
    return whose, name, value.strip()


def _setting(text: str, name: str, value: str) -> dict[str, Any]:
    match name:
        case "every":
            return {"every": _duration(text, value, MAX_EVERY)}
        case "delay":
            return {"delay_s": int(_duration(text, value, timedelta(seconds=MAX_DELAY_S)).total_seconds())}
        case "limit":
            if not value.isdecimal() or not 1 <= int(value) <= MAX_DAILY_LIMIT:
                raise InvalidInput(f"{text!r}: a limit is 1 to {MAX_DAILY_LIMIT}.", mend=HOW, field=FIELD)
            return {"daily_limit": int(value)}
        case "window":
            return {"window": _window(text, value)}
        case _:
            raise InvalidInput(f"{text!r}: there is no {name!r}.", mend=HOW, field=FIELD)


def _duration(text: str, value: str, most: timedelta) -> timedelta:
    number, unit = value[:-1], value[-1:]
    seconds = int(number) * UNITS[unit] if number.isdecimal() and unit in UNITS else 0
    if not timedelta(0) < timedelta(seconds=seconds) <= most:
        raise InvalidInput(f"{text!r}: {value!r} is no duration of at most {most}.", mend=HOW, field=FIELD)
    return timedelta(seconds=seconds)


def _window(text: str, value: str) -> tuple[int, int]:
    start, _, end = value.partition("-")
    try:
        window = minutes_of(start), minutes_of(end)
    except ValueError as error:
        raise InvalidInput(f"{text!r}: {error}.", mend=HOW, field=FIELD) from None
    if not 0 <= window[0] < window[1] <= MINUTES_A_DAY:
        raise InvalidInput(f"{text!r}: it would never open.", mend=HOW, field=FIELD)
    return window
