"""What the owner of a campaign owes by its shadow: each mail that the other sender would have sent, until the owner has
tried as many.

By count, not lead by lead: whom to mail first is where the two may differ, and still be level. And on a clock that
stands still while a rule of the owner holds its mails back: when to mail may differ too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from domain import events as e
from domain.rules import Rule

NO_REASON = frozenset({Rule.STUCK, Rule.MAILBOX_PAUSED, Rule.MAILBOX_DELAYED})
"""What is no difference of rules: a lead that the owner never comes to, a mailbox that nobody can send through."""

Key = tuple[int, int]
"""A lead's place in its campaign, and the attempt."""


class Due(NamedTuple):
    """A mail that the shadow would have sent. `place`: of its decision in the ledger; `since`: by the owner's clock."""

    place: int
    lead_id: int
    decided_at: datetime
    since: timedelta


@dataclass(slots=True)
class ByShadow:
    """What a shadow says was due, and what the owner tried meanwhile. `until`: when it was stopped; None: it goes on.
    `ticks`: those of the owner that are on record; `held_by`: the owner's reason for what is behind now."""

    sender: e.Sender
    owner: e.Sender
    since: datetime
    until: datetime | None = None
    ticks: int = 0
    due: int = 0
    tried: int = 0
    behind: int = 0
    held_by: str = ""

    @property
    def words(self) -> str:
        """In one line."""
        until = f" until {self.until.isoformat()}, then by open time" if self.until else ""
        words = f"by the shadow {self.sender} at {self.ticks} ticks{until}: {self.due} due, {self.tried} tried"
        reason = f" ({self.held_by})" if self.held_by else ""
        return f"{words}, {self.behind} behind{reason}" if self.behind else words


class Owed:
    """The account of one stretch: from the start of a shadow, or from a change of owner, to the next or its stop."""

    def __init__(self, owner: e.Sender, since: datetime) -> None:
        self.found = ByShadow("v1" if owner == "v2" else "v2", owner, since)
        self.untrue: Rule | None = None  # what the owner named last though it did not hold, since its last try
        self._clock = self._last_try = timedelta(0)
        self._open: deque[Due] = deque()
        self._ahead: dict[Key, Due] = {}
        self._tried: set[Key] = set()

    @property
    def goes_on(self) -> bool:
        """Does the shadow decide?"""
        return self.found.until is None

    @property
    def any(self) -> bool:
        """Is anything owed?"""
        return bool(self._open)

    def passes(self, without_reason: timedelta, untrue: Rule | None) -> None:
        """So much open time went by in which no rule held the owner back. `untrue`: one that it named nevertheless."""
        self._clock += without_reason
        if without_reason and untrue is not None:
            self.untrue = untrue

    def decides(self, place: int, decided: e.ShadowDecided, *, waits: bool) -> None:
        """The shadow would send this mail. One that no longer waits counts only if it was tried in this stretch."""
        key = (decided.position, decided.attempt)
        if key not in self._tried and not waits:
            return
        due = Due(place, decided.lead_id, decided.decided_at, self._clock)
        self.found.due += 1
        if self.found.due > self.found.tried:
            self._open.append(due)
        if key not in self._tried:
            self._ahead[key] = due

    def tries(self, key: Key) -> timedelta:
        """The owner tried a mail: how late is the oldest owed, which it pays?"""
        self.found.tried += 1
        self._tried.add(key)
        self._ahead.pop(key, None)
        late = self._late(self._open.popleft()) if self._open else timedelta(0)
        self._last_try, self.untrue = self._clock, None
        return late

    def skips(self, key: Key) -> None:
        """This lead gets no mail any more: if the shadow had sent it already, that was not due after all."""
        due = self._ahead.pop(key, None)
        if due is None:
            return
        self.found.due -= 1
        if due in self._open:
            self._open.remove(due)
        elif self._open:
            self._open.popleft()

    def late(self, grace: timedelta) -> list[Due]:
        """What is owed for longer than this."""
        return [due for due in self._open if self._late(due) > grace]

    def ends(self, at: datetime) -> None:
        """The shadow was stopped: nothing more is known of what is due."""
        self.found.until = at
        self._open.clear()

    def told(self, held_by: Rule | None) -> ByShadow | None:
        """What it came to; None where the shadow decided nothing, which says nothing."""
        self.found.behind = len(self._open)
        self.found.held_by = str(held_by or "") if self._open else ""
        return self.found if self.found.due else None

    def _late(self, due: Due) -> timedelta:
        """Since the owner tried its last: one that is a mail behind for good, and mails, does not stand still."""
        return self._clock - max(due.since, self._last_try)


def by_place(said: Iterable[tuple[int, e.Event]]) -> Iterator[tuple[int, int, e.Event]]:
    """The events of a shadow, with their positions, where they take effect: a decision is appended after the mails that
    it was made beside, and belongs behind the event up to which the shadow had read."""
    began = 0
    placed: list[tuple[int, int, e.Event]] = []
    for position, event in said:
        if isinstance(event, e.ShadowDecided):
            placed.append((max(event.log_position, began), position, event))
        elif isinstance(event, e.ShadowStarted | e.ShadowStopped):
            began = position
            placed.append((position, position, event))
    return iter(sorted(placed, key=lambda each: each[:2]))
