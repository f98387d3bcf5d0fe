"""The past of an imported campaign, laid out as it happened: an import records it all at once, and leads that the old
system had mailed come as `sent`. Here they wait, each mail lies where the SendLog has it, and the old system's ticks,
which nobody knows, are assumed between its first mail and its last.

What is laid out is a history as any other, before all that the ledger recorded: its places are negative, each has one
of its own. It ends where the campaign becomes exactly what the ledger has of it: from there on nothing is assumed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import accumulate

from pydantic import ConfigDict

from domain import events as e
from domain.campaign import Campaign, evolve
from domain.counting import EPOCH
from domain.mailbox import Mailbox
from domain.replay.sides import CADENCE
from domain.replay.ticks import Row, Tick, TickKind, happened
from domain.rules import MAX_DAILY_LIMIT
from domain.snapshot import freeze, thaw

EVERY = CADENCE["v1"]
"""How often the old system is taken to have looked for mails."""

NOT_KNOWN_THEN = (e.EmailInDoubt, e.InDoubtResolved, e.DuplicateDetected, e.CampaignCompleted)
"""What an import, or a person who reviewed it, concluded later."""

OF_STATUS = (e.StatusObserved, e.StatusFixed)


class TicksAssumed(e.Event):
    """Kept in memory only. The old system ticked, it is assumed, from when this happened, which is just after what came
    before it, until this instant."""

    until: datetime

    def ticks(self, sender: e.Sender = "v1", every: timedelta = EVERY) -> Iterator[Tick]:
        """At a sender's cadence, on round times of UTC."""
        at = EPOCH + every * ((happened(self) - EPOCH) // every + 1)
        while at <= self.until:
            yield Tick(at, sender, TickKind.ASSUMED)
            at += every

    def ends(self) -> Iterator[Tick]:
        """The first and the last of them; nothing happened in between."""
        first = next(self.ticks(), None)
        if first is not None:
            last = EPOCH + EVERY * ((self.until - EPOCH) // EVERY)
            yield from [first] if last == first.at else [first, first._replace(at=last)]


class AsRecorded(e.Event):
    """Kept in memory only. The campaign is what the ledger has of it: its state, frozen."""

    model_config = ConfigDict(ser_json_bytes="base64")

    state: bytes


def fold(campaign: Campaign, event: e.Event) -> None:
    """Apply an event of a campaign, or of its laid out past."""
    match event:
        case TicksAssumed():
            pass
        case AsRecorded():
            vars(campaign).clear()
            vars(campaign).update(vars(thaw(event.originator_id, event.state)))
        case _:
            evolve(campaign, event)


def unlimited(zone: str) -> Mailbox:
    """The old system's mailbox, of which nothing is known."""
    mailbox = Mailbox("")
    mailbox.exists, mailbox.daily_limit, mailbox.zone = True, MAX_DAILY_LIMIT, zone
    return mailbox


def laid_out(events: Sequence[e.Event]) -> list[Row]:
    """All that is recorded of an imported campaign up to where it was taken over, or so far, as it happened."""
    real = Campaign(events[0].originator_id)
    for event in events:
        evolve(real, event)
    end = AsRecorded(originator_id=real.stream, recorded_at=events[-1].recorded_at, state=freeze(real))
    told = [*_Past(events).told(), end]
    return list(enumerate(told, start=-len(told)))


class _Past:
    """An imported campaign's events, each with the time when it happened."""

    def __init__(self, events: Sequence[e.Event]) -> None:
        self._events = events
        self._sends = _numbered(sorted((one for one in events if isinstance(one, e.EmailSent)), key=happened))
        self._first_mail: dict[int, datetime] = {}
        for event in self._sends:
            self._first_mail.setdefault(event.position, happened(event))
        self._started = next((event for event in events if isinstance(event, e.CampaignStarted)), None)
        started = [happened(self._started)] if self._started else []
        self._started_at = min([*started, *self._first_mail.values()], default=events[0].recorded_at)
        self._began = min(self._started_at, events[0].recorded_at)

    def told(self) -> Iterator[e.Event]:
        """In order, with the ticks from the first mail to the last."""
        ticked, last = self._ticks()
        for at, event in self._placed():
            if ticked < at <= last and (at > self._started_at or isinstance(event, e.EmailSent)):
                said = {"originator_id": event.originator_id, "recorded_at": event.recorded_at}
                yield TicksAssumed.model_validate({**said, "occurred_at": ticked, "until": at})
                ticked = at
            yield event

    def _ticks(self) -> tuple[datetime, datetime]:
        """Just before the first, and up to where they go."""
        times = [happened(event) for event in self._sends] or [self._began]
        return _before_its_tick(times[0]), times[-1]

    def _placed(self) -> list[tuple[datetime, e.Event]]:
        """The campaign and who waits, its start, and then everything by its time."""
        found = [*self._beginning(), *self._waiting(), *self._start()]
        rest = [*((happened(event), event) for event in self._sends), *self._others()]
        return sorted([*found, *rest], key=lambda one: one[0])  # what is equal stays in this order

    def _beginning(self) -> Iterator[tuple[datetime, e.Event]]:
        """That it is created and observed."""
        for event in self._events[:2]:
            yield self._began, event.model_copy(update={"occurred_at": self._began})

    def _waiting(self) -> Iterable[tuple[datetime, e.Event]]:
        """Leads wait from the beginning on; those of a later import from its time, or from the tick of their mail, in
        their order."""
        leads: list[e.EmailQueued] = []
        came: list[datetime] = []
        is_first = True
        for event in self._events:
            is_first = is_first and not (isinstance(event, e.LegacyImported) and event.complete)
            if isinstance(event, e.EmailQueued):
                leads.append(event)
                known_at = event.recorded_at
                if event.position in self._first_mail:
                    known_at = min(known_at, _before_its_tick(self._first_mail[event.position]))
                came.append(self._began if is_first else max(self._began, known_at))
        for at, event in zip([*accumulate(reversed(came), min)][::-1], leads, strict=True):
            status = {"v1_status": "queued"} if event.position in self._first_mail else {}
            yield at, event.model_copy(update={"occurred_at": at, **status})

    def _start(self) -> Iterator[tuple[datetime, e.Event]]:
        if self._started is not None:
            yield self._started_at, self._started.model_copy(update={"occurred_at": self._started_at})

    def _others(self) -> Iterator[tuple[datetime, e.Event]]:
        """When it was recorded: when it came about is not known."""
        for event in self._events[2:]:
            if not isinstance(event, (*NOT_KNOWN_THEN, e.EmailQueued, e.EmailSent, e.CampaignStarted)):
                mailed = self._first_mail.get(getattr(event, "position", -1))
                is_over = mailed is not None and (isinstance(event, OF_STATUS) or mailed <= event.recorded_at)
                if not (is_over and isinstance(event, (*OF_STATUS, e.EmailSkipped))):
                    yield event.recorded_at, event.model_copy(update={"occurred_at": None})


def _before_its_tick(mailed: datetime) -> datetime:
    """Just before the tick at which a mail of this instant was decided."""
    return EPOCH + EVERY * ((mailed - EPOCH) // EVERY) - timedelta.resolution


def _numbered(sends: Sequence[e.EmailSent]) -> list[e.EmailSent]:
    """A lead's attempts in the order in which they happened, whatever the order of the rows."""
    attempts: dict[int, list[int]] = {}
    for event in sends:
        attempts.setdefault(event.position, []).append(event.attempt)
    nth = Counter[int]()
    found = []
    for event in sends:
        number = sorted(attempts[event.position])[nth[event.position]]
        nth[event.position] += 1
        found.append(event if number == event.attempt else event.model_copy(update={"attempt": number}))
    return found
