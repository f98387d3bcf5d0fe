"""Time travel: a campaign as it was at an instant, from the events up to there: state, queue, and attempts so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import takewhile

from domain import events as e
from domain import mailbox as mailboxes
from domain.campaign import Campaign
from domain.events import Event
from domain.leads import LeadState
from domain.legacy import OLD_SYSTEM
from domain.mailbox import Mailbox
from domain.replay.imported import fold
from domain.replay.ticks import Row, happened

MAILBOX = "mailbox-"

WAITING = (LeadState.QUEUED, LeadState.LOCKED, LeadState.IN_DOUBT)


@dataclass(frozen=True, slots=True)
class AttemptThen:
    """One attempt, as far as it had come. `locked_at` is None where it failed before a lock."""

    lead_id: int
    attempt: int
    sender: str
    outcome: str
    locked_at: datetime | None
    finished_at: datetime | None = None
    code: int | None = None
    message_id: str | None = None


@dataclass(slots=True)
class Then:
    """A campaign and its mailbox at an instant. `position`: of the last event before it; 0 when there was none."""

    campaign: Campaign
    mailboxes: dict[str, Mailbox] = field(default_factory=dict)
    attempts: dict[tuple[int, int], AttemptThen] = field(default_factory=dict)
    position: int = 0

    @property
    def mailbox(self) -> Mailbox:
        """The one it sent through."""
        stream = f"{MAILBOX}{self.campaign.mailbox}"
        return self.mailboxes.get(stream) or Mailbox(stream)

    def waiting(self) -> list[int]:
        """Who waited, was being mailed, or was in doubt: by priority, then position."""
        found = [position for state in WAITING for position in self.campaign.roll.positions(state)]
        return sorted(found, key=lambda position: (self.campaign.priority(position), position))


def at(stream: str, rows: Iterable[Row], instant: datetime) -> Then:
    """The campaign of this stream as it was at `instant`: what was recorded up to it has happened."""
    return _up_to(stream, rows, instant, lambda event: event.recorded_at)


def laid_out_at(stream: str, rows: Iterable[Row], instant: datetime) -> Then:
    """The same before the ledger knew of the campaign: what had happened up to it, of a past that is laid out."""
    return _up_to(stream, takewhile(lambda row: row[0] < 0, rows), instant, happened)


def _up_to(stream: str, rows: Iterable[Row], instant: datetime, when: Callable[[Event], datetime]) -> Then:
    then = Then(Campaign(stream))
    for position, event in rows:
        if when(event) > instant:
            break
        then.position = max(position, 0)
        if event.originator_id == stream:
            _note(then, event)
            fold(then.campaign, event)
        else:
            box = then.mailboxes.setdefault(event.originator_id, Mailbox(event.originator_id))
            mailboxes.evolve(box, event)
    return then


def _note(then: Then, event: Event) -> None:
    match event:
        case e.EmailLocked():
            locked = AttemptThen(event.lead_id, event.attempt, event.sender, "locked", event.recorded_at)
            then.attempts[event.lead_id, event.attempt] = replace(locked, message_id=event.message_id)
        case e.EmailSent(imported=e.ImportedSend(message_id=message_id)):
            sent = AttemptThen(event.lead_id, event.attempt, OLD_SYSTEM, "sent", None, message_id=message_id)
            then.attempts[event.lead_id, event.attempt] = replace(sent, finished_at=happened(event))
        case e.EmailSent():
            _finish(then, event, "sent", event.code)
        case e.EmailFailed():
            if event.token is None:
                tried = AttemptThen(event.lead_id, event.attempt, event.sender, "failed", None)
                then.attempts[event.lead_id, event.attempt] = tried
            _finish(then, event, "failed", event.code)
        case e.EmailInDoubt():
            _finish(then, event, "in doubt", None)
        case e.InDoubtResolved():
            _finish(then, event, f"resolved {event.outcome}", None)
        case _:
            pass


def _finish(
    then: Then, event: e.EmailSent | e.EmailFailed | e.EmailInDoubt | e.InDoubtResolved, outcome: str, code: int | None
) -> None:
    key = (event.lead_id, event.attempt)
    whose = OLD_SYSTEM if then.campaign.observed else then.campaign.owner
    started = then.attempts.get(key) or AttemptThen(*key, whose, outcome, None)
    finished_at = event.occurred_at or event.recorded_at
    then.attempts[key] = replace(started, outcome=outcome, finished_at=finished_at, code=code or started.code)
