"""Lives that a test is given, and what may happen in them next, by a person, a sender or a runner."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from domain import commands, erasing
from domain import events as e
from domain import mailbox as mailboxes
from domain.calendar import Schedule
from domain.emitting import Draft
from domain.mailbox import Mailbox
from domain.rules import Limits
from tests.domain.given import NOON, World, digest, running

Happening = Callable[[World], object]

MINUTE = timedelta(minutes=1)
LATER = NOON + 2 * MINUTE
LISBON = Schedule(zone="Europe/Lisbon")
SLOWER = Limits(daily_limit=7, delay_s=600, max_attempts=2)
TICK = {"runner": "runner-1", "sender": "v2"}
ACCEPTED_DIFFERENCE = {
    "difference": "SHIFT",
    "where": "why=delay",
    "reason": "the pace is drawn anew",
    "expires": date(2026, 12, 31),
    "at_most": 9,
    "actor": "anna",
}
SHADOW = "shadow-1"

# --- given ---


def two_leads(*before: Happening) -> Callable[[], World]:
    """A running campaign of two leads, to which this has happened."""

    def world() -> World:
        made = running(5, 5)
        for happen in before:
            happen(made)
        return made

    return world


def draft() -> World:
    world = World()
    world.queue(5, 5)
    return world


def last_one_is_locked() -> World:
    world = running(5)
    world.lock()
    return world


def last_one_is_in_doubt() -> World:
    world = last_one_is_locked()
    put_in_doubt(world)
    return world


def completed() -> World:
    world = running(5)
    world.delivered(0)
    return world


# --- when ---


def lock(world: World) -> None:
    world.lock()


def put_in_doubt(world: World) -> None:
    world.in_doubt(held(world))


def queue_again(world: World) -> None:
    world.resolve(0, "not sent")


def accept(world: World) -> None:
    world.sent(held(world))


def try_out(world: World) -> None:
    answered: dict[str, Any] = {"code": 250, "enhanced": "2.0.0", "queue_id": "Q1"}
    made: dict[str, Any] = {"mailbox": "sales", "content_version": 1, "message_id": "<test.1@example.com>"}
    world.save(commands.record_test(world.campaign, 0, **made, **answered, actor="anna", now=world.now))


def refuse(world: World) -> None:
    world.refused_before_lock(0)


def held(world: World) -> str:
    """The oldest lock that may still be answered."""
    return next(iter(world.campaign.open))


def change_contact(world: World) -> None:
    world.save(commands.change_contacts(world.campaign, {0: digest(42)}, now=world.now))


def create_another(world: World) -> None:
    another = World(owner="v2", schedule=LISBON, limits=SLOWER, now=world.now, mailbox=world.mailbox, number=2)
    world.history += another.history


def add_office(world: World) -> None:
    world.history += mailboxes.add(
        Mailbox("mailbox-office"), daily_limit=9, zone="UTC", identity_digest=digest(2), actor="anna", now=world.now
    )


def change_mailbox(world: World) -> None:
    events = mailboxes.change(
        world.mailbox, daily_limit=9, zone="UTC", identity_digest=digest(2), actor="berta", now=world.now
    )
    world.save(events)


def delay_mailbox(world: World) -> None:
    world.save(mailboxes.delay(world.mailbox, phase="mail", code=421, enhanced="4.7.0", now=world.now))


def pause_mailbox(world: World) -> None:
    world.save(mailboxes.pause(world.mailbox, actor="berta", reason="login refused", now=world.now))


def resume_mailbox(world: World) -> None:
    world.save(mailboxes.resume(world.mailbox, actor="clara", reason=None, now=world.now))


def take_slot(world: World) -> None:
    """By a lock of another campaign."""
    slot = Draft(world.mailbox.stream, world.mailbox.version, world.now)
    slot.add(e.MailboxSlotTaken, campaign="campaign-9", position=0, token="token-of-another")
    world.save(slot.events)


def says(kind: type[e.Event], stream: str = "runner-1", **said: Any) -> Happening:
    """An event of a runner, or of another stream that stands for itself."""

    def happen(world: World) -> None:
        said_before = [event for event in world.history if event.originator_id == stream]
        world.history.append(Draft(stream, len(said_before), world.now).add(kind, **said))

    return happen


START_RUNNER = says(e.RunnerStarted, runner="runner-1", host="one", pid=7, version="0.1.0")
START_TICK = says(e.TickStarted, **TICK, tick_at=NOON, due=3)
START_SHADOW = says(e.ShadowStarted, SHADOW, actor="anna")
STOP_SHADOW = says(e.ShadowStopped, SHADOW, actor="anna")


def decides(sender: e.Sender) -> Happening:
    """A shadow would send to the first lead."""
    said = {"position": 0, "lead_id": 100, "attempt": 1, "sender": sender, "decided_at": NOON, "log_position": 7}
    return says(e.ShadowDecided, SHADOW, **said)


def erase(world: World) -> None:
    """The first lead was somebody who is not kept any more."""
    said = {"reference": "er-1f2e", "reason": "asked", "actor": "anna"}
    world.save(erasing.erase(world.campaign, [0], **said, now=world.now))
