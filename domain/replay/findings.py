"""What a comparison finds: every mail in its three columns until it is known in all, then classed, counted, forgotten.
So memory goes with the mails that are still open, not with the history.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from domain.calendar import local_date_of
from domain.counting import EPOCH, local_day
from domain.replay.accepting import Rulebook
from domain.replay.classes import (
    CRITICAL,
    Column,
    Difference,
    DifferenceClass,
    Mail,
    Pattern,
    agrees,
    class_of,
    pattern_of,
)
from domain.replay.noise import UNEXPLAINED, Noise
from domain.replay.replies import Key
from domain.replay.sides import RAISED

EXAMPLES = 5
"""So many differences of a class are named; all are counted."""

HOUR_S = 3600
COLUMNS = tuple(Column)
R, A, B, OLD = range(4)
"""`OLD` is no column: what is held against V1 of an old system's mails is counted there."""

OF_OLD_SYSTEM = "the old system's own way"
"""Why the record of an old system differs from a replay of our V1."""

Reason = Callable[[int, int], str]
"""Why a column (1 or 2) has not sent the lead at this place, at the end."""


@dataclass(slots=True)
class Tally:
    """What one column sent: by local date, by hour since 1970, and the gaps from mail to mail in whole seconds, but for
    those over night."""

    mails: int = 0
    days: Counter[date] = field(default_factory=Counter)
    hours: Counter[int] = field(default_factory=Counter)
    gaps: Counter[int] = field(default_factory=Counter)
    first_at: datetime | None = None
    last_at: datetime | None = None
    ends_at: datetime | None = None
    _zone: str = ""
    _day: date = date.min
    _start: datetime = EPOCH
    _end: datetime = EPOCH

    def add(self, at: datetime, zone: str) -> None:
        """One mail more."""
        if zone != self._zone or not self._start <= at < self._end:
            self._zone, (self._start, self._end) = zone, local_day(at, zone)
            self._day = local_date_of(zone, at)
        self.mails += 1
        self.days[self._day] += 1
        self.hours[int(at.timestamp()) // HOUR_S] += 1
        if self.last_at is None:
            self.first_at = at
        elif self.last_at >= self._start:
            self.gaps[round((at - self.last_at).total_seconds())] += 1
        self.last_at = at


@dataclass(slots=True)
class Entry:
    """One mail that is not known in all columns yet. `own`: the column of the sender that ticked, `R` where it is in
    none. `why`: by column, what held it back when another column sent.
    `decided`: what the owner's side decided in the owner's own time, of the number `era`: that is held against the
    record. `cut`: columns that will never send it, for they began again where it was sent already."""

    lead_id: int
    own: int
    is_root: bool
    era: int
    decided: Mail | None = None
    cut: set[int] = field(default_factory=set)
    mails: list[Mail | None] = field(default_factory=lambda: [None, None, None])
    why: list[str] = field(default_factory=lambda: ["", "", ""])
    fate: str = ""


@dataclass(slots=True)
class ClassCount:
    """Differences of one class."""

    root: int = 0
    consequence: int = 0
    accepted: int = 0
    examples: list[Difference] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Breach:
    """One broken rule in a column."""

    lead_id: int
    at: datetime
    words: str


class Findings:
    """The findings of one campaign."""

    def __init__(self, tolerance: timedelta, rules: Rulebook, measured: frozenset[int], cascades: bool) -> None:
        self.tallies = (Tally(), Tally(), Tally())
        self.patterns: Counter[Pattern] = Counter()
        self.classes: dict[DifferenceClass, ClassCount] = {}
        self.breaches: dict[tuple[Column, DifferenceClass], int] = {}
        self.broken: dict[tuple[Column, DifferenceClass], list[Breach]] = {}
        self.shifts: Counter[int] = Counter()
        self.faithful: Counter[int] = Counter()
        self.held_against: Counter[int] = Counter()
        self.causes: Counter[str] = Counter()
        self.judged = 0
        self.equal = 0
        self.unanswered = 0  # mails of which nobody knows whether both agree, for a policy raised
        self.assumed_outcomes: Counter[int] = Counter()
        self.noise = Noise()
        self.held_back: set[tuple[int, int]] = set()
        """By column and number, ticks in which a mailbox was full when a mail was to leave: another campaign had taken
        the last slot since that was decided."""
        self.zone = "UTC"
        self.open: dict[Key, Entry] = {}
        self._tolerance = tolerance
        self.is_old = False  # does an old system mail the campaign?
        self._rules = rules
        self._measured = measured
        self._cascades = cascades
        self._era = 1
        self._roots = 0
        self._split = 0  # mails that one of A and B has sent and the other has not
        self._differed: set[int] = set()
        self._digest = hashlib.sha256()

    @property
    def digest(self) -> str:
        """Of everything that was decided, in order."""
        return self._digest.hexdigest()

    def go_by(self, rules: Rulebook) -> None:
        """These rules accept differences."""
        self._rules = rules

    def mailed(self, column: int, key: Key, lead_id: int, mail: Mail, own: int, is_mail: bool = True) -> Entry | None:
        """A column sends this mail; None when it had already. Only the first time counts. `own`: the column of the
        sender that ticked. `is_mail`: does it count for limits?"""
        entry = self.open.get(key)
        if entry is None:
            is_root = not (self._split if self._cascades else key[0] in self._differed)
            entry = self.open[key] = Entry(lead_id, own, is_root, self._era)
        if column in (R, own):
            self._of_owner(entry, column, mail, own)
        if entry.mails[column] is not None:
            return None
        entry.mails[column] = mail
        if is_mail:
            self.tallies[column].add(mail.at, self.zone)
        if column != R:
            self._split += 1 if entry.mails[A + B - column] is None else -1
        self._close_if_known(key, entry)
        return entry

    def decided(self, key: Key, own: int) -> Mail | None:
        """What the owner's side, in this column, decided of this mail since it owns the campaign."""
        entry = self.open.get(key)
        return entry.decided if entry is not None and (entry.own, entry.era) == (own, self._era) else None

    def owner_changed(self) -> None:
        """What was decided before is not held against what is recorded from here on."""
        self._era += 1

    def begins_again(self, column: int) -> None:
        """This column goes on from what really was: it will never send what was sent already."""
        for key in sorted(self.open):
            entry = self.open[key]
            if entry.mails[R] is not None and entry.mails[column] is None:
                entry.cut.add(column)
                self._split -= entry.mails[A + B - column] is not None
                self._close_if_known(key, entry)

    def _of_owner(self, entry: Entry, column: int, mail: Mail, own: int) -> None:
        """The record, or the side that is held against it: whoever owned the campaign before no longer counts."""
        is_this_owners = (entry.own, entry.era) == (own, self._era)
        if not is_this_owners and entry.mails[R] is None:
            entry.own, entry.era, entry.decided = own, self._era, None
            is_this_owners = True
        if is_this_owners and column == own != R:
            entry.decided = entry.decided or mail

    def _close_if_known(self, key: Key, entry: Entry) -> None:
        if None not in entry.mails or (
            entry.cut and all(mail is not None or column in entry.cut for column, mail in enumerate(entry.mails))
        ):
            self._close(key, self.open.pop(key), None)

    def breach(self, column: int, kind: DifferenceClass, breach: Breach) -> None:
        """A column broke a rule."""
        at = (COLUMNS[column], kind)
        self.breaches[at] = self.breaches.get(at, 0) + 1
        found = self.broken.setdefault(at, [])
        if len(found) < EXAMPLES:
            found.append(breach)
        self._digest.update(f"{at} {breach.lead_id} {breach.at.isoformat()} {breach.words}\n".encode())

    def settled(self, position: int) -> None:
        """Nothing more will come of this lead."""
        self._differed.discard(position)

    def finish(self, end: datetime, reason: Reason) -> None:
        """The history, or an old system's part of it, ends here; what is open stays so."""
        for key in sorted(self.open):
            entry = self.open[key]
            for column in (A, B):
                if entry.mails[column] is None:
                    entry.why[column] = reason(column, key[0]) or entry.why[column]
            self._close(key, entry, end)
        self.open.clear()
        self._split = 0

    def _close(self, key: Key, entry: Entry, end: datetime | None) -> None:
        recorded, a, b = entry.mails
        own, other = entry.decided, entry.mails[A if entry.own == B else B]
        kind = class_of(a, b, self._tolerance)
        if self._is_cut(entry) or (end is not None and self._too_near(entry, end)):
            kind = DifferenceClass.UNKNOWN
        elif entry.fate and recorded is None:
            kind = None
        raised = kind is None and self._has_raised(entry)
        if raised:
            kind = DifferenceClass.UNKNOWN
        self.unanswered += raised
        pattern = pattern_of(recorded, own, other, kind is None, self._tolerance)
        self._digest.update(f"{key} {recorded} {a} {b} {kind} {entry.why}\n".encode())
        if recorded is None:
            self.assumed_outcomes.update(column for column in (A, B) if entry.mails[column])
        is_known = kind is not DifferenceClass.UNKNOWN
        if entry.own in self._measured and (is_known or entry.cut or raised):
            is_explained = self._hold_against_record(entry, recorded, own)
            self.patterns[Pattern.NOISE if is_explained else pattern] += is_known
        self.judged += is_known
        self.equal += kind is None
        if a and b:
            self.shifts[round((b.at - a.at).total_seconds())] += 1
        if kind is not None:
            late = A if a is None or (b is not None and b.at < a.at) else B
            times = [mail.at if mail else None for mail in entry.mails]
            why = entry.why[late]
            is_root = entry.is_root or not self._roots  # small shifts add up: where they first matter is a root
            self._roots += is_root
            self._count(Difference(kind, entry.lead_id, key[1], times[R], times[A], times[B], why, is_root, pattern))
            self._differed.add(key[0])

    @staticmethod
    def _has_raised(entry: Entry) -> bool:
        """Has a side not sent it because its policy raised? What it would have done is not known."""
        return any(entry.mails[column] is None and entry.why[column].startswith(RAISED) for column in (A, B))

    @staticmethod
    def _is_cut(entry: Entry) -> bool:
        """Did one column begin again before it could be seen that it is merely later?"""
        _, a, b = entry.mails
        return bool(entry.cut) and (a is None) is not (b is None)

    def _too_near(self, entry: Entry, end: datetime) -> bool:
        """Does the history end before it could be seen that one column is merely later?"""
        _, a, b = entry.mails
        return (a is None) is not (b is None) and end - (a or b).at <= self._tolerance  # type: ignore[union-attr]

    def _hold_against_record(self, entry: Entry, recorded: Mail | None, own: Mail | None) -> bool:
        """True where the two differ and the history says why."""
        if recorded is None and own is None:  # the other side's alone
            return False
        whose = OLD if self.is_old else entry.own
        self.held_against[whose] += 1
        if agrees(recorded, own):
            self.faithful[whose] += 1
            return False
        if own is not None and (entry.own, own.tick) in self.held_back:
            self.faithful[whose] += 1  # it decided so, and the gate had the last word
            return True
        if self.is_old:
            self.causes[OF_OLD_SYSTEM] += 1
            return False
        cause = entry.fate or self.noise.between(recorded, own, self.zone) or UNEXPLAINED
        self.causes[cause] += 1
        return cause != UNEXPLAINED

    def _count(self, difference: Difference) -> None:
        count = self.classes.setdefault(difference.kind, ClassCount())
        if difference.kind is not DifferenceClass.UNKNOWN and self._rules.accepts(difference):
            count.accepted += 1
        elif difference.is_root or difference.kind in CRITICAL:
            count.root += 1
        else:
            count.consequence += 1
        if len(count.examples) < EXAMPLES:
            count.examples.append(difference)

    def crash(self, column: int, error: str, at: datetime) -> None:
        """The policy of this column raised."""
        self.breach(column, DifferenceClass.CRASH, Breach(0, at, error))
