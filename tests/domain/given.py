"""What the tests of the domain share: a small world of campaigns and one mailbox that is given events.
Every event goes through its stored JSON before it is folded, so each test also proves that it survives being kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from domain import commands, gate, policies
from domain import events as e
from domain import mailbox as mailboxes
from domain.calendar import WEEK, Schedule
from domain.campaign import Campaign, Status, evolve
from domain.commands import Failure, NewLead
from domain.leads import LeadState
from domain.mailbox import Mailbox
from domain.rules import Limits, LockRefused, Wait
from tests.domain.crossing import Crossing

NOON = datetime(2025, 3, 4, 11, tzinfo=UTC)
"""A Tuesday, 12:00 in Warsaw: open under the default schedule."""

ALWAYS = Schedule(zone="Europe/Warsaw", weekdays=WEEK, start="00:00", end="24:00")
NO_DELAY = Limits(daily_limit=1000, delay_s=0, max_attempts=4)

TEMPORARY = Failure(phase="dot", permanent=False, code=451, enhanced="4.3.0")
PERMANENT = Failure(phase="dot", permanent=True, code=554, enhanced="5.6.0")
REFUSED = Failure(phase="rcpt", permanent=True, code=550, enhanced="5.1.1")
GREYLISTED = Failure(phase="rcpt", permanent=False, code=450, enhanced="4.7.1")


def digest(number: int) -> str:
    """Some 64 hex digits."""
    return f"{number:064x}"


class World(Crossing):
    """One campaign that sends through one mailbox, and all events so far. `now` is moved by the test.

    `observed`: it is an old system's, and its first import goes on.
    """

    def __init__(
        self,
        *,
        owner: e.Sender = "v1",
        schedule: Schedule = ALWAYS,
        limits: Limits = NO_DELAY,
        now: datetime = NOON,
        mailbox: Mailbox | None = None,
        number: int = 1,
        observed: bool = False,
    ) -> None:
        self.now = now
        self.history: list[e.Event] = []
        self.campaign = Campaign(f"campaign-{number}")
        self.mailbox = mailbox or Mailbox("mailbox-sales")
        self._tokens = 0
        if not self.mailbox.exists:
            self.save(
                mailboxes.add(
                    self.mailbox,
                    daily_limit=1000,
                    zone="Europe/Warsaw",
                    identity_digest=digest(1),
                    actor="anna",
                    now=now,
                )
            )
        if observed:
            self.begin(schedule=schedule, limits=limits)
        else:
            self._create(owner, schedule, limits)

    def _create(self, owner: e.Sender, schedule: Schedule, limits: Limits) -> None:
        self.save(
            commands.create(
                self.campaign,
                name="Autumn",
                owner=owner,
                mailbox="sales",
                content_digest=digest(1),
                schedule=schedule,
                limits=limits,
                message_id_domain="example.com",
                actor="anna",
                now=self.now,
            )
        )

    # --- what is done ---

    def save(self, events: Iterable[e.Event]) -> list[e.Event]:
        """As the store does: keep the JSON, read it back, fold it."""
        stored = [through_json(event) for event in events]
        for event in stored:
            if event.originator_id == self.mailbox.stream:
                mailboxes.evolve(self.mailbox, event)
            else:
                evolve(self.campaign, event)
        self.history += stored
        return stored

    def queue(self, *priorities: int, v1_status: e.V1Status = "queued") -> None:
        """One lead a priority; lead numbers are position + 100."""
        first = len(self.campaign.roll) + 100
        leads = [
            NewLead(first + nth, digest(first + nth), priority, v1_status) for nth, priority in enumerate(priorities)
        ]
        self.save(commands.queue(self.campaign, leads, now=self.now))

    def start(self) -> None:
        self.save(commands.start(self.campaign, actor="anna", reason=None, now=self.now))

    def pause(self) -> None:
        self.save(commands.pause(self.campaign, actor="anna", reason="holiday", now=self.now))

    def resume(self) -> None:
        self.save(commands.resume(self.campaign, actor="anna", reason=None, now=self.now))

    def cancel(self) -> None:
        self.save(commands.cancel(self.campaign, actor="anna", reason=None, now=self.now))

    def edit(self, **settings: Any) -> None:
        self.save(commands.edit(self.campaign, actor="anna", now=self.now, **settings))

    def skip(self, *positions: int, reason: e.SkipReason = "suppressed") -> list[e.Event]:
        return self.save(commands.skip(self.campaign, positions, reason, now=self.now))

    def requeue(self, *positions: int) -> list[e.Event]:
        return self.save(
            commands.requeue_failed(self.campaign, positions, reason="server mended", actor="anna", now=self.now)
        )

    def request(self, position: int = 0, **other: Any) -> gate.LockRequest:
        """What a sender that rendered the current state would ask for."""
        self._tokens += 1
        asked: dict[str, Any] = {
            "position": position,
            "sender": self.campaign.owner,
            "epoch": self.campaign.epoch,
            "runner": "runner-1",
            "token": f"{self.campaign.stream}-token-{self._tokens}",
            "due_at": self.now,
            "mailbox": self.campaign.mailbox,
            "message_id": f"<{position}@example.com>",
            "date": self.now,
            "content_version": self.campaign.content_version,
            "revision": self.campaign.revision(position),
            "commitment": digest(position),
            "digest": digest(7),
        }
        return gate.LockRequest(**asked | other)

    def lock(self, position: int = 0, **other: Any) -> str:
        """The token of the lock, or `LockRefused`."""
        request = self.request(position, **other)
        self.save(gate.lock(self.campaign, self.mailbox, request, self.now))
        return request.token

    def sent(self, token: str) -> list[e.Event]:
        return self.save(
            commands.record_sent(self.campaign, token, code=250, enhanced="2.0.0", queue_id="Q1", now=self.now)
        )

    def failed(self, token: str, failure: Failure = TEMPORARY) -> list[e.Event]:
        return self.save(commands.record_failed(self.campaign, token, failure, now=self.now))

    def in_doubt(self, token: str) -> list[e.Event]:
        return self.save(commands.record_in_doubt(self.campaign, token, "runner gone", now=self.now))

    def resolve(self, position: int, outcome: e.Resolution) -> list[e.Event]:
        return self.save(
            commands.resolve_in_doubt(
                self.campaign, position, outcome, evidence="relay log", actor="anna", now=self.now
            )
        )

    def refused_before_lock(self, position: int, failure: Failure = REFUSED, **other: Any) -> list[e.Event]:
        asked: dict[str, Any] = {
            "sender": self.campaign.owner,
            "epoch": self.campaign.epoch,
            "runner": "runner-1",
            "mailbox": self.campaign.mailbox,
            "content_version": self.campaign.content_version,
            "revision": self.campaign.revision(position),
        }
        return self.save(commands.fail_before_lock(self.campaign, position, failure, now=self.now, **asked | other))

    def delivered(self, position: int) -> None:
        self.sent(self.lock(position))

    def not_sent_after_doubt(self, position: int = 0) -> str:
        """A lead that a person had queued again; the token of the attempt of which more may come to light."""
        token = self.lock(position)
        self.in_doubt(token)
        self.resolve(position, "not sent")
        return token

    # --- what is then true ---

    def state(self, position: int = 0) -> LeadState:
        return self.campaign.roll.state(position)

    def next(self, sender: e.Sender | None = None) -> policies.Send | Wait:
        return policies.next_send(self.campaign, self.mailbox, sender or self.campaign.owner, self.now)

    def refusal(self, position: int = 0, **other: Any) -> Wait | None:
        """What the gate says to a lock now; nothing is saved."""
        try:
            gate.lock(self.campaign, self.mailbox, self.request(position, **other), self.now)
        except LockRefused as refused:
            return refused.wait
        return None


def running(*priorities: int, **settings: Any) -> World:
    """A started campaign with these leads, one of priority 5 unless told otherwise."""
    world = World(**settings)
    world.queue(*(priorities or (5,)))
    world.start()
    return world


def observed(*statuses: e.V1Status, **settings: Any) -> World:
    """A running campaign of an old system with these leads, wholly taken in."""
    world = World(observed=True, **settings)
    world.add_leads(*(statuses or ("queued",)))
    world.follow_life(Status.RUNNING)
    world.end()
    return world


def taken_over(*statuses: e.V1Status, **settings: Any) -> World:
    """The same, since our V1 goes on with it."""
    world = observed(*statuses, **settings)
    world.take_over()
    return world


def kinds(events: Iterable[e.Event]) -> list[str]:
    """The names of the events' classes."""
    return [type(event).__name__ for event in events]


def through_json(event: e.Event) -> e.Event:
    """The event as it comes back from the store."""
    read = type(event).model_validate_json(event.model_dump_json(exclude_none=True))
    numbered = {"originator_id": event.originator_id, "originator_version": event.originator_version}
    return read.model_copy(update=numbered)


def refolded(history: Iterable[e.Event], stream: str) -> Campaign:
    """A campaign folded anew from its events."""
    campaign = Campaign(stream)
    for event in history:
        if event.originator_id == stream:
            evolve(campaign, event)
    return campaign
