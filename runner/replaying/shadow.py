"""The shadows beside a daemon, in a thread of their own: after a tick of an owner they read what the log says of it,
and write down what the other sender would have done.

They cannot send: they know no server and no mailbox's account, and of the ledger they have its histories and their own
streams (`runner/store/side_streams.py`), so they can lock nothing. Each turn has a budget of time; what is left is
taken up at the next.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from queue import Queue
from threading import Event as Flag
from threading import Thread

import structlog
from eventsourcing.persistence import IntegrityError

from domain import events as e
from domain.campaign import Campaign
from domain.emitting import Draft
from domain.policies import Send
from domain.replay.locked import Locked
from domain.replay.past import Setup
from domain.replay.shadowing import SHADOW, Shadow, evolve, shadow_of, summarise
from domain.replay.sides import Answer
from domain.replay.ticks import Step, in_order
from runner.clock import Clock
from runner.replaying.history import History
from runner.replaying.isolation import replaying
from runner.store.ledger import campaign_stream
from runner.store.reading import LogReader
from runner.store.side_streams import SideStreams

BUDGET_S = 0.5
"""How long one campaign's shadow may think after a tick, before others have their turn."""
END_BUDGET_S = 5.0
"""How long all shadows together may think when the runner ends: service managers kill what takes longer than ten."""

SUMMARY_EVERY = timedelta(hours=1)
SHADOW_END = "shadow."
RECORDED = {"originator_id", "originator_version", "recorded_at", "occurred_at"}
LOOKED_AT_ONCE = 200
"""Events and ticks between two looks at the time."""

log = structlog.get_logger()


def shadow_stream(number: int) -> str:
    """The stream of this campaign's shadow."""
    return f"{SHADOW}{number}"


class Shadows:
    """All shadows of one runner. They start with the first that is on, and end with the runner."""

    def __init__(
        self, streams: SideStreams, clock: Clock, budget_s: float = BUDGET_S, end_budget_s: float = END_BUDGET_S
    ) -> None:
        self._streams = streams
        self._clock = clock
        self._budget_s = budget_s
        self._end_budget_s = end_budget_s
        known = streams.histories
        self._on = {number: _Beside(streams, number) for number in _numbers(known) if _is_on(known, number)}
        self._failed: set[int] = set()
        self._turns: Queue[int | None] = Queue()
        self._ends = Flag()
        self._thread: Thread | None = None

    def note(self, changed: Iterable[str]) -> None:
        """Others appended to these streams: a shadow may have been started or stopped."""
        for stream in changed:
            if stream.startswith(SHADOW):
                number = int(stream.removeprefix(SHADOW))
                if not _is_on(self._streams.histories, number):
                    self._on.pop(number, None)
                elif number not in self._on:
                    self._on[number] = _Beside(self._streams, number)

    def after_tick(self, number: int) -> None:
        """The owner's tick of this campaign is over."""
        if number not in self._on:
            return
        if self._thread is None:
            self._thread = Thread(target=self._work, name="shadows", daemon=True)
            self._thread.start()
        self._turns.put(number)

    def after_idle_ticks(self) -> None:
        """A run of ticks at which the owners found nothing to send is in the log now."""
        for number in tuple(self._on):
            self.after_tick(number)

    def rest(self) -> None:
        """End the turn under way, and begin no other: what is written from here on is written in order."""
        if self._thread is not None:
            self._ends.set()  # the turns that wait are all in the last one
            self._turns.put(None)
            self._thread.join()

    def end(self) -> None:
        """Take up what is left while there is time, say what it came to, and end."""
        self.rest()
        ends_at = time.monotonic() + self._end_budget_s
        behind = [number for number in self._on if not self._turn(number, ends_at, is_last=True)]
        if behind:
            log.info("shadows end behind the log, and go on after the next start", campaigns=behind)

    def _work(self) -> None:
        while (number := self._turns.get()) is not None and not self._ends.is_set():
            self._turn(number, time.monotonic() + self._budget_s)

    def _turn(self, number: int, ends_at: float, *, is_last: bool = False) -> bool:
        """False where the shadow was not through."""
        beside = self._on.get(number)
        if beside is None:
            return True
        try:
            if number in self._failed:
                beside = self._on[number] = _Beside(self._streams, number)
                self._failed.discard(number)
            return (beside.end if is_last else beside.go_on)(ends_at, self._clock.now())
        except Exception:  # it must never cost a mail
            log.exception("shadow failed", campaign=number)
            self._failed.add(number)  # it begins anew at its next turn, when the database may be there again
            return False


