"""Rules that accept differences: by class and conditions, with author, reason, expiry and a ceiling. What is accepted
stays in the strict count; the four invariants and crashes can never be accepted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from domain import events as e
from domain.emitting import Draft
from domain.errors import InvalidInput
from domain.replay.classes import ACCEPTABLE, Difference, DifferenceClass

MAX_AT_MOST = 10_000_000

_CONDITION = re.compile(r"(lead|attempt|why|shift)\s*(<=|>=|=)\s*(.+)")
_DURATION = re.compile(r"([+-]?)(\d{1,7})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
ANY_END = "*"
"""Ends a reason of which only the beginning is given. Any other is the whole reason: a rule that accepts more than its
author meant is worse than one that accepts less."""

HOW = (
    "Write conditions such as why=delay, why=it is*, shift<=10m, shift>=-2m or lead=17, with commas between; "
    "without a star at its end a reason is the whole reason."
)

Condition = Callable[[Difference], bool]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """One rule. `where`: its conditions as a person wrote them, all of which must hold; empty: any."""

    kind: DifferenceClass
    where: str
    reason: str
    actor: str
    expires: date
    at_most: int

    @classmethod
    def of(cls, event: e.DifferenceAccepted) -> Acceptance:
        """The rule that was recorded."""
        kind = DifferenceClass(event.difference)
        return cls(kind, event.where, event.reason, event.actor, event.expires, event.at_most)


class Rulebook:
    """The rules in force on a day, each up to its ceiling, in the order in which they were recorded."""

    def __init__(self, rules: Iterable[Acceptance], on: date) -> None:
        self._rules = [(rule, conditions(rule.where)) for rule in rules if on <= rule.expires]
        self._used = Counter[Acceptance]()

    def accepts(self, difference: Difference) -> bool:
        """Does a rule take this one? It counts then."""
        for rule, holds in self._rules:
            fits = rule.kind is difference.kind and self._used[rule] < rule.at_most
            if fits and all(one(difference) for one in holds):
                self._used[rule] += 1
                return True
        return False


def accept(
    stream: str,
    version: int,
    *,
    difference: str,
    where: str,
    reason: str,
    expires: date,
    at_most: int,
    actor: str,
    now: datetime,
) -> list[e.Event]:
    """A rule more, as an event of the comparison's own stream. Raises `InvalidInput` for one that may not be."""
    if difference not in ACCEPTABLE:
        mend = f"Only {', '.join(ACCEPTABLE)} can be; a broken rule or a crash is to be mended."
        raise InvalidInput(f"{difference!r} can not be accepted.", mend=mend, field="--class")
    conditions(where)
    if expires < now.date():
        raise InvalidInput(f"{expires} is over.", mend="Name a day to come.", field="--expires")
    if not 1 <= at_most <= MAX_AT_MOST:
        raise InvalidInput(f"{at_most} is no ceiling.", mend=f"Use 1 to {MAX_AT_MOST}.", field="--at-most")
    draft = Draft(stream, version, now)
    draft.add(
        e.DifferenceAccepted,
        difference=difference,
        where=where,
        reason=reason,
        expires=expires,
        at_most=at_most,
        actor=actor,
    )
    return draft.events


def conditions(where: str) -> Sequence[Condition]:
    """The conditions of a text. Raises `InvalidInput` for what is none."""
    return [_condition(part.strip()) for part in where.split(",") if part.strip()]


def _condition(text: str) -> Condition:
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise InvalidInput(f"{text!r} is no condition.", mend=HOW, field="--where")
    name, sign, value = found.groups()
    if name == "shift":
        bound = _duration(value)
        return lambda difference: difference.shift is not None and _holds(difference.shift, sign, bound)
    if name == "why":
        if sign != "=":
            raise InvalidInput(f"{text!r}: why is a text.", mend=HOW, field="--where")
        if value.endswith(ANY_END):
            return lambda difference: difference.why.startswith(value.removesuffix(ANY_END))
        return lambda difference: difference.why == value
    if not value.isdecimal():
        raise InvalidInput(f"{text!r}: {value!r} is no number.", mend=HOW, field="--where")
    number = int(value)
    if name == "lead":
        return lambda difference: _holds(difference.lead_id, sign, number)
    return lambda difference: _holds(difference.attempt, sign, number)


def _holds(found: int | timedelta, sign: str, bound: int | timedelta) -> bool:
    match sign:
        case "=":
            return found == bound
        case "<=":
            return found <= bound  # type: ignore[operator]
        case _:
            return found >= bound  # type: ignore[operator]


def _duration(text: str) -> timedelta:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise InvalidInput(f"{text!r} is no duration.", mend=HOW, field="--where")
    sign, number, unit = found.groups()
    return timedelta(seconds=int(number) * _SECONDS[unit]) * (-1 if sign == "-" else 1)
