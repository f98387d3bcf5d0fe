"""A comparison proves itself first: the same twice, nothing between a sender and itself, wrong senders found, no look
ahead, and the same from a snapshot. Over a slice of the history, or all of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from operator import itemgetter

from domain import events as e
from domain.replay.classes import INVARIANTS, Column
from domain.replay.findings import Findings
from domain.replay.mutants import mutants
from domain.replay.past import Setup
from domain.replay.slices import Slice, compared, decided_at, state_after
from domain.replay.ticks import Row, Step, Tick, cut, happened, in_order

LOOKS = 200
"""Ticks at which the history is cut to see that nothing looks ahead."""

WINDOWS = 10
"""They lie in so many stretches of the slice, each from a state of its own: a cut costs a stretch, not the slice."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What was proved. A mutant that had nothing to do in the slice is not counted as seeded. `digest`: of all that is
    decided in the slice."""

    digest: str
    events: int
    is_whole: bool
    same_twice: bool
    identity: int
    seeded: int
    found: int
    not_found: tuple[str, ...]
    looks: int
    looked_ahead: int
    same_from_snapshot: bool

    @property
    def is_deterministic(self) -> bool:
        """Does the same history give the same decisions, whatever comes after?"""
        return self.same_twice and not self.looked_ahead and self.same_from_snapshot

    @property
    def holds(self) -> bool:
        """Can the comparison be believed?"""
        return self.is_deterministic and not self.identity and self.found == self.seeded


def prove(part: Slice, setup: Setup) -> Proof:
    """All five; that another process comes to the same digest is for the caller to see."""
    own = setup.b if _owner(part) == setup.b.sender else setup.a
    lead_id = _somebody(part)
    seeded, missed = 0, []
    for mutant, side in mutants(own, lead_id):
        found = compared(part, replace(setup, a=own, b=side, rules=()))
        seeded += mutant.acted
        if mutant.acted and not _differs(found):
            missed.append(mutant.name)
    looks, ahead = _look_ahead(part, setup)
    digest = compared(part, setup).digest
    return Proof(
        digest=digest,
        events=len(part.rows),
        is_whole=part.is_whole,
        same_twice=digest == compared(_otherwise(part), setup).digest,
        identity=_differences(compared(part, replace(setup, b=setup.a, rules=()))),
        seeded=seeded,
        found=seeded - len(missed),
        not_found=tuple(missed),
        looks=looks,
        looked_ahead=ahead,
        same_from_snapshot=_from_snapshot(part, setup),
    )


def _otherwise(part: Slice) -> Slice:
    """With everything handed over in another order."""
    return replace(
        part,
        rows=_by_stream(part.rows),
        ticks=_by_stream(part.ticks),
        mailboxes=tuple(reversed(part.mailboxes)),
    )


def _by_stream(rows: Sequence[Row]) -> list[Row]:
    """Stream after stream, the last that began first, and then put in order again."""
    streams: dict[str, list[Row]] = {}
    for row in rows:
        streams.setdefault(row[1].originator_id, []).append(row)
    return sorted((row for stream in reversed(streams) for row in streams[stream]), key=itemgetter(0))


def _look_ahead(part: Slice, setup: Setup) -> tuple[int, int]:
    """Cuts the history at ticks, and compares what is decided there with what is decided when it goes on."""
    steps = list(part.steps())
    length = max(1, len(steps) // WINDOWS)
    looks = changed = 0
    for start in range(0, len(steps), length):
        window = _window(part, steps, start, start + length)
        whole = dict(decided_at(window, setup, window.steps()))
        for nth in islice(_ticks_among(whole), LOOKS // WINDOWS):
            looks += 1
            changed += not _same_when_cut(window, setup, nth, whole[nth])
        if looks >= LOOKS:
            break
    return looks, changed


def _ticks_among(decided: dict[int, str]) -> Sequence[int]:
    """Some of them, spread evenly."""
    places = sorted(decided)
    every = max(1, len(places) // (LOOKS // WINDOWS))
    return places[::every]


def _window(part: Slice, steps: list[Step], start: int, end: int) -> Slice:
    campaign, boxes = state_after(part, steps[:start])
    rows = [step for step in steps[start:end] if not isinstance(step, Tick) and not isinstance(step[1], e.TickFinished)]
    first, last = (rows[0][0], rows[-1][0]) if rows else (0, 0)
    ticks = [row for row in part.ticks if first <= row[0] <= last]
    return replace(part, campaign=campaign, mailboxes=boxes, rows=rows, ticks=ticks)


def _same_when_cut(window: Slice, setup: Setup, nth: int, decided: str) -> bool:
    steps = list(islice(window.steps(), nth + 1))
    place = max((step[0] for step in steps if not isinstance(step, Tick)), default=0)
    tick = steps[-1]
    at = tick.at if isinstance(tick, Tick) else happened(tick[1])
    place = max([place, *(row[0] for row in window.ticks if _is_of(row[1], tick))])
    rows = [row for row in window.rows if row[0] <= place]
    short = replace(window, rows=rows, ticks=cut(window.ticks, place, at))
    last = dict(decided_at(short, setup, in_order(short.rows, short.ticks)))
    return decided in last.values()


def _is_of(event: e.Event, tick: Step) -> bool:
    return isinstance(tick, Tick) and isinstance(event, e.TickStarted) and event.tick_at == tick.at


def _from_snapshot(part: Slice, setup: Setup) -> bool:
    """The decisions of the second half, once from the beginning, and once from the states in the middle."""
    steps = list(part.steps())
    middle = len(steps) // 2
    campaign, boxes = state_after(part, steps[:middle])
    from_there = replace(part, campaign=campaign, mailboxes=boxes)
    whole = [said for nth, said in decided_at(part, setup, steps) if nth >= middle]
    return whole == [said for _, said in decided_at(from_there, setup, steps[middle:])]


def _owner(part: Slice) -> e.Sender:
    """Who sent most of it."""
    senders = Counter(event.sender for _, event in part.rows if isinstance(event, e.EmailLocked))
    if senders:
        return max(senders, key=lambda sender: (senders[sender], sender))
    campaigns, _ = part.states()
    return campaigns[0].owner if campaigns else "v1"


def _somebody(part: Slice) -> int:
    """A lead from the middle of those that were sent at once: by one of our senders, if they sent any."""
    sent = [event for _, event in part.rows if isinstance(event, e.EmailSent) and event.attempt == 1]
    sent = [event for event in sent if event.imported is None] or sent
    return sent[len(sent) // 2].lead_id if sent else 0


def _differs(found: Findings) -> bool:
    return bool(_differences(found))


def _differences(found: Findings) -> int:
    """All there are, and what only one of the two columns broke. A mail that a policy raised for is none."""
    counted = sum(count.root + count.consequence for count in found.classes.values())
    broken = sum(
        abs(found.breaches.get((Column.A, kind), 0) - found.breaches.get((Column.B, kind), 0)) for kind in INVARIANTS
    )
    return counted - found.unanswered + broken