class _Beside:
    """One campaign's shadow: a comparison that follows the log."""

    def __init__(self, streams: SideStreams, number: int) -> None:
        self._streams = streams
        self._number = number
        self._shadow = _shadow(streams.histories, number)
        self._engine = Locked({campaign_stream(number): {}}, Setup(start=self._shadow.since), self._answers)
        self._case = self._engine.cases[campaign_stream(number)]
        self._place = 0
        self._steps: Iterator[Step] = iter(())
        self._decided: list[e.ShadowDecided] = []
        self._cut_short = 0
        self._summarised_at: datetime | None = None

    def go_on(self, ends_at: float, now: datetime) -> bool:
        """From where it was to the end of the log; False when its time was up before."""
        if not self._follow(ends_at):
            return False
        self._write_down(now)
        if self._summarised_at is None or now - self._summarised_at >= SUMMARY_EVERY:
            self._summarised_at = now
            self._summarise(self._place, now)
        return True

    def end(self, ends_at: float, now: datetime) -> bool:
        """The same for the last time: what was reached is written down, be it all or not."""
        is_through = self._follow(ends_at)
        self._write_down(now)
        self._summarise(self._place if is_through else self._engine.past.place, now)
        return is_through

    def _follow(self, ends_at: float) -> bool:
        """First what is left of the last turn, then what is new; False when its time was up."""
        if self._take(ends_at):
            history = History(self._streams.histories, [self._number], after=self._place)
            self._steps = in_order(history.rows(), history.ticks)
            self._place = history.up_to
            if self._take(ends_at):
                return True
        self._cut_short += 1
        return False

    def _take(self, ends_at: float) -> bool:
        with replaying():
            while time.monotonic() < ends_at:
                steps = list(islice(self._steps, LOOKED_AT_ONCE))
                if not steps:
                    return True
                for step in steps:
                    self._engine.take(step)
        return False

    def _answers(self, campaign: Campaign, at: datetime, column: int, answer: Answer, attempt: int) -> None:
        sender = self._case.setup.sides[column - 1].sender
        if not isinstance(answer, Send) or sender == campaign.owner:
            return
        place = self._engine.past.place
        if (place, at) > self._shadow.known:
            decided = e.ShadowDecided(
                recorded_at=at,
                position=answer.position,
                lead_id=answer.lead_id,
                attempt=attempt,
                sender=sender,
                decided_at=at,
                log_position=place,
            )
            self._decided.append(decided)

    def _write_down(self, now: datetime) -> None:
        """Its decisions; those that another daemon's shadow wrote first are not written twice, and none of one that was
        stopped meanwhile."""
        while self._decided and self._shadow.is_on:
            draft = Draft(self._shadow.stream, self._shadow.version, now)
            for one in self._decided:
                if (one.log_position, one.decided_at) > self._shadow.known:
                    draft.add(e.ShadowDecided, **one.model_dump(exclude=RECORDED, exclude_none=True))
            if self._append(draft.events):
                break
        self._decided = []

    def _summarise(self, place: int, now: datetime) -> None:
        self._append(summarise(self._shadow, self._case.findings, place, self._cut_short, now=now))

    def _append(self, events: list[e.Event]) -> bool:
        """False where somebody else was first: then what that was is known, and nothing was appended."""
        if not events:
            return True
        try:
            self._streams.append(events)
            is_ours = True
        except IntegrityError:
            is_ours, events = False, list(self._streams.histories.stream(self._shadow.stream, self._shadow.version))
        for event in events:
            evolve(self._shadow, event)
        return is_ours


def _numbers(histories: LogReader) -> list[int]:
    return [int(stream.removeprefix(SHADOW)) for stream in histories.streams(SHADOW, SHADOW_END)]


def _shadow(histories: LogReader, number: int) -> Shadow:
    return shadow_of(shadow_stream(number), histories.stream(shadow_stream(number)))


def _is_on(histories: LogReader, number: int) -> bool:
    return _shadow(histories, number).is_on
