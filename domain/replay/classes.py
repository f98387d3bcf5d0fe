"""The classes of difference between two senders, what they weigh, and how one mail in two columns is classed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple


class DifferenceClass(StrEnum):
    """What can differ, the gravest first."""

    DUPLICATE = "DUPLICATE"
    FORBIDDEN = "FORBIDDEN"
    WINDOW = "WINDOW"
    LIMIT = "LIMIT"
    CRASH = "CRASH"
    EXTRA = "EXTRA"
    MISSING = "MISSING"
    CONTENT = "CONTENT"
    MAILBOX = "MAILBOX"
    SHIFT = "SHIFT"
    UNKNOWN = "UNKNOWN"


INVARIANTS = (DifferenceClass.DUPLICATE, DifferenceClass.FORBIDDEN, DifferenceClass.WINDOW, DifferenceClass.LIMIT)
"""Judged on each column of its own. Never accepted."""

CRITICAL = frozenset({*INVARIANTS, DifferenceClass.CRASH})

ACCEPTABLE = (
    DifferenceClass.EXTRA,
    DifferenceClass.MISSING,
    DifferenceClass.CONTENT,
    DifferenceClass.MAILBOX,
    DifferenceClass.SHIFT,
)
"""What a rule with author, reason, expiry and ceiling can accept."""

WEIGHTS = {
    **dict.fromkeys(CRITICAL, "critical"),
    DifferenceClass.EXTRA: "high",
    DifferenceClass.MISSING: "high",
    DifferenceClass.CONTENT: "high",
    DifferenceClass.MAILBOX: "medium",
    DifferenceClass.SHIFT: "medium",
    DifferenceClass.UNKNOWN: "lowers coverage",
}


class Pattern(StrEnum):
    """How the three columns agree: what was recorded, the owner's policy replayed, and the other's."""

    MATCH = "match"
    DIFFERENCE = "difference"
    NOISE = "noise"
    MODEL = "model"
    UNJUDGED = "unjudged"


class Column(StrEnum):
    """Recorded, V1 (or what is compared as A) replayed, V2 (or B) replayed."""

    R = "R"
    A = "A"
    B = "B"


class Mail(NamedTuple):
    """One attempt of one lead in a column. `tick`: the number of the sender's tick; `place`: how far the log was."""

    at: datetime
    tick: int
    place: int
    content_version: int
    revision: int
    mailbox: str
    assumed: bool = False
    outage: tuple[datetime, datetime] | None = None

    def __str__(self) -> str:
        return f"{self.at.isoformat()} {self.tick} {self.content_version} {self.revision} {self.mailbox}"


@dataclass(frozen=True, slots=True)
class Difference:
    """One mail of which A and B make different things. `why`: what held back the one that is late or missing."""

    kind: DifferenceClass
    lead_id: int
    attempt: int
    recorded_at: datetime | None
    a_at: datetime | None
    b_at: datetime | None
    why: str
    is_root: bool
    pattern: Pattern

    @property
    def shift(self) -> timedelta | None:
        """By how much B is later than A; None where one never sends."""
        return self.b_at - self.a_at if self.a_at and self.b_at else None

    @property
    def at(self) -> datetime:
        """When it showed first."""
        return min(at for at in (self.a_at, self.b_at, self.recorded_at) if at is not None)


def class_of(a: Mail | None, b: Mail | None, tolerance: timedelta) -> DifferenceClass | None:
    """How the two differ; None when they agree."""
    if a is None or b is None:
        return DifferenceClass.EXTRA if a is None and b else DifferenceClass.MISSING if a else None
    if (a.content_version, a.revision) != (b.content_version, b.revision):
        return DifferenceClass.CONTENT
    if a.mailbox != b.mailbox:
        return DifferenceClass.MAILBOX
    return DifferenceClass.SHIFT if abs(b.at - a.at) > tolerance else None


def agrees(recorded: Mail | None, replayed: Mail | None) -> bool:
    """Did this replayed decision fall into the very tick of the recorded one? Where ticks are assumed, or idle ones of
    an older ledger beside another runner's, into the same one or its neighbour: nobody knows when just they came."""
    if recorded is None or replayed is None:
        return recorded is replayed
    slack = 1 if recorded.assumed or replayed.assumed else 0
    return abs(recorded.tick - replayed.tick) <= slack


def pattern_of(
    recorded: Mail | None, own: Mail | None, other: Mail | None, same_senders: bool, tolerance: timedelta
) -> Pattern:
    """What the three columns say together. `own` is the column of the sender that ticked; `same_senders`: A agrees
    with B."""
    faithful = agrees(recorded, own)
    if faithful:
        return Pattern.MATCH if same_senders else Pattern.DIFFERENCE
    if same_senders:
        return Pattern.NOISE
    like_other = agrees(recorded, other) or (recorded and other and abs(recorded.at - other.at) <= tolerance)
    return Pattern.MODEL if like_other else Pattern.UNJUDGED
