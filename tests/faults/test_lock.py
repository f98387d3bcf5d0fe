"""F2, F3, F15, F26: the lock is refused, or nobody knows whether it was stored. No dot without a lock that stands."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain import commands
from domain import mailbox as mailboxes
from domain.calendar import WEEK, Schedule
from domain.events import EmailFailed, EmailInDoubt, EmailLocked, LimitsChanged, Sender
from domain.rules import Limits
from projections import kept
from runner.clock import SimulatedClock
from runner.mail.templates import Content
from runner.sending.delivery import Delivery
from tests.faults.invariants import broken
from tests.faults.processes import ended
from tests.faults.steps import Fault, allow_dot, forbid_dot, kill, lose, struck
from tests.faults.world import DIGEST, ERASE_CONTACT, LATER, MAILBOX, NO_DELAY, START, World

MORNINGS = Schedule(zone="Europe/Warsaw", weekdays=WEEK, start="05:00", end="07:30")
CLOSING = START + timedelta(hours=23, minutes=30)
OPENING = CLOSING + timedelta(hours=21, minutes=30)
"""Of the mornings of Tuesday and Wednesday."""

senders = pytest.mark.parametrize("sender", ["v1", "v2"])


# --- what an operator does while the body is held ---


def pause(world: World) -> None:
    world.ledger.on_campaign(1, lambda c: commands.pause(c, actor="anna", reason=None, now=START), first_in_line=True)


def cancel(world: World) -> None:
    world.ledger.on_campaign(1, lambda c: commands.cancel(c, actor="anna", reason=None, now=START), first_in_line=True)


def pause_mailbox(world: World) -> None:
    world.ledger.on_mailbox(MAILBOX, lambda m: mailboxes.pause(m, actor="anna", reason="holiday", now=START))


def unsubscribe(world: World) -> None:
    world.ledger.on_campaign(1, lambda c: commands.skip(c, [0], "suppressed", now=START), first_in_line=True)


def erase(world: World) -> None:
    row = {"b_campaign_id": 1, "b_lead_id": 1}
    world.ledger.on_campaign(
        1,
        lambda c: commands.skip(c, [0], "erased", now=START),
        lambda _: [(ERASE_CONTACT, [row])],
        first_in_line=True,
    )


def change_contact(world: World) -> None:
    row = {"b_campaign_id": 1, "b_lead_id": 1, "address": "lead99@example.com", "address_key": "lead99@example.com"}
    row |= {"fields": '{"name": "Zofia"}', "revision": 1, "commitment": DIGEST}
    world.ledger.on_campaign(
        1,
        lambda c: commands.change_contacts(c, {0: DIGEST}, now=START),
        lambda _: [(kept.CHANGE_CONTACT, [row])],
        first_in_line=True,
    )


def change_content(world: World) -> None:
    row = {"campaign_id": 1, "version": 2, "digest": "1" * 64, **Content("Nowy", "Nowy.\n").row}
    world.ledger.on_campaign(
        1,
        lambda c: commands.edit(c, actor="anna", now=START, content_digest="1" * 64),
        lambda _: [(kept.ADD_CONTENT, [row])],
        first_in_line=True,
    )


def move_to_another_mailbox(world: World) -> None:
    world.mailbox("second")
    world.ledger.on_campaign(
        1, lambda c: commands.edit(c, actor="anna", now=START, mailbox="second"), first_in_line=True
    )


def lower_limit(world: World) -> None:
    limits = NO_DELAY.model_copy(update={"daily_limit": 1})
    world.ledger.on_campaign(1, lambda c: commands.edit(c, actor="anna", now=START, limits=limits), first_in_line=True)


@pytest.mark.sampled(3)
@senders
@pytest.mark.parametrize(
    ("change", "then"),
    [
        (pause, ["queued", "queued"]),
        (cancel, ["skipped", "skipped"]),
        (pause_mailbox, ["queued", "queued"]),
        (unsubscribe, ["skipped", "sent"]),
        (erase, ["skipped", "sent"]),
    ],
)
def test_f2_f15_a_mail_refused_at_the_lock_is_never_delivered(
    world: World, sender: Sender, change: Callable[[World], None], then: list[str]
) -> None:
    world.campaign(1, sender, ["lead", "lead"])
    with struck(Fault("after the body", 1, lambda: change(world))):
        world.run(START)
    assert world.states(1) == then
    assert world.accepted()[1, 1] == 0
    assert world.accepted().total() == then.count("sent")
    assert [breach for breach in broken(world) if "is lost" not in breach] == []


@pytest.mark.sampled(3)
@senders
@pytest.mark.parametrize(
    ("change", "locked_for"),
    [
        (change_contact, (1, 1, MAILBOX)),
        (change_content, (0, 2, MAILBOX)),
        (move_to_another_mailbox, (0, 1, "second")),
    ],
)
def test_f2_what_was_rendered_is_out_of_date_so_it_is_made_anew(
    world: World, sender: Sender, change: Callable[[World], None], locked_for: tuple[int, int, str]
) -> None:
    world.campaign(1, sender, ["lead"])
    with struck(Fault("after the body", 1, lambda: change(world))):
        world.run(START)
    [lock] = world.told(EmailLocked)
    assert isinstance(lock, EmailLocked)
    assert (lock.revision, lock.content_version, lock.mailbox) == locked_for
    assert world.accepted() == {(1, 1): 1}
    assert broken(world) == []


def lower_mailbox_limit(world: World) -> None:
    world.ledger.on_mailbox(
        MAILBOX,
        lambda m: mailboxes.change(
            m, daily_limit=1, zone="Europe/Warsaw", identity_digest=DIGEST, actor="anna", now=START
        ),
    )


def slow_down(world: World) -> None:
    limits = NO_DELAY.model_copy(update={"delay_s": 3 * 3600})
    world.ledger.on_campaign(1, lambda c: commands.edit(c, actor="anna", now=START, limits=limits), first_in_line=True)


def close_window(world: World) -> None:
    world.ledger.on_campaign(
        1, lambda c: commands.edit(c, actor="anna", now=START, schedule=MORNINGS), first_in_line=True
    )


@pytest.mark.sampled(3)
@senders
@pytest.mark.parametrize("change", [lower_limit, lower_mailbox_limit, slow_down, close_window])
def test_f2_limit_pace_or_window_changed_meanwhile_hold_from_then_on(
    world: World, sender: Sender, change: Callable[[World], None]
) -> None:
    world.campaign(1, sender, ["lead"] * 3)
    with struck(Fault("after the body", 2, lambda: change(world))):
        world.run(START)
    assert world.states(1) == ["sent", "queued", "queued"]
    assert world.accepted() == {(1, 1): 1}
    assert broken(world) == []


@pytest.mark.sampled(2)
@senders
def test_f2_the_window_closes_while_the_body_is_held_so_the_mail_waits_for_the_next(
    world: World, sender: Sender
) -> None:
    world.campaign(1, sender, ["lead"] * 3, schedule=MORNINGS)
    clock = SimulatedClock(CLOSING - timedelta(seconds=90))
    with struck(Fault("after the body", 2, lambda: clock.move_to(CLOSING))):
        world.run(until=CLOSING + timedelta(hours=1), clock=clock)
    assert world.accepted() == {(1, 1): 1}
    world.run(OPENING, OPENING + timedelta(minutes=5))
    assert world.accepted() == {(1, 1): 1, (1, 2): 1, (1, 3): 1}
    assert not world.told(EmailFailed)
    assert broken(world) == []


@senders
def test_f2_a_lost_race_alone_is_no_refusal_and_the_held_body_goes_out(world: World, sender: Sender) -> None:
    world.campaign(1, sender, ["lead"])
    bodies: list[str] = []

    def race() -> None:
        bodies.append("held")
        limits = Limits(daily_limit=999, delay_s=0)
        world.ledger.on_campaign(1, lambda c: commands.edit(c, actor="anna", now=START, limits=limits))

    with struck(Fault("after the body", 1, race, always=True)):
        world.run(START)
    assert len(world.told(LimitsChanged)) == 1
    assert bodies == ["held"]
    assert world.accepted() == {(1, 1): 1}


@pytest.mark.sampled(2)
@senders
def test_f26_a_sender_of_another_epoch_gets_no_lock_and_records_no_failure(
    world: World, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.campaign(1, sender, ["lead", "refused"])
    before = len(world.events(1))
    for name in ("_lock", "_fail"):
        monkeypatch.setattr(Delivery, name, _in_another_epoch(getattr(Delivery, name)))
    world.run(START, until=LATER)
    assert world.accepted().total() == 0
    assert len(world.events(1)) == before


@pytest.mark.sampled(2)
@senders
def test_f26_a_sender_that_does_not_own_the_campaign_gets_no_lock(
    world: World, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.campaign(1, sender, ["lead", "refused"])
    before = len(world.events(1))
    other = {"v1": "v2", "v2": "v1"}[sender]
    for name in ("_lock", "_fail"):
        monkeypatch.setattr(Delivery, name, _with(getattr(Delivery, name), sender=other))
    world.run(START, until=LATER)
    assert world.accepted().total() == 0
    assert len(world.events(1)) == before


def _in_another_epoch(original: Callable[..., Any]) -> Callable[..., Any]:
    return _with(original, epoch=0)


def _with(original: Callable[..., Any], **other: object) -> Callable[..., Any]:
    """The call as a sender would make it that believes something else of the campaign."""
    return lambda delivery, attempt, *said: original(delivery, replace(attempt, **other), *said)


# --- F3 ---


@senders
def test_f3_the_answer_to_the_commit_is_lost_but_the_lock_stands_so_the_mail_goes_on(
    world: World, sender: Sender
) -> None:
    world.campaign(1, sender, ["lead"] * 3)
    with struck(Fault("after the lock's commit", 2, lose)):
        world.run(START)
    assert world.states(1) == ["sent"] * 3
    assert len(world.told(EmailLocked)) == 3
    assert broken(world) == []


@senders
def test_f3_the_lock_was_not_stored_so_the_mail_is_dropped_and_sent_later(world: World, sender: Sender) -> None:
    world.campaign(1, sender, ["lead"] * 3)
    with struck(Fault("in the lock's transaction", 2, lose)):
        world.run(START)
    assert world.states(1) == ["sent"] * 3
    assert not world.told(EmailFailed, EmailInDoubt)
    assert broken(world) == []


@senders
def test_f3_the_lock_stands_but_cannot_be_read_back_so_there_is_no_dot_and_the_failure_is_definite(
    world: World, sender: Sender
) -> None:
    world.campaign(1, sender, ["lead"] * 3)
    with struck(Fault("after the lock's commit", 2, lose), Fault("while reading back", 1, lose)):
        world.run(START, until=START + timedelta(seconds=90))
    [failed] = world.told(EmailFailed)
    assert isinstance(failed, EmailFailed)
    assert (failed.lead_id, failed.phase, failed.permanent) == (2, "lock", False)
    world.run()
    assert world.states(1) == ["sent"] * 3
    assert not world.told(EmailInDoubt)
    assert broken(world) == []


@senders
def test_f3_the_lock_stands_but_its_time_is_over_so_there_is_no_dot(world: World, sender: Sender) -> None:
    world.campaign(1, sender, ["lead"] * 3)
    with struck(
        Fault("after the lock's commit", 2, lose),
        Fault("before reading back", 1, forbid_dot),
        Fault("before the record", 2, allow_dot),
    ):
        world.run(START)
    assert [event.lead_id for event in world.told(EmailFailed) if isinstance(event, EmailFailed)] == [2]
    world.run()
    assert world.states(1) == ["sent"] * 3
    assert broken(world) == []


@senders
def test_f3_a_lock_that_somebody_put_in_doubt_meanwhile_gets_no_dot(world: World, sender: Sender) -> None:
    world.campaign(1, sender, ["lead"])

    def doubt() -> None:
        token = next(event.token for event in world.events(1) if isinstance(event, EmailLocked))
        world.ledger.on_campaign(
            1, lambda c: commands.record_in_doubt(c, token, "asked", now=START), first_in_line=True
        )
        lose()

    with struck(Fault("after the lock's commit", 1, doubt)):
        world.run(START, until=START + timedelta(seconds=1))
    assert world.accepted().total() == 0
    assert len(world.told(EmailFailed)) == 1
    assert broken(world) == []


@senders
def test_f3_killed_while_the_failure_of_such_a_lock_is_only_journaled_the_restart_records_it(
    world: World, sender: Sender
) -> None:
    world.campaign(1, sender, ["lead"] * 3)
    victim = world.victim(
        Fault("after the lock's commit", 2, lose),
        Fault("while reading back", 1, lose),
        Fault("before an outcome is stored", 2, lose),
        Fault("after the journal", 1, kill),
    )
    assert ended(victim) == -signal.SIGKILL
    assert world.states(1) == ["sent", "locked", "queued"]
    world.run()
    assert world.states(1) == ["sent"] * 3
    assert not world.told(EmailInDoubt)
    assert broken(world) == []


@senders
def test_f13_a_contact_that_is_missing_fails_that_lead_alone(world: World, sender: Sender) -> None:
    world.campaign(1, sender, ["lead"] * 3)
    world.ledger.keep((ERASE_CONTACT, [{"b_campaign_id": 1, "b_lead_id": 2}]))
    world.run(START)
    assert world.states(1) == ["sent", "failed", "sent"]
