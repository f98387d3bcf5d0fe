"""A mailbox: its limit, the delays that double while its server is in trouble, and the pause that a person ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from domain import events as e
from domain import mailbox as mailboxes
from domain.errors import CommandRefused, InvalidInput, UnknownEvent
from domain.mailbox import Mailbox
from domain.rules import MAX_DAILY_LIMIT, Rule, Wait
from tests.domain.given import NOON, digest, kinds, through_json

MINUTE = timedelta(minutes=1)


def test_a_new_mailbox_lets_mail_leave() -> None:
    mailbox = added()
    assert (mailbox.exists, mailbox.version, mailbox.holds_back(NOON)) == (True, 1, None)


def test_it_can_be_added_once() -> None:
    with pytest.raises(CommandRefused, match="mailbox-sales exists already"):
        mailboxes.add(added(), **settings(), now=NOON)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"daily_limit": 0}, "daily_limit"),
        ({"daily_limit": -5}, "daily_limit"),
        ({"daily_limit": MAX_DAILY_LIMIT + 1}, "daily_limit"),
        ({"zone": "Europe/Warszawa"}, "zone"),
    ],
)
def test_a_setting_that_means_nothing_is_refused_with_its_field(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        mailboxes.add(Mailbox("mailbox-sales"), **settings(**wrong), now=NOON)
    assert refused.value.field == field
    with pytest.raises(InvalidInput):
        mailboxes.change(added(), **settings(**wrong), now=NOON)


def test_the_same_settings_are_no_event_and_others_are_in_force_at_once() -> None:
    mailbox = added(daily_limit=1)
    assert mailboxes.change(mailbox, **settings(daily_limit=1), now=NOON) == []
    fold(mailbox, [slot(NOON)])
    assert rule(mailbox, NOON) is Rule.MAILBOX_LIMIT
    fold(mailbox, mailboxes.change(mailbox, **settings(daily_limit=2), now=NOON))
    assert mailbox.holds_back(NOON) is None


def test_its_limit_ends_at_midnight_of_its_own_zone() -> None:
    mailbox = added(daily_limit=2, zone="America/New_York")
    fold(mailbox, [slot(NOON), slot(NOON)])
    midnight = datetime(2025, 3, 5, 5, tzinfo=UTC)
    assert mailbox.holds_back(NOON) == Wait(Rule.MAILBOX_LIMIT, midnight, "2 a day")
    assert rule(mailbox, midnight - timedelta(microseconds=1)) is Rule.MAILBOX_LIMIT
    assert mailbox.holds_back(midnight) is None


def test_delays_double_from_one_minute_to_an_hour() -> None:
    mailbox, now, waits = added(), NOON, []
    for _ in range(15):
        [delayed] = trouble(mailbox, now)
        assert isinstance(delayed, e.MailboxDelayed)
        waits.append((delayed.until - now) // MINUTE)
        now = delayed.until
    assert waits == [1, 2, 4, 8, 16, 32, *[60] * 9]


def test_a_delay_holds_until_it_is_over_and_is_not_prolonged_by_a_second_worker() -> None:
    mailbox = added()
    trouble(mailbox, NOON)
    assert trouble(mailbox, NOON + MINUTE / 2) == []
    assert mailbox.holds_back(NOON) == Wait(Rule.MAILBOX_DELAYED, NOON + MINUTE)
    assert mailbox.holds_back(NOON + MINUTE) is None


def test_a_delay_decided_on_a_wall_clock_elsewhere_is_stored_in_utc() -> None:
    warsaw = NOON.astimezone(timezone(timedelta(hours=1)))
    [delayed] = trouble(added(), warsaw)
    assert isinstance(delayed, e.MailboxDelayed)
    assert (delayed.until, delayed.until.utcoffset()) == (NOON + MINUTE, timedelta(0))


def test_a_mail_that_was_locked_shows_that_the_server_is_well_again() -> None:
    mailbox = added()
    trouble(mailbox, NOON)
    trouble(mailbox, NOON + MINUTE)
    fold(mailbox, [slot(NOON + 5 * MINUTE)])
    [delayed] = trouble(mailbox, NOON + 6 * MINUTE)
    assert isinstance(delayed, e.MailboxDelayed)
    assert (delayed.until, delayed.failures) == (NOON + 7 * MINUTE, 1)


def test_a_pause_holds_for_ever_and_swallows_delays() -> None:
    mailbox = added()
    fold(mailbox, mailboxes.pause(mailbox, actor="runner-1", reason="auth refused with 535", now=NOON))
    assert mailbox.holds_back(NOON + timedelta(days=999)) == Wait(Rule.MAILBOX_PAUSED, note="auth refused with 535")
    assert mailboxes.pause(mailbox, actor="anna", reason="again", now=NOON) == []
    assert trouble(mailbox, NOON) == []


@pytest.mark.parametrize("paused", [True, False])
def test_a_person_ends_a_pause_and_a_delay_and_the_delays_start_anew(paused: bool) -> None:
    mailbox = added()
    trouble(mailbox, NOON)
    if paused:
        fold(mailbox, mailboxes.pause(mailbox, actor="anna", reason="new password", now=NOON))
    fold(mailbox, mailboxes.resume(mailbox, actor="anna", reason=None, now=NOON))
    assert mailbox.holds_back(NOON) is None
    [delayed] = trouble(mailbox, NOON)
    assert isinstance(delayed, e.MailboxDelayed)
    assert delayed.failures == 1


def test_there_is_nothing_to_resume_when_mail_may_leave() -> None:
    with pytest.raises(CommandRefused, match="neither paused nor delayed"):
        mailboxes.resume(added(), actor="anna", reason=None, now=NOON)


def test_a_mailbox_that_is_not_there_takes_no_command() -> None:
    nobody = Mailbox("mailbox-nobody")
    with pytest.raises(CommandRefused, match="there is no mailbox-nobody"):
        mailboxes.pause(nobody, actor="anna", reason="x", now=NOON)
    with pytest.raises(CommandRefused, match="there is no mailbox-nobody"):
        mailboxes.resume(nobody, actor="anna", reason="x", now=NOON)
    with pytest.raises(CommandRefused, match="there is no mailbox-nobody"):
        mailboxes.change(nobody, **settings(), now=NOON)
    with pytest.raises(CommandRefused, match="there is no mailbox-nobody"):
        mailboxes.delay(nobody, phase="mail", code=421, enhanced=None, now=NOON)


def test_an_event_of_a_campaign_is_none_of_a_mailbox() -> None:
    with pytest.raises(UnknownEvent, match="CampaignCompleted is no event of a mailbox"):
        mailboxes.evolve(added(), e.CampaignCompleted(recorded_at=NOON))


def settings(**other: Any) -> dict[str, Any]:
    said = {"daily_limit": 50, "zone": "Europe/Warsaw", "identity_digest": digest(1), "actor": "anna"}
    return said | other


def added(**other: Any) -> Mailbox:
    mailbox = Mailbox("mailbox-sales")
    events = mailboxes.add(mailbox, **settings(**other), now=NOON)
    assert kinds(events) == ["MailboxAdded"]
    fold(mailbox, events)
    return mailbox


def trouble(mailbox: Mailbox, now: datetime) -> list[e.Event]:
    events = mailboxes.delay(mailbox, phase="mail", code=421, enhanced="4.3.2", now=now)
    fold(mailbox, events)
    return events


def slot(at: datetime) -> e.Event:
    return e.MailboxSlotTaken(recorded_at=at, campaign="campaign-1", position=0, token="token-123")


def fold(mailbox: Mailbox, events: list[e.Event]) -> None:
    for event in events:
        mailboxes.evolve(mailbox, through_json(event))


def rule(mailbox: Mailbox, now: datetime) -> Rule | None:
    wait = mailbox.holds_back(now)
    return wait.rule if wait else None
