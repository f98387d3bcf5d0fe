"""A mailbox: the sender's account at a mail server. Its daily limit is shared by all its campaigns and both senders.

It is open, delayed (its server is in trouble: waiting may mend it) or paused (a person must act).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from domain import events as e
from domain.calendar import zone_of
from domain.counting import MailCount, local_day
from domain.emitting import Draft
from domain.errors import CommandRefused, InvalidInput, UnknownEvent
from domain.rules import MAX_DAILY_LIMIT, Rule, Wait

FIRST_DELAY = timedelta(minutes=1)
LONGEST_DELAY = timedelta(hours=1)
"""Delays double from the first to the longest: 1, 2, 4, 8, 16, 32, 60, 60 … minutes."""


class Mailbox:
    """The state of one mailbox. Read its attributes; change it only through `evolve`."""

    daily_limit: int
    zone: str
    identity_digest: str

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.version = 0
        self.exists = False
        self.paused: str | None = None
        self.delayed_until: datetime | None = None
        self.failures = 0
        self.mails = MailCount()

    def holds_back(self, now: datetime) -> Wait | None:
        """The rule of this mailbox that binds now, if one does."""
        if self.paused is not None:
            return Wait(Rule.MAILBOX_PAUSED, note=self.paused)
        if self.delayed_until is not None and now < self.delayed_until:
            return Wait(Rule.MAILBOX_DELAYED, self.delayed_until)
        if self.mails.on_date_of(now, self.zone) >= self.daily_limit:
            return Wait(Rule.MAILBOX_LIMIT, local_day(now, self.zone)[1], f"{self.daily_limit} a day")
        return None


def evolve(mailbox: Mailbox, event: e.Event) -> None:
    """Apply one saved event. Raises `UnknownEvent` for one that is none of a mailbox's."""
    try:
        apply = _EVOLVE[type(event)]
    except KeyError:
        raise UnknownEvent(f"{type(event).__name__} is no event of a mailbox ({mailbox.stream})") from None
    apply(mailbox, event)
    mailbox.version = event.originator_version


def add(
    mailbox: Mailbox, *, daily_limit: int, zone: str, identity_digest: str, actor: str, now: datetime
) -> list[e.Event]:
    """A new mailbox."""
    if mailbox.exists:
        raise CommandRefused(f"{mailbox.stream} exists already; change it with `sendledger mailbox set`.")
    _check(daily_limit, zone)
    draft = Draft(mailbox.stream, mailbox.version, now)
    draft.add(e.MailboxAdded, daily_limit=daily_limit, zone=zone, identity_digest=identity_digest, actor=actor)
    return draft.events


def change(
    mailbox: Mailbox, *, daily_limit: int, zone: str, identity_digest: str, actor: str, now: datetime
) -> list[e.Event]:
    """New settings; nothing when they are the old ones."""
    _must_exist(mailbox)
    _check(daily_limit, zone)
    if (daily_limit, zone, identity_digest) == (mailbox.daily_limit, mailbox.zone, mailbox.identity_digest):
        return []
    draft = Draft(mailbox.stream, mailbox.version, now)
    draft.add(e.MailboxChanged, daily_limit=daily_limit, zone=zone, identity_digest=identity_digest, actor=actor)
    return draft.events


def pause(mailbox: Mailbox, *, actor: str, reason: str, now: datetime) -> list[e.Event]:
    """No further mail through it until a person resumes it; nothing when it is paused already."""
    _must_exist(mailbox)
    draft = Draft(mailbox.stream, mailbox.version, now)
    if mailbox.paused is None:
        draft.add(e.MailboxPaused, actor=actor, reason=reason)
    return draft.events


def resume(mailbox: Mailbox, *, actor: str, reason: str | None, now: datetime) -> list[e.Event]:
    """Mail may leave again."""
    _must_exist(mailbox)
    if mailbox.paused is None and mailbox.delayed_until is None:
        raise CommandRefused(f"{mailbox.stream} is neither paused nor delayed: there is nothing to resume.")
    draft = Draft(mailbox.stream, mailbox.version, now)
    draft.add(e.MailboxResumed, actor=actor, reason=reason)
    return draft.events


def delay(mailbox: Mailbox, *, phase: str, code: int | None, enhanced: str | None, now: datetime) -> list[e.Event]:
    """Its server is in trouble: wait, longer each time; nothing when it waits already."""
    _must_exist(mailbox)
    draft = Draft(mailbox.stream, mailbox.version, now)
    if mailbox.paused is None and (mailbox.delayed_until is None or mailbox.delayed_until <= now):
        until = e.stamped(now) + min(FIRST_DELAY * 2 ** min(mailbox.failures, 10), LONGEST_DELAY)
        draft.add(
            e.MailboxDelayed, until=until, phase=phase, code=code, enhanced=enhanced, failures=mailbox.failures + 1
        )
    return draft.events


def _check(daily_limit: int, zone: str) -> None:
    zone_of(zone)
    if not 1 <= daily_limit <= MAX_DAILY_LIMIT:
        raise InvalidInput(
            f"{daily_limit} mails a day is no limit.", mend=f"Use 1 to {MAX_DAILY_LIMIT}.", field="daily_limit"
        )


def _must_exist(mailbox: Mailbox) -> None:
    if not mailbox.exists:
        raise CommandRefused(f"there is no {mailbox.stream}; `sendledger mailbox list` shows which there are.")


def _set(mailbox: Mailbox, event: e.MailboxAdded | e.MailboxChanged) -> None:
    mailbox.exists = True
    mailbox.daily_limit, mailbox.zone, mailbox.identity_digest = event.daily_limit, event.zone, event.identity_digest


def _paused(mailbox: Mailbox, event: e.MailboxPaused) -> None:
    mailbox.paused = event.reason


def _resumed(mailbox: Mailbox, _event: e.MailboxResumed) -> None:
    mailbox.paused, mailbox.delayed_until, mailbox.failures = None, None, 0


def _delayed(mailbox: Mailbox, event: e.MailboxDelayed) -> None:
    mailbox.delayed_until, mailbox.failures = event.until, event.failures


def _slot_taken(mailbox: Mailbox, event: e.MailboxSlotTaken) -> None:
    mailbox.mails.add(event.occurred_at or event.recorded_at)
    if event.occurred_at is None:
        mailbox.failures = 0  # a whole body was taken up to the dot: the server is well again


_EVOLVE: dict[type[e.Event], Callable[[Mailbox, Any], None]] = {
    e.MailboxAdded: _set,
    e.MailboxChanged: _set,
    e.MailboxPaused: _paused,
    e.MailboxResumed: _resumed,
    e.MailboxDelayed: _delayed,
    e.MailboxSlotTaken: _slot_taken,
}
