"""What tests of replays share: the daemon over a stretch of simulated time, and comparisons of what it wrote."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from random import Random

from domain import events as e
from domain.calendar import Schedule
from domain.campaign import Campaign
from domain.mailbox import Mailbox
from domain.policies import Send, next_in_line
from domain.replay.classes import Column, DifferenceClass
from domain.replay.findings import Findings
from domain.replay.free import Free
from domain.replay.imported import laid_out
from domain.replay.locked import Locked
from domain.replay.past import Setup
from domain.replay.replies import replies_of
from domain.replay.sides import as_owner
from domain.replay.slices import Slice, take
from domain.replay.ticks import Row, in_order
from domain.rules import Limits, Wait
from runner.clock import SimulatedClock
from runner.daemon import Runner, run_simulated
from runner.replaying.history import History
from runner.store.ledger import Ledger
from tests.faults.world import World

MONDAY = datetime(2026, 10, 5, 7, tzinfo=UTC)
"""09:00 in Warsaw: the window opens."""

OFFICE = Schedule(zone="Europe/Warsaw", start="09:00", end="15:00")
PACED = Limits(daily_limit=100, delay_s=90)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
USUAL: dict[e.Sender, timedelta] = {"v1": MINUTE, "v2": MINUTE / 2}
SPARSE: dict[e.Sender, timedelta] = {"v1": 10 * MINUTE, "v2": 5 * MINUTE}
"""For histories of days: a tick takes as long in a test, whatever lies between two."""


def run(
    world: World,
    start: datetime,
    until: datetime,
    cadence: dict[e.Sender, timedelta] = USUAL,
    missed: timedelta | None = None,
) -> None:
    """The daemon, from one instant to another. `missed`: nobody was there for so long before, and that is told."""
    clock = SimulatedClock(start)
    with closing(Ledger(world.database)) as ledger, Runner(ledger, world.runners, clock) as runner:
        if missed is not None:
            runner.record_missed({sender: (start - missed, every) for sender, every in cadence.items()})
        run_simulated(runner, clock, cadence, until)


@contextmanager
def two_runners(world: World, clock: SimulatedClock) -> Iterator[tuple[Runner, Runner]]:
    """Two daemons on one ledger, each with a connection of its own."""
    with (
        closing(Ledger(world.database)) as one,
        closing(Ledger(world.database)) as other,
        Runner(one, world.runners, clock) as first,
        Runner(other, world.runners, clock) as second,
    ):
        yield first, second


def run_two(world: World, start: datetime, until: datetime) -> None:
    """Two daemons on one ledger, which tick in turn, a minute each: so those of V2 come at uneven distances."""
    clock = SimulatedClock(start)
    with two_runners(world, clock) as (first, second):
        for nth in range(int((until - start) / MINUTE)):
            run_simulated((first, second)[nth % 2], clock, USUAL, start + (nth + 1) * MINUTE)


def run_beside(world: World, start: datetime, until: datetime, off: timedelta) -> None:
    """Two daemons on one ledger, each at its own cadence; every tick comes up to `off` late."""
    clock = SimulatedClock(start)
    with two_runners(world, clock) as runners:
        both = [(*tick, runner) for seed, runner in enumerate(runners) for tick in late(start, until, off, seed)]
        for at, sender, runner in sorted(both, key=itemgetter(0)):
            tick_at(runner, clock, at, sender)


def late(start: datetime, until: datetime, off: timedelta, seed: int = 0) -> list[tuple[datetime, e.Sender]]:
    """The ticks of one daemon, each up to `off` late."""
    drawn = Random(seed)  # noqa: S311 - chance that can be repeated
    return sorted(
        (start + nth * every + drawn.random() * off, sender)
        for sender, every in USUAL.items()
        for nth in range(int((until - start) / every))
    )


def tick_at(runner: Runner, clock: SimulatedClock, at: datetime, sender: e.Sender) -> None:
    """One tick, to its end."""
    clock.move_to(at)
    if (tick := runner.tick(sender)) is not None:
        tick.wait()


@dataclass
class Recorded:
    """A history in memory, as the ledger would give it."""

    stream: str
    rows: Sequence[Row]
    ticks: Sequence[Row]

    @classmethod
    def of(cls, world: World, number: int = 1) -> Recorded:
        """That of a ledger's campaign."""
        history = History(world.ledger.histories, [number])
        return cls(history.campaigns[0], list(history.rows()), history.ticks)

    @classmethod
    def of_events(cls, events: Iterable[e.Event], stream: str = "campaign-1") -> Recorded:
        """That of events as they came, ticks and all."""
        placed = list(enumerate(events, start=1))
        is_tick = [row for row in placed if row[1].originator_id.startswith("ticks-")]
        return cls(stream, [row for row in placed if row not in is_tick], is_tick)

    @classmethod
    def of_imported(cls, events: Iterable[e.Event], stream: str = "campaign-1") -> Recorded:
        """That of events as they came, where an import told them to begin with."""
        recorded = cls.of_events(events, stream)
        mine = (place for place, event in recorded.rows if isinstance(event, e.TakenOver))
        until = next(mine, recorded.rows[-1][0] + 1)
        old = [event for place, event in recorded.rows if event.originator_id == stream and place < until]
        others = [row for row in recorded.rows if row[1] not in old]
        return cls(stream, [*laid_out(old), *others], recorded.ticks)

    def part(self) -> Slice:
        """All of it, as a comparison proves itself on it."""
        return take(self.stream, self.rows, self.ticks, self.rows, None, None)

    def compared(self, setup: Setup | None = None, **changes: object) -> Findings:
        """What a comparison finds."""
        setup = replace(setup or Setup(), **changes)  # type: ignore[arg-type]
        steps = in_order(self.rows, self.ticks)
        replies = {self.stream: replies_of(self.rows)}
        engine = Free(replies, setup) if setup.is_free else Locked(replies, setup)
        return engine.run(steps)[self.stream]


def found(findings: Findings) -> dict[str, int]:
    """Differences by class, without those that a rule accepted."""
    counts = {str(kind): count.root + count.consequence for kind, count in findings.classes.items()}
    return {kind: count for kind, count in counts.items() if count}


def broken(findings: Findings, column: Column) -> dict[DifferenceClass, int]:
    """Rules that a column broke."""
    return {kind: count for (of, kind), count in findings.breaches.items() if of is column}


def faithful(findings: Findings, column: int) -> bool:
    """Is every mail of the record replayed by its own sender in the very tick?"""
    return findings.held_against[column] > 0 and findings.faithful[column] == findings.held_against[column]


def never_waiting(campaign: Campaign, mailbox: Mailbox, sender: e.Sender, now: datetime) -> Send | Wait:
    """It heeds no rule: whose turn it is, is sent."""
    position = next_in_line(campaign, sender, now)
    if position is None:
        return as_owner(campaign, mailbox, sender, now)
    return Send(position, campaign.numbers.lead_id(position), now)
