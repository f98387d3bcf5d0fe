"""The shadow of a campaign: the sender that does not own it decides beside the owner, and sends nothing.
Its stream says when it was started and stopped, what it would have sent, and what that came to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from domain import events as e
from domain.counting import EPOCH
from domain.emitting import Draft
from domain.errors import CommandRefused
from domain.replay.classes import DifferenceClass
from domain.replay.findings import Findings

SHADOW = "shadow-"


@dataclass(slots=True)
class Shadow:
    """What its stream adds up to. `known`: the place in the log, and the time, up to which its decisions are written
    down."""

    stream: str
    version: int = 0
    since: datetime | None = None
    decided: int = 0
    known: tuple[int, datetime] = (0, EPOCH)
    summary: e.ShadowSummarised | None = None

    @property
    def is_on(self) -> bool:
        """Does it decide?"""
        return self.since is not None


def evolve(shadow: Shadow, event: e.Event) -> None:
    """Apply one event of its stream."""
    shadow.version = event.originator_version
    match event:
        case e.ShadowStarted():
            shadow.since, shadow.decided, shadow.summary = event.recorded_at, 0, None
        case e.ShadowStopped():
            shadow.since = None
        case e.ShadowDecided():
            shadow.decided += 1
            shadow.known = max(shadow.known, (event.log_position, event.decided_at))
        case e.ShadowSummarised():
            shadow.summary = event
        case _:
            pass


def shadow_of(stream: str, events: Iterable[e.Event]) -> Shadow:
    """The shadow of this stream."""
    shadow = Shadow(stream)
    for event in events:
        evolve(shadow, event)
    return shadow


def start(shadow: Shadow, *, actor: str, now: datetime) -> list[e.Event]:
    """It decides from here on."""
    if shadow.is_on:
        raise CommandRefused(f"{shadow.stream} is on already, since {shadow.since}.")
    draft = Draft(shadow.stream, shadow.version, now)
    draft.add(e.ShadowStarted, actor=actor)
    return draft.events


def stop(shadow: Shadow, *, actor: str, now: datetime) -> list[e.Event]:
    """It no longer does."""
    if not shadow.is_on:
        raise CommandRefused(f"{shadow.stream} is not on: there is nothing to stop.")
    draft = Draft(shadow.stream, shadow.version, now)
    draft.add(e.ShadowStopped, actor=actor)
    return draft.events


def summarise(shadow: Shadow, findings: Findings, place: int, cut_short: int, *, now: datetime) -> list[e.Event]:
    """What it came to so far; nothing when that was said already, or more, by one that ended further on."""
    differences = {
        str(kind): count.root + count.consequence
        for kind, count in sorted(findings.classes.items())
        if kind is not DifferenceClass.UNKNOWN
    }
    said = {"judged": findings.judged, "equal": findings.equal, "differences": differences}
    last = shadow.summary
    if last is not None and place < last.log_position:
        return []
    if last is not None and said == {"judged": last.judged, "equal": last.equal, "differences": last.differences}:
        return []
    draft = Draft(shadow.stream, shadow.version, now)
    draft.add(
        e.ShadowSummarised,
        log_position=place,
        judged=findings.judged,
        equal=findings.equal,
        differences=differences,
        cut_short=cut_short,
    )
    return draft.events
